//! Answers scrapers, one after the other.

use super::accept::Form;
use super::shown::Shown;
use super::{Metrics, operator, protobuf, runs};
use crate::armies::Armies;
use crate::clock::now_ms;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use botarmy_report::Exposition;
use futures::stream;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// How long a scrape waits for others: scrapers themselves rarely wait for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers that may be on their way at once: each is kept until it has been read.
const MOST_UNREAD: usize = 8;
/// How long one may be on its way, however slowly it is read.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// It goes out in parts of so many bytes.
const PART: usize = 64 << 10;

/// What is told, and to whom.
#[derive(Debug)]
struct Scraped {
    metrics: Arc<Metrics>,
    armies: Arc<Armies>,
    /// One scrape at a time: the copies that it makes are not small.
    shown: Arc<Mutex<Shown>>,
    unread: Arc<Semaphore>,
}

/// The route `/metrics`.
pub fn routes(metrics: Arc<Metrics>, armies: Arc<Armies>) -> Router {
    let scraped =
        Scraped { metrics, armies, shown: Arc::default(), unread: Arc::new(Semaphore::new(MOST_UNREAD)) };
    Router::new().route("/metrics", get(scrape)).with_state(Arc::new(scraped))
}

async fn scrape(State(scraped): State<Arc<Scraped>>, headers: HeaderMap) -> Response {
    let form = Form::asked_for(&headers);
    let turn = async {
        let unread = scraped.unread.clone().acquire_owned().await;
        (unread, scraped.shown.clone().lock_owned().await)
    };
    let Ok((Ok(unread), mut shown)) = tokio::time::timeout(PATIENCE, turn).await else {
        let busy = "other scrapes go on; scrape less often, or from fewer places";
        return (StatusCode::SERVICE_UNAVAILABLE, busy).into_response();
    };
    // It takes a while when there is much to tell, in which runners are to be answered.
    let told = tokio::task::spawn_blocking(move || {
        tell(form, &scraped.metrics, &scraped.armies, &mut shown, now_ms())
    });
    match told.await {
        Ok(told) => ([(header::CONTENT_TYPE, form.content_type())], in_parts(told, unread)).into_response(),
        Err(error) => {
            tracing::error!("metrics cannot be told: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer that is asked for part by part, so that it is known when it has gone out, and can be broken off.
fn in_parts(told: Vec<u8>, unread: OwnedSemaphorePermit) -> Body {
    let until = Instant::now() + READ_WITHIN;
    let parts = stream::unfold((Bytes::from(told), unread), move |(mut rest, unread)| async move {
        let part = rest.split_to(rest.len().min(PART));
        let part = match () {
            () if part.is_empty() => return None,
            () if Instant::now() > until => Err(io::Error::from(io::ErrorKind::TimedOut)),
            () => Ok(part),
        };
        Some((part, (rest, unread)))
    });
    Body::from_stream(parts)
}

fn tell(form: Form, metrics: &Metrics, armies: &Armies, shown: &mut Shown, now_ms: u64) -> Vec<u8> {
    let mut exposition = match form {
        Form::Text => Exposition::classic(),
        Form::Protobuf => Exposition::with_native(),
    };
    operator::expose(&mut exposition, metrics, armies.pauses());
    runs::expose(&mut exposition, armies, shown, now_ms);
    match form {
        Form::Text => exposition.text().into_bytes(),
        Form::Protobuf => protobuf::delimited(&exposition),
    }
}

#[cfg(test)]
mod tests;
