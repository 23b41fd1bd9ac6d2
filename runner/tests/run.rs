//! `runner run`: how an army begins, goes on and ends.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::Shop;
use common::army::{GET, Given, SHOPPER, run};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_hundred_iterations_are_a_hundred() {
    // Slow enough for each bot to come to its turn.
    let shop = Shop::open(&["--latency", "5ms"]);
    let done = run(SHOPPER, &["--target", &shop.url(), "--iterations", "100", "--bots", "7"]);
    assert_eq!(done.number("/iterations"), 100);
    assert_eq!(done.result["bots"], json!({"started": 7, "alive": 0}));
    let stats = json!({"requests": 300, "routes": {"POST /login": 100, "POST /cart": 100, "GET /cart": 100}});
    assert_eq!(shop.stats(), stats);
    assert_eq!(done.number("/requests"), 300);
    for action in ["POST /login", "Put", "GET /cart"] {
        assert_eq!(done.counts(action), [100, 0, 0, 0], "{action}");
    }
    assert_eq!(done.number("/total/succeed"), 300);
}

#[test]
fn more_bots_than_iterations_do_no_more() {
    let shop = Shop::open(&["--latency", "50ms"]);
    let done = run(GET, &["--target", &shop.url(), "--iterations", "3", "--bots", "20"]);
    assert_eq!((done.number("/iterations"), done.number("/requests"), shop.requests()), (3, 3, 3));
    assert_eq!(done.result["bots"], json!({"started": 3, "alive": 0}), "one that has nothing to do is none");
}

#[test]
fn a_run_takes_its_time_and_no_more() {
    let begun = Instant::now();
    let done = run(GET, &["--demo-target", "--duration", "1s", "--bots", "2"]);
    assert!((1000..10_000).contains(&done.number("/durationMs")), "{:#}", done.result);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(done.number("/iterations") > 0 && done.number("/requests") >= done.number("/iterations"));
}

#[test]
fn a_run_is_over_with_its_last_iteration() {
    let shop = Shop::open(&["--latency", "300ms"]);
    let done = run(GET, &["--target", &shop.url(), "--iterations", "2", "--bots", "2", "--duration", "1h"]);
    assert!((300..900).contains(&done.number("/durationMs")), "{:#}", done.result);
}

#[test]
fn the_end_does_not_wait_for_those_that_wait() {
    let begun = Instant::now();
    let tree = "trees: {T: {sequence: [{wait: 1h}, {log: never}]}}";
    let done = run(tree, &["--duration", "300ms", "--bots", "3"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(done.counts("wait(\"1h\")"), [0, 0, 0, 3]);
    assert_eq!((done.number("/iterations"), done.number("/bots/alive")), (0, 0));
    assert!(
        done.result["actions"].as_array().expect("actions").iter().all(|a| a["name"] != "log(\"never\")")
    );
}

#[test]
fn bots_that_end_are_replaced() {
    for (tree, leaf, counts) in [
        ("done", "done", [20, 0, 0, 0]),
        ("{error: 'no {{ bot.id }}'}", "error(\"no {{ bot.id }}\")", [0, 0, 20, 0]),
        ("{sequence: [{log: a}, done, {log: b}]}", "done", [20, 0, 0, 0]),
        ("{log: '{{ nothing.like.that }}'}", "log(\"{{ nothing.like.that }}\")", [0, 0, 20, 0]),
        ("{wait: '{{ nothing }}'}", "wait(\"{{ nothing }}\")", [0, 0, 20, 0]),
    ] {
        let done = run(&format!("trees: {{T: {tree}}}"), &["--iterations", "20", "--bots", "3"]);
        assert_eq!(done.counts(leaf), counts, "{tree}");
        assert_eq!((done.number("/bots/started"), done.number("/iterations")), (20, 20), "{tree}");
    }
    let done = run("trees: {T: {sequence: [{wait: 5ms}, done]}}", &["--duration", "300ms", "--bots", "2"]);
    assert!(done.number("/bots/started") > 4, "{:#}", done.result);
    assert_eq!(done.number("/bots/alive"), 0);
}

#[test]
fn refill_bounds_how_many_are_replaced() {
    let tree = "trees: {T: done}\nrefill: {max: 2, every: 1h}\n";
    let done = run(tree, &["--duration", "1s", "--bots", "3"]);
    assert_eq!((done.number("/bots/started"), done.number("/iterations")), (5, 5));
    let often = "trees: {T: done}\nrefill: {max: 1, every: 100ms}\n";
    let done = run(often, &["--duration", "1s", "--bots", "2"]);
    let started = done.number("/bots/started");
    assert!((4..=13).contains(&started), "{started} bots for 2 and one each 100 ms");
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let tree = "trees: {T: {random: [{log: a}, {log: b}, {log: c}]}}";
    let counts = |seed: &str| {
        let done = run(tree, &["--iterations", "300", "--bots", "1", "--seed", seed]);
        ["a", "b", "c"].map(|name| done.counts(&format!("log(\"{name}\")"))[0])
    };
    let seeds = ["1", "2", "3", "4"].map(counts);
    assert_eq!(counts("1"), seeds[0]);
    assert!(seeds.iter().any(|s| *s != seeds[0]), "{seeds:?}");
    assert!(seeds.iter().all(|s| s.iter().sum::<u64>() == 300), "{seeds:?}");
}

#[test]
fn what_is_custom_is_there_for_all_bots() {
    let check = r#"check: {name: it is there, when: "custom.a.b[1] == 7 and custom.c == 'd'"}"#;
    let file = format!("trees: {{T: {{{check}}}}}\ncustom: {{a: {{b: [1, 7]}}, c: d}}\n");
    let done = run(&file, &["--iterations", "4", "--bots", "2"]);
    assert_eq!(done.counts("it is there"), [4, 0, 0, 0]);
}

#[test]
fn the_command_line_stands_above_the_file() {
    let content = "trees: {A: {log: a}, B: {sequence: [{wait: 20ms}, {log: '{{ target }}', label: b}]}}
tree: A
target: http://127.0.0.1:1
bots: 1
iterations: 1
duration: 1h
seed: 3
";
    let done = run(content, &[]);
    assert_eq!((done.counts("log(\"a\")"), done.number("/bots/started")), ([1, 0, 0, 0], 1));
    let done = run(content, &["--tree", "B", "--iterations", "30", "--bots", "4", "--duration", "30s"]);
    assert_eq!((done.counts("b"), done.number("/bots/started")), ([30, 0, 0, 0], 4));
    let project = json!({"trees": [{"id": "r", "title": "Root", "root": "n", "nodes": {
        "n": {"name": "sequence", "title": "Sequence", "children": ["a", "b"]},
        "a": {"name": "log", "title": "log(\"hello\")"}, "b": {"name": "done", "title": "done()"},
    }}]});
    let done = run(&project.to_string(), &["--iterations", "5", "--bots", "2"]);
    assert_eq!((done.counts("log(\"hello\")"), done.number("/bots/started")), ([5, 0, 0, 0], 5));
}

#[test]
fn a_run_that_is_stopped_starts_nothing() {
    let manifest = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nmetadata: {name: a}\nspec:\n  ";
    let manifest = manifest.to_owned() + GET.trim_end() + "\n  ";
    for (content, place) in
        [(format!("{GET}stop: true"), "stop"), (format!("{manifest}stop: true"), "spec.stop")]
    {
        let shop = Shop::open(&[]);
        let given = Given::new(&content);
        let done = given.run(&["--target", &shop.url(), "--bots", "3"]);
        assert_eq!((done.ended.code(), &done.result["outcome"]), (0, &json!("Passed")), "{:#?}", done.ended);
        assert_eq!((&done.result["bots"], shop.requests()), (&json!({"started": 0, "alive": 0}), 0));
        let start = format!("{}: {place}: the run is stopped", given.file);
        assert!(done.ended.stderr.starts_with(&start), "{}", done.ended.stderr);
        assert!(done.ended.stdout.contains("0 started"), "{}", done.ended.stdout);
    }
    let judged =
        Given::new(&format!("{GET}stop: true\nthresholds: [{{expect: count > 0}}]")).run(&["--demo-target"]);
    assert_eq!((judged.ended.code(), &judged.result["outcome"]), (99, &json!("Failed")));
    let done = run(&format!("{GET}stop: false"), &["--demo-target", "--iterations", "2"]);
    assert_eq!((done.number("/iterations"), done.ended.stderr.contains("stopped")), (2, false));
}

#[test]
fn what_grows_without_end_ends_its_bot_and_no_other() {
    for grow in [
        "set: {x: ['{{ x }}']}",
        "set: {x: '{{ x }}{{ x }}'}",
        "subtree: {name: T2, with: {more: '{{ x }}'}}",
    ] {
        let tree = format!(
            "
tree: T
trees:
  T2: {{set: {{x: '{{{{ more }}}}{{{{ more }}}}'}}}}
  T:
    sequence:
      - set: {{x: start}}
      - if:
          when: bot.id % 2 == 0
          then: {{log: sound}}
          else: {{repeat_n: {{times: 5000, child: {{{grow}}}}}}}
"
        );
        let done = run(&tree, &["--iterations", "20"]);
        assert_eq!(done.number("/iterations"), 20, "{grow}: {:#}", done.result);
        assert!(done.number("/bots/started") > 1, "{grow}: the bot that grew was replaced");
    }
}

#[test]
fn a_threshold_may_end_the_run() {
    let file = |delay: &str| {
        format!(
            "{GET}thresholds:
  - {{expect: p(95) < 1us, abortOnFail: true, delayAbort: {delay}}}
  - {{expect: count < 1, action: GET /catalogue}}
"
        )
    };
    let shop = Shop::open(&[]);
    let given = Given::new(&file("1500ms"));
    let done = given.run(&["--target", &shop.url(), "--duration", "1h"]);
    assert_eq!((done.ended.code(), &done.result["outcome"]), (99, &json!("Aborted")), "{:#?}", done.ended);
    assert!((1_500..20_000).contains(&done.number("/durationMs")), "{:#}", done.result);
    assert!(done.ended.stderr.contains("the run ends: p(95) < 1us does not hold"), "{}", done.ended.stderr);
    assert_eq!(done.number("/requests"), shop.requests());
    // One that fails but does not abort lets the run go on; so does one whose time has not come.
    let done = Given::new(&file("1h")).run(&["--target", &shop.url(), "--duration", "2s"]);
    assert_eq!((done.ended.code(), &done.result["outcome"]), (99, &json!("Failed")));
}
