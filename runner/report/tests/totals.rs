//! The laws of adding up: whoever recorded what, and in whatever order it arrives, the sum is the same.

use botarmy_report::{
    Delta, Facts, FailureClass, MAX_ROWS, OTHER, OTHER_CONTROL, Observed, Outcome, Recorder, RowInfo,
    RunOutcome, RunResult, Series, Slice, Totals,
};
use proptest::prelude::*;
use std::sync::Arc;

/// An execution: row, outcome, microseconds, what it tells.
type Sample = (usize, Outcome, u64, Observed);

/// Few texts and statuses, so that bounds are met from both sides.
fn observed() -> impl Strategy<Value = Observed> {
    let failure = prop::option::of((prop::sample::select(&FailureClass::ALL), "[a-h]{1,2}"));
    let status = prop::option::of(100..200_u16);
    let parts = prop::array::uniform4(prop::option::weighted(0.2, 0..20_000_000_u32));
    (failure, status, 0..1_000_u64, 0..1_000_u64, parts).prop_map(
        |(failure, status, bytes_in, bytes_out, parts)| {
            let failed =
                failure.map_or_else(Observed::default, |(class, text)| Observed::failed(class, text));
            Observed { status, bytes_in, bytes_out, parts, ..failed }
        },
    )
}

fn plan(rows: usize) -> Arc<[RowInfo]> {
    let row = |n: usize| RowInfo {
        name: format!("A.{}({n})", n % 3),
        base: format!("A.{}", n % 3),
        measured: !n.is_multiple_of(4),
        group: ["", "G", "G / H"][n % 3].to_owned(),
        ..RowInfo::default()
    };
    (0..rows).map(row).collect()
}

fn samples(rows: usize, most: usize) -> impl Strategy<Value = Vec<Sample>> {
    let outcome = prop::sample::select(&Outcome::ALL);
    prop::collection::vec((0..rows, outcome, 0..20_000_000_u64, observed()), 0..most)
}

fn recorded(rows: &Arc<[RowInfo]>, samples: &[Sample]) -> Totals {
    let mut recorder = Recorder::new(Arc::clone(rows), 10_000_000);
    for (row, outcome, us, observed) in samples {
        recorder.record_observed(*row, *outcome, *us, observed);
        recorder.count_request();
        recorder.iteration();
        recorder.bot_started();
    }
    recorder.drain()
}

fn sum<'a>(parts: impl IntoIterator<Item = &'a Totals>) -> Result<Totals, TestCaseError> {
    parts.into_iter().try_fold(Totals::default(), |mut sum, part| {
        sum.merge(part).map_err(|error| TestCaseError::fail(error.to_string()))?;
        Ok(sum)
    })
}

fn deal<T: Clone>(items: &[T], places: &[usize], hands: usize) -> Vec<Vec<T>> {
    let mut dealt = vec![Vec::new(); hands];
    for (item, place) in items.iter().zip(places) {
        dealt[*place].push(item.clone());
    }
    dealt
}

proptest! {
    #[test]
    fn an_army_counts_what_one_recorder_would(
        samples in samples(12, 300),
        places in prop::collection::vec(0..6_usize, 300),
    ) {
        let rows = plan(12);
        let parts: Vec<Totals> = deal(&samples, &places, 6).iter().map(|part| recorded(&rows, part)).collect();
        let whole = recorded(&rows, &samples);
        prop_assert_eq!(&sum(&parts)?, &whole);
        prop_assert_eq!(&sum(parts.iter().rev())?, &whole);
        let facts = || Facts {
            outcome: RunOutcome::Passed, alive: 0, duration_ms: 1, thresholds: Vec::new(), gaps: Vec::new(), dimensions: Vec::new(),
        };
        prop_assert_eq!(RunResult::build(&sum(&parts)?, facts()), RunResult::build(&whole, facts()));
    }

    #[test]
    fn drains_add_up_to_what_was_recorded(samples in samples(5, 200), cut in any::<prop::sample::Index>()) {
        let rows = plan(5);
        let (first, second) = samples.split_at(cut.index(samples.len() + 1));
        let mut recorder = Recorder::new(Arc::clone(&rows), 10_000_000);
        let mut drains = Vec::new();
        for part in [first, second] {
            for (row, outcome, us, observed) in part {
                recorder.record_observed(*row, *outcome, *us, observed);
                recorder.count_requests(1);
                recorder.iteration();
                recorder.bot_started();
            }
            drains.push(recorder.drain());
        }
        prop_assert_eq!(sum(&drains)?, recorded(&rows, &samples));
        prop_assert_eq!(recorder.drain(), Totals::default());
    }

    #[test]
    fn a_delta_over_the_wire_is_the_delta(samples in samples(9, 200), places in prop::collection::vec(0..4_usize, 200)) {
        let rows = plan(9);
        let parts = deal(&samples, &places, 4);
        let slices = parts.iter().zip(7..).map(|(part, second)| Slice { second, totals: recorded(&rows, part), warmup: second == 8, apart: false });
        let delta = Delta { sequence: 1, slices: slices.collect(), alive: 3 };
        let read: Delta = serde_json::from_str(&serde_json::to_string(&delta)?)?;
        prop_assert_eq!(&read, &delta);
        let (mut totals, mut warmup) = (Totals::default(), Totals::default());
        read.merge_into(&mut totals, &mut warmup)?;
        prop_assert_eq!(&warmup, &recorded(&rows, &parts[1]));
        totals.merge(&warmup)?;
        prop_assert_eq!(totals, recorded(&rows, &samples));
    }

    #[test]
    fn rows_of_a_base_and_measured_rows_are_sums_of_rows(samples in samples(12, 200)) {
        let totals = recorded(&plan(12), &samples);
        let by_base = (0..3).filter_map(|n| totals.select(&format!("A.{n}")));
        let counted = |series: &Series| Outcome::ALL.map(|outcome| series.count(outcome)).iter().sum::<u64>();
        prop_assert_eq!(by_base.map(|series| counted(&series)).sum::<u64>(), samples.len() as u64);
        let measured = samples.iter().filter(|(row, ..)| !row.is_multiple_of(4)).count();
        prop_assert_eq!(counted(&totals.total()), measured as u64);
    }
}

proptest! {
    // Thousands of rows each.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// More rows than the cap: which rows keep their names does not depend on the order either.
    #[test]
    fn the_cap_does_not_break_the_law(
        samples in samples(3 * MAX_ROWS, 4 * MAX_ROWS),
        places in prop::collection::vec(0..3_usize, 4 * MAX_ROWS),
    ) {
        let rows = plan(3 * MAX_ROWS);
        let parts: Vec<Totals> = deal(&samples, &places, 3).iter().map(|part| recorded(&rows, part)).collect();
        let whole = recorded(&rows, &samples);
        prop_assert_eq!(&sum(&parts)?, &whole);
        prop_assert_eq!(&sum(parts.iter().rev())?, &whole);
        prop_assert_eq!(&sum([&parts[0], &sum(&parts[1..])?])?, &whole);

        let named = whole.rows.keys().filter(|name| *name != OTHER && *name != OTHER_CONTROL).count();
        prop_assert!(named <= MAX_ROWS);
        let mut exact = Series::default();
        for (row, outcome, us, _) in &samples {
            if rows[*row].measured {
                let mut one = Series::new(10_000_000);
                one.record(*outcome, *us);
                exact.merge(&one).map_err(|error| TestCaseError::fail(error.to_string()))?;
            }
        }
        prop_assert_eq!(whole.total(), exact);
    }
}
