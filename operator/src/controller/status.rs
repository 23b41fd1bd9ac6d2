//! Step 6: the one write of a reconcile, only if something changed.

use super::conditions;
use super::observe::STARTING;
use super::{Context, Error, FIELD_MANAGER};
use crate::api_call::call;
use botarmy_crds::{BotRun, BotRunStatus, MAX_NUMBER, Phase};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use std::time::Duration;

/// Between two writes that tell nothing but newer figures.
const FIGURES_EVERY: Duration = Duration::from_secs(5);

/// Writes a status if it tells something new. Figures alone are new every five seconds.
pub(super) async fn write(context: &Context, run: &BotRun, status: BotRunStatus) -> Result<(), Error> {
    let before = conditions::of_ours(run.status.clone().unwrap_or_default());
    let transition = without_figures(&before) != without_figures(&status);
    if status == before || (!transition && !figures_are_due(run)) {
        return Ok(());
    }
    patch(context, run, &status).await?;
    if let (Phase::Finished, Some(outcome)) = (status.phase, status.outcome)
        && before.phase != Phase::Finished
    {
        context.metrics.ended(outcome);
    }
    tell(context, run, &before, &status).await;
    Ok(())
}

/// The status of a run that is over: the observed generation is kept current.
pub(super) fn of_the_end(run: &BotRun) -> BotRunStatus {
    let mut status = conditions::of_ours(run.status.clone().unwrap_or_default());
    status.observed_generation = run.metadata.generation;
    for condition in &mut status.conditions {
        condition.observed_generation = run.metadata.generation;
    }
    status
}

/// Writes it, if the run is still as it was when it was looked at: what somebody has changed since is looked at anew.
async fn patch(context: &Context, run: &BotRun, status: &BotRunStatus) -> Result<(), Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let runs: Api<BotRun> = Api::namespaced(context.client.clone(), &namespace);
    let mut body = json!({
        "apiVersion": BotRun::api_version(&()), "kind": BotRun::kind(&()),
        "metadata": {"resourceVersion": run.resource_version()}, "status": status,
    });
    hold_numbers(&mut body["status"]);
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    let (name, patch) = (run.name_any(), Patch::Apply(&body));
    call("writing the status", runs.patch_status(&name, &manager, &patch)).await?;
    context.metrics.status_written();
    Ok(())
}

/// What runners have added up to may be more than a status takes; the rest of it is worth being told all the same.
fn hold_numbers(told: &mut Value) {
    match told {
        Value::Number(number) if number.as_u64().is_some_and(|number| number > MAX_NUMBER) => {
            *told = MAX_NUMBER.into();
        }
        Value::Array(items) => items.iter_mut().for_each(hold_numbers),
        Value::Object(fields) => fields.values_mut().for_each(hold_numbers),
        _ => {}
    }
}

fn without_figures(status: &BotRunStatus) -> BotRunStatus {
    BotRunStatus {
        bots: None,
        actions_per_second: None,
        p95: None,
        errors: None,
        top_errors: Vec::new(),
        start_skew_ms: None,
        result: None,
        conditions: status.conditions.iter().cloned().map(without_value).collect(),
        ..status.clone()
    }
}

/// Some conditions tell figures in their messages.
fn without_value(mut condition: Condition) -> Condition {
    if [conditions::THRESHOLDS_MET, conditions::GENERATOR_SATURATED].contains(&condition.type_.as_str()) {
        condition.message.clear();
    }
    condition
}

/// The last write is known from the managed fields, so that a new operator keeps the rhythm.
fn figures_are_due(run: &BotRun) -> bool {
    let ours = run.managed_fields().iter().filter(|f| f.manager.as_deref() == Some(FIELD_MANAGER));
    let last = ours
        .filter(|f| f.subresource.as_deref() == Some("status"))
        .filter_map(|f| f.time.as_ref())
        .map(|t| t.0)
        .max();
    last.is_none_or(|last| {
        Timestamp::now().duration_since(last)
            >= jiff::SignedDuration::try_from(FIGURES_EVERY).unwrap_or_default()
    })
}

/// The events that a new status is worth: a new phase, and a new reason for which runners do not
/// start.
async fn tell(context: &Context, run: &BotRun, before: &BotRunStatus, status: &BotRunStatus) {
    let told = |status: &BotRunStatus, kind: &str| {
        status.conditions.iter().find(|c| c.type_ == kind).map(|c| (c.reason.clone(), c.message.clone()))
    };
    let running = told(status, conditions::RUNNING);
    let stuck = status.phase == Phase::Scheduled
        && running.as_ref().is_some_and(|(reason, _)| reason != STARTING)
        && running.as_ref().map(|r| &r.0) != told(before, conditions::RUNNING).as_ref().map(|r| &r.0);
    let lost = |status: &BotRunStatus| status.runners.as_ref().map_or(0, |r| r.lost);
    if lost(status) > lost(before) {
        let why = status.result.iter().flat_map(|r| &r.gaps).last().map(|gap| gap.reason.clone());
        let note = format!("{} runners were lost so far; {}", lost(status), why.unwrap_or_default());
        super::apply::tell(context, run, EventType::Warning, "RunnerLost", note).await;
    }
    let exported = |status: &BotRunStatus| {
        conditions::find(status, conditions::EXPORTED).filter(|c| c.status != "Unknown").cloned()
    };
    if let Some(ended) = exported(status).filter(|_| status.export != before.export) {
        let kind = if ended.status == "True" { EventType::Normal } else { EventType::Warning };
        super::apply::tell(context, run, kind, &ended.reason, ended.message).await;
    }
    let (event, bad) = match status.phase {
        Phase::Finished if before.phase != Phase::Finished => {
            let failed = told(status, conditions::FAILED);
            (failed.clone().or(told(status, conditions::COMPLETE)), failed.is_some())
        }
        Phase::Scheduled if stuck => (running, true),
        Phase::Pending
            if running.as_ref().map(|r| &r.0) != told(before, conditions::RUNNING).as_ref().map(|r| &r.0) =>
        {
            (running, false)
        }
        // That it was scheduled is told with the Job.
        Phase::Running if before.phase != Phase::Running => (running, false),
        _ => return,
    };
    let Some((reason, message)) = event else { return };
    let kind = if bad { EventType::Warning } else { EventType::Normal };
    super::apply::tell(context, run, kind, &reason, message).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_holds_no_number_that_the_api_server_would_refuse() {
        let mut status =
            json!({"bots": 3, "result": {"bytesIn": u64::MAX, "points": [{"max": MAX_NUMBER, "low": -1}]}});
        hold_numbers(&mut status);
        let held =
            json!({"bots": 3, "result": {"bytesIn": MAX_NUMBER, "points": [{"max": MAX_NUMBER, "low": -1}]}});
        assert_eq!(status, held);
    }
}
