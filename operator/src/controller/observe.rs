//! Step 5: what the run has come to; no client needed.

use super::Context;
use super::apply::Applied;
use super::build::runner_selector;
use super::cause::{self, Cause, Evidence, Reason};
use super::changed;
use super::conditions::{self, clear, finish, progress, set};
use super::course::{Course, Overdue, Seen, absent, course, fault};
use super::figures::{self, time};
use super::policy::deadline::{self, Load};
use super::policy::loss;
use super::standing::{Standing, Word};
use crate::armies::{Army, MAX_PAUSES, Suspension};
use crate::clock::now_ms;
use crate::conditions::lines;
use botarmy_crds::{BotRun, BotRunStatus, Phase, RunnersStatus};
use botarmy_report::RunOutcome;
use botarmy_spec::LossPolicy;
use botarmy_tree::Finding;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use std::time::Duration;

/// How long after its grace period a run that was told to end may take to hand over its measures.
const HAND_OVER: Duration = Duration::from_secs(60);

/// How long after the end of its grace period a pod may be there.
const SLOW_END: Duration = Duration::from_secs(30);

/// The reason of a run that waits for its runners, and nothing keeps them.
pub(super) const STARTING: Standing = Standing::Scheduled;
pub(super) const SETTING_UP: Standing = Standing::SettingUp;
pub(super) const AT_WORK: Standing = Standing::BotsAtWork;
pub(super) const TEARING_DOWN: Standing = Standing::TearingDown;

/// A run that is refused is at its end.
pub(super) fn invalid(run: &BotRun, findings: &[Finding]) -> BotRunStatus {
    refused(run, cause::of_findings(findings), findings.iter().map(ToString::to_string))
}

fn refused(run: &BotRun, reason: Standing, mistakes: impl Iterator<Item = String>) -> BotRunStatus {
    let mut status = begin(run);
    let message = lines(mistakes);
    (status.phase, status.outcome) = (Phase::Finished, Some(RunOutcome::Errored));
    set(&mut status, run, conditions::ACCEPTED, false, reason, &message);
    let cure = "the run was refused; correct it, delete it and apply it anew";
    finish(&mut status, run, RunOutcome::Errored, RunOutcome::Errored, cure);
    progress(&mut status, run, true, Some((reason.into(), cure)));
    status
}

/// A run that may not begin yet.
pub(super) fn queued(run: &BotRun, cause: &Cause) -> BotRunStatus {
    let mut status = begin(run);
    status.phase = Phase::Pending;
    set(&mut status, run, conditions::ACCEPTED, true, Standing::Valid, VALID);
    set(&mut status, run, conditions::SCHEDULED, false, cause.reason, &cause.message);
    set(&mut status, run, conditions::RUNNING, false, cause.reason, &cause.message);
    progress(&mut status, run, false, None);
    status
}

/// A run that has waited for its turn for too long, for this reason.
pub(super) fn queued_too_long(run: &BotRun, limit: Duration, cause: &Cause) -> BotRunStatus {
    let mut status = begin(run);
    set(&mut status, run, conditions::ACCEPTED, true, Standing::Valid, VALID);
    let message = format!("its turn has not come within its queueDeadline of {limit:?}: {}", cause.message);
    let cause = Cause::new(cause.reason, &message);
    set(&mut status, run, conditions::SCHEDULED, false, cause.reason, &cause.message);
    errored(&mut status, run, now_ms(), &cause);
    progress(&mut status, run, true, None);
    status
}

const VALID: &str = "the trees and the settings make sense";

/// A run that was stopped before it began. It is judged like any other, by nothing.
pub(super) fn never_began(context: &Context, run: &BotRun, uid: &str) -> BotRunStatus {
    let mut status = begin(run);
    let armies = context.armies.lock();
    let Some(army) = armies.get(uid) else { return status };
    let now = now_ms();
    set(&mut status, run, conditions::ACCEPTED, true, Standing::Valid, VALID);
    changed::while_it_goes_on(&context.limits, &mut status, run, army);
    count(&mut status, army);
    let result = army.result(now);
    figures::judge(&mut status, run, &result, army.summed_rows());
    (status.phase, status.outcome) = (Phase::Finished, Some(result.outcome));
    status.completion_time = Some(time(now));
    if conditions::find(&status, conditions::SCHEDULED).is_none_or(|told| told.status != "True") {
        set(&mut status, run, conditions::SCHEDULED, false, Standing::Stopped, STOPPED);
    }
    set(&mut status, run, conditions::RUNNING, false, Standing::Stopped, STOPPED);
    let message = format!("{STOPPED}; {}", figures::verdict(&result));
    finish(&mut status, run, result.outcome, result.outcome, &message);
    progress(&mut status, run, true, None);
    status.result = Some(result.bounded());
    status
}

const STOPPED: &str = "stop is true, and the bots had not begun";

/// Draws the conclusions from the evidence, which is older than what was `applied`.
pub(super) fn conclude(context: &Context, uid: &str, evidence: &Evidence, applied: Applied) -> Seen {
    let mut armies = context.armies.lock();
    let Some(army) = armies.get_mut(uid) else { return Seen::default() };
    for (pod, why, tells) in cause::of_lost(evidence) {
        army.explain(&pod, &why, tells, now_ms());
    }
    let stopped = army.stops_after();
    army.should_have_ended(cause::of_overdue(evidence, before(Timestamp::now(), stopped)));
    let (delayed, is_new) = match applied {
        Applied::Delayed(cause) => (Some(cause), false),
        applied => (None, matches!(applied, Applied::Scheduled)),
    };
    let (job, now) = (evidence.job.as_ref(), Timestamp::now());
    let start_limit = army.run.start_deadline.unwrap_or(context.settings.start_deadline);
    let (let_in, from) = (army.let_in_ms().map(|at| time(at).0), time(army.waits_from_ms()).0);
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
        kept: delayed.or_else(|| keeping(army, evidence, now)),
        // A Job that was made just now has had no time at all.
        late: !is_new && deadline::start_is_late(job, let_in, from, now, start_limit),
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

/// What keeps runners from starting, as the cluster tells.
fn keeping(army: &Army, evidence: &Evidence, now: Timestamp) -> Option<Cause> {
    let is_manned = |index| army.is_manned(index, now_ms());
    let waiting = cause::of_waiting(evidence, is_manned);
    let stuck = cause::of_stuck(evidence, before(now, SLOW_END), is_manned);
    waiting.into_iter().chain(stuck).min_by_key(|cause| cause.reason)
}

/// The moment so long before another one; none is, if that cannot be told.
fn before(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_sub(time).unwrap_or(Timestamp::MIN)
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
        let absent = || absent(army, index, now_ms());
        seen.given_up.get_or_insert_with(|| seen.kept.take().unwrap_or_else(absent));
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
            Standing::ReadingSources,
            "a runner reads the trees from their sources",
        );
    } else {
        set(&mut status, run, conditions::ACCEPTED, true, Standing::Valid, VALID);
    }
    status.sources_digest = army.sources().map(str::to_owned);
    changed::while_it_goes_on(&context.limits, &mut status, run, army);
    if seen.scheduled {
        set(
            &mut status,
            run,
            conditions::SCHEDULED,
            true,
            Standing::JobCreated,
            "the Job of the runners is there",
        );
        status.selector = Some(runner_selector(uid));
    } else if let Some(cause) = &seen.kept {
        set(&mut status, run, conditions::SCHEDULED, false, cause.reason, &cause.message);
    }
    if let Some(why) = army.unsafe_because(now_ms()) {
        set(&mut status, run, conditions::MEASURES_UNSAFE, true, Reason::CheckpointFailed, why);
    } else {
        clear(
            &mut status,
            run,
            conditions::MEASURES_UNSAFE,
            Standing::Written,
            "what was measured survives the operator",
        );
    }
    count(&mut status, army);
    let lacks_one = stand(context, &mut status, run, army, seen);
    let over = status.phase == Phase::Finished;
    let kept = conditions::find(&status, conditions::RUNNING).filter(|c| {
        let is_kept = lacks_one || (c.status == "False" && !is_usual(c));
        !over && is_kept
    });
    let kept = kept.map(|c| (Word::from(c), c.message.clone()));
    progress(&mut status, run, over, kept.as_ref().map(|(reason, message)| (reason.clone(), &**message)));
    status
}

/// Whether that for which bots are not at work passes by itself, or somebody has wanted it.
fn is_usual(told: &Condition) -> bool {
    [STARTING, SETTING_UP].iter().any(|usual| usual.to_string() == told.reason)
        || told.reason == Reason::Suspended.to_string()
}

/// Where the run stands. Tells whether a lost runner cannot be replaced while the others are at work, or wait for it.
fn stand(context: &Context, status: &mut BotRunStatus, run: &BotRun, army: &Army, mut seen: Seen) -> bool {
    let now = now_ms();
    let start = army.start_at_ms();
    match course(army, &mut seen, &context.settings.coordinator_address(), now) {
        Course::Fails(cause) => {
            let lacking = army.lacking_teardown().filter(|_| cause.reason != Reason::TeardownFailed);
            let cause = lacking.map_or(cause.clone(), |lacking| cause.and(&lacking));
            fail(status, run, army, now, start, &cause);
            return false;
        }
        Course::Ends(cause) => {
            ending(status, run, army, &cause);
            return false;
        }
        Course::GoesOn => {}
    }
    match start {
        _ if army.is_over() => at_work(status, run, army, now),
        None if army.is_setting_up() => {
            status.phase = Phase::Scheduled;
            if let Some((index, _)) = seen.unmanned {
                return lacking(status, run, army, index, seen.kept);
            }
            let message = "setup is being performed; then the bots begin";
            set(status, run, conditions::RUNNING, false, SETTING_UP, message);
        }
        _ if let Some((holds, reason, why)) = suspended(army) => {
            if army.is_under_way(now) {
                at_work(status, run, army, now);
            } else {
                status.phase = Phase::Scheduled;
            }
            set(status, run, conditions::RUNNING, holds, reason, &why);
        }
        Some(_) if army.is_under_way(now) => {
            at_work(status, run, army, now);
            if let Some((index, _)) = seen.unmanned {
                return lacking(status, run, army, index, seen.kept);
            }
            work(status, run, army);
        }
        _ => {
            status.phase = Phase::Scheduled;
            let (reason, message) = match seen.kept {
                Some(cause) => (Word::from(cause.reason), cause.message),
                None => (STARTING.into(), "runners are being started".to_owned()),
            };
            set(status, run, conditions::RUNNING, false, reason, &message);
        }
    }
    false
}

/// The part of a runner is in nobody's hands. Tells whether something keeps whoever shall take its place.
fn lacking(status: &mut BotRunStatus, run: &BotRun, army: &Army, index: u32, kept: Option<Cause>) -> bool {
    let (is_kept, is_at_work) = (kept.is_some(), !army.is_setting_up());
    let cause = kept.unwrap_or_else(|| absent(army, index, now_ms()));
    let others = match is_at_work {
        // Its bots may be, too.
        true if cause.reason == Reason::RunnerSilent => "the bots are at work".to_owned(),
        true => format!("the bots are at work but those of runner {index}"),
        false => format!("runner {index}, which performs setup, is not heard"),
    };
    let message = format!("{others}: {}", cause.message);
    set(status, run, conditions::RUNNING, is_at_work, cause.reason, &message);
    is_kept
}

/// What is told of a run that stands still, or is to: whether its bots are at work all the same, and why.
fn suspended(army: &Army) -> Option<(bool, Word, String)> {
    let in_vain = army.cannot_stand_still();
    let too_often = format!("the run has stood still {MAX_PAUSES} times, which is the most");
    let why = match army.suspension() {
        Suspension::No => return None,
        Suspension::Spec if in_vain => {
            let message = format!("suspend is true and has no effect, since {too_often}");
            return Some((true, Standing::SuspendIgnored.into(), message));
        }
        Suspension::Spec => "suspend is true: the bots stay where they are",
        Suspension::Job => {
            "the Job is suspended: its pods are taken away, and others go on when it is resumed"
        }
        Suspension::PodsComing => "the Job was suspended; not all runners are back",
    };
    let why = if in_vain {
        format!("{why}; the time of the load goes on, since {too_often}")
    } else {
        why.to_owned()
    };
    Some((false, Reason::Suspended.into(), why))
}

fn count(status: &mut BotRunStatus, army: &Army) {
    let now = now_ms();
    status.bots_target = army.run.live_bots().and_then(|_| i32::try_from(army.bots).ok());
    status.start_skew_ms = army.start_skew_ms().and_then(|ms| i64::try_from(ms).ok());
    status.runners = Some(RunnersStatus {
        desired: number(army.run.runners),
        ready: number(army.ready(now)),
        finished: number(army.finished()),
        lost: number(army.lost(now)),
        replaced: number(army.replaced()),
    });
}

fn number(runners: u32) -> i32 {
    i32::try_from(runners).unwrap_or(i32::MAX)
}

/// A run that is being ended before its time.
fn ending(status: &mut BotRunStatus, run: &BotRun, army: &Army, cause: &Cause) {
    let result = army.result(now_ms());
    figures::write(status, &result);
    figures::judge(status, run, &result, army.summed_rows());
    status.phase = Phase::Running;
    let message = format!("the bots are being ended; {}", cause.message);
    set(status, run, conditions::RUNNING, true, cause.reason, &message);
    status.result = Some(result.bounded());
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
    if let Some(runners) = &mut status.runners {
        runners.lost = number(army.finally_lost(now));
    }
    figures::write(status, &result);
    // Of one that never began nothing can be said.
    if start.is_some() {
        figures::judge(status, run, &result, army.summed_rows());
    }
    status.start_time = start.map(time);
    status.result = start.map(|_| result.bounded());
    errored(status, run, now, cause);
}

/// The end of a run that has come to a bad one.
fn errored(status: &mut BotRunStatus, run: &BotRun, now: u64, cause: &Cause) {
    (status.phase, status.outcome) = (Phase::Finished, Some(RunOutcome::Errored));
    status.completion_time = Some(time(now));
    set(status, run, conditions::RUNNING, false, cause.reason, &cause.message);
    finish(status, run, RunOutcome::Errored, cause.reason, &cause.message);
}

/// What the bots do that are at work.
fn work(status: &mut BotRunStatus, run: &BotRun, army: &Army) {
    let (reason, message) = if army.is_tearing_down() {
        (TEARING_DOWN, "the bots have ended; teardown is being performed")
    } else {
        (AT_WORK, "the bots are at work")
    };
    set(status, run, conditions::RUNNING, true, reason, message);
}

/// The figures of a run whose bots are at work, or were; and its end, if it is over.
fn at_work(status: &mut BotRunStatus, run: &BotRun, army: &Army, now: u64) {
    status.start_time = army.start_at_ms().map(time);
    let result = army.result(now);
    figures::write(status, &result);
    figures::judge(status, run, &result, army.summed_rows());
    if !army.is_over() {
        status.phase = Phase::Running;
        status.result = Some(result.bounded());
        return;
    }
    status.phase = Phase::Finished;
    status.outcome = Some(result.outcome);
    status.completion_time = Some(time(army.over_at_ms()));
    set(
        status,
        run,
        conditions::RUNNING,
        false,
        Standing::Finished,
        "all runners have handed over their measures",
    );
    if let (RunOutcome::Errored, Some(cause)) = (result.outcome, fault(army)) {
        finish(status, run, result.outcome, cause.reason, &cause.message);
    } else {
        let message = figures::verdict(&result);
        finish(status, run, result.outcome, result.outcome, &message);
    }
    status.result = Some(result.bounded());
}

fn begin(run: &BotRun) -> BotRunStatus {
    let status = conditions::of_ours(run.status.clone().unwrap_or_default());
    BotRunStatus { observed_generation: run.metadata.generation, ..status }
}
