//! `runner trace`: the leaf at the start and after each outcome, one on a line.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::{Ended, Folder, runner};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn trace(content: &str, args: &[&str]) -> Ended {
    let folder = Folder::new();
    let file = folder.file("tree.yaml", content);
    runner(&[&["trace", &file], args].concat())
}

#[track_caller]
fn walks(content: &str, args: &[&str], leaves: &[&str]) {
    let ended = trace(content, args).expect(0);
    assert_eq!(ended.stdout_lines(), leaves, "{content} {args:?}");
    assert_eq!(ended.stderr, "", "{content}");
}

/// It ends with 1, prints no leaf, and says this.
#[track_caller]
fn refused(content: &str, args: &[&str], part: &str) {
    let ended = trace(content, args).expect(1);
    assert_eq!(ended.stdout, "", "{content} {args:?}");
    assert!(ended.stderr.contains(part), "{content} {args:?}: {part} is not in {}", ended.stderr);
}

#[test]
fn the_nodes_walk_as_the_original_does() {
    for (tree, outcomes, leaves) in [
        ("{sequence: [{action: a}, {action: b}]}", "", "a"),
        ("{sequence: [{action: a}, {action: b}]}", "SSS", "a b a b"),
        ("{sequence: [{action: a}, {action: b}]}", "FSF", "a a b a"),
        ("{select: [{action: a}, {action: b}]}", "FFS", "a b a a"),
        ("{select: [{sequence: [{action: a}, {action: b}]}, {action: c}]}", "SFF", "a b c a"),
        ("{repeat_n: {times: 2, child: {sequence: [{action: a}, {action: b}]}}}", "SFSS", "a b a b a"),
        ("{sequence: [{repeat_until_succeed: {action: a}}, {action: b}]}", "FFSS", "a a a b a"),
        ("{sequence: [{repeat_until_fail: {action: a}}, {action: b}]}", "SSFS", "a a a b a"),
        ("{sequence: [{negate: {action: a}}, {action: b}]}", "SFS", "a a b a"),
        ("{sequence: [{always_succeed: {action: a}}, {action: b}]}", "FS", "a b a"),
        ("{select: [{always_fail: {action: a}}, {action: b}]}", "SS", "a b a"),
        ("{action: a}", "sfSF", "a a a a a"),
    ] {
        let leaves: Vec<&str> = leaves.split(' ').collect();
        walks(&format!("trees: {{T: {tree}}}"), &["--outcomes", outcomes], &leaves);
    }
}

#[test]
fn subtrees_are_walked_in_their_place() {
    let trees = "trees: {A: {sequence: [{action: a}, {subtree: B}, {action: c}]}, B: {select: [{action: v}, {action: w}]}}";
    walks(trees, &["--tree", "A", "--outcomes", "SFSS"], &["a", "v", "w", "c", "a"]);
    walks(trees, &["--tree", "B", "--outcomes", "F"], &["v", "w"]);
}

#[test]
fn leaves_are_named_as_their_rows() {
    for (leaf, name) in [
        ("{action: Shop.buy}", "Shop.buy"),
        ("{action: {name: Shop.buy}}", "Shop.buy"),
        (
            "{action: {name: Shop.buy, args: [42, 'a \"b\"', {k: 1.0, m: ~}, [true, 0.5]]}}",
            r#"Shop.buy(42, "a \"b\"", {"k":1}, [true,0.5])"#,
        ),
        ("{action: {name: Shop.buy, args: ['{{ id }}']}}", r#"Shop.buy("{{ id }}")"#),
        ("{http: {get: '{{ target }}/cart/{{ id }}'}}", "GET /cart/{{ id }}"),
        ("{http: {post: '{{target}}/cart', json: {a: 1}}}", "POST /cart"),
        ("{http: {get: 'http://127.0.0.1:1/x?y=1'}}", "GET http://127.0.0.1:1/x?y=1"),
        ("{http: {method: PURGE, url: '{{ target }}'}}", "PURGE /"),
        ("{http: {get: '{{ target }}/cart'}, label: Look at the cart}", "Look at the cart"),
        ("{action: Shop.buy, label: 'Größe 42'}", "Größe 42"),
        ("{wait: [1, 10]}", "wait(1, 10)"),
        ("{wait: 250ms}", "wait(\"250ms\")"),
        ("wait", "wait"),
        ("done", "done"),
        ("{error: 'no way'}", "error(\"no way\")"),
        ("{error: \"two\\nlines\"}", r#"error("two\nlines")"#),
        // A name is enough: nothing is done.
        ("{action: http}", "http"),
        ("{action: {name: error, args: [1, 2]}}", "error(1, 2)"),
    ] {
        walks(&format!("trees: {{T: {leaf}}}"), &["--outcomes", "S"], &[name, name]);
    }
}

#[test]
fn the_tree_is_the_one_that_is_meant() {
    let two = "trees: {A: {action: a}, B: {action: b}}";
    let root = "trees: {A: {action: a}, rOOt: {action: r}}";
    let named = "trees: {A: {action: a}, root: {action: r}}\ntree: A";
    let manifest = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nspec: {trees: {A: {action: a}, B: {action: b}}, tree: B}";
    for (content, args, leaf) in [
        ("trees: {Only: {action: o}}", &[][..], "o"),
        (root, &[], "r"),
        (root, &["--tree", "A"], "a"),
        (named, &[], "a"),
        (named, &["--tree", "root"], "r"),
        (two, &["--tree", "B"], "b"),
        (manifest, &[], "b"),
        (manifest, &["--tree", "A"], "a"),
    ] {
        walks(content, &[&["--outcomes", ""], args].concat(), &[leaf]);
    }
    for (content, args, part) in [
        (
            two,
            &[][..],
            "tree: the document has several trees; name the one to run with tree, one of \"A\", \"B\"",
        ),
        (two, &["--tree", "C"], "tree: there is no tree named \"C\"; the document has \"A\", \"B\""),
        (two, &["--tree", "a"], "there is no tree named \"a\""),
        (two, &["--tree", ""], "there is no tree named \"\""),
        (manifest, &["--tree", "C"], "spec.tree: there is no tree named \"C\""),
        ("trees: {A: {action: a}}\ntree: B", &[], "tree: there is no tree named \"B\""),
    ] {
        refused(content, &[&["--outcomes", ""], args].concat(), part);
    }
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let random = "{random: [{action: a}, {action: b}, {action: c}]}";
    let weighted = "{random_weighted: [{weight: 1, child: {action: a}}, {weight: 9, child: {action: b}}]}";
    for tree in [random, weighted] {
        let content = format!("trees: {{T: {tree}}}");
        let walk =
            |seed: &str| trace(&content, &["--outcomes", &"S".repeat(60), "--seed", seed]).expect(0).stdout;
        let walks: Vec<String> = ["0", "1", "2", "3", "18446744073709551615"].map(walk).into();
        assert_eq!(walk("1"), walks[1], "the same seed walks the same");
        let different: BTreeSet<&String> = walks.iter().collect();
        assert_eq!(different.len(), walks.len(), "different seeds walk differently: {walks:#?}");
        let leaves: BTreeSet<&str> = walks[0].lines().collect();
        assert_eq!(leaves.len(), if tree == random { 3 } else { 2 }, "each child is drawn sooner or later");
    }
    let seeded = format!("trees: {{T: {random}}}\nseed: 7");
    let all = "S".repeat(60);
    let given = |args: &[&str]| trace(&seeded, &[&["--outcomes", &all], args].concat()).expect(0).stdout;
    assert_eq!(given(&[]), given(&["--seed", "7"]), "the seed of the file holds");
    assert_ne!(given(&[]), given(&["--seed", "8"]), "unless another one is given");
}

#[test]
fn a_weight_of_zero_is_never_drawn() {
    let content =
        "trees: {T: {random_weighted: [{weight: 0, child: {action: a}}, {weight: 1, child: {action: b}}]}}";
    walks(content, &["--outcomes", &"S".repeat(50)], &["b"; 51]);
}

fn project() -> Value {
    let tree = |id: &str, title: &str, call: &str| {
        let nodes = json!({
            "s": {"name": "sequence", "title": "Sequence", "children": ["w", "c"]},
            "w": {"name": "wait", "title": "wait({{x}}) a while"}, "c": {"name": "runner", "title": call},
        });
        json!({"id": id, "title": title, "root": "s", "properties": {"x": 5}, "nodes": nodes})
    };
    json!({"trees": [tree("a", "Other", "Other.go()"), tree("b", "ROOT", "Shop.Cart.buy({{x}}, \"n {{x}}\")")]})
}

#[test]
fn editor_projects_are_walked_with_context_and_module_base() {
    let (project, saved) = (project(), json!({"data": project()}));
    for (args, leaves) in [
        (&[][..], ["wait(5)", "Shop.Cart.buy(5, \"n 5\")"]),
        (&["--context", "[x: 10]"], ["wait(10)", "Shop.Cart.buy(10, \"n 10\")"]),
        (&["--context", "%{x: 10}"], ["wait(10)", "Shop.Cart.buy(10, \"n 10\")"]),
        (&["--context", "%{\"x\" => 1.5, \"y\" => nil}"], ["wait(1.5)", "Shop.Cart.buy(1.5, \"n 1.5\")"]),
        (&["--context", "[]"], ["wait(5)", "Shop.Cart.buy(5, \"n 5\")"]),
        (&["--module-base", "My.Bots"], ["wait(5)", "My.Bots.Shop.Cart.buy(5, \"n 5\")"]),
        (&["--tree", "Other"], ["wait(5)", "Other.go"]),
        (&["--tree", "Other", "--module-base", "My", "--context", "[x: 1]"], ["wait(1)", "My.Other.go"]),
    ] {
        for project in [&project, &saved] {
            walks(&project.to_string(), &[&["--outcomes", "S"], args].concat(), &leaves);
        }
    }
}

#[test]
fn editor_projects_that_cannot_be_walked_say_why() {
    let project = project();
    let mut without_root = project.clone();
    without_root["trees"][1]["title"] = "Second".into();
    for (project, args, part) in [
        (
            &project,
            &["--tree", "Gone"][..],
            "trees: there is no tree named \"Gone\"; the project has \"Other\", \"ROOT\"",
        ),
        (
            &without_root,
            &[],
            "the project has several trees and none is called root; name one of \"Other\", \"Second\"",
        ),
        (&project, &["--context", "[x: -1]"], "trees[\"ROOT\"].nodes[\"w\"].title: wait needs one number"),
        (&project, &["--context", "[x: "], "--context: "),
        (&project, &["--context", "x: 10"], "--context: "),
        (&project, &["--context", "5"], "--context: write a map or a keyword list, such as [level: 3]"),
        (&project, &["--context", "[1, 2]"], "--context: write a map or a keyword list, such as [level: 3]"),
        (&project, &["--context", "System.halt(0)"], "--context: "),
        (&project, &["--module-base", "my"], "\"my\" cannot stand before a module"),
        (&project, &["--module-base", "My."], "\"My.\" cannot stand before a module"),
    ] {
        refused(&project.to_string(), &[&["--outcomes", "S"], args].concat(), part);
    }
    let run = "trees: {T: done}";
    for args in [["--context", "[x: 1]"], ["--module-base", "My"]] {
        let part = "--context and --module-base are for editor projects";
        refused(run, &[&["--outcomes", ""][..], &args].concat(), part);
    }
}

#[test]
fn nobody_has_to_read_all_of_it() {
    let folder = Folder::new();
    let file = folder.file("tree.yaml", "trees: {T: done}");
    common::unread(&["trace", &file, "--outcomes", &"S".repeat(100_000)]).expect(0);
}

#[test]
fn wrong_outcomes_are_told() {
    let tree = "trees: {T: {action: a}}";
    for (outcomes, part) in [
        ("SSX", "--outcomes: 'X' at place 3 is not an outcome; write S for succeed and F for fail"),
        (" S", "--outcomes: ' ' at place 1 is not an outcome"),
        ("S,F", "--outcomes: ',' at place 2 is not an outcome"),
        ("ß", "--outcomes: 'ß' at place 1 is not an outcome"),
        ("S\n", "--outcomes: '\\n' at place 2 is not an outcome"),
    ] {
        refused(tree, &["--outcomes", outcomes], part);
    }
}

#[test]
fn files_that_are_wrong_are_told_as_validate_does() {
    for (content, part) in [
        (
            "trees: {T: {sequence: [{wiat: 1}, {wait: -1}]}}",
            "tree.yaml: trees.T.sequence[0]: unknown node \"wiat\"",
        ),
        (
            "trees: {T: {sequence: [{wiat: 1}, {wait: -1}]}}",
            "tree.yaml: trees.T.sequence[1].wait: -1 is negative",
        ),
        ("trees: {T: {subtree: Gone}}", "tree.yaml: trees.T.subtree: there is no tree named \"Gone\""),
        ("", "tree.yaml: (top): the file holds nothing"),
        ("{", "tree.yaml: (top): not valid"),
    ] {
        refused(content, &["--outcomes", "S"], part);
    }
    let ended = runner(&["trace", "/nowhere/tree.yaml", "--outcomes", ""]).expect(1);
    assert!(ended.stderr.starts_with("/nowhere/tree.yaml: (top): cannot be read: "), "{}", ended.stderr);
}

#[test]
fn a_wrong_command_line_is_told() {
    for args in [
        &[][..],
        &["tree.yaml"],
        &["--outcomes", "S"],
        &["tree.yaml", "--outcomes"],
        &["tree.yaml", "--outcomes", "S", "--seed", "x"],
        &["tree.yaml", "--outcomes", "S", "--seed=-1"],
        &["tree.yaml", "more.yaml", "--outcomes", "S"],
    ] {
        let ended = runner(&[&["trace"], args].concat()).expect(2);
        assert!(ended.stderr.starts_with("error: ") && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
}
