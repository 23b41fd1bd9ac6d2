//! `runner schema`.

use super::Exit;
use super::output::say;
use botarmy_spec::file::{API_VERSION, KIND};
use botarmy_spec::shape;
use botarmy_tree::schema;
use serde_json::{Map, Value, json};

pub(super) fn schema() -> Exit {
    say(&format_args!("{:#}", of_file()))
}

/// The JSON Schema of a file that `runner run` takes: a manifest, or the bare fields of a spec.
fn of_file() -> Value {
    let mut definitions = schema::definitions();
    definitions.insert("spec".into(), spec());
    definitions.insert("botRun".into(), manifest());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": KIND,
        "description": "A run of bots: a manifest of the kind BotRun, or the fields of its spec alone.",
        "type": "object",
        // For an editor to offer them in an empty file; what they may be is said below.
        "properties": {"apiVersion": {}, "kind": {}},
        "if": {"anyOf": [{"required": ["kind"]}, {"required": ["apiVersion"]}]},
        "then": {"$ref": "#/$defs/botRun"},
        "else": {"$ref": "#/$defs/spec"},
        "$defs": definitions,
    })
}

/// The schema of the resource's definition, with what only the API server understands put in words
/// that an editor understands.
fn spec() -> Value {
    let mut spec = shape::schema().clone();
    for key in ["$schema", "title"] {
        spec.as_object_mut().map(|fields| fields.remove(key));
    }
    translate(&mut spec);
    spec["properties"]["trees"] = json!({"$ref": "#/$defs/trees"});
    spec["anyOf"] = json!([{"required": ["trees"]}, {"required": ["sources"]}]);
    spec
}

fn translate(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if fields.remove("x-kubernetes-int-or-string").is_some() {
        fields.extend(time_or_rate());
        return;
    }
    fields.retain(|key, _| !key.starts_with("x-kubernetes-"));
    if fields.contains_key("properties") {
        // The reader knows every field, and the API server drops what it does not know.
        fields.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    for (key, inner) in fields {
        match (key.as_str(), inner) {
            ("properties", Value::Object(inner)) => inner.values_mut().for_each(translate),
            ("anyOf" | "oneOf" | "allOf", Value::Array(inner)) => inner.iter_mut().for_each(translate),
            ("items" | "additionalProperties" | "not", inner) => translate(inner),
            _ => {}
        }
    }
}

/// Times and rates are marked alike; what the field says tells them apart.
fn time_or_rate() -> Map<String, Value> {
    let mut schema = schema::duration("integer");
    let time = schema["pattern"].as_str().unwrap_or_default();
    schema["pattern"] = format!(r"{time}|^[0-9.]+\s*/\s*[smh]$").into();
    let Value::Object(mut fields) = schema else { return Map::new() };
    fields.retain(|key, _| key != "title" && key != "description");
    fields
}

fn manifest() -> Value {
    let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    let name = json!({
        "description": "The name of the run.",
        "type": "string", "maxLength": 253, "pattern": format!(r"^{label}(\.{label})*$"),
    });
    let fields: Map<String, Value> = [
        ("apiVersion", json!({"description": "The group and version of the kind.", "const": API_VERSION})),
        ("kind", json!({"description": "The kind of this object.", "const": KIND})),
        (
            "metadata",
            json!({
                "description": "The name of the run, and whatever else objects of Kubernetes have here.",
                "type": "object",
                "properties": {"name": name},
            }),
        ),
        ("spec", json!({"$ref": "#/$defs/spec"})),
        ("status", json!({"description": "What the operator writes; not to be written by hand."})),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect();
    json!({
        "type": "object",
        "properties": fields,
        "required": ["apiVersion", "kind", "spec"],
        "additionalProperties": false,
    })
}
