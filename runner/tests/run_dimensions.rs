//! `runner run` with groups, scenarios, stages and time: rows, thresholds and points of each.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::Shop;
use common::army::{Given, run};
use serde_json::{Value, json};

/// The rows as scenario, group and name.
fn rows(result: &Value) -> Vec<[String; 3]> {
    let actions = result["actions"].as_array().expect("actions");
    let text = |action: &Value, key: &str| action[key].as_str().unwrap_or_default().to_owned();
    let measured = actions.iter().filter(|a| a["measured"] == true);
    measured.map(|a| ["scenario", "group", "name"].map(|key| text(a, key))).collect()
}

#[test]
fn labels_of_nodes_around_are_groups() {
    let tree = r#"
tree: Main
trees:
  Main:
    label: Shop
    sequence:
      - http: {get: "{{ target }}/catalogue"}
      - subtree: Look
        label: Twice
      - subtree: Look
  Look:
    repeat_n: {times: 2, child: {http: {get: "{{ target }}/catalogue"}}}
thresholds:
  - {expect: count == 50, group: Shop}
  - {expect: count == 20, group: Shop / Twice}
  - {expect: count == 20, group: Shop / Twice, action: GET /catalogue}
  - {expect: count == 50, action: GET /catalogue}
"#;
    let shop = Shop::open(&[]);
    let done = run(tree, &["--target", &shop.url(), "--iterations", "10"]);
    let name = "GET /catalogue";
    assert_eq!(rows(&done.result), [["", "Shop", name], ["", "Shop / Twice", name]]);
    assert_eq!(done.result["actions"][1]["count"], 30);
    assert_eq!(done.result["thresholds"][1]["group"], "Shop / Twice");
}

#[test]
fn an_action_has_all_of_its_rows_whatever_their_labels() {
    let tree = r#"
trees:
  T:
    sequence:
      - http: {get: "{{ target }}/catalogue"}
      - {http: {get: "{{ target }}/catalogue"}, label: once more}
      - {http: {post: "{{ target }}/login"}, label: two of them}
      - {http: {get: "{{ target }}/catalogue"}, label: two of them}
thresholds:
  - {expect: count == 20, action: GET /catalogue}
  - {expect: count == 10, action: once more}
  - {expect: count == 20, action: two of them}
"#;
    let shop = Shop::open(&[]);
    let done = run(tree, &["--target", &shop.url(), "--iterations", "10"]);
    let rows: Vec<String> = rows(&done.result).into_iter().map(|[.., name]| name).collect();
    assert_eq!(rows, ["GET /catalogue", "once more", "two of them"]);
    assert_eq!(done.result["outcome"], "Passed", "{:#}", done.result);
}

#[test]
fn scenarios_have_rows_and_thresholds_of_their_own() {
    let spec = r#"
trees:
  T: {http: {get: "{{ target }}/catalogue"}}
  U: {http: {get: "{{ target }}/nowhere"}}
scenarios:
  - {name: day, tree: T, bots: 2, iterations: 30}
  - {name: night, tree: U, bots: 1, iterations: 7}
thresholds:
  - {expect: fail_rate == 0%, scenario: day}
  - {expect: fail_rate == 100%, scenario: night}
  - {expect: count == 37}
"#;
    let shop = Shop::open(&[]);
    let done = run(spec, &["--target", &shop.url()]);
    assert_eq!(rows(&done.result), [["day", "", "GET /catalogue"], ["night", "", "GET /nowhere"]]);
    let sections: Vec<_> = done.result["scenarios"]
        .as_array()
        .expect("scenarios")
        .iter()
        .map(|s| json!([s["scenario"], s["count"]]))
        .collect();
    assert_eq!(sections, [json!(["day", 30]), json!(["night", 7])]);
}

#[test]
fn stages_are_judged_each_for_itself_and_shown_together() {
    let spec = r#"
trees: {T: {sequence: [{http: {get: "{{ target }}/catalogue"}}, {wait: 10ms}]}}
stages:
  - {bots: 1, duration: 0s, name: one}
  - {bots: 1, duration: 1s, name: quiet}
  - {bots: 8, duration: 0s}
  - {bots: 8, duration: 1s, name: busy}
thresholds:
  - {expect: count > 10, stage: quiet}
  - {expect: count > 100, stage: busy, action: GET /catalogue}
  - {expect: count > 100, stage: quiet}
"#;
    let shop = Shop::open(&[]);
    let given = Given::new(spec);
    let done = given.run(&["--target", &shop.url()]);
    assert_eq!(done.ended.code(), 99, "{:#}", done.result);
    let passed: Vec<_> = done.result["thresholds"]
        .as_array()
        .expect("thresholds")
        .iter()
        .map(|t| t["passed"].clone())
        .collect();
    assert_eq!(passed, [true, true, false]);
    let stages = done.result["stages"].as_array().expect("stages");
    assert_eq!(stages.iter().map(|s| s["stage"].clone()).collect::<Vec<_>>(), ["one", "quiet", "3", "busy"]);
    let sum: u64 = stages.iter().map(|s| s["count"].as_u64().expect("a count")).sum();
    assert_eq!(sum, done.number("/total/count"));
    assert_eq!(rows(&done.result).len(), 1);
}

#[test]
fn a_run_over_time_is_a_point_a_second() {
    let shop = Shop::open(&[]);
    let spec = "trees: {T: {sequence: [{http: {get: '{{ target }}/catalogue'}}, {wait: 20ms}]}}";
    let done = run(spec, &["--target", &shop.url(), "--duration", "3s", "--bots", "4"]);
    let series = &done.result["series"];
    assert_eq!(series["stepSeconds"], 1);
    let points = series["points"].as_array().expect("points");
    assert!((3..=4).contains(&points.len()), "{series:#}");
    let sum = |key: &str| points.iter().map(|p| p[key].as_u64().expect("a number")).sum::<u64>();
    assert_eq!(sum("requests"), shop.requests());
    assert_eq!((sum("actions"), sum("failures")), (done.number("/total/count"), 0));
    assert_eq!((sum("iterations"), sum("bytesIn")), (done.number("/iterations"), done.number("/bytesIn")));
    for (second, point) in points.iter().take(3).enumerate() {
        assert_eq!(point["second"], second);
        // Of the last second the end is seen, when some bots have gone.
        assert!(point["bots"].as_u64().is_some_and(|n| n == 4 || second == 2), "{point}");
        assert!(point["actions"].as_u64().is_some_and(|n| n > 20), "{point}");
        assert!(point["p50Us"].as_u64() <= point["p95Us"].as_u64(), "{point}");
    }
}
