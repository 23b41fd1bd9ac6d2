//! A result that fits into an object of the cluster.

use super::{ActionResult, DetailResult, Figures, OTHER_STATUSES, RunResult};
use crate::totals::{OTHER, OTHER_CONTROL};
use std::cmp::Reverse;

/// Most gaps of a bounded result; how many runners were lost stands beside it.
const MAX_GAPS: usize = 50;
/// Most actions of a bounded result.
const MAX_ACTIONS: usize = 50;
/// Most classes of failures of one action.
const MAX_CLASSES: usize = 3;
/// Most status codes of one action, and of all together.
const MAX_STATUSES: usize = 8;
const MAX_TOTAL_STATUSES: usize = 16;

impl RunResult {
    /// The result with its most frequent actions, the rest summed, and of each the most frequent failures and status
    /// codes; of a stage all of them together. What is said of all actions together keeps all classes.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        if self.actions.len() > MAX_ACTIONS {
            self.actions.sort_by_key(|a| Reverse((a.measured, a.figures.count)));
            let rest = self.actions.split_off(MAX_ACTIONS - 2);
            let (measured, control): (Vec<_>, Vec<_>) = rest.into_iter().partition(|action| action.measured);
            self.actions.extend(sum(OTHER, true, &measured));
            self.actions.extend(sum(OTHER_CONTROL, false, &control));
        }
        for action in &mut self.actions {
            action.detail.failures.truncate(MAX_CLASSES);
            action.detail.bound(1, MAX_STATUSES);
        }
        self.gaps.truncate(MAX_GAPS);
        self.stages.iter_mut().for_each(|stage| stage.actions.clear());
        self.detail.bound(2, MAX_TOTAL_STATUSES);
        self
    }
}

/// The counts of several actions as those of one; of latencies only the greatest can be told.
fn sum(name: &str, measured: bool, actions: &[ActionResult]) -> Option<ActionResult> {
    let add = |sum: Figures, action: &ActionResult| {
        let figures = &action.figures;
        Figures {
            count: sum.count.saturating_add(figures.count),
            succeed: sum.succeed.saturating_add(figures.succeed),
            fail: sum.fail.saturating_add(figures.fail),
            error: sum.error.saturating_add(figures.error),
            crash: sum.crash.saturating_add(figures.crash),
            cancelled: sum.cancelled.saturating_add(figures.cancelled),
            cut_off: sum.cut_off.saturating_add(figures.cut_off),
            max_us: sum.max_us.max(figures.max_us),
            ..sum
        }
    };
    let figures = actions.iter().fold(Figures::default(), add);
    let (name, detail) = (name.to_owned(), DetailResult::default());
    let sum = ActionResult { name, scenario: None, group: None, measured, figures, detail };
    (!actions.is_empty()).then_some(sum)
}

impl DetailResult {
    fn bound(&mut self, samples: usize, statuses: usize) {
        for failure in &mut self.failures {
            failure.samples.truncate(samples);
        }
        if self.statuses.len() > statuses {
            let mut named: Vec<_> = std::mem::take(&mut self.statuses).into_iter().collect();
            // The sum of the others stays the sum of the others.
            named.sort_by_key(|(code, n)| (code == OTHER_STATUSES, Reverse(*n)));
            let rest =
                named.split_off(statuses - 1).into_iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
            self.statuses = named.into_iter().chain([(OTHER_STATUSES.to_owned(), rest)]).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::details::Details;
    use crate::observed::{FailureClass, Observed};
    use crate::result::{Facts, RunOutcome};
    use crate::{Outcome, Recorder, RowInfo, Totals};

    #[test]
    fn a_status_stays_small_whatever_happened() {
        let row = |n: usize| RowInfo {
            name: format!("GET /{n}/{}", "x".repeat(200)),
            base: "GET".into(),
            measured: true,
            ..RowInfo::default()
        };
        let mut recorder = Recorder::new((0..200).map(row).collect(), 1_000);
        for row in 0..200_usize {
            for n in 0..200_u16 {
                let class = FailureClass::ALL[usize::from(n) % 10];
                let failed = Observed::failed(class, format!("{n:03}{}", "µ".repeat(200)));
                let status = Some(400 + n);
                recorder.record_observed(
                    row,
                    Outcome::Fail,
                    5,
                    &Observed { status, parts: [Some(1); 4], ..failed },
                );
            }
        }
        let facts = Facts {
            outcome: RunOutcome::Failed,
            alive: 0,
            duration_ms: 1,
            thresholds: vec![],
            gaps: vec![],
            dimensions: vec![],
        };
        let result = RunResult::build(&recorder.drain(), facts);
        let bytes = |r: &RunResult| serde_json::to_string(r).expect("JSON").len();
        let (whole, bounded) = (bytes(&result), result.clone().bounded());
        assert!(whole > 2_000_000 && bytes(&bounded) < 120_000, "{whole} {}", bytes(&bounded));
        assert_eq!(bounded.actions.len(), MAX_ACTIONS - 1);
        assert_eq!(
            (bounded.actions[48].name.as_str(), bounded.actions[48].figures.count),
            (OTHER, 152 * 200)
        );
        assert_eq!(bounded.detail.failures.len(), 10);
        assert_eq!(bounded.detail.statuses.len(), MAX_TOTAL_STATUSES);
        assert_eq!(bounded.detail.statuses.values().sum::<u64>(), 40_000);
        assert_eq!(bounded.actions[0].detail.statuses.values().sum::<u64>(), 200);
        let nothing = RunResult::build(
            &Totals::default(),
            Facts {
                thresholds: vec![],
                gaps: vec![],
                dimensions: vec![],
                outcome: RunOutcome::Passed,
                alive: 0,
                duration_ms: 0,
            },
        );
        assert_eq!(nothing.clone().bounded(), nothing);
        assert_eq!(nothing.detail, DetailResult::of(&Details::default()));
    }
}
