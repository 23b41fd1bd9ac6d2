//! Compares a document with the schema of [`BotRunSpec`]: unknown fields, wrong types, bounds.
//!
//! The API server does the same for an object of the cluster, by the schema made of the same types.
//! Here every difference is told at once, with its place and what would be right.

use crate::types::BotRunSpec;
use botarmy_tree::{Finding, Path};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use std::sync::LazyLock;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("unknown field {0:?}, expected one of {1}")]
    Unknown(String, String),
    #[error("the field {0} is missing; add it")]
    Missing(String),
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

/// Reads a spec from a document in canonical form; all differences from the schema are told.
pub fn read(value: &Value, path: &Path) -> Result<BotRunSpec, Vec<Finding>> {
    let mut findings = Vec::new();
    compare(value, schema(), path, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    serde_json::from_value(value.clone()).map_err(|e| vec![Finding::new(path, &Error::Decode(e))])
}

fn compare(value: &Value, schema: &Value, path: &Path, findings: &mut Vec<Finding>) {
    let mut note = |error: Error| findings.push(Finding::new(path, &error));
    if schema.get("x-kubernetes-int-or-string").is_some() {
        if !value.is_i64() && !value.is_string() {
            note(Error::Type("text such as 5m or a whole number of seconds".into(), kind_of(value)));
        }
        return;
    }
    match value {
        Value::Object(fields) if allows(schema, "object") => compare_fields(fields, schema, path, findings),
        Value::Array(items) if allows(schema, "array") => {
            if let Some(most) = bound(schema, "maxItems").filter(|most| items.len() as u64 > *most) {
                note(Error::Items(most, items.len()));
            }
            for (i, item) in items.iter().enumerate() {
                compare(item, &schema["items"], &path.index(i), findings);
            }
        }
        Value::String(text) if allows(schema, "string") => {
            let (least, most) =
                (bound(schema, "minLength").unwrap_or(0), bound(schema, "maxLength").unwrap_or(u64::MAX));
            let length = text.chars().count();
            if !(least..=most).contains(&(length as u64)) {
                note(Error::Length(least, most, length));
            }
        }
        Value::Number(number) if number.is_i64() && allows(schema, "integer") => {
            let number = number.as_i64().unwrap_or_default();
            if let Some(least) = schema["minimum"].as_i64().filter(|least| number < *least) {
                note(Error::Below(least, number));
            }
            if let Some(most) = schema["maximum"].as_i64().filter(|most| number > *most) {
                note(Error::Above(most, number));
            }
        }
        Value::Bool(_) if allows(schema, "boolean") => {}
        other => note(Error::Type(wanted(schema), kind_of(other))),
    }
}

fn compare_fields(fields: &Map<String, Value>, schema: &Value, path: &Path, findings: &mut Vec<Finding>) {
    let Some(known) = schema["properties"].as_object() else { return };
    for (name, value) in fields {
        match known.get(name) {
            Some(inner) => compare(value, inner, &path.field(name), findings),
            None => {
                let names = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                findings.push(Finding::new(path, &Error::Unknown(name.clone(), names)));
            }
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            findings.push(Finding::new(path, &Error::Missing(name.to_owned())));
        }
    }
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

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
        Value::String(text) => format!("the text {:?}", text.chars().take(80).collect::<String>()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(value: &Value) -> Vec<String> {
        let findings = read(value, &Path::top().field("spec")).expect_err("mistakes");
        findings.iter().map(ToString::to_string).collect()
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
            "spec.thresholds[2]: expected a mapping, found 5",
            "spec.env[0].value: expected text, found 1",
            "spec.stop: expected true or false, found the text \"yes\"",
            "spec.target: must be 1 to 2048 characters long, found 0",
            "spec.duration: expected text such as 5m or a whole number of seconds, found true",
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
        let spec = read(
            &json!({
                "target": "http://x", "trees": {"T": "done"}, "tree": "T", "bots": 5, "duration": "5m", "iterations": 3,
                "refill": {"max": 50, "every": 5}, "runners": {"count": 2}, "thresholds": [{"expect": "count > 1", "action": "a"}],
                "seed": 42, "env": [{"name": "A"}], "custom": {"a": [1.5]}, "stop": false, "template": {"spec": {}},
            }),
            &Path::top(),
        )
        .expect("a spec");
        assert_eq!(spec.refill, Some(crate::RefillSpec { max: 50, every: crate::Time::Seconds(5) }));
        assert_eq!(spec.duration, Some("5m".into()));
        assert_eq!(serde_json::to_value(&spec).expect("JSON")["runners"], json!({"count": 2}));
    }
}
