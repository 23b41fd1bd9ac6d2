//! What lies between two passes of a bot. Pure.

use botarmy_spec::load::Between;
use botarmy_tree::draw::Draw;
use std::time::Duration;

/// How long a bot pauses that began so long ago and has made so many passes; none if it goes on at once.
pub(super) fn time(
    between: Between,
    since_begin: Duration,
    passes: u64,
    draw: impl FnOnce() -> Draw,
) -> Option<Duration> {
    match between {
        Between::Nothing => None,
        // A pass that took too long moves none of the later ones.
        Between::Pace(pace) => {
            let passes = u32::try_from(passes).unwrap_or(u32::MAX);
            pace.saturating_mul(passes).checked_sub(since_begin).filter(|time| !time.is_zero())
        }
        Between::Even(from, to) if from == to => Some(from),
        Between::Even(from, to) => {
            let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            Some(Duration::from_nanos(draw().between(nanos(from), nanos(to))))
        }
        Between::Exponential { mean, max } => {
            // The logarithm of a number above 0 and up to 1.
            let times = -(1.0 - draw().unit()).ln();
            Some(Duration::try_from_secs_f64(mean.as_secs_f64() * times).unwrap_or(max).min(max))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the pauses are, in seconds, after 1, 2, … passes that took no time.
    fn pauses(between: Between, passes: u32) -> Vec<f64> {
        let pause = |n: u32| {
            let time = time(between, Duration::ZERO, u64::from(n), || Draw::new(1, 1, 1, n));
            time.map_or(0.0, |time| time.as_secs_f64())
        };
        (1..=passes).map(pause).collect()
    }

    #[test]
    fn pauses_are_drawn_as_they_are_meant() {
        let ms = Duration::from_millis;
        assert_eq!(pauses(Between::Nothing, 3), [0.0; 3]);
        let even = pauses(Between::Even(ms(1000), ms(3000)), 10_000);
        let mean = even.iter().sum::<f64>() / 10_000.0;
        assert!(even.iter().all(|p| (1.0..3.001).contains(p)) && (mean - 2.0).abs() < 0.03, "{mean}");
        let drawn = pauses(Between::Exponential { mean: ms(2000), max: ms(20_000) }, 10_000);
        let mean = drawn.iter().sum::<f64>() / 10_000.0;
        let above = drawn.iter().filter(|p| **p > 2.0).count();
        // Of an exponential distribution 1/e lies above the mean.
        assert!((mean - 2.0).abs() < 0.1 && (3_500..3_860).contains(&above), "{mean} {above}");
        assert!(drawn.iter().all(|p| *p <= 20.001));
    }

    #[test]
    fn a_pace_makes_up_for_what_took_too_long() {
        let (ten, draw) = (Duration::from_secs(10), || Draw::new(1, 1, 1, 1));
        let pace = Between::Pace(Duration::from_secs(2));
        assert_eq!(time(pace, ten, 3, draw), None);
        assert_eq!(time(pace, ten, 5, draw), None, "the next one is due now");
        assert_eq!(time(pace, ten, 6, draw), Some(Duration::from_secs(2)));
    }
}
