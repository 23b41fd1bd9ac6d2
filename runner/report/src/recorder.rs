//! What one worker thread owns: counting without locks, handed over by draining.

use crate::details::Details;
use crate::observed::Observed;
use crate::outcome::Outcome;
use crate::series::Series;
use crate::totals::{OTHER, Row, RowInfo, Totals};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

/// Counts what one worker thread does; nothing in it is shared with another thread but the names.
#[derive(Debug)]
pub struct Recorder {
    rows: Arc<[RowInfo]>,
    counted: Vec<Counted>,
    /// Executions of a row the plan does not have.
    stray: Counted,
    highest_us: u64,
    /// Requests, bots and iterations since the last drain; its rows stay empty.
    counters: Totals,
}

/// What is counted of a row.
#[derive(Debug, Clone)]
struct Counted {
    series: Series,
    details: Details,
}

impl Counted {
    fn new(highest_us: u64) -> Self {
        Self { series: Series::new(highest_us), details: Details::default() }
    }

    /// Hands over what is counted; none if nothing is.
    fn take(&mut self) -> Option<Self> {
        let fresh = Self::new(self.series.highest());
        (!self.series.is_empty()).then(|| mem::replace(self, fresh))
    }

    fn row(self, base: &str, measured: bool) -> Row {
        let Self { series, details } = self;
        Row { base: base.to_owned(), measured, series, details }
    }
}

impl Recorder {
    /// A recorder for the rows of a plan and latencies up to `highest_us` microseconds.
    ///
    /// Rows of the same name become one, measured if one of them is.
    pub fn new(rows: Arc<[RowInfo]>, highest_us: u64) -> Self {
        let counted = vec![Counted::new(highest_us); rows.len()];
        let (rows, stray) = (settle(rows), Counted::new(highest_us));
        Self { rows, counted, stray, highest_us, counters: Totals::default() }
    }

    /// Counts an execution of `row` (its place in the plan's rows) that took `us` microseconds. A
    /// place beyond the plan is a fault of the caller; it is counted in the row [`OTHER`], not lost.
    #[inline]
    pub fn record(&mut self, row: usize, outcome: Outcome, us: u64) {
        self.counted(row).series.record(outcome, us);
    }

    /// [`Recorder::record`] with what the execution tells about itself. It allocates only for a text
    /// of a failure that is new here.
    #[inline]
    pub fn record_observed(&mut self, row: usize, outcome: Outcome, us: u64, observed: &Observed) {
        let highest_us = self.highest_us;
        let counted = self.counted(row);
        counted.series.record(outcome, us);
        counted.details.record(observed, highest_us);
    }

    #[inline]
    fn counted(&mut self, row: usize) -> &mut Counted {
        self.counted.get_mut(row).unwrap_or(&mut self.stray)
    }

    /// Counts a request when it is sent.
    #[inline]
    pub fn count_request(&mut self) {
        self.count_requests(1);
    }

    /// Counts `n` requests.
    #[inline]
    pub fn count_requests(&mut self, n: u64) {
        self.counters.requests = self.counters.requests.saturating_add(n);
    }

    /// Counts the start of a bot.
    #[inline]
    pub fn bot_started(&mut self) {
        self.counters.bots_started = self.counters.bots_started.saturating_add(1);
    }

    /// Counts the end of an iteration.
    #[inline]
    pub fn iteration(&mut self) {
        self.counters.iterations = self.counters.iterations.saturating_add(1);
    }

    /// Counts an arrival for which no bot was started.
    #[inline]
    pub fn dropped(&mut self) {
        self.counters.dropped = self.counters.dropped.saturating_add(1);
    }

    /// What was counted since the last drain, with the rows where anything was; counting starts anew.
    pub fn drain(&mut self) -> Totals {
        let mut totals = mem::take(&mut self.counters);
        for (info, counted) in self.rows.iter().zip(&mut self.counted) {
            if let Some(counted) = counted.take() {
                totals.absorb_row(&info.name, Cow::Owned(counted.row(&info.base, info.measured)));
            }
        }
        if let Some(counted) = self.stray.take() {
            totals.absorb_row(OTHER, Cow::Owned(counted.row(OTHER, true)));
        }
        totals
    }
}

/// One description for each name, so that every drain describes a row alike, whichever of its
/// actions ran.
fn settle(rows: Arc<[RowInfo]>) -> Arc<[RowInfo]> {
    let mut by_name: BTreeMap<&str, (bool, &str)> = BTreeMap::new();
    for row in rows.iter() {
        let (measured, base) = by_name.entry(&row.name).or_insert((row.measured, &row.base));
        *measured |= row.measured;
        *base = (*base).min(&row.base);
    }
    if by_name.len() == rows.len() {
        return rows;
    }
    let settled = rows.iter().map(|row| {
        let (measured, base) = by_name.get(row.name.as_str()).copied().unwrap_or((row.measured, &row.base));
        RowInfo { name: row.name.clone(), base: base.to_owned(), measured }
    });
    settled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(rows: &[(&str, &str, bool)]) -> Recorder {
        let rows = rows.iter().map(|(name, base, measured)| RowInfo {
            name: (*name).to_owned(),
            base: (*base).to_owned(),
            measured: *measured,
        });
        Recorder::new(rows.collect(), 1_000_000)
    }

    #[test]
    fn a_drain_holds_what_came_since_the_last() {
        let mut recorder = recorder(&[("a(1)", "a", true), ("b", "b", true), ("wait(1)", "wait", false)]);
        recorder.record(0, Outcome::Succeed, 5);
        recorder.record(2, Outcome::Succeed, 1_000);
        recorder.count_request();
        recorder.count_requests(4);
        recorder.bot_started();
        recorder.iteration();
        let first = recorder.drain();
        assert_eq!((first.requests, first.bots_started, first.iterations), (5, 1, 1));
        assert_eq!(first.rows.keys().collect::<Vec<_>>(), ["a(1)", "wait(1)"]);
        assert_eq!((first.rows["a(1)"].base.as_str(), first.rows["wait(1)"].measured), ("a", false));
        assert_eq!(first.rows["a(1)"].series.highest(), 1_000_000);

        assert_eq!(recorder.drain(), Totals::default());
        recorder.record(0, Outcome::Error, 6);
        let second = recorder.drain();
        assert_eq!(second.rows["a(1)"].series.count(Outcome::Succeed), 0);
        assert_eq!(second.rows["a(1)"].series.count(Outcome::Error), 1);
    }

    #[test]
    fn rows_of_one_name_are_one_and_described_alike() {
        let mut recorder = recorder(&[("x", "wait", false), ("x", "http", true)]);
        recorder.record(0, Outcome::Succeed, 1);
        let control_only = recorder.drain();
        assert_eq!((control_only.rows["x"].base.as_str(), control_only.rows["x"].measured), ("http", true));
        recorder.record(0, Outcome::Succeed, 1);
        recorder.record(1, Outcome::Fail, 2);
        assert_eq!(recorder.drain().rows["x"].series.measured_count(), 2);
    }

    #[test]
    fn a_row_beyond_the_plan_is_counted_all_the_same() {
        let mut recorder = recorder(&[("a", "a", true)]);
        recorder.record(1, Outcome::Crash, 3);
        let totals = recorder.drain();
        assert_eq!(totals.rows[OTHER].series.count(Outcome::Crash), 1);
        assert_eq!(totals.total().measured_count(), 1);
        assert_eq!(recorder.drain(), Totals::default());
    }
}
