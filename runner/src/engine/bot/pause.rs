//! What lies between two passes of a bot. Pure.

use botarmy_spec::load::Between;
use botarmy_tree::draw::Draw;
use std::time::{Duration, Instant};

/// Until when a bot pauses that began at `begun` and has made so many passes; none if it goes on at
/// once.
pub(super) fn until(
    between: Between,
    begun: Instant,
    passes: u64,
    draw: impl FnOnce() -> Draw,
) -> Option<Instant> {
    match between {
        Between::Nothing => None,
        // A pass that took too long moves none of the later ones.
        Between::Pace(pace) => {
            let passes = u32::try_from(passes).unwrap_or(u32::MAX);
            Some(begun + pace.saturating_mul(passes)).filter(|next| *next > Instant::now())
        }
        Between::Even(from, to) => {
            let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            Some(Instant::now() + Duration::from_nanos(draw().between(nanos(from), nanos(to))))
        }
        Between::Exponential { mean, max } => {
            // The logarithm of a number above 0 and up to 1.
            let times = -(1.0 - draw().unit()).ln();
            let time = Duration::try_from_secs_f64(mean.as_secs_f64() * times).unwrap_or(max);
            Some(Instant::now() + time.min(max))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the pauses are, in seconds, after 1, 2, … passes that took no time.
    fn pauses(between: Between, passes: u32) -> Vec<f64> {
        let pause = |n: u32| {
            let now = Instant::now();
            let until = until(between, now, u64::from(n), || Draw::new(1, 1, 1, n));
            until.map_or(0.0, |until| (until - now).as_secs_f64())
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
        let begun = Instant::now().checked_sub(Duration::from_secs(10)).expect("a machine that is up");
        let draw = || Draw::new(1, 1, 1, 1);
        assert_eq!(until(Between::Pace(Duration::from_secs(2)), begun, 3, draw), None);
        let next = until(Between::Pace(Duration::from_secs(2)), begun, 6, draw);
        assert_eq!(next, Some(begun + Duration::from_secs(12)));
    }
}
