//! The objects of an export: the result, and the Job that takes it to where it shall be. Pure.

use super::super::Error;
use super::super::build::{MANAGED_BY, metadata, named};
use super::super::policy::export::JOB_DEADLINE;
use super::super::template::overlay;
use crate::Settings;
use botarmy_crds::{BotRun, RUNNER_CONTAINER as RUNNER};
use botarmy_protocol::{env as variable, exit, path};
use botarmy_report::RunResult;
use botarmy_spec::ExportSpec;
use botarmy_spec::export::carrier;
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;

/// The label by which the pods of a Job are known.
pub(super) const JOB_LABEL: &str = "batch.kubernetes.io/job-name";
/// The label of the pods of an export, with the name of the run. They are no pods of the run itself: whoever counts
/// runners does not count them.
const EXPORT_LABEL: &str = "botarmy.dev/export";
const CONTAINER: &str = "deliver";
const RESULT_VOLUME: &str = "botarmy-result";
/// Volumes of claims, the number of the destination behind it.
const CLAIM_VOLUMES: &str = "botarmy-export-";
/// Most bytes of the result's object: the cluster's own limit is a little more than a mebibyte.
const RESULT_BYTES: usize = 900 << 10;
/// So many pods that were lost are replaced. One that says that it cannot be done is not.
const LOSSES: u32 = 2;
/// How many digits of a digest are part of a name: with the longest name of a run a Job's has 63 characters.
const DIGITS: usize = 5;
/// What a user's template says of all pods of the run, and so of this one.
const POD_FIELDS: [&str; 7] = [
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "priorityClassName",
    "runtimeClassName",
    "serviceAccountName",
    "securityContext",
];
/// Names the file of authorities that are trusted besides the usual ones.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// How many destinations, in words.
pub(super) fn destinations(number: usize) -> String {
    format!("{number} destination{}", if number == 1 { "" } else { "s" })
}

/// The name of the object with the result of this very run.
pub(super) fn result_name(run: &BotRun, uid: &str) -> String {
    format!("{}-result-{}", run.name_any(), digits(uid.as_bytes()))
}

/// The name of the Job that takes the result of this very run to these very destinations.
pub(super) fn job_name(run: &BotRun, uid: &str) -> Result<String, Error> {
    let what = serde_json::to_vec(&(uid, &run.spec.run.operation.export))?;
    Ok(format!("{}-export-{}", run.name_any(), digits(&what)))
}

fn digits(of: &[u8]) -> String {
    let [a, b, c, ..]: [u8; 32] = Sha256::digest(of).into();
    format!("{a:02x}{b:02x}{c:02x}")[..DIGITS].to_owned()
}

/// The object with a result.
pub(super) fn result(run: &BotRun, uid: &str, result: &RunResult) -> Result<Value, Error> {
    let packed = pack(result, RESULT_BYTES)?;
    Ok(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": named(&metadata(run, uid)?, &result_name(run, uid)),
        "binaryData": {path::RESULT_FILE: ByteString(packed)},
    }))
}

/// All of a result, compressed; what a status has room for if that is more than `most` bytes.
fn pack(result: &RunResult, most: usize) -> Result<Vec<u8>, serde_json::Error> {
    let compress = |result: &RunResult| -> Result<Vec<u8>, serde_json::Error> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packer.write_all(&serde_json::to_vec(result)?).and_then(|()| packer.finish());
        packed.map_err(serde_json::Error::io)
    };
    match compress(result)? {
        packed if packed.len() <= most => Ok(packed),
        _ => compress(&result.clone().bounded()),
    }
}

/// The Job, the same every time.
pub(super) fn job(settings: &Settings, run: &BotRun, uid: &str, name: &str) -> Result<Value, Error> {
    Ok(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": named(&metadata(run, uid)?, name),
        "spec": {
            "backoffLimit": LOSSES,
            "activeDeadlineSeconds": JOB_DEADLINE.as_secs(),
            "podFailurePolicy": {"rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": CONTAINER, "operator": "In", "values": [exit::INVALID, exit::UNDELIVERED],
                    },
                },
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
            ]},
            "template": template(settings, run, uid)?,
        },
    }))
}

fn template(settings: &Settings, run: &BotRun, uid: &str) -> Result<Value, Error> {
    let exports = &run.spec.run.operation.export;
    let mut template = json!({
        "metadata": {
            "labels": {MANAGED_BY.0: MANAGED_BY.1, EXPORT_LABEL: run.name_any()},
            "annotations": {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                // Claims are made writable for it.
                "fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": CONTAINER,
                "image": settings.image,
                "imagePullPolicy": settings.image_pull_policy,
                "command": ["/runner", "deliver"],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                // Both, since some namespaces demand them.
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"},
                },
                "env": environment(run, uid, exports)?,
                "volumeMounts": mounts(exports),
                // What it says at the end is then part of the pod's status, where the run's own takes it from.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
            "volumes": volumes(run, uid, exports),
        },
    });
    overlay(&mut template, &taken_over(&run.spec.run.template));
    Ok(template)
}

fn environment(run: &BotRun, uid: &str, exports: &[ExportSpec]) -> Result<Vec<Value>, Error> {
    let set = |name: &str, value: &str| json!({"name": name, "value": literal(value)});
    let mut variables = vec![
        set(variable::NAMESPACE, &run.namespace().unwrap_or_default()),
        set(variable::NAME, &run.name_any()),
        set(variable::RUN_UID, uid),
        set(variable::EXPORT, &serde_json::to_string(exports)?),
    ];
    for (i, export) in exports.iter().enumerate() {
        for (j, header) in export.headers().iter().enumerate() {
            if let Some(source) = &header.value_from {
                variables.push(json!({"name": carrier(i, j), "valueFrom": source}));
            }
        }
    }
    Ok(variables)
}

/// A value that the cluster takes as it stands: `$(NAME)` would be replaced by that of another variable.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

/// The numbers and the names of the claims.
fn claims(exports: &[ExportSpec]) -> impl Iterator<Item = (usize, &str)> {
    exports
        .iter()
        .enumerate()
        .filter_map(|(i, export)| Some((i, export.persistent_volume_claim.as_ref()?.claim_name.as_str())))
}

fn volumes(run: &BotRun, uid: &str, exports: &[ExportSpec]) -> Vec<Value> {
    let result = json!({"name": RESULT_VOLUME, "configMap": {"name": result_name(run, uid)}});
    let claims = claims(exports).map(|(i, claim)| {
        json!({"name": format!("{CLAIM_VOLUMES}{i}"), "persistentVolumeClaim": {"claimName": claim}})
    });
    std::iter::once(result).chain(claims).collect()
}

fn mounts(exports: &[ExportSpec]) -> Vec<Value> {
    let result = json!({"name": RESULT_VOLUME, "mountPath": path::RESULT_FOLDER, "readOnly": true});
    let claims = claims(exports).map(|(i, _)| {
        json!({"name": format!("{CLAIM_VOLUMES}{i}"), "mountPath": format!("{}/{i}", path::EXPORT_FOLDER)})
    });
    std::iter::once(result).chain(claims).collect()
}

/// What of the user's own template holds for this pod as well: where it may run, whose image it may pull, and whom it
/// trusts.
fn taken_over(theirs: &Map<String, Value>) -> Value {
    let empty = Map::new();
    let pod = theirs.get("spec").and_then(Value::as_object).unwrap_or(&empty);
    let kept = POD_FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), pod.get(*field)?.clone())));
    let mut spec: Map<String, Value> = kept.collect();
    let items = |of: Option<&Value>| of.and_then(Value::as_array).cloned().unwrap_or_default();
    let runner = items(pod.get("containers")).into_iter().find(|c| c["name"] == RUNNER).unwrap_or_default();
    let Some(file) = items(runner.get("env")).into_iter().find(|v| v["name"] == CERTIFICATES) else {
        return json!({"spec": spec});
    };
    let holds = |mount: &Value| {
        let at = mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/');
        let file = file["value"].as_str().unwrap_or_default();
        !at.is_empty() && (file == at || file.starts_with(&format!("{at}/")))
    };
    let mut mounts = items(runner.get("volumeMounts"));
    mounts.retain(holds);
    let mut volumes = items(pod.get("volumes"));
    volumes.retain(|volume| mounts.iter().any(|mount| mount["name"] == volume["name"]));
    spec.insert("volumes".into(), volumes.into());
    let container = json!({"name": CONTAINER, "env": [file], "volumeMounts": mounts});
    spec.insert("containers".into(), json!([container]));
    json!({"spec": spec})
}

#[cfg(test)]
mod tests;
