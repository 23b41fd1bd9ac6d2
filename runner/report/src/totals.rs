//! Everything counted over some time by some recorders, by row, and how it adds up.

mod key;
mod select;

pub use key::{GROUP_SEPARATOR, MAX_NAME_BYTES, RowKey};
pub use select::Selector;

use crate::bounded::{self, cut};
use crate::details::Details;
use crate::health::Health;
use crate::histogram::MergeError;
use crate::outcome::Outcome;
use crate::series::Series;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Most rows with names of their own; what lies beyond is summed.
pub const MAX_ROWS: usize = 1000;

/// Most stages of a scenario; what happens in a later one is counted in the last.
pub const MAX_STAGES: usize = 100;

/// The row of whole passes of the tree.
pub const ITERATION: &str = "(iteration)";

/// The row of how late bots of an arrival rate begin.
pub const LATENESS: &str = "(lateness)";

/// Sum of the measured rows beyond [`MAX_ROWS`].
pub const OTHER: &str = "(other)";

/// Sum of the rows of control leaves beyond [`MAX_ROWS`]; apart, so that [`Totals::total`] stays exact.
pub const OTHER_CONTROL: &str = "(other control)";

/// Rows that may be read: the named ones and the two sums.
const MAX_ROWS_READ: usize = MAX_ROWS + 2;

/// A row of the plan: what reports call an action.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowInfo {
    /// Name as printed, with arguments or as labelled: `Shop.buy(42, "a")`.
    pub name: String,
    /// The action without arguments, also of a row that is labelled: `Shop.buy`. [`Totals::select`] finds the row by it too.
    pub base: String,
    /// Whether it does something, as against control leaves (wait, log, set, done, …).
    pub measured: bool,
    /// The scenario it belongs to; empty when there is but one.
    #[serde(default)]
    pub scenario: String,
    /// The labels of the nodes around it, joined by [`GROUP_SEPARATOR`]; empty without labels.
    #[serde(default)]
    pub group: String,
}

impl RowInfo {
    /// The key of its row.
    pub(crate) fn key(&self) -> Cow<'_, str> {
        RowKey { name: &self.name, scenario: &self.scenario, group: &self.group }.key()
    }
}

/// What was counted for the actions of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The action without arguments, at most [`MAX_NAME_BYTES`].
    #[serde(deserialize_with = "bounded::text::<_, MAX_NAME_BYTES>")]
    pub base: String,
    /// Whether [`Totals::total`] counts it.
    pub measured: bool,
    /// Latencies by outcome, apart from those of `stages`.
    pub series: Series,
    /// Latencies by outcome in each stage of the scenario, by its number.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "bounded::map_by_number::<_, _, MAX_STAGES>"
    )]
    pub stages: BTreeMap<u16, Series>,
    /// Failures, status codes, bytes and parts of the time.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Details,
}

impl Row {
    /// A row of which nothing is known but its latencies.
    pub(crate) fn new(base: &str, measured: bool, series: Series) -> Self {
        let (base, stages, details) = (base.to_owned(), BTreeMap::new(), Details::default());
        Self { base, measured, series, stages, details }
    }

    /// Latencies by outcome over all stages.
    pub fn whole(&self) -> Series {
        let mut whole = self.series.clone();
        self.stages.values().for_each(|series| whole.absorb(series));
        whole
    }

    /// Number of executions that ended with `outcome`, over all stages.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.each_series().fold(0, |sum, series| sum.saturating_add(series.count(outcome)))
    }

    /// Number of executions that were cut off, over all stages.
    pub fn cut_off_count(&self) -> u64 {
        self.each_series().fold(0, |sum, series| sum.saturating_add(series.cut_off_count()))
    }

    /// Adds what [`Row::whole`] holds.
    pub(crate) fn add_to(&self, sum: &mut Series) {
        sum.absorb(&self.series);
        self.stages.values().for_each(|series| sum.absorb(series));
    }

    fn absorb(&mut self, other: &Self) {
        self.series.absorb(&other.series);
        self.details.absorb(&other.details);
        for (stage, series) in &other.stages {
            self.stages.entry(*stage).or_default().absorb(series);
        }
    }

    fn each_series(&self) -> impl Iterator<Item = &Series> {
        self.stages.values().chain([&self.series]).filter(|series| !series.is_empty())
    }

    /// What it takes in memory, in bytes, about.
    fn weight(&self) -> usize {
        let stages: usize = self.stages.values().map(Series::weight).sum();
        size_of::<Self>() + self.base.len() + self.series.weight() + stages + self.details.weight()
    }

    fn sample_count(&self) -> u128 {
        let samples: u128 = self.each_series().map(Series::sample_count).sum();
        samples.max(self.details.most_samples())
    }

    fn is_empty(&self) -> bool {
        self.each_series().next().is_none()
    }
}

/// Everything counted over some time by some recorders. Adding is exact, associative and
/// commutative, whatever the number of rows: of more than [`MAX_ROWS`] names the first in order
/// keep rows of their own, and the sums [`OTHER`] and [`OTHER_CONTROL`] hold the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Totals {
    /// By name, at most [`MAX_ROWS`] and the two sums.
    pub rows: BTreeMap<String, Row>,
    /// Requests sent; to be held against the target's own counter.
    pub requests: u64,
    /// Bots started.
    pub bots_started: u64,
    /// Passes of the root that ended.
    pub iterations: u64,
    /// Arrivals for which no bot was started, since as many were alive as are allowed.
    #[serde(default)]
    pub dropped: u64,
    /// How the generator itself did.
    #[serde(default, skip_serializing_if = "Health::is_empty")]
    pub health: Health,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(deserialize_with = "bounded::map::<_, _, MAX_ROWS_READ, { key::MAX_KEY_BYTES }>")]
    rows: BTreeMap<String, Row>,
    requests: u64,
    bots_started: u64,
    iterations: u64,
    #[serde(default)]
    dropped: u64,
    #[serde(default)]
    health: Health,
}

impl TryFrom<Wire> for Totals {
    type Error = MergeError;

    /// Adds to nothing: what is read obeys the same bounds as what is counted.
    fn try_from(wire: Wire) -> Result<Self, MergeError> {
        let Wire { rows, requests, bots_started, iterations, dropped, health } = wire;
        let read = Self { rows, requests, bots_started, iterations, dropped, health };
        let mut totals = Self::default();
        totals.check([&read].into_iter())?;
        totals.absorb_counters(&read);
        for (name, row) in read.rows {
            totals.absorb_row(&name, Cow::Owned(row));
        }
        Ok(totals)
    }
}

impl Totals {
    /// Adds everything counted in `other`, exactly. After an error nothing has changed.
    ///
    /// Rows of one name are one row. Should two senders describe it differently (they do not, within
    /// a plan), it is measured if either says so and has the lesser base.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        self.check([other].into_iter())?;
        self.absorb(other);
        Ok(())
    }

    /// The merge for what has been checked.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.absorb_counters(other);
        for (name, row) in &other.rows {
            self.absorb_row(name, Cow::Borrowed(row));
        }
    }

    /// Adds a series to the row that `info` describes. After an error nothing has changed.
    pub fn add(&mut self, info: &RowInfo, series: Series) -> Result<(), MergeError> {
        let row = Row::new(&info.base, info.measured, series);
        self.merge(&Self { rows: BTreeMap::from([(info.key().into_owned(), row)]), ..Self::default() })
    }

    /// Passes of the tree that ended by themselves, by scenario.
    pub fn passes(&self) -> BTreeMap<String, u64> {
        let rows = self.rows.iter().map(|(key, row)| (RowKey::of(key), row));
        let passes = rows.filter(|(key, _)| key.name == ITERATION && !key.is_apart());
        passes.map(|(key, row)| (key.scenario.to_owned(), row.whole().measured_count())).collect()
    }

    /// Sum of the measured rows.
    pub fn total(&self) -> Series {
        sum(self.rows.values().filter(|row| row.measured))
    }

    /// Number of measured executions that were cut off; cheap, since no histogram is looked into.
    pub fn cut_off(&self) -> u64 {
        let measured = self.rows.values().filter(|row| row.measured);
        measured.fold(0, |sum, row| sum.saturating_add(row.cut_off_count()))
    }

    /// Failures, status codes, bytes and parts of the measured rows together.
    pub fn total_details(&self) -> Details {
        let mut sum = Details::default();
        self.rows.values().filter(|row| row.measured).for_each(|row| sum.absorb(&row.details));
        sum
    }

    /// What was counted under `name`: the sum of the rows whose base it is (all calls of `Shop.buy`,
    /// whatever their arguments and labels) and of those of exactly this name. None if there is neither.
    pub fn select(&self, name: &str) -> Option<Series> {
        let selector = Selector { action: Some(name.to_owned()), ..Selector::default() };
        Some(self.select_by(&selector)).filter(|series| !series.is_empty())
    }

    /// What they take in memory, in bytes, about.
    pub fn weight(&self) -> usize {
        let rows: usize = self.rows.iter().map(|(key, row)| key.len() + row.weight()).sum();
        size_of::<Self>() + rows + self.health.lag.weight()
    }

    /// The merge of one row for what has been checked.
    pub(crate) fn absorb_row(&mut self, key: &str, row: Cow<'_, Row>) {
        if row.is_empty() {
            return;
        }
        let parts = RowKey::of(key);
        // A user may name a row like our sums; it is summed there, as what it is.
        if is_sum(parts.name) {
            self.absorb_named(sum_name(row.measured), row);
        } else {
            self.absorb_named(&parts.key(), row);
        }
        let sums = [OTHER, OTHER_CONTROL].into_iter().filter(|sum| self.rows.contains_key(*sum));
        if self.rows.len() - sums.count() > MAX_ROWS {
            self.fold_last();
        }
    }

    fn absorb_named(&mut self, name: &str, row: Cow<'_, Row>) {
        let base = if is_sum(name) { name } else { cut(&row.base, MAX_NAME_BYTES) };
        if let Some(own) = self.rows.get_mut(name) {
            own.measured |= row.measured;
            if base < own.base.as_str() {
                base.clone_into(&mut own.base);
            }
            own.absorb(&row);
        } else {
            let base = base.to_owned();
            self.rows.insert(name.to_owned(), Row { base, ..row.into_owned() });
        }
    }

    /// Sums the last name in order. A name once folded has [`MAX_ROWS`] names before it in every later
    /// sum too, so it is folded there as well, and the order of merging does not matter.
    fn fold_last(&mut self) {
        let Some(last) = self.rows.keys().rev().find(|name| !is_sum(name)).cloned() else { return };
        if let Some(row) = self.rows.remove(&last) {
            self.absorb_named(sum_name(row.measured), Cow::Owned(row));
        }
    }

    /// The keys of the rows with the fewest samples, all but `keep` of those that can be summed: not those of whole
    /// passes and of lateness, not the sums themselves, and not the `spared` ones.
    pub fn smallest(&self, keep: usize, spared: &BTreeSet<String>) -> BTreeSet<String> {
        let can_be_summed = |key: &str| !RowKey::of(key).name.starts_with('(') && !spared.contains(key);
        let named = self.rows.iter().filter(|(key, _)| can_be_summed(key));
        let mut rows: Vec<(u128, &String)> = named.map(|(key, row)| (row.sample_count(), key)).collect();
        rows.sort_unstable_by(|a, b| b.cmp(a));
        rows.into_iter().skip(keep).map(|(_, key)| key.clone()).collect()
    }

    /// Sums the rows with these keys as those beyond [`MAX_ROWS`] are. No count is lost.
    pub fn sum_up(&mut self, keys: &BTreeSet<String>) {
        // There are often more of these keys than rows, and mostly there is nothing to sum.
        let named: Vec<String> = self.rows.keys().filter(|key| keys.contains(*key)).cloned().collect();
        for key in named {
            if let Some(row) = self.rows.remove(&key) {
                self.absorb_named(sum_name(row.measured), Cow::Owned(row));
            }
        }
    }

    /// Adds the counters beside the rows, for what has been checked.
    fn absorb_counters(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.bots_started = self.bots_started.saturating_add(other.bots_started);
        self.iterations = self.iterations.saturating_add(other.iterations);
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.health.absorb(&other.health);
    }

    /// Whether all of `others` can be added, as a whole. What is here already is looked at once, however many they are.
    pub(crate) fn check<'t>(
        &'t self,
        others: impl Iterator<Item = &'t Self> + Clone,
    ) -> Result<(), MergeError> {
        let all = [self].into_iter().chain(others);
        check_range(all.clone())?;
        let fits = |sum: u128, counter| {
            u64::try_from(sum).map(drop).map_err(|_| MergeError::CountOverflow { counter })
        };
        let counted = |of: fn(&Self) -> u64, counter| {
            fits(all.clone().map(|totals| u128::from(of(totals))).sum(), counter)
        };
        counted(|totals| totals.requests, "requests")?;
        counted(|totals| totals.bots_started, "bots started")?;
        counted(|totals| totals.iterations, "iterations")?;
        counted(|totals| totals.dropped, "dropped starts")?;
        Health::check(all.clone().map(|totals| &totals.health))?;
        // Together, since any row may be summed with any other.
        fits(all.map(Self::sample_count).sum(), "samples")
    }

    fn sample_count(&self) -> u128 {
        self.rows.values().map(Row::sample_count).sum()
    }
}

/// One plan has one range; rows may move into one sum, so they all share it.
fn check_range<'t>(all: impl Iterator<Item = &'t Totals>) -> Result<(), MergeError> {
    let rows = all.flat_map(|totals| totals.rows.values());
    let mut ranges = rows.flat_map(|row| row.details.ranges().chain(row.each_series().map(Series::highest)));
    let Some(own) = ranges.next() else { return Ok(()) };
    match ranges.find(|range| *range != own) {
        Some(other) => Err(MergeError::RangeMismatch { own, other }),
        None => Ok(()),
    }
}

fn sum<'a>(rows: impl Iterator<Item = &'a Row>) -> Series {
    rows.fold(Series::default(), |mut sum, row| {
        row.add_to(&mut sum);
        sum
    })
}

fn is_sum(name: &str) -> bool {
    name == OTHER || name == OTHER_CONTROL
}

const fn sum_name(measured: bool) -> &'static str {
    if measured { OTHER } else { OTHER_CONTROL }
}

#[cfg(test)]
mod tests;
