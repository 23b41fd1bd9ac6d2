//! `runner validate`: what is right passes in silence, what is wrong is told with its place.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::{Ended, Folder, runner, text};
use serde_json::json;
use std::time::{Duration, Instant};

/// A bound for texts that are made to take long; a debug build on a busy machine needs seconds for 8 MiB.
const SOON: Duration = Duration::from_secs(40);

const HEAD: &str = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nmetadata: {name: a}\n";

fn validate(name: &str, content: impl AsRef<[u8]>, flags: &[&str]) -> (String, Ended) {
    let folder = Folder::new();
    let file = folder.file(name, content);
    let ended = runner(&[&["validate", &file], flags].concat());
    (file, ended)
}

fn accepted(name: &str, content: &str) {
    let (_, ended) = validate(name, content, &[]);
    let ended = ended.expect(0);
    assert!(ended.stdout.is_empty() && ended.stderr.is_empty(), "{content}: {ended:?}");
}

/// Each line is `FILE: PATH: message`; exactly these beginnings of `PATH: message` are there.
fn refused(name: &str, content: impl AsRef<[u8]>, expected: &[&str]) {
    let shown: String = String::from_utf8_lossy(content.as_ref()).chars().take(400).collect();
    let (file, ended) = validate(name, content, &[]);
    let ended = ended.expect(1);
    assert_eq!(ended.stdout, "", "{shown}");
    let lines = ended.stderr_lines();
    let findings: Vec<&str> = lines
        .iter()
        .map(|line| {
            let finding = line.strip_prefix(&file).and_then(|rest| rest.strip_prefix(": "));
            finding.unwrap_or_else(|| panic!("{shown}: no file before {line}"))
        })
        .collect();
    for part in expected {
        assert!(findings.iter().any(|f| f.starts_with(part)), "{shown}: {part} is not in {findings:#?}");
    }
    assert_eq!(findings.len(), expected.len(), "{shown}: {findings:#?}");
}

#[test]
fn all_forms_of_a_file_are_read() {
    let run = format!("{HEAD}spec: {{trees: {{T: done}}}}\n");
    let other = "apiVersion: v1\nkind: Service\nmode: 0755\nflag: no\n";
    for (name, content) in [
        ("run.yaml", run.clone()),
        ("bare.yaml", "trees: {T: done}\n".into()),
        ("bare.json", r#"{"trees": {"T": "done"}, "bots": 2.0, "seed": null}"#.into()),
        ("marked.yaml", format!("\u{feff}{run}")),
        ("windows.yaml", run.replace('\n', "\r\n")),
        ("among_others.yaml", format!("{other}---\n{run}---\n{other}---\n")),
        ("flow.yaml", "{trees: {T: done}}".into()),
        ("quoted.yaml", "trees: {'on': {log: 'no'}, \"0755\": {log: \"0755\"}}\ntree: 'on'\n".into()),
        ("alias.yaml", "trees: {A: &a {wait: 1}, B: *a}\ntree: B\n".into()),
    ] {
        accepted(name, &content);
    }
}

#[test]
fn the_example_is_right() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/checkout.yaml");
    let ended = runner(&["validate", example]).expect(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn every_mistake_of_a_manifest_is_told_at_once() {
    let content = format!(
        "{HEAD}spec:
  target: shop:8080
  bots: 0
  duration: -5s
  refill: {{max: 1, every: -1}}
  env: [{{name: 1A}}]
  thresholds: [{{expect: p(95) < 500}}]
  trees:
    T:
      sequence:
        - wait: -1
        - wiat: 1
        - http: {{get: /cart, timeout: -2s, expect: {{stats: 200}}}}
        - action: Shop.buy
        - select: []
        - repeat_n: {{times: 1, child: done}}
        - 7
    Other: {{sequence: done}}
  tree: T
"
    );
    refused(
        "run.yaml",
        &content,
        &[
            "spec.target: \"shop:8080\" is not an address; write http://HOST:PORT",
            "spec.bots: a run starts with at least one bot",
            "spec.duration: \"-5s\" is negative",
            "spec.refill.every: -1 is negative",
            "spec.env[0].name: the name \"1A\" is not one of letters",
            "spec.thresholds[0].expect: column 9: 500 has no unit; write 500ms or 500s",
            "spec.trees.T.sequence[0].wait: -1 is negative",
            "spec.trees.T.sequence[1]: unknown node \"wiat\", expected one of sequence, select,",
            "spec.trees.T.sequence[2].http: \"/cart\" is not an absolute address",
            "spec.trees.T.sequence[2].http.timeout: \"-2s\" is negative",
            "spec.trees.T.sequence[2].http.expect: unknown field \"stats\", expected one of status, json",
            "spec.trees.T.sequence[3].action: the action \"Shop.buy\" does not exist; built in are done,",
            "spec.trees.T.sequence[4].select: the list is empty",
            "spec.trees.T.sequence[5].repeat_n.times: times must be a whole number from 2",
            "spec.trees.T.sequence[6]: a node is a mapping with one kind, found the number 7",
            "spec.trees.Other.sequence: expected a list of nodes, found the text \"done\"",
        ],
    );
}

#[test]
fn every_mistake_of_shape_is_told_at_once() {
    let content = format!(
        "{HEAD}sepc: {{}}\nspec:\n  bost: 1\n  bots: many\n  seed: -1\n  iterations: 0\n  stop: 'yes'\n  \
         duration: true\n  thresholds: {{}}\n  env: [{{}}]\n  runners: {{cuont: 2}}\n  custom: []\n  target: ''\n"
    );
    refused(
        "run.yaml",
        &content,
        &[
            "(top): unknown field \"sepc\", expected one of apiVersion, kind, metadata, spec, status",
            "spec: unknown field \"bost\", expected one of ",
            "spec.bots: expected a whole number, found the text \"many\"",
            "spec.seed: must be at least 0, found -1",
            "spec.iterations: must be at least 1, found 0",
            "spec.stop: expected true or false, found the text \"yes\"",
            "spec.duration: expected text such as 5m or a whole number of seconds, found the boolean true",
            "spec.thresholds: expected a list, found a mapping",
            "spec.env[0]: the field name is missing",
            "spec.runners: unknown field \"cuont\"",
            "spec.custom: expected a mapping, found a list",
            "spec.target: must be 1 to 2048 characters long, found 0",
            "spec: the field trees is missing",
        ],
    );
}

#[test]
fn a_bare_spec_has_its_paths_from_the_top() {
    for (content, expected) in [
        ("trees: {T: {wait: -1}}", "trees.T.wait: -1 is negative"),
        ("trees: {T: {sequence: [done, {wiat: 1}]}}", "trees.T.sequence[1]: unknown node \"wiat\""),
        ("trees: {my tree: {negate: 3}}", "trees[\"my tree\"].negate: a node is a mapping"),
        ("trees: {T: done}\nbots: 0", "bots: a run starts with at least one bot"),
        ("trees: {T: done}\nbots: -3", "bots: must be at least 0, found -3"),
        ("trees: {T: done}\nbots: 1000001", "bots: must be at most 1000000"),
        ("trees: {T: done}\nbots: 1.5", "bots: expected a whole number, found the number 1.5"),
        ("trees: {T: done}\nduration: 0", "duration: the time must be above zero"),
        ("trees: {T: done}\nduration: 5 minutes", "duration: \"5 minutes\" is not a duration"),
        ("trees: {T: done}\nduration: 9000h", "duration: \"9000h\" is longer than a year"),
        ("trees: {T: done}\nbost: 1", "(top): unknown field \"bost\""),
        ("bots: 1", "(top): the field trees is missing"),
        ("trees: {}", "trees: no tree is given"),
        // A list of trees is a project of the editor.
        ("trees: [done]", "trees[0]: expected a tree, found the text \"done\""),
        ("trees: {T: }", "trees: no tree is given"),
        ("trees: {T: {subtree: Gone}}", "trees.T.subtree: there is no tree named \"Gone\""),
        ("trees: {T: {subtree: T}}", "trees.T.subtree: the trees call one another in a circle"),
        ("trees: {A: done, B: done}", "tree: the document has several trees; name the one to run"),
        ("trees: {A: done}\ntree: B", "tree: there is no tree named \"B\"; the document has \"A\""),
        ("trees: {T: {log: '{{ 1 + }}'}}", "trees.T.log: "),
        ("trees: {T: {set: {target: 1}}}", "trees.T.set: \"target\" cannot be set"),
        (
            "trees: {T: {parallel: {children: [done]}}}",
            "trees.T.parallel: \"parallel\" is a node of the language",
        ),
        (
            "trees: {T: {repeat_n: {times: 2, 'n': 2, child: done}}}",
            "trees.T.repeat_n: times and n say the same",
        ),
        (
            "trees: {T: done}\nthresholds: [{expect: count > 1, action: x}]",
            "thresholds[0].action: no action of the tree has the row \"x\"; there are done",
        ),
    ] {
        refused("bare.yaml", content, &[expected]);
    }
}

#[test]
fn scalars_that_are_read_in_two_ways_are_refused() {
    for (content, place, word) in [
        ("trees: {T: {log: no}}", "trees.T.log", "no"),
        ("trees: {T: {log: 0755}}", "trees.T.log", "0755"),
        ("trees: {T: {log: on}}", "trees.T.log", "on"),
        ("trees: {on: done}", "trees.on", "on"),
        ("trees: {T: {log: 12:30:45}}", "trees.T.log", "12:30:45"),
        ("trees: {T: {log: 2001-12-14}}", "trees.T.log", "2001-12-14"),
        ("trees: {T: {wait: 1_000}}", "trees.T.wait", "1_000"),
        ("trees: {T: {wait: 1e3}}", "trees.T.wait", "1e3"),
        ("trees: {T: {repeat_n: {n: 3, child: done}}}", "trees.T.repeat_n.n", "n"),
        ("trees: {T: done}\nstop: yes", "stop", "yes"),
    ] {
        let expected =
            format!("{place}: YAML 1.1 and YAML 1.2 read the bare word {word} differently; quote it");
        refused("words.yaml", content, &[&expected]);
    }
    let both = "trees: {T: {sequence: [{log: no}, {log: 0755}]}}";
    refused("words.yaml", both, &["trees.T.sequence[0].log: YAML 1.1", "trees.T.sequence[1].log: YAML 1.1"]);
}

#[test]
fn documents_that_cannot_be_run_say_why() {
    let run = format!("{HEAD}spec: {{trees: {{T: done}}}}\n");
    for (content, expected) in [
        ("", "(top): the file holds nothing"),
        (" \n\t\n", "(top): "),
        ("# a remark\n---\n...\n", "(top): the file holds nothing"),
        ("just text", "(top): expected a mapping at the top"),
        ("- a\n- b", "(top): expected a mapping at the top"),
        ("42", "(top): expected a mapping at the top"),
        ("null", "(top): the file holds nothing"),
        ("[]", "(top): expected a mapping at the top"),
        ("{", "(top): not valid"),
        ("a: [", "(top): not valid YAML: line "),
        ("a: b: c", "(top): not valid YAML: line 1"),
        ("a: *nowhere", "(top): not valid YAML: line 1"),
        ("a: &a [*a]", "(top): not valid YAML: line 1"),
        ("\"trees", "(top): not valid YAML: line "),
        ("a: 1\n---\nb: 2\n", "(top): of 2 documents none is a BotRun"),
        (&format!("{run}---\n{run}"), "(top): the file holds 2 BotRuns; keep one"),
        (&format!("{run}---\na: [\n"), "(top): not valid YAML: line "),
        ("trees: {T: done}\ntrees: {T: done}", "(top): the key \"trees\" is given twice"),
        (r#"{"trees": {"T": "done"}, "trees": {"T": "done"}}"#, "(top): the key \"trees\" is given twice"),
        (r#"{"trees": {"T": {"wait": 1, "wait": 2}}}"#, "trees.T: the key \"wait\" is given twice"),
        (r#"{"trees": {"T": "done"}} more"#, "(top): not valid JSON"),
        (r#"{"trees": {"T": "done"},}x"#, "(top): not valid JSON"),
        ("trees: {T: !!python/object done}", "trees.T: tags such as"),
        ("? [a]\n: 1\ntrees: {T: done}", "(top): a key must be text"),
        ("trees: {T: {wait: .inf}}", "trees.T.wait: .inf is not a number"),
        ("trees: {T: {wait: 99999999999999999999}}", "trees.T.wait: 99999999999999999999 is not a number"),
    ] {
        refused("some.yaml", content, &[expected]);
    }
    refused(
        "kind.yaml",
        "kind: Pod\napiVersion: v1\nspec: {trees: {T: done}}",
        &["kind: the kind is \"Pod\"", "apiVersion: the apiVersion is \"v1\""],
    );
    refused("nospec.yaml", HEAD, &["(top): the field spec is missing"]);
    refused("name.yaml", run.replace("name: a", "name: A_b"), &["metadata.name: a name is lower-case"]);
}

#[test]
fn files_that_are_no_text_are_told() {
    refused("binary.yaml", b"trees: \xff\xfe\x00", &["(top): is not text in UTF-8"]);
    refused(
        "program",
        &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0x80, 0xff][..],
        &["(top): is not text in UTF-8"],
    );
    let (_, ended) = validate("nul.yaml", b"trees: {T: {log: \"a\0b\"}}", &[]);
    assert!([0, 1].contains(&ended.code()), "{ended:?}");
    let (_, ended) = validate("nuls.yaml", vec![0; 10_000], &[]);
    let ended = ended.expect(1);
    assert_eq!(ended.stderr_lines().len(), 1, "{ended:?}");
    let limit = 8 << 20;
    let sized = |size: usize| {
        let text = "trees: {T: done} #";
        format!("{text}{}", "x".repeat(size - text.len()))
    };
    accepted("largest.yaml", &sized(limit));
    refused("large.yaml", sized(limit + 1), &["(top): is larger than 8388608 bytes"]);
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = Folder::new();
    let missing = text(&folder.path("missing.yaml"));
    let directory = text(&folder.path(""));
    for (file, reason) in [(&missing, "No such file"), (&directory, "Is a directory")] {
        let ended = runner(&["validate", file]).expect(1);
        let start = format!("{file}: (top): cannot be read: {reason}");
        assert!(ended.stderr.starts_with(&start) && ended.stderr_lines().len() == 1, "{}", ended.stderr);
    }
    let endless = runner(&["validate", "/dev/zero"]).expect(1);
    assert!(endless.stderr.starts_with("/dev/zero: (top): is larger than"), "{}", endless.stderr);
}

#[test]
fn each_of_several_files_is_looked_at() {
    let folder = Folder::new();
    let good = folder.file("good.yaml", "trees: {T: done}");
    let bad = folder.file("bad.yaml", "trees: {T: {wait: -1}}");
    let missing = text(&folder.path("missing.yaml"));
    let worse = folder.file("worse.yaml", "trees: {T: {sequence: [{wiat: 1}, {wait: x}]}}");
    let ended = runner(&["validate", &missing, &good, &bad, &worse, &good]).expect(1);
    let files: Vec<&str> = ended.stderr_lines().iter().filter_map(|l| l.split(": ").next()).collect();
    assert_eq!(files, [&missing, &bad, &worse, &worse]);
    runner(&["validate", &good, &good]).expect(0);
}

#[test]
fn unknown_actions_can_be_taken_on_trust() {
    let content = "trees: {T: {sequence: [{action: Shop.buy}, {action: {name: Shop.pay, args: [1]}}]}}";
    refused(
        "own.yaml",
        content,
        &[
            "trees.T.sequence[0].action: the action \"Shop.buy\" does not exist",
            "trees.T.sequence[1].action: the action \"Shop.pay\" does not exist",
        ],
    );
    let (_, ended) = validate("own.yaml", content, &["--allow-unknown-actions"]);
    assert_eq!(ended.expect(0).stderr, "");
    // What is built in is known all the same.
    let (_, ended) = validate("built_in.yaml", "trees: {T: {action: log}}", &["--allow-unknown-actions"]);
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("trees.T.action: log takes one argument, not 0"), "{}", ended.stderr);
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
    refused("project.json", project.to_string(), &expected);
    let saved = json!({"name": "p", "data": project}).to_string();
    refused("saved.json", saved, &expected.map(|e| format!("data.{e}")).each_ref().map(String::as_str));

    let known = json!({"trees": [{"id": "r", "title": "Root", "root": "n", "nodes": {"n": {"name": "wait", "title": "wait(1)"}}}]});
    accepted("project.json", &known.to_string());
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
fn texts_that_are_made_to_hurt_end_soon() {
    let limit = 8 << 20;
    let many = |unit: &str| unit.repeat(limit / unit.len());
    let mut aliases = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        aliases.push_str(&["a", &i.to_string(), ": &a", &i.to_string(), " [", &items, "]\n"].concat());
    }
    let mut merges = String::from("m0: &m0 {x: 1}\n");
    for i in 1..40 {
        let (i, before) = (i.to_string(), (i - 1).to_string());
        merges.push_str(&["m", &i, ": &m", &i, " {a: *m", &before, ", b: *m", &before, "}\n"].concat());
    }
    let mut subtrees = String::from("trees:\n  T0: done\n");
    for i in 1..60 {
        let (i, before) = (i.to_string(), (i - 1).to_string());
        let call = ["{subtree: T", &before, "}"].concat();
        subtrees.push_str(&["  T", &i, ": {sequence: [", &call, ", ", &call, "]}\n"].concat());
    }
    subtrees.push_str("tree: T59\n");
    let negations =
        format!("{{\"trees\": {{\"T\": {}\"done\"{}}}}}", "{\"negate\": ".repeat(3000), "}".repeat(3000));
    for (what, content) in [
        ("open lists", many("[")),
        ("open mappings", many("{")),
        ("open mappings of JSON", many("{\"a\":")),
        ("lists of mappings of JSON", many("[{\"a\":")),
        ("items of items", many("- ")),
        ("keys of keys", many("? ")),
        ("values of values", many("a:\n")),
        ("anchors", many("&a ")),
        ("tags", many("!a ")),
        ("documents", many("---\n")),
        ("an open text", format!("a: \"{}", many("x"))),
        ("spaces", many(" ")),
        ("deep trees", format!("trees: {{T: {}done{}}}", "{negate: ".repeat(5000), "}".repeat(5000))),
        ("deep trees of JSON", negations),
        ("aliases of aliases", aliases),
        ("merges of merges", merges),
        ("subtrees of subtrees", subtrees),
    ] {
        let start = Instant::now();
        let (file, ended) = validate("bomb.yaml", &content, &[]);
        let ended = ended.expect(1);
        let line = ended.stderr_lines().first().copied().unwrap_or_default().to_owned();
        assert!(line.starts_with(&format!("{file}: ")), "{what}: {line}");
        assert!(ended.stderr.len() < 10_000, "{what}: {} bytes of errors", ended.stderr.len());
        assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
    }
}

#[test]
fn messages_stay_one_line_and_cannot_steer_a_terminal() {
    let folder = Folder::new();
    let content = "{\"trees\": {\"T\": {\"wi\\nat\\u001b[31m\": 1}}}";
    let file = folder.file("run.json", content);
    let ended = runner(&["validate", &file]).expect(1);
    assert_eq!(ended.stderr_lines().len(), 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
}

#[test]
fn nobody_has_to_read_what_is_wrong() {
    let folder = Folder::new();
    let file =
        folder.file("wrong.yaml", format!("trees: {{T: {{sequence: [{}]}}}}", "{wiat: 1}, ".repeat(5000)));
    common::unread(&["validate", &file]).expect(1);
    common::unread(&["trace", &file, "--outcomes", ""]).expect(1);
    common::unread(&["run", &file]).expect(1);
}

#[test]
fn a_wrong_command_line_is_told() {
    for args in [&[][..], &["--allow"], &["--strict", "a.yaml"]] {
        let ended = runner(&[&["validate"], args].concat()).expect(2);
        assert!(ended.stderr.starts_with("error: "), "{args:?}: {ended:?}");
    }
}
