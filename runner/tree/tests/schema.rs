//! The JSON Schema for editors: it takes all that the reader takes, and sees what can be seen of a mistake.

#![allow(clippy::expect_used, reason = "a test ends with a panic")]

mod mistakes;

use botarmy_tree::{Actions, Path, duration, notation, schema, yaml};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::sync::LazyLock;

static TREES: LazyLock<Validator> = LazyLock::new(|| {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": schema::definitions(),
        "$ref": "#/$defs/trees",
    });
    jsonschema::meta::validate(&schema).expect("a schema");
    jsonschema::validator_for(&schema).expect("a schema")
});

fn from_yaml(text: &str) -> Value {
    yaml::read(text).expect("YAML").remove(0).value
}

#[test]
fn every_form_is_accepted() {
    let actions = Actions::built_in().opaque();
    for text in [
        include_str!("data/every_form.yaml"),
        "T: done",
        "T: wait",
        "T: {wait: [], label: x}",
        "T: {wait: ['{{ a }}']}",
        "T: {wait: [500ms, '2']}",
        "T: {wait: '{{ pause }}'}",
        "T: {repeat_n: {'n': 3, child: done}}",
        "T: {random_weighted: [{weight: 0, child: done}, {weight: 1, child: done}]}",
        "T: {parallel: {succeed_on: any, fail_on: 2, children: [done, wait]}}",
        "T: {if: {when: true, then: done, else: wait}}",
        "T: {retry: {attempts: 1, delay: 1.5, child: done}}",
        "T: {timeout: {after: 1h2m3s4ms5us, child: done}}",
        "T: {http: {method: M-SEARCH, url: '{{ u }}', body: a, expect: {status: [200, '300 - 302']}}}",
        "T: {http: {head: 'http://x', json: {a: 1}, save: {a: $.b}, expect: {json: {$.c: null}}, timeout: 1h}}",
    ] {
        let trees = from_yaml(text);
        notation::read(&trees, &Path::top(), &actions).expect(text);
        TREES.validate(&trees).expect(text);
    }
}

/// What takes more than a look at the shape: other trees, other fields, or what stands in a text.
const UNSEEN: [&str; 6] = [
    "T: {parallel: {succeed_on: 2, children: [done]}}",
    "T: {if: {when: 'a >', then: done}}",
    "T: {action: Shop.sell}",
    "T: {action: {name: Shop.buy, args: [1]}}",
    "T: {log: '{{ x'}",
    "T: {subtree: {name: T2, with: {a: '{{ x'}}}\nT2: done",
];

#[test]
fn mistakes_of_shape_are_refused() {
    for (text, ..) in mistakes::OF_THE_ORIGINAL.iter().chain(mistakes::OF_WHAT_WAS_ADDED) {
        assert_eq!(TREES.is_valid(&from_yaml(text)), UNSEEN.contains(text), "{text}");
    }
}

#[test]
fn mistakes_in_requests_are_refused() {
    for options in [
        "{}",
        "{method: GET}",
        "http://x",
        "{get: http://x, post: http://x}",
        "{get: http://x, url: http://x}",
        "{get: http://x, method: GET}",
        "{url: http://x, method: get}",
        "{get: /cart}",
        "{get: \"http://x\\n\"}",
        "{get: http://x, hedaers: {}}",
        "{get: http://x, headers: {'a b': x}}",
        "{get: http://x, headers: {c: [1]}}",
        "{get: http://x, json: 1, body: x}",
        "{get: http://x, body: 5}",
        "{get: http://x, timeout: 0}",
        "{get: http://x, timeout: 2h}",
        "{get: http://x, timeout: 3601}",
        "{get: http://x, expect: {stats: 200}}",
        "{get: http://x, expect: {status: 99}}",
        "{get: http://x, expect: {status: '+200'}}",
        "{get: http://x, expect: {status: 2xx}}",
        "{get: http://x, expect: {status: []}}",
        "{get: http://x, expect: {status: [[200]]}}",
        "{get: http://x, expect: {json: {total: 1}}}",
        "{get: http://x, save: {env: $.a}}",
        "{get: http://x, save: {b: c}}",
        "{get: http://x, save: {a.b: $.c}}",
    ] {
        let trees = from_yaml(&format!("T: {{http: {options}}}"));
        assert!(notation::read(&trees, &Path::top(), &Actions::built_in()).is_err(), "{options}");
        // A time with units would have to be added up.
        assert_eq!(TREES.is_valid(&trees), options.contains("2h"), "{options}");
    }
}

/// The fields below a place that nothing explains.
fn silent(place: &str, schema: &Value, found: &mut Vec<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let explained = inner["description"].as_str().is_some_and(|text| text != "A built-in action.");
        // What a node is, is told there.
        if !explained && !["child", "children"].contains(&name.as_str()) {
            found.push(format!("{place}.{name}"));
        }
        silent(&format!("{place}.{name}"), inner, found);
    }
    for list in ["anyOf", "items"].into_iter().filter_map(|key| schema.get(key)) {
        for inner in list.as_array().into_iter().flatten().chain([list]) {
            silent(place, inner, found);
        }
    }
}

#[test]
fn every_field_is_explained() {
    let mut found = Vec::new();
    for (name, schema) in &schema::definitions() {
        silent(name, schema, &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
}

// --- whatever is accepted ------------------------------------------------------------------

fn texts() -> BoxedStrategy<Value> {
    const WORDS: [&str; 7] = ["{{ a }}", "$.a[0]", "http://x", "all", "done", "S", ""];
    prop_oneof![
        "[a-z$.{} 0-9-]{0,6}".prop_map(Value::from),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
        durations(),
    ]
    .boxed()
}

fn durations() -> BoxedStrategy<Value> {
    prop_oneof![
        "[0-9]{0,3}\\.?[0-9]{0,2}(h|m|s|ms|us|µs)?([0-9]{1,2}(m|s|ms|us))?".prop_map(Value::from),
        (-1..5_i64).prop_map(Value::from),
        (0.0..4.0).prop_map(Value::from),
    ]
    .boxed()
}

fn anything() -> BoxedStrategy<Value> {
    prop_oneof![texts(), any::<bool>().prop_map(Value::from), Just(json!([1, "2s"])), Just(json!({"a": "$"}))]
        .boxed()
}

/// A mapping with some of these fields.
fn fields(names: &'static [&'static str]) -> BoxedStrategy<Value> {
    let field = (prop::sample::select(names), anything());
    let mapping = |fields: Vec<(&str, Value)>| fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    prop::collection::vec(field, 0..4).prop_map(move |fields| Value::Object(mapping(fields))).boxed()
}

fn requests() -> BoxedStrategy<Value> {
    let options = prop_oneof![
        fields(&["get", "post", "json", "body", "headers", "timeout", "save"]),
        fields(&["get", "url", "method", "timeout"]),
        fields(&["status", "json"]).prop_map(|expect| json!({"get": "{{ u }}", "expect": expect})),
        texts().prop_map(|text| json!({"post": "http://x", "headers": {"a": text}, "body": text})),
        durations().prop_map(|time| json!({"head": "https://x", "timeout": time})),
        "\\+?0?[1-6][0-9]{2} ?(-[1-6][0-9]{2})?"
            .prop_map(|status| json!({"put": "{{ u }}", "expect": {"status": [status, 200]}})),
    ];
    options.prop_map(|http| json!({"http": http})).boxed()
}

fn together() -> BoxedStrategy<Value> {
    let change = prop::sample::select(&["put", "add", "update", "push", "pop", "delete"][..]);
    let operands = || fields(&["value", "by", "save"]);
    let shared = (change, texts(), operands()).prop_map(|(change, key, mut fields)| {
        fields[change] = key;
        json!({"shared": fields})
    });
    prop_oneof![
        4 => shared,
        1 => operands().prop_map(|fields| json!({"shared": fields})),
        1 => anything().prop_map(|name| json!({"signal": name})),
        1 => anything().prop_map(|name| json!({"await": name})),
        1 => (texts(), durations()).prop_map(|(name, time)| json!({"await": {"signal": name, "timeout": time}})),
        1 => (texts(), 0..3_u32, durations())
            .prop_map(|(name, n, time)| json!({"barrier": {"name": name, "parties": n, "timeout": time}})),
    ]
    .boxed()
}

fn leaves() -> BoxedStrategy<Value> {
    const KEYS: [&str; 7] = ["error", "log", "set", "succeed_rate", "done", "action", "subtree"];
    let wait = prop_oneof![
        anything(),
        prop::collection::vec(durations(), 0..3).prop_map(Value::from),
        (0..3_u32, 0..3_u32).prop_map(|(low, high)| json!([low, high])),
    ];
    let named = prop_oneof![
        fields(&["name", "args", "with"]),
        anything().prop_map(|v| json!({"name": "S", "with": {"a": v}})),
        anything().prop_map(|v| json!({"name": "S", "args": [v]})),
    ];
    prop_oneof![
        texts(),
        (prop::sample::select(&KEYS[..]), anything()).prop_map(|(key, value)| json!({key: value})),
        wait.prop_map(|wait| json!({"wait": wait})),
        (0.0..1.5).prop_map(|rate| json!({"succeed_rate": rate})),
        requests(),
        together(),
        named.clone().prop_map(|named| json!({"action": named})),
        named.prop_map(|named| json!({"subtree": named})),
    ]
    .boxed()
}

/// Nodes with mistakes here and there.
fn tree() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![8 => Just(json!("done")), 8 => Just(json!({"wait": [1, 2]})), 1 => leaves()];
    let tree = leaf.prop_recursive(4, 16, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..4).boxed();
        let quorum = prop_oneof![Just(json!("all")), (0..4_u32).prop_map(Value::from), texts()].boxed();
        let weighted = (0..3_u32, inner.clone()).prop_map(|(w, child)| json!({"weight": w, "child": child}));
        let composites = prop::sample::select(&["sequence", "select", "random"][..]);
        let decorators = prop::sample::select(&["negate", "always_fail", "repeat_until_fail"][..]);
        prop_oneof![
            (composites, list()).prop_map(|(k, c)| json!({k: c})),
            prop::collection::vec(weighted, 0..3).prop_map(|c| json!({"random_weighted": c})),
            (quorum.clone(), quorum, list())
                .prop_map(|(s, f, c)| json!({"parallel": {"succeed_on": s, "fail_on": f, "children": c}})),
            (0..4_u32, durations(), inner.clone())
                .prop_map(|(n, d, child)| json!({"retry": {"attempts": n, "delay": d, "child": child}})),
            (durations(), inner.clone())
                .prop_map(|(d, child)| json!({"timeout": {"after": d, "child": child}})),
            (texts(), inner.clone(), inner.clone())
                .prop_map(|(w, then, other)| json!({"if": {"when": w, "then": then, "else": other}})),
            (prop::sample::select(&["times", "n"][..]), 1..4_u32, inner.clone())
                .prop_map(|(key, n, child)| json!({"repeat_n": {key: n, "child": child}})),
            (decorators, inner.clone()).prop_map(|(kind, child)| json!({kind: child})),
            (texts(), inner).prop_map(|(label, child)| json!({"negate": child, "label": label})),
        ]
        .boxed()
    });
    tree.boxed()
}

/// How many of so many trees the reader takes; the schema must take these too.
fn taken(count: usize, trees: &BoxedStrategy<Value>) -> usize {
    let mut runner = TestRunner::default();
    let actions = Actions::built_in().allow_unknown();
    let mut taken = 0;
    for _ in 0..count {
        let trees = json!({"T": trees.new_tree(&mut runner).expect("a tree").current(), "S": "done"});
        if notation::read(&trees, &Path::top(), &actions).is_ok() {
            let told = TREES.validate(&trees).map_err(|e| e.to_string());
            assert!(told.is_ok(), "{trees}: {told:?}");
            taken += 1;
        }
    }
    taken
}

#[test]
fn what_the_reader_takes_is_accepted() {
    let (leaves, trees) = (taken(4_000, &leaves()), taken(4_000, &tree()));
    // The other cases have shown nothing.
    assert!(leaves > 1_000 && trees > 1_000, "{leaves} leaves, {trees} trees");
}

#[test]
fn every_duration_is_accepted() {
    let schema = jsonschema::validator_for(&schema::duration("number")).expect("a schema");
    let mut runner = TestRunner::default();
    for _ in 0..4_000 {
        let text = durations().new_tree(&mut runner).expect("a text").current();
        assert!(schema.is_valid(&text) || duration::from_value(&text).is_err(), "{text}");
    }
}
