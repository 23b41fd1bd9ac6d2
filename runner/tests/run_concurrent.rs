//! `runner run`: trees in which several things go on at once.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::Shop;
use common::army::{Done, run};
use serde_json::Value;
use std::time::{Duration, Instant};

/// One bot, one iteration.
fn once(tree: &str) -> Done {
    run(&format!("trees:\n  T:\n    {tree}\n"), &["--iterations", "1"])
}

fn rows(done: &Done) -> Vec<&str> {
    done.result["actions"].as_array().expect("actions").iter().filter_map(|a| a["name"].as_str()).collect()
}

#[test]
fn parallel_children_run_at_the_same_time_and_the_rest_is_cancelled() {
    let begun = Instant::now();
    let waits = "[{wait: 400ms}, {wait: 401ms}, {wait: 402ms}, {wait: 1h}]";
    let done = once(&format!("parallel: {{succeed_on: 3, children: {waits}}}"));
    assert!((402..1_200).contains(&done.number("/durationMs")), "{:#}", done.result);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(done.counts("wait(\"402ms\")"), [1, 0, 0, 0]);
    assert_eq!(done.counts("wait(\"1h\")"), [0, 0, 0, 1]);
    assert_eq!(done.number("/iterations"), 1);
}

#[test]
fn a_thousand_things_at_once_come_each_to_its_end() {
    let many = |after: &str, wait: &str| {
        vec![format!("{{timeout: {{after: {after}, child: {{wait: {wait}}}}}}}"); 1_000].join(", ")
    };
    let done = once(&format!("parallel: {{children: [{}]}}", many("1m", "10ms")));
    assert_eq!((done.counts("wait(\"10ms\")"), done.number("/iterations")), ([1_000, 0, 0, 0], 1));
    // One of them is enough.
    let done =
        once(&format!("parallel: {{succeed_on: 1, children: [{{wait: 50ms}}, {}]}}", many("1h", "1h")));
    assert_eq!((done.counts("wait(\"1h\")"), done.number("/iterations")), ([0, 0, 0, 1_000], 1));
    // They have no time, all at once.
    let done = once(&format!("always_succeed: {{parallel: {{children: [{}]}}}}", many("50ms", "1h")));
    assert_eq!((done.counts("wait(\"1h\")"), done.number("/iterations")), ([0, 0, 0, 1_000], 1));
    // Or the run ends.
    let file = format!("trees: {{T: {{parallel: {{children: [{}]}}}}}}", many("1h", "1h"));
    let done = run(&file, &["--duration", "3s"]);
    assert_eq!((done.counts("wait(\"1h\")"), done.number("/iterations")), ([0, 0, 0, 1_000], 0));
}

#[test]
fn requests_of_one_bot_overlap_and_are_all_counted() {
    let shop = Shop::open(&["--latency", "200ms"]);
    let get = |label: &str| format!("{{http: {{get: '{{{{ target }}}}/catalogue'}}, label: {label}}}");
    let file =
        format!("trees: {{T: {{parallel: {{children: [{}, {}, {}]}}}}}}", get("a"), get("b"), get("c"));
    let done = run(&file, &["--target", &shop.url(), "--iterations", "4"]);
    assert_eq!((done.number("/requests"), shop.requests()), (12, 12));
    assert!((800..2_000).contains(&done.number("/durationMs")), "{:#}", done.result);
}

#[test]
fn a_timeout_gives_up_what_it_holds() {
    let shop = Shop::open(&["--latency", "10s"]);
    let get = "{http: {get: '{{ target }}/catalogue'}}";
    let tree = format!(
        "{{select: [{{timeout: {{after: 300ms, child: {{sequence: [{{wait: 10ms}}, {get}]}}}}}}, {{log: given up}}]}}"
    );
    let done = run(&format!("trees: {{T: {tree}}}"), &["--target", &shop.url(), "--iterations", "2"]);
    assert_eq!(done.counts("GET /catalogue"), [0, 0, 0, 2]);
    assert_eq!(done.counts("log(\"given up\")"), [2, 0, 0, 0]);
    assert_eq!(done.number("/requests"), 2, "they were sent");
}

#[test]
fn a_timeout_that_is_not_reached_changes_nothing() {
    let done = once("timeout: {after: 1h, child: {sequence: [{wait: 1ms}, {log: here}]}}");
    assert_eq!(done.counts("log(\"here\")"), [1, 0, 0, 0]);
}

#[test]
fn a_retry_tries_again_after_its_delay() {
    let fails = "{always_fail: {log: try}}";
    let done = once(&format!("retry: {{attempts: 4, delay: 100ms, child: {fails}}}"));
    assert_eq!(done.counts("log(\"try\")"), [4, 0, 0, 0]);
    assert!((300..1_500).contains(&done.number("/durationMs")), "{:#}", done.result);
    // The first success is enough.
    let done = once("retry: {attempts: 4, delay: 1h, child: {log: try}}");
    assert_eq!(done.counts("log(\"try\")"), [1, 0, 0, 0]);
    // And a retry that waits is cut short by the end of the run.
    let file = format!("trees: {{T: {{retry: {{attempts: 4, delay: 1h, child: {fails}}}}}}}");
    let done = run(&file, &["--duration", "200ms"]);
    assert_eq!(done.number("/iterations"), 0);
}

#[test]
fn a_condition_chooses() {
    let done = once(
        "sequence: [{set: {id: 5}}, {if: {when: 'id > 3', then: {log: large}, else: {log: small}}},
                    {if: {when: 'id > 9', then: {log: huge}}}, {if: {when: true, then: {log: always}}}]",
    );
    assert_eq!(done.counts("if(\"id > 3\")"), [1, 0, 0, 0]);
    assert_eq!(done.counts("if(\"id > 9\")"), [0, 1, 0, 0]);
    assert_eq!((done.counts("log(\"large\")"), done.counts("log(\"always\")")), ([1, 0, 0, 0], [1, 0, 0, 0]));
    assert!(!rows(&done).iter().any(|row| ["log(\"small\")", "log(\"huge\")"].contains(row)));
    // What is undefined is an error, not false.
    let done = once("if: {when: 'id > 3', then: {log: large}}");
    assert_eq!(done.counts("if(\"id > 3\")"), [0, 0, 1, 0]);
}

#[test]
fn arguments_are_rendered_at_the_entry_and_hide_the_bots_own_values() {
    let shop = Shop::open(&[]);
    let file = r#"
tree: Main
trees:
  Main:
    sequence:
      - set: {level: 1, shown: 7}
      - subtree: {name: Outer, with: {level: "{{ level + 1 }}", list: [1, "{{ shown }}"]}}
      - if: {when: "level == 1", then: {log: kept}}
  Outer:
    sequence:
      - if: {when: "level == 2 and list == [1, 7] and shown == 7", then: {log: outer}}
      - set: {shown: 8}
      - if: {when: "list == [1, 7] and shown == 8", then: {log: by value}}
      - subtree: {name: Inner, with: {deep: "{{ level * 10 }}"}}
  Inner:
    if: {when: "deep == 20 and level == 1", then: {log: inner}}
"#;
    let done = run(file, &["--target", &shop.url(), "--iterations", "1"]);
    for row in ["outer", "by value", "inner", "kept"] {
        assert_eq!(done.counts(&format!("log(\"{row}\")")), [1, 0, 0, 0], "{row}: {:#}", done.result);
    }
    // An argument that cannot be rendered is an error of what is entered with it.
    let file = "tree: A\ntrees: {A: {subtree: {name: B, with: {x: '{{ nowhere }}'}}}, B: {log: '{{ x }}'}}";
    let done = run(file, &["--iterations", "1"]);
    assert_eq!(done.counts("log(\"{{ x }}\")"), [0, 0, 1, 0]);
}

#[test]
fn updates_of_branches_come_together_and_those_of_cancelled_ones_do_not() {
    let done = once(
        "sequence:
      - parallel:
          succeed_on: 2
          children:
            - sequence: [{wait: 20ms}, {set: {a: 1}}]
            - sequence: [{wait: 40ms}, {set: {b: 2}}]
            - sequence: [{set: {early: 1}}, {wait: 1h}, {set: {c: 3}}]
      - if: {when: 'a == 1 and b == 2 and early == 1 and c is undefined', then: {log: right}}",
    );
    assert_eq!(done.counts("log(\"right\")"), [1, 0, 0, 0], "{:#}", done.result);
}

#[test]
fn done_and_error_in_a_branch_end_the_bot() {
    for (leaf, outcome) in [("done", 0), ("{error: broken}", 2)] {
        let done =
            once(&format!("parallel: {{children: [{{wait: 1h}}, {{sequence: [{{wait: 20ms}}, {leaf}]}}]}}"));
        assert_eq!(done.counts("wait(\"1h\")"), [0, 0, 0, 1], "{leaf}");
        let name = if outcome == 0 { "done" } else { "error(\"broken\")" };
        assert_eq!(done.counts(name)[outcome], 1, "{leaf}");
    }
}

#[test]
fn a_stop_lets_requests_end_and_nothing_else() {
    let shop = Shop::open(&["--latency", "700ms"]);
    let file = "trees: {T: {parallel: {children: [{wait: 1h}, {http: {get: '{{ target }}/catalogue'}}]}}}";
    let done = run(file, &["--target", &shop.url(), "--duration", "300ms"]);
    assert_eq!(done.counts("GET /catalogue"), [1, 0, 0, 0], "{:#}", done.result);
    assert_eq!(done.counts("wait(\"1h\")"), [0, 0, 0, 1]);
    assert_eq!((done.number("/requests"), shop.requests()), (1, 1));
}

#[test]
fn what_waits_for_its_turn_does_not_begin_after_the_end() {
    let shop = Shop::open(&[]);
    let get = "{http: {get: '{{ target }}/catalogue'}}";
    for tree in [
        format!("{{timeout: {{after: 60s, child: {get}}}}}"),
        format!("{{parallel: {{children: [{get}]}}}}"),
        format!("{{retry: {{attempts: 2, child: {get}}}}}"),
    ] {
        let before = shop.requests();
        let file = format!("trees: {{T: {tree}}}\nbots: 40\nmaxRate: 10/s\n");
        let done = run(&file, &["--target", &shop.url(), "--duration", "1s"]);
        let sent = shop.requests() - before;
        // Eleven turns come before the end; those of all bots would take four seconds.
        assert!((1..30).contains(&sent), "{tree}: {sent}");
        assert_eq!(done.counts("GET /catalogue"), [sent, 0, 0, 0], "{tree}: what never began has no row");
    }
}

#[test]
fn a_turn_that_comes_too_late_for_a_timeout_is_anothers() {
    let shop = Shop::open(&[]);
    let get = "{http: {get: '{{ target }}/catalogue'}}";
    let tree = format!("{{select: [{{timeout: {{after: 300ms, child: {get}}}}}, {{log: too late}}]}}");
    let file = format!("trees: {{T: {tree}}}\nbots: 20\nmaxRate: 10/s\n");
    let done = run(&file, &["--target", &shop.url(), "--duration", "3s"]);
    let [sent, given_up] = [0, 3].map(|outcome| done.counts("GET /catalogue")[outcome]);
    // Twenty bots could wait for two seconds in vain; the turns that they leave are those of who comes next.
    assert!((12..=done.number("/durationMs") / 100 + 1).contains(&sent), "{:#}", done.result);
    // Whoever was never asked has no row: these were cut short in the middle, as few as they may be.
    assert!(given_up <= sent && shop.requests() <= sent + given_up, "{:#}", done.result);
    assert!(done.counts("log(\"too late\")")[0] > sent, "{:#}", done.result);
}

#[test]
fn a_timeout_holds_when_the_load_has_ended_too() {
    let shop = Shop::open(&["--latency", "20s"]);
    let file = "trees: {T: {select: [{timeout: {after: 700ms, child: {http: {get: '{{ target }}/catalogue'}}}}, {http: {get: '{{ target }}/cart'}}]}}\ngracePeriod: 15s\n";
    let done = run(file, &["--target", &shop.url(), "--duration", "300ms"]);
    assert_eq!(done.counts("GET /catalogue"), [0, 0, 0, 1], "{:#}", done.result);
    // Nothing new is begun, and nobody waits for the end of the grace.
    assert_eq!((done.number("/requests"), shop.requests()), (1, 1));
    assert!(done.number("/durationMs") < 10_000, "{:#}", done.result);
}

#[test]
fn a_trace_names_all_that_runs() {
    let folder = common::Folder::new();
    let file = folder.file(
        "t.yaml",
        "trees: {T: {sequence: [{parallel: {succeed_on: any, fail_on: all, children: [{action: a}, {retry: {attempts: 2, delay: 1h, child: {action: b}}}]}}, {action: c}]}}",
    );
    let ended = common::runner(&["trace", &file, "--outcomes", "FFSS"]).expect(0);
    assert_eq!(ended.stdout_lines(), ["a | b", "b", "b", "c", "a | b"]);
}

#[test]
fn the_same_seed_draws_the_same_in_every_branch() {
    let random = |names: &str| format!("{{random: [{names}]}}");
    let tree = format!(
        "trees: {{T: {{parallel: {{children: [{}, {}]}}}}}}",
        random("{log: a}, {log: b}, {log: c}"),
        random("{log: d}, {log: e}, {log: f}")
    );
    let counts = || {
        let done = run(&tree, &["--iterations", "200", "--seed", "7"]);
        let actions = done.result["actions"].as_array().expect("actions").clone();
        let of = |a: &Value| (a["name"].clone(), a["count"].clone());
        actions.iter().filter(|a| a["name"] != "(iteration)").map(of).collect::<Vec<(Value, Value)>>()
    };
    assert_eq!(counts(), counts());
    assert_eq!(counts().len(), 6);
}
