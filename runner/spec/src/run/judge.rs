//! How what was measured is judged, while a run goes on and when it is over.

use super::{Run, RunThreshold, Scenario};
use botarmy_report::{Dimension, Facts, RunOutcome, RunResult, ThresholdResult, Totals};
use std::collections::BTreeSet;
use std::time::Duration;

impl Run {
    /// The scenarios and their stages, as a result names them.
    fn dimensions(&self) -> Vec<Dimension> {
        let dimension = |s: &Scenario| {
            let (scenario, stages) = (s.name.clone().unwrap_or_default(), s.load.stages.clone());
            Dimension { scenario, stages }
        };
        self.scenarios.iter().map(dimension).collect()
    }

    /// The threshold that ends the run so long after its start, as it is written; none of those whose rows were `summed`.
    pub fn aborting(&self, totals: &Totals, since_start: Duration, summed: &BTreeSet<usize>) -> Option<&str> {
        let known = self.thresholds.iter().enumerate().filter(|(place, _)| !summed.contains(place));
        let aborts = known.map(|(_, t)| t).find(|t| t.aborts(totals, since_start));
        aborts.map(|t| t.spec.expect.as_str())
    }

    /// The result of what was measured, judged by the thresholds; the same here and on a cluster.
    pub fn judge(&self, totals: &Totals, alive: u32, duration_ms: u64) -> RunResult {
        self.judge_without(totals, alive, duration_ms, &BTreeSet::new())
    }

    /// The same where what some thresholds are about, by their places, was `summed` with other rows.
    pub fn judge_without(
        &self,
        totals: &Totals,
        alive: u32,
        duration_ms: u64,
        summed: &BTreeSet<usize>,
    ) -> RunResult {
        let judge = |(place, threshold): (usize, &RunThreshold)| {
            if summed.contains(&place) { threshold.unknown() } else { threshold.judge(totals) }
        };
        let thresholds: Vec<ThresholdResult> = self.thresholds.iter().enumerate().map(judge).collect();
        let passed = thresholds.iter().all(|t| t.passed);
        let outcome = if passed { RunOutcome::Passed } else { RunOutcome::Failed };
        RunResult::build(
            totals,
            Facts {
                outcome,
                alive,
                duration_ms,
                thresholds,
                gaps: Vec::new(),
                dimensions: self.dimensions(),
            },
        )
    }
}
