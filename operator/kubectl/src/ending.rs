//! The end of a run: its result, why it is as it is, and the exit code that it stands for.

use botarmy_console::output::{complain, say};
use botarmy_console::result_file::{ResultFile, deliver};
use botarmy_crds::{BotRun, BotRunStatus};
use botarmy_report::quantity::latency;
use botarmy_report::terminal::escape;
use botarmy_report::{Exit, RunOutcome, RunResult};

/// How a run ended; none while it goes on.
pub(crate) fn outcome(run: &BotRun) -> Option<RunOutcome> {
    run.status.as_ref().and_then(BotRunStatus::ending)
}

/// What a run has come to: at its end in any case, before as far as something is known.
pub(crate) fn result(run: &BotRun) -> Option<RunResult> {
    run.status.as_ref().and_then(BotRunStatus::told_result)
}

/// The exit code of a run that is over, after its result was delivered with this one.
fn exit_code(status: &BotRunStatus, delivered: Exit) -> Exit {
    match delivered {
        // As where the same file is run here and now.
        Exit::Errored if status.is_refused() => Exit::Invalid,
        delivered => delivered,
    }
}

/// How far the first and the last runner began from one another, as a line below the summary: the result itself has
/// nothing of runners. None where it is not known, or where there is one runner.
pub(crate) fn start_skew(status: &BotRunStatus) -> Option<String> {
    let are_several = status.runners.as_ref().is_some_and(|runners| runners.desired > 1);
    let ms = status.start_skew_ms.filter(|_| are_several).and_then(|ms| u64::try_from(ms).ok())?;
    Some(format!("start skew  {} from the first runner to the last", latency(ms.saturating_mul(1_000))))
}

/// Prints the result of a run that is over, says why it is Errored if it is, and writes the files.
pub(crate) fn tell(run: &BotRun, files: Vec<ResultFile>) -> Exit {
    let (Some(status), Some(result)) = (&run.status, result(run)) else { return Exit::Errored };
    let delivered = deliver(&result, files);
    let said = start_skew(status).map_or(Exit::Passed, |line| say(&line));
    let exit = exit_code(status, if delivered == Exit::Passed { said } else { delivered });
    if result.outcome == RunOutcome::Errored {
        for line in status.why_errored().iter().flat_map(|why| why.lines()) {
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
    fn how_far_runners_began_from_one_another_is_told_where_there_are_several() {
        let runners = |n: u32| json!({"desired": n, "ready": n, "finished": n, "lost": 0, "replaced": 0});
        let line = |time: &str| Some(format!("start skew  {time} from the first runner to the last"));
        for (status, told) in [
            (json!({}), None),
            (json!({"startSkewMs": 4}), None),
            (json!({"runners": runners(3)}), None),
            (json!({"startSkewMs": 0, "runners": runners(1)}), None),
            (json!({"startSkewMs": 0, "runners": runners(2)}), line("0us")),
            (json!({"startSkewMs": 4, "runners": runners(3)}), line("4.0ms")),
            (json!({"startSkewMs": 12_345, "runners": runners(3)}), line("12.35s")),
        ] {
            assert_eq!(start_skew(run(&status).status.as_ref().unwrap()), told, "{status}");
        }
    }

    #[test]
    fn what_could_not_be_written_keeps_its_code() {
        let status = run(&json!({"phase": "Finished", "outcome": "Passed"})).status.unwrap();
        assert_eq!(exit_code(&status, Exit::Unwritten), Exit::Unwritten);
    }
}
