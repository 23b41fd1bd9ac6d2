//! `runner schema`: a schema that takes what the runner takes, and sees mistakes where they are made.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use botarmy_spec::shape;
use botarmy_tree::{canonical::canonical, yaml};
use common::runner;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let ended = runner(&["schema"]).expect(0);
    assert_eq!(ended.stderr, "");
    serde_json::from_str(&ended.stdout).expect("JSON")
});

static FILES: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&SCHEMA).expect("a schema without loose ends"));

fn from_yaml(text: &str) -> Value {
    let mut document = yaml::read(text).expect("YAML").remove(0);
    assert!(document.findings.is_empty(), "{text}: {:?}", document.findings);
    canonical(&mut document.value);
    document.value
}

#[test]
fn it_is_a_json_schema() {
    assert_eq!(SCHEMA["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::meta::validate(&SCHEMA).expect("a schema of the draft it names");
    assert!(!SCHEMA.to_string().contains("x-kubernetes"), "what no editor understands");
}

#[test]
fn every_example_is_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).expect("examples") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        if text.contains("kind: BotRun") {
            seen += 1;
            let run = from_yaml(&text);
            FILES.validate(&run).expect("an example");
            FILES.validate(&run["spec"]).expect("the spec of an example");
        }
    }
    assert!(seen > 0);
}

const HEAD: &str = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\n";

#[test]
fn other_right_files_are_accepted() {
    let tree = include_str!("../tree/tests/data/every_form.yaml").replace('\n', "\n  ");
    for text in [
        "trees: {T: done}".to_owned(),
        "trees: {T: {wait: 2}}\nbots: 5\nduration: 90\nseed: 7\nenv: [{name: A, value: b}]".to_owned(),
        "trees: {T: wait}\nduration: 1h30m\nrefill: {max: 50, every: 5s}\nthresholds: [{expect: count > 1}]"
            .to_owned(),
        "trees: {T: wait}\ncustom: {anything: [1, {b: c}]}\ntemplate: {spec: {containers: []}}\nstop: false"
            .to_owned(),
        format!(
            "{HEAD}metadata: {{name: a.b-c, labels: {{app: shop}}}}\nspec: {{trees: {{T: done}}}}\nstatus: {{phase: Running}}"
        ),
        format!("trees:\n  {tree}"),
    ] {
        FILES.validate(&from_yaml(&text)).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
}

#[test]
fn mistakes_are_seen_in_their_place() {
    for (text, place) in [
        ("{}", ""),
        ("[]", ""),
        ("trees: {}", "/trees"),
        ("trees: {T: dnoe}", "/trees/T"),
        ("trees: {T: {sequence: [done, {wait: 1, log: a}]}}", "/trees/T"),
        ("trees: {T: done}\nbost: 1", ""),
        ("trees: {T: done}\nbots: many", "/bots"),
        ("trees: {T: done}\nbots: -1", "/bots"),
        ("trees: {T: done}\niterations: 0", "/iterations"),
        ("trees: {T: done}\nduration: soon", "/duration"),
        ("trees: {T: done}\nduration: 1.5", "/duration"),
        ("trees: {T: done}\nrefill: {max: 1}", "/refill"),
        ("trees: {T: done}\nrefill: {max: 1, every: 5 s}", "/refill/every"),
        ("trees: {T: done}\nrunners: {cuont: 1}", "/runners"),
        ("trees: {T: done}\nthresholds: [{expect: a}, {}]", "/thresholds/1"),
        ("trees: {T: done}\nenv: [{name: 1a}]", "/env/0/name"),
        ("trees: {T: done}\nstop: 1", "/stop"),
        ("kind: BotRun\nspec: {trees: {T: done}}", ""),
        ("apiVersion: botarmy.dev/v1alpha1\nspec: {trees: {T: done}}", ""),
        ("apiVersion: v1\nkind: BotRun\nspec: {trees: {T: done}}", "/apiVersion"),
        ("apiVersion: botarmy.dev/v1alpha1\nkind: Pod\nspec: {trees: {T: done}}", "/kind"),
        (&format!("{HEAD}metadata: {{name: A_b}}\nspec: {{trees: {{T: done}}}}"), "/metadata/name"),
        (&format!("{HEAD}metadata: {{name: a}}"), ""),
        (&format!("{HEAD}spec: {{trees: {{T: done}}, bost: 1}}"), "/spec"),
        (&format!("{HEAD}spec: {{trees: {{T: {{wiat: 1}}}}}}"), "/spec/trees/T"),
    ] {
        let file = from_yaml(text);
        let places: Vec<String> =
            FILES.iter_errors(&file).map(|e| e.instance_path().as_str().to_owned()).collect();
        assert!(places.iter().any(|p| p == place), "{text}: {place} is not in {places:?}");
    }
}

/// What the types say of a spec is all there, whatever fields it will have.
#[test]
fn no_field_of_a_spec_is_left_out() {
    let known = shape::schema()["properties"].as_object().expect("fields");
    let shown = &SCHEMA["$defs"]["spec"]["properties"];
    for (name, schema) in known {
        let field = &shown[name];
        assert!(field.is_object(), "{name} is not there");
        if name != "trees" {
            assert_eq!(field["description"], schema["description"], "{name}");
        }
    }
    assert_eq!(shown["trees"], json!({"$ref": "#/$defs/trees"}));
}
