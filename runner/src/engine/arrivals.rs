//! When the bots of an open model begin: every arrival of the army has its time, whatever the target
//! does, and belongs to one worker of one runner. Pure.

use super::share::Share;
use botarmy_spec::load::Open;
use botarmy_spec::profile::Profile;
use botarmy_spec::types::Spacing;
use botarmy_tree::draw::Draw;
use std::time::Duration;

/// The arrivals of one worker, in order: their numbers over the whole army, from 0, and their times
/// since the start.
#[derive(Debug)]
pub(super) struct Arrivals {
    open: Open,
    /// The worker among all workers of all runners; arrival k is that of worker k modulo their number.
    share: Share,
    next: u64,
    /// What has been summed up until `next`, for arrivals that are independent: each worker draws
    /// those of the others too, so that all agree.
    sum: f64,
    drawn: u64,
    draw: Draw,
}

impl Arrivals {
    /// `worker` of this runner's `workers`; all runners have as many.
    pub(super) fn new(open: Open, runner: Share, worker: Share, draw: Draw) -> Self {
        let index = runner.index + runner.of * worker.index;
        let share = Share { index, of: runner.of * worker.of };
        Self { open, share, next: u64::from(index), sum: 0.0, drawn: 0, draw }
    }

    /// Takes other rates: arrivals that are to come have the times that these give them.
    pub(super) fn set_rate(&mut self, rate: Profile) {
        self.open.rate = rate;
    }

    /// The number of the next arrival.
    pub(super) fn number(&self) -> u64 {
        self.next
    }

    /// The next arrival and its time; none when no more will come.
    pub(super) fn peek(&mut self) -> Option<(u64, Duration)> {
        let sum = self.sum_of(self.next);
        self.open.rate.time_of(sum).map(|time| (self.next, time))
    }

    /// Passes over all that are to come of so many arrivals until a time, and tells how many those were.
    pub(super) fn skip_until(&mut self, iterations: u64, time: Duration) -> u64 {
        let of = u64::from(self.share.of);
        if self.open.spacing == Spacing::Even {
            let end = whole_above(self.open.rate.sum_until(time)).min(iterations);
            let count = end.saturating_sub(self.next).div_ceil(of);
            self.next += count * of;
            return count;
        }
        let mut count = 0;
        while self.peek().is_some_and(|(arrival, at)| arrival < iterations && at < time) {
            self.next += of;
            count += 1;
        }
        count
    }

    fn sum_of(&mut self, arrival: u64) -> f64 {
        match self.open.spacing {
            Spacing::Even => arrival as f64,
            Spacing::Poisson => {
                while self.drawn <= arrival {
                    // The distance between two is exponential: -ln of a number above 0 and up to 1.
                    self.sum -= (1.0 - self.draw.unit()).ln();
                    self.drawn += 1;
                }
                self.sum
            }
        }
    }
}

/// The least whole number that is not below a sum: so many arrivals come before the sum is reached.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
fn whole_above(sum: f64) -> u64 {
    sum.ceil() as u64
}

impl Iterator for Arrivals {
    type Item = (u64, Duration);

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.peek();
        self.next += u64::from(self.share.of);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_all(open: &Open, runners: u32, workers: u32, until: Duration) -> Vec<(u64, Duration)> {
        let mut all = Vec::new();
        for runner in 0..runners {
            for worker in 0..workers {
                let (runner, worker) =
                    (Share { index: runner, of: runners }, Share { index: worker, of: workers });
                let arrivals = Arrivals::new(open.clone(), runner, worker, Draw::new(7, 0, 0, 0));
                all.extend(arrivals.take_while(|(_, time)| *time < until));
            }
        }
        all.sort_unstable();
        all
    }

    fn open(spacing: Spacing) -> Open {
        let ramps = [(10, 100.0), (5, 100.0), (10, 20.0), (5, 0.0)];
        let rate = Profile::ramps(ramps.map(|(s, rate)| (Duration::from_secs(s), rate)));
        Open { rate, spacing, max_bots: 10 }
    }

    #[test]
    fn none_is_lost_or_doubled_however_they_are_split() {
        for spacing in [Spacing::Even, Spacing::Poisson] {
            let whole = of_all(&open(spacing), 1, 1, Duration::from_secs(100));
            assert!(whole.iter().map(|(k, _)| *k).eq(0..whole.len() as u64));
            assert!(whole.is_sorted_by_key(|(_, time)| *time));
            for (runners, workers) in [(1, 3), (2, 1), (3, 2), (7, 4)] {
                assert_eq!(of_all(&open(spacing), runners, workers, Duration::from_secs(100)), whole);
            }
        }
        // 500 + 500 + 600 + 50, the first at 0 and the last before the sum is reached.
        assert_eq!(of_all(&open(Spacing::Even), 2, 2, Duration::from_secs(100)).len(), 1650);
    }

    #[test]
    fn what_is_passed_over_is_what_would_have_come() {
        for spacing in [Spacing::Even, Spacing::Poisson] {
            for (iterations, seconds, skipped) in
                [(u64::MAX, 100, 0), (u64::MAX, 12, 40), (1_000, 100, 7), (3, 100, 9)]
            {
                let make = || {
                    let (runner, worker) = (Share { index: 1, of: 2 }, Share { index: 0, of: 2 });
                    let mut arrivals = Arrivals::new(open(spacing), runner, worker, Draw::new(7, 0, 0, 0));
                    assert_eq!(arrivals.by_ref().take(skipped).count(), skipped);
                    arrivals
                };
                let end = Duration::from_secs(seconds);
                let come = make().take_while(|(n, time)| *n < iterations && *time < end).count() as u64;
                let mut arrivals = make();
                assert_eq!(arrivals.skip_until(iterations, end), come, "{spacing:?} {iterations} {seconds}");
                assert_eq!(arrivals.skip_until(iterations, end), 0);
            }
        }
    }

    #[test]
    fn even_arrivals_keep_their_distance() {
        let open = Open { rate: Profile::constant(50.0), spacing: Spacing::Even, max_bots: 10 };
        let times = of_all(&open, 3, 2, Duration::from_secs(10));
        assert_eq!(times.len(), 500);
        for pair in times.windows(2) {
            let distance = pair[1].1.abs_diff(pair[0].1).as_nanos();
            assert!((19_999_990..=20_000_010).contains(&distance), "{distance}");
        }
    }

    #[test]
    fn independent_arrivals_are_a_poisson_process() {
        let open = Open { rate: Profile::constant(1000.0), spacing: Spacing::Poisson, max_bots: 10 };
        let times = of_all(&open, 2, 2, Duration::from_secs(100));
        // In each tenth of a second 100 on average, with a variance of the same size.
        let mut counts = vec![0.0_f64; 1000];
        for (_, time) in &times {
            counts[usize::try_from(time.as_millis() / 100).expect("small")] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 999.0;
        assert!((mean - 100.0).abs() < 2.0, "{mean}");
        assert!((variance / mean - 1.0).abs() < 0.15, "{variance} of {mean}");
    }
}
