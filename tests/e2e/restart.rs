//! An operator that is restarted goes on with its runs. Disturbs the other tests, so that it runs
//! alone.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
mod cluster;
#[path = "fire/counts.rs"]
#[allow(dead_code, reason = "the tests under fire use the rest of it")]
mod counts;

use cluster::{Namespace, kubectl};
use serde_json::{Value, json};

const ITERATIONS: u64 = 800;

fn restart_the_operator() {
    let operator = |args: &[&str]| {
        let output = kubectl(&[&["--namespace", "botarmy"], args].concat(), None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    operator(&["rollout", "restart", "deployment/botarmy-operator"]);
    operator(&["rollout", "status", "deployment/botarmy-operator", "--timeout=120s"]);
}

#[test]
fn what_bots_share_outlives_the_operator_and_no_item_is_given_out_twice() {
    const ITEMS: u64 = 300;
    let namespace = Namespace::new("restart-shared");
    let take = json!({"sequence": [
        {"select": [{"shared": {"pop": "items", "save": "item"}}, "done"]},
        {"shared": {"add": "taken {{ item }}"}},
        {"shared": {"add": "sum"}},
        {"wait": "300ms"},
    ]});
    let fill = json!({"sequence": [
        {"set": {"n": 0}},
        {"always_succeed": {"repeat_until_fail": {"sequence": [
            {"set": {"n": "{{ n + 1 }}"}},
            {"shared": {"push": "items", "value": "{{ n }}"}},
            {"if": {"when": format!("n >= {ITEMS}"), "then": {"negate": {"log": "full"}}}},
        ]}}},
    ]});
    let check = |name: &str, when: String| json!({"check": {"name": name, "when": when}});
    let each: Vec<Value> = (1..=ITEMS).map(|n| check("once", format!("shared['taken {n}'] == 1"))).collect();
    let look = json!({"sequence": [check("sum", format!("shared.sum == {ITEMS}")), {"sequence": each}]});
    let run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "shared"},
        "spec": {
            "trees": {"Take": take, "Fill": fill, "Look": look}, "tree": "Take", "bots": 8, "runners": {"count": 2},
            "iterations": ITEMS, "setup": {"tree": "Fill"}, "teardown": {"tree": "Look"},
        },
    });
    namespace.apply(&run.to_string());
    namespace.eventually("items are taken", |n| {
        (n.get("botrun/shared")["status"]["result"]["iterations"].as_u64()? > 0).then_some(())
    });
    restart_the_operator();
    let ended = namespace.wait_complete("shared");
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    let actions = ended["status"]["result"]["actions"].as_array().expect("actions");
    let of = |name: &str| {
        actions.iter().find(|a| a["name"] == name).unwrap_or_else(|| panic!("{name}: {ended:#}"))
    };
    assert_eq!((&of("once")["succeed"], &of("once")["fail"]), (&json!(ITEMS), &json!(0)), "{ended:#}");
    assert_eq!(of("sum")["succeed"], 1, "{ended:#}");
}

#[test]
fn who_waits_for_others_does_so_beyond_the_operator_and_is_counted_once() {
    let namespace = Namespace::new("restart-together");
    let alone = json!({"negate": {"barrier": {"name": "alone", "parties": 2, "timeout": "1s"}}});
    let only = |bot: u32, steps: Value| json!({"if": {"when": format!("bot.id == {bot}"), "then": {"sequence": steps}}});
    let all = json!({"barrier": {"name": "all", "parties": 6, "timeout": "10m"}});
    let late = json!({"await": {"signal": "late", "timeout": "10m"}});
    // Four wait at the barrier and one for a signal, until the last one comes: long after the operator is there again.
    let tree = json!({"sequence": [
        only(1, json!([alone, {"signal": "given"}])),
        only(5, json!([late])),
        only(6, json!([
            {"wait": 150}, alone, {"await": {"signal": "given", "timeout": "5s"}},
            {"shared": {"add": "last"}}, {"signal": "late"},
        ])),
        all,
        {"check": {"name": "the last one has come", "when": "shared.last == 1"}},
    ]});
    let run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "together"},
        "spec": {"trees": {"T": tree}, "bots": 6, "iterationsPerBot": 1, "runners": {"count": 2}},
    });
    namespace.apply(&run.to_string());
    namespace.eventually("its bots are at work", |n| {
        (n.get("botrun/together")["status"]["bots"] == 6).then_some(())
    });
    namespace.eventually("four are at the barrier", |n| {
        (n.checkpoint("together").shared.get("\u{1}barrier/all").0 == 4).then_some(())
    });
    restart_the_operator();
    let status = &namespace.get("botrun/together")["status"];
    assert_eq!(
        (&status["phase"], &status["result"]["iterations"]),
        (&json!("Running"), &json!(0)),
        "in time"
    );
    let ended = namespace.wait_complete("together");
    let result = &ended["status"]["result"];
    assert_eq!((&result["iterations"], &result["gaps"]), (&json!(6), &json!([])), "{ended:#}");
    let actions = result["actions"].as_array().expect("actions");
    for (name, succeed, fail) in [
        ("the last one has come", 6, 0),
        ("barrier(\"all\")", 6, 0),
        // Nobody is counted there who has left.
        ("barrier(\"alone\")", 0, 2),
        ("await(\"late\")", 1, 0),
    ] {
        let row = actions.iter().find(|a| a["name"] == name).unwrap_or_else(|| panic!("{name}: {ended:#}"));
        assert_eq!((&row["succeed"], &row["fail"]), (&json!(succeed), &json!(fail)), "{name}: {ended:#}");
    }
}

#[test]
fn a_run_outlives_its_operator_and_no_measure_is_lost_or_counted_twice() {
    let namespace = Namespace::new("restart");
    namespace.open_shop();
    let tree = json!({"T": {"sequence": [counts::get("long", "catalogue"), {"wait": "100ms"}]}});
    let fields = json!({"trees": tree, "pace": null, "iterations": ITERATIONS});
    namespace.apply(&counts::army("long", &fields));
    let before = namespace.eventually("measures", |n| {
        let status = &n.get("botrun/long")["status"];
        (status["result"]["iterations"].as_u64()? > 0).then(|| status["startTime"].clone())
    });
    restart_the_operator();
    assert_eq!(namespace.get("botrun/long")["status"]["phase"], "Running", "it came back in time");
    let run = namespace.wait_complete("long");
    let status = &run["status"];
    assert_eq!((&status["outcome"], &status["startTime"]), (&json!("Passed"), &before));
    assert_eq!(status["result"]["iterations"], ITERATIONS);
    let actions = status["result"]["actions"].as_array().expect("actions");
    let wait = actions.iter().find(|a| a["name"] == "wait(\"100ms\")").expect("the waits");
    assert_eq!(wait["count"], json!(ITERATIONS));
    assert_eq!(status["result"]["gaps"], json!([]));
    counts::hold(&namespace, "long", &[]);
}
