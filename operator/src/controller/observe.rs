//! Step 5: what the run has come to; no client needed.

use super::Context;
use super::cause::{self, Cause, Evidence, Reason};
use super::deadline;
use super::validate::digest;
use crate::armies::{Army, Fault};
use crate::coordinator::now_ms;
use botarmy_crds::{BotRun, BotRunStatus, Phase, RunnersStatus};
use botarmy_report::{RunOutcome, RunResult};
use botarmy_spec::rate;
use botarmy_tree::Finding;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

/// Longest message of a condition, in bytes.
const MAX_MESSAGE: usize = 8_000;

/// The reason of a run that waits for its runners, and nothing keeps them.
pub(super) const SCHEDULED: &str = "Scheduled";

/// What a change comes to that no rule of the API server refuses.
const KEPT: &str = "what was changed has no effect: the run keeps the plan with which it was accepted; apply it anew under another name";

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
    let cure = "the run was refused; correct it, delete it and apply it anew";
    finish(&mut status, run, RunOutcome::Errored, RunOutcome::Errored.name(), cure);
    status
}

/// What was seen of the pods besides what the runners say themselves.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the Job was given up, if it was.
    given_up: Option<Cause>,
    /// Why runners do not start.
    kept: Option<Cause>,
    /// They had the time to.
    late: bool,
}

/// Draws the conclusions from the evidence; `delayed` tells why there is no Job yet.
pub(super) fn conclude(
    context: &Context,
    run: &BotRun,
    uid: &str,
    evidence: &Evidence,
    delayed: Option<Cause>,
) -> Seen {
    let armies = context.armies.lock();
    let is_well = |index| armies.get(uid).is_some_and(|army| army.has_checked_in(index));
    let created = run.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let (job, limit) = (evidence.job.as_ref(), context.settings.start_deadline);
    Seen {
        given_up: cause::of_failure(evidence),
        kept: delayed.or_else(|| cause::of_waiting(evidence, is_well)),
        late: deadline::is_over(job, created, Timestamp::now(), limit),
    }
}

/// The status of a run that is at work or has ended.
pub(super) fn observe(context: &Context, run: &BotRun, uid: &str, seen: Seen) -> BotRunStatus {
    let mut status = begin(run);
    let mut armies = context.armies.lock();
    let Some(army) = armies.get_mut(uid) else { return status };
    let now = now_ms();
    army.given_up |= seen.given_up.is_some();
    set(&mut status, run, "Accepted", true, "Valid", "the trees and the settings make sense");
    let now_written = digest(&run.spec.run);
    let rate = run.spec.run.load.arrival_rate.as_ref().map(|rate| rate::from_value(&rate.to_value()));
    let changed = status.plan_digest.get_or_insert_with(|| now_written.clone()) != &now_written;
    if let Some(Err(error)) = rate {
        let told = format!("spec.arrivalRate: {error}; the run goes on at the rate it had");
        set(&mut status, run, "SpecChanged", true, "InvalidRate", &told);
    } else if changed {
        set(&mut status, run, "SpecChanged", true, "Kept", KEPT);
    } else if status.conditions.iter().any(|c| c.type_ == "SpecChanged") {
        set(&mut status, run, "SpecChanged", false, "Same", "the run is as it was accepted");
    }
    let runners = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    status.runners = Some(RunnersStatus {
        desired: runners(army.run.runners),
        ready: runners(army.ready()),
        finished: runners(army.finished()),
        lost: runners(army.lost()),
        replaced: runners(army.replaced()),
    });
    match army.start_at_ms() {
        _ if army.is_over() => at_work(&mut status, run, army, now),
        start if let Some(cause) = seen.given_up => fail(&mut status, run, army, now, start, &cause),
        None if let Some((Fault::Refused, refusal)) = army.fault() => {
            let cause = Cause::new(Reason::RunnerRefused, refusal);
            fail(&mut status, run, army, now, None, &cause);
        }
        None if army.is_setting_up() => {
            status.phase = Phase::Scheduled;
            set(
                &mut status,
                run,
                "Running",
                false,
                "SettingUp",
                "setup is being performed; then the bots begin",
            );
        }
        None if seen.late => {
            let cause = seen.kept.unwrap_or_else(|| silent(context, army));
            fail(&mut status, run, army, now, None, &cause);
        }
        Some(start) if start <= now => at_work(&mut status, run, army, now),
        _ => {
            status.phase = Phase::Scheduled;
            let (reason, message) = match seen.kept {
                Some(cause) => (cause.reason.to_string(), cause.message),
                None => (SCHEDULED.to_owned(), "runners are being started".to_owned()),
            };
            set(&mut status, run, "Running", false, &reason, &message);
        }
    }
    status
}

/// The pods do well, as far as the cluster can tell.
fn silent(context: &Context, army: &Army) -> Cause {
    let message = format!(
        "{} of {} runners have checked in; look into the logs of the others' pods, and whether a policy keeps them from {}",
        army.ready(),
        army.run.runners,
        context.settings.coordinator_address()
    );
    Cause::new(Reason::NoCheckIn, &message)
}

/// Ends a run whose runners cannot do their work; what was measured is kept.
fn fail(status: &mut BotRunStatus, run: &BotRun, army: &Army, now: u64, start: Option<u64>, cause: &Cause) {
    let mut result = army.result(now);
    result.outcome = RunOutcome::Errored;
    figures(status, &result);
    status.result = start.map(|_| result.bounded());
    (status.phase, status.outcome) = (Phase::Finished, Some(RunOutcome::Errored));
    status.completion_time = Some(time(now));
    let reason = cause.reason.to_string();
    set(status, run, "Running", false, &reason, &cause.message);
    finish(status, run, RunOutcome::Errored, &reason, &cause.message);
}

/// The figures of a run whose bots are at work, or were.
fn at_work(status: &mut BotRunStatus, run: &BotRun, army: &Army, now: u64) {
    status.start_time = army.start_at_ms().map(time);
    let result = army.result(now);
    figures(status, &result);
    saturation(status, run, &result);
    if army.is_over() {
        status.phase = Phase::Finished;
        status.outcome = Some(result.outcome);
        status.completion_time = Some(time(army.heard_ms));
        set(status, run, "Running", false, "Finished", "all runners have handed over their measures");
        if let (RunOutcome::Errored, Some(cause)) = (result.outcome, fault(army)) {
            finish(status, run, result.outcome, &cause.reason.to_string(), &cause.message);
            status.result = Some(result.bounded());
            return;
        }
        let failed = result.thresholds.iter().filter(|t| !t.passed);
        let failed: Vec<String> = failed.map(|t| format!("{} is {}", t.expect, t.value)).collect();
        let message = if failed.is_empty() { "all thresholds hold".into() } else { failed.join("; ") };
        finish(status, run, result.outcome, result.outcome.name(), &message);
    } else {
        status.phase = Phase::Running;
        if army.is_tearing_down() {
            set(
                status,
                run,
                "Running",
                true,
                "TearingDown",
                "the bots have ended; teardown is being performed",
            );
        } else {
            set(status, run, "Running", true, "BotsAtWork", "the bots are at work");
        }
    }
    status.result = Some(result.bounded());
}

/// Why a run is Errored whose runners have handed over all.
fn fault(army: &Army) -> Option<Cause> {
    let (fault, message) = army.fault()?;
    let reason = match fault {
        Fault::Refused => Reason::RunnerRefused,
        Fault::Setup => Reason::SetupFailed,
        Fault::Teardown => Reason::TeardownFailed,
    };
    Some(Cause::new(reason, message))
}

/// Tells whether the figures are suspect, once they have been.
fn saturation(status: &mut BotRunStatus, run: &BotRun, result: &RunResult) {
    const KIND: &str = "GeneratorSaturated";
    match result.generator.and_then(|generator| generator.warning()) {
        Some(warning) => set(status, run, KIND, true, "CannotKeepUp", &warning.join(": ")),
        None if status.conditions.iter().any(|c| c.type_ == KIND) => {
            set(status, run, KIND, false, "KeepsUp", "the generator keeps up");
        }
        None => {}
    }
}

fn begin(run: &BotRun) -> BotRunStatus {
    BotRunStatus { observed_generation: run.metadata.generation, ..run.status.clone().unwrap_or_default() }
}

fn figures(status: &mut BotRunStatus, result: &RunResult) {
    let total = &result.total;
    status.bots = i32::try_from(result.bots.alive).ok();
    let per_second = total.count.saturating_mul(1000).checked_div(result.measured_ms());
    status.actions_per_second = per_second.and_then(|n| i64::try_from(n).ok());
    status.p95 = total.p95_us.map(|us| format!("{}.{}ms", us / 1000, us % 1000 / 100));
    let hundredths = total.failures().saturating_mul(10_000).checked_div(total.count);
    status.errors = hundredths.map(|n| format!("{}.{:02}%", n / 100, n % 100));
}

/// The reason of `Complete` is the outcome, which pipelines read; that of `Failed` is the cause.
fn finish(status: &mut BotRunStatus, run: &BotRun, outcome: RunOutcome, reason: &str, message: &str) {
    let told = if reason == outcome.name() { message.to_owned() } else { format!("{reason}: {message}") };
    set(status, run, "Complete", true, outcome.name(), &told);
    if outcome != RunOutcome::Passed {
        set(status, run, "Failed", true, reason, message);
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
