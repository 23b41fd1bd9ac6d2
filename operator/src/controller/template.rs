//! The pods' template: ours, the user's laid over it, and over both what must hold.

use super::Context;
use super::build::run_labels;
use botarmy_crds::{BotRun, RUNNER_CONTAINER as RUNNER};
use botarmy_protocol::{AUDIENCE, METRICS_PORT, env as variable, path};
use botarmy_spec::{BotRunSpec, env};
use botarmy_tree::{Finding, Path};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

const TOKEN_VOLUME: &str = "botarmy-token";
const TRUST_VOLUME: &str = "botarmy-trust";
/// Volumes with rows, a number behind it.
const DATA_VOLUMES: &str = "botarmy-data-";
/// Volumes with trees, the source's name behind it.
const SOURCE_VOLUMES: &str = "botarmy-source-";
/// A runner's measures are handed over within this time after it was told to end.
const TERMINATION_GRACE_SECONDS: i64 = 60;

/// Fields of the pod that a user's template may not set.
const POD_FIELDS: [&str; 3] = ["restartPolicy", "automountServiceAccountToken", "hostname"];
/// Fields of the runner's container that a user's template may not set.
const RUNNER_FIELDS: [&str; 2] = ["command", "args"];
const VARIABLES: [&str; 6] = [
    variable::COORDINATOR,
    variable::NAMESPACE,
    variable::NAME,
    variable::RUN_UID,
    variable::POD_UID,
    variable::INDEX,
];

/// How the names of variables begin that carry values into the pods.
const CARRIERS: &str = "BOTARMY_ENV_";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the operator sets this field; leave it out")]
    Field,
    #[error("the operator sets the variable {0}; leave it out")]
    Variable(String),
    #[error("the volume {0} is the operator's; give yours another name")]
    Volume(String),
    #[error("the files of the operator lie at {0}; mount yours elsewhere")]
    Mount(&'static str),
    #[error("expected a mapping")]
    NoMapping,
    #[error("expected a list of mappings, each with a name of its own; the runner's container is {RUNNER:?}")]
    NoNamedList,
}

/// Tells what a user's template may not say. All else is judged by the API server.
pub(super) fn check(template: &Map<String, Value>, path: &Path) -> Vec<Finding> {
    let mut check = Check(Vec::new());
    if let Some(metadata) = check.mapping(template, "metadata", path) {
        check.mapping(metadata, "labels", &path.field("metadata"));
    }
    if let Some(pod) = check.mapping(template, "spec", path) {
        check.pod(pod, &path.field("spec"));
    }
    check.0
}

struct Check(Vec<Finding>);

impl Check {
    fn note(&mut self, path: &Path, error: &Error) {
        self.0.push(Finding::new(path, error));
    }

    fn mapping<'t>(
        &mut self,
        within: &'t Map<String, Value>,
        field: &str,
        path: &Path,
    ) -> Option<&'t Map<String, Value>> {
        let value = within.get(field)?;
        if !value.is_object() {
            self.note(&path.field(field), &Error::NoMapping);
        }
        value.as_object()
    }

    /// The items of a list that is merged by name, each with its place.
    fn named<'t>(
        &mut self,
        within: &'t Map<String, Value>,
        field: &str,
        path: &Path,
    ) -> Vec<(Path, &'t str, &'t Map<String, Value>)> {
        let Some(value) = within.get(field) else { return Vec::new() };
        let path = path.field(field);
        let item = |(i, v): (usize, &'t Value)| Some((path.index(i), v["name"].as_str()?, v.as_object()?));
        let items: Option<Vec<_>> =
            value.as_array().and_then(|all| all.iter().enumerate().map(item).collect());
        items.unwrap_or_else(|| {
            self.note(&path, &Error::NoNamedList);
            Vec::new()
        })
    }

    fn fields(&mut self, within: &Map<String, Value>, refused: &[&str], path: &Path) {
        for field in refused.iter().filter(|f| within.contains_key(**f)) {
            self.note(&path.field(field), &Error::Field);
        }
    }

    fn pod(&mut self, pod: &Map<String, Value>, path: &Path) {
        self.fields(pod, &POD_FIELDS, path);
        for (place, name, _) in self.named(pod, "volumes", path) {
            if [TOKEN_VOLUME, TRUST_VOLUME].contains(&name)
                || [DATA_VOLUMES, SOURCE_VOLUMES].iter().any(|ours| name.starts_with(ours))
            {
                self.note(&place, &Error::Volume(name.to_owned()));
            }
        }
        for (place, name, container) in self.named(pod, "containers", path) {
            if name == RUNNER {
                self.runner(container, &place);
            }
        }
    }

    fn runner(&mut self, container: &Map<String, Value>, path: &Path) {
        self.fields(container, &RUNNER_FIELDS, path);
        for (place, name, _) in self.named(container, "env", path) {
            if VARIABLES.contains(&name) || name.starts_with(CARRIERS) {
                self.note(&place, &Error::Variable(name.to_owned()));
            }
        }
        for (place, _, mount) in self.named(container, "volumeMounts", path) {
            let at = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
            let covers = |folder: &str| format!("{at}/").starts_with(&format!("{folder}/"));
            let ours = [path::TOKEN_FOLDER, path::CA_FOLDER, path::DATA_FOLDER, path::SOURCES_FOLDER];
            if let Some(folder) = ours.into_iter().find(|f| covers(f)) {
                self.note(&place, &Error::Mount(folder));
            }
        }
    }
}

/// Our pod template, the user's over it, and over both what must hold; as the `plan` was accepted, whatever the run says by
/// now.
pub(super) fn template(context: &Context, run: &BotRun, uid: &str, trust: &str, plan: &BotRunSpec) -> Value {
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
                "name": RUNNER,
                "image": context.settings.image,
                "imagePullPolicy": context.settings.image_pull_policy,
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
                "env": [{"name": variable::METRICS_LISTEN, "value": format!("0.0.0.0:{METRICS_PORT}")}],
                // What a runner says before it gives up is then part of its pod's status, where the
                // run's own status takes it from.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
        },
    });
    overlay(&mut template, &Value::Object(plan.template.clone()));
    overlay(&mut template, &imposed(context, run, uid, trust));
    overlay(&mut template, &data(plan));
    overlay(&mut template, &values(plan));
    overlay(&mut template, &sources(plan));
    template
}

/// The rows that come from `ConfigMaps`.
fn data(spec: &BotRunSpec) -> Value {
    let loads = match spec.scenarios.as_slice() {
        [] => vec![&spec.load],
        scenarios => scenarios.iter().map(|scenario| &scenario.load).collect(),
    };
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for (i, load) in loads.into_iter().enumerate() {
        let Some(map) = load.data.as_ref().and_then(|data| data.config_map.as_ref()) else { continue };
        let name = format!("{DATA_VOLUMES}{i}");
        let items = json!([{"key": map.key, "path": path::DATA_FILE}]);
        volumes.push(json!({"name": name, "configMap": {"name": map.name, "items": items}}));
        mounts
            .push(json!({"name": name, "mountPath": format!("{}/{i}", path::DATA_FOLDER), "readOnly": true}));
    }
    if volumes.is_empty() {
        return json!({});
    }
    json!({"spec": {"volumes": volumes, "containers": [{"name": RUNNER, "volumeMounts": mounts}]}})
}

/// The trees that lie elsewhere, mounted by the kubelet.
fn sources(spec: &BotRunSpec) -> Value {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for source in &spec.sources {
        let name = format!("{SOURCE_VOLUMES}{}", source.name);
        let mut volume = json!({"name": name});
        if let Some(map) = &source.config_map {
            volume["configMap"] = json!({"name": map.name});
        } else if let Some(secret) = &source.secret {
            volume["secret"] = json!({"secretName": secret.name});
        } else if let Some(claim) = &source.persistent_volume_claim {
            volume["persistentVolumeClaim"] = json!({"claimName": claim.claim_name, "readOnly": true});
        } else if let Some(image) = &source.image {
            volume["image"] = json!(image);
        }
        volumes.push(volume);
        let path = format!("{}/{}", path::SOURCES_FOLDER, source.name);
        mounts.push(json!({"name": name, "mountPath": path, "readOnly": true}));
    }
    if volumes.is_empty() {
        return json!({});
    }
    json!({"spec": {"volumes": volumes, "containers": [{"name": RUNNER, "volumeMounts": mounts}]}})
}

/// Values of `env` that the kubelet puts into the pods: the operator does not see them.
fn values(spec: &BotRunSpec) -> Value {
    let variable =
        |wanted: env::Wanted<'_>| json!({"name": wanted.carrier(), "valueFrom": wanted.variable.value_from});
    let variables: Vec<Value> = env::wanted(spec).map(variable).collect();
    if variables.is_empty() {
        return json!({});
    }
    json!({"spec": {"containers": [{"name": RUNNER, "env": variables}]}})
}

/// What no template may change.
fn imposed(context: &Context, run: &BotRun, uid: &str, trust: &str) -> Value {
    let set = |name: &str, value: String| json!({"name": name, "value": value});
    json!({
        "metadata": {"labels": run_labels(run, uid)},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": RUNNER,
                "command": ["/runner", "agent"],
                "env": [
                    set(variable::COORDINATOR, context.settings.coordinator_address()),
                    set(variable::NAMESPACE, run.namespace().unwrap_or_default()),
                    set(variable::NAME, run.name_any()),
                    set(variable::RUN_UID, uid.to_owned()),
                    {"name": variable::POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                ],
                "volumeMounts": [
                    {"name": TOKEN_VOLUME, "mountPath": path::TOKEN_FOLDER, "readOnly": true},
                    {"name": TRUST_VOLUME, "mountPath": path::CA_FOLDER, "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": TOKEN_VOLUME, "projected": {"sources": [
                    {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 3600, "path": path::TOKEN_FILE}},
                ]}},
                {"name": TRUST_VOLUME, "configMap": {"name": trust}},
            ],
        },
    })
}

/// Lays one value over another: mappings are merged, lists of named items by name, all else is
/// replaced.
pub(super) fn overlay(base: &mut Value, over: &Value) {
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

    fn complaints(template: &Value) -> Vec<String> {
        let findings = check(template.as_object().unwrap(), &Path::top().field("template"));
        findings.iter().map(ToString::to_string).collect()
    }

    fn with_runner(fields: &Value) -> Value {
        let mut runner = json!({"name": "runner"});
        overlay(&mut runner, fields);
        json!({"spec": {"containers": [{"name": "mine", "command": ["x"]}, runner]}})
    }

    #[test]
    fn what_the_operator_sets_is_refused_with_its_place() {
        for (template, complaint) in [
            (json!({"spec": {"restartPolicy": "Always"}}), "template.spec.restartPolicy: the operator sets"),
            (json!({"spec": {"hostname": "h"}}), "template.spec.hostname: the operator sets"),
            (
                json!({"spec": {"automountServiceAccountToken": true}}),
                "template.spec.automountServiceAccountToken: the operator sets",
            ),
            (
                with_runner(&json!({"command": ["sh"]})),
                "template.spec.containers[1].command: the operator sets",
            ),
            (with_runner(&json!({"args": ["-v"]})), "template.spec.containers[1].args: the operator sets"),
            (
                with_runner(&json!({"env": [{"name": "A"}, {"name": "JOB_COMPLETION_INDEX", "value": "0"}]})),
                "template.spec.containers[1].env[1]: the operator sets the variable JOB_COMPLETION_INDEX",
            ),
            (
                with_runner(&json!({"env": [{"name": "BOTARMY_COORDINATOR", "value": "http://elsewhere"}]})),
                "template.spec.containers[1].env[0]: the operator sets the variable BOTARMY_COORDINATOR",
            ),
            (
                json!({"spec": {"volumes": [{"name": "botarmy-token", "emptyDir": {}}]}}),
                "template.spec.volumes[0]: the volume botarmy-token is the operator's",
            ),
            (
                json!({"spec": {"volumes": [{"name": "botarmy-trust", "emptyDir": {}}]}}),
                "template.spec.volumes[0]: the volume botarmy-trust is the operator's",
            ),
            (
                with_runner(&json!({"volumeMounts": [{"name": "mine", "mountPath": "/etc/botarmy/ca.crt"}]})),
                "template.spec.containers[1].volumeMounts[0]: the files of the operator lie at /etc/botarmy;",
            ),
            (
                json!({"spec": {"containers": "mine"}}),
                "template.spec.containers: expected a list of mappings",
            ),
            (json!({"spec": {"containers": [{"image": "x"}]}}), "template.spec.containers: expected a list"),
            (with_runner(&json!({"env": {"A": "1"}})), "template.spec.containers[1].env: expected a list"),
            (json!({"spec": []}), "template.spec: expected a mapping"),
            (json!({"metadata": {"labels": ["a"]}}), "template.metadata.labels: expected a mapping"),
        ] {
            let found = complaints(&template);
            assert!(found.len() == 1 && found[0].starts_with(complaint), "{template}: {found:?}");
        }
    }

    #[test]
    fn all_else_is_the_users_own() {
        let template = json!({
            "metadata": {"labels": {"team": "shop"}, "annotations": {"linkerd.io/inject": "enabled"}},
            "spec": {
                "nodeSelector": {"pool": "load"}, "serviceAccountName": "mine", "volumes": [{"name": "data", "emptyDir": {}}],
                "initContainers": [{"name": "wait", "image": "i", "command": ["x"], "args": ["y"]}],
                "containers": [
                    {"name": "side", "image": "i", "command": ["x"], "env": [{"name": "JOB_COMPLETION_INDEX", "value": "7"}]},
                    {"name": "runner", "image": "own", "resources": {"limits": {"cpu": 2}}, "volumeMounts": [{"name": "data", "mountPath": "/etc/botarmy-data"}]},
                ],
            },
        });
        assert_eq!(complaints(&template), Vec::<String>::new());
        assert_eq!(complaints(&json!({})), Vec::<String>::new());
    }

    #[test]
    fn named_items_are_merged_and_others_replaced() {
        let runner = |fields: &Value| json!({"spec": {"containers": [fields]}});
        for (base, over, merged) in [
            (json!({"a": 1, "b": {"c": 1}}), json!({"b": {"d": 2}}), json!({"a": 1, "b": {"c": 1, "d": 2}})),
            (json!({"x": [1, 2]}), json!({"x": [3]}), json!({"x": [3]})),
            (json!({"x": {"y": 1}}), json!({"x": "text"}), json!({"x": "text"})),
            (
                runner(&json!({"name": "runner", "image": "a", "env": [{"name": "A", "value": "1"}]})),
                runner(&json!({"name": "runner", "env": [{"name": "A", "value": "2"}, {"name": "B"}]})),
                runner(
                    &json!({"name": "runner", "image": "a", "env": [{"name": "A", "value": "2"}, {"name": "B"}]}),
                ),
            ),
            (
                runner(&json!({"name": "runner"})),
                runner(&json!({"name": "side"})),
                json!({"spec": {"containers": [{"name": "runner"}, {"name": "side"}]}}),
            ),
        ] {
            let mut found = base.clone();
            overlay(&mut found, &over);
            assert_eq!(found, merged, "{base} under {over}");
        }
    }
}
