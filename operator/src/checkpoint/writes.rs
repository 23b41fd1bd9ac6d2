//! Writes that are on their way. One that is slow, because of a webhook of its namespace say, holds up no other.

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use std::collections::HashMap;
use std::pin::pin;

/// Most of them at the same time: what is on its way takes memory.
const AT_ONCE: usize = 32;
/// Most of one namespace.
const OF_NAMESPACE: usize = 8;

/// The writes, which go on only while somebody waits here.
#[derive(Default)]
pub(super) struct Writes<'k> {
    running: FuturesUnordered<BoxFuture<'k, String>>,
    /// The namespace of each, by the UID of its run.
    places: HashMap<String, String>,
    /// Since somebody began some last: others had to be left, and one has ended.
    left: bool,
    ended: bool,
}

impl<'k> Writes<'k> {
    /// Begins a write, unless one of the run is on its way, or there is no room.
    pub(super) fn begin<F>(&mut self, uid: String, namespace: String, write: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'k,
    {
        if !self.has_room(&uid, &namespace) {
            self.left = true;
            return;
        }
        self.places.insert(uid.clone(), namespace);
        self.running.push(write().map(|()| uid).boxed());
    }

    fn has_room(&self, uid: &str, namespace: &str) -> bool {
        let here = self.places.values().filter(|of| *of == namespace).count();
        self.places.len() < AT_ONCE && here < OF_NAMESPACE && !self.places.contains_key(uid)
    }

    /// Goes on with them until something happens.
    pub(super) async fn go_on_until(&mut self, happens: impl Future<Output = ()>) {
        let mut happens = pin!(happens);
        loop {
            tokio::select! {
                () = &mut happens => return,
                Some(uid) = self.running.next() => self.end(&uid),
            }
        }
    }

    /// Goes on with them until something happens, or one that was left may be begun.
    pub(super) async fn go_on_until_room_or(&mut self, happens: impl Future<Output = ()>) {
        let mut happens = pin!(happens);
        while !(self.left && self.ended) {
            tokio::select! {
                () = &mut happens => break,
                Some(uid) = self.running.next() => self.end(&uid),
            }
        }
        (self.left, self.ended) = (false, false);
    }

    fn end(&mut self, uid: &str) {
        self.places.remove(uid);
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn a_namespace_whose_writes_do_not_end_leaves_room_for_others() {
        let mut writes = Writes::default();
        for n in 0..100 {
            writes.begin(format!("slow {n}"), "slow".to_owned(), pending);
        }
        assert_eq!((writes.places.len(), writes.left), (OF_NAMESPACE, true));
        for n in 0..100 {
            writes.begin(format!("quick {n}"), format!("ns {}", n % 10), || ready(()));
            writes.begin(format!("quick {n}"), format!("ns {}", n % 10), || ready(()));
        }
        assert_eq!(writes.places.len(), AT_ONCE);
        // What was left may be begun when one has ended.
        while writes.places.len() > OF_NAMESPACE {
            writes.left = true;
            writes.go_on_until_room_or(pending()).await;
        }
        assert!(writes.has_room("another", "ns 0") && !writes.has_room("another", "slow"));
        assert!(!writes.has_room("slow 0", "elsewhere"), "one at a time of a run");
    }
}
