//! `runner run`: what bots do together.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Given, run};
use common::runner;
use serde_json::json;

#[test]
fn no_change_of_shared_data_is_lost_among_many_bots() {
    let tree = r#"
trees:
  T:
    sequence:
      - shared: {add: counter}
      - shared: {update: doubled, value: "{{ (old or 0) + 2 }}"}
      - shared: {push: list, value: "{{ bot.id }}"}
      - if: {when: "shared.counter == 400", then: {sequence: [
          {check: {name: sums, when: "shared.doubled == 800 and shared.list | length == 400"}}]}}
"#;
    let done = run(&format!("{tree}bots: 20\niterationsPerBot: 20\n"), &[]);
    assert_eq!(done.counts("shared.update(\"doubled\")"), [400, 0, 0, 0]);
    // The last ones to come see all of it.
    let seen = done.action("sums");
    assert!(seen["succeed"].as_u64().expect("a number") >= 1, "{seen}");
}

#[test]
fn items_of_a_list_are_given_out_once() {
    let content = r#"
trees:
  Fill: {sequence: [{repeat_n: {times: 50, child: {shared: {push: accounts, value: 1}}}}]}
  Take:
    select:
      - shared: {pop: accounts, save: account}
      - done
setup: {tree: Fill}
tree: Take
bots: 10
iterations: 200
"#;
    let done = run(content, &[]);
    assert_eq!(done.counts("shared.pop(\"accounts\")"), [50, 150, 0, 0]);
}

#[test]
fn a_barrier_lets_bots_go_on_together_and_a_signal_wakes_them() {
    let content = r#"
trees:
  T:
    sequence:
      - shared: {add: before}
      - barrier: {name: all, parties: 8}
      - check: {name: together, when: "shared.before % 8 == 0"}
      - barrier: {name: again, parties: 8}
      - if: {when: "bot.id == 1", then: {sequence: [{wait: 50ms}, {signal: "go {{ shared.before }}"}]}}
      - await: "go {{ shared.before }}"
      - barrier: {name: end, parties: 8}
bots: 8
iterationsPerBot: 5
"#;
    let done = run(content, &[]);
    assert_eq!(done.counts("together"), [40, 0, 0, 0]);
    assert_eq!(done.counts("await(\"go {{ shared.before }}\")"), [40, 0, 0, 0]);
}

#[test]
fn waiting_in_vain_fails_and_ends_with_the_run() {
    let content = r#"
trees:
  T:
    sequence:
      - always_succeed: {await: {signal: never, timeout: 50ms}}
      - always_succeed: {barrier: {name: lonely, parties: 3, timeout: 50ms}}
      - barrier: {name: lonely, parties: 3, timeout: 1h}
duration: 1s
bots: 1
"#;
    let done = run(content, &[]);
    assert_eq!(done.counts("await(\"never\")")[1], 1);
    let barrier = done.counts("barrier(\"lonely\")");
    assert_eq!((barrier[1], barrier[3]), (1, 1), "one failed, one was given up");
}

#[test]
fn what_was_waited_for_in_vain_is_told() {
    let content = r#"
trees:
  T:
    sequence:
      - always_succeed: {barrier: {name: all, parties: 3, timeout: 50ms}}
      - always_succeed: {await: {signal: never, timeout: 50ms}}
bots: 2
iterationsPerBot: 1
"#;
    let done = run(content, &[]);
    for (row, text) in [
        (
            "barrier(\"all\")",
            "fewer than the 3 parties came within 50ms; there must be so many bots that come at a time",
        ),
        ("await(\"never\")", "the signal was not given within 50ms"),
    ] {
        let expected = json!([{"class": "timeout", "count": 2, "samples": [{"text": text, "count": 2}]}]);
        assert_eq!(done.action(row)["failures"], expected, "{:#}", done.result);
    }
}

#[test]
fn barriers_of_one_name_and_different_parties_are_refused() {
    let content = r#"
trees:
  A: {sequence: [{barrier: {name: "start {{ env.N }}", parties: 2}}, {subtree: B}]}
  B: {barrier: {name: start 1, parties: 3}}
  C: {barrier: {name: start 1, parties: 2}}
scenarios:
  - {name: a, tree: A, bots: 3, iterations: 9}
  - {name: b, tree: B, bots: 3, iterations: 9}
  - {name: c, tree: C, bots: 3, iterations: 9}
env: [{name: N, value: "1"}]
"#;
    let given = Given::new(content);
    let told = runner(&["validate", &given.file]).expect(1).stderr;
    let part = "trees.B.barrier.parties: the barrier \"start 1\" has 2 parties at trees.A.sequence[0] and 3 here, and all barriers of one name count together; give both the same number, or each a name of its own";
    assert_eq!(told.matches("parties at").count(), 1, "{told}");
    assert!(told.contains(part), "{told}");
}
