//! The ways in which bots come and go, over two runners: nobody is lost or doubled.

use super::cluster::Namespace;
use super::counts::{army, get as get_by};
use botarmy_report::RowKey;
use serde_json::{Value, json};

/// A run of requests to the shop, over two runners unless the fields say otherwise.
pub(crate) fn run(name: &str, fields: &Value) -> String {
    let get = get();
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name},
        "spec": {"target": "http://target:8080", "trees": {"T": get}, "runners": {"count": 2}},
    });
    for (key, value) in fields.as_object().expect("fields") {
        run["spec"][key] = value.clone();
    }
    run.to_string()
}

/// What came of a run: bots started, iterations, dropped starts.
fn counts(result: &Value) -> [u64; 3] {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    [number(&result["bots"]["started"]), number(&result["iterations"]), number(&result["dropped"])]
}

/// How long a load takes at least, in milliseconds, by what lies between its passes.
fn least_duration(name: &str) -> u64 {
    match name {
        // Three passes of each bot, a second apart.
        "paced" | "thinking" => 2_000,
        // From the first arrival to the last one, after the delay if there is one.
        "arrive" => 4_900,
        "scenarios" => 3_900,
        // The last of 40 comes when nearly nobody comes any more.
        "ramp-rate" => 3_500,
        // Arrivals are dropped to the end.
        "capped" => 1_900,
        // 40 requests at 20 a second, less the first ones.
        "rate-capped" => 1_500,
        // The first four, two at once, and two a second later.
        "refilled" => 900,
        _ => 0,
    }
}

/// What rows of a load have come to: how often this outcome.
fn rows(name: &str) -> &'static [(&'static str, &'static str, u64)] {
    match name {
        "arrive" => &[("(lateness)", "count", 100)],
        "scenarios" => &[("(lateness)", "count", 30)],
        "language" => &[
            ("wait(\"1h\")", "cancelled", 20),
            ("log(\"given up\")", "succeed", 10),
            ("check(\"level == 10\")", "succeed", 10),
            // Three attempts in each pass, though each of them goes well.
            ("GET /catalogue", "succeed", 30),
            ("PUT /files/note", "succeed", 10),
        ],
        "rows" | "rows-few" => &[("alone", "succeed", 12), ("alone", "fail", 0)],
        _ => &[],
    }
}

/// What a bot does with its row, for which this must hold: it takes the row's flag, which is free as nobody else has the
/// row, has it for a while, and gives it back.
fn of_a_row(holds: &str) -> Value {
    json!({"T": {"sequence": [
        {"shared": {"add": "{{ data.n }}", "save": "users"}},
        {"check": {"name": "alone", "when": "users == 1"}},
        {"if": {"when": holds, "then": get(), "else": {"error": "no"}}},
        {"wait": "100ms"},
        {"shared": {"add": "{{ data.n }}", "by": -1}},
        "done",
    ]}})
}

/// A load with what must come of it: bots started, iterations, dropped starts.
type Case = (&'static str, Value, [u64; 3]);

fn get() -> Value {
    json!({"http": {"get": "{{ target }}/catalogue"}})
}

/// Bots that come by a rate, beside others too.
fn arrivals() -> Vec<Case> {
    let scenarios = json!([
        {"name": "buyers", "bots": 3, "iterations": 30},
        // One of the two runners has no bot of it.
        {"name": "alone", "bots": 1, "iterations": 11},
        {"name": "visitors", "arrivalRate": "10/s", "duration": "3s", "startDelay": "1s"},
    ]);
    vec![
        ("arrive", json!({"arrivalRate": "20/s", "duration": "5s"}), [100, 100, 0]),
        (
            "ramp-rate",
            json!({"stages": [{"duration": "2s", "arrivalRate": 20}, {"duration": "2s", "arrivalRate": 0}]}),
            [40, 40, 0],
        ),
        ("scenarios", json!({"scenarios": scenarios}), [34, 71, 0]),
        (
            "capped",
            json!({"trees": {"T": {"wait": "1h"}}, "arrivalRate": "50/s", "maxBots": 2, "duration": "2s", "gracePeriod": 0}),
            [2, 0, 98],
        ),
    ]
}

/// A fixed number of bots, and what lies between their passes.
fn populations() -> Vec<Case> {
    vec![
        ("per-bot", json!({"bots": 5, "iterationsPerBot": 4}), [5, 20, 0]),
        (
            "paced",
            json!({"bots": 4, "pace": "1s", "iterations": 12, "gracePeriod": "5s", "maxRate": "500/s"}),
            [4, 12, 0],
        ),
        (
            "refilled",
            json!({"trees": {"T": "done"}, "bots": 4, "refill": {"max": 2, "every": "1s"}, "iterations": 8}),
            [8, 8, 0],
        ),
        (
            "thinking",
            json!({"bots": 4, "thinkTime": {"from": "1s", "to": "1100ms"}, "iterations": 12}),
            [4, 12, 0],
        ),
        ("rate-capped", json!({"bots": 4, "maxRate": "20/s", "iterations": 40}), [4, 40, 0]),
        (
            "rows",
            json!({"trees": of_a_row("data.n in [1, 2, 3, 4]"), "bots": 4, "iterations": 12,
                   "data": {"inline": "{\"n\": 1}\n{\"n\": 2}\n{\"n\": 3}\n{\"n\": 4}\n", "format": "JsonLines", "exhausted": "Recycle"}}),
            [12, 12, 0],
        ),
        (
            "rows-few",
            json!({"trees": of_a_row("data.n in ['1', '2']"), "bots": 4, "iterations": 12, "data": {"inline": "n\n1\n2\n", "exhausted": "Wait"}}),
            [12, 12, 0],
        ),
    ]
}

/// What trees mean, over several runners.
fn meanings() -> Vec<Case> {
    let get = get();
    let language = json!({"sequence": [
        {"set": {"id": 5}},
        {"parallel": {"succeed_on": 2, "children": [{"wait": "10ms"}, {"wait": "20ms"}, {"wait": "1h"}]}},
        {"always_succeed": {"retry": {"attempts": 3, "delay": "10ms", "child": {"always_fail": get}}}},
        {"http": {
            "method": "PUT", "url": "{{ target }}/files/note", "body": "from {{ run }}", "expect": {"status": [201, 204]},
        }},
        {"select": [{"timeout": {"after": "50ms", "child": {"wait": "1h"}}}, {"log": "given up"}]},
        {"if": {"when": "id > 3", "then": {"subtree": {"name": "Sub", "with": {"level": "{{ id * 2 }}"}}}}},
    ]});
    let sub = json!({"check": "level == 10"});
    vec![
        (
            "own-env",
            json!({"trees": {"T": {"if": {"when": "env.WHO == 'own' and env.ALL == 'all'", "then": get, "else": {"error": "no"}}}},
                   "env": [{"name": "WHO", "value": "run"}, {"name": "ALL", "value": "all"}],
                   "scenarios": [{"name": "one", "bots": 2, "iterations": 6, "env": [{"name": "WHO", "value": "own"}]}]}),
            [2, 6, 0],
        ),
        (
            "by-bots",
            json!({"bots": 4, "iterationsPerBot": 3, "runners": {"botsPerRunner": 2}, "seed": 7,
                   "custom": {"level": 2}, "trees": {"T": {"if": {"when": "custom.level == 2", "then": get, "else": {"error": "no"}}}}}),
            [4, 12, 0],
        ),
        (
            "language",
            json!({"trees": {"T": language, "Sub": sub}, "tree": "T", "bots": 2, "iterations": 10}),
            [2, 10, 0],
        ),
    ]
}

#[test]
fn every_load_is_exact_over_two_runners() {
    let namespace = Namespace::new("loads");
    namespace.open_shop();
    let loads = [arrivals(), populations(), meanings()].concat();
    for (name, fields, _) in &loads {
        namespace.apply(&run(name, fields));
    }
    let mut requests = 0;
    for (name, _, expected) in &loads {
        let ended = namespace.wait_complete(name);
        let result = &ended["status"]["result"];
        assert_eq!(ended["status"]["outcome"], "Passed", "{name}: {ended:#}");
        assert_eq!(counts(result), *expected, "{name}: {result:#}");
        assert!(result["durationMs"].as_u64() >= Some(least_duration(name)), "{name}: {result:#}");
        let total = &result["total"];
        assert_eq!(
            (&total["count"], &total["succeed"]),
            (&result["requests"], &result["requests"]),
            "{name}"
        );
        requests += result["requests"].as_u64().expect("requests");
        for (row, outcome, count) in rows(name) {
            assert_eq!(super::row(result, row)[outcome], *count, "{name}, {row}: {result:#}");
        }
    }
    assert_eq!(namespace.shop_stats()["requests"], requests);
    assert_eq!(namespace.kubectl(&["get", "--raw", &namespace.shop_path("files/note")]), "from language");
}

#[test]
fn stages_move_the_bots_and_a_warm_up_is_left_out() {
    let namespace = Namespace::new("stages");
    namespace.open_shop();
    let tree = json!({"T": {"sequence": [{"http": {"get": "{{ target }}/catalogue"}}, {"wait": "50ms"}]}});
    let stages = json!([{"duration": "4s", "bots": 10}, {"duration": "2s", "bots": 10}, {"duration": "2s", "bots": 0}]);
    namespace.apply(&run("ramped", &json!({"trees": tree, "stages": stages, "warmup": "4s"})));
    // The API server refuses to scale what has stages.
    let scaled = namespace.try_kubectl(&["scale", "botrun/ramped", "--replicas=5"], None);
    let said = String::from_utf8_lossy(&scaled.stderr).into_owned();
    assert!(!scaled.status.success() && said.contains("bots and stages exclude each other"), "{said}");
    namespace.eventually("10 bots", |n| (n.get("botrun/ramped")["status"]["bots"] == 10).then_some(()));
    let ended = namespace.wait_complete("ramped");
    let result = &ended["status"]["result"];
    let (counted, seen) = (result["requests"].as_u64(), namespace.shop_stats()["requests"].as_u64());
    assert!(counted > Some(50) && seen > counted, "{counted:?} of {seen:?}: {result:#}");
    assert_eq!(result["bots"]["started"], 10, "{result:#}");
    // The areas are 20 bot seconds in the warm-up and 30 after it, at somewhat less than 20 passes a second and bot.
    let passes =
        [&result["warmup"]["iterations"], &result["iterations"]].map(|n| n.as_u64().expect("a number"));
    assert!((80..=420).contains(&passes[0]) && (150..=620).contains(&passes[1]), "{passes:?}: {result:#}");
    let points = result["series"]["points"].as_array().expect("points");
    let bots = |second: u64| {
        let point = points.iter().find(|point| point["second"] == second);
        point
            .and_then(|point| point["bots"].as_u64())
            .unwrap_or_else(|| panic!("second {second}: {result:#}"))
    };
    // Two or three of them come in each second, and five go.
    assert!(bots(0) <= 5 && (4..=9).contains(&bots(2)) && bots(4) == 10 && bots(6) <= 8, "{result:#}");
}

#[test]
fn thresholds_are_about_groups_scenarios_and_stages_of_all_runners() {
    let namespace = Namespace::new("thresholds");
    namespace.open_shop();
    let get = |path: &str| json!({"http": {"get": format!("{{{{ target }}}}/{path}")}});
    let trees = json!({
        "Good": {"sequence": [{"label": "Shop", "sequence": [get("catalogue")]}, {"wait": "20ms"}]},
        "Bad": {"sequence": [{"label": "Shop", "sequence": [get("nowhere")]}, {"wait": "20ms"}]},
    });
    let stages = json!([{"duration": "2s", "bots": 4, "name": "up"}, {"duration": "2s", "bots": 4}]);
    let scenarios = json!([
        {"name": "good", "tree": "Good", "stages": stages},
        {"name": "bad", "tree": "Bad", "bots": 2, "duration": "4s"},
    ]);
    let thresholds = json!([
        {"expect": "fail_rate < 1%", "scenario": "good"},
        {"expect": "fail_rate < 1%", "scenario": "bad", "group": "Shop"},
        {"expect": "count > 0", "stage": "up"},
        {"expect": "count > 0", "stage": "2", "scenario": "good"},
        {"expect": "fail_rate > 99%", "action": "GET /nowhere"},
    ]);
    namespace
        .apply(&run("judged", &json!({"trees": trees, "scenarios": scenarios, "thresholds": thresholds})));
    let ended = namespace.wait_complete("judged");
    let (status, result) = (&ended["status"], &ended["status"]["result"]);
    let passed: Vec<&Value> =
        result["thresholds"].as_array().expect("thresholds").iter().map(|t| &t["passed"]).collect();
    assert_eq!(passed, [true, false, true, true, true], "{result:#}");
    assert_eq!(
        (&status["outcome"], &result["requests"]),
        (&json!("Failed"), &namespace.shop_stats()["requests"])
    );
    stages_have_their_rows(&namespace, result);
    let counts = |of: &str| -> Vec<u64> {
        result[of].as_array().expect(of).iter().map(|part| part["count"].as_u64().expect("a count")).collect()
    };
    assert_eq!(counts("scenarios").iter().sum::<u64>(), result["total"]["count"].as_u64().expect("a count"));
    assert_eq!(counts("stages").iter().sum::<u64>(), counts("scenarios")[0], "{result:#}");
}

/// The rows of a stage are in what is kept of the run, not in its status.
fn stages_have_their_rows(namespace: &Namespace, result: &Value) {
    let totals = namespace.checkpoint("judged").totals;
    for (stage, told) in (0..).zip(result["stages"].as_array().expect("stages")) {
        let here = totals.rows.iter().filter_map(|(row, of)| {
            let key = RowKey::of(row);
            let count = of.stages.get(&stage)?.latency().count();
            (of.measured && key.scenario == "good")
                .then(|| (key.name.to_owned(), key.group.to_owned(), count))
        });
        let here: Vec<(String, String, u64)> = here.collect();
        let count = told["count"].as_u64().expect("a count");
        assert_eq!(here, [("GET /catalogue".to_owned(), "Shop".to_owned(), count)], "{told:#}");
    }
}

#[test]
fn requests_under_way_at_the_end_have_the_grace_period() {
    let namespace = Namespace::new("grace");
    namespace.open_slow_shop("4s");
    for (name, grace) in [("let", "30s"), ("cut", "1s")] {
        let fields = json!({"bots": 4, "duration": "1s", "gracePeriod": grace, "targetPolicy": "Shared"});
        namespace.apply(&run(name, &fields));
    }
    for (name, succeed, cancelled, least) in [("let", 4, 0, 4_000), ("cut", 0, 4, 2_000)] {
        let ended = namespace.wait_complete(name);
        let result = &ended["status"]["result"];
        assert_eq!(
            (&result["total"]["succeed"], &result["total"]["cancelled"]),
            (&json!(succeed), &json!(cancelled)),
            "{name}: {ended:#}"
        );
        assert_eq!((&result["requests"], &result["total"]["fail"]), (&json!(4), &json!(0)), "{name}");
        assert!(result["durationMs"].as_u64() >= Some(least), "{name}: {result:#}");
    }
    assert_eq!(namespace.shop_stats()["requests"], 8);
}

#[test]
fn a_threshold_ends_the_run_on_all_runners() {
    let namespace = Namespace::new("abort");
    namespace.open_shop();
    let thresholds = json!([{"expect": "fail_rate < 50%", "abortOnFail": true, "delayAbort": "2s"}]);
    let tree = json!({"T": {"sequence": [{"wait": "50ms"}, get_by("aborted", "nowhere")]}});
    namespace.apply(&army("aborted", &json!({"trees": tree, "pace": null, "thresholds": thresholds})));
    let ended = namespace.wait_complete("aborted");
    let status = &ended["status"];
    assert_eq!((&status["outcome"], &status["phase"]), (&json!("Aborted"), &json!("Finished")), "{ended:#}");
    assert_eq!(status["runners"]["finished"], 2);
    super::hold_against_the_target(&namespace, "aborted");
    assert!(status["result"]["durationMs"].as_u64() >= Some(2_000), "not before delayAbort: {status:#}");
    assert_eq!(super::cluster::condition(&ended, "Failed").expect("Failed").0, "True");
}
