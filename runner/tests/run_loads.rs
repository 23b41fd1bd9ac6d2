//! `runner run`: the ways in which bots come and go.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, GET, Given, run};
use common::{Shop, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LOG: &str = "trees: {T: {log: here}}\n";

fn with(fields: &str, tree: &str) -> Done {
    run(&format!("{tree}{fields}\n"), &[])
}

fn millis(done: &Done) -> u64 {
    done.number("/durationMs")
}

#[test]
fn an_arrival_rate_starts_its_bots_whatever_the_target_does() {
    let shop = Shop::open(&["--latency", "700ms"]);
    let fields = format!("target: {}\narrivalRate: 50/s\nduration: 2s", shop.url());
    let done = with(&fields, GET);
    assert_eq!(done.result["bots"], json!({"started": 100, "alive": 0}));
    assert_eq!((done.number("/iterations"), done.number("/requests"), shop.requests()), (100, 100, 100));
    assert_eq!(done.number("/total/succeed"), 100);
    // The last one begins 20 ms before the end and takes its time.
    assert!((2_600..5_000).contains(&millis(&done)), "{:#}", done.result);
    assert_eq!(done.action("(lateness)")["count"], 100);
    assert!(done.result.get("dropped").is_none());
}

const TWO: &str = r#"
trees: {T: {sequence: [{http: {get: "{{ target }}/catalogue"}}, {http: {get: "{{ target }}/catalogue"}, label: second}]}}
"#;

#[test]
fn a_pass_that_the_end_comes_upon_makes_no_other_request_and_is_none() {
    let shop = Shop::open(&["--latency", "1500ms"]);
    let fields = format!("target: {}\narrivalRate: 10/s\nduration: 1s", shop.url());
    let done = with(&fields, TWO);
    // What is in flight comes to its end and counts.
    assert_eq!((done.number("/bots/started"), done.number("/requests"), shop.requests()), (10, 10, 10));
    assert_eq!((done.counts("GET /catalogue"), done.number("/total/succeed")), ([10, 0, 0, 0], 10));
    assert_eq!((done.number("/iterations"), done.counts("(iteration)")), (0, [0, 0, 0, 10]));
    let names = done.result["actions"].as_array().expect("actions").iter().map(|a| a["name"].clone());
    assert!(!names.into_iter().any(|name| name == "second"), "{:#}", done.result);
}

#[test]
fn a_bot_that_a_ramp_sends_home_makes_no_other_request() {
    let shop = Shop::open(&["--latency", "1500ms"]);
    let stages = "[{bots: 2, duration: 0}, {bots: 2, duration: 1s}, {bots: 1, duration: 0}, {bots: 1, duration: 2500ms}]";
    let done = with(&format!("target: {}\nstages: {stages}", shop.url()), TWO);
    // The younger one goes after its first request; the other one makes a pass, and begins with a second.
    assert_eq!((done.number("/bots/started"), done.number("/requests"), shop.requests()), (2, 4, 4));
    assert_eq!((done.counts("GET /catalogue"), done.counts("second")), ([3, 0, 0, 0], [1, 0, 0, 0]));
    assert_eq!((done.number("/iterations"), done.counts("(iteration)")), (1, [1, 0, 0, 2]));
}

#[test]
fn arrivals_beyond_what_is_allowed_are_dropped_and_counted() {
    let shop = Shop::open(&["--latency", "10s"]);
    let fields =
        format!("target: {}\narrivalRate: 100/s\nmaxBots: 7\nduration: 1s\ngracePeriod: 0", shop.url());
    let done = with(&fields, GET);
    assert_eq!((done.number("/bots/started"), done.number("/dropped")), (7, 93));
    assert_eq!(done.counts("GET /catalogue"), [0, 0, 0, 7]);
    assert_eq!(done.number("/requests"), 7);
}

#[test]
fn a_free_place_is_that_of_whoever_comes_next() {
    // They come a quarter of a second apart and stay for no time, so that a place is free for each, whichever worker
    // they belong to; but for a machine that stands still for so long.
    let done = with("arrivalRate: 4/s\nmaxBots: 1\nduration: 3s", LOG);
    let dropped = done.result.get("dropped").and_then(Value::as_u64).unwrap_or(0);
    assert!(done.number("/bots/started") + dropped == 12 && dropped <= 2, "{:#}", done.result);
}

#[test]
fn arrivals_can_be_independent_and_end_with_their_number() {
    let fields = "arrivalRate: 500/s\nspacing: Poisson\niterations: 300";
    let done = with(fields, LOG);
    assert_eq!(done.number("/bots/started"), 300);
    assert_eq!(done.counts("log(\"here\")"), [300, 0, 0, 0]);
    // 300 at 500 a second, give or take what chance does.
    assert!((400..1_500).contains(&millis(&done)), "{:#}", done.result);
}

#[test]
fn a_rate_that_ramps_starts_the_area_below_it() {
    let fields = "stages: [{duration: 1s, arrivalRate: 100}, {duration: 500ms, arrivalRate: 100}, {duration: 1s, arrivalRate: 0}]";
    let done = with(fields, LOG);
    assert_eq!(done.number("/bots/started"), 150);
    assert!((2_300..4_500).contains(&millis(&done)), "{:#}", done.result);
}

#[test]
fn stages_ramp_the_number_of_bots_up_and_down() {
    let tree = "trees: {T: {sequence: [{wait: 50ms}, {log: here}]}}\n";
    let done = with(
        "stages: [{duration: 1s, bots: 20}, {duration: 500ms, bots: 20}, {duration: 1s, bots: 0}]",
        tree,
    );
    assert_eq!(done.number("/bots/started"), 20, "{:#}", done.result);
    assert!((2_400..4_500).contains(&millis(&done)), "{:#}", done.result);
    // The area is 10 + 10 + 10 bot seconds, at 20 passes a second and bot.
    let passes = done.number("/iterations");
    assert!((300..=620).contains(&passes), "{passes}");
}

#[test]
fn each_bot_makes_its_passes_and_no_more() {
    let done = with("bots: 7\niterationsPerBot: 3", LOG);
    assert_eq!((done.number("/iterations"), done.number("/bots/started")), (21, 7));
    // A bot that dies before is replaced, and its successor has passes of its own.
    let tree = "trees: {T: {if: {when: 'bot.id == 1', then: {error: broken}, else: {log: here}}}}\n";
    let done = with("bots: 2\niterationsPerBot: 3", tree);
    assert_eq!((done.number("/bots/started"), done.counts("log(\"here\")")), (3, [6, 0, 0, 0]));
}

#[test]
fn a_pace_and_a_think_time_lie_between_passes() {
    let done = with("pace: 400ms\nduration: 2300ms", LOG);
    assert_eq!(done.number("/iterations"), 6, "at 0, 400, … 2000 ms: {:#}", done.result);
    let done = with("thinkTime: {from: 100ms, to: 100ms}\niterations: 5", LOG);
    assert!((400..1_500).contains(&millis(&done)), "{:#}", done.result);
    // Waiting for the next pass is cut short by the end.
    let done = with("thinkTime: {mean: 1h, max: 1h}\nduration: 300ms", LOG);
    assert!(millis(&done) < 5_000);
    assert_eq!(done.number("/iterations"), 1);
}

#[test]
fn a_run_ends_with_its_last_pass_and_not_with_a_pause() {
    for fields in ["iterations: 2\npace: 1h", "iterations: 2\nthinkTime: {from: 1h, to: 2h}"] {
        let done = with(&format!("bots: 2\n{fields}"), LOG);
        assert_eq!(done.number("/iterations"), 2, "{fields}");
    }
}

#[test]
fn bots_that_replace_none_wait_for_no_refill() {
    // One row for four bots, who come one after another.
    let data = "data: {inline: \"n\\n1\\n\", exhausted: Wait}";
    let fields = format!("bots: 4\niterationsPerBot: 1\nrefill: {{max: 1, every: 1h}}\n{data}");
    let done = with(&fields, LOG);
    assert_eq!((done.number("/bots/started"), done.number("/iterations")), (4, 4));
}

#[test]
fn a_cap_on_the_rate_holds_for_all_bots_together() {
    let shop = Shop::open(&[]);
    let done = with(&format!("target: {}\nbots: 20\nmaxRate: 50/s\nduration: 2s", shop.url()), GET);
    let requests = done.number("/requests");
    assert!((60..=104).contains(&requests), "{requests}");
    assert_eq!(requests, shop.requests());
    let p50 = done.number("/total/p50Us");
    assert!(p50 < 20_000, "waiting for the turn is no latency: {p50}");
}

#[test]
fn scenarios_run_beside_each_other() {
    let shop = Shop::open(&[]);
    let file = format!(
        "
target: {}
env: [{{name: WHO, value: all}}]
trees:
  Buy: {{sequence: [{{http: {{post: '{{{{ target }}}}/login'}}}}, {{log: '{{{{ env.WHO }}}} bought'}}, {{wait: 20ms}}]}}
  Look: {{sequence: [{{http: {{get: '{{{{ target }}}}/catalogue'}}}}, {{log: '{{{{ env.WHO }}}} looked'}}]}}
scenarios:
  - {{name: buyers, tree: Buy, bots: 3, iterations: 30}}
  - {{name: visitors, tree: Look, arrivalRate: 40/s, startDelay: 500ms, duration: 1s, env: [{{name: WHO, value: visitor}}]}}
",
        shop.url()
    );
    let done = run(&file, &[]);
    assert_eq!(done.counts("POST /login"), [30, 0, 0, 0]);
    assert_eq!(done.counts("GET /catalogue"), [40, 0, 0, 0]);
    assert_eq!((done.number("/iterations"), done.number("/requests"), shop.requests()), (70, 70, 70));
    assert!((1_450..4_000).contains(&millis(&done)), "{:#}", done.result);
    assert_eq!(done.number("/bots/started"), 43);
}

#[test]
fn a_warm_up_is_left_out() {
    let shop = Shop::open(&["--latency", "10ms"]);
    let fields = format!("target: {}\nbots: 2\nwarmup: 500ms\nduration: 1500ms", shop.url());
    let done = with(&fields, GET);
    let (counted, seen) = (done.number("/requests"), shop.requests());
    assert!(counted > 20 && seen > counted + 20, "{counted} of {seen}");
    // A request that was begun in the warm-up and ended after it is an action after it.
    assert!(done.number("/total/count").abs_diff(counted) <= 2, "{:#}", done.result);
    assert_eq!(done.number("/warmup/durationMs"), 500);
    // Rates are over the time that is left.
    let told = done.ended.stdout.lines().find_map(|line| line.strip_prefix("requests ")).expect("requests");
    let tenths = (counted * 20_000 + (millis(&done) - 500)) / ((millis(&done) - 500) * 2);
    assert!(told.contains(&format!("{counted} ({}.{}/s)", tenths / 10, tenths % 10)), "{told}");
}

#[test]
fn a_run_that_ends_in_its_warm_up_is_explained() {
    let file = "trees: {T: {http: {get: '{{ target }}/catalogue'}}}\niterations: 4\nwarmup: 1h\nthresholds: [{expect: fail_rate < 1%}]\n";
    let done = Given::new(file).run(&["--demo-target"]);
    assert_eq!((done.ended.code(), done.number("/warmup/actions")), (99, 4), "{:#}", done.result);
    let told = "warning     all of the run was warm-up, so that nothing of it is in the figures and the thresholds\n";
    assert!(done.ended.stdout.contains(told), "{}", done.ended.stdout);
}

#[test]
fn what_fails_in_the_warm_up_alone_breaks_no_threshold_and_ends_nothing() {
    // The first five passes fail, a twentieth of a second apart.
    let tree = "trees: {T: {sequence: [{shared: {add: passes, save: pass}}, {wait: 50ms}, {if: {when: 'pass <= 5', then: {http: {get: '{{ target }}/nowhere'}}, else: {http: {get: '{{ target }}/catalogue'}}}}]}}\n";
    let fields = "duration: 4s\nthresholds: [{expect: fail_rate < 1%, abortOnFail: true}]\n";
    let done = run(&format!("{tree}{fields}warmup: 2s\n"), &["--demo-target"]);
    let total = (done.number("/total/fail"), done.number("/total/error"));
    assert_eq!((total, &done.result["thresholds"][0]["passed"]), ((0, 0), &json!(true)), "{:#}", done.result);
    assert!(done.number("/warmup/actions") >= 5 && millis(&done) >= 4_000, "{:#}", done.result);
    // Without it the same ends the run.
    let done = Given::new(&format!("{tree}{fields}")).run(&["--demo-target"]);
    assert_eq!(done.result["outcome"], "Aborted", "{:#}", done.result);
}

#[test]
fn what_each_action_did_in_each_stage_is_told() {
    let stages = "stages: [{duration: 1500ms, bots: 2, name: up}, {duration: 1500ms, bots: 2}]";
    let tree = "trees: {T: {sequence: [{http: {get: '{{ target }}/catalogue'}}, {http: {get: '{{ target }}/cart'}}, {wait: 10ms}]}}\n";
    let done = run(&format!("{tree}{stages}\n"), &["--demo-target"]);
    let stages = done.result["stages"].as_array().expect("stages");
    for stage in stages {
        let counts: Vec<u64> =
            ["count", "cancelled"].iter().map(|field| stage[field].as_u64().expect("a count")).collect();
        let sums = ["count", "cancelled"].map(|field| {
            let actions = stage["actions"].as_array().expect("actions").iter();
            actions.map(|action| action[field].as_u64().expect("a count")).sum::<u64>()
        });
        assert_eq!(counts, sums, "{stage:#}");
    }
    let names = stages[1]["actions"].as_array().expect("actions").iter().map(|a| &a["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["GET /cart", "GET /catalogue"]);
}

#[test]
fn what_still_goes_on_at_the_end_has_its_grace() {
    let shop = Shop::open(&["--latency", "600ms"]);
    let run =
        |grace: &str| with(&format!("target: {}\nduration: 300ms\ngracePeriod: {grace}", shop.url()), GET);
    assert_eq!(run("10s").counts("GET /catalogue"), [1, 0, 0, 0]);
    assert_eq!(run("100ms").counts("GET /catalogue"), [0, 0, 0, 1]);
}

#[test]
fn an_iteration_of_an_arrival_is_no_shorter_than_what_it_does() {
    let shop = Shop::open(&["--latency", "20ms"]);
    let done = with(&format!("target: {}\narrivalRate: 100/s\nduration: 1s", shop.url()), GET);
    let number = |row: &str, name: &str| done.action(row)[name].as_u64().expect("a number");
    assert_eq!((number("(iteration)", "count"), number("(lateness)", "count")), (100, 100));
    assert!(number("(iteration)", "maxUs") >= number("GET /catalogue", "maxUs"));
    assert!(number("GET /catalogue", "p50Us") >= 20_000);
}

#[test]
fn names_have_the_addresses_that_the_run_gives_them() {
    let shop = Shop::open(&[]);
    let port = shop.address.port();
    let fields = format!(
        "target: http://shop.example:{port}\nhosts: [{{ip: 127.0.0.1, hostnames: [other, Shop.Example]}}]\nbots: 3\niterations: 9"
    );
    let done = with(&fields, GET);
    assert_eq!(done.counts("GET /catalogue"), [9, 0, 0, 0]);
    // The first address refuses; the other one is tried.
    let fields = format!(
        "target: http://shop.example:{port}\nhosts: [{{ip: 127.0.0.9, hostnames: [shop.example]}}, {{ip: 127.0.0.1, hostnames: [shop.example]}}]\niterations: 4"
    );
    assert_eq!(with(&fields, GET).counts("GET /catalogue"), [4, 0, 0, 0]);
}

/// Arrivals that were let in and such that were not.
fn came(done: &Done) -> u64 {
    done.number("/bots/started") + done.result.get("dropped").and_then(Value::as_u64).unwrap_or(0)
}

#[test]
fn no_arrival_is_lost_at_the_end_however_late_the_generator_is() {
    // The last ones come a millisecond before the end.
    for _ in 0..3 {
        let done = with("arrivalRate: 1000/s\nduration: 1s", LOG);
        assert_eq!(done.counts("log(\"here\")")[0], 1_000, "{:#}", done.result);
    }
    // Far more than can be done: what is not, is counted, though it takes no time to say so.
    let done = with("arrivalRate: 1000000/s\nduration: 2s\nmaxBots: 1000000", LOG);
    assert_eq!(came(&done), 2_000_000, "{:#}", done.result);
    assert!(millis(&done) < 20_000, "{:#}", done.result);
}

/// A run whose generator stands still for so long once bots have arrived.
fn stood_still(given: &Given, time: Duration) -> Done {
    let shop = Shop::open(&[]);
    let url = shop.url();
    let running = given.start(&["--target", &url]);
    until("bots arrive", || shop.requests() > 20);
    running.signal("STOP");
    let stopped = Instant::now();
    until("it has stood still for long enough", || stopped.elapsed() > time);
    running.signal("CONT");
    given.done(running.end().expect(0))
}

#[test]
fn a_generator_that_stood_still_at_the_end_hides_nothing() {
    let given =
        Given::new("trees: {T: {http: {get: '{{ target }}/catalogue'}}}\narrivalRate: 100/s\nduration: 2s\n");
    let done = stood_still(&given, Duration::from_millis(2_500));
    assert_eq!(came(&done), 200, "{:#}", done.result);
    // Those that should have come while it stood still waited for about a second, on the median.
    let slowest = done.number("/total/p95Us");
    assert!(slowest > 1_000_000, "{:#}", done.result);
}

#[test]
fn being_late_is_not_forgotten_with_a_request_that_is_given_up() {
    let slow = Shop::open(&["--latency", "10s"]);
    let given = Given::new(&format!(
        "trees: {{T: {{sequence: [{{always_succeed: {{timeout: {{after: 20ms, child: {{http: {{get: '{}/slow'}}}}}}}}}}, {{http: {{get: '{{{{ target }}}}/catalogue'}}}}]}}}}\narrivalRate: 100/s\nduration: 2s\n",
        slow.url()
    ));
    let done = stood_still(&given, Duration::from_millis(1_500));
    assert_eq!(came(&done), 200, "{:#}", done.result);
    assert!(done.action("GET /catalogue")["p95Us"].as_u64() > Some(1_000_000), "{:#}", done.result);
}

#[test]
fn a_cap_holds_for_a_bot_alone() {
    let shop = Shop::open(&[]);
    let fields = format!("target: {}\nbots: 1\nmaxRate: 40/s\nduration: 2s", shop.url());
    let done = with(&fields, GET);
    let requests = done.number("/requests");
    // 80, less what a busy machine makes of it: with a part for each worker they would be 40 at most.
    assert!((45..=82).contains(&requests), "{requests}");
}
