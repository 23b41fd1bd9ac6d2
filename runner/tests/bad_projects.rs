//! Projects of the editor that are broken.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::refusal::{refused, refused_by};
use serde_json::{Value, json};

/// A tree called Root with these nodes, the first of which is `n`.
fn root(nodes: &Value) -> Value {
    json!({"id": "r", "title": "Root", "root": "n", "nodes": nodes})
}

#[test]
fn mistakes_of_an_editor_project_name_tree_and_node() {
    let tree = |title: &str, leaf: &str| {
        let nodes = json!({
            "n0": {"name": "sequence", "title": "Sequence", "children": ["n1", "n2"]},
            "n1": {"name": "runner", "title": leaf}, "n2": {"name": "wait", "title": "wait(-1)"},
        });
        json!({"id": title, "title": title, "root": "n0", "nodes": nodes})
    };
    let project = json!({"trees": [tree("Root", "no call"), tree("my tree", "Shop.buy(1)")]});
    let expected = [
        "trees[\"Root\"].nodes[\"n1\"].title: \"no call\" is not a call",
        "trees[\"Root\"].nodes[\"n2\"].title: wait needs one number that is not negative",
        "trees[\"my tree\"].nodes[\"n1\"].title: the action \"Shop.buy\" does not exist",
        "trees[\"my tree\"].nodes[\"n2\"].title: wait needs one number that is not negative",
    ];
    let project = project.to_string();
    refused_by("validate", "project.json", &project, &expected);
    refused_by("run", "project.json", &project, &expected[..2]);
    let saved =
        json!({"name": "p", "data": serde_json::from_str::<Value>(&project).expect("JSON")}).to_string();
    let expected = expected.map(|e| format!("data.{e}"));
    refused_by("validate", "saved.json", &saved, &expected.each_ref().map(String::as_str));
    for (project, expected) in [
        (json!({"trees": []}), "(top): a project has a list of trees"),
        (json!({"trees": [{"title": "Root"}]}), "trees[\"Root\"].root: the tree has no root node"),
        (
            json!({"trees": [{"title": "Root", "root": "gone"}]}),
            "trees[\"Root\"].root: there is no node \"gone\"",
        ),
        (json!({"trees": [7]}), "trees[0]: expected a tree"),
        (json!({"data": {"trees": [{"root": "n"}]}}), "data.trees[0]: the field title is missing"),
    ] {
        refused("project.json", project.to_string(), &[expected]);
    }
}

#[test]
fn what_a_node_lacks_or_has_too_much_is_told_at_the_node() {
    let leaf = json!({"name": "log", "title": "log(\"x\")"});
    let weighted = |weight: Value| {
        let child = json!({"name": "log", "title": "log(\"x\")", "properties": {"weight": weight}});
        json!({"n": {"name": "random_weighted", "children": ["m"]}, "m": child})
    };
    let times =
        |n: Value| json!({"n": {"name": "repeat_n", "child": "m", "properties": {"n": n}}, "m": leaf});
    let titled = |name: &str, title: &str| json!({"n": {"name": name, "title": title}});
    for (nodes, expected) in [
        (
            json!({"n": {"name": "sequence", "children": ["gone"]}}),
            "[\"n\"].children[0]: there is no node \"gone\"",
        ),
        (
            json!({"n": {"name": "sequence", "children": ["n"]}}),
            "[\"n\"].children[0]: the node is its own ancestor",
        ),
        (
            json!({"n": {"name": "sequence", "children": ["m"]}, "m": {"name": "negate", "child": "n"}}),
            "[\"m\"].child: the node is its own ancestor",
        ),
        (json!({"n": {"name": "sequence", "children": []}}), "[\"n\"]: the node has no children"),
        (json!({"n": {"name": "select"}}), "[\"n\"]: the node has no children"),
        (json!({"n": {"name": "negate"}}), "[\"n\"]: the node has no child"),
        (json!({"n": {"name": "r", "title": "Root"}}), "[\"n\"]: the trees call one another in a circle"),
        (times(json!("x")), "[\"n\"].properties.n: \"x\" a variable"),
        (times(json!(1)), "[\"n\"].properties.n: n must be a whole number from 2"),
        (times(json!(-3)), "[\"n\"].properties.n: n must be a whole number from 2"),
        (times(json!(2.5)), "[\"n\"].properties.n: n must be a whole number from 2"),
        (
            json!({"n": {"name": "repeat_n", "child": "m"}, "m": leaf}),
            "[\"n\"].properties.n: n must be a whole number",
        ),
        (weighted(json!(0)), "[\"m\"].properties.weight: a child of random_weighted needs"),
        (weighted(json!(-1)), "[\"m\"].properties.weight: a child of random_weighted needs"),
        (weighted(json!([1])), "[\"m\"].properties.weight: "),
        (
            json!({"n": {"name": "random_weighted", "children": ["m"]}, "m": leaf}),
            "[\"m\"].properties.weight: a child",
        ),
        (titled("wait", "wait({{time}})"), "[\"n\"].title: there is no property \"time\""),
        (titled("wait", "wait(-1)"), "[\"n\"].title: wait needs one number"),
        (titled("wait", "wait(1, 2, 3)"), "[\"n\"].title: wait needs one number"),
        (titled("error", "error()"), "[\"n\"].title: error takes one argument"),
        (titled("succeed_rate", "succeed_rate(2)"), "[\"n\"].title: succeed_rate needs a number"),
        (titled("runner", "Shop.buy(1)"), "[\"n\"].title: the action \"Shop.buy\" does not exist"),
        (titled("runner", "Shop.buy(1"), "[\"n\"].title: \"Shop.buy(1\" is not a call"),
        (titled("runner", ""), "[\"n\"].title: \"\" is not a call"),
        (json!([]), ": expected a mapping of ids to nodes"),
        (json!({"n": "log"}), "[\"n\"]: expected a node"),
        (json!({"n": {"title": "x"}}), "[\"n\"]: the field name is missing"),
        (json!({"n": {"name": 1}}), "[\"n\"].name: expected text"),
        (json!({"n": {"name": "sequence", "children": "m"}}), "[\"n\"].children: expected a list of ids"),
        (
            json!({"n": {"name": "sequence", "children": [1]}}),
            "[\"n\"].children[0]: expected the id of a node",
        ),
        (json!({"n": {"name": "negate", "child": 1}}), "[\"n\"].child: expected the id of a node"),
        (
            json!({"n": {"name": "done", "title": "done()", "properties": []}}),
            "[\"n\"].properties: expected a mapping",
        ),
    ] {
        let expected = format!("trees[\"Root\"].nodes{expected}");
        refused("project.json", json!({"trees": [root(&nodes)]}).to_string(), &[&expected]);
    }
}

#[test]
fn what_a_project_lacks_is_told_at_its_place() {
    let leaf = json!({"n": {"name": "done", "title": "done()"}});
    let with = |field: &str, value: Value| {
        let mut tree = root(&leaf);
        tree[field] = value;
        json!({"trees": [tree]})
    };
    let custom = json!([{"name": "mine", "category": "composite"}]);
    let own = root(&json!({"n": {"name": "mine", "title": "M"}}));
    for (project, expected) in [
        (with("root", json!(1)), "trees[\"Root\"].root: expected the id of a node"),
        (with("root", Value::Null), "trees[\"Root\"].root: the tree has no root node"),
        (with("title", json!(1)), "trees[0].title: expected text"),
        (with("id", json!(1)), "trees[\"Root\"].id: expected text"),
        (with("properties", json!([])), "trees[\"Root\"].properties: expected a mapping"),
        (json!({"trees": [root(&leaf)], "custom_nodes": "x"}), "custom_nodes: expected a list of nodes"),
        (
            json!({"trees": [own], "custom_nodes": custom}),
            "trees[\"Root\"].nodes[\"n\"].name: \"mine\" is a custom",
        ),
        (json!({"scope": "tree", "nodes": {}}), "(top): a project has a list of trees"),
    ] {
        refused("project.json", project.to_string(), &[expected]);
    }
    let titled = |title: &str| json!({"id": title, "title": title, "root": "n", "nodes": leaf});
    let several = json!({"trees": [titled("A"), titled("B")]}).to_string();
    refused_by(
        "run",
        "project.json",
        several,
        &["trees: the project has several trees and none is called root"],
    );
    let chain =
        (0..300).map(|i| (format!("n{i}"), json!({"name": "negate", "child": format!("n{}", i + 1)})));
    let mut deep = root(&chain.collect::<serde_json::Map<_, _>>().into());
    deep["root"] = json!("n0");
    let expected = "trees[\"Root\"].nodes[\"n199\"].child: nested deeper than 200 levels";
    refused("project.json", json!({"trees": [deep]}).to_string(), &[expected]);
}

#[test]
fn circles_are_found_beside_what_is_sound() {
    let calls = |title: &str, called: &str| json!({"id": title, "title": title, "root": "n", "nodes": {"n": {"name": called, "title": called}}});
    let sound = json!({"id": "r", "title": "Root", "root": "n", "nodes": {"n": {"name": "runner", "title": "wait(1)"}}});
    let project = json!({"trees": [sound, calls("P", "Q"), calls("Q", "P")]}).to_string();
    let folder = common::Folder::new();
    let file = folder.file("circle.json", project);
    let ended = common::runner(&["validate", &file]).expect(1);
    assert!(ended.stderr.contains("circle"), "{}", ended.stderr);
}
