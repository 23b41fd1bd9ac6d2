//! What a run has come to at its end, out of its status. Pure.

use crate::{BotRunStatus, Phase};
use botarmy_report::{Facts, RunOutcome, RunResult, Totals};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

impl BotRunStatus {
    /// The condition of this kind.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// How the run ended; none while it goes on.
    pub fn ending(&self) -> Option<RunOutcome> {
        (self.phase == Phase::Finished).then(|| self.outcome.unwrap_or(RunOutcome::Errored))
    }

    /// Whether the spec makes no sense, so that nothing was started.
    pub fn is_refused(&self) -> bool {
        self.condition("Accepted").is_some_and(|accepted| accepted.status == "False")
    }

    /// Why the run is Errored: what is wrong with it, or what befell it.
    pub fn why_errored(&self) -> Option<String> {
        match self.condition("Failed") {
            _ if self.is_refused() => self.condition("Accepted").map(|refused| refused.message.clone()),
            Some(failed) => Some(format!("{}: {}", failed.reason, failed.message)),
            None => None,
        }
    }

    /// What the run has come to: at its end in any case, before as far as something is known. One that never began has
    /// nothing but the reason.
    pub fn told_result(&self) -> Option<RunResult> {
        let Some(outcome) = self.ending() else { return self.result.clone() };
        let nothing = || {
            let facts = Facts {
                outcome,
                alive: 0,
                duration_ms: 0,
                thresholds: Vec::new(),
                gaps: Vec::new(),
                dimensions: Vec::new(),
            };
            RunResult::build(&Totals::default(), facts)
        };
        let result = self.result.clone().unwrap_or_else(nothing);
        // What went wrong beside another verdict stands in the result itself.
        let befell = (outcome == RunOutcome::Errored).then(|| self.why_errored()).flatten();
        Some(RunResult { outcome, reason: result.reason.or(befell), ..result })
    }
}
