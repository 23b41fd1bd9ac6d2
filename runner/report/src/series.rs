//! What one action did: its latencies by outcome.

use crate::histogram::{DEFAULT_HIGHEST_US, Histogram, MergeError};
use crate::outcome::Outcome;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// One action's latencies in microseconds, a [`Histogram`] per [`Outcome`] that occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    highest: u64,
    /// By [`Outcome::index`]; a histogram that is there is not empty.
    by_outcome: [Option<Box<Histogram>>; 5],
    /// How many of the cancelled ones were cut off.
    cut_off: u64,
}

impl Default for Series {
    /// Up to [`DEFAULT_HIGHEST_US`].
    fn default() -> Self {
        Self::new(DEFAULT_HIGHEST_US)
    }
}

impl Series {
    /// An empty series for latencies up to `highest` microseconds (0 is taken for 1).
    pub fn new(highest: u64) -> Self {
        Self { highest: highest.max(1), by_outcome: [const { None }; 5], cut_off: 0 }
    }

    /// Range of the histograms in microseconds.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Counts one execution that took `us` microseconds and ended with `outcome`.
    #[inline]
    pub fn record(&mut self, outcome: Outcome, us: u64) {
        let highest = self.highest;
        self.by_outcome[outcome.index()].get_or_insert_with(|| Box::new(Histogram::new(highest))).record(us);
    }

    /// Counts one execution as cancelled that was cut off after `us` microseconds: nothing in the tree has made its
    /// end needless, there was no more time for it. What it would have taken is missing in every percentile.
    pub fn record_cut_off(&mut self, us: u64) {
        self.record(Outcome::Cancelled, us);
        self.cut_off = self.cut_off.saturating_add(1);
    }

    /// Adds everything counted in `other`, exactly. An empty series takes the range of the other, so
    /// that `Series::default()` is a start for every sum. After an error nothing has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if !self.is_empty() && !other.is_empty() && self.highest != other.highest {
            return Err(MergeError::RangeMismatch { own: self.highest, other: other.highest });
        }
        if self.sample_count() + other.sample_count() > u128::from(u64::MAX) {
            return Err(MergeError::CountOverflow { counter: "samples" });
        }
        self.absorb(other);
        Ok(())
    }

    /// The merge for what has been checked; see [`Histogram::absorb`].
    pub(crate) fn absorb(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.highest = if self.is_empty() { other.highest } else { self.highest.max(other.highest) };
        // Never more than were cancelled, whose sum was checked.
        self.cut_off = self.cut_off.saturating_add(other.cut_off);
        for (own, their) in self.by_outcome.iter_mut().zip(&other.by_outcome) {
            match (own, their) {
                (_, None) => {}
                (Some(own), Some(their)) => own.absorb(their),
                (own @ None, Some(_)) => own.clone_from(their),
            }
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.by_outcome.iter().all(Option::is_none)
    }

    /// The latencies of one outcome; none when it did not occur.
    pub fn histogram(&self, outcome: Outcome) -> Option<&Histogram> {
        self.by_outcome[outcome.index()].as_deref()
    }

    /// Number of executions that ended with `outcome`.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.histogram(outcome).map_or(0, Histogram::count)
    }

    /// Number of executions that ended by themselves: succeed, fail, error and crash.
    pub fn measured_count(&self) -> u64 {
        self.sum_of(Outcome::is_measured)
    }

    /// Number of executions that failed: fail, error and crash.
    pub fn failure_count(&self) -> u64 {
        self.sum_of(Outcome::is_failure)
    }

    /// Number of executions that were cut off; they are cancelled ones, too.
    pub fn cut_off_count(&self) -> u64 {
        self.cut_off
    }

    /// Share of [`Series::failure_count`] in [`Series::measured_count`], 0 to 1; none of nothing.
    pub fn fail_rate(&self) -> Option<f64> {
        let count = self.measured_count();
        (count > 0).then(|| self.failure_count() as f64 / count as f64)
    }

    /// Latencies of all executions that ended by themselves (not cancelled), merged.
    pub fn latency(&self) -> Histogram {
        let mut latency = Histogram::new(self.highest);
        let measured = Outcome::ALL.into_iter().filter(|outcome| outcome.is_measured());
        measured.filter_map(|outcome| self.histogram(outcome)).for_each(|part| latency.absorb(part));
        latency
    }

    fn sum_of(&self, which: fn(Outcome) -> bool) -> u64 {
        let counted = Outcome::ALL.into_iter().filter(|outcome| which(*outcome));
        counted.fold(0, |sum, outcome| sum.saturating_add(self.count(outcome)))
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.by_outcome.iter().flatten().map(|histogram| histogram.weight()).sum::<usize>()
    }

    /// Number of executions of any outcome; wide, so that it can be checked against 64 bits.
    pub(crate) fn sample_count(&self) -> u128 {
        Outcome::ALL.into_iter().map(|outcome| u128::from(self.count(outcome))).sum()
    }
}

/// `{"highest": …, "succeed": {…}, …}`, outcomes that did not occur left out.
#[derive(serde::Serialize, serde::Deserialize)]
struct Wire<H> {
    highest: u64,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    succeed: Option<H>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    fail: Option<H>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    error: Option<H>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    crash: Option<H>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    cancelled: Option<H>,
    #[serde(default, skip_serializing_if = "is_zero")]
    cut_off: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// serde's own default would ask for `H: Default`.
fn none<H>() -> Option<H> {
    None
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let [succeed, fail, error, crash, cancelled] = self.by_outcome.each_ref().map(Option::as_deref);
        let (highest, cut_off) = (self.highest, self.cut_off);
        Wire { highest, succeed, fail, error, crash, cancelled, cut_off }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Wire { highest, succeed, fail, error, crash, cancelled, cut_off } =
            Wire::<Box<Histogram>>::deserialize(from)?;
        let by_outcome = [succeed, fail, error, crash, cancelled];
        let by_outcome = by_outcome.map(|histogram| histogram.filter(|h| !h.is_empty()));
        if highest == 0 {
            return Err(D::Error::custom("series: highest is 0; it is at least 1 us"));
        }
        if let Some(other) = by_outcome.iter().flatten().map(|h| h.highest()).find(|other| *other != highest)
        {
            return Err(D::Error::custom(format_args!(
                "series: a histogram up to {other} us in a series up to {highest} us; both are equal in one plan"
            )));
        }
        let series = Self { highest, by_outcome, cut_off };
        if cut_off > series.count(Outcome::Cancelled) {
            return Err(D::Error::custom(
                "series: more were cut off than cancelled; each is one of those, too",
            ));
        }
        if series.sample_count() > u128::from(u64::MAX) {
            return Err(D::Error::custom("series: its counts do not fit 64 bits together"));
        }
        Ok(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Series {
        let mut series = Series::new(1_000_000);
        for (outcome, us) in Outcome::ALL.into_iter().zip([10, 20, 30, 40, 50]) {
            series.record(outcome, us);
        }
        series.record(Outcome::Succeed, 60);
        series
    }

    #[test]
    fn cancelled_stands_apart() {
        let series = mixed();
        assert_eq!((series.measured_count(), series.failure_count()), (5, 3));
        assert_eq!(series.fail_rate(), Some(0.6));
        assert_eq!(series.count(Outcome::Cancelled), 1);
        let latency = series.latency();
        assert_eq!((latency.count(), latency.sum(), latency.max()), (5, 160, Some(60)));
    }

    #[test]
    fn what_was_cut_off_is_cancelled_and_counted_and_adds_up() {
        let mut series = mixed();
        series.record_cut_off(70);
        assert_eq!((series.count(Outcome::Cancelled), series.cut_off_count()), (2, 1));
        assert_eq!((series.measured_count(), series.latency().max()), (5, Some(60)));
        let mut sum = Series::default();
        (0..3).for_each(|_| sum.merge(&series).unwrap());
        assert_eq!((sum.count(Outcome::Cancelled), sum.cut_off_count()), (6, 3));

        let mut value = serde_json::to_value(&sum).unwrap();
        assert_eq!(serde_json::from_value::<Series>(value.clone()).unwrap(), sum);
        value["cut_off"] = 7.into();
        let error = serde_json::from_value::<Series>(value.clone()).unwrap_err().to_string();
        assert!(error.contains("more were cut off than cancelled"), "{error}");
        // One who knows nothing of it, such as a checkpoint of before, has counted none.
        value.as_object_mut().unwrap().remove("cut_off");
        assert_eq!(serde_json::from_value::<Series>(value).unwrap().cut_off_count(), 0);
        assert!(
            !serde_json::to_string(&mixed()).unwrap().contains("cut_off"),
            "it is told where there is any"
        );
    }

    #[test]
    fn nothing_has_no_rate() {
        let mut series = Series::default();
        assert_eq!((series.fail_rate(), series.is_empty()), (None, true));
        series.record(Outcome::Cancelled, 1);
        assert_eq!((series.fail_rate(), series.is_empty()), (None, false));
    }

    #[test]
    fn an_empty_series_adds_nothing_and_takes_any_range() {
        let mut sum = Series::default();
        sum.merge(&mixed()).unwrap();
        assert_eq!(sum, mixed());
        sum.merge(&Series::new(3)).unwrap();
        assert_eq!(sum, mixed());
    }

    #[test]
    fn a_refused_merge_changes_nothing() {
        let mut sum = mixed();
        let mut other = Series::new(3);
        other.record(Outcome::Succeed, 1);
        assert_eq!(sum.merge(&other), Err(MergeError::RangeMismatch { own: 1_000_000, other: 3 }));

        let mut full = Histogram::new(1_000_000);
        full.record_n(1, u64::MAX - 5);
        let mut full_series = Series::new(1_000_000);
        full_series.by_outcome[Outcome::Crash.index()] = Some(Box::new(full));
        assert_eq!(sum.merge(&full_series), Err(MergeError::CountOverflow { counter: "samples" }));
        assert_eq!(sum, mixed());
    }

    #[test]
    fn reads_what_it_writes_and_refuses_mixed_ranges() {
        let mut value = serde_json::to_value(mixed()).unwrap();
        assert_eq!(serde_json::from_value::<Series>(value.clone()).unwrap(), mixed());
        assert_eq!(serde_json::to_string(&Series::new(9)).unwrap(), r#"{"highest":9}"#);

        value["crash"] = serde_json::to_value(Histogram::new(9)).unwrap();
        let read = serde_json::from_value::<Series>(value.clone()).unwrap();
        assert_eq!(read.count(Outcome::Crash), 0, "an empty histogram is none");

        value["highest"] = 9.into();
        let error = serde_json::from_value::<Series>(value.clone()).unwrap_err().to_string();
        assert!(error.contains("up to 1000000 us in a series up to 9 us"), "{error}");

        let mut full = Histogram::new(9);
        full.record_n(1, u64::MAX);
        let full = serde_json::to_value(full).unwrap();
        let error =
            serde_json::from_value::<Series>(serde_json::json!({"highest": 9, "fail": full, "crash": full}));
        assert!(error.unwrap_err().to_string().contains("64 bits"));
        assert!(serde_json::from_str::<Series>(r#"{"highest":0}"#).is_err());
    }
}
