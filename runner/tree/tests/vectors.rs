//! The recorded walks of the original library.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_tree::compile::{self};
use botarmy_tree::{Actions, Path, Plan, notation, trace};
use serde_json::{Value, json};

/// The recorded form of a tree in our notation: leaves are bare strings there.
fn notated(tree: &Value) -> Value {
    match tree {
        Value::String(leaf) => json!({"action": leaf}),
        Value::Object(node) => {
            let (kind, inner) = node.iter().next().expect("a recorded node has a kind");
            let inner = match inner {
                Value::Array(children) => children.iter().map(notated).collect(),
                Value::Object(repeat) if repeat.contains_key("n") => {
                    json!({"times": repeat["n"], "child": notated(&repeat["child"])})
                }
                child => notated(child),
            };
            json!({kind: inner})
        }
        other => panic!("not a recorded tree: {other}"),
    }
}

fn plan(tree: &Value) -> Plan {
    let trees = notation::read(&json!({"T": notated(tree)}), &Path::top(), &Actions::built_in().opaque())
        .expect("a tree");
    let entry = compile::entry(trees.keys(), None).expect("one tree");
    Plan::compile_entry(&trees, entry).expect("a plan")
}

#[test]
fn every_recorded_walk_is_ours() {
    let file: Value = serde_json::from_str(include_str!("data/bt_vectors.json")).expect("JSON");
    let vectors = file["vectors"].as_array().expect("vectors");
    assert_eq!(vectors.len(), 284);
    for vector in vectors {
        let plan = plan(&vector["tree"]);
        let outcomes = trace::outcomes(vector["outcomes"].as_str().expect("outcomes")).expect("S and F");
        let leaves = trace::trace(&plan, 1, &outcomes).expect("a walk");
        let names: Value = leaves.into_iter().flatten().map(|l| plan.leaf(l).name.as_str()).collect();
        assert_eq!(names, vector["values"], "{}", vector["name"]);
    }
}
