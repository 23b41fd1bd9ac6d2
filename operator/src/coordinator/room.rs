//! Room for check-ins that are being read. Small ones have room of their own, so that no large one keeps them waiting;
//! and of each kind one run has only its share, and so has one namespace, so that its runners get in nobody's way but their
//! own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A check-in up to this length is small, in bytes; nearly all are.
pub(super) const SMALL: usize = 64 << 10;
/// For all small ones, in kibibytes, and for those of one run. A namespace has half of all.
const SMALL_KIB: usize = 16 << 10;
const SMALL_OF_RUN_KIB: usize = 2 << 10;
/// The same for the others. One run has one of the greatest length at a time.
const LARGE_KIB: usize = 32 << 10;
const LARGE_OF_RUN_KIB: usize = 8 << 10;
/// All whose run is not known here share what one run has, under a name that no run has: what a pod says of itself is its
/// creator's to choose.
const STRANGERS: &str = "";

/// Room for all that is read at the same time.
#[derive(Debug)]
pub(super) struct Room {
    small: Part,
    large: Part,
    /// One large check-in is unfolded at a time: that takes many times its length.
    turn: Arc<Semaphore>,
}

/// Room that is taken of what a run has, of what its namespace has and of all, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Taken(#[expect(dead_code, reason = "it is held")] [OwnedSemaphorePermit; 3]);

/// Whose check-in is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'o> {
    /// The namespace of its pod.
    pub(super) namespace: &'o str,
    /// Its run; none if there is no such run here.
    pub(super) run_uid: Option<&'o str>,
}

#[derive(Debug)]
struct Part {
    all: Arc<Semaphore>,
    namespaces: Shares,
    runs: Shares,
}

/// What each of many has of the room at most.
#[derive(Debug)]
struct Shares {
    each_kib: usize,
    /// By name, as long as something of it is being read.
    open: Mutex<HashMap<String, Weak<Semaphore>>>,
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
    /// Waits for room for a body of this length, of a runner of this owner; there is none for one that would never fit.
    pub(super) async fn take(&self, owner: Owner<'_>, length: usize) -> Option<Taken> {
        let part = if length <= SMALL { &self.small } else { &self.large };
        part.take(owner, length).await
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
        Self {
            all: Arc::new(Semaphore::new(all_kib)),
            namespaces: Shares::new(all_kib / 2),
            runs: Shares::new(of_run_kib),
        }
    }

    async fn take(&self, owner: Owner<'_>, length: usize) -> Option<Taken> {
        let kibibytes = length.div_ceil(1 << 10).max(1);
        if kibibytes > self.runs.each_kib {
            return None;
        }
        let kibibytes = u32::try_from(kibibytes).ok()?;
        // The narrowest first: while it waits for that, it takes nothing of what belongs to others as well.
        let of_run = self.runs.of(owner.run_uid.unwrap_or(STRANGERS));
        let of_run = of_run.acquire_many_owned(kibibytes).await.ok()?;
        let of_namespace = self.namespaces.of(owner.namespace).acquire_many_owned(kibibytes).await.ok()?;
        let of_all = self.all.clone().acquire_many_owned(kibibytes).await.ok()?;
        Some(Taken([of_run, of_namespace, of_all]))
    }
}

impl Shares {
    fn new(each_kib: usize) -> Self {
        Self { each_kib, open: Mutex::default() }
    }

    fn of(&self, name: &str) -> Arc<Semaphore> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(name).and_then(Weak::upgrade) {
            return known;
        }
        open.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.each_kib));
        open.insert(name.to_owned(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_protocol::MAX_CHECK_IN_BYTES;
    use futures::FutureExt;

    /// A run of its own in a namespace of its own.
    fn alone(name: &str) -> Owner<'_> {
        Owner { namespace: name, run_uid: Some(name) }
    }

    #[test]
    fn no_run_takes_what_others_need() {
        let room = Room::default();
        let take = |run, length| room.take(alone(run), length).now_or_never().flatten();
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
        assert_eq!(
            room.large.runs.open.lock().unwrap().len(),
            1,
            "runs of which nothing is read are forgotten"
        );
        assert_eq!(room.large.namespaces.open.lock().unwrap().len(), 1, "and so are namespaces");
    }

    #[test]
    fn no_namespace_takes_what_others_need_however_many_runs_it_has() {
        let room = Room::default();
        let take = |namespace, run_uid, length| {
            room.take(Owner { namespace, run_uid: Some(run_uid) }, length).now_or_never().flatten()
        };
        let uids: Vec<String> = (0..40).map(|n| format!("run-{n}")).collect();
        let large: Vec<_> = uids.iter().map_while(|uid| take("greedy", uid, MAX_CHECK_IN_BYTES)).collect();
        let small: Vec<_> = (0..32).flat_map(|_| &uids).map_while(|uid| take("greedy", uid, SMALL)).collect();
        assert_eq!((large.len(), small.len()), (2, 128), "half of what there is");
        assert!(
            take("modest", "run", MAX_CHECK_IN_BYTES).is_some() && take("modest", "run", SMALL).is_some()
        );
    }

    #[test]
    fn pods_of_runs_that_nobody_knows_share_what_one_run_has() {
        let room = Room::default();
        let take = |namespace| {
            room.take(Owner { namespace, run_uid: None }, MAX_CHECK_IN_BYTES).now_or_never().flatten()
        };
        let one = take("a");
        assert!(one.is_some() && take("b").is_none());
        let known = Owner { namespace: "b", run_uid: Some("b") };
        assert!(room.take(known, MAX_CHECK_IN_BYTES).now_or_never().flatten().is_some());
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
