//! Counting latencies so that percentiles of a merge are those of the whole.

mod counters;
mod layout;
mod native;
mod wire;

use counters::Counters;
pub use native::{MAX_NATIVE_BUCKETS, Native};

/// Highest latency counted in its own bucket unless a plan says otherwise: an hour, in microseconds.
pub const DEFAULT_HIGHEST_US: u64 = 3_600_000_000;

/// The whole, in the parts [`Histogram::quantile_parts`] takes: 950 000 000 is the 95th percentile.
pub const QUANTILE_ONE: u64 = 1_000_000_000;

/// Why counts could not be added; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The histograms have different ranges, so one's overflow may be the other's bucket.
    #[error(
        "a histogram up to {other} us cannot be added to one up to {own} us; add only what comes from the same plan"
    )]
    RangeMismatch {
        /// Range of the histogram added to, in microseconds.
        own: u64,
        /// Range of the histogram to be added, in microseconds.
        other: u64,
    },
    /// The sum of a counter does not fit 64 bits; no honest run comes near.
    #[error("the sum of {counter} exceeds 64 bits; one of the senders made its numbers up")]
    CountOverflow {
        /// Which counter.
        counter: &'static str,
    },
}

/// Latencies in microseconds, in the layout of `HdrHistogram` with lowest value 1 and 3 significant
/// digits; count, sum, min and max are exact.
///
/// Values above the range ([`Histogram::highest`]) are counted in [`Histogram::overflow`] and in
/// count, sum and max. An empty histogram holds no counters; the first values take two bytes each, and
/// of many values only the ranges in which they lie take memory.
///
/// Two histograms are equal when everything counted in them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    highest: u64,
    count: u64,
    sum: u64,
    /// `u64::MAX` while empty, so that recording needs no branch.
    min: u64,
    max: u64,
    overflow: u64,
    counters: Counters,
}

impl Default for Histogram {
    /// Up to [`DEFAULT_HIGHEST_US`].
    fn default() -> Self {
        Self::new(DEFAULT_HIGHEST_US)
    }
}

impl Histogram {
    /// An empty histogram for values up to `highest` microseconds (0 is taken for 1).
    pub fn new(highest: u64) -> Self {
        Self {
            highest: highest.max(1),
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
            overflow: 0,
            counters: Counters::default(),
        }
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.counters.weight()
    }

    /// Counts a value of `us` microseconds; 0 is legal.
    #[inline]
    pub fn record(&mut self, us: u64) {
        self.record_n(us, 1);
    }

    /// Counts a value of `us` microseconds `n` times; what would take [`Histogram::count`] beyond
    /// 64 bits is left out.
    #[inline]
    pub fn record_n(&mut self, us: u64, n: u64) {
        let n = n.min(u64::MAX - self.count);
        if n == 0 {
            return;
        }
        self.count += n;
        self.sum = self.sum.saturating_add(us.saturating_mul(n));
        self.min = self.min.min(us);
        self.max = self.max.max(us);
        if us > self.highest {
            self.overflow += n;
        } else {
            self.counters.add(layout::slot(us), n);
        }
    }

    /// Adds everything counted in `other`. Exact, associative and commutative: the merge of N parts
    /// equals the whole. After an error nothing has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.highest != other.highest {
            return Err(MergeError::RangeMismatch { own: self.highest, other: other.highest });
        }
        if self.count.checked_add(other.count).is_none() {
            return Err(MergeError::CountOverflow { counter: "samples" });
        }
        self.absorb(other);
        Ok(())
    }

    /// The merge for what has been checked. Unchecked, it still hides no sample: the wider range is
    /// taken (the layout does not depend on it) and counts stop at their greatest value.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.highest = self.highest.max(other.highest);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.overflow = self.overflow.saturating_add(other.overflow);
        self.counters.absorb(&other.counters);
    }

    /// Range in microseconds: values above it are overflow.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Number of values, overflow included.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all values in microseconds, overflow included. It stops at `u64::MAX`, which is
    /// 584 942 years; merging stays associative there.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Smallest value in microseconds, exact.
    pub fn min(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// Greatest value in microseconds, exact, overflow included.
    pub fn max(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// Number of values above [`Histogram::highest`].
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Mean of all values in microseconds.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.count as f64)
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets everything counted; the range stays.
    pub fn clear(&mut self) {
        *self = Self::new(self.highest);
    }

    /// The value in microseconds that a share `q` (0 to 1, others are taken for the nearer end) of
    /// all values does not exceed: `HdrHistogram`'s value at quantile, that is the highest value of
    /// the bucket with the ⌈q · count⌉th value, but never above the exact maximum. `q` = 0 gives the
    /// exact minimum. A quantile among overflow gives the exact maximum.
    ///
    /// `q` is resolved to a billionth, so that 0.95 of 100 values is the 95th: the binary fraction
    /// nearest to a decimal does not move the rank (in `HdrHistogram` 0.55 of 100 is the 56th).
    pub fn quantile(&self, q: f64) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and a billion"
        )]
        let parts = (q.clamp(0.0, 1.0) * QUANTILE_ONE as f64).round() as u64;
        self.quantile_parts(parts)
    }

    /// [`Histogram::quantile`] for a share in exact parts of [`QUANTILE_ONE`].
    pub fn quantile_parts(&self, parts: u64) -> Option<u64> {
        if parts == 0 {
            return self.min();
        }
        let parts = u128::from(parts.min(QUANTILE_ONE));
        let rank = (u128::from(self.count) * parts).div_ceil(u128::from(QUANTILE_ONE));
        (!self.is_empty()).then(|| self.value_at_rank(rank))
    }

    fn value_at_rank(&self, rank: u128) -> u64 {
        let mut seen = 0;
        for (slot, count) in self.buckets() {
            seen += u128::from(count);
            if seen >= rank {
                return layout::highest_value(slot).min(self.max);
            }
        }
        self.max
    }

    /// The highest value in microseconds that cannot be told from `us`: up to it, counts are exact.
    pub const fn highest_equivalent(us: u64) -> u64 {
        layout::highest_value(layout::slot(us))
    }

    /// The counts with the highest value that each may stand for, ascending; overflow as the first value
    /// beyond the range, which does not depend on what else is counted.
    pub fn counts_by_value(&self) -> impl Iterator<Item = (u64, u64)> {
        let buckets = self.buckets().map(|(slot, count)| (layout::highest_value(slot), count));
        buckets.chain((self.overflow > 0).then_some((self.highest.saturating_add(1), self.overflow)))
    }

    /// The counters above zero with their slots, ascending.
    fn buckets(&self) -> impl Iterator<Item = (usize, u64)> {
        self.counters.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new(1_000_000);
        values.into_iter().for_each(|us| histogram.record(us));
        histogram
    }

    #[test]
    fn empty_has_no_values_and_no_counters() {
        let empty = Histogram::default();
        assert!(empty.is_empty() && empty.counters.is_empty());
        assert_eq!((empty.min(), empty.max(), empty.quantile(0.5)), (None, None, None));
        assert_eq!((empty.count(), empty.sum(), empty.mean()), (0, 0, None));
        assert_eq!(empty.highest(), DEFAULT_HIGHEST_US);
        assert_eq!(Histogram::new(0).highest(), 1);
    }

    #[test]
    fn exact_figures_stand_beside_the_buckets() {
        let histogram = of([0, 5, 700_001]);
        assert_eq!((histogram.count(), histogram.sum()), (3, 700_006));
        assert_eq!((histogram.min(), histogram.max()), (Some(0), Some(700_001)));
        assert_eq!(histogram.mean(), Some(700_006.0 / 3.0));
        assert_eq!(histogram.quantile(1.0), Some(700_001), "clamped to the exact maximum");
        assert_eq!(histogram.quantile(0.0), Some(0));
    }

    #[test]
    fn ranks_are_exact_in_decimals() {
        let histogram = of(1..=100);
        for (q, value) in [(0.01, 1), (0.07, 7), (0.55, 55), (0.95, 95), (0.951, 96), (0.99, 99), (7.0, 100)]
        {
            assert_eq!(histogram.quantile(q), Some(value), "{q}");
        }
        assert_eq!(histogram.quantile(-1.0), Some(1));
        assert_eq!(histogram.quantile_parts(QUANTILE_ONE / 2), Some(50));
    }

    #[test]
    fn overflow_is_counted_and_shown_as_the_maximum() {
        let histogram = of([10, 1_000_000, 1_000_001, u64::MAX - 2_000_011]);
        assert_eq!((histogram.count(), histogram.overflow()), (4, 2));
        assert_eq!(histogram.sum(), u64::MAX - 1_000_000 + 1_000_000);
        assert_eq!(histogram.quantile(0.5), Some(layout::highest_value(layout::slot(1_000_000))));
        assert_eq!(histogram.quantile(0.75), histogram.max());
    }

    #[test]
    fn greatest_numbers_stop_instead_of_wrapping() {
        let mut histogram = of([]);
        histogram.record_n(u64::MAX, 3);
        histogram.record_n(7, u64::MAX);
        histogram.record(9);
        assert_eq!((histogram.count(), histogram.sum()), (u64::MAX, u64::MAX));
        assert_eq!((histogram.min(), histogram.max()), (Some(7), Some(u64::MAX)), "9 was left out");
        let before = histogram.clone();
        assert_eq!(histogram.merge(&of([1])), Err(MergeError::CountOverflow { counter: "samples" }));
        assert_eq!(histogram, before);
    }

    #[test]
    fn ranges_must_be_equal_to_merge() {
        let mut histogram = of([1]);
        let error = histogram.merge(&Histogram::new(5)).unwrap_err();
        assert_eq!(error, MergeError::RangeMismatch { own: 1_000_000, other: 5 });
        assert!(error.to_string().contains("same plan"));
        assert_eq!(histogram, of([1]));
    }

    #[test]
    fn a_cleared_one_is_empty() {
        let mut histogram = of([900_000]);
        histogram.record_n(5, 0);
        histogram.merge(&of([900_001])).unwrap();
        assert_eq!(histogram.count(), 2);
        histogram.clear();
        assert_eq!(histogram, of([]));
    }
}
