//! What one worker thread owns: counting without locks, handed over by draining.

use crate::details::Details;
use crate::observed::Observed;
use crate::outcome::Outcome;
use crate::series::Series;
use crate::totals::{MAX_STAGES, OTHER, Row, RowInfo, Totals};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;
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
    /// The stage that `series` belongs to, if the scenario has stages.
    stage: Option<u16>,
    /// What came of earlier stages since the last drain.
    past: BTreeMap<u16, Series>,
    details: Details,
}

impl Counted {
    fn new(highest_us: u64) -> Self {
        let (series, past, details) = (Series::new(highest_us), BTreeMap::new(), Details::default());
        Self { series, stage: None, past, details }
    }

    fn enter_stage(&mut self, stage: u16) {
        let fresh = Series::new(self.series.highest());
        if let Some(before) = self.stage.replace(stage)
            && !self.series.is_empty()
        {
            self.past.entry(before).or_default().absorb(&mem::replace(&mut self.series, fresh));
        }
    }

    /// Hands over what is counted, as a row; none if nothing is.
    fn take(&mut self, base: &str, measured: bool) -> Option<Row> {
        if self.series.is_empty() && self.past.is_empty() {
            return None;
        }
        let fresh = Self { stage: self.stage, ..Self::new(self.series.highest()) };
        let Self { series, stage, past: mut stages, details } = mem::replace(self, fresh);
        let mut row = Row::new(base, measured, Series::new(series.highest()));
        match stage {
            None => row.series = series,
            Some(_) if series.is_empty() => {}
            Some(stage) => stages.entry(stage).or_default().absorb(&series),
        }
        Some(Row { stages, details, ..row })
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

    /// Counts an execution of `row` that was cut off after `us` microseconds; see [`Series::record_cut_off`].
    pub fn record_cut_off(&mut self, row: usize, us: u64) {
        self.counted(row).series.record_cut_off(us);
    }

    #[inline]
    fn counted(&mut self, row: usize) -> &mut Counted {
        self.counted.get_mut(row).unwrap_or(&mut self.stray)
    }

    /// From now on what is recorded in these rows belongs to a stage, by its number.
    pub fn enter_stage(&mut self, rows: Range<usize>, stage: u16) {
        let last = u16::try_from(MAX_STAGES - 1).unwrap_or(u16::MAX);
        for counted in self.counted.get_mut(rows).into_iter().flatten() {
            counted.enter_stage(stage.min(last));
        }
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

    /// Counts arrivals for which no bot was started.
    #[inline]
    pub fn dropped(&mut self, count: u64) {
        self.counters.dropped = self.counters.dropped.saturating_add(count);
    }

    /// What was counted since the last drain, with the rows where anything was; counting starts anew.
    pub fn drain(&mut self) -> Totals {
        let mut totals = mem::take(&mut self.counters);
        for (info, counted) in self.rows.iter().zip(&mut self.counted) {
            if let Some(row) = counted.take(&info.base, info.measured) {
                totals.absorb_row(&info.key(), Cow::Owned(row));
            }
        }
        if let Some(row) = self.stray.take(OTHER, true) {
            totals.absorb_row(OTHER, Cow::Owned(row));
        }
        totals
    }
}

/// One description for each name, so that every drain describes a row alike, whichever of its
/// actions ran.
fn settle(rows: Arc<[RowInfo]>) -> Arc<[RowInfo]> {
    let mut by_key: BTreeMap<Cow<'_, str>, (bool, &str)> = BTreeMap::new();
    for row in rows.iter() {
        let (measured, base) = by_key.entry(row.key()).or_insert((row.measured, &row.base));
        *measured |= row.measured;
        *base = (*base).min(&row.base);
    }
    if by_key.len() == rows.len() {
        return rows;
    }
    let settled = rows.iter().map(|row| {
        let (measured, base) = by_key.get(&row.key()).copied().unwrap_or((row.measured, &row.base));
        RowInfo { base: base.to_owned(), measured, ..row.clone() }
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
            ..RowInfo::default()
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
    fn stages_are_kept_apart_and_details_are_not() {
        let mut recorder = recorder(&[("a", "a", true), ("b", "b", true)]);
        recorder.record(0, Outcome::Succeed, 1);
        recorder.enter_stage(0..1, 0);
        recorder.record(0, Outcome::Succeed, 2);
        recorder.record(1, Outcome::Succeed, 3);
        recorder.enter_stage(0..1, 1);
        recorder.record(0, Outcome::Fail, 4);
        recorder.enter_stage(0..1, 0);
        recorder.record(0, Outcome::Fail, 5);
        let totals = recorder.drain();
        let a = &totals.rows["a"];
        let counts = |stage: u16| a.stages[&stage].measured_count();
        // What came before the first stage belongs to it: the stage is told a moment after the start.
        assert_eq!((a.series.measured_count(), counts(0), counts(1)), (0, 3, 1));
        assert_eq!(a.whole().measured_count(), 4);
        assert_eq!((totals.rows["b"].stages.len(), totals.total().measured_count()), (0, 5));
        recorder.record(0, Outcome::Succeed, 6);
        assert_eq!(recorder.drain().rows["a"].stages.keys().collect::<Vec<_>>(), [&0]);
        let text = serde_json::to_string(&totals).unwrap();
        assert_eq!(serde_json::from_str::<Totals>(&text).unwrap(), totals);
        recorder.enter_stage(0..9, 7);
        recorder.enter_stage(0..1, u16::MAX);
        recorder.record(0, Outcome::Succeed, 6);
        assert_eq!(recorder.drain().rows["a"].stages.keys().collect::<Vec<_>>(), [&99]);
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
