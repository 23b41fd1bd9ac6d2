//! The laws of histograms, and the reference implementation of their layout.

use botarmy_report::{DEFAULT_HIGHEST_US, Histogram};
use proptest::prelude::*;

const HIGHEST: u64 = 10_000_000;

fn of(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::new(HIGHEST);
    for us in values {
        histogram.record(*us);
    }
    histogram
}

/// Latencies of every magnitude, some beyond the range.
fn values() -> impl Strategy<Value = Vec<u64>> {
    let value = prop_oneof![0..3_000_u64, 1_000..100_000_u64, 100_000..=HIGHEST, HIGHEST..=u64::MAX];
    prop::collection::vec(value, 0..300)
}

/// Latencies within the default range, evenly over magnitudes.
fn in_range() -> impl Strategy<Value = Vec<u64>> {
    let value =
        (0..32_u32, any::<u64>()).prop_map(|(bits, random)| (random >> (63 - bits)).min(DEFAULT_HIGHEST_US));
    prop::collection::vec(value, 1..500)
}

fn merged(mut into: Histogram, from: &Histogram) -> Result<Histogram, TestCaseError> {
    into.merge(from).map_err(|error| TestCaseError::fail(error.to_string()))?;
    Ok(into)
}

proptest! {
    #[test]
    fn the_merge_of_parts_is_the_whole(values in values(), places in prop::collection::vec(0..5_usize, 300)) {
        let mut parts = vec![of(&[]); 5];
        for (us, place) in values.iter().zip(&places) {
            parts[*place].record(*us);
        }
        let whole = of(&values);
        let forward = parts.iter().try_fold(of(&[]), merged)?;
        let backward = parts.iter().rev().try_fold(of(&[]), merged)?;
        prop_assert_eq!(&forward, &whole);
        prop_assert_eq!(&backward, &whole);
        prop_assert_eq!(serde_json::to_string(&forward)?, serde_json::to_string(&whole)?);
    }

    #[test]
    fn merging_is_associative_and_commutative(a in values(), b in values(), c in values()) {
        let (a, b, c) = (of(&a), of(&b), of(&c));
        let left = merged(merged(a.clone(), &b)?, &c)?;
        let right = merged(a.clone(), &merged(b.clone(), &c)?)?;
        prop_assert_eq!(left, right);
        prop_assert_eq!(merged(a.clone(), &b)?, merged(b, &a)?);
    }

    #[test]
    fn nothing_is_the_identity_of_merging(a in values()) {
        let a = of(&a);
        prop_assert_eq!(&merged(of(&[]), &a)?, &a);
        prop_assert_eq!(&merged(a.clone(), &of(&[]))?, &a);
    }

    #[test]
    fn n_times_is_n_records(us in any::<u64>(), n in 0..50_u64) {
        let mut once = of(&[]);
        once.record_n(us, n);
        prop_assert_eq!(once, of(&vec![us; usize::try_from(n)?]));
    }

    #[test]
    fn quantiles_are_those_of_the_reference(values in in_range(), parts in 1..=256_u32) {
        let mut own = Histogram::default();
        let mut reference = hdrhistogram::Histogram::<u64>::new_with_bounds(1, DEFAULT_HIGHEST_US, 3)?;
        for us in &values {
            own.record(*us);
            reference.record(*us)?;
        }
        // Parts of 256 are exact in binary, so the reference has no rounding of its own.
        for q in [f64::from(parts) / 256.0, 0.5, 0.75, 1.0] {
            let expected = reference.value_at_quantile(q).min(own.max().unwrap_or(0));
            prop_assert_eq!(own.quantile(q), Some(expected), "{}", q);
        }
        prop_assert_eq!(own.count(), reference.len());
        prop_assert_eq!(own.overflow(), 0);
    }

    #[test]
    fn quantiles_are_within_a_thousandth_of_the_truth(mut values in in_range(), per_mille in 1..=1000_u64) {
        let mut own = Histogram::default();
        for us in &values {
            own.record(*us);
        }
        values.sort_unstable();
        let rank = (values.len() as u64 * per_mille).div_ceil(1000);
        let truth = values[usize::try_from(rank - 1)?];
        let told = own.quantile(per_mille as f64 / 1000.0);
        prop_assert!(told >= Some(truth), "{told:?} below {truth}");
        prop_assert!(told <= Some(truth + truth / 1000), "{told:?} above {truth}");
    }

    #[test]
    fn reads_what_it_writes(values in values()) {
        let text = serde_json::to_string(&of(&values))?;
        prop_assert_eq!(serde_json::from_str::<Histogram>(&text)?, of(&values));
        let through_value: Histogram = serde_json::from_value(serde_json::from_str(&text)?)?;
        prop_assert_eq!(through_value, of(&values));
    }

    /// Whatever is read is consistent, however the text was damaged.
    #[test]
    fn what_is_read_is_consistent(values in values(), place in any::<prop::sample::Index>(), digit in 0..10_u8) {
        let mut text = serde_json::to_string(&of(&values))?.into_bytes();
        let digits: Vec<usize> = (0..text.len()).filter(|at| text[*at].is_ascii_digit()).collect();
        text[digits[place.index(digits.len())]] = b'0' + digit;
        if let Ok(read) = serde_json::from_slice::<Histogram>(&text) {
            prop_assert!(read.min() <= read.max());
            prop_assert!(read.quantile(0.5) <= read.max());
            prop_assert!(read.quantile(0.0) <= read.quantile(0.5));
            let again: Histogram = serde_json::from_str(&serde_json::to_string(&read)?)?;
            prop_assert_eq!(again, read);
        }
    }
}
