//! The story of a run, as its events tell it: what a new status says that the one before it did not. Pure.
//!
//! That its Job was made is told where it is made, and so is a pod that was taken away.

use super::cause::Reason;
use super::conditions::{self, find};
use super::observe::{AT_WORK, SETTING_UP, STARTING, TEARING_DOWN};
use super::standing::Standing;
use crate::events::Happened;
use botarmy_crds::{BotRunStatus, Phase};
use botarmy_report::Gap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::EventType;

/// Reasons of `Running` that nobody has to worry about.
const WELL: [Standing; 4] = [STARTING, SETTING_UP, AT_WORK, TEARING_DOWN];
/// Those that somebody has wanted so.
const WANTED: [Reason; 2] = [Reason::Queued, Reason::Suspended];
/// Conditions that are true when something is wrong. Their events bear their own names.
const WARNINGS: [&str; 4] = [
    conditions::SPEC_CHANGED,
    conditions::MEASURES_UNSAFE,
    conditions::GENERATOR_SATURATED,
    conditions::MEASURES_SUMMED,
];

/// The events that a new status is worth; `loss` is why the runner was lost that was lost last, if that is known.
pub(super) fn of(before: &BotRunStatus, status: &BotRunStatus, loss: Option<&str>) -> Vec<Happened> {
    let warnings = WARNINGS.iter().filter_map(|kind| come_true(before, status, kind));
    let mut story: Vec<Happened> = lost(before, status, loss).into_iter().chain(warnings).collect();
    story.extend(exported(before, status));
    story.extend(if status.phase == Phase::Finished {
        ended(before, status)
    } else {
        running(before, status)
    });
    story
}

fn happened(is_bad: bool, reason: &str, note: &str) -> Happened {
    let type_ = if is_bad { EventType::Warning } else { EventType::Normal };
    Happened { type_, reason: reason.to_owned(), note: note.to_owned(), related: None }
}

fn lost(before: &BotRunStatus, status: &BotRunStatus, loss: Option<&str>) -> Option<Happened> {
    let lost = |status: &BotRunStatus| status.runners.as_ref().map_or(0, |r| r.lost);
    let now = lost(status);
    if now <= lost(before) {
        return None;
    }
    // A gap tells of what is over: that of a runner whose part nobody has taken yet comes later.
    let mut gaps = status.result.iter().flat_map(|r| &r.gaps);
    let is_known = |gap: &Gap| before.result.iter().flat_map(|r| &r.gaps).any(|g| g.pod_uid == gap.pod_uid);
    let why = gaps.rfind(|gap| !is_known(gap)).map(|gap| &*gap.reason).or(loss);
    let runners = if now == 1 { "1 runner was".to_owned() } else { format!("{now} runners were") };
    let why = why.map(|why| format!("; {why}")).unwrap_or_default();
    Some(happened(true, "RunnerLost", &format!("{runners} lost so far{why}")))
}

/// A warning that was not there before, or is there for another reason.
fn come_true(before: &BotRunStatus, status: &BotRunStatus, kind: &str) -> Option<Happened> {
    let holds = |c: &&Condition| c.status == "True";
    let now = find(status, kind).filter(holds)?;
    let is_known = find(before, kind).filter(holds).is_some_and(|known| known.reason == now.reason);
    (!is_known).then(|| happened(true, kind, &now.message))
}

fn exported(before: &BotRunStatus, status: &BotRunStatus) -> Option<Happened> {
    let ended = find(status, conditions::EXPORTED).filter(|c| c.status != "Unknown")?;
    (status.export != before.export).then(|| happened(ended.status != "True", &ended.reason, &ended.message))
}

fn ended(before: &BotRunStatus, status: &BotRunStatus) -> Option<Happened> {
    if before.phase == Phase::Finished {
        return None;
    }
    let failed = find(status, conditions::FAILED);
    let told = failed.or(find(status, conditions::COMPLETE))?;
    Some(happened(failed.is_some(), &told.reason, &told.message))
}

/// Another reason for which bots are at work or not.
fn running(before: &BotRunStatus, status: &BotRunStatus) -> Option<Happened> {
    let now = find(status, conditions::RUNNING)?;
    let is_known = find(before, conditions::RUNNING)
        .is_some_and(|known| (&known.status, &known.reason) == (&now.status, &now.reason));
    // Its Job is new, and that is told already.
    let has_job = find(before, conditions::SCHEDULED).is_some_and(|c| c.status == "True");
    if is_known || (now.reason == STARTING.to_string() && !has_job) {
        return None;
    }
    let is_wanted = WANTED.iter().any(|wanted| wanted.to_string() == now.reason);
    let is_bad = !is_wanted && WELL.iter().all(|well| well.to_string() != now.reason);
    Some(happened(is_bad, &now.reason, &now.message))
}

#[cfg(test)]
#[path = "story/tests.rs"]
mod tests;
