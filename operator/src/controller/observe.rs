//! Step 5: what the run has come to; no client needed.

use super::Context;
use super::build::runner_selector;
use super::cause::{self, Cause, Evidence, Reason};
use super::conditions::{self, clear, finish, progress, set};
use super::figures::{self, time};
use super::policy::deadline::{self, Load};
use super::policy::loss;
use super::validate::digest;
use crate::armies::{Army, Fault, Suspension};
use crate::clock::now_ms;
use crate::conditions::lines;
use botarmy_crds::{BotRun, BotRunStatus, Phase, RunnersStatus};
use botarmy_report::RunOutcome;
use botarmy_spec::{LossPolicy, rate};
use botarmy_tree::Finding;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long after its grace period a run that was told to end may take to hand over its measures.
const HAND_OVER: Duration = Duration::from_secs(60);

/// The reason of a run that waits for its runners, and nothing keeps them.
pub(super) const STARTING: &str = "Scheduled";

/// What a change comes to that no rule of the API server refuses.
const KEPT: &str = "what was changed has no effect: the run keeps the plan with which it was accepted; apply it anew under another name";

/// A run that is refused is at its end.
pub(super) fn invalid(run: &BotRun, findings: &[Finding]) -> BotRunStatus {
    refused(run, cause::of_findings(findings), findings.iter().map(ToString::to_string))
}

fn refused(run: &BotRun, reason: &str, mistakes: impl Iterator<Item = String>) -> BotRunStatus {
    let mut status = begin(run);
    let message = lines(mistakes);
    (status.phase, status.outcome) = (Phase::Finished, Some(RunOutcome::Errored));
    set(&mut status, run, conditions::ACCEPTED, false, reason, &message);
    let cure = "the run was refused; correct it, delete it and apply it anew";
    finish(&mut status, run, RunOutcome::Errored, RunOutcome::Errored.name(), cure);
    progress(&mut status, run, true, Some((reason, cure)));
    status
}

/// A run that may not begin yet.
pub(super) fn queued(run: &BotRun, cause: &Cause) -> BotRunStatus {
    let mut status = begin(run);
    status.phase = Phase::Pending;
    set(&mut status, run, conditions::ACCEPTED, true, "Valid", VALID);
    set(&mut status, run, conditions::SCHEDULED, false, &cause.reason.to_string(), &cause.message);
    set(&mut status, run, conditions::RUNNING, false, &cause.reason.to_string(), &cause.message);
    progress(&mut status, run, false, None);
    status
}

const VALID: &str = "the trees and the settings make sense";

/// Whether a run takes longer than it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Overdue {
    #[default]
    No,
    Yes,
    /// It had the time to hand over its measures as well.
    ByFar,
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
    /// Whether the run had the time to come to its end.
    overdue: Overdue,
    /// There is a Job.
    scheduled: bool,
    /// None of its pods will come back.
    ended: bool,
    /// A runner whose place nobody has taken yet after it was lost, and whether there was the time to.
    unmanned: Option<(u32, bool)>,
    /// Runners that are gone for good, where the others go on.
    gone: BTreeSet<u32>,
    /// Runners for which the Job makes no pods any more.
    failed: BTreeSet<u32>,
}

/// Draws the conclusions from the evidence; `delayed` tells why there is no Job yet.
pub(super) fn conclude(
    context: &Context,
    run: &BotRun,
    uid: &str,
    evidence: &Evidence,
    delayed: Option<Cause>,
) -> Seen {
    let mut armies = context.armies.lock();
    let Some(army) = armies.get_mut(uid) else { return Seen::default() };
    for (pod, why, tells) in cause::of_lost(evidence) {
        army.explain(&pod, &why, tells, now_ms());
    }
    let created = run.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let (job, now) = (evidence.job.as_ref(), Timestamp::now());
    let start_limit = army.run.start_deadline.unwrap_or(context.settings.start_deadline);
    let patience = army.run.grace_period + HAND_OVER;
    let limit = army.run.deadline;
    let load = army.start_at_ms().map(|start| Load { start, time_ms: army.load_time_ms(now_ms()) });
    let is_exceeded = |limit| deadline::is_exceeded(job, now, load, limit);
    let is_suspended = job.and_then(|job| job.spec.as_ref()?.suspend).unwrap_or_default();
    let unmanned = army.unmanned(now_ms()).filter(|_| !is_suspended && !army.is_over());
    Seen {
        given_up: cause::of_failure(evidence).map(|cause| match (army.loss_policy(), cause.reason) {
            // The Job has ended because the run's policy says so.
            (LossPolicy::Fail, Reason::JobFailed) => Cause { reason: Reason::RunnerLost, ..cause },
            _ => cause,
        }),
        kept: delayed.or_else(|| cause::of_waiting(evidence, |index| army.is_manned(index, now_ms()))),
        late: deadline::start_is_late(job, created, now, start_limit),
        overdue: match () {
            () if is_exceeded(limit.map(|limit| limit + patience)) => Overdue::ByFar,
            () if is_exceeded(limit) => Overdue::Yes,
            () => Overdue::No,
        },
        scheduled: job.is_some(),
        ended: job.is_some_and(cause::has_ended),
        unmanned: unmanned.map(|(index, ms)| (index, Duration::from_millis(ms) > start_limit)),
        gone: loss::gone(army.loss_policy(), job),
        failed: loss::failed(job),
    }
}

/// The status of a run that is at work or has ended.
pub(super) fn observe(context: &Context, run: &BotRun, uid: &str, mut seen: Seen) -> BotRunStatus {
    let mut status = begin(run);
    let mut armies = context.armies.lock();
    let Some(army) = armies.get_mut(uid) else { return status };
    if let Some((index, true)) = seen.unmanned {
        army.give_up_for_want_of(index);
    }
    if let Some(index) = army.wanted_in_vain() {
        seen.given_up.get_or_insert_with(|| seen.kept.take().unwrap_or_else(|| nobody_came(index)));
    }
    if seen.given_up.is_some() {
        army.give_up(&seen.failed);
    }
    army.stop |= seen.overdue != Overdue::No;
    army.go_on_without(&seen.gone, now_ms());
    if let (Some(mistakes), None) = (army.invalid(), army.start_at_ms()) {
        let (reason, lines) =
            (cause::of_mistakes(mistakes), mistakes.iter().map(|m| format!("{}: {}", m.place, m.message)));
        return refused(run, reason, lines);
    }
    if army.is_to_be_read() {
        conditions::unknown(
            &mut status,
            run,
            conditions::ACCEPTED,
            "ReadingSources",
            "a runner reads the trees from their sources",
        );
    } else {
        set(&mut status, run, conditions::ACCEPTED, true, "Valid", VALID);
    }
    status.sources_digest = army.sources().map(str::to_owned);
    changes(&mut status, run);
    if seen.scheduled {
        set(&mut status, run, conditions::SCHEDULED, true, "JobCreated", "the Job of the runners is there");
        status.selector = Some(runner_selector(uid));
    } else if let Some(cause) = &seen.kept {
        set(&mut status, run, conditions::SCHEDULED, false, &cause.reason.to_string(), &cause.message);
    }
    if let Some(why) = army.unsafe_because(now_ms()) {
        set(&mut status, run, conditions::MEASURES_UNSAFE, true, "CheckpointFailed", why);
    } else {
        clear(
            &mut status,
            run,
            conditions::MEASURES_UNSAFE,
            "Written",
            "what was measured survives the operator",
        );
    }
    count(&mut status, army);
    stand(context, &mut status, run, army, seen);
    let over = status.phase == Phase::Finished;
    let kept = conditions::find(&status, conditions::RUNNING)
        .filter(|c| !over && c.status == "False" && !USUAL.contains(&c.reason.as_str()));
    let kept = kept.map(|c| (c.reason.clone(), c.message.clone()));
    progress(&mut status, run, over, kept.as_ref().map(|(reason, message)| (&**reason, &**message)));
    status
}

const SETTING_UP: &str = "SettingUp";
/// Reasons for which bots are not at work that pass by themselves, or that somebody has wanted.
const USUAL: [&str; 3] = [STARTING, SETTING_UP, "Suspended"];

/// Whether a run comes to a bad end.
enum Course {
    /// It is over, for this reason.
    Fails(Cause),
    /// Its runners are handing over what they have.
    Ends(Cause),
    /// Nothing is wrong with it, or it may pass.
    GoesOn,
}

fn course(context: &Context, army: &Army, seen: &mut Seen, now: u64) -> Course {
    let start = army.start_at_ms();
    let has_handed_over = army.is_settled(now) || start.is_none();
    match start {
        _ if seen.overdue != Overdue::No => {
            let is_done = army.is_over() || has_handed_over || seen.overdue == Overdue::ByFar;
            if is_done { Course::Fails(overdue(army)) } else { Course::Ends(overdue(army)) }
        }
        _ if army.lacks_everybody() => {
            let message = "all runners were lost; result.gaps tells what is not known of them";
            Course::Fails(Cause::new(Reason::RunnerLost, message))
        }
        _ if army.is_over() => Course::GoesOn,
        // Those that live hand over what they have; it belongs to the result.
        _ if let Some(cause) = seen.given_up.take() => {
            if has_handed_over {
                Course::Fails(cause)
            } else {
                Course::Ends(cause)
            }
        }
        Some(_) if seen.ended && army.is_settled(now) => {
            let message = "all pods have ended, and not all of what they had to do is done; result.gaps tells what is not known";
            Course::Fails(fault(army).unwrap_or_else(|| Cause::new(Reason::RunnerLost, message)))
        }
        Some(_) if let Some(why) = army.cannot_end_because(now) => {
            Course::Fails(Cause::new(Reason::CheckpointFailed, why))
        }
        None if let Some((Fault::Refused, refusal)) = army.fault() => {
            Course::Fails(Cause::new(Reason::RunnerRefused, &refusal))
        }
        None if !seen.gone.is_empty() && army.loss_policy() != LossPolicy::Redistribute => {
            let message = "a runner was lost before the bots began, and the run's lossPolicy takes no other in its place";
            Course::Fails(seen.kept.take().unwrap_or_else(|| Cause::new(Reason::RunnerLost, message)))
        }
        None if seen.late && !army.is_setting_up() => {
            let unsafe_because = army.unsafe_because(now);
            let unwritten = || unsafe_because.map(|why| Cause::new(Reason::CheckpointFailed, why));
            Course::Fails(seen.kept.take().or_else(unwritten).unwrap_or_else(|| silent(context, army)))
        }
        _ => Course::GoesOn,
    }
}

/// Where the run stands.
fn stand(context: &Context, status: &mut BotRunStatus, run: &BotRun, army: &Army, mut seen: Seen) {
    let now = now_ms();
    let start = army.start_at_ms();
    match course(context, army, &mut seen, now) {
        Course::Fails(cause) => return fail(status, run, army, now, start, &cause),
        Course::Ends(cause) => return ending(status, run, army, &cause),
        Course::GoesOn => {}
    }
    match start {
        _ if army.is_over() => at_work(status, run, army, now),
        None if army.is_setting_up() => {
            status.phase = Phase::Scheduled;
            let message = "setup is being performed; then the bots begin";
            set(status, run, conditions::RUNNING, false, SETTING_UP, message);
        }
        _ if let Some(why) = suspended(army) => {
            if army.is_under_way(now) {
                at_work(status, run, army, now);
            } else {
                status.phase = Phase::Scheduled;
            }
            set(status, run, conditions::RUNNING, false, &Reason::Suspended.to_string(), why);
        }
        Some(_) if army.is_under_way(now) => {
            at_work(status, run, army, now);
            if let Some((index, _)) = seen.unmanned {
                let cause = seen.kept.unwrap_or_else(|| nobody_came(index));
                let message = format!("the bots are at work but those of runner {index}: {}", cause.message);
                set(status, run, conditions::RUNNING, true, &cause.reason.to_string(), &message);
            }
        }
        _ => {
            status.phase = Phase::Scheduled;
            let (reason, message) = match seen.kept {
                Some(cause) => (cause.reason.to_string(), cause.message),
                None => (STARTING.to_owned(), "runners are being started".to_owned()),
            };
            set(status, run, conditions::RUNNING, false, &reason, &message);
        }
    }
}

fn nobody_came(index: u32) -> Cause {
    let message = format!("runner {index} was lost, and no other has taken its place");
    Cause::new(Reason::RunnerLost, &message)
}

/// Why the run stands still, if it does.
fn suspended(army: &Army) -> Option<&'static str> {
    match army.suspension() {
        Suspension::No => None,
        Suspension::Spec => Some("suspend is true: the bots stay where they are"),
        Suspension::Job => {
            Some("the Job is suspended: its pods are taken away, and others go on when it is resumed")
        }
        Suspension::PodsComing => Some("the Job was suspended; not all runners are back"),
    }
}

fn overdue(army: &Army) -> Cause {
    let limit = army.run.deadline.unwrap_or_default();
    let message = format!("the run was not over within its deadline of {limit:?}");
    Cause::new(Reason::DeadlineExceeded, &message)
}

/// What was changed since the run was accepted.
fn changes(status: &mut BotRunStatus, run: &BotRun) {
    let now_written = digest(&run.spec.run);
    let rate = run.spec.run.load.arrival_rate.as_ref().map(|rate| rate::from_value(&rate.to_value()));
    let changed = status.plan_digest.get_or_insert_with(|| now_written.clone()) != &now_written;
    if let Some(Err(error)) = rate {
        let told = format!("spec.arrivalRate: {error}; the run goes on at the rate it had");
        set(status, run, conditions::SPEC_CHANGED, true, "InvalidRate", &told);
    } else if changed {
        set(status, run, conditions::SPEC_CHANGED, true, "Kept", KEPT);
    } else {
        clear(status, run, conditions::SPEC_CHANGED, "Same", "the run is as it was accepted");
    }
}

fn count(status: &mut BotRunStatus, army: &Army) {
    let now = now_ms();
    status.bots_target = army.run.live_bots().and_then(|_| i32::try_from(army.bots).ok());
    status.start_skew_ms = army.start_skew_ms().and_then(|ms| i64::try_from(ms).ok());
    let runners = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    status.runners = Some(RunnersStatus {
        desired: runners(army.run.runners),
        ready: runners(army.ready(now)),
        finished: runners(army.finished()),
        lost: runners(army.lost(now)),
        replaced: runners(army.replaced()),
    });
}

/// The pods do well, as far as the cluster can tell.
fn silent(context: &Context, army: &Army) -> Cause {
    let message = format!(
        "{} of {} runners have checked in; look into the logs of the others' pods, and whether a policy keeps them from {}",
        army.ready(now_ms()),
        army.run.runners,
        context.settings.coordinator_address()
    );
    Cause::new(Reason::NoCheckIn, &message)
}

/// A run that is being ended before its time.
fn ending(status: &mut BotRunStatus, run: &BotRun, army: &Army, cause: &Cause) {
    figures::write(status, &army.result(now_ms()));
    status.phase = Phase::Running;
    let message = format!("the bots are being ended; {}", cause.message);
    set(status, run, conditions::RUNNING, true, &cause.reason.to_string(), &message);
}

/// The status of a run of which nothing is known any more but what the status says.
pub(super) fn unreadable(run: &BotRun, why: &str) -> BotRunStatus {
    let mut status = begin(run);
    if let Some(result) = &mut status.result {
        result.outcome = RunOutcome::Errored;
    }
    errored(&mut status, run, now_ms(), &Cause::new(Reason::CheckpointFailed, why));
    progress(&mut status, run, true, None);
    status
}

/// Ends a run whose runners cannot do their work; what was measured is kept.
fn fail(status: &mut BotRunStatus, run: &BotRun, army: &Army, now: u64, start: Option<u64>, cause: &Cause) {
    let mut result = army.final_result(now);
    result.outcome = RunOutcome::Errored;
    figures::write(status, &result);
    status.start_time = start.map(time);
    status.result = start.map(|_| result.bounded());
    errored(status, run, now, cause);
}

/// The end of a run that has come to a bad one.
fn errored(status: &mut BotRunStatus, run: &BotRun, now: u64, cause: &Cause) {
    (status.phase, status.outcome) = (Phase::Finished, Some(RunOutcome::Errored));
    status.completion_time = Some(time(now));
    let reason = cause.reason.to_string();
    set(status, run, conditions::RUNNING, false, &reason, &cause.message);
    finish(status, run, RunOutcome::Errored, &reason, &cause.message);
}

/// The figures of a run whose bots are at work, or were.
fn at_work(status: &mut BotRunStatus, run: &BotRun, army: &Army, now: u64) {
    status.start_time = army.start_at_ms().map(time);
    let result = army.result(now);
    figures::write(status, &result);
    figures::judge(status, run, &result, army.summed_rows());
    if !army.is_over() {
        status.phase = Phase::Running;
        let (reason, message) = if army.is_tearing_down() {
            ("TearingDown", "the bots have ended; teardown is being performed")
        } else {
            ("BotsAtWork", "the bots are at work")
        };
        set(status, run, conditions::RUNNING, true, reason, message);
        status.result = Some(result.bounded());
        return;
    }
    status.phase = Phase::Finished;
    status.outcome = Some(result.outcome);
    status.completion_time = Some(time(army.over_at_ms()));
    set(status, run, conditions::RUNNING, false, "Finished", "all runners have handed over their measures");
    if let (RunOutcome::Errored, Some(cause)) = (result.outcome, fault(army)) {
        finish(status, run, result.outcome, &cause.reason.to_string(), &cause.message);
    } else {
        let message = figures::verdict(&result);
        finish(status, run, result.outcome, result.outcome.name(), &message);
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
    Some(Cause::new(reason, &message))
}

fn begin(run: &BotRun) -> BotRunStatus {
    let status = conditions::of_ours(run.status.clone().unwrap_or_default());
    BotRunStatus { observed_generation: run.metadata.generation, ..status }
}
