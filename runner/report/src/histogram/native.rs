//! A histogram in the buckets of Prometheus' native histograms, which grow by a constant factor.
//!
//! In schema `s` a power of two is divided into 2ˢ buckets: bucket `i` holds what is greater than 2^((i-1)/2ˢ)
//! and not greater than 2^(i/2ˢ). Each of our counters goes as a whole into the bucket of its highest value, the
//! one that [`Histogram::quantile`] tells too. So no count is lost or torn apart, and only values that are less
//! than a thousandth, the width of our counters, below a bound may be counted above it. A quantile that is read
//! out of the buckets lies within the bucket of the exact one, which in schema 5 is 2.2 % wide.

use super::Histogram;

/// Most buckets of a native histogram: ten powers of two at the finest, such as all from 1 ms to 1 s.
pub const MAX_NATIVE_BUCKETS: usize = 320;

/// The finest schema: 32 buckets for a power of two.
const SCHEMA: i32 = 5;

/// Counts in buckets that grow by a constant factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native {
    /// The buckets of a power of two are two to the power of this many: 5, or less where more than
    /// [`MAX_NATIVE_BUCKETS`] would be needed.
    pub schema: i32,
    /// Number of values that are zero, which no other bucket can hold.
    pub zero: u64,
    /// The buckets with counts above zero by their index, ascending.
    pub buckets: Vec<(i32, u64)>,
}

impl Native {
    /// Values up to this are zero. It is what Prometheus' own clients take, since histograms add up best when it
    /// is the same in all.
    pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

    /// Counts more in the bucket of a value that comes after those before it.
    fn add(&mut self, value: f64, count: u64) {
        let index = index(value);
        match self.buckets.last_mut() {
            // The first value beyond the range may be less than the highest of the last counter within it.
            Some((last, sum)) if *last >= index => *sum = sum.saturating_add(count),
            _ => self.buckets.push((index, count)),
        }
    }

    /// Joins each two neighbours that are one bucket in the next coarser schema.
    fn halve(&mut self) {
        let mut halved: Vec<(i32, u64)> = Vec::with_capacity(self.buckets.len());
        for (index, count) in &self.buckets {
            let index = (index + 1).div_euclid(2);
            match halved.last_mut() {
                Some((last, sum)) if *last == index => *sum = sum.saturating_add(*count),
                _ => halved.push((index, *count)),
            }
        }
        self.schema -= 1;
        self.buckets = halved;
    }
}

/// The greatest value of a bucket of [`SCHEMA`].
fn greatest(index: f64) -> f64 {
    (index / f64::from(1 << SCHEMA)).exp2()
}

/// The bucket of [`SCHEMA`] that holds a value above zero.
#[expect(clippy::cast_possible_truncation, reason = "whole, and at most 64 times 32")]
fn index(value: f64) -> i32 {
    let near = (value.log2() * f64::from(1 << SCHEMA)).ceil();
    // The logarithm is rounded, so that what lies at a bound may seem to lie beyond it.
    let index = if greatest(near - 1.0) >= value {
        near - 1.0
    } else if greatest(near) < value {
        near + 1.0
    } else {
        near
    };
    index as i32
}

impl Histogram {
    /// The counts in native buckets, in a unit of which so many of ours are one: a million for seconds.
    pub fn native(&self, per_unit: u64) -> Native {
        let mut native = Native { schema: SCHEMA, zero: 0, buckets: Vec::new() };
        for (value, count) in self.counts_by_value() {
            if value == 0 {
                native.zero = native.zero.saturating_add(count);
            } else {
                native.add(value as f64 / per_unit as f64, count);
            }
        }
        while native.buckets.len() > MAX_NATIVE_BUCKETS {
            native.halve();
        }
        native
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|us| histogram.record(us));
        histogram
    }

    /// The bounds of a bucket, by another way than the one above.
    fn bounds(schema: i32, index: i32) -> (f64, f64) {
        let base = 2.0_f64.powf(2.0_f64.powi(-schema));
        (base.powi(index - 1), base.powi(index))
    }

    fn total(native: &Native) -> u64 {
        native.zero + native.buckets.iter().map(|(_, count)| count).sum::<u64>()
    }

    #[test]
    fn values_lie_in_the_buckets_of_their_schema() {
        // In units of one, powers of two are the greatest values of their buckets.
        // The last one shares its counter with greater values, which therefore stands for the next bucket.
        for (value, index) in
            [(1, 0), (2, 32), (3, 51), (4, 64), (5, 75), (1024, 320), (1 << 40, 40 * 32 + 1)]
        {
            let mut histogram = Histogram::new(u64::MAX);
            histogram.record(value);
            let expected = Native { schema: 5, zero: 0, buckets: vec![(index, 1)] };
            assert_eq!(histogram.native(1), expected, "{value}");
        }
        // In seconds: a microsecond is 2^-19.93.
        assert_eq!(of([1]).native(SECOND).buckets, [(-637, 1)]);
        assert_eq!(of([0, 0, 1_000]).native(SECOND), Native { schema: 5, zero: 2, buckets: vec![(-318, 1)] });
        assert_eq!(of([]).native(SECOND), Native { schema: 5, zero: 0, buckets: vec![] });
    }

    #[test]
    fn what_lies_beyond_the_range_is_counted_as_the_first_value_beyond_it() {
        let mut histogram = Histogram::new(1_000_000);
        histogram.record_n(5_000_000, 3);
        histogram.record(1_000);
        assert_eq!(histogram.native(SECOND).buckets, [(-318, 1), (1, 3)]);
        // The range ends within a counter, whose highest value lies in a bucket after that of the first beyond.
        let mut histogram = Histogram::new(4_096);
        histogram.record(4_096);
        histogram.record(4_097);
        assert_eq!(histogram.native(4_097).buckets, [(1, 2)]);
    }

    #[test]
    fn many_buckets_become_fewer_and_lose_no_count() {
        // Every counter from 2 us to an hour: 30 powers of two.
        let mut histogram = Histogram::default();
        let mut us = 2;
        while us <= crate::DEFAULT_HIGHEST_US {
            histogram.record_n(us, us % 5 + 1);
            us = Histogram::highest_equivalent(us) + 1;
        }
        let native = histogram.native(SECOND);
        assert_eq!((native.schema, total(&native)), (3, histogram.count()));
        assert!(native.buckets.len() <= MAX_NATIVE_BUCKETS && native.buckets.len() > 200);
        let (lowest, _) = bounds(native.schema, native.buckets[0].0);
        assert!(lowest < 2e-6 && lowest > 1e-6, "{lowest}");
    }

    #[test]
    fn two_buckets_are_one_when_their_bounds_say_so() {
        let mut native =
            Native { schema: 5, zero: 1, buckets: vec![(-2, 1), (-1, 2), (0, 4), (1, 8), (2, 16), (3, 32)] };
        native.halve();
        assert_eq!(native, Native { schema: 4, zero: 1, buckets: vec![(-1, 1), (0, 6), (1, 24), (2, 32)] });
    }

    proptest! {
        /// Every count is there once, in the bucket that holds the value that our counter stands for.
        #[test]
        fn counts_are_exact_and_lie_within_their_bounds(
            values in prop::collection::vec((0..32_u32, any::<u64>()), 0..2_000),
        ) {
            let values = values.into_iter().map(|(bits, random)| random >> (63 - bits));
            let histogram = of(values);
            let native = histogram.native(SECOND);
            prop_assert_eq!(total(&native), histogram.count());
            prop_assert!(native.buckets.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(native.buckets.iter().all(|(_, count)| *count > 0));
            prop_assert!(native.buckets.len() <= MAX_NATIVE_BUCKETS);
            for (index, count) in &native.buckets {
                let (low, high) = bounds(native.schema, *index);
                // The bounds of this test are rounded elsewhere than those that were used.
                let (low, high) = (low * (1.0 - 1e-9), high * (1.0 + 1e-9));
                let inside = histogram.counts_by_value().filter(|(us, _)| {
                    let seconds = *us as f64 / 1e6;
                    seconds > low && seconds <= high
                });
                prop_assert!(inside.map(|(_, n)| n).sum::<u64>() >= *count, "bucket {}", index);
            }
        }

        /// At its bounds a native histogram says the same as cumulative classic buckets would.
        #[test]
        fn what_lies_below_a_bound_is_what_a_classic_bucket_counts(
            values in prop::collection::vec(1..50_000_000_u64, 1..500),
        ) {
            let histogram = of(values);
            let native = histogram.native(SECOND);
            let mut below = native.zero;
            for (index, count) in &native.buckets {
                below += count;
                let (_, high) = bounds(native.schema, *index);
                let classic = |bound: f64| -> u64 {
                    histogram.counts_by_value().filter(|(us, _)| *us as f64 / 1e6 <= bound).map(|(_, n)| n).sum()
                };
                prop_assert!(classic(high * (1.0 - 1e-9)) <= below && below <= classic(high * (1.0 + 1e-9)));
            }
        }

        /// A quantile that is read out of the buckets lies within the width of one of the exact one.
        #[test]
        fn the_bucket_of_a_quantile_holds_the_exact_one(
            values in prop::collection::vec(1..50_000_000_u64, 1..500), parts in 1..=crate::QUANTILE_ONE,
        ) {
            let histogram = of(values);
            let native = histogram.native(SECOND);
            let exact = histogram.quantile_parts(parts).unwrap_or(0) as f64 / 1e6;
            let rank = (histogram.count() * parts).div_ceil(crate::QUANTILE_ONE);
            let mut below = native.zero;
            let bucket = native.buckets.iter().find(|(_, count)| {
                below += count;
                below >= rank
            });
            let (index, _) = bucket.copied().unwrap_or_default();
            let (low, high) = bounds(native.schema, index);
            // The exact maximum may lie below the highest value of its counter, by a thousandth.
            prop_assert!(exact > low * 0.998 && exact <= high * 1.001, "{} in {} to {}", exact, low, high);
        }
    }
}
