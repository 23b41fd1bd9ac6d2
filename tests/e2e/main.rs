//! The whole way on a real cluster: applied with kubectl, run by pods, told in the status.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod cluster;
mod corpus;
#[path = "fire/counts.rs"]
#[allow(dead_code, reason = "the tests under fire use the rest of it")]
mod counts;
mod crowd;
mod export;
mod faults;
mod input;
mod loads;
mod losses;
mod observed;
mod once;
mod operation;
mod owners;
mod plugin;
mod pushed;
mod schedules;
mod seeds;
mod sources;
mod startup;
mod template;
mod together;
#[allow(dead_code, reason = "the tests under fire use the rest of it")]
mod volume;

use cluster::{Namespace, condition, root};
use counts::{army, get};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn checkout() -> String {
    std::fs::read_to_string(root().join("examples/checkout.yaml")).expect("the example")
}

/// A run of waits, for what needs no target.
fn waiting(name: &str, spec: &Value) -> String {
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name},
        "spec": {"trees": {"T": {"wait": "100ms"}}, "bots": 4, "runners": {"count": 2}},
    });
    for (key, value) in spec.as_object().expect("fields") {
        run["spec"][key] = value.clone();
    }
    run.to_string()
}

/// A row of a result.
fn row<'v>(result: &'v Value, name: &str) -> &'v Value {
    let actions = result["actions"].as_array().expect("actions");
    actions.iter().find(|a| a["name"] == name).unwrap_or_else(|| panic!("{name}: {result:#}"))
}

/// Holds the count of each pod against the target's, where nothing was done to the operators.
fn hold_against_the_target(namespace: &Namespace, run: &str) {
    counts::hold(namespace, run, &[]);
}

#[test]
fn the_example_runs_and_its_figures_are_the_targets_own() {
    let namespace = Namespace::new("example");
    namespace.open_shop();
    namespace.apply(&checkout());
    namespace.eventually("bots at work", |n| {
        (n.get("botrun/checkout")["status"]["phase"] == "Running").then_some(())
    });
    let run = namespace.wait_complete("checkout");
    let status = &run["status"];
    assert_eq!((&status["phase"], &status["outcome"]), (&json!("Finished"), &json!("Passed")));
    assert_eq!(status["runners"], json!({"desired": 2, "ready": 2, "finished": 2, "lost": 0, "replaced": 0}));
    assert_eq!(condition(&run, "Accepted").expect("Accepted").0, "True");
    assert!(condition(&run, "Failed").is_none());

    let stats = namespace.shop_stats();
    let result = &status["result"];
    assert_eq!(result["requests"], stats["requests"]);
    assert!(result["requests"].as_u64().expect("requests") > 1000, "{result}");
    let count = |name: &str| row(result, name)["count"].clone();
    assert_eq!(count("POST /checkout"), stats["routes"]["POST /checkout"]);
    assert_eq!(count("Put into cart"), stats["routes"]["POST /cart"]);
    each_request_is_measured(result);

    // The histograms that are stored give the same percentile as the status tells.
    let totals = namespace.checkpoint("checkout").totals;
    assert_eq!(totals.total().latency().quantile(0.95), result["total"]["p95Us"].as_u64());
    assert_eq!(totals.requests, result["requests"].as_u64().expect("requests"));

    // Runners leave by themselves once their measures are safe.
    namespace.eventually("the Job is complete", |n| {
        let job = n.get("job/checkout");
        (job["status"]["succeeded"] == 2).then_some(())
    });
}

/// What is told of requests adds up to their number, over both pods.
fn each_request_is_measured(result: &Value) {
    let requests = result["requests"].as_u64().expect("requests");
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    assert_eq!(result["total"]["cancelled"], 0, "each has come to its end: {result:#}");
    let statuses = result["statuses"].as_object().expect("statuses");
    assert_eq!(statuses.values().map(number).sum::<u64>(), requests, "{statuses:?}");
    assert_eq!(statuses["201"], row(result, "Put into cart")["succeed"], "{statuses:?}");
    // An answer has a head of some length, and a request too.
    for bytes in ["bytesIn", "bytesOut"] {
        assert!(number(&result[bytes]) > 30 * requests, "{bytes}: {result:#}");
    }
    let parts = &result["parts"];
    let (connect, first_byte) = (number(&parts["connectUs"]["count"]), &parts["firstByteUs"]);
    // Each bot keeps its connection.
    assert!((20..requests / 2).contains(&connect), "{parts:#}");
    assert!(number(&parts["dnsUs"]["count"]) > 0, "{parts:#}");
    assert_eq!(first_byte["count"], requests, "{parts:#}");
    assert!((1..=number(&result["total"]["maxUs"])).contains(&number(&first_byte["p50Us"])), "{parts:#}");

    let series = &result["series"];
    let points = series["points"].as_array().expect("points");
    let sum = |field: &str| points.iter().map(|point| number(&point[field])).sum::<u64>();
    assert!((8..=30).contains(&points.len()), "30 s, in steps that double: {series:#}");
    let total = &result["total"];
    assert_eq!((sum("requests"), sum("actions")), (requests, number(&total["count"])));
    assert_eq!(sum("failures"), number(&total["count"]) - number(&total["succeed"]));
    assert_eq!(
        (sum("iterations"), sum("bytesIn")),
        (number(&result["iterations"]), number(&result["bytesIn"]))
    );
    assert_eq!(points.iter().map(|point| number(&point["bots"])).max(), Some(20), "{series:#}");
}

#[test]
fn bots_are_scaled_and_stopped_while_they_work() {
    let namespace = Namespace::new("scale");
    namespace.apply(&waiting("live", &json!({})));
    let bots = |n: &Namespace, wanted: u64| (n.get("botrun/live")["status"]["bots"] == wanted).then_some(());
    namespace.eventually("4 bots", |n| bots(n, 4));
    namespace.kubectl(&["scale", "botrun/live", "--replicas=9"]);
    namespace.eventually("9 bots", |n| bots(n, 9));
    namespace.kubectl(&["scale", "botrun/live", "--replicas=3"]);
    namespace.eventually("3 bots", |n| bots(n, 3));
    namespace.kubectl(&["patch", "botrun/live", "--type=merge", "--patch", r#"{"spec":{"stop":true}}"#]);
    let run = namespace.wait_complete("live");
    assert_eq!(run["status"]["outcome"], "Passed");
    assert_eq!(run["status"]["bots"], 0);
}

#[test]
fn iterations_are_exact_over_two_runners() {
    let namespace = Namespace::new("iterations");
    namespace.apply(&waiting("counted", &json!({"iterations": 77})));
    let run = namespace.wait_complete("counted");
    assert_eq!(run["status"]["result"]["iterations"], 77);
}

#[test]
fn a_threshold_that_fails_fails_the_run_with_its_value() {
    let namespace = Namespace::new("threshold");
    namespace.open_shop();
    let thresholds =
        json!([{"expect": "p(95) < 1ms", "action": "wait"}, {"expect": "count < 1", "action": "wait"}]);
    let tree = json!({"T": {"sequence": [get("slow", "catalogue"), {"wait": "100ms"}]}});
    namespace.apply(&army("slow", &json!({"trees": tree, "iterations": 20, "thresholds": thresholds})));
    let run = namespace.wait_complete("slow");
    assert_eq!(run["status"]["outcome"], "Failed");
    assert_eq!(condition(&run, "Failed").expect("Failed").0, "True");
    let judged = &run["status"]["result"]["thresholds"];
    assert_eq!(judged[1]["value"], "20");
    assert!(judged[0]["value"].as_str().expect("a value").ends_with("ms"), "{judged}");
    assert!(condition(&run, "Complete").expect("Complete").1.contains("count < 1 is 20"));
    hold_against_the_target(&namespace, "slow");
}

#[test]
fn a_deleted_run_leaves_nothing_behind() {
    let namespace = Namespace::new("deleted");
    namespace.apply(&waiting("gone", &json!({})));
    namespace
        .eventually("bots at work", |n| (n.get("botrun/gone")["status"]["phase"] == "Running").then_some(()));
    let deleted = Instant::now();
    namespace.kubectl(&["delete", "botrun/gone"]);
    namespace.eventually("nothing is left", |n| {
        let left = n.kubectl(&["get", "botruns,jobs,pods,configmaps", "-o", "name", "--ignore-not-found"]);
        let left: Vec<&str> = left.lines().filter(|l| !l.contains("kube-root-ca.crt")).collect();
        left.is_empty().then_some(())
    });
    assert!(
        deleted.elapsed() < Duration::from_secs(45),
        "runners leave by themselves, before they are killed"
    );
}
