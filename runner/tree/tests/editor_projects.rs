//! The recorded editor projects and argument literals of the original, with the differences that
//! are wanted and no others.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_tree::action::{Actions, Call, Wait};
use botarmy_tree::ast::{Kind, Node};
use botarmy_tree::editor::{Options, Project};
use botarmy_tree::literal::{self, Term};
use serde_json::{Value, json};

/// Accepted here, refused by the original: the leaf or the node that comes of it.
fn accepted_by_us(label: &str) -> Option<Value> {
    Some(match label {
        "runner negative float" => json!(["A.one", [-1.5]]),
        "runner template false" => json!(["A.one", [false]]),
        "runner template null" => json!(["A.one", [null]]),
        "runner template str w/ quote" => json!(["A.one", ["a\"b"]]),
        "wait(0)" => json!(["wait", [0]]),
        "wait(0,5)" => json!(["wait", [0, 5]]),
        "error parens" => json!(["error", ["oh (no)"]]),
        _ => return None,
    })
}

/// Refused here, accepted by the original, where it crashes later.
const REFUSED_BY_US: [&str; 5] =
    ["wait(1,2,3)", "wait('a')", "error 2 args", "log 0 args", "weight '\"-2\"'"];

/// Another value than the original's.
fn other_value(label: &str) -> Option<Value> {
    Some(match label {
        "wait {{s}} float" => json!(["wait", [0.5]]),
        "subtree inst float" => json!(["A.one", [0.5]]),
        "subtree inst list" => json!(["A.one", [[1, 2]]]),
        _ => return None,
    })
}

fn actions() -> Actions {
    let own = [("A.simple", 0), ("A.one", 1), ("A.two", 2), ("A.q?", 0)];
    own.iter().fold(Actions::built_in(), |all, (name, arity)| {
        all.with(name, *arity).with(&format!("Module.Base.{name}"), *arity)
    })
}

fn options(case: &Value) -> Options {
    let context = case["opts"]["context"].as_str().map(|text| literal::parse(text).expect("a literal"));
    let base = case["opts"]["module_base"].as_str();
    Options {
        context: context.and_then(|c| c.pairs()).unwrap_or_default(),
        module_base: base.map(|b| b.trim_matches('"').to_owned()),
    }
}

/// A leaf as `[name, [arguments]]`, from its row's name, which is how it is printed.
fn leaf(node: &Node) -> Value {
    match &node.kind {
        Kind::Leaf(leaf) => {
            let args = leaf.name.strip_prefix(&leaf.base).unwrap_or_default();
            let args = args.strip_prefix('(').and_then(|a| a.strip_suffix(')')).unwrap_or_default();
            let args: Value = serde_json::from_str(&format!("[{args}]")).expect("arguments print as JSON");
            json!([leaf.base, args])
        }
        Kind::RepeatN(times, child) => json!({"repeat_n": times, "child": leaf(child)}),
        Kind::RandomWeighted(children) => {
            children.iter().map(|(weight, child)| json!({"weight": weight, "child": leaf(child)})).collect()
        }
        other => panic!("no recorded case has {other:?}"),
    }
}

/// The printed Elixir term of a recorded case in the same form.
fn recorded(printed: &str) -> Value {
    if let Some(node) = printed.strip_prefix("%BehaviorTree.Node{") {
        let field = |name: &str| {
            let start = node.find(name).expect("the field") + name.len() + 2;
            let rest = &node[start..];
            let end = rest.find([',', '}']).expect("an end");
            rest[..end].trim_matches(['[', ']']).parse::<u32>().ok()
        };
        let done = json!(["done", []]);
        return match field("weights") {
            Some(weight) => json!([{"weight": weight, "child": done}]),
            None => json!({"repeat_n": field("repeat_total"), "child": done}),
        };
    }
    let inner = printed.trim_start_matches('{').trim_end_matches('}');
    let (module, rest) = inner.split_once(", :").expect("a module");
    let (function, args) = rest.split_once(", ").expect("arguments");
    let name = if module == "BotArmy.Actions" { function.to_owned() } else { format!("{module}.{function}") };
    json!([name, literal::parse(args).expect("a literal").to_json()])
}

#[test]
fn recorded_projects_load_as_recorded() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/parser_cases.json")).expect("JSON");
    assert_eq!(cases.len(), 64);
    for case in &cases {
        let label = case["label"].as_str().expect("a label");
        let tree = case["tree"].as_str().expect("a tree");
        let result = Project::read(&case["project"]).and_then(|p| p.tree(tree, &options(case), &actions()));
        let expected = accepted_by_us(label).or_else(|| other_value(label)).or_else(|| {
            let refused = case.get("error").is_some() || REFUSED_BY_US.contains(&label);
            (!refused).then(|| recorded(case["ok"].as_str().expect("a printed term")))
        });
        match (result, expected) {
            (Ok(node), Some(expected)) => assert_eq!(leaf(&node), expected, "{label}"),
            (Err(findings), None) => {
                for finding in &findings {
                    assert!(finding.message.contains(' ') && !finding.path.is_top(), "{label}: {finding}");
                }
                assert!(!findings.is_empty(), "{label}");
            }
            (Ok(node), None) => panic!("{label}: accepted as {node:?}"),
            (Err(findings), Some(expected)) => panic!("{label}: {expected} expected, but {findings:?}"),
        }
    }
}

#[test]
fn recorded_literals_read_as_recorded() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/term_cases.json")).expect("JSON");
    assert_eq!(cases.len(), 44);
    for case in &cases {
        let input = case["input"].as_str().expect("an input");
        let expected = match input {
            "-1.5" => Some(Term::Float(-1.5)),
            "[-1.0]" => Some(Term::List(vec![Term::Float(-1.0)])),
            _ => case["ok"].as_str().map(|printed| literal::parse(printed).expect("a printed literal")),
        };
        match (literal::parse(input), expected) {
            (Ok(term), Some(expected)) => assert_eq!(term, expected, "{input}"),
            (Err(literal::Error::NonLiteral { .. }), None) => {
                assert_eq!(case["error"], "non-literal", "{input}");
            }
            (Err(literal::Error::Syntax { .. }), None) => assert_eq!(case["error"], "syntax", "{input}"),
            (result, expected) => panic!("{input}: {result:?}, expected {expected:?}"),
        }
    }
}

/// A project around one tree.
fn project(nodes: &Value, properties: &Value) -> Value {
    json!({"trees": [{"id": "t1", "title": "Root", "root": "n1", "properties": properties, "nodes": nodes}]})
}

fn load(value: &Value) -> Result<Node, Vec<String>> {
    let all =
        |findings: Vec<botarmy_tree::Finding>| findings.iter().map(ToString::to_string).collect::<Vec<_>>();
    let project = Project::read(value).map_err(all)?;
    let entry = project.entry(None).map_err(|f| vec![f.to_string()])?.to_owned();
    project.tree(&entry, &Options::default(), &Actions::built_in().allow_unknown()).map_err(all)
}

#[test]
fn saved_projects_and_child_order() {
    let nodes = json!({
        "n1": {"name": "sequence", "title": "Sequence", "children": ["b", "a"]},
        "a": {"name": "wait", "title": "wait(1)"}, "b": {"name": "done", "title": "whatever"},
        "unreached": {"name": "runner", "title": "nonsense"},
    });
    let saved = json!({"name": "p", "description": "", "data": project(&nodes, &json!({}))});
    let node = load(&saved).expect("a tree");
    let Kind::Sequence(children) = node.kind else { panic!("{node:?}") };
    let calls: Vec<_> =
        children.into_iter().map(|c| if let Kind::Leaf(l) = c.kind { l.call } else { panic!() }).collect();
    assert_eq!(calls, [Call::Done, Call::Wait(Wait::Fixed(std::time::Duration::from_secs(1)))]);
    let errors = load(&json!({"data": project(&json!({}), &json!({}))})).expect_err("no node");
    assert!(errors[0].starts_with("data.trees[\"Root\"].root: there is no node \"n1\""), "{errors:?}");
}

#[test]
fn mistakes_are_told_together_with_their_places() {
    let nodes = json!({
        "n1": {"name": "sequence", "title": "Sequence", "children": ["a", "b", "c", "d", "gone", "e"]},
        "a": {"name": "wait", "title": "wait(-1)"},
        "b": {"name": "runner", "title": "A.one({{x}})"},
        "c": {"name": "repeat_n", "title": "x", "properties": {"n": 1}, "child": "a"},
        "d": {"name": "negate", "title": "x", "child": "n1"},
        "e": {"name": "mine", "title": "A.one()"},
    });
    let mut value = project(&nodes, &json!({"y": 1}));
    value["custom_nodes"] = json!([{"name": "mine", "category": "composite"}]);
    let errors = load(&value).expect_err("mistakes");
    for part in [
        "trees[\"Root\"].nodes[\"a\"].title: wait needs one number",
        "trees[\"Root\"].nodes[\"b\"].title: there is no property \"x\" in this tree; it has \"y\"",
        "trees[\"Root\"].nodes[\"c\"].properties.n: n must be a whole number from 2",
        "trees[\"Root\"].nodes[\"d\"].child: the node is its own ancestor (\"n1\" → \"d\" → \"n1\")",
        "trees[\"Root\"].nodes[\"n1\"].children[4]: there is no node \"gone\"",
        "trees[\"Root\"].nodes[\"e\"].name: \"mine\" is a custom composite",
    ] {
        assert!(errors.iter().any(|e| e.starts_with(part)), "{part} is not in {errors:#?}");
    }
}

#[test]
fn circles_of_trees_are_found_and_growth_is_bounded() {
    let tree = |id: &str, children: &[&str]| {
        let ids: Vec<String> = (0..children.len()).map(|i| format!("c{i}")).collect();
        let mut nodes = serde_json::Map::new();
        for (id, child) in ids.iter().zip(children) {
            nodes.insert(id.clone(), json!({"name": child, "title": "done()"}));
        }
        nodes.insert("r".into(), json!({"name": "sequence", "title": "S", "children": ids}));
        json!({"id": id, "title": id, "root": "r", "nodes": nodes})
    };
    let errors = load(&json!({"trees": [tree("root", &["b"]), tree("b", &["root"])]})).expect_err("a circle");
    assert!(errors[0].contains("in a circle (\"root\" → \"b\" → \"root\")"), "{errors:?}");

    let names: Vec<String> =
        std::iter::once("root".to_owned()).chain((1..30).map(|i| format!("t{i}"))).collect();
    let mut trees: Vec<Value> = names.windows(2).map(|w| tree(&w[0], &[&w[1], &w[1]])).collect();
    trees.push(tree("t29", &["done"]));
    let errors = load(&json!({"trees": trees})).expect_err("2^29 leaves");
    assert!(errors.len() == 1 && errors[0].contains("more than 100000 nodes"), "{errors:?}");
}

#[test]
fn the_first_of_several_trees_with_one_title_wins() {
    let tree = |id: &str, title: &str| json!({"id": id, "title": title, "root": "n", "nodes": {"n": {"name": "runner", "title": format!("A.{id}()")}}});
    let node =
        load(&json!({"trees": [tree("x", "other"), tree("y", "ROOT"), tree("z", "root")]})).expect("a tree");
    assert_eq!(leaf(&node), json!(["A.y", []]));
    let errors = load(&json!({"trees": [tree("x", "a"), tree("y", "b")]})).expect_err("which?");
    assert!(errors[0].contains("name one of \"a\", \"b\""), "{errors:?}");
}
