//! What is given to the API server: refused with its place, or kept with its meaning.

use crate::cluster::{Namespace, condition, root};
use botarmy_operator::controller::canonical;
use botarmy_spec::file::{self, File};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use serde_json::{Value, json};

/// A manifest, its spec in YAML as people write it.
fn manifest(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: botarmy.dev/v1alpha1, kind: BotRun, metadata: {{name: {name}}}, spec: {{{spec}}}}}"
    )
}

/// With a tree, for what is about other fields.
fn with_tree(spec: &str) -> String {
    format!("trees: {{T: {{wait: 100ms}}}}, {spec}")
}

#[test]
fn the_api_server_refuses_what_the_schema_forbids() {
    let namespace = Namespace::new("schema");
    for (spec, part) in [
        ("bots: 1", "there is no tree; give trees, or sources that hold them"),
        ("trees: [1]", "spec.trees in body must be of type object"),
        ("trees: none", "spec.trees in body must be of type object"),
    ] {
        refuses(&namespace, spec, part);
    }
    for (spec, part) in [
        ("bost: 3", "unknown field \"spec.bost\""),
        ("runners: {counts: 1}", "unknown field \"spec.runners.counts\""),
        ("thresholds: [{expect: count > 1, expects: x}]", "unknown field \"spec.thresholds[0].expects\""),
        ("bots: -1", "spec.bots in body should be greater than or equal to 0"),
        ("bots: many", "spec.bots in body must be of type integer"),
        ("bots: 1.5", "spec.bots in body must be of type int32"),
        ("bots: 1000001", "spec.bots in body should be less than or equal to 1000000"),
        ("duration: 1.5", "spec.duration in body must be of type integer,string"),
        ("duration: [1]", "spec.duration in body must be of type integer,string"),
        // The YAML of kubectl makes a boolean of this.
        ("duration: on", "spec.duration in body must be of type integer,string: \"boolean\""),
        ("iterations: 0", "spec.iterations in body should be greater than or equal to 1"),
        ("iterations: -5", "spec.iterations in body should be greater than or equal to 1"),
        ("seed: -1", "spec.seed in body should be greater than or equal to 0"),
        ("stop: 'yes'", "spec.stop in body must be of type boolean"),
        ("stop: 1", "spec.stop in body must be of type boolean"),
        ("env: [{name: 1A}]", "spec.env[0].name in body should match"),
        ("env: [{name: A, value: 1}]", "spec.env[0].value in body must be of type string"),
        ("env: [{name: A}, {name: A}]", "spec.env[1]: Duplicate value"),
        ("thresholds: [count > 1]", "spec.thresholds[0] in body must be of type object"),
        ("thresholds: [{action: wait}]", "spec.thresholds[0].expect: Required value"),
        ("thresholds: [{expect: ''}]", "spec.thresholds[0].expect in body should be at least 1 chars long"),
        ("runners: {count: 0}", "spec.runners.count in body should be greater than or equal to 1"),
        ("runners: {count: 1001}", "spec.runners.count in body should be less than or equal to 1000"),
        ("runners: {count: 1, botsPerRunner: 1}", "count and botsPerRunner exclude each other; keep one"),
        ("refill: {max: 1}", "spec.refill.every: Required value"),
        ("refill: {max: 0, every: 5s}", "spec.refill.max in body should be greater than or equal to 1"),
        ("target: ''", "spec.target in body should be at least 1 chars long"),
        ("tree: ''", "spec.tree in body should be at least 1 chars long"),
        ("template: none", "spec.template in body must be of type object"),
        ("custom: [1]", "spec.custom in body must be of type object"),
    ] {
        refuses(&namespace, &with_tree(spec), part);
    }
}

fn refuses(namespace: &Namespace, spec: &str, part: &str) {
    let output = namespace.try_kubectl(&["create", "-f", "-"], Some(&manifest("bad", spec)));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(part), "{spec}: {said}");
}

#[test]
fn a_stopped_run_stays_stopped() {
    let namespace = Namespace::new("stopped");
    namespace.apply(&manifest("s", &with_tree("stop: false")));
    let patch =
        |patch: &str| namespace.try_kubectl(&["patch", "botrun/s", "--type=merge", "--patch", patch], None);
    assert!(patch(r#"{"spec": {"stop": true}}"#).status.success());
    assert!(patch(r#"{"spec": {"bots": 2}}"#).status.success());
    for taken_back in [r#"{"spec": {"stop": false}}"#, r#"{"spec": {"stop": null}}"#] {
        let output = patch(taken_back);
        let said = String::from_utf8_lossy(&output.stderr);
        let rule = "spec: Invalid value: a stopped run stays stopped; apply it anew under another name";
        assert!(!output.status.success() && said.contains(rule), "{taken_back}: {said}");
    }
}

#[test]
fn the_operator_refuses_what_makes_no_sense_with_its_path() {
    let namespace = Namespace::new("refused");
    let trees = [
        ("trees: {}", "spec.trees: no tree is given"),
        // The API server drops what is null.
        ("trees: {T: null}", "spec.trees: no tree is given"),
        ("trees: {T: {sequence: [done, {wiat: 1}]}}", "spec.trees.T.sequence[1]: unknown node \"wiat\""),
        ("trees: {T: {sequence: []}}", "spec.trees.T.sequence: the list is empty"),
        ("trees: {T: {wait: 1, log: x}}", "spec.trees.T: a node has one kind"),
        ("trees: {T: {action: Shop.buy}}", "spec.trees.T.action: the action \"Shop.buy\" does not exist"),
        ("trees: {T: {http: {get: 'http://a', expct: {}}}}", "spec.trees.T.http: unknown field \"expct\""),
        ("trees: {T: {wait: -1}}", "spec.trees.T.wait: -1 is negative"),
        // The YAML of kubectl makes booleans of these.
        ("trees: {T: {wait: on}}", "spec.trees.T.wait: "),
        ("trees: {T: {repeat_n: {times: n, child: done}}}", "spec.trees.T.repeat_n.times: "),
        ("trees: {A: {subtree: B}, B: {subtree: A}}", "the trees call one another in a circle"),
        ("trees: {A: done, B: done}", "spec.tree: the document has several trees"),
    ];
    let others = [
        ("tree: U", "spec.tree: there is no tree named \"U\""),
        ("bots: 0", "spec.bots: a run starts with at least one bot"),
        ("bots: 1, runners: {count: 2}", "spec.runners: 2 runners for 1 bots"),
        ("duration: soon", "spec.duration: \"soon\" is not a duration"),
        ("duration: 0", "spec.duration: the time must be above zero"),
        ("duration: -5", "spec.duration: -5 is negative"),
        ("duration: -5s", "spec.duration: \"-5s\" is negative"),
        ("refill: {max: 1, every: -1s}", "spec.refill.every: \"-1s\" is negative"),
        ("target: 'shop:8080'", "spec.target: \"shop:8080\" is not an address"),
        ("thresholds: [{expect: p(95) < 5}]", "spec.thresholds[0].expect: column 9: 5 has no unit"),
        (
            "thresholds: [{expect: p(101) < 5ms}]",
            "spec.thresholds[0].expect: column 3: a percentile is 0 to 100",
        ),
        ("thresholds: [{expect: speed > 1}]", "spec.thresholds[0].expect: column 1: expected a metric"),
        ("thresholds: [{expect: count > 1, action: x}]", "spec.thresholds[0].action: no action of the tree"),
    ];
    let others = others.map(|(spec, part)| (with_tree(spec), part));
    let all = trees.map(|(spec, part)| (spec.to_owned(), part)).into_iter().chain(others);
    let named: Vec<(String, String, &str)> =
        all.enumerate().map(|(i, (spec, part))| (format!("bad-{i}"), spec, part)).collect();
    let together: Vec<String> = named.iter().map(|(name, spec, _)| manifest(name, spec)).collect();
    namespace.apply(&together.join("\n---\n"));
    for (name, spec, part) in &named {
        let run = namespace.wait_complete(name);
        let (accepted, message) = condition(&run, "Accepted").expect("Accepted");
        assert!(accepted == "False" && message.contains(part), "{spec}: {message}");
        assert_eq!(
            (&run["status"]["phase"], &run["status"]["outcome"]),
            (&json!("Finished"), &json!("Errored"))
        );
    }
    assert_eq!(namespace.kubectl(&["get", "jobs,configmaps", "-l", "botarmy.dev/run", "-o", "name"]), "");
}

/// A run as people can compare it.
fn compiled(spec: &BotRunSpec, name: &str) -> String {
    let run = Run::check(spec, name, &Path::top().field("spec"), &Actions::built_in());
    format!("{:#?}", run.expect("a valid run"))
}

/// With the keys of all mappings in the reverse of the order that the API server gives.
fn resorted(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev().map(|(k, v)| format!("{}:{}", json!(k), resorted(v)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(resorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[test]
fn every_example_means_the_same_after_the_api_server_has_had_it() {
    let namespace = Namespace::new("examples");
    // This is about what is kept, not about what runs.
    namespace.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {pods: 0}}}");
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("examples")).expect("examples") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        if !text.lines().any(|line| line == "kind: BotRun") {
            continue;
        }
        let read = file::read(&text).expect("an example").file;
        let File::Run { name: Some(name), spec, .. } = read else { panic!("{} is no run", path.display()) };
        let here = compiled(&spec, &name);
        assert!(here.len() > 1000, "{here}");
        let there = |what: &str| {
            let object = namespace.get(&format!("botrun/{name}"));
            let spec: BotRunSpec = serde_json::from_value(object["spec"].clone()).expect("a spec");
            assert!(compiled(&canonical(&spec), &name) == here, "{} after {what}: {object}", path.display());
            object
        };
        namespace.kubectl(&["create", "-f", &path.to_string_lossy()]);
        let created = there("its creation");
        let update = json!({
            "apiVersion": created["apiVersion"], "kind": created["kind"], "spec": created["spec"],
            "metadata": {"name": name, "labels": {"updated": "yes"}},
        });
        let how = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let applied = namespace.try_kubectl(&how, Some(&resorted(&update)));
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        assert_eq!(there("an update")["metadata"]["labels"]["updated"], "yes");
        seen += 1;
    }
    assert!(seen > 0, "there are examples");
}
