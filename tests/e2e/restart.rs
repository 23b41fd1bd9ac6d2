//! An operator that is restarted goes on with its runs. Disturbs the other tests, so that it runs
//! alone.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

// Its other users are the end-to-end tests.
#[allow(dead_code)]
mod cluster;

use cluster::{Namespace, kubectl};
use serde_json::json;

const ITERATIONS: u64 = 800;

#[test]
fn a_run_outlives_its_operator_and_no_measure_is_lost_or_counted_twice() {
    let namespace = Namespace::new("restart");
    let run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "long"},
        "spec": {"trees": {"T": {"wait": "100ms"}}, "bots": 4, "runners": {"count": 2}, "iterations": ITERATIONS},
    });
    namespace.apply(&run.to_string());
    let before = namespace.eventually("measures", |n| {
        let status = &n.get("botrun/long")["status"];
        (status["result"]["iterations"].as_u64()? > 0).then(|| status["startTime"].clone())
    });
    let operator = |args: &[&str]| {
        let output = kubectl(&[&["--namespace", "botarmy"], args].concat(), None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    operator(&["rollout", "restart", "deployment/botarmy-operator"]);
    operator(&["rollout", "status", "deployment/botarmy-operator", "--timeout=120s"]);
    assert_eq!(namespace.get("botrun/long")["status"]["phase"], "Running", "it came back in time");
    let run = namespace.wait_complete("long");
    let status = &run["status"];
    assert_eq!((&status["outcome"], &status["startTime"]), (&json!("Passed"), &before));
    assert_eq!(status["result"]["iterations"], ITERATIONS);
    let actions = status["result"]["actions"].as_array().expect("actions");
    let wait = actions.iter().find(|a| a["name"] == "wait(\"100ms\")").expect("the waits");
    assert_eq!(wait["count"], json!(ITERATIONS));
}
