//! The conditions of a run: what they are called, and how they are written.

use super::standing::{Standing, Word};
use crate::conditions;
use botarmy_crds::{BotRun, BotRunStatus};
use botarmy_report::RunOutcome;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

/// The trees and the settings make sense.
pub(super) const ACCEPTED: &str = "Accepted";
/// The run has its Job.
pub(super) const SCHEDULED: &str = "Scheduled";
/// Bots are at work.
pub(super) const RUNNING: &str = "Running";
/// It is over.
pub(super) const COMPLETE: &str = "Complete";
/// It is over and has not passed.
pub(super) const FAILED: &str = "Failed";
/// All thresholds hold so far.
pub(super) const THRESHOLDS_MET: &str = "ThresholdsMet";
/// A change of the spec has no effect.
pub(super) const SPEC_CHANGED: &str = "SpecChanged";
/// The figures are about the generator.
pub(super) const GENERATOR_SATURATED: &str = "GeneratorSaturated";
/// Not all rows could be kept.
pub(super) const MEASURES_SUMMED: &str = "MeasuresSummed";
/// What was measured would not survive the operator.
pub(super) const MEASURES_UNSAFE: &str = "MeasuresUnsafe";
/// The result is where it shall be taken.
pub(super) const EXPORTED: &str = "Exported";
/// For tools that follow kstatus: it is on its way to its end.
pub(super) const RECONCILING: &str = "Reconciling";
/// For tools that follow kstatus: it needs a person.
pub(super) const STALLED: &str = "Stalled";

const ALL: [&str; 13] = [
    ACCEPTED,
    SCHEDULED,
    RUNNING,
    COMPLETE,
    FAILED,
    THRESHOLDS_MET,
    SPEC_CHANGED,
    GENERATOR_SATURATED,
    MEASURES_SUMMED,
    MEASURES_UNSAFE,
    EXPORTED,
    RECONCILING,
    STALLED,
];

/// A status without the conditions that others have written: they are theirs to keep.
pub(super) fn of_ours(mut status: BotRunStatus) -> BotRunStatus {
    status.conditions.retain(|condition| ALL.contains(&condition.type_.as_str()));
    status
}

/// Tells whether something holds.
pub(super) fn set(
    status: &mut BotRunStatus,
    run: &BotRun,
    kind: &str,
    holds: bool,
    reason: impl Into<Word>,
    message: &str,
) {
    write(status, run, kind, if holds { "True" } else { "False" }, &reason.into(), message);
}

/// Tells that it is not known yet whether something holds.
pub(super) fn unknown(
    status: &mut BotRunStatus,
    run: &BotRun,
    kind: &str,
    reason: impl Into<Word>,
    message: &str,
) {
    write(status, run, kind, "Unknown", &reason.into(), message);
}

fn write(status: &mut BotRunStatus, run: &BotRun, kind: &str, state: &str, reason: &Word, message: &str) {
    let generation = run.metadata.generation;
    conditions::write(&mut status.conditions, generation, Timestamp::now(), kind, state, reason, message);
    tracing::debug!("{}: {kind} is {state}", run.name_any());
}

/// Takes back a condition that was true, if it was ever told.
pub(super) fn clear(
    status: &mut BotRunStatus,
    run: &BotRun,
    kind: &str,
    reason: impl Into<Word>,
    message: &str,
) {
    if find(status, kind).is_some() {
        set(status, run, kind, false, reason, message);
    }
}

/// What was told, if it was.
pub(super) fn find<'s>(status: &'s BotRunStatus, kind: &str) -> Option<&'s Condition> {
    status.conditions.iter().find(|c| c.type_ == kind)
}

/// The end: the reason of `Complete` is the outcome, which pipelines read; that of `Failed` is the cause.
pub(super) fn finish(
    status: &mut BotRunStatus,
    run: &BotRun,
    outcome: RunOutcome,
    reason: impl Into<Word>,
    message: &str,
) {
    let reason = reason.into();
    let told = if reason == outcome.into() { message.to_owned() } else { format!("{reason}: {message}") };
    set(status, run, COMPLETE, true, outcome, &told);
    if outcome != RunOutcome::Passed {
        set(status, run, FAILED, true, reason, message);
    }
}

/// What tools that follow kstatus look at: a run is in progress until its end; one that waits for something that does
/// not come by itself is stalled.
pub(super) fn progress(status: &mut BotRunStatus, run: &BotRun, over: bool, stalled: Option<(Word, &str)>) {
    match stalled {
        Some((reason, message)) => {
            set(status, run, STALLED, true, reason.clone(), message);
            clear(status, run, RECONCILING, reason, message);
        }
        None => {
            clear(status, run, STALLED, Standing::GoesOn, "nothing keeps the run");
            let (reason, message) = if over {
                (Standing::Over, "the run is at its end")
            } else {
                (Standing::UnderWay, "the run is on its way to its end")
            };
            set(status, run, RECONCILING, !over, reason, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cause::Reason;
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn run() -> BotRun {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "r"}, "spec": {}})).unwrap()
    }

    #[test]
    fn the_time_of_a_condition_is_that_of_its_last_change() {
        let run = run();
        let mut status = BotRunStatus::default();
        set(&mut status, &run, RUNNING, false, Standing::Scheduled, "a");
        let long_ago = Time("2001-01-01T00:00:00Z".parse().unwrap());
        status.conditions[0].last_transition_time = long_ago.clone();
        set(&mut status, &run, RUNNING, false, Standing::SettingUp, "b");
        let told = find(&status, RUNNING).unwrap();
        assert_eq!((&told.reason, &told.last_transition_time), (&"SettingUp".to_owned(), &long_ago));
        set(&mut status, &run, RUNNING, true, Standing::BotsAtWork, "c");
        assert!(find(&status, RUNNING).unwrap().last_transition_time > long_ago);
        assert_eq!(status.conditions.len(), 1);
        clear(&mut status, &run, STALLED, Standing::GoesOn, "no");
        assert!(find(&status, STALLED).is_none(), "what was never told is not taken back");
    }

    #[test]
    fn a_run_is_in_progress_or_stalled_or_at_its_end() {
        let run = run();
        let mut status = BotRunStatus::default();
        let state = |status: &BotRunStatus, kind| find(status, kind).map(|c| c.status.clone());
        let yes_no = |yes: &str, no: &str| (Some(yes.to_owned()), Some(no.to_owned()));
        progress(&mut status, &run, false, None);
        assert_eq!((state(&status, RECONCILING), state(&status, STALLED)), (Some("True".into()), None));
        progress(&mut status, &run, false, Some((Reason::ImagePull.into(), "absent")));
        assert_eq!((state(&status, STALLED), state(&status, RECONCILING)), yes_no("True", "False"));
        progress(&mut status, &run, true, None);
        assert_eq!(
            (state(&status, STALLED), state(&status, RECONCILING)),
            (Some("False".into()), Some("False".into()))
        );
    }
}
