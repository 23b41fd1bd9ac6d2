//! The custom resource definitions, made from the types.

use crate::{BotRun, BotRunSchedule, MAX_NUMBER, schedule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

/// The definition of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The name of the file beside this crate's manifest that holds it as YAML.
    pub file: &'static str,
    /// What the API server is given.
    pub crd: CustomResourceDefinition,
}

/// The definitions of all kinds.
///
/// # Errors
/// Only if the types make a schema that the API server could not read.
pub fn definitions() -> Result<[Definition; 2], serde_json::Error> {
    let runs = definition(&BotRun::crd(), None)?;
    let schedules = definition(&BotRunSchedule::crd(), Some(schedule::name_rule()))?;
    Ok([
        Definition { file: "botarmy.dev_botruns.yaml", crd: runs },
        Definition { file: "botarmy.dev_botrunschedules.yaml", crd: schedules },
    ])
}

impl Definition {
    /// The definition as YAML.
    ///
    /// # Errors
    /// Only if it holds what YAML cannot.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        let yaml = serde_yaml::to_string(&self.crd)?;
        Ok(format!(
            "# Generated from the types of the crate botarmy-crds by `make crds`; not to be edited.\n{yaml}"
        ))
    }
}

/// `rule` is one about the object as a whole.
fn definition(
    crd: &CustomResourceDefinition,
    rule: Option<Value>,
) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    simplify(&mut value);
    let schema = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    bound(&mut schema["properties"]["status"]);
    if let Some(rule) = rule {
        schema["x-kubernetes-validations"] = json!([rule]);
    }
    serde_json::from_value(value)
}

/// Takes out what the API server warns about or does not need: absent is said by leaving a field
/// out, never by null, and unsigned formats are unknown to it (the bounds say the same).
fn simplify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if is_schema(fields) {
                fields.remove("nullable");
                if let Some(Value::Array(values)) = fields.get_mut("enum") {
                    values.retain(|value| !value.is_null());
                }
                let unsigned =
                    fields.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint"));
                if unsigned {
                    fields.insert("format".into(), "int64".into());
                }
            }
            fields.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// Gives bounds, and a kind of merge, to what the operator writes and that has none of its own: far above what it ever
/// writes, and still bounds, as the API server's own accounting wants them. Lists are written as a whole.
fn bound(schema: &mut Value) {
    const MOST_ITEMS: u32 = 4_096;
    const MOST_CHARACTERS: u32 = 32_768;
    match schema {
        Value::Object(fields) => {
            let format = fields.get("format").and_then(Value::as_str);
            let defaults: Vec<(&str, Value)> = match fields.get("type").and_then(Value::as_str) {
                Some("array") => {
                    vec![("maxItems", MOST_ITEMS.into()), ("x-kubernetes-list-type", "atomic".into())]
                }
                Some("string") if !fields.contains_key("enum") && format.is_none() => {
                    vec![("maxLength", MOST_CHARACTERS.into())]
                }
                Some("object") if fields.contains_key("additionalProperties") => {
                    vec![("maxProperties", MOST_ITEMS.into())]
                }
                Some("integer") if format == Some("int32") => {
                    vec![("minimum", 0.into()), ("maximum", i32::MAX.into())]
                }
                Some("integer") => vec![("minimum", 0.into()), ("maximum", MAX_NUMBER.into())],
                _ => vec![],
            };
            for (key, value) in defaults {
                fields.entry(key).or_insert(value);
            }
            fields.values_mut().for_each(bound);
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        _ => {}
    }
}

/// Whether this is a schema rather than a mapping whose keys are names of fields.
fn is_schema(fields: &Map<String, Value>) -> bool {
    fields.get("type").is_some_and(Value::is_string) || fields.contains_key("x-kubernetes-int-or-string")
}

#[cfg(test)]
mod tests;
