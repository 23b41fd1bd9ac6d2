//! From the coordinator's clock to this machine's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Of so many round trips the shortest one is believed, as NTP does it: one that took long tells little.
const ROUND_TRIPS: usize = 8;

/// When `at_ms` of the coordinator's clock is here. Its answer, made at `now_ms` of its clock, was
/// asked for at `sent` and came at `received`; it was made half way between, as near as can be
/// known (Cristian's algorithm, 1989).
fn local_instant(at_ms: u64, now_ms: u64, sent: Instant, received: Instant) -> Instant {
    let made = sent + (received - sent) / 2;
    if at_ms >= now_ms {
        made + Duration::from_millis(at_ms - now_ms)
    } else {
        made.checked_sub(Duration::from_millis(now_ms - at_ms)).unwrap_or(made)
    }
}

/// What the last round trips tell of the clock of one coordinator.
#[derive(Debug, Default)]
pub(super) struct Clock {
    epoch: u64,
    round_trips: VecDeque<RoundTrip>,
}

#[derive(Debug, Clone, Copy)]
struct RoundTrip {
    sent: Instant,
    received: Instant,
    now_ms: u64,
}

impl Clock {
    /// Takes note of an answer. The one who leads in another epoch has a clock of its own.
    pub(super) fn hear(&mut self, epoch: u64, now_ms: u64, sent: Instant, received: Instant) {
        if epoch != self.epoch {
            (self.epoch, self.round_trips) = (epoch, VecDeque::new());
        }
        if self.round_trips.len() == ROUND_TRIPS {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(RoundTrip { sent, received, now_ms });
    }

    /// When `at_ms` of the coordinator's clock is here; none if nothing was heard of it yet.
    pub(super) fn here(&self, at_ms: u64) -> Option<Instant> {
        let shortest = self.round_trips.iter().min_by_key(|trip| trip.received - trip.sent)?;
        Some(local_instant(at_ms, shortest.now_ms, shortest.sent, shortest.received))
    }

    /// How far something that happened here lies behind `at_ms` of the coordinator's clock, in milliseconds; less than
    /// nothing if it lies before.
    pub(super) fn late_ms(&self, at_ms: u64, happened: Instant) -> Option<i64> {
        let at = self.here(at_ms)?;
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Some(match happened.checked_duration_since(at) {
            Some(late) => ms(late),
            None => -ms(at - happened),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_placed_from_the_middle_of_the_round_trip() {
        let sent = Instant::now() + Duration::from_secs(10);
        let received = sent + Duration::from_millis(40);
        assert_eq!(local_instant(1_500, 1_000, sent, received), sent + Duration::from_millis(520));
        assert_eq!(
            local_instant(900, 1_000, sent, received),
            sent.checked_sub(Duration::from_millis(80)).unwrap()
        );
    }

    #[test]
    fn what_was_late_is_told_by_the_shortest_of_the_last_round_trips() {
        let start = Instant::now() + Duration::from_secs(10);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut clock = Clock::default();
        assert_eq!(clock.late_ms(1_000, start), None, "nothing was heard");
        // All of the delay is on the way back, so that the middle is wrong by half of it.
        clock.hear(1, 1_000, at(0), at(100));
        assert_eq!((clock.late_ms(1_500, at(500)), clock.late_ms(1_500, at(560))), (Some(-50), Some(10)));
        clock.hear(1, 1_200, at(200), at(204));
        assert_eq!((clock.late_ms(1_500, at(502)), clock.late_ms(1_500, at(500))), (Some(0), Some(-2)));
        assert_eq!(clock.here(1_500), Some(at(502)), "a start is placed by it, too");
        for second in 1..=7 {
            clock.hear(1, 1_000 + second * 1_000, at(second * 1_000), at(second * 1_000 + 50));
        }
        assert_eq!(clock.late_ms(1_500, at(502)), Some(0), "it is one of the last eight");
        clock.hear(1, 9_000, at(8_000), at(8_050));
        assert_eq!(clock.late_ms(1_500, at(502)), Some(-23));
        // Another one leads, whose clock is an hour ahead.
        clock.hear(2, 3_609_000, at(8_000), at(8_050));
        assert_eq!(clock.late_ms(3_609_000, at(8_030)), Some(5));
    }
}
