//! Step 3: the objects of a run; no client needed, the same every time.

use super::validate::Accepted;
use super::{Context, Error};
use crate::checkpoint;
use crate::coordinator::RUN_UID_LABEL;
use botarmy_crds::BotRun;
use botarmy_protocol::{AUDIENCE, env, path};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

/// The label by which the objects of this operator are known.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "botarmy-operator");
const RUN_LABEL: &str = "botarmy.dev/run";
/// How often one runner may be lost before the run is given up.
const LOSSES: i32 = 3;
/// A runner's measures are handed over within this time after it was told to end.
const TERMINATION_GRACE_SECONDS: i64 = 60;

/// What a user's template may not set, as JSON pointers with their names for people.
pub(super) const PROTECTED: [(&str, &str); 3] = [
    ("/spec/restartPolicy", "spec.restartPolicy"),
    ("/spec/automountServiceAccountToken", "spec.automountServiceAccountToken"),
    ("/spec/hostname", "spec.hostname"),
];

/// The objects of a run.
pub(super) struct Objects {
    /// The certificate that the runners check the coordinator with.
    pub(super) trust: ConfigMap,
    /// Where the sum is kept; made empty, filled by the coordinator.
    pub(super) checkpoint: ConfigMap,
    /// The runners; none if it was made already.
    pub(super) job: Option<Job>,
}

/// The selector of the objects of this operator.
pub(super) fn managed_by_selector() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

pub(super) fn build(
    context: &Context,
    run: &BotRun,
    uid: &str,
    accepted: &Accepted,
) -> Result<Objects, Error> {
    let metadata = metadata(run, uid)?;
    let named = |name: String| {
        let mut metadata = metadata.clone();
        metadata["name"] = name.into();
        metadata
    };
    let trust = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": named(trust_name(run)), "data": {path::CA_FILE: context.authority},
    });
    let checkpoint = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named(checkpoint::name(&run.name_any()))});
    let job = match &accepted.job {
        Some(_) => None,
        None => Some(serde_json::from_value(job(context, run, uid, accepted, &named(run.name_any())))?),
    };
    Ok(Objects {
        trust: serde_json::from_value(trust)?,
        checkpoint: serde_json::from_value(checkpoint)?,
        job,
    })
}

fn metadata(run: &BotRun, uid: &str) -> Result<Value, Error> {
    let owner = run.controller_owner_ref(&()).ok_or(Error::Incomplete("name"))?;
    Ok(json!({
        "namespace": run.namespace(),
        "labels": {MANAGED_BY.0: MANAGED_BY.1, RUN_LABEL: run.name_any(), RUN_UID_LABEL: uid},
        "ownerReferences": [owner],
    }))
}

fn trust_name(run: &BotRun) -> String {
    format!("{}-trust", run.name_any())
}

fn job(context: &Context, run: &BotRun, uid: &str, accepted: &Accepted, metadata: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": accepted.runners,
            "parallelism": accepted.runners,
            "backoffLimitPerIndex": LOSSES,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
            "template": template(context, run, uid, &accepted.template),
        },
    })
}

/// Our pod template, the user's over it, and over both what must hold.
fn template(context: &Context, run: &BotRun, uid: &str, theirs: &Map<String, Value>) -> Value {
    let mut template = json!({
        "metadata": {"annotations": {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "sidecar.istio.io/inject": "false",
            "linkerd.io/inject": "disabled",
        }},
        "spec": {
            "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
            "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "runner",
                "image": context.settings.image,
                "imagePullPolicy": context.settings.image_pull_policy,
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
            }],
        },
    });
    overlay(&mut template, &Value::Object(theirs.clone()));
    overlay(&mut template, &imposed(context, run, uid));
    template
}

/// What no template may change.
fn imposed(context: &Context, run: &BotRun, uid: &str) -> Value {
    let variable = |name: &str, value: String| json!({"name": name, "value": value});
    json!({
        "metadata": {"labels": {MANAGED_BY.0: MANAGED_BY.1, RUN_LABEL: run.name_any(), RUN_UID_LABEL: uid}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "runner",
                "command": ["/runner", "agent"],
                "env": [
                    variable(env::COORDINATOR, context.settings.coordinator_address()),
                    variable(env::NAMESPACE, run.namespace().unwrap_or_default()),
                    variable(env::NAME, run.name_any()),
                    variable(env::RUN_UID, uid.to_owned()),
                    {"name": env::POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                ],
                "volumeMounts": [
                    {"name": "botarmy-token", "mountPath": path::TOKEN_FOLDER, "readOnly": true},
                    {"name": "botarmy-trust", "mountPath": path::CA_FOLDER, "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "botarmy-token", "projected": {"sources": [
                    {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 3600, "path": path::TOKEN_FILE}},
                ]}},
                {"name": "botarmy-trust", "configMap": {"name": trust_name(run)}},
            ],
        },
    })
}

/// Lays one value over another: mappings are merged, lists of named items by name, all else is
/// replaced.
fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(key) {
                    Some(inner) => overlay(inner, value),
                    None => drop(base.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(base), Value::Array(over))
            if base.iter().chain(over).all(|i| i.get("name").is_some()) =>
        {
            for item in over {
                match base.iter_mut().find(|b| b["name"] == item["name"]) {
                    Some(inner) => overlay(inner, item),
                    None => base.push(item.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_items_are_merged_and_others_replaced() {
        let mut base = json!({"spec": {"containers": [{"name": "runner", "image": "a", "env": [{"name": "A", "value": "1"}]}], "x": [1]}});
        overlay(
            &mut base,
            &json!({"spec": {"containers": [{"name": "runner", "env": [{"name": "A", "value": "2"}, {"name": "B"}]}, {"name": "s"}], "x": [2]}}),
        );
        assert_eq!(
            base,
            json!({"spec": {"containers": [
                {"name": "runner", "image": "a", "env": [{"name": "A", "value": "2"}, {"name": "B"}]}, {"name": "s"},
            ], "x": [2]}})
        );
    }
}
