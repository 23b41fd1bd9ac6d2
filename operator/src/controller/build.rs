//! Step 3: the objects of a run; no client needed, the same every time.

use super::policy::loss;
use super::validate::Accepted;
use super::{Context, Error, template};
use crate::checkpoint;
use botarmy_crds::{BotRun, RUN_LABEL, RUN_UID_LABEL};
use botarmy_protocol::path;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

/// The label by which the objects of this operator are known.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "botarmy-operator");

/// The objects of a run.
pub(super) struct Objects {
    /// What the runners check the coordinator with.
    pub(super) trust: ConfigMap,
    /// The name of these certificates.
    pub(super) trust_name: String,
    /// Where the sum is kept; made empty, filled by the coordinator.
    pub(super) checkpoint: ConfigMap,
    /// The Job of the runners; none if it was made already. As JSON, because the user's part of its
    /// template may hold anything: a type of ours would drop what it does not know, where the API
    /// server says what is wrong.
    pub(super) job: Option<Value>,
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
    let named = |name: String| named(&metadata, &name);
    let bundle = context.in_force.borrow().bundle.clone();
    let trust = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": named(trust_name(run)),
        "data": {path::CA_FILE: bundle.certificates()},
    });
    let checkpoint = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named(checkpoint::name(&run.name_any()))});
    let job = accepted.plan.as_ref().map(|plan| {
        let template = template::template(context, run, uid, &trust_name(run), plan);
        job(accepted, &template, &named(run.name_any()))
    });
    Ok(Objects {
        trust: serde_json::from_value(trust)?,
        trust_name: bundle.name().to_owned(),
        checkpoint: serde_json::from_value(checkpoint)?,
        job,
    })
}

/// The labels of all objects of a run, pods included.
pub(super) fn run_labels(run: &BotRun, uid: &str) -> Value {
    json!({MANAGED_BY.0: MANAGED_BY.1, RUN_LABEL: run.name_any(), RUN_UID_LABEL: uid})
}

/// The pods of the runners of a run.
pub(super) fn runner_selector(uid: &str) -> String {
    format!("{RUN_UID_LABEL}={uid}")
}

/// The metadata of an object of this name.
pub(super) fn named(metadata: &Value, name: &str) -> Value {
    let mut metadata = metadata.clone();
    metadata["name"] = name.into();
    metadata
}

/// The metadata of all objects of a run but their names.
pub(super) fn metadata(run: &BotRun, uid: &str) -> Result<Value, Error> {
    let owner = run.controller_owner_ref(&()).ok_or(Error::Incomplete("name"))?;
    Ok(json!({
        "namespace": run.namespace(),
        "labels": run_labels(run, uid),
        "ownerReferences": [owner],
    }))
}

fn trust_name(run: &BotRun) -> String {
    format!("{}-trust", run.name_any())
}

fn job(accepted: &Accepted, template: &Value, metadata: &Value) -> Value {
    let mut spec = json!({
        "completionMode": "Indexed",
        "completions": accepted.runners,
        "parallelism": accepted.runners,
        "podReplacementPolicy": "Failed",
        "template": template,
    });
    let losses = loss::job_fields(accepted.loss_policy, accepted.runners);
    if let (Value::Object(spec), Value::Object(losses)) = (&mut spec, losses) {
        spec.extend(losses);
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
}
