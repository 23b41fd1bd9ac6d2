//! A cap on a rate: turns at equal distances, none of them given twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Gives turns to all workers of a runner. It is the generic cell rate algorithm (ITU-T I.371) without a
/// burst.
#[derive(Debug)]
pub(super) struct Pacer {
    /// What times are counted from.
    base: Instant,
    /// In nanoseconds.
    distance: AtomicU64,
    /// The next turn, in nanoseconds since the base.
    next: AtomicU64,
    /// Turns before that one which were given back: never more than were waited for at once.
    returned: Mutex<BinaryHeap<Reverse<u64>>>,
    /// Whether there are any, so that nobody takes the lock for nothing.
    has_returned: AtomicBool,
}

impl Pacer {
    /// So many turns a second; above zero.
    pub(super) fn new(rate: f64, base: Instant) -> Self {
        let (distance, next) = (AtomicU64::new(distance(rate)), AtomicU64::new(0));
        Self { base, distance, next, returned: Mutex::default(), has_returned: AtomicBool::new(false) }
    }

    /// From now on so many turns a second; above zero.
    pub(super) fn set_rate(&self, rate: f64) {
        self.distance.store(distance(rate), Ordering::Relaxed);
    }

    /// Takes the next turn; it is not before now.
    pub(super) fn turn(&self, now: Instant) -> Instant {
        let now = self.nanos_at(now);
        let turn = self.take_returned(now).unwrap_or_else(|| self.take_new(now));
        // One that lies beyond all time is waited for until the run ends.
        self.base.checked_add(Duration::from_nanos(turn)).unwrap_or(self.base)
    }

    /// Gives a turn back that was waited for in vain: else whoever comes later waits for nobody. One that has passed
    /// is gone.
    pub(super) fn give_back(&self, turn: Instant, now: Instant) {
        if turn > now {
            let mut returned = self.returned();
            returned.push(Reverse(self.nanos_at(turn)));
            self.has_returned.store(true, Ordering::Relaxed);
        }
    }

    fn take_returned(&self, now: u64) -> Option<u64> {
        if !self.has_returned.load(Ordering::Relaxed) {
            return None;
        }
        let mut returned = self.returned();
        let turn = std::iter::from_fn(|| returned.pop()).map(|Reverse(turn)| turn).find(|turn| *turn >= now);
        self.has_returned.store(!returned.is_empty(), Ordering::Relaxed);
        turn
    }

    fn take_new(&self, now: u64) -> u64 {
        let distance = self.distance.load(Ordering::Relaxed);
        let after = |next: u64| next.max(now).saturating_add(distance);
        let next = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| Some(after(next)));
        next.unwrap_or_else(|next| next).max(now)
    }

    fn returned(&self) -> MutexGuard<'_, BinaryHeap<Reverse<u64>>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nanos_at(&self, moment: Instant) -> u64 {
        nanos(moment.saturating_duration_since(self.base))
    }
}

fn distance(rate: f64) -> u64 {
    nanos(Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_their_distance_and_are_not_saved_up() {
        let start = Instant::now();
        let pacer = Pacer::new(100.0, start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(pacer.turn(start), start);
        assert_eq!(pacer.turn(start), at(10));
        assert_eq!(pacer.turn(at(5)), at(20));
        assert_eq!(pacer.turn(at(100)), at(100), "what was not taken is gone");
        assert_eq!(pacer.turn(at(100)), at(110));
        pacer.set_rate(200.0);
        assert_eq!((pacer.turn(at(100)), pacer.turn(at(100))), (at(120), at(125)));
    }

    #[test]
    fn a_turn_that_was_given_back_is_the_next_ones() {
        let start = Instant::now();
        let pacer = Pacer::new(100.0, start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let turns: Vec<Instant> = (0..5).map(|_| pacer.turn(start)).collect();
        assert_eq!(turns, [0, 10, 20, 30, 40].map(at));
        pacer.give_back(at(30), at(5));
        pacer.give_back(at(10), at(5));
        assert_eq!(pacer.turn(at(6)), at(10), "the first of them");
        assert_eq!((pacer.turn(at(7)), pacer.turn(at(7))), (at(30), at(50)), "and then new ones");
        pacer.give_back(at(20), at(20));
        assert_eq!(pacer.turn(at(20)), at(60), "it has passed");
        pacer.give_back(at(40), at(30));
        assert_eq!(pacer.turn(at(45)), at(70), "it has passed since");
        // However often it is waited for in vain, the rate does not go down.
        let mut last = start;
        for _ in 0..1_000 {
            last = pacer.turn(at(45));
            pacer.give_back(last, at(45));
        }
        assert_eq!(last, at(80));
    }

    #[test]
    fn no_two_threads_have_the_same_turn() {
        let start = Instant::now();
        let pacer = Pacer::new(1e6, start);
        let take = || (0..1_000).map(|_| pacer.turn(start)).collect::<Vec<_>>();
        let mut turns = std::thread::scope(|scope| {
            let other = scope.spawn(take);
            [take(), other.join().expect("turns")].concat()
        });
        turns.sort();
        turns.dedup();
        assert_eq!(turns.len(), 2_000);
    }
}
