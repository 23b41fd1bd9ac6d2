//! Processes that are killed.

use crate::cluster::{Namespace, reason};
use crate::counts::hold_against_the_target;
use crate::machine::{kill_container, leader, lease, operators, runner};
use crate::{army, until_requests};
use serde_json::{Value, json};

/// Kills the operator that leads, and waits until another epoch has begun.
pub(crate) fn kill_leader(namespace: &Namespace) {
    let (_, before) = lease();
    kill_container("botarmy", &leader());
    namespace.eventually("another epoch", |_| (lease().1 > before).then_some(()));
}

fn ended_well(namespace: &Namespace, run: &str, iterations: u64) -> Value {
    let ended = namespace.wait_complete(run);
    let status = &ended["status"];
    assert_eq!(
        (&status["outcome"], &status["result"]["iterations"]),
        (&json!("Passed"), &json!(iterations)),
        "{ended:#}"
    );
    hold_against_the_target(namespace, run);
    ended
}

#[test]
fn the_leader_is_killed_in_each_phase() {
    let namespace = Namespace::new("leader");
    namespace.open_shop();
    // While the runners are being started.
    namespace.apply(&army("starting", &json!({"iterations": 40})));
    namespace.eventually("a Job", |n| {
        n.try_kubectl(&["get", "job/starting"], None).status.success().then_some(())
    });
    kill_leader(&namespace);
    ended_well(&namespace, "starting", 40);
    // While the bots are at work.
    namespace.apply(&army("running", &json!({"iterations": 600})));
    until_requests(&namespace, 40 + 100);
    let started = namespace.eventually("a start", |n| {
        n.get("botrun/running")["status"]["startTime"].as_str().map(str::to_owned)
    });
    kill_leader(&namespace);
    let ended = namespace.wait_complete("running");
    let status = &ended["status"];
    assert_eq!((&status["startTime"], &status["outcome"]), (&json!(started), &json!("Passed")), "{ended:#}");
    assert_eq!(status["result"]["iterations"], 600);
    assert_eq!(
        (&status["runners"]["lost"], &status["result"]["gaps"]),
        (&json!(0), &json!([])),
        "{status:#}"
    );
    // While the last measures are handed over.
    namespace.apply(&army("ending", &json!({"iterations": 100})));
    until_requests(&namespace, 40 + 600 + 100);
    kill_leader(&namespace);
    let ended = namespace.wait_complete("ending");
    assert_eq!(ended["status"]["result"]["iterations"], 100, "{ended:#}");
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    let sum: u64 = ["starting", "running", "ending"]
        .iter()
        .map(|run| {
            namespace.get(&format!("botrun/{run}"))["status"]["result"]["requests"]
                .as_u64()
                .expect("requests")
        })
        .sum();
    assert_eq!(namespace.shop_stats()["requests"], sum);
}

#[test]
fn all_operators_are_killed_at_once() {
    let namespace = Namespace::new("operators");
    namespace.open_shop();
    namespace.apply(&army("goes-on", &json!({"iterations": 600})));
    until_requests(&namespace, 100);
    let (_, before) = lease();
    for operator in operators() {
        kill_container("botarmy", &operator);
    }
    namespace.eventually("another epoch", |_| (lease().1 > before).then_some(()));
    let ended = ended_well(&namespace, "goes-on", 600);
    assert_eq!(ended["status"]["result"]["gaps"], json!([]), "{ended:#}");
}

#[test]
fn a_runner_is_killed_and_the_leader_with_it() {
    let namespace = Namespace::new("both");
    namespace.open_shop();
    namespace.apply(&army("both", &json!({"iterations": 600})));
    until_requests(&namespace, 150);
    let uid = kill_container(namespace.name(), &runner(&namespace, "both", 1));
    kill_leader(&namespace);
    let ended = namespace.wait_complete("both");
    let status = &ended["status"];
    assert_eq!(status["outcome"], "Passed", "{ended:#}");
    let gap = &status["result"]["gaps"][0];
    assert_eq!((&gap["podUID"], &gap["index"]), (&json!(uid), &json!(1)), "{ended:#}");
    // What was done since the last checkpoint is not known, so that it may be done once more: never less than asked for.
    assert_eq!(status["result"]["iterations"], 600, "{ended:#}");
    hold_against_the_target(&namespace, "both");
}

#[test]
fn a_runner_is_killed_and_the_reason_is_told() {
    let namespace = Namespace::new("runner");
    namespace.open_shop();
    namespace.apply(&army("lost", &json!({"iterations": 600})));
    until_requests(&namespace, 100);
    let uid = kill_container(namespace.name(), &runner(&namespace, "lost", 0));
    let ended = ended_well(&namespace, "lost", 600);
    let gap = &ended["status"]["result"]["gaps"][0];
    assert_eq!(gap["podUID"], uid, "{ended:#}");
    let why = gap["reason"].as_str().expect("a reason");
    assert!(why.contains("exit code 137"), "{why}");
    assert_eq!(reason(&ended, "Complete"), Some("Passed"));
}
