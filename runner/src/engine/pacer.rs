//! A cap on a rate: turns at equal distances, none of them given twice.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Gives turns. It is the generic cell rate algorithm (ITU-T I.371) without a burst.
#[derive(Debug)]
pub(super) struct Pacer {
    distance: Duration,
    next: Cell<Option<Instant>>,
}

impl Pacer {
    /// So many turns a second; above zero.
    pub(super) fn new(rate: f64) -> Self {
        let distance = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX);
        Self { distance, next: Cell::new(None) }
    }

    /// Takes the next turn; it is not before now.
    pub(super) fn turn(&self, now: Instant) -> Instant {
        let turn = self.next.get().map_or(now, |next| next.max(now));
        // One that lies beyond all time is waited for until the run ends.
        self.next.set(Some(turn.checked_add(self.distance).unwrap_or(turn)));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_their_distance_and_are_not_saved_up() {
        let (pacer, start) = (Pacer::new(100.0), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(pacer.turn(start), start);
        assert_eq!(pacer.turn(start), at(10));
        assert_eq!(pacer.turn(at(5)), at(20));
        assert_eq!(pacer.turn(at(100)), at(100), "what was not taken is gone");
        assert_eq!(pacer.turn(at(100)), at(110));
    }
}
