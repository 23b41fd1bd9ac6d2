//! A watch: the changes since a version, and then each as it happens.

use super::call::Call;
use super::objects::{Refusal, matches};
use super::{Shared, Stream};
use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::sync::watch::Receiver;
use tower::BoxError;

/// How a watch ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As the API server ends each one after a while.
    Ends,
    /// Its connection breaks.
    Breaks,
    /// Nothing comes any more, as when the other machine has vanished.
    IsSilent,
}

/// One who watches.
struct Watch {
    shared: Arc<Shared>,
    changed: Receiver<()>,
    call: Call,
    /// How many changes were looked at.
    at: usize,
    /// How many times all watches of the resource had been cut when this one began.
    cuts: usize,
    over: bool,
}

/// What there is for one who watches.
enum News {
    Event(Value),
    /// The last one.
    Gone(Value),
    Cut(Cut),
    Nothing,
}

pub(super) fn watch(shared: Arc<Shared>, call: Call) -> Stream {
    let at = call.parameter("resourceVersion").parse().unwrap_or_default();
    let cuts = shared.state().cuts(&call.resource).len();
    let changed = shared.changed.subscribe();
    let watch = Watch { shared, changed, call, at, cuts, over: false };
    StreamBody::new(stream::unfold(watch, next).boxed())
}

async fn next(mut watch: Watch) -> Option<(Result<Frame<Bytes>, BoxError>, Watch)> {
    while !watch.over {
        watch.changed.borrow_and_update();
        let (event, over): (Result<Value, BoxError>, bool) = match watch.news() {
            News::Event(event) => (Ok(event), false),
            News::Gone(event) => (Ok(event), true),
            News::Cut(Cut::Ends) => return None,
            News::Cut(Cut::IsSilent) => std::future::pending().await,
            News::Cut(Cut::Breaks) => (Err(io::Error::from(io::ErrorKind::ConnectionReset).into()), true),
            News::Nothing => {
                watch.changed.changed().await.ok()?;
                continue;
            }
        };
        watch.over = over;
        return Some((event.map(|event| Frame::data(Bytes::from(format!("{event}\n")))), watch));
    }
    None
}

impl Watch {
    fn news(&mut self) -> News {
        let state = self.shared.state();
        if let Some(cut) = state.cuts(&self.call.resource).get(self.cuts) {
            return News::Cut(*cut);
        }
        if self.at < state.forgotten {
            let gone = Refusal::new(410, &self.call.resource, "").status();
            return News::Gone(json!({"type": "ERROR", "object": gone}));
        }
        let (labels, fields) = (self.call.parameter("labelSelector"), self.call.parameter("fieldSelector"));
        while let Some(change) = state.objects.changes.get(self.at) {
            self.at += 1;
            let (resource, namespace, _) = &change.key;
            let is_here = self.call.namespace.is_empty() || *namespace == self.call.namespace;
            if *resource == self.call.resource && is_here && matches(&change.object, labels, fields) {
                return News::Event(json!({"type": change.kind, "object": change.object}));
            }
        }
        News::Nothing
    }
}
