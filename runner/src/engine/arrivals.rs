//! When the bots of an open model begin: every arrival of the army has its time, whatever the target
//! does, and belongs to one worker of one runner. Pure.

use super::losses::Deal;
use super::share::Share;
use botarmy_spec::load::Open;
use botarmy_spec::profile::Profile;
use botarmy_spec::types::Spacing;
use botarmy_tree::draw::Draw;
use std::time::Duration;

/// More arrivals than any run has.
const MOST_DRAWN: u64 = 1 << 40;

/// The arrivals of one worker, in order: their numbers over the whole army, from 0, and their times
/// since the start.
#[derive(Debug)]
pub(super) struct Arrivals {
    open: Open,
    runner: Share,
    /// The worker among those of its runner, which has its arrivals in turn.
    worker: Share,
    /// The next one of the worker's own.
    next: u64,
    deal: Deal,
    /// What was taken over of runners that were lost.
    lots: Vec<Lot>,
    /// What has been summed up until the next one, for arrivals that are independent: each worker draws
    /// those of the others too, so that all agree.
    sums: Sums,
    first_sums: Sums,
}

/// Arrivals that have come to this runner by one loss, and were those of one runner at first.
#[derive(Debug, Clone, Copy)]
struct Lot {
    loss: usize,
    next: u64,
}

/// What independent arrivals are apart, summed up.
#[derive(Debug, Clone)]
struct Sums {
    sum: f64,
    drawn: u64,
    draw: Draw,
}

impl Sums {
    /// Of an arrival that is not before the last one that was asked for.
    fn of(&mut self, arrival: u64) -> f64 {
        while self.drawn <= arrival {
            // The distance between two is exponential: -ln of a number above 0 and up to 1.
            self.sum -= (1.0 - self.draw.unit()).ln();
            self.drawn += 1;
        }
        self.sum
    }
}

impl Arrivals {
    /// `worker` of this runner's workers; all runners have as many.
    pub(super) fn new(open: Open, runner: Share, worker: Share, draw: Draw) -> Self {
        let next = u64::from(runner.index + runner.of * worker.index);
        let sums = Sums { sum: 0.0, drawn: 0, draw };
        let (deal, lots, first_sums) = (Deal::among(runner.of), Vec::new(), sums.clone());
        Self { open, runner, worker, next, deal, lots, sums, first_sums }
    }

    /// Takes over what is its of runners that were lost, each from a time on; all of them, those included of which it
    /// knows already. What should have come before it hears of it comes at once.
    pub(super) fn take_over(&mut self, lost: &[(u32, Duration)]) {
        let known = self.deal.losses();
        for (index, time) in lost.iter().skip(known) {
            let from = self.count_until(*time);
            self.deal.lose(*index, from);
        }
        for loss in known..self.deal.losses() {
            let (classes, from) = self.deal.lost_by(loss);
            let of = u64::from(self.runner.of);
            for class in classes {
                let first = from + (u64::from(class) + of - from % of) % of;
                let next = self.seek(loss, first);
                self.lots.push(Lot { loss, next });
            }
        }
        self.sums = self.first_sums.clone();
    }

    /// The first one of a lot from an arrival on, which is one of its runner at first.
    fn seek(&self, loss: usize, mut arrival: u64) -> u64 {
        loop {
            let place = self.deal.place(arrival);
            let is_mine = place.runner == self.runner.index && place.by == Some(loss);
            if is_mine && place.position % u64::from(self.worker.of) == u64::from(self.worker.index) {
                return arrival;
            }
            let Some(next) = arrival.checked_add(u64::from(self.runner.of)) else { return u64::MAX };
            arrival = next;
        }
    }

    /// How many come before a time, over the whole army.
    fn count_until(&self, time: Duration) -> u64 {
        if self.open.spacing == Spacing::Even {
            return self.open.rate.count_before(time);
        }
        let end = self.open.rate.sum_until(time);
        let mut sums = self.first_sums.clone();
        (0..MOST_DRAWN).find(|arrival| sums.of(*arrival) >= end).unwrap_or(MOST_DRAWN)
    }

    /// Passes over the next one.
    fn advance(&mut self) {
        let number = self.number();
        if self.next == number {
            self.next += u64::from(self.runner.of) * u64::from(self.worker.of);
            return;
        }
        let Some(first) = self.lots.iter().position(|lot| lot.next == number) else { return };
        let Lot { loss, next } = self.lots[first];
        self.lots[first].next = self.seek(loss, next.saturating_add(u64::from(self.runner.of)));
    }

    /// Takes other rates: arrivals that are to come have the times that these give them.
    pub(super) fn set_rate(&mut self, rate: Profile) {
        self.open.rate = rate;
    }

    /// The number of the next arrival.
    pub(super) fn number(&self) -> u64 {
        self.lots.iter().map(|lot| lot.next).fold(self.next, u64::min)
    }

    /// The next arrival and its time; none when no more will come.
    pub(super) fn peek(&mut self) -> Option<(u64, Duration)> {
        let number = self.number();
        let sum = match self.open.spacing {
            Spacing::Even => number as f64,
            Spacing::Poisson => self.sums.of(number),
        };
        self.open.rate.time_of(sum).map(|time| (number, time))
    }

    /// Passes over all that are to come of so many arrivals until a time, and tells how many those were.
    pub(super) fn skip_until(&mut self, iterations: u64, time: Duration) -> u64 {
        if self.open.spacing == Spacing::Even && self.lots.is_empty() {
            let of = u64::from(self.runner.of) * u64::from(self.worker.of);
            let end = self.open.rate.count_before(time).min(iterations);
            let count = end.saturating_sub(self.next).div_ceil(of);
            self.next += count * of;
            return count;
        }
        let mut count = 0;
        while self.peek().is_some_and(|(arrival, at)| arrival < iterations && at < time) {
            self.advance();
            count += 1;
        }
        count
    }
}

impl Iterator for Arrivals {
    type Item = (u64, Duration);

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.peek();
        self.advance();
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
    fn a_rounding_brings_nobody() {
        let rate = 31.0 / 60.0;
        let ramps = [(30, rate), (30, rate), (30, 0.0)].map(|(s, rate)| (Duration::from_secs(s), rate));
        for rate in [Profile::constant(rate), Profile::ramps(ramps)] {
            let open = Open { rate, spacing: Spacing::Even, max_bots: 10 };
            let until = if open.rate.is_constant() { 60 } else { 90 };
            for until in [Duration::from_secs(until), Duration::new(until - 1, 999_999_999)] {
                assert_eq!(of_all(&open, 2, 1, until).len(), 31);
                let mut all = Arrivals::new(open.clone(), Share::WHOLE, Share::WHOLE, Draw::new(7, 0, 0, 0));
                assert_eq!((all.count_until(until), all.skip_until(u64::MAX, until)), (31, 31));
            }
        }
    }

    /// What becomes of the arrivals of an army whose runners are lost at these times; each hears of a loss when it has let
    /// in what comes until a time that differs.
    fn with_losses(spacing: Spacing, losses: &[(u32, Duration)], until: Duration) -> Vec<(u64, Duration)> {
        let (runners, workers) = (4, 2);
        let mut all = Vec::new();
        for (runner, worker) in (0..runners).flat_map(|r| (0..workers).map(move |w| (r, w))) {
            let (share, worker) =
                (Share { index: runner, of: runners }, Share { index: worker, of: workers });
            let mut arrivals = Arrivals::new(open(spacing), share, worker, Draw::new(7, 0, 0, 0));
            let mut let_in = |arrivals: &mut Arrivals, until: Duration| {
                while arrivals.peek().is_some_and(|(_, time)| time < until) {
                    all.extend(arrivals.next());
                }
            };
            let lost = losses.iter().position(|(index, _)| *index == runner);
            for (n, (_, at)) in losses.iter().enumerate().take(lost.unwrap_or(losses.len())) {
                // Before it is due, or after that.
                let hears =
                    (*at + Duration::from_secs(1)).saturating_sub(Duration::from_millis(500) * runner);
                let_in(&mut arrivals, hears);
                arrivals.take_over(&losses[..=n]);
            }
            // What the lost one has let in after its loss is not seen by anybody.
            let_in(&mut arrivals, lost.map_or(until, |lost| losses[lost].1));
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn what_a_lost_runner_leaves_is_let_in_once() {
        let until = Duration::from_secs(100);
        let at = |seconds: u64| Duration::from_secs(seconds);
        for spacing in [Spacing::Even, Spacing::Poisson] {
            let whole = of_all(&open(spacing), 1, 1, until);
            for losses in [
                vec![(1, at(0))],
                vec![(3, at(5))],
                vec![(0, at(5)), (2, at(12))],
                vec![(2, at(3)), (1, at(8)), (0, at(20))],
                // At the same time, as when a node goes.
                vec![(2, at(9)), (3, at(9))],
            ] {
                let all = with_losses(spacing, &losses, until);
                assert!(all == whole, "{spacing:?} {losses:?}: {} of {}", all.len(), whole.len());
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
