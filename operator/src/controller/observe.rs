//! Step 5: what the run has come to; no client needed.

use super::Context;
use super::apply::Applied;
use super::validate::digest;
use crate::coordinator::now_ms;
use botarmy_crds::{BotRun, BotRunStatus, Phase, RunnersStatus};
use botarmy_report::{RunOutcome, RunResult};
use botarmy_tree::Finding;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

/// Longest message of a condition, in bytes.
const MAX_MESSAGE: usize = 8_000;

/// A run that is refused is at its end.
pub(super) fn refused(run: &BotRun, findings: &[Finding]) -> BotRunStatus {
    let mut status = begin(run);
    let mut message = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    if message.len() > MAX_MESSAGE {
        let end = message.floor_char_boundary(MAX_MESSAGE);
        message.truncate(end);
        message.push_str("\n… and more");
    }
    (status.phase, status.outcome) = (Phase::Finished, Some(RunOutcome::Errored));
    set(&mut status, run, "Accepted", false, "Invalid", &message);
    finish(
        &mut status,
        run,
        RunOutcome::Errored,
        "the run was refused; correct it, delete it and apply it anew",
    );
    status
}

/// The status of a run that is at work or has ended.
pub(super) fn observe(
    context: &Context,
    run: &BotRun,
    uid: &str,
    applied: &Applied,
    given_up: Option<&str>,
) -> BotRunStatus {
    let mut status = begin(run);
    let armies = context.armies.lock();
    let Some(army) = armies.get(uid) else { return status };
    let now = now_ms();
    set(&mut status, run, "Accepted", true, "Valid", "the trees and the settings make sense");
    status.plan_digest.get_or_insert_with(|| digest(&run.spec.run));
    let runners = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    status.runners = Some(RunnersStatus {
        desired: runners(army.run.runners),
        ready: runners(army.ready()),
        finished: runners(army.finished()),
    });
    if let Some(reason) = given_up.filter(|_| !army.is_over()) {
        let mut result = army.result(now);
        result.outcome = RunOutcome::Errored;
        figures(&mut status, &result);
        status.result = army.start_at_ms().map(|_| result.bounded());
        (status.phase, status.outcome) = (Phase::Finished, Some(RunOutcome::Errored));
        status.completion_time = Some(time(now));
        set(&mut status, run, "Running", false, "Finished", "the Job was given up");
        finish(&mut status, run, RunOutcome::Errored, reason);
        return status;
    }
    let started = army.start_at_ms().filter(|start| *start <= now);
    let Some(start) = started else {
        status.phase = Phase::Scheduled;
        let message = if applied.scheduled { "the Job was created" } else { "runners are being started" };
        set(&mut status, run, "Running", false, "Scheduled", message);
        return status;
    };
    status.start_time = Some(time(start));
    let result = army.result(now);
    figures(&mut status, &result);
    if army.is_over() {
        status.phase = Phase::Finished;
        status.outcome = Some(result.outcome);
        status.completion_time = Some(time(army.heard_ms));
        set(&mut status, run, "Running", false, "Finished", "all runners have handed over their measures");
        let failed = result.thresholds.iter().filter(|t| !t.passed);
        let failed: Vec<String> = failed.map(|t| format!("{} is {}", t.expect, t.value)).collect();
        let message = if failed.is_empty() { "all thresholds hold".into() } else { failed.join("; ") };
        finish(&mut status, run, result.outcome, &message);
    } else {
        status.phase = Phase::Running;
        set(&mut status, run, "Running", true, "BotsAtWork", "the bots are at work");
    }
    status.result = Some(result.bounded());
    status
}

fn begin(run: &BotRun) -> BotRunStatus {
    BotRunStatus { observed_generation: run.metadata.generation, ..run.status.clone().unwrap_or_default() }
}

fn figures(status: &mut BotRunStatus, result: &RunResult) {
    let total = &result.total;
    status.bots = i32::try_from(result.bots.alive).ok();
    let per_second = total.count.saturating_mul(1000).checked_div(result.duration_ms);
    status.actions_per_second = per_second.and_then(|n| i64::try_from(n).ok());
    status.p95 = total.p95_us.map(|us| format!("{}.{}ms", us / 1000, us % 1000 / 100));
    let hundredths = total.failures().saturating_mul(10_000).checked_div(total.count);
    status.errors = hundredths.map(|n| format!("{}.{:02}%", n / 100, n % 100));
}

fn finish(status: &mut BotRunStatus, run: &BotRun, outcome: RunOutcome, message: &str) {
    set(status, run, "Complete", true, outcome.name(), message);
    if outcome != RunOutcome::Passed {
        set(status, run, "Failed", true, outcome.name(), message);
    }
}

/// The one setter of conditions: it owns the time of transition and the generation.
fn set(status: &mut BotRunStatus, run: &BotRun, kind: &str, holds: bool, reason: &str, message: &str) {
    let state = if holds { "True" } else { "False" };
    let condition = Condition {
        type_: kind.to_owned(),
        status: state.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: run.metadata.generation,
        last_transition_time: Time(Timestamp::now()),
    };
    match status.conditions.iter_mut().find(|c| c.type_ == kind) {
        Some(known) => {
            let since = if known.status == state {
                known.last_transition_time.clone()
            } else {
                condition.last_transition_time.clone()
            };
            *known = Condition { last_transition_time: since, ..condition };
        }
        None => status.conditions.push(condition),
    }
    tracing::debug!("{}: {kind} is {state}", run.name_any());
}

fn time(ms: u64) -> Time {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Time(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH))
}
