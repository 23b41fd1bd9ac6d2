//! The end of a run: its result, why it is as it is, and the exit code that it stands for.

use botarmy_console::output::complain;
use botarmy_console::result_file::{ResultFile, deliver};
use botarmy_crds::{BotRun, BotRunStatus, Phase};
use botarmy_report::terminal::escape;
use botarmy_report::{Exit, Facts, RunOutcome, RunResult, Totals};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The condition of this kind.
pub(crate) fn condition<'s>(status: &'s BotRunStatus, kind: &str) -> Option<&'s Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

/// How a run ended; none while it goes on.
pub(crate) fn outcome(run: &BotRun) -> Option<RunOutcome> {
    let status = run.status.as_ref().filter(|status| status.phase == Phase::Finished)?;
    Some(status.outcome.unwrap_or(RunOutcome::Errored))
}

/// What a run has come to: at its end in any case, before as far as something is known. One that never began has
/// nothing but the reason.
pub(crate) fn result(run: &BotRun) -> Option<RunResult> {
    let status = run.status.as_ref()?;
    let Some(outcome) = outcome(run) else { return status.result.clone() };
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
    let result = status.result.clone().unwrap_or_else(nothing);
    // What went wrong beside another verdict stands in the result itself.
    let befell = (outcome == RunOutcome::Errored).then(|| why(status)).flatten();
    Some(RunResult { outcome, reason: result.reason.or(befell), ..result })
}

/// Why a run is Errored: what is wrong with it, or what befell it.
fn why(status: &BotRunStatus) -> Option<String> {
    match condition(status, "Failed") {
        _ if is_refused(status) => condition(status, "Accepted").map(|refused| refused.message.clone()),
        Some(failed) => Some(format!("{}: {}", failed.reason, failed.message)),
        None => None,
    }
}

/// Whether its spec makes no sense, so that nothing was started.
fn is_refused(status: &BotRunStatus) -> bool {
    condition(status, "Accepted").is_some_and(|accepted| accepted.status == "False")
}

/// The exit code of a run that is over, after its result was delivered with this one.
fn exit_code(status: &BotRunStatus, delivered: Exit) -> Exit {
    match delivered {
        // As where the same file is run here and now.
        Exit::Errored if is_refused(status) => Exit::Invalid,
        delivered => delivered,
    }
}

/// Prints the result of a run that is over, says why it is Errored if it is, and writes the files.
pub(crate) fn tell(run: &BotRun, files: Vec<ResultFile>) -> Exit {
    let (Some(status), Some(result)) = (&run.status, result(run)) else { return Exit::Errored };
    let exit = exit_code(status, deliver(&result, files));
    if result.outcome == RunOutcome::Errored {
        for line in why(status).iter().flat_map(|why| why.lines()) {
            complain(&escape(line));
        }
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(status: &Value) -> BotRun {
        let run = json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "a"},
            "spec": {"trees": {"T": "done"}}, "status": status,
        });
        serde_json::from_value(run).unwrap()
    }

    fn conditions(all: &[(&str, &str, &str, &str)]) -> Value {
        let one = |(kind, status, reason, message): &(&str, &str, &str, &str)| json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2030-01-01T00:00:00Z"});
        all.iter().map(one).collect()
    }

    fn figures(outcome: &str) -> Value {
        let total = json!({"count": 5, "succeed": 5, "fail": 0, "error": 0, "crash": 0, "cancelled": 0});
        json!({
            "outcome": outcome, "bots": {"started": 2, "alive": 0}, "requests": 5, "iterations": 5, "durationMs": 1000,
            "actions": [], "total": total, "thresholds": [], "gaps": [],
        })
    }

    /// Each end with its exit code, the requests of its result, and its reason.
    #[test]
    fn each_end_has_its_code_and_its_reason() {
        let kept = [
            ("Accepted", "True", "Valid", "ok"),
            ("Failed", "True", "ImagePull", "no such image"),
            ("Complete", "True", "Errored", "ImagePull: no such image"),
        ];
        let broken = [("Failed", "True", "Failed", "count < 1 is 20")];
        let refused = [
            ("Accepted", "False", "Invalid", "spec.trees: no\nspec.bots: no"),
            ("Failed", "True", "Errored", "the run was refused"),
        ];
        for (status, code, requests, reason) in [
            (json!({"phase": "Finished", "outcome": "Passed", "result": figures("Passed")}), 0, 5, None),
            (
                json!({"phase": "Finished", "outcome": "Failed", "result": figures("Failed"), "conditions": conditions(&broken)}),
                99,
                5,
                None,
            ),
            (json!({"phase": "Finished", "outcome": "Aborted", "result": figures("Aborted")}), 99, 5, None),
            (
                json!({"phase": "Finished", "outcome": "Errored", "conditions": conditions(&kept)}),
                3,
                0,
                Some("ImagePull: no such image"),
            ),
            (
                json!({"phase": "Finished", "outcome": "Errored", "result": figures("Errored"), "conditions": conditions(&kept)}),
                3,
                5,
                Some("ImagePull: no such image"),
            ),
            (
                json!({"phase": "Finished", "outcome": "Errored", "conditions": conditions(&refused)}),
                1,
                0,
                Some("spec.trees: no\nspec.bots: no"),
            ),
            (json!({"phase": "Finished"}), 3, 0, None),
        ] {
            let run = run(&status);
            let ended = outcome(&run).unwrap();
            let told = result(&run).unwrap();
            assert_eq!((told.outcome, told.requests), (ended, requests), "{status}");
            assert_eq!(told.reason.as_deref(), reason, "{status}");
            let delivered = Exit::from(ended);
            assert_eq!(exit_code(run.status.as_ref().unwrap(), delivered) as u8, code, "{status}");
        }
    }

    #[test]
    fn a_run_that_goes_on_has_the_figures_so_far() {
        for (status, requests) in [
            (json!({}), None),
            (json!({"phase": "Scheduled"}), None),
            (json!({"phase": "Running", "result": figures("Passed")}), Some(5)),
        ] {
            let run = run(&status);
            assert_eq!(outcome(&run), None, "{status}");
            assert_eq!(result(&run).map(|result| result.requests), requests, "{status}");
        }
        let mut fresh = run(&json!({}));
        fresh.status = None;
        assert_eq!((outcome(&fresh), result(&fresh)), (None, None));
    }

    #[test]
    fn what_could_not_be_written_keeps_its_code() {
        let status = run(&json!({"phase": "Finished", "outcome": "Passed"})).status.unwrap();
        assert_eq!(exit_code(&status, Exit::Unwritten), Exit::Unwritten);
    }
}
