//! How often a run at work is looked at. Each look asks the API server some questions, and there may be hundreds of runs:
//! all looks together keep it, and those who look, at most half busy, so that what is new is never kept waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The shortest time between two looks at a run, and the longest.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Most looks in a second, however quick they are.
const MOST_LOOKS: u32 = 100;
/// What a look has taken counts for so much of the mean.
const WEIGHT: u64 = 16;

/// How long looks take, in the mean.
#[derive(Debug, Default)]
pub(in crate::controller) struct Pace {
    mean_us: AtomicU64,
}

impl Pace {
    /// A look has taken so long.
    pub(in crate::controller) fn took(&self, look: Duration) {
        let look = u64::try_from(look.as_micros()).unwrap_or(u64::MAX / WEIGHT);
        // Of two at the same time one may be left out: it is a mean.
        let mean = self.mean_us.load(Ordering::Relaxed);
        let mean = mean - mean / WEIGHT + look / WEIGHT;
        self.mean_us.store(mean, Ordering::Relaxed);
    }

    /// The time between two looks at each of so many runs, where so many are looked at together.
    pub(in crate::controller) fn every(&self, runs: usize, together: u16) -> Duration {
        every(runs, Duration::from_micros(self.mean_us.load(Ordering::Relaxed)), together)
    }
}

fn every(runs: usize, look: Duration, together: u16) -> Duration {
    let runs = u32::try_from(runs).unwrap_or(u32::MAX);
    let half = u32::from(together.max(2)) / 2;
    let busy = look.saturating_mul(runs) / half;
    let many = Duration::from_secs(1).saturating_mul(runs) / MOST_LOOKS;
    busy.max(many).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_looked_at_the_less_often_the_more_there_are_and_the_longer_it_takes() {
        let ms = Duration::from_millis;
        for (what, runs, look, expected) in [
            ("none", 0, ms(20), ms(1_000)),
            ("one", 1, ms(20), ms(1_000)),
            ("many, quick", 100, ms(20), ms(1_000)),
            ("more, quick", 500, ms(1), ms(5_000)),
            ("many, slow", 100, ms(200), ms(2_500)),
            ("one, very slow", 1, ms(16_000), ms(2_000)),
            ("more than can be", 100_000, ms(200), ms(30_000)),
            ("beyond all bounds", usize::MAX, Duration::MAX, ms(30_000)),
        ] {
            assert_eq!(every(runs, look, 16), expected, "{what}");
        }
        assert_eq!(every(10, ms(100), 0), ms(1_000), "nobody looks");
    }

    #[test]
    fn the_mean_follows_what_looks_take() {
        let pace = Pace::default();
        assert_eq!(pace.every(100, 16), SHORTEST);
        for _ in 0..200 {
            pace.took(Duration::from_millis(400));
        }
        let slow = pace.every(100, 16).as_millis();
        assert!((4_900..=5_000).contains(&slow), "{slow}");
        for _ in 0..200 {
            pace.took(Duration::from_millis(10));
        }
        assert_eq!(pace.every(100, 16), SHORTEST);
        pace.took(Duration::MAX);
        assert_eq!(pace.every(100, 16), LONGEST);
    }
}
