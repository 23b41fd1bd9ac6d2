//! The definitions against what the API server, and people, expect of them.

mod conventions;

use super::*;
use std::collections::BTreeSet;

fn runs() -> CustomResourceDefinition {
    let [runs, _] = definitions().unwrap();
    runs.crd
}

fn schedules() -> CustomResourceDefinition {
    let [_, schedules] = definitions().unwrap();
    schedules.crd
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let crd = serde_json::to_value(crd).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the rules of a schema say of an object, and of what it was before.
fn judge(schema: &Value, after: &Value, before: Option<&Value>) -> Vec<String> {
    let judged = kube_cel::Validator::new().validate(schema, after, before);
    judged.err().map_or(vec![], |all| all.iter().map(|e| e.message.clone()).collect())
}

/// The texts of all rules of a schema, each once.
fn rules_of(schema: &Value) -> BTreeSet<String> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("x-kubernetes-validations").and_then(Value::as_array);
            let own = own.into_iter().flatten().filter_map(|rule| Some(rule["rule"].as_str()?.to_owned()));
            own.chain(fields.values().flat_map(rules_of)).collect()
        }
        Value::Array(items) => items.iter().flat_map(rules_of).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn the_committed_definitions_are_current() {
    for definition in definitions().unwrap() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(definition.file);
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == definition.to_yaml().unwrap(),
            "{} is not current: run `make crds` and commit the result",
            definition.file
        );
    }
}

#[test]
fn the_definitions_keep_their_promises() {
    for definition in definitions().unwrap() {
        let yaml = definition.to_yaml().unwrap();
        assert!(yaml.len() < 200_000, "{}: {} bytes", definition.file, yaml.len());
        for word in ["- null", "$ref", "nullable", "format: uint", "type: number"] {
            assert!(!yaml.contains(word), "{}: {word}", definition.file);
        }
        let name = &definition.crd.metadata.name;
        let plural = definition.crd.spec.names.plural.as_str();
        assert_eq!(name.as_deref(), Some(format!("{plural}.botarmy.dev").as_str()));
        assert_eq!(definition.file, format!("botarmy.dev_{plural}.yaml"));
        assert!(definition.crd.spec.versions[0].subresources.as_ref().unwrap().status.is_some());
    }
}

#[test]
fn columns_and_scale_are_as_promised() {
    let columns = |crd: &CustomResourceDefinition| -> Vec<String> {
        let columns = crd.spec.versions[0].additional_printer_columns.iter().flatten();
        columns.map(|column| column.name.clone()).collect()
    };
    assert_eq!(
        columns(&runs()),
        ["Phase", "Outcome", "Bots", "Runners", "Actions/s", "P95", "Errors", "Age"]
    );
    assert_eq!(
        columns(&schedules()),
        ["Schedule", "TimeZone", "Suspend", "Active", "Last Schedule", "Next", "Age"]
    );
    let crd = runs();
    let scale = crd.spec.versions[0].subresources.as_ref().unwrap().scale.as_ref().unwrap();
    assert_eq!(
        (scale.spec_replicas_path.as_str(), scale.status_replicas_path.as_str()),
        (".spec.bots", ".status.bots")
    );
    assert_eq!(scale.label_selector_path.as_deref(), Some(".status.selector"), "autoscalers ask for it");
}

/// A run with this spec, and with trees unless it says that it has none.
fn with_trees(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let fields = spec.as_object_mut().unwrap();
    match fields.get("trees") {
        Some(Value::Null) => drop(fields.remove("trees")),
        Some(_) => {}
        None => drop(fields.insert("trees".into(), json!({}))),
    }
    json!({"spec": spec})
}

/// Each rule with what it lets pass and what it refuses, the state before and after.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of all rules")]
fn each_rule_accepts_and_refuses() {
    let schema = &schema(&runs());
    let runners = "count and botsPerRunner exclude each other; keep one";
    let stop = "a stopped run stays stopped; apply it anew under another name";
    let stage = "a stage goes to a number of bots or to an arrivalRate; give one of them";
    let think = "give from and to for an even range, or mean (and max) for exponential times";
    let both = |first: &str, second: &str| format!("{first} and {second} exclude each other; keep one");
    let scenarios = "tree, bots, arrivalRate, stages, duration, iterations, data and scenarios exclude each other; move them into the scenarios";
    let live =
        "arrivalRate can be changed, but neither added nor taken away; apply the run anew under another name";
    let trees = "there is no tree; give trees, or sources that hold them";
    let source = "a source is a configMap, a secret, a persistentVolumeClaim or an image; give one of them";
    let value = "value and valueFrom exclude each other; keep one";
    let value_from = "a value comes from a secretKeyRef, a configMapKeyRef or a fieldRef; give one of them";
    let data = "the rows come from a file, from inline or from a configMap; give one of them";
    let export = "a result goes to a persistentVolumeClaim or to http; give one of them";
    let one_address = "several formats cannot go to one address; end url with a slash, so that each gets a name of its own, or give one format";
    let outside = "path leads out of the claim; write a folder inside of it, without .. and without a slash at the beginning";
    let url = "url is not an address; write one such as https://HOST/PATH, without a name, a password or a fragment";
    let header_value = "a header has a value or a valueFrom; give one of them";
    let own_header = "this header is set by itself; leave it out";
    let to = |url: &str| json!({"export": [{"http": {"url": url}}]});
    let into = |path: &str| json!({"export": [{"persistentVolumeClaim": {"claimName": "c", "path": path}}]});
    let forms = |url: &str, forms: Value| json!({"export": [{"http": {"url": url}, "formats": forms}]});
    let with_header = |header: Value| json!({"export": [{"http": {"url": "http://a", "headers": [header]}}]});
    let none = Value::Null;
    let stages = |stage: Value| json!({"stages": [stage]});
    let mut seen = BTreeSet::new();
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
        (&none, json!({"arrivalRate": 1, "thinkTime": {"mean": 1}}), Some(&both("arrivalRate", "thinkTime"))),
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
        (&none, json!({"trees": null}), Some(trees)),
        (&none, json!({"trees": null, "sources": [{"name": "a", "secret": {"name": "s"}}]}), None),
        (&none, json!({"sources": [{"name": "a"}]}), Some(source)),
        (
            &none,
            json!({"sources": [{"name": "a", "secret": {"name": "s"}, "configMap": {"name": "s"}}]}),
            Some(source),
        ),
        (&none, json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "f"}}}]}), None),
        (
            &none,
            json!({"env": [{"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "f"}}}]}),
            None,
        ),
        (
            &none,
            json!({"env": [{"name": "A", "value": "a", "valueFrom": {"fieldRef": {"fieldPath": "f"}}}]}),
            Some(value),
        ),
        (&none, json!({"env": [{"name": "A", "valueFrom": {}}]}), Some(value_from)),
        (
            &json!({"suspend": true}),
            json!({"targetPolicy": "Shared", "ttlSecondsAfterFinished": {"passed": 1}}),
            None,
        ),
        (&none, json!({"export": [{}]}), Some(export)),
        (
            &none,
            json!({"export": [{"http": {"url": "http://a"}, "persistentVolumeClaim": {"claimName": "c"}}]}),
            Some(export),
        ),
        (
            &json!({}),
            json!({"export": [{"persistentVolumeClaim": {"claimName": "c"}, "formats": ["csv", "text"]}]}),
            None,
        ),
        (&none, into("a/b..c/...d"), None),
        (&none, into("/a"), Some(outside)),
        (&none, into(".."), Some(outside)),
        (&none, into("a/../b"), Some(outside)),
        (&none, forms("http://a/b/", json!(["json", "html"])), None),
        (&none, forms("http://a/b", json!(["json"])), None),
        (&none, forms("http://a/b", json!(["json", "html"])), Some(one_address)),
        (&none, to("https://a.b_c-d:8443/x?y=1&z=%20"), None),
        (&none, to("http://[fd00::1]:80"), None),
        (&none, to("ftp://a"), Some(url)),
        (&none, to("http://me:pw@a"), Some(url)),
        (&none, to("http://a/b#c"), Some(url)),
        (&none, to("http://a b"), Some(url)),
        (&none, to("http://"), Some(url)),
        (&none, with_header(json!({"name": "X-Key", "value": ""})), None),
        (
            &none,
            with_header(json!({"name": "X-Key", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})),
            None,
        ),
        (&none, with_header(json!({"name": "X-Key"})), Some(header_value)),
        (
            &none,
            with_header(
                json!({"name": "a", "value": "", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
            ),
            Some(header_value),
        ),
        (&none, with_header(json!({"name": "Content-Length", "value": "1"})), Some(own_header)),
        (&none, with_header(json!({"name": "hosts", "value": "1"})), None),
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
        let object = |spec: &Value| with_trees(spec);
        let old = (!before.is_null()).then(|| object(before));
        let said = judge(schema, &object(&after), old.as_ref());
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
        let (with, without) = (with_trees(&json!({field: value})), with_trees(&json!({})));
        assert_eq!(judge(schema, &with, Some(&with)), Vec::<String>::new(), "{field}");
        for (after, before) in [(&with, &without), (&without, &with)] {
            let said = judge(schema, after, Some(before));
            assert!(
                said.len() == 1 && said[0].starts_with(&format!("{field} is fixed")),
                "{field}: {said:?}"
            );
            seen.extend(said);
        }
    }
    // Rules of a scenario are those of a run.
    let rules = rules_of(schema);
    assert_eq!(rules.len(), seen.len(), "a rule without a refusal here: {rules:#?}");
}

/// Those of the spec that runs are made from are the runs' own: that they hold is shown, not what each says.
#[test]
fn each_rule_of_a_schedule_accepts_and_refuses() {
    let schema = &schema(&schedules());
    let fields = "write five fields (minute, hour, day of month, month, day of week) such as 30 2 * * 1-5, or one of @hourly, @daily, @weekly, @monthly and @yearly; a time zone belongs into timeZone";
    let name = "a schedule's name becomes part of its runs' names; keep it to 41 characters without dots";
    let keys = "keys that begin with botarmy.dev/ are the operator's; give yours another prefix";
    let exclusive = "bots and arrivalRate exclude each other; keep one";
    let scenarios = "tree, bots, arrivalRate, stages, duration, iterations, data and scenarios exclude each other; move them into the scenarios";
    let stage = "a stage goes to a number of bots or to an arrivalRate; give one of them";
    let at = |schedule: &str| json!({"schedule": schedule});
    let with = |mut template: Value| {
        if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
            spec.entry("trees").or_insert_with(|| json!({}));
        }
        json!({"schedule": "@hourly", "template": template})
    };
    let mut seen = BTreeSet::new();
    for (called, spec, refusal) in [
        ("a", at("* * * * *"), None),
        ("a", at("  */5 0-23/2  1,15,L JAN-mar MON#1 "), None),
        ("a", at("99 99 99 99 99"), None),
        ("a", at("@hourly"), None),
        ("a", at("@annually"), None),
        ("a", at("@every 1h"), Some(fields)),
        ("a", at("@reboot"), Some(fields)),
        ("a", at("* * * *"), Some(fields)),
        ("a", at("0 * * * * *"), Some(fields)),
        ("a", at("TZ=Europe/Berlin 0 2 * * *"), Some(fields)),
        ("a", at("CRON_TZ=UTC 2 * * *"), Some(fields)),
        ("a", at(""), Some(fields)),
        (&*"n".repeat(41), at("@daily"), None),
        (&*"n".repeat(42), at("@daily"), Some(name)),
        ("nightly.checkout", at("@daily"), Some(name)),
        ("a", with(json!({"metadata": {"labels": {"team": "shop", "example.com/x": "1"}}})), None),
        ("a", with(json!({"metadata": {"annotations": {"example.com/x": "1"}}})), None),
        ("a", with(json!({"metadata": {"labels": {"a": "b", "botarmy.dev/schedule": "x"}}})), Some(keys)),
        ("a", with(json!({"metadata": {"annotations": {"botarmy.dev/x": ""}}})), Some(keys)),
        ("a", with(json!({"spec": {"trees": {}, "bots": 1, "stop": true}})), None),
        ("a", with(json!({"spec": {"bots": 1, "arrivalRate": 5}})), Some(exclusive)),
        ("a", with(json!({"spec": {"scenarios": [{"name": "a"}], "bots": 1}})), Some(scenarios)),
        ("a", with(json!({"spec": {"stages": [{"duration": 1}]}})), Some(stage)),
    ] {
        let object = json!({"metadata": {"name": called}, "spec": spec});
        let said = judge(schema, &object, None);
        assert_eq!(said, refusal.into_iter().collect::<Vec<_>>(), "{object}");
        seen.extend(said);
    }
    let of_runs = rules_of(&self::schema(&runs()));
    let rules = rules_of(schema);
    let own: Vec<&String> = rules.difference(&of_runs).collect();
    assert_eq!(own.len(), [fields, name, keys].len(), "{own:#?}");
    for message in [fields, name, keys, exclusive, scenarios, stage] {
        assert!(seen.contains(message), "{message}");
    }
    // A template may be changed in any way: no rule of it looks at what it was before.
    assert!(!rules.iter().any(|rule| rule.contains("oldSelf")), "{rules:#?}");
}

/// What the API server writes into a spec that does not say it.
#[test]
fn a_schedule_has_defaults() {
    let properties = &schema(&schedules())["properties"]["spec"]["properties"];
    for (field, value) in [
        ("timeZone", json!("UTC")),
        ("concurrencyPolicy", json!("Forbid")),
        ("suspend", json!(false)),
        ("successfulRunsHistoryLimit", json!(3)),
        ("failedRunsHistoryLimit", json!(3)),
    ] {
        assert_eq!(properties[field]["default"], value, "{field}");
    }
    let required = &schema(&schedules())["properties"]["spec"]["required"];
    assert_eq!(required, &json!(["schedule", "template"]));
}
