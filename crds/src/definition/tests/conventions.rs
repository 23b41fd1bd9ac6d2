//! The conventions of Kubernetes' APIs, as kube-api-linter lists them for types, asked of the schemas that are made of
//! ours: whatever is wrong here would be found by those who install the definitions.

use super::{rules_of, runs, schedules, schema};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The greatest whole number that JSON carries exactly everywhere.
const SAFE: f64 = 9_007_199_254_740_991.0;
/// Where anything may stand: trees hold trees, templates are checked by the API server when the Job is made.
const OPEN: [&str; 3] = ["trees", "custom", "template"];
/// What must be given, by the path of what holds it; everything else of a spec may be left out.
const REQUIRED: [(&str, &[&str]); 19] = [
    ("data.configMap", &["key", "name"]),
    ("env[]", &["name"]),
    ("env[].valueFrom.configMapKeyRef", &["key", "name"]),
    ("env[].valueFrom.fieldRef", &["fieldPath"]),
    ("env[].valueFrom.secretKeyRef", &["key", "name"]),
    ("export[].http", &["url"]),
    ("export[].http.headers[]", &["name"]),
    ("export[].http.headers[].valueFrom", &["secretKeyRef"]),
    ("export[].http.headers[].valueFrom.secretKeyRef", &["key", "name"]),
    ("export[].persistentVolumeClaim", &["claimName"]),
    ("hosts[]", &["hostnames", "ip"]),
    ("refill", &["every", "max"]),
    ("setup", &["tree"]),
    ("sources[]", &["name"]),
    ("sources[].configMap", &["name"]),
    ("sources[].image", &["reference"]),
    ("sources[].persistentVolumeClaim", &["claimName"]),
    ("sources[].secret", &["name"]),
    ("stages[]", &["duration"]),
];
/// Those that are no part of a load, which scenarios have as well.
const REQUIRED_ONCE: [(&str, &[&str]); 3] =
    [("scenarios[]", &["name"]), ("teardown", &["tree"]), ("thresholds[]", &["expect"])];

/// A schema with the path that leads to it, both of the spec and of the status.
struct Place<'s> {
    path: String,
    schema: &'s Value,
}

impl<'s> Place<'s> {
    fn new(path: &str, schema: &'s Value) -> Self {
        Self { path: path.to_owned(), schema }
    }

    /// This one, and all that lie in it.
    fn all(self) -> Vec<Self> {
        let inner =
            self.properties().map(|(name, schema)| Self::new(&format!("{}.{name}", self.path), schema));
        let items = self.schema.get("items").map(|items| Self::new(&format!("{}[]", self.path), items));
        let values = self.schema.get("additionalProperties");
        let values = values.map(|values| Self::new(&format!("{}{{}}", self.path), values));
        let inner: Vec<Self> = inner.chain(items).chain(values).flat_map(Self::all).collect();
        std::iter::once(self).chain(inner).collect()
    }

    fn properties(&self) -> impl Iterator<Item = (&'s String, &'s Value)> {
        self.schema["properties"].as_object().into_iter().flatten()
    }

    fn has(&self, key: &str) -> bool {
        self.schema.get(key).is_some()
    }

    fn text(&self, key: &str) -> &'s str {
        self.schema[key].as_str().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    fn is_open(&self) -> bool {
        self.schema["x-kubernetes-preserve-unknown-fields"] == true
    }

    /// What is wrong here, and not with what lies in it.
    fn complaints(&self) -> Vec<String> {
        let of_kind = match self.text("type") {
            "string" => self.of_string(),
            "integer" => self.of_integer(),
            "array" => self.of_list(),
            "object" => self.of_object(),
            "boolean" => vec![],
            "" if self.schema["x-kubernetes-int-or-string"] == true => self.of_string(),
            other => vec![format!("the type {other:?}; only whole numbers, texts, lists and objects")],
        };
        let keys = self.schema.as_object().into_iter().flat_map(Map::keys);
        let alternatives = ["$ref", "nullable", "anyOf", "oneOf", "allOf", "not"];
        let refused =
            keys.filter(|key| alternatives.contains(&key.as_str())).map(|key| format!("{key} is used"));
        let all = of_kind.into_iter().chain(refused).chain(self.of_name());
        all.map(|complaint| format!("{}: {complaint}", self.path)).collect()
    }

    fn of_name(&self) -> Vec<String> {
        let name = self.name();
        let mut said = Vec::new();
        // What stands in a list or a mapping is described where that stands; so is what the cluster's own types bring.
        let is_field = !name.ends_with(['}', ']']) && self.path.contains('.');
        if is_field && !self.has("description") && !self.path.contains("conditions[]") {
            said.push("no description".to_owned());
        }
        let is_camel = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains(['_', '-']);
        if is_field && !is_camel {
            said.push("not in camelCase".to_owned());
        }
        // Phases are what conditions were made to replace; people want one word all the same, in one place.
        if (name == "phase" && self.path != "status.phase") || name.ends_with("Timestamp") {
            said.push("a name that the conventions are against".to_owned());
        }
        said
    }

    fn of_string(&self) -> Vec<String> {
        let bounded = self.has("maxLength") || self.has("enum") || self.text("format") == "date-time";
        if bounded { vec![] } else { vec!["no maxLength".to_owned()] }
    }

    fn of_integer(&self) -> Vec<String> {
        let bound = |key: &str| self.schema[key].as_f64();
        let mut said = Vec::new();
        match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) if -SAFE <= least && least <= most && most <= SAFE => {}
            bounds => said.push(format!("the bounds {bounds:?}")),
        }
        if !["int32", "int64"].contains(&self.text("format")) {
            said.push("neither int32 nor int64".to_owned());
        }
        said
    }

    fn of_list(&self) -> Vec<String> {
        let mut said = Vec::new();
        if !self.has("maxItems") {
            said.push("no maxItems".to_owned());
        }
        let items = &self.schema["items"];
        let of_objects = items["type"] == "object";
        match self.text("x-kubernetes-list-type") {
            "atomic" => {}
            "set" if !of_objects => {}
            "map" if of_objects => {
                let keys = self.schema["x-kubernetes-list-map-keys"].as_array();
                let required = items["required"].as_array();
                let is_given = |key: &Value| required.is_some_and(|required| required.contains(key));
                if !keys.is_some_and(|keys| !keys.is_empty() && keys.iter().all(is_given)) {
                    said.push("a map whose keys are not named, or may be left out".to_owned());
                }
            }
            other => said.push(format!("merged as {other:?}")),
        }
        // An entry that may be empty could not be told from one that was forgotten.
        if of_objects && items.get("required").is_none() && items.get("x-kubernetes-validations").is_none() {
            said.push("entries without anything that must be given".to_owned());
        }
        said
    }

    fn of_object(&self) -> Vec<String> {
        let (fields, values) = (self.has("properties"), self.has("additionalProperties"));
        match () {
            () if self.is_open() => {
                let merged = self.text("x-kubernetes-map-type") == "atomic";
                let allowed =
                    OPEN.contains(&self.name()) && self.path.starts_with("spec") && merged && !fields;
                if allowed { vec![] } else { vec!["open to anything".to_owned()] }
            }
            () if fields == values => vec!["either fields or values of one kind".to_owned()],
            () if values && !self.has("maxProperties") => vec!["no maxProperties".to_owned()],
            () => vec![],
        }
    }
}

/// All that stands in the spec and in the status of a kind.
fn places(schema: &Value) -> Vec<Place<'_>> {
    let part = |part: &str| Place::new(part, &schema["properties"][part]);
    [part("spec"), part("status")].into_iter().flat_map(Place::all).collect()
}

#[test]
fn the_schemas_keep_the_conventions() {
    for crd in [runs(), schedules()] {
        let schema = schema(&crd);
        let places = places(&schema);
        assert!(places.len() > 100, "{}: only {} places", crd.spec.names.kind, places.len());
        let complaints: Vec<String> = places.iter().flat_map(Place::complaints).collect();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", crd.spec.names.kind);
    }
}

/// The walk itself finds what it is there to find.
#[test]
fn what_breaks_a_convention_is_found() {
    let text = || json!({"type": "string", "maxLength": 1, "description": "d"});
    let list = |more: &Value| {
        let mut list = json!({"type": "array", "maxItems": 1, "items": {"type": "object", "required": ["a"], "properties": {"a": text()}}});
        list.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        list
    };
    for (broken, complaints) in [
        (json!({"type": "string"}), 1),
        (json!({"type": "string", "format": "byte"}), 1),
        (json!({"x-kubernetes-int-or-string": true}), 1),
        (json!({"type": "number", "minimum": 0, "maximum": 1}), 1),
        (json!({"type": "integer", "format": "int32", "minimum": 0}), 1),
        (json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 1e16}), 1),
        (json!({"type": "integer", "minimum": 0, "maximum": 1}), 1),
        (json!({"type": "string", "maxLength": 1, "nullable": true}), 1),
        (json!({"$ref": "#/x"}), 2),
        (json!({"type": "object", "additionalProperties": text()}), 1),
        (json!({"type": "object"}), 1),
        (json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), 1),
        (json!({"type": "object", "properties": {"a_b": text()}}), 1),
        (json!({"type": "object", "properties": {"phase": text()}}), 1),
        (json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}}}), 1),
        (list(&json!({})), 1),
        (list(&json!({"x-kubernetes-list-type": "set"})), 1),
        (list(&json!({"x-kubernetes-list-type": "map"})), 1),
        (list(&json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b"]})), 1),
        (list(&json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]})), 0),
        (list(&json!({"x-kubernetes-list-type": "atomic"})), 0),
        (json!({"type": "array", "items": text(), "x-kubernetes-list-type": "set"}), 1),
    ] {
        let found: Vec<String> =
            Place::new("spec", &broken).all().iter().flat_map(Place::complaints).collect();
        assert_eq!(found.len(), complaints, "{broken}: {found:#?}");
    }
}

/// What must be given, and nothing else, however it came to be so in the types.
#[test]
fn what_must_be_given_is_so_on_purpose() {
    let of_loads = REQUIRED
        .iter()
        .filter(|(path, _)| ["data", "env", "refill", "stages"].iter().any(|field| path.starts_with(field)));
    let of_loads = of_loads.map(|(path, names)| (format!("scenarios[].{path}"), *names));
    let own = REQUIRED.iter().chain(&REQUIRED_ONCE).map(|(path, names)| ((*path).to_owned(), *names));
    let wanted: BTreeSet<String> =
        own.chain(of_loads).map(|(path, names)| format!("{path}: {names:?}")).collect();
    let [runs, schedules] = [schema(&runs()), schema(&schedules())];
    let of_schedule = &schedules["properties"]["spec"];
    assert_eq!(of_schedule["required"], json!(["schedule", "template"]));
    let template = &of_schedule["properties"]["template"];
    assert_eq!(template["required"], json!(["spec"]));
    for spec in [&runs["properties"]["spec"], &template["properties"]["spec"]] {
        let with_some = Place::new("", spec).all();
        let found: BTreeSet<String> = with_some
            .iter()
            .filter_map(|place| {
                let names: Vec<String> =
                    serde_json::from_value(place.schema.get("required")?.clone()).ok()?;
                Some(format!("{}: {names:?}", place.path.trim_start_matches('.')))
            })
            .collect();
        assert_eq!(found, wanted);
    }
    // A status may be written in any part, by whoever knows that part.
    for schema in [&runs, &schedules] {
        assert!(schema["properties"]["status"].get("required").is_none());
    }
}

/// Each rule comes with a message, and each message with what to do.
#[test]
fn each_rule_says_what_to_do() {
    fn messages(schema: &Value) -> Vec<&str> {
        match schema {
            Value::Object(fields) => {
                let own = fields.get("x-kubernetes-validations").and_then(Value::as_array);
                let own = own.into_iter().flatten().map(|rule| rule["message"].as_str().unwrap_or_default());
                own.chain(fields.values().flat_map(messages)).collect()
            }
            Value::Array(items) => items.iter().flat_map(messages).collect(),
            _ => vec![],
        }
    }
    let verbs = ["give", "keep", "move", "apply", "write", "leave", "end"];
    for schema in [schema(&runs()), schema(&schedules())] {
        let messages: BTreeSet<&str> = messages(&schema).into_iter().collect();
        assert_eq!(messages.len(), rules_of(&schema).len(), "each rule has a message of its own");
        for message in messages {
            let says = verbs.iter().any(|verb| {
                message.starts_with(&format!("{verb} ")) || message.contains(&format!("; {verb} "))
            });
            assert!(says, "{message:?} does not say what to do");
        }
    }
}
