//! How the generator itself did: whether the figures are about the target, or about the machine that asked.

use crate::histogram::{DEFAULT_HIGHEST_US, Histogram, MergeError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A worker that gets to a timer later than this has more to do than it can.
pub const LATE: Duration = Duration::from_millis(10);
/// Of the looks at a worker in one second, the percentage that may be late.
const MOST_LATE_PERCENT: u64 = 10;
/// Of the processors' time, the percentage from which on nothing is left for being in time.
const FULL_PERCENT: u64 = 90;
/// Of a second, the percentage that a limit of the cgroup may take away.
const MOST_THROTTLED_PERCENT: u64 = 1;
/// Of all seconds, the percentage that may be saturated before the figures are suspect, and the number.
const MOST_SATURATED_PERCENT: u64 = 5;
const MOST_SATURATED: u64 = 1;

/// What was seen of the generator. Everything is a sum, so that the parts of a run add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How much later than due the workers got to their timers, in microseconds.
    pub lag: Histogram,
    /// Seconds that were looked at, of all runners together.
    pub seconds: u64,
    /// Those of them in which the generator could not keep up.
    pub saturated: u64,
    /// Processor time that was taken, in microseconds.
    pub cpu_us: u64,
    /// Processor time that there was: that of a processor for each worker.
    pub capacity_us: u64,
    /// Time for which a limit of the cgroup stopped the process, in microseconds.
    pub throttled_us: u64,
}

impl Health {
    /// What was seen in one stretch of time of one runner, about a second.
    pub fn of_second(
        lag: Histogram,
        cpu: Duration,
        capacity: Duration,
        throttled: Duration,
        took: Duration,
    ) -> Self {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let late_us = us(LATE);
        let late: u64 = lag.counts_by_value().filter(|(value, _)| *value > late_us).map(|(_, n)| n).sum();
        let exceeds =
            |part: u64, whole: u64, percent: u64| part.saturating_mul(100) > whole.saturating_mul(percent);
        let saturated = exceeds(late, lag.count(), MOST_LATE_PERCENT)
            || exceeds(us(cpu), us(capacity), FULL_PERCENT)
            || exceeds(us(throttled), us(took), MOST_THROTTLED_PERCENT);
        Self {
            lag,
            seconds: 1,
            saturated: u64::from(saturated),
            cpu_us: us(cpu),
            capacity_us: us(capacity),
            throttled_us: us(throttled),
        }
    }

    /// No lag seen yet, in the range that all lags are counted in.
    pub fn no_lag() -> Histogram {
        Histogram::new(DEFAULT_HIGHEST_US)
    }

    /// Whether nothing is known. Whoever tells of no time and yet of lag is taken at his word, whatever it means: what is
    /// empty is not written down.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the figures are suspect.
    pub fn is_saturated(&self) -> bool {
        self.saturated > MOST_SATURATED
            && self.saturated.saturating_mul(100) > self.seconds.saturating_mul(MOST_SATURATED_PERCENT)
    }

    /// Whether all of them can be added to the first.
    pub(crate) fn check<'h>(mut all: impl Iterator<Item = &'h Self>) -> Result<(), MergeError> {
        let Some(own) = all.next() else { return Ok(()) };
        let mut count = own.lag.count();
        for other in all.filter(|other| !other.is_empty()) {
            if other.lag.highest() != own.lag.highest() {
                return Err(MergeError::RangeMismatch { own: own.lag.highest(), other: other.lag.highest() });
            }
            let more = count.checked_add(other.lag.count());
            count = more.ok_or(MergeError::CountOverflow { counter: "samples" })?;
        }
        Ok(())
    }

    /// Adds what has been checked.
    pub(crate) fn absorb(&mut self, other: &Self) {
        // An error is told by the check that comes before.
        let _ = self.lag.merge(&other.lag);
        let Self { lag: _, seconds, saturated, cpu_us, capacity_us, throttled_us } = other;
        for (sum, part) in [
            (&mut self.seconds, seconds),
            (&mut self.saturated, saturated),
            (&mut self.cpu_us, cpu_us),
            (&mut self.capacity_us, capacity_us),
            (&mut self.throttled_us, throttled_us),
        ] {
            *sum = sum.saturating_add(*part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(late: u64, cpu_percent: u64, throttled_ms: u64) -> Health {
        let mut lag = Health::no_lag();
        lag.record_n(500, 20 - late);
        lag.record_n(30_000, late);
        let ms = Duration::from_millis;
        Health::of_second(lag, ms(cpu_percent * 20), ms(2000), ms(throttled_ms), ms(1000))
    }

    #[test]
    fn a_second_is_saturated_for_each_of_its_reasons() {
        for (late, cpu, throttled, saturated) in
            [(0, 50, 0, 0), (2, 90, 10, 0), (3, 50, 0, 1), (0, 91, 0, 1), (0, 50, 11, 1)]
        {
            assert_eq!(second(late, cpu, throttled).saturated, saturated, "{late} {cpu} {throttled}");
        }
    }

    #[test]
    fn a_run_is_suspect_when_more_than_a_moment_of_it_was_saturated() {
        let run = |good: usize, bad: usize| {
            let mut sum = Health::default();
            let seconds =
                std::iter::repeat_n(second(0, 50, 0), good).chain(std::iter::repeat_n(second(9, 99, 0), bad));
            seconds.for_each(|s| sum.absorb(&s));
            sum
        };
        assert!(!run(10, 1).is_saturated(), "one second may be anybody's");
        assert!(run(10, 2).is_saturated());
        assert!(!run(100, 5).is_saturated());
        assert!(run(100, 6).is_saturated());
        let sum = run(1, 2);
        assert_eq!(
            (sum.seconds, sum.saturated, sum.lag.count(), sum.cpu_us),
            (3, 2, 60, 1_000_000 + 2 * 1_980_000)
        );
    }
}
