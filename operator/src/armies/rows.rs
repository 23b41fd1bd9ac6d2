//! Rows that are summed, since what is kept of an army has a limit. Pure.

use super::{Army, weight};
use botarmy_report::Selector;
use std::collections::BTreeSet;

/// How many rows keep their own figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many, those with the most samples.
    pub rows: usize,
    /// Those besides that a threshold is about: without them it could not be judged.
    pub judged: bool,
}

impl Keep {
    /// What is tried, one after another, until what is left of so many rows fits: half of them, half of these, and so on;
    /// the rows of thresholds go last.
    pub fn steps(rows: usize) -> impl Iterator<Item = Self> {
        let halves = move || std::iter::successors(Some(rows / 2), |rows| (*rows > 0).then_some(rows / 2));
        [true, false].into_iter().flat_map(move |judged| halves().map(move |rows| Self { rows, judged }))
    }
}

impl Army {
    /// Sums all rows but some. From now on the others have none of their own.
    pub fn keep_largest_rows(&mut self, keep: Keep) {
        let judged = self.rows_of_thresholds();
        let spared: BTreeSet<String> =
            if keep.judged { judged.iter().flatten().cloned().collect() } else { BTreeSet::new() };
        let (totals, warmup) = (&self.state.totals, &self.state.warmup);
        let smallest = [totals.smallest(keep.rows, &spared), warmup.smallest(keep.rows, &spared)];
        for rows in &smallest {
            self.state.totals.sum_up(rows);
            self.state.warmup.sum_up(rows);
            let loses = |(_, own): &(usize, &BTreeSet<String>)| !own.is_disjoint(rows);
            let unjudged = judged.iter().enumerate().filter(loses).map(|(place, _)| place);
            self.state.unjudged.extend(unjudged);
        }
        let room = weight::MAX_SUMMED.saturating_sub(self.state.summed.len());
        self.state.summed.extend(smallest.into_iter().flatten().take(room));
    }

    /// For each threshold the rows that it cannot be judged without. One that was seen in the warm-up alone will be.
    fn rows_of_thresholds(&self) -> Vec<BTreeSet<String>> {
        let of = |about: &Selector| {
            let mut rows = self.state.totals.rows_of(about);
            rows.extend(self.state.warmup.rows_of(about));
            rows
        };
        self.run.thresholds.iter().map(|threshold| of(&threshold.about)).collect()
    }

    /// Keeps what was summed from having rows of its own again.
    pub(super) fn sum_up(&mut self) {
        self.state.totals.sum_up(&self.state.summed);
        self.state.warmup.sum_up(&self.state.summed);
    }

    /// How many rows were summed because not all could be kept.
    pub fn summed_rows(&self) -> usize {
        self.state.summed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;
    use botarmy_protocol::{CheckIn, Stage};
    use botarmy_report::{Delta, Outcome, Recorder, RowInfo, RunOutcome, Slice, Totals};
    use botarmy_spec::{BotRunSpec, Run};
    use botarmy_tree::{Actions, Path};
    use serde_json::json;

    fn army(threshold: &serde_json::Value) -> Army {
        let spec: BotRunSpec = serde_json::from_value(json!({
            "trees": {"T": {"sequence": [{"log": "often", "label": "often"}, {"log": "rare", "label": "rare"}]}},
            "thresholds": [{"expect": "count > 0"}, threshold],
        }))
        .unwrap();
        let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).unwrap();
        Army::new("ns", "r", &spec, run, 1, 1)
    }

    /// Rows of these names, with so many samples, all of which have failed.
    fn measures(rows: &[(&str, usize)]) -> Totals {
        let info = |(name, _): &(&str, usize)| RowInfo {
            name: (*name).into(),
            base: "log".into(),
            measured: true,
            ..RowInfo::default()
        };
        let mut recorder = Recorder::new(rows.iter().map(info).collect(), 1_000);
        for (row, (_, times)) in rows.iter().enumerate() {
            (0..*times).for_each(|_| recorder.record(row, Outcome::Fail, 5));
        }
        recorder.drain()
    }

    fn check_in(army: &mut Army, sequence: u64, rows: &[(&str, usize)], warmup: bool) {
        let slice = Slice { second: sequence, totals: measures(rows), warmup, apart: false };
        let delta = Delta { sequence, slices: vec![slice], alive: 1 };
        army.check_in(&CheckIn { deltas: vec![delta], ..said(0, Stage::Running, &[]) }, 2_000).unwrap();
    }

    /// The value of the second threshold, whether it holds, and what becomes of the run.
    fn judged(army: &Army) -> (String, bool, RunOutcome) {
        let result = army.result(2_000);
        let told = &result.thresholds[1];
        (told.value.clone(), told.passed, result.outcome)
    }

    #[test]
    fn the_rare_row_of_a_threshold_keeps_its_samples() {
        for warmup in [false, true] {
            let mut army = army(&json!({"expect": "count < 4", "action": "rare"}));
            check_in(&mut army, 1, &[("many", 9), ("often", 5), ("rare", 1)], warmup);
            army.keep_largest_rows(Keep { rows: 1, judged: true });
            check_in(&mut army, 2, &[("many", 9), ("often", 5), ("rare", 2)], false);
            let names: Vec<&str> = army.totals().rows.keys().map(String::as_str).collect();
            assert_eq!(names, ["(other)", "many", "rare"], "warm-up: {warmup}");
            let count = if warmup { "2" } else { "3" };
            assert_eq!(judged(&army), (count.to_owned(), true, RunOutcome::Passed), "warm-up: {warmup}");
        }
    }

    #[test]
    fn a_threshold_on_a_rare_action_ends_the_run_though_other_rows_were_summed() {
        let mut army = army(&json!({"expect": "fail_rate < 50%", "action": "rare", "abortOnFail": true}));
        army.state.start_at_ms = Some(1_000);
        check_in(&mut army, 1, &[("many", 9), ("often", 5)], false);
        army.keep_largest_rows(Keep { rows: 0, judged: true });
        assert!(!army.state.aborted);
        check_in(&mut army, 2, &[("rare", 1)], false);
        assert!(army.state.aborted, "{:?}", judged(&army));
    }

    #[test]
    fn a_threshold_whose_rows_had_to_be_summed_says_so() {
        let mut army = army(&json!({"expect": "fail_rate < 50%", "action": "rare", "abortOnFail": true}));
        check_in(&mut army, 1, &[("often", 5), ("rare", 1)], false);
        army.keep_largest_rows(Keep { rows: 0, judged: false });
        army.state.start_at_ms = Some(1_000);
        check_in(&mut army, 2, &[("rare", 1)], false);
        let unknown = ("unknown, as its rows were summed".to_owned(), false, RunOutcome::Failed);
        assert_eq!(judged(&army), unknown);
        assert!(!army.state.aborted, "what is not known ends nothing");
        assert!(army.result(2_000).thresholds[0].passed, "the whole is as exact as ever");
        let after = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 2, 1);
        assert_eq!(judged(&after), unknown);
    }

    #[test]
    fn what_is_summed_stays_so_in_the_warm_up_too_and_has_few_names() {
        let mut army = army(&json!({"expect": "count > 0"}));
        for sequence in [1, 2] {
            check_in(&mut army, sequence, &[("often", 5), ("rare", 1)], true);
            let rows = |army: &Army| army.state.warmup.rows.keys().cloned().collect::<Vec<_>>();
            if sequence == 1 {
                army.keep_largest_rows(Keep { rows: 0, judged: false });
            }
            assert_eq!(rows(&army), ["(other)"], "{sequence}");
        }
        army.state.summed = (0..weight::MAX_SUMMED).map(|n| format!("row {n}")).collect();
        check_in(&mut army, 3, &[("one more", 1)], false);
        army.keep_largest_rows(Keep { rows: 0, judged: false });
        assert_eq!(army.summed_rows(), weight::MAX_SUMMED);
    }

    #[test]
    fn rows_of_thresholds_go_last() {
        let steps: Vec<(usize, bool)> = Keep::steps(5).map(|keep| (keep.rows, keep.judged)).collect();
        assert_eq!(steps, [(2, true), (1, true), (0, true), (2, false), (1, false), (0, false)]);
        assert_eq!(Keep::steps(0).count(), 2);
    }
}
