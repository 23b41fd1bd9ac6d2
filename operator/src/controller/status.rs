//! Step 6: the one write of a reconcile, only if something changed.

use super::changed;
use super::conditions;
use super::{Context, Error, FIELD_MANAGER, story};
use crate::api_call::call;
use crate::clock::now_ms;
use crate::events;
use botarmy_crds::{BotRun, BotRunStatus, MAX_NUMBER, Phase};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use std::time::Duration;

/// Between two writes that tell nothing but newer figures.
const FIGURES_EVERY: Duration = Duration::from_secs(5);

/// Writes a status if it tells something new. Figures alone are new every five seconds.
pub(super) async fn write(context: &Context, run: &BotRun, status: BotRunStatus) -> Result<(), Error> {
    let before = conditions::of_ours(run.status.clone().unwrap_or_default());
    let transition = without_figures(&before) != without_figures(&status);
    if status == before || (!transition && !figures_are_due(run, Timestamp::now())) {
        return Ok(());
    }
    patch(context, run, &status).await?;
    if let (Phase::Finished, Some(outcome)) = (status.phase, status.outcome)
        && before.phase != Phase::Finished
    {
        context.metrics.ended(outcome);
    }
    let uid = run.uid().unwrap_or_default();
    let loss = context.armies.lock().get(&uid).and_then(|a| a.newest_loss(now_ms()).map(str::to_owned));
    for happened in story::of(&before, &status, loss.as_deref()) {
        if !events::tell(&context.recorder, &run.object_ref(&()), happened).await {
            context.metrics.event_lost();
        }
    }
    Ok(())
}

/// The status of a run that is over: the observed generation is kept current, and a change is told to have no effect.
pub(super) fn of_the_end(run: &BotRun) -> BotRunStatus {
    let mut status = conditions::of_ours(run.status.clone().unwrap_or_default());
    status.observed_generation = run.metadata.generation;
    for condition in &mut status.conditions {
        condition.observed_generation = run.metadata.generation;
    }
    changed::at_the_end(&mut status, run);
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

/// The last write is known from the managed fields, so that a new operator keeps the rhythm. Its time is that of the API
/// server's clock: where that is far ahead, rather too many figures are written than none.
fn figures_are_due(run: &BotRun, now: Timestamp) -> bool {
    let ours = run.managed_fields().iter().filter(|f| f.manager.as_deref() == Some(FIELD_MANAGER));
    let last = ours
        .filter(|f| f.subresource.as_deref() == Some("status"))
        .filter_map(|f| f.time.as_ref())
        .map(|t| t.0)
        .max();
    last.is_none_or(|last| now.duration_since(last).unsigned_abs() >= FIGURES_EVERY)
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

    /// A run whose status is this.
    fn run(status: &Value) -> BotRun {
        let run = json!({"metadata": {"name": "r", "generation": 2}, "spec": {}, "status": status});
        serde_json::from_value(run).unwrap()
    }

    fn condition(kind: &str, reason: &str, message: &str) -> Value {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2030-01-01T00:00:00Z",
        })
    }

    #[test]
    fn figures_alone_are_nothing_new() {
        let told = |skew: u64, kind: &str, reason: &str, message: &str| {
            let status = json!({"startSkewMs": skew, "conditions": [condition(kind, reason, message)]});
            without_figures(&run(&status).status.unwrap())
        };
        for kind in [conditions::THRESHOLDS_MET, conditions::GENERATOR_SATURATED] {
            let before = told(1, kind, "R", "1%");
            assert_eq!(before, told(2, kind, "R", "2%"), "{kind}");
            assert_ne!(before, told(1, kind, "S", "1%"), "{kind}");
        }
        assert_ne!(told(1, conditions::RUNNING, "R", "1%"), told(1, conditions::RUNNING, "R", "2%"));
    }

    #[test]
    fn what_is_told_of_a_run_that_is_over_is_told_of_its_last_change_too() {
        let status = json!({"observedGeneration": 1, "conditions": [condition("Complete", "Passed", "")]});
        let status = of_the_end(&run(&status));
        assert_eq!(
            (status.observed_generation, status.conditions[0].observed_generation),
            (Some(2), Some(2))
        );
    }

    #[test]
    fn figures_are_written_every_five_seconds_whosever_clock_is_ahead() {
        let at = |time: &str| -> Timestamp { format!("2030-01-01T{time}Z").parse().unwrap() };
        let written = |manager: &str, subresource: &str, at: &str| {
            json!({
                "manager": manager, "operation": "Apply", "subresource": subresource,
                "time": format!("2030-01-01T{at}Z"),
            })
        };
        let ours = |at| written(FIELD_MANAGER, "status", at);
        for (what, fields, due) in [
            ("never", vec![], true),
            ("just now", vec![ours("00:10:00")], false),
            ("four seconds ago", vec![ours("00:09:56")], false),
            ("five seconds ago", vec![ours("00:09:55")], true),
            ("a second ago, by a clock that is two seconds ahead", vec![ours("00:10:01")], false),
            ("by a clock that is five minutes ahead", vec![ours("00:15:00")], true),
            ("by somebody else", vec![written("kubectl", "status", "00:10:00")], true),
            ("not the status", vec![written(FIELD_MANAGER, "", "00:10:00")], true),
        ] {
            let metadata = json!({"name": "r", "managedFields": fields});
            let run: BotRun = serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap();
            assert_eq!(figures_are_due(&run, at("00:10:00")), due, "{what}");
        }
    }
}
