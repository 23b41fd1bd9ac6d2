//! What is told of a schedule: its status, and the events that a new status is worth. Pure.

use super::cron::Cron;
use super::due::{Decision, MOST_MISSED, last_start};
use super::runs::ScheduledRun;
use crate::conditions::{self, Documented};
use crate::controller::Cause;
use crate::events::Happened;
use botarmy_crds::{ActiveRun, BotRunSchedule, BotRunScheduleStatus};
use botarmy_tree::Finding;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::events::EventType;
use std::fmt;

/// Most active runs that are named.
const MOST_NAMED: usize = 100;

/// The reasons of conditions and events about schedules. A run that cannot be created has that of its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The schedule makes sense.
    Valid,
    /// It does not.
    Invalid,
    /// Runs are created when they are due.
    Scheduling,
    /// None is created, as the spec says.
    Suspended,
    /// A run is due, and another one has not ended.
    RunAlreadyActive,
    /// A run was due, and it is too late for it.
    MissedDeadline,
    /// A run was created.
    RunCreated,
    /// A run was deleted to make room for the next one.
    RunReplaced,
    /// An ended run was deleted.
    RunDeleted,
    /// More runs were missed than are counted.
    TooManyMissed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Documented for Reason {}

impl Reason {
    /// An event for this reason.
    pub(super) fn happened(self, type_: EventType, note: String, run: Option<ObjectReference>) -> Happened {
        Happened { type_, reason: self.to_string(), note, related: run }
    }
}

/// What a look at a schedule has come to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It cannot be followed.
    Refused(Vec<Finding>),
    /// It is followed.
    Followed {
        cron: Cron,
        decision: Decision,
        /// Why the run that was due could not be created.
        failure: Option<Cause>,
    },
}

/// The status after a look. `before` is the one that was written last; `runs` are those that there are now.
pub(super) fn fold(
    schedule: &BotRunSchedule,
    before: &BotRunScheduleStatus,
    runs: &[ScheduledRun],
    verdict: &Verdict,
    now: Timestamp,
) -> BotRunScheduleStatus {
    let mut status = before.clone();
    status.observed_generation = schedule.metadata.generation;
    let active: Vec<&ScheduledRun> = runs.iter().filter(|run| run.end.is_none()).collect();
    status.active_count = i32::try_from(active.len()).unwrap_or(i32::MAX);
    let named = |run: &&ScheduledRun| ActiveRun { name: run.name.clone(), uid: run.uid.clone() };
    status.active = active.iter().take(MOST_NAMED).map(named).collect();
    let passed = runs.iter().filter_map(|run| run.end.filter(|end| end.passed)).map(|end| Time(end.at));
    status.last_successful_time = passed.chain(before.last_successful_time.clone()).max();
    match verdict {
        Verdict::Refused(findings) => {
            status.next_schedule_time = None;
            refuse(&mut status, schedule, findings, now);
        }
        Verdict::Followed { cron, decision, failure } => {
            starts(&mut status, schedule, runs, cron, *decision, failure.is_some(), now);
            let next = cron.after(now).filter(|_| *decision != Decision::Suspended);
            status.next_schedule_time = next.map(Time);
            follow(&mut status, schedule, *decision, failure.as_ref(), now);
        }
    }
    status
}

/// When the last run was due, and how many were due before it and after the one that was told last.
fn starts(
    status: &mut BotRunScheduleStatus,
    schedule: &BotRunSchedule,
    runs: &[ScheduledRun],
    cron: &Cron,
    decision: Decision,
    failed: bool,
    now: Timestamp,
) {
    let told = status.last_schedule_time.as_ref().map(|time| time.0);
    let started = match decision {
        Decision::Start { at, .. } if !failed => Some(at),
        _ => None,
    };
    let Some(last) = started.or(last_start(told, runs, now)) else { return };
    let since = last_start(told, &[], now).unwrap_or_else(|| created(schedule));
    let missed = cron.between(since, last).filter(|at| *at < last).take(MOST_MISSED).count();
    status.missed_runs = status.missed_runs.saturating_add(i64::try_from(missed).unwrap_or_default());
    status.last_schedule_time = Some(Time(last));
}

/// Since when a schedule counts that has not started any run.
pub(super) fn created(schedule: &BotRunSchedule) -> Timestamp {
    schedule.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn refuse(
    status: &mut BotRunScheduleStatus,
    schedule: &BotRunSchedule,
    findings: &[Finding],
    now: Timestamp,
) {
    let told = conditions::listed(findings);
    let idle = "no run is created; correct what the condition Accepted names";
    for (kind, holds, message) in
        [("Accepted", false, told.as_str()), ("Ready", false, idle), ("Stalled", true, idle)]
    {
        set(status, schedule, now, kind, holds, &Reason::Invalid, message);
    }
}

fn follow(
    status: &mut BotRunScheduleStatus,
    schedule: &BotRunSchedule,
    decision: Decision,
    failure: Option<&Cause>,
    now: Timestamp,
) {
    let sense = "the times and the template make sense";
    set(status, schedule, now, "Accepted", true, &Reason::Valid, sense);
    status.conditions.retain(|condition| condition.type_ != "Stalled");
    if let Some(cause) = failure {
        set(status, schedule, now, "Ready", false, &cause.reason, &cause.message);
        return;
    }
    let (reason, message) = match decision {
        Decision::Wait | Decision::Start { .. } => {
            (Reason::Scheduling, "runs are created when they are due".to_owned())
        }
        Decision::Suspended => (Reason::Suspended, "no run is created while suspend is true".to_owned()),
        Decision::Blocked(at) => (Reason::RunAlreadyActive, blocked(status, at)),
        Decision::Late(at) => (
            Reason::MissedDeadline,
            format!("the run that was due at {at} was not started within startingDeadlineSeconds"),
        ),
    };
    set(status, schedule, now, "Ready", true, &reason, &message);
}

fn blocked(status: &BotRunScheduleStatus, at: Timestamp) -> String {
    let name = status.active.first().map_or("another one", |run| run.name.as_str());
    format!("the run that was due at {at} waits for the end of {name}")
}

fn set(
    status: &mut BotRunScheduleStatus,
    schedule: &BotRunSchedule,
    now: Timestamp,
    kind: &str,
    holds: bool,
    reason: &impl Documented,
    message: &str,
) {
    let generation = schedule.metadata.generation;
    conditions::set(&mut status.conditions, generation, now, kind, holds, reason, message);
}

/// The event that a new status is worth: something keeps runs from being created, and did not before.
pub(super) fn news(before: &BotRunScheduleStatus, after: &BotRunScheduleStatus) -> Option<Happened> {
    let told = |status: &BotRunScheduleStatus, kind: &str| {
        status.conditions.iter().find(|c| c.type_ == kind).map(|c| (c.reason.clone(), c.message.clone()))
    };
    // Why it was refused stands in the other condition.
    let kind = if after.conditions.iter().any(|c| c.type_ == "Stalled") { "Accepted" } else { "Ready" };
    let (reason, note) = told(after, kind)?;
    let ordinary = [Reason::Scheduling, Reason::Suspended].map(|reason| reason.to_string());
    if ordinary.contains(&reason) || told(before, kind).as_ref() == Some(&(reason.clone(), note.clone())) {
        return None;
    }
    let usual = reason == Reason::RunAlreadyActive.to_string();
    let type_ = if usual { EventType::Normal } else { EventType::Warning };
    Some(Happened { type_, reason, note, related: None })
}

#[cfg(test)]
mod tests;
