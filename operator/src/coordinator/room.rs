//! Room for check-ins that are being read. Small ones have room of their own, so that no large one keeps them waiting;
//! and of each kind one run has only its share, so that its runners get in nobody's way but their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A check-in up to this length is small, in bytes; nearly all are.
pub(super) const SMALL: usize = 64 << 10;
/// For all small ones, in kibibytes, and for those of one run.
const SMALL_KIB: usize = 16 << 10;
const SMALL_OF_RUN_KIB: usize = 2 << 10;
/// The same for the others. One run has one of the greatest length at a time.
const LARGE_KIB: usize = 32 << 10;
const LARGE_OF_RUN_KIB: usize = 8 << 10;

/// Room for all that is read at the same time.
#[derive(Debug)]
pub(super) struct Room {
    small: Part,
    large: Part,
    /// One large check-in is unfolded at a time: that takes many times its length.
    turn: Arc<Semaphore>,
}

/// Room that is taken, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    _of_run: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Part {
    all: Arc<Semaphore>,
    of_run_kib: usize,
    /// By UID, as long as something of the run is being read.
    runs: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            small: Part::new(SMALL_KIB, SMALL_OF_RUN_KIB),
            large: Part::new(LARGE_KIB, LARGE_OF_RUN_KIB),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Room {
    /// Waits for room for a body of this length, of a runner of this run; there is none for one that would never fit.
    pub(super) async fn take(&self, run_uid: &str, length: usize) -> Option<Taken> {
        let part = if length <= SMALL { &self.small } else { &self.large };
        part.take(run_uid, length).await
    }

    /// Waits for the turn to unfold a body of this length; a small one has none to wait for.
    pub(super) async fn turn(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        if length <= SMALL {
            return None;
        }
        self.turn.clone().acquire_owned().await.ok()
    }
}

impl Part {
    fn new(all_kib: usize, of_run_kib: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all_kib)), of_run_kib, runs: Mutex::default() }
    }

    async fn take(&self, run_uid: &str, length: usize) -> Option<Taken> {
        let kibibytes = length.div_ceil(1 << 10).max(1);
        if kibibytes > self.of_run_kib {
            return None;
        }
        let kibibytes = u32::try_from(kibibytes).ok()?;
        // First the run's own: while it waits for that, it takes nothing of what belongs to all.
        let of_run = self.of_run(run_uid).acquire_many_owned(kibibytes).await.ok()?;
        let of_all = self.all.clone().acquire_many_owned(kibibytes).await.ok()?;
        Some(Taken { _of_run: of_run, _of_all: of_all })
    }

    fn of_run(&self, run_uid: &str) -> Arc<Semaphore> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = runs.get(run_uid).and_then(Weak::upgrade) {
            return known;
        }
        runs.retain(|_, of_run| of_run.strong_count() > 0);
        let of_run = Arc::new(Semaphore::new(self.of_run_kib));
        runs.insert(run_uid.to_owned(), Arc::downgrade(&of_run));
        of_run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_protocol::MAX_CHECK_IN_BYTES;
    use futures::FutureExt;

    #[test]
    fn no_run_takes_what_others_need() {
        let room = Room::default();
        let take = |run: &str, length| room.take(run, length).now_or_never().flatten();
        let greatest = take("a", MAX_CHECK_IN_BYTES).unwrap();
        assert!(take("a", SMALL + 1).is_none(), "the run has its share");
        let others: Vec<_> = ["b", "c", "d"].map(|run| take(run, MAX_CHECK_IN_BYTES).unwrap()).into();
        assert!(take("e", SMALL + 1).is_none(), "there is an end to all");
        let small: Vec<_> = (0..40).map_while(|_| take("a", SMALL)).collect();
        assert_eq!(small.len(), 32, "its small ones have room beside");
        assert!(take("b", 0).is_some(), "and those of others too");
        drop((greatest, others));
        assert!(take("e", MAX_CHECK_IN_BYTES).is_some());
        assert!(take("e", MAX_CHECK_IN_BYTES + 1).is_none(), "that would never fit");
        assert_eq!(room.large.runs.lock().unwrap().len(), 1, "runs of which nothing is read are forgotten");
    }

    #[test]
    fn large_ones_are_unfolded_one_after_the_other() {
        let room = Room::default();
        let turn = |length| room.turn(length).now_or_never();
        let first = turn(SMALL + 1).unwrap();
        assert!(turn(SMALL + 1).is_none() && turn(SMALL).is_some_and(|turn| turn.is_none()));
        drop(first);
        assert!(turn(MAX_CHECK_IN_BYTES).flatten().is_some());
    }
}
