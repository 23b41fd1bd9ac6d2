//! Files whose content is wrong: unknown fields, wrong types, values out of range, broken trees.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{GET, Given};
use common::refusal::{refused, refused_at};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};

const HEAD: &str = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nmetadata: {name: a}\n";

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
            "spec.trees.T.sequence[2].http.get: \"/cart\" is not an absolute address",
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
            "spec.duration: expected text such as 5m (a rate: 50/s or 0.5/s) or a whole number, found the boolean true",
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
            "trees: {T: {parallel: {fail_on: none, children: [done]}}}",
            "trees.T.parallel.fail_on: expected all, any or a whole number",
        ),
        ("trees: {T: {http: {get: 'http://'}}}", "trees.T.http.get: \"http://\" names no host"),
        (
            "trees: {T: {http: {get: '{{ target }}/a b'}}}",
            "trees.T.http.get: \"{{ target }}/a b\" has blanks",
        ),
        (
            "trees: {T: {http: {get: 'http://h', headers: {A: \"b\\nc\"}}}}",
            "trees.T.http.headers.A: the value of a header has no line breaks",
        ),
        (
            "trees: {T: {http: {post: 'http://h', headers: {content-length: 5}}}}",
            "trees.T.http.headers.content-length: the header \"content-length\" follows from the body",
        ),
        (
            "trees: {T: {sequence: [{http: {get: 'http://h/a'}}, {wait: 1, label: GET http://h/a}]}}",
            "trees.T.sequence[1]: \"GET http://h/a\" is also the row of an action on the target",
        ),
        ("trees: {T: done}\ntarget: http://h:99999", "target: \"http://h:99999\" is not an address"),
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
fn every_field_refuses_what_is_not_its_own() {
    let refill = |max: Value, every: Value| json!({"max": max, "every": every});
    for (field, place, wrong) in [
        (
            "target",
            "target",
            json!([1, true, [], {}, "", "shop:80", "ftp://shop", "http://", "http://a b", " "]),
        ),
        ("trees", "trees", json!([1, "T", true, {}, {"T": 1}, {"T": {}}, {"T": []}, {"T": {"wiat": 1}}])),
        ("tree", "tree", json!([1, true, [], {}, "", "Gone", "x".repeat(254)])),
        ("bots", "bots", json!(["1", "many", true, [], {}, 1.5, -1, 0, 1_000_001, i64::MAX, u64::MAX, 1e99])),
        ("duration", "duration", json!([true, [], {}, 1.5, 0, -1, "", "-1s", "0s", "soon", "1e3s", "9000h"])),
        ("iterations", "iterations", json!(["5", true, [], {}, 0, -1, 1.5, 1_000_000_000_001_i64, 1e99])),
        ("refill", "refill", json!([1, "5s", true, [], {"max": 1}, {"every": 1}, {"mx": 1}])),
        (
            "refill",
            "refill.max",
            json!([refill(json!(0), json!(1)), refill(json!(-1), json!(1)), refill(json!("1"), json!(1))]),
        ),
        (
            "refill",
            "refill.every",
            json!([refill(json!(1), json!(0)), refill(json!(1), json!(-1)), refill(json!(1), json!("-1s"))]),
        ),
        (
            "runners",
            "runners",
            json!([2, "2", [], {"cuont": 2}, {"count": 0}, {"count": 2}, {"count": 1, "botsPerRunner": 1}]),
        ),
        (
            "runners",
            "runners.",
            json!([{"count": -1}, {"count": "2"}, {"botsPerRunner": 0}, {"count": 1001}, {"count": 1.5}]),
        ),
        ("thresholds", "thresholds", json!([1, "p(95) < 1s", {}, {"expect": "count > 1"}])),
        (
            "thresholds",
            "thresholds[0]",
            json!([[1], ["count > 1"], [{}], [{"expect": ""}], [{"expect": "fast"}], [{"expect": 1}]]),
        ),
        (
            "thresholds",
            "thresholds[1]",
            json!([[{"expect": "count > 1"}, {"expect": "count > 1", "action": "gone"}]]),
        ),
        ("seed", "seed", json!(["42", true, [], {}, -1, 1.5, 9_007_199_254_740_992_i64, u64::MAX])),
        ("env", "env", json!([1, "A=1", {}, {"A": "1"}])),
        (
            "env",
            "env[0]",
            json!([["A"], [{}], [{"name": ""}], [{"name": "1A"}], [{"name": "A-B"}], [{"name": "A", "value": 1}]]),
        ),
        ("env", "env[1]", json!([[{"name": "A"}, {"name": "A"}], [{"name": "A"}, {"nmae": "B"}]])),
        ("custom", "custom", json!([1, "x", true, []])),
        ("stop", "stop", json!([1, 0, "true", "yes", [], {}])),
        ("template", "template", json!([1, "x", true, []])),
        ("bost", "(top)", json!([1, {}])),
    ] {
        for value in wrong.as_array().expect("wrong values") {
            let mut spec = json!({"trees": {"T": {"log": "x"}}});
            spec[field] = value.clone();
            refused_at(place, "spec.json", spec.to_string());
            let manifest = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "spec": spec});
            let place = if place == "(top)" { "spec".to_owned() } else { format!("spec.{place}") };
            refused_at(&place, "manifest.json", manifest.to_string());
        }
    }
}

#[test]
fn every_node_refuses_what_is_not_its_own() {
    let nothing_fits = json!([1, -1, "x", true, [], {}, [1], ["x"], [{}], [[]], {"x": 1}, {"child": 1}]);
    for kind in [
        "sequence",
        "select",
        "random",
        "random_weighted",
        "repeat_until_succeed",
        "repeat_until_fail",
        "negate",
        "always_succeed",
        "always_fail",
        "repeat_n",
        "parallel",
        "retry",
        "timeout",
        "subtree",
        "if",
        "http",
    ] {
        for value in nothing_fits.as_array().expect("values") {
            let spec = json!({"trees": {"T": {kind: value}}});
            refused_at("trees.T", "spec.json", spec.to_string());
        }
    }
}

#[test]
fn every_leaf_and_every_number_of_a_node_is_looked_at() {
    let child = json!({"log": "x"});
    for (kind, place, wrong) in [
        (
            "repeat_n",
            "repeat_n",
            json!([{"child": child}, {"times": 2}, {"times": 2, "child": child, "x": 1}]),
        ),
        (
            "repeat_n",
            "repeat_n.times",
            json!([{"times": 1, "child": child}, {"times": -2, "child": child}, {"times": 2.5, "child": child}]),
        ),
        (
            "random_weighted",
            "random_weighted[0]",
            json!([[{"weight": "3", "child": child}], [{"weight": -1, "child": child}], [{"child": child}]]),
        ),
        ("wait", "wait", json!([-1, "-1s", true, {}, [-1, 1], [1, 2, 3], "soon", "", 1e300])),
        ("log", "log", json!(["{{", "{{ 1 + }}", "{{ nothing( }}"])),
        ("error", "error", json!(["{{", "{{ 1 + }}"])),
        ("done", "done", json!([[1], {"x": 1}])),
        ("succeed_rate", "succeed_rate", json!([-1, 2, "x", true, [], {}])),
        ("set", "set", json!([1, "x", [], {"target": 1}, {"bot": 1}])),
        (
            "action",
            "action",
            json!([1, true, [], {}, "", "Shop.buy", {"name": "Shop.buy"}, {"name": 1}, {"name": "log", "args": []}]),
        ),
        (
            "http",
            "http",
            json!([{}, {"get": "/x"}, {"get": "http://x", "post": "http://x"}, {"get": 1}, {"gte": "http://x"}]),
        ),
        (
            "http",
            "http.",
            json!([
                {"get": "http://x", "timeout": -1}, {"get": "http://x", "timeout": "soon"}, {"get": "http://x", "headers": []},
                {"get": "http://x", "expect": {"status": "many"}}, {"get": "http://x", "expect": {"stats": 1}},
                {"get": "http://x", "expect": {"json": {"total": 1}}}, {"get": "http://x", "save": {"x": "id"}},
            ]),
        ),
    ] {
        for value in wrong.as_array().expect("wrong values") {
            let spec = json!({"trees": {"T": {kind: value}}});
            refused_at(&format!("trees.T.{place}"), "spec.json", spec.to_string());
        }
    }
}

#[test]
fn input_that_is_wrong_starts_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for (content, args, part) in [
        ("trees: {T: {wiat: 1}}", &[][..], "trees.T: unknown node \"wiat\""),
        ("trees: {T: {action: Shop.buy}}", &[], "trees.T.action: the action \"Shop.buy\" does not exist"),
        ("trees: {T: {log: no}}", &[], "trees.T.log: YAML 1.1 and YAML 1.2"),
        ("", &[], "(top): the file holds nothing"),
        (GET, &["--tree", "Gone"], "tree: there is no tree named \"Gone\""),
        (GET, &["--bots", "0"], "bots: a run starts with at least one bot"),
        (GET, &["--bots", "-1"], "bots: a run starts with at least one bot"),
        (GET, &["--bots", "1000001"], "bots: "),
        (GET, &["--bots", "2147483647"], "bots: "),
        (GET, &["--duration", "0"], "duration: the time must be above zero"),
        (GET, &["--duration", "-1s"], "duration: \"-1s\" is negative"),
        (GET, &["--duration", "soon"], "duration: \"soon\" is not a duration"),
        ("trees: {T: done}\nthresholds: [{expect: p95 < 1}]", &[], "thresholds[0].expect: "),
    ] {
        let given = Given::new(content);
        let target = if args.contains(&"--target") { vec![] } else { vec!["--target", &url] };
        // Where a mistake is not found, the run ends by itself.
        let bound = if args.contains(&"--duration") { "1" } else { "2" };
        let ended = given.start(&[args, &target, &["--iterations", bound]].concat()).end().expect(1);
        assert_eq!(ended.stdout, "", "{content} {args:?}");
        let start = format!("{}: {part}", given.file);
        assert!(
            ended.stderr_lines().iter().any(|l| l.starts_with(&start)),
            "{content} {args:?}: {}",
            ended.stderr
        );
        assert!(!given.folder.path("out.json").exists(), "{content} {args:?}: an output was written");
    }
    for target in ["", "shop:80", "http://", "ftp://shop", "http://a b"] {
        let given = Given::new(GET);
        let ended = given.start(&["--target", target, "--iterations", "1"]).end().expect(1);
        assert!(ended.stderr.contains("target: "), "{target}: {}", ended.stderr);
        assert!(!given.folder.path("out.json").exists(), "{target}");
    }
    let connection = listener.accept();
    assert!(connection.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "something was started");
}

#[test]
fn expressions_are_as_long_as_they_can_be_read() {
    for (begin, repeated, end) in
        [("{{ ", "1+", "1 }}"), ("{{ a", "|upper", " }}"), ("{{ ", "a~", "a }}"), ("{{ a", ".b", "|upper }}")]
    {
        let text = format!("{begin}{}{end}", repeated.repeat(32_000));
        let spec = serde_json::json!({"trees": {"T": {"log": text}}});
        refused("long.json", spec.to_string(), &["trees.T.log: an expression is at most 2048 bytes long"]);
    }
}
