//! Compares a document with the schema of [`BotRunSpec`]: unknown fields, wrong types, bounds.
//!
//! The API server does the same for an object of the cluster, by the schema made of the same types.
//! Here every difference is told at once, with its place and what would be right.

use crate::types::BotRunSpec;
use botarmy_tree::fields::kind_of;
use botarmy_tree::finding::{listed, quoted};
use botarmy_tree::{Finding, Findings, Path};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use std::sync::LazyLock;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("unknown field {0}, expected one of {1}")]
    Unknown(String, String),
    #[error("the field {0} is missing; add it")]
    Missing(String),
    #[error("the field trees is missing; add it, or sources that hold trees")]
    NoTrees,
    #[error("expected {0}, found {1}")]
    Type(String, String),
    #[error("must be at least {0}, found {1}")]
    Below(i64, i64),
    #[error("must be at most {0}, found {1}")]
    Above(i64, i64),
    #[error("must be {0} to {1} characters long, found {2}")]
    Length(u64, u64, usize),
    #[error("at most {0} items are allowed, found {1}")]
    Items(u64, usize),
    #[error("{0}")]
    Decode(serde_json::Error),
}

/// The JSON schema of a spec, subschemas written out in place.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
        settings.into_generator().into_root_schema_for::<BotRunSpec>().to_value()
    });
    &SCHEMA
}

/// Reads a spec from a document in canonical form; all differences from the schema are told. The
/// spec holds what fits the schema, so that its meaning can be checked all the same.
pub fn read(value: &Value, path: &Path) -> (BotRunSpec, Findings) {
    let mut findings = Findings::default();
    let fields = match value {
        Value::Object(fields) => sound_fields(fields, schema(), path, &mut findings).0,
        other => {
            findings.note_unread(path, &Error::Type(wanted(schema()), kind_of(other)));
            Map::new()
        }
    };
    let given = |field: &str| value.get(field).is_some();
    if value.is_object() && !given("trees") && !given("sources") {
        findings.later(vec![Finding::new(path, &Error::NoTrees)]);
        findings.unread(&path.field("trees"));
    }
    let spec = serde_json::from_value(Value::Object(fields)).unwrap_or_else(|e| {
        findings.note(path, &Error::Decode(e));
        BotRunSpec::default()
    });
    (spec, findings)
}

/// The part of a value that fits the schema; none if nothing of it does, which is told.
fn sound(value: &Value, schema: &Value, path: &Path, findings: &mut Findings) -> Option<Value> {
    let error = match value {
        _ if schema.get("x-kubernetes-int-or-string").is_some() => match value {
            Value::String(_) => None,
            whole if whole.is_i64() => None,
            other => Some(Error::Type(
                "text such as 5m (a rate: 50/s or 0.5/s) or a whole number".into(),
                kind_of(other),
            )),
        },
        Value::Object(fields) if allows(schema, "object") => {
            let (sound, whole) = sound_fields(fields, schema, path, findings);
            return whole.then_some(Value::Object(sound));
        }
        Value::Array(items) if allows(schema, "array") => {
            return sound_items(items, schema, path, findings);
        }
        Value::String(text) if allows(schema, "string") => {
            not_among(text, schema).or_else(|| wrong_length(text, schema))
        }
        Value::Number(number) if number.is_i64() && allows(schema, "integer") => {
            out_of_bounds(number.as_i64().unwrap_or_default(), schema)
        }
        Value::Bool(_) if allows(schema, "boolean") => None,
        other => Some(Error::Type(wanted(schema), kind_of(other))),
    };
    match error {
        None => Some(value.clone()),
        Some(error) => {
            findings.later(vec![Finding::new(path, &error)]);
            findings.unread(path);
            None
        }
    }
}

fn not_among(text: &str, schema: &Value) -> Option<Error> {
    let known: Vec<&str> = schema["enum"].as_array()?.iter().filter_map(Value::as_str).collect();
    (!known.contains(&text)).then(|| Error::Type(listed(known), quoted(text)))
}

fn wrong_length(text: &str, schema: &Value) -> Option<Error> {
    let (least, most) =
        (bound(schema, "minLength").unwrap_or(0), bound(schema, "maxLength").unwrap_or(u64::MAX));
    let length = text.chars().count();
    (!(least..=most).contains(&(length as u64))).then_some(Error::Length(least, most, length))
}

fn out_of_bounds(number: i64, schema: &Value) -> Option<Error> {
    let least = schema["minimum"].as_i64().filter(|least| number < *least);
    let most = schema["maximum"].as_i64().filter(|most| number > *most);
    least.map(|l| Error::Below(l, number)).or(most.map(|m| Error::Above(m, number)))
}

fn sound_items(items: &[Value], schema: &Value, path: &Path, findings: &mut Findings) -> Option<Value> {
    if let Some(most) = bound(schema, "maxItems").filter(|most| items.len() as u64 > *most) {
        findings.note_unread(path, &Error::Items(most, items.len()));
        return None;
    }
    let each = items.iter().enumerate();
    let each: Vec<Option<Value>> =
        each.map(|(i, item)| sound(item, &schema["items"], &path.index(i), findings)).collect();
    // Without one of them the others would have other places.
    let all: Option<Vec<Value>> = each.into_iter().collect();
    if all.is_none() {
        findings.unread(path);
    }
    all.map(Value::Array)
}

/// The fields that fit, and whether those are there that must be.
fn sound_fields(
    fields: &Map<String, Value>,
    schema: &Value,
    path: &Path,
    findings: &mut Findings,
) -> (Map<String, Value>, bool) {
    let Some(known) = schema["properties"].as_object() else { return (fields.clone(), true) };
    let mut kept = Map::new();
    for (name, value) in fields {
        if let Some(inner) = known.get(name) {
            kept.extend(sound(value, inner, &path.field(name), findings).map(|v| (name.clone(), v)));
        } else {
            let error = Error::Unknown(quoted(name), listed(known.keys()));
            findings.later(vec![Finding::new(path, &error)]);
        }
    }
    let mut whole = true;
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            findings.later(vec![Finding::new(path, &Error::Missing(name.to_owned()))]);
            findings.unread(&path.field(name));
        }
        whole &= kept.contains_key(name);
    }
    (kept, whole)
}

fn allows(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(several) => several.iter().any(|t| t == kind),
        _ => false,
    }
}

fn bound(schema: &Value, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

fn wanted(schema: &Value) -> String {
    let words = [
        ("object", "a mapping"),
        ("array", "a list"),
        ("string", "text"),
        ("integer", "a whole number"),
        ("boolean", "true or false"),
    ];
    let kinds: Vec<&str> =
        words.iter().filter(|(kind, _)| allows(schema, kind)).map(|(_, word)| *word).collect();
    kinds.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(value: &Value) -> Vec<String> {
        let (_, findings) = read(value, &Path::top().field("spec"));
        findings.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_difference_is_told_with_its_place() {
        let findings = findings(&json!({
            "bots": "many", "iterations": 0, "seed": -1, "runners": {"cuont": 2}, "thresholds": [{"expect": ""}, {}, 5],
            "env": [{"name": "A", "value": 1}], "stop": "yes", "target": "", "duration": true, "tre": {}, "custom": [],
        }));
        for part in [
            "spec.bots: expected a whole number, found the text \"many\"",
            "spec.iterations: must be at least 1, found 0",
            "spec.seed: must be at least 0, found -1",
            "spec.runners: unknown field \"cuont\", expected one of ",
            "spec.thresholds[0].expect: must be 1 to 256 characters long, found 0",
            "spec.thresholds[1]: the field expect is missing",
            "spec.thresholds[2]: expected a mapping, found the number 5",
            "spec.env[0].value: expected text, found the number 1",
            "spec.stop: expected true or false, found the text \"yes\"",
            "spec.target: must be 1 to 2048 characters long, found 0",
            "spec.duration: expected text such as 5m (a rate: 50/s or 0.5/s) or a whole number, found the boolean true",
            "spec: unknown field \"tre\", expected one of ",
            "spec.custom: expected a mapping, found a list",
            "spec: the field trees is missing",
        ] {
            assert!(findings.iter().any(|f| f.starts_with(part)), "{part} is not in {findings:#?}");
        }
        assert_eq!(findings.len(), 14, "{findings:#?}");
    }

    #[test]
    fn a_full_spec_is_read() {
        let (spec, findings) = read(
            &json!({
                "target": "http://x", "trees": {"T": "done"}, "tree": "T", "bots": 5, "duration": "5m", "iterations": 3,
                "refill": {"max": 50, "every": 5}, "runners": {"count": 2}, "thresholds": [{"expect": "count > 1", "action": "a"}],
                "seed": 42, "env": [{"name": "A"}], "custom": {"a": [1.5]}, "stop": false, "template": {"spec": {}},
            }),
            &Path::top(),
        );
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(spec.load.refill, Some(crate::RefillSpec { max: 50, every: crate::Time::Seconds(5) }));
        assert_eq!(spec.load.duration, Some("5m".into()));
        assert_eq!(serde_json::to_value(&spec).expect("JSON")["runners"], json!({"count": 2}));
    }
}
