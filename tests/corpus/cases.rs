//! The cases of this folder, read and made.

#[path = "sizes.rs"]
mod sizes;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

const API_VERSION: &str = "botarmy.dev/v1alpha1";
/// The file whose cases are schedules; those of all others are runs.
const SCHEDULES: &str = "schedules.yaml";

/// Who refuses a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// The API server, or kubectl before it: there is no object.
    Apiserver,
    /// The operator: the object has the condition `Accepted=False`.
    Operator,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// An object that is one, so that many can be sent together.
    Manifest(Value),
    /// Bytes as they stand.
    Text(Vec<u8>),
}

/// A broken run or schedule, and what is said of it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) by: By,
    pub(crate) says: Vec<String>,
    /// What is said of the same file where there is no cluster, if it is something else; empty if nothing.
    pub(crate) laptop: Option<Vec<String>>,
    /// Whether only a cluster can tell.
    pub(crate) cluster_only: bool,
    /// Whether kubectl would mend it, so that it is sent past kubectl.
    pub(crate) raw: bool,
    /// Whether its only fault is a field that nobody knows: a client that does not ask for strictness has it dropped.
    pub(crate) strict_only: bool,
    /// What is there before it.
    pub(crate) beside: Option<Value>,
    pub(crate) body: Body,
}

impl Case {
    pub(crate) fn is_schedule(&self) -> bool {
        self.file == SCHEDULES
    }

    /// What the object is called, which most are as their case.
    pub(crate) fn object(&self) -> String {
        let text = match &self.body {
            Body::Manifest(object) => Some(object.clone()),
            Body::Text(text) => serde_json::from_slice(text).ok(),
        };
        let name = text.and_then(|object| Some(object.pointer("/metadata/name")?.as_str()?.to_owned()));
        name.unwrap_or_else(|| self.name.clone())
    }

    /// As it would be sent alone.
    pub(crate) fn text(&self) -> Vec<u8> {
        match &self.body {
            Body::Manifest(object) => object.to_string().into_bytes(),
            Body::Text(text) => text.clone(),
        }
    }

    /// What is shown of it when something is wrong.
    pub(crate) fn shown(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.text()).chars().take(300).collect();
        format!("{}: {}: {text}", self.file, self.name)
    }
}

/// A case as it is written; see the README beside this file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    by: By,
    says: Vec<String>,
    laptop: Option<Vec<String>>,
    #[serde(default)]
    cluster_only: bool,
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    strict_only: bool,
    beside: Option<Value>,
    node: Option<Value>,
    fields: Option<Map<String, Value>>,
    spec: Option<Value>,
    schedule: Option<Map<String, Value>>,
    object: Option<Value>,
    text: Option<String>,
}

impl Written {
    fn case(self, file: &str) -> Case {
        let Self { name, by, says, laptop, cluster_only, raw, strict_only, beside, .. } = self;
        let mut bodies: Vec<Body> = Vec::new();
        bodies.extend(self.node.map(|node| run(&name, &with_tree(&node))));
        bodies.extend(self.fields.map(|fields| run(&name, &with_fields(fields))));
        bodies.extend(self.spec.map(|spec| run(&name, &spec)));
        bodies.extend(self.schedule.map(|fields| schedule(&name, fields)));
        bodies.extend(self.object.map(|object| Body::Text(object.to_string().into_bytes())));
        bodies.extend(self.text.map(|text| Body::Text(text.into_bytes())));
        assert_eq!(bodies.len(), 1, "{file}: {name}: one of node, fields, spec, schedule, object and text");
        let body = bodies.remove(0);
        Case { name, file: file.to_owned(), by, says, laptop, cluster_only, raw, strict_only, beside, body }
    }
}

/// A run with this spec, whatever it is.
fn run(name: &str, spec: &Value) -> Body {
    Body::Manifest(
        json!({"apiVersion": API_VERSION, "kind": "BotRun", "metadata": {"name": name}, "spec": spec}),
    )
}

/// A spec whose one tree is this.
fn with_tree(node: &Value) -> Value {
    json!({"trees": {"T": node}})
}

/// These fields beside a sound tree.
fn with_fields(fields: Map<String, Value>) -> Value {
    laid_over(with_tree(&json!({"wait": "100ms"})), fields)
}

/// A sound schedule but for these fields. It is due once a year.
fn schedule(name: &str, fields: Map<String, Value>) -> Body {
    let template = json!({"spec": with_fields(Map::new())});
    let spec = laid_over(json!({"schedule": "0 0 1 1 *", "template": template}), fields);
    Body::Manifest(
        json!({"apiVersion": API_VERSION, "kind": "BotRunSchedule", "metadata": {"name": name}, "spec": spec}),
    )
}

fn laid_over(mut base: Value, fields: Map<String, Value>) -> Value {
    for (field, value) in fields {
        base[field.as_str()] = value;
    }
    base
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// All cases, those of the files first.
pub(crate) fn all() -> Vec<Case> {
    let entries = std::fs::read_dir(folder()).expect("the corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    let mut cases: Vec<Case> = files.iter().flat_map(|file| read(file)).collect();
    cases.extend(sizes::cases());
    cases
}

fn read(path: &Path) -> Vec<Case> {
    let file = path.file_name().expect("a name").to_string_lossy();
    let text = std::fs::read_to_string(path).expect("a text");
    let written: Vec<Written> = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
    written.into_iter().map(|case| case.case(&file)).collect()
}
