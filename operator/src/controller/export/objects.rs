//! The objects of an export: the result, and the Job that takes it to where it shall be. Pure.

use super::super::Error;
use super::super::build::{MANAGED_BY, metadata, named};
use super::super::policy::export::JOB_DEADLINE;
use super::super::template::overlay;
use crate::Settings;
use botarmy_crds::{BotRun, EXPORT_AGAIN_ANNOTATION, RUNNER_CONTAINER as RUNNER};
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
/// The annotation of the object with a result that is not all of it.
pub(super) const SHORTENED: &str = "botarmy.dev/shortened";
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
const POD_FIELDS: [&str; 8] = [
    "affinity",
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "priorityClassName",
    "runtimeClassName",
    "serviceAccountName",
    "securityContext",
];
/// What it says of the runner's container, and so of this one: it is the same program.
const CONTAINER_FIELDS: [&str; 2] = ["image", "imagePullPolicy"];
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

/// The name of the Job that takes the result of this very run to these very destinations, as often as it was asked to.
pub(super) fn job_name(run: &BotRun, uid: &str) -> Result<String, Error> {
    let export = &run.spec.run.operation.export;
    let what = match run.annotations().get(EXPORT_AGAIN_ANNOTATION) {
        Some(again) => serde_json::to_vec(&(uid, export, again))?,
        None => serde_json::to_vec(&(uid, export))?,
    };
    Ok(format!("{}{}", job_names(run), digits(&what)))
}

/// Whether a Job of the run has the name of one of its exports.
pub(super) fn is_job_name(run: &BotRun, name: &str) -> bool {
    name.starts_with(&job_names(run))
}

/// How the names of the Jobs of its exports begin.
fn job_names(run: &BotRun) -> String {
    format!("{}-export-", run.name_any())
}

fn digits(of: &[u8]) -> String {
    let [a, b, c, ..]: [u8; 32] = Sha256::digest(of).into();
    format!("{a:02x}{b:02x}{c:02x}")[..DIGITS].to_owned()
}

/// The object with a result, of which something may be left out already.
pub(super) fn result(run: &BotRun, uid: &str, result: &RunResult, is_whole: bool) -> Result<Value, Error> {
    let (packed, all_fits) = pack(result, RESULT_BYTES)?;
    let mut metadata = named(&metadata(run, uid)?, &result_name(run, uid));
    if !(is_whole && all_fits) {
        metadata["annotations"] = json!({SHORTENED: "true"});
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        "binaryData": {path::RESULT_FILE: ByteString(packed)},
    }))
}

/// All of a result, compressed; what a status has room for if that is more than `most` bytes, and false then.
fn pack(result: &RunResult, most: usize) -> Result<(Vec<u8>, bool), serde_json::Error> {
    let compress = |result: &RunResult| -> Result<Vec<u8>, serde_json::Error> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packer.write_all(&serde_json::to_vec(result)?).and_then(|()| packer.finish());
        packed.map_err(serde_json::Error::io)
    };
    match compress(result)? {
        packed if packed.len() <= most => Ok((packed, true)),
        _ => Ok((compress(&result.clone().bounded())?, false)),
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
    let theirs = &run.spec.run.template;
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
                "resources": resources(&runner_of(theirs)),
                "env": environment(run, uid, exports)?,
                "volumeMounts": mounts(exports),
                // What it says at the end is then part of the pod's status, where the run's own takes it from.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
            "volumes": volumes(run, uid, exports),
        },
    });
    overlay(&mut template, &taken_over(theirs));
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

/// What is named in a user's template; nothing if nothing is.
fn items(of: Option<&Value>) -> Vec<Value> {
    of.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The runner's container in a user's template; null if it does not stand there.
fn runner_of(theirs: &Map<String, Value>) -> Value {
    let containers = items(theirs.get("spec").and_then(|pod| pod.get("containers")));
    containers.into_iter().find(|container| container["name"] == RUNNER).unwrap_or_default()
}

/// What the container may use. What fits the runners into their namespace fits this one, and their limits may not be mixed
/// with ours: a request beyond its limit is refused.
fn resources(runner: &Value) -> Value {
    let mut resources = json!({"requests": {"cpu": "50m", "memory": "64Mi"}});
    // Without a word of theirs both, since some namespaces demand them.
    let ours = json!({"limits": {"cpu": "1", "memory": "512Mi"}});
    overlay(&mut resources, runner.get("resources").unwrap_or(&ours));
    resources
}

/// What of the user's own template holds for this pod as well: where it may run, what image it has and may pull, and whom
/// it trusts.
fn taken_over(theirs: &Map<String, Value>) -> Value {
    let empty = Map::new();
    let pod = theirs.get("spec").and_then(Value::as_object).unwrap_or(&empty);
    let kept = POD_FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), pod.get(*field)?.clone())));
    let mut spec: Map<String, Value> = kept.collect();
    let runner = runner_of(theirs);
    let kept =
        CONTAINER_FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), runner.get(*field)?.clone())));
    let mut container: Map<String, Value> = kept.collect();
    container.insert("name".into(), CONTAINER.into());
    if let Some(file) = items(runner.get("env")).into_iter().find(|v| v["name"] == CERTIFICATES) {
        trust(&file, pod, &runner, &mut spec, &mut container);
    }
    spec.insert("containers".into(), json!([container]));
    json!({"spec": spec})
}

/// Lets the pod have the file of authorities that the runner trusts, and the volume in which it lies.
fn trust(
    file: &Value,
    pod: &Map<String, Value>,
    runner: &Value,
    spec: &mut Map<String, Value>,
    container: &mut Map<String, Value>,
) {
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
    container.insert("env".into(), json!([file]));
    container.insert("volumeMounts".into(), mounts.into());
}

#[cfg(test)]
mod tests;
