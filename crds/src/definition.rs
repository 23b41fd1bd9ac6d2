//! The custom resource definition, made from the types.

use crate::BotRun;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value};

/// The file beside this crate's manifest that holds the definition.
pub const YAML_FILE: &str = "botarmy.dev_botruns.yaml";

/// The definition of the kind.
///
/// # Errors
/// Only if the types make a schema that the API server could not read.
pub fn definition() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(BotRun::crd())?;
    simplify(&mut value);
    let version = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    bound(&mut version["properties"]["status"]);
    serde_json::from_value(value)
}

/// The definition as YAML.
///
/// # Errors
/// As [`definition`].
pub fn to_yaml() -> Result<String, Box<dyn std::error::Error>> {
    let yaml = serde_yaml::to_string(&definition()?)?;
    Ok(format!(
        "# Generated from the types of the crate botarmy-crds by `make crds`; not to be edited.\n{yaml}"
    ))
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

/// Gives bounds to what the operator writes and that has none of its own: far above what it ever writes,
/// and still bounds, as the API server's own accounting wants them.
fn bound(schema: &mut Value) {
    const MOST_ITEMS: u32 = 4_096;
    const MOST_CHARACTERS: u32 = 32_768;
    match schema {
        Value::Object(fields) => {
            let most = match fields.get("type").and_then(Value::as_str) {
                Some("array") => Some(("maxItems", MOST_ITEMS)),
                Some("string") if !fields.contains_key("enum") && !fields.contains_key("format") => {
                    Some(("maxLength", MOST_CHARACTERS))
                }
                Some("object") if fields.contains_key("additionalProperties") => {
                    Some(("maxProperties", MOST_ITEMS))
                }
                _ => None,
            };
            if let Some((bound, most)) = most {
                fields.entry(bound).or_insert(most.into());
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
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_committed_definition_is_current() {
        let committed = include_str!("../botarmy.dev_botruns.yaml");
        assert_eq!(committed, to_yaml().unwrap(), "run `make crds` and commit the result");
    }

    #[test]
    fn the_definition_keeps_its_promises() {
        let yaml = to_yaml().unwrap();
        assert!(yaml.len() < 200_000, "{} bytes", yaml.len());
        for word in ["- null", "$ref", "nullable", "format: uint", "type: number"] {
            assert!(!yaml.contains(word), "{word}");
        }
        let crd = definition().unwrap();
        let version = &crd.spec.versions[0];
        let columns: Vec<&str> =
            version.additional_printer_columns.iter().flatten().map(|c| c.name.as_str()).collect();
        assert_eq!(columns, ["Phase", "Outcome", "Bots", "Runners", "Actions/s", "P95", "Errors", "Age"]);
        let scale = version.subresources.as_ref().unwrap().scale.as_ref().unwrap();
        assert_eq!(
            (scale.spec_replicas_path.as_str(), scale.status_replicas_path.as_str()),
            (".spec.bots", ".status.bots")
        );
    }

    /// Each rule with what it lets pass and what it refuses, the state before and after.
    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of all rules")]
    fn each_rule_accepts_and_refuses() {
        let crd = serde_json::to_value(definition().unwrap()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let runners = "count and botsPerRunner exclude each other; keep one";
        let stop = "a stopped run stays stopped; apply it anew under another name";
        let stage = "a stage goes to a number of bots or to an arrivalRate; give one of them";
        let think = "give from and to for an even range, or mean (and max) for exponential times";
        let both = |first: &str, second: &str| format!("{first} and {second} exclude each other; keep one");
        let scenarios = "tree, bots, arrivalRate, stages, duration, iterations, data and scenarios exclude each other; move them into the scenarios";
        let live = "arrivalRate can be changed, but neither added nor taken away; apply the run anew under another name";
        let data = "the rows come from a file, from inline or from a configMap; give one of them";
        let none = Value::Null;
        let stages = |stage: Value| json!({"stages": [stage]});
        let mut seen = std::collections::BTreeSet::new();
        for (before, after, refusal) in [
            (&none, stages(json!({"duration": "1s", "bots": 0})), None),
            (&none, stages(json!({"duration": "1s", "arrivalRate": 1})), None),
            (&none, stages(json!({"duration": "1s"})), Some(stage)),
            (&none, stages(json!({"duration": "1s", "bots": 0, "arrivalRate": 1})), Some(stage)),
            (&none, json!({"thinkTime": {"from": 1, "to": 2}}), None),
            (&none, json!({"thinkTime": {"mean": 1, "max": 2}}), None),
            (&none, json!({"thinkTime": {"from": 1}}), Some(think)),
            (&none, json!({"thinkTime": {"mean": 1, "from": 1}}), Some(think)),
            (&none, json!({"thinkTime": {"from": 1, "to": 2, "max": 2}}), Some(think)),
            (
                &json!({"stages": [{"duration": 1, "bots": 1}]}),
                json!({"stages": [{"duration": 1, "bots": 1}], "bots": 5}),
                Some(&both("bots", "stages")),
            ),
            (
                &none,
                json!({"stages": [{"duration": 1, "arrivalRate": 1}], "arrivalRate": 5}),
                Some(&both("arrivalRate", "stages")),
            ),
            (&none, json!({"bots": 1, "arrivalRate": 5}), Some(&both("bots", "arrivalRate"))),
            (&none, json!({"pace": 1, "thinkTime": {"mean": 1}}), Some(&both("pace", "thinkTime"))),
            (
                &none,
                json!({"arrivalRate": 1, "iterationsPerBot": 1}),
                Some(&both("arrivalRate", "iterationsPerBot")),
            ),
            (
                &none,
                json!({"arrivalRate": 1, "refill": {"max": 1, "every": 1}}),
                Some(&both("arrivalRate", "refill")),
            ),
            (&none, json!({"arrivalRate": 1, "pace": 1}), Some(&both("arrivalRate", "pace"))),
            (
                &none,
                json!({"arrivalRate": 1, "thinkTime": {"mean": 1}}),
                Some(&both("arrivalRate", "thinkTime")),
            ),
            (&none, json!({"scenarios": [{"name": "a", "bots": 1}]}), None),
            (
                &none,
                json!({"scenarios": [{"name": "a", "bots": 1, "arrivalRate": 1}]}),
                Some(&both("bots", "arrivalRate")),
            ),
            (&none, json!({"scenarios": [{"name": "a"}], "bots": 1}), Some(scenarios)),
            (&none, json!({"scenarios": [{"name": "a"}], "tree": "x"}), Some(scenarios)),
            (&none, json!({"runners": {"count": 2}}), None),
            (&none, json!({"runners": {"botsPerRunner": 2}}), None),
            (&none, json!({"runners": {"count": 2, "botsPerRunner": 2}}), Some(runners)),
            (&none, json!({"stop": true}), None),
            (&json!({"arrivalRate": 5}), json!({"arrivalRate": "7/s"}), None),
            (&json!({"arrivalRate": 5}), json!({}), Some(live)),
            (&json!({}), json!({"arrivalRate": 5}), Some(live)),
            (&none, json!({"data": {"file": "/a"}}), None),
            (&none, json!({"data": {"configMap": {"name": "a", "key": "b"}}}), None),
            (&none, json!({"data": {"file": "/a", "inline": "a"}}), Some(data)),
            (&none, json!({"data": {"exhausted": "Wait"}}), Some(data)),
            (&none, json!({"scenarios": [{"name": "a", "data": {}}]}), Some(data)),
            (&json!({}), json!({"stop": true}), None),
            (&json!({"stop": false}), json!({"stop": true}), None),
            (&json!({"stop": false}), json!({}), None),
            (&json!({"stop": true}), json!({"stop": true, "bots": 3}), None),
            (&json!({"stop": true}), json!({"stop": false}), Some(stop)),
            (&json!({"stop": true}), json!({}), Some(stop)),
        ] {
            let object = |spec: &Value| json!({"spec": spec});
            let old = (!before.is_null()).then(|| object(before));
            let judged = kube_cel::Validator::new().validate(schema, &object(&after), old.as_ref());
            let said: Vec<String> =
                judged.err().map_or(vec![], |all| all.iter().map(|e| e.message.clone()).collect());
            assert_eq!(said, refusal.into_iter().collect::<Vec<_>>(), "{before} to {after}");
            seen.extend(said);
        }
        for field in crate::FROZEN {
            let value = match field {
                "runners" => json!({"count": 2}),
                "setup" | "teardown" => json!({"tree": "A"}),
                "spacing" => json!("Even"),
                "target" | "tree" | "arrivalRate" => json!("1/s"),
                _ => json!(5),
            };
            let (with, without) = (json!({"spec": {field: value}}), json!({"spec": {}}));
            let judge = |after: &Value, before: &Value| {
                let judged = kube_cel::Validator::new().validate(schema, after, Some(before));
                judged.err().map_or(vec![], |all| all.iter().map(|e| e.message.clone()).collect::<Vec<_>>())
            };
            assert_eq!(judge(&with, &with), Vec::<String>::new(), "{field}");
            for (after, before) in [(&with, &without), (&without, &with)] {
                let said = judge(after, before);
                assert!(
                    said.len() == 1 && said[0].starts_with(&format!("{field} is fixed")),
                    "{field}: {said:?}"
                );
                seen.extend(said);
            }
        }
        // Rules of a scenario are those of a run.
        let written = crd.to_string();
        let rules: std::collections::BTreeSet<&str> =
            written.split("\"rule\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(rules.len(), seen.len(), "a rule without a refusal here: {rules:#?}");
    }

    /// Every field is documented, and every list and text of the spec is bounded.
    #[test]
    fn every_field_is_documented_and_bounded() {
        let crd = serde_json::to_value(definition().unwrap()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let mut complaints = Vec::new();
        walk("spec", &schema["spec"], &mut complaints);
        walk("status", &schema["status"], &mut complaints);
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    fn walk(path: &str, schema: &Value, complaints: &mut Vec<String>) {
        // What the cluster's own types bring along is the API server's to document and to bound.
        if path.contains("conditions[]") {
            return;
        }
        let lacks = |key: &str| schema.get(key).is_none();
        if path.contains('.') && !path.ends_with("[]") && lacks("description") {
            complaints.push(format!("{path}: no description"));
        }
        if path.starts_with("spec") {
            if schema["type"] == "string" && lacks("maxLength") && lacks("enum") {
                complaints.push(format!("{path}: no maxLength"));
            }
            if schema["type"] == "array" && lacks("maxItems") {
                complaints.push(format!("{path}: no maxItems"));
            }
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), inner, complaints);
        }
        if let Some(items) = schema.get("items") {
            walk(&format!("{path}[]"), items, complaints);
        }
    }
}
