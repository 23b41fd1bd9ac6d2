//! The run that is created. Pure.

use super::runs::name_of;
use botarmy_crds::{BotRun, BotRunSchedule};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

/// The label of a run with the name of the schedule that has created it.
pub(super) const SCHEDULE_LABEL: &str = "botarmy.dev/schedule";
/// The annotation of a run with the time at which it was due.
const DUE_ANNOTATION: &str = "botarmy.dev/scheduled-at";

/// The run that is due then, as JSON.
pub(super) fn build(schedule: &BotRunSchedule, at: Timestamp) -> Result<Value, serde_json::Error> {
    let (name, template) = (schedule.name_any(), &schedule.spec.template);
    let mut metadata = serde_json::to_value(template.metadata.clone().unwrap_or_default())?;
    metadata["name"] = name_of(&name, at).into();
    metadata["namespace"] = schedule.namespace().into();
    metadata["labels"][SCHEDULE_LABEL] = name.into();
    metadata["annotations"][DUE_ANNOTATION] = at.to_string().into();
    metadata["ownerReferences"] = json!(schedule.controller_owner_ref(&()).as_slice());
    Ok(json!({
        "apiVersion": BotRun::api_version(&()),
        "kind": BotRun::kind(&()),
        "metadata": metadata,
        "spec": template.spec,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_the_templates_and_known_as_the_schedules() {
        let spec = json!({"trees": {"T": {"wait": 1}}, "bots": 2, "duration": "5m", "custom": {"a": [1.5]}});
        let theirs = json!({"labels": {"team": "shop"}, "annotations": {"example.com/note": "hello"}});
        let schedule = |template: Value| -> BotRunSchedule {
            serde_json::from_value(json!({
                "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule",
                "metadata": {"name": "nightly", "namespace": "shop", "uid": "u"},
                "spec": {"schedule": "@hourly", "template": template},
            }))
            .unwrap()
        };
        let at: Timestamp = "2030-01-01T02:30:00Z".parse().unwrap();
        let run = build(&schedule(json!({"metadata": theirs, "spec": spec})), at).unwrap();
        let owner = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule", "name": "nightly", "uid": "u", "controller": true});
        let wanted = json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "spec": spec,
            "metadata": {
                "name": "nightly-31557750", "namespace": "shop", "ownerReferences": [owner],
                "labels": {"team": "shop", "botarmy.dev/schedule": "nightly"},
                "annotations": {"example.com/note": "hello", "botarmy.dev/scheduled-at": "2030-01-01T02:30:00Z"},
            },
        });
        assert_eq!(run, wanted);
        let plain = build(&schedule(json!({"spec": spec})), at).unwrap();
        assert_eq!(plain["metadata"]["labels"], json!({"botarmy.dev/schedule": "nightly"}));
        assert_eq!(
            plain["metadata"]["annotations"],
            json!({"botarmy.dev/scheduled-at": "2030-01-01T02:30:00Z"})
        );
        let read: Result<BotRun, _> = serde_json::from_value(run);
        assert!(read.is_ok(), "{read:?}");
    }
}
