//! What was counted lately, out of sums that only grow.

use botarmy_report::{Series, Totals};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back it goes, if there was a look then; else to the last look before.
const SPAN: Duration = Duration::from_secs(5);

/// Some counts of measured actions and of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) requests: u64,
    /// Measured actions that ended by themselves.
    pub(super) actions: u64,
    /// Those of them that failed.
    pub(super) failures: u64,
}

impl Counts {
    /// Without a look at any histogram.
    pub(super) fn of(totals: &Totals) -> Self {
        let rows = totals.rows.values().filter(|row| row.measured);
        let series = rows.flat_map(|row| row.stages.values().chain([&row.series]));
        let add = |sum: Self, series: &Series| Self {
            actions: sum.actions.saturating_add(series.measured_count()),
            failures: sum.failures.saturating_add(series.failure_count()),
            ..sum
        };
        series.fold(Self { requests: totals.requests, ..Self::default() }, add)
    }

    fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            actions: self.actions.saturating_sub(before.actions),
            failures: self.failures.saturating_sub(before.failures),
        }
    }
}

/// The sums of the last seconds.
#[derive(Debug)]
pub(super) struct Recent {
    looks: VecDeque<(Instant, Counts)>,
}

impl Recent {
    pub(super) fn since(started: Instant) -> Self {
        Self { looks: VecDeque::from([(started, Counts::default())]) }
    }

    /// Takes the sums of now, and tells what was counted over the last seconds and how long these were.
    pub(super) fn take(&mut self, now: Instant, sums: Counts) -> (Counts, Duration) {
        let is_old = |look: Option<&(Instant, Counts)>| {
            look.is_some_and(|(at, _)| now.saturating_duration_since(*at) >= SPAN)
        };
        while is_old(self.looks.get(1)) {
            self.looks.pop_front();
        }
        let (then, before) = *self.looks.front().unwrap_or(&(now, sums));
        self.looks.push_back((now, sums));
        (sums.since(before), now.saturating_duration_since(then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_report::{Outcome, Recorder, RowInfo};

    #[test]
    fn measured_actions_are_counted_over_all_stages() {
        let row = |name: &str, measured| RowInfo {
            name: name.into(),
            base: name.into(),
            measured,
            ..RowInfo::default()
        };
        let mut recorder = Recorder::new(vec![row("GET /", true), row("wait", false)].into(), 1_000_000);
        for row in [0, 0, 1] {
            recorder.record(row, Outcome::Succeed, 5);
        }
        recorder.record(0, Outcome::Error, 5);
        recorder.record(0, Outcome::Cancelled, 5);
        recorder.count_request();
        let mut totals = recorder.drain();
        let row = totals.rows.get_mut("GET /").expect("a row");
        row.stages.insert(1, row.series.clone());
        assert_eq!(Counts::of(&totals), Counts { requests: 1, actions: 6, failures: 2 });
    }

    #[test]
    fn only_the_last_seconds_count() {
        let started = Instant::now();
        let mut recent = Recent::since(started);
        let mut take = |seconds: u64, requests| {
            let (counts, over) =
                recent.take(started + Duration::from_secs(seconds), Counts { requests, ..Counts::default() });
            (counts.requests, over.as_secs())
        };
        assert_eq!(take(0, 0), (0, 0));
        assert_eq!(take(1, 10), (10, 1));
        assert_eq!(take(4, 40), (40, 4));
        assert_eq!(take(5, 100), (100, 5));
        assert_eq!(take(6, 110), (100, 5), "since second 1");
        assert_eq!(take(12, 170), (60, 6), "the last look that is 5 seconds old");
        assert_eq!(take(60, 170), (0, 48), "the last look before");
        assert_eq!(take(60, 0), (0, 48), "sums never shrink; if they did, it would be nothing");
    }
}
