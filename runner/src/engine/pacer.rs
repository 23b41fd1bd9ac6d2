//! A cap on a rate: turns at equal distances, none of them given twice.

use std::sync::atomic::{AtomicU64, Ordering};
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
}

impl Pacer {
    /// So many turns a second; above zero.
    pub(super) fn new(rate: f64, base: Instant) -> Self {
        Self { base, distance: AtomicU64::new(distance(rate)), next: AtomicU64::new(0) }
    }

    /// From now on so many turns a second; above zero.
    pub(super) fn set_rate(&self, rate: f64) {
        self.distance.store(distance(rate), Ordering::Relaxed);
    }

    /// Takes the next turn; it is not before now.
    pub(super) fn turn(&self, now: Instant) -> Instant {
        let now = nanos(now.saturating_duration_since(self.base));
        let distance = self.distance.load(Ordering::Relaxed);
        let after = |next: u64| next.max(now).saturating_add(distance);
        let next = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| Some(after(next)));
        let turn = next.unwrap_or_else(|next| next).max(now);
        // One that lies beyond all time is waited for until the run ends.
        self.base.checked_add(Duration::from_nanos(turn)).unwrap_or(self.base)
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
