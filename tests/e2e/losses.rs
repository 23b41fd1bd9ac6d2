//! Runners that are lost in mid-run: another pod takes their place, and what is not known of them is named.

use super::cluster::Namespace;
use super::loads::run;
use serde_json::{Value, json};

/// The pod of the first runner, with its UID, once its bots have done something.
fn first_at_work(namespace: &Namespace, run: &str) -> (String, String) {
    namespace.eventually("its bots are at work", |n| {
        let requests = n.get(&format!("botrun/{run}"))["status"]["result"]["requests"].as_u64()?;
        (requests > 20).then_some(())
    });
    let first = "batch.kubernetes.io/job-completion-index=0";
    let pods: Value =
        serde_json::from_str(&namespace.kubectl(&["get", "pods", "-l", first, "-o", "json"])).expect("JSON");
    let metadata = &pods["items"][0]["metadata"];
    let text = |field: &str| metadata[field].as_str().expect("text").to_owned();
    (text("name"), text("uid"))
}

/// The one gap of a run that has ended, after both runners were counted.
fn only_gap(ended: &Value) -> Value {
    let status = &ended["status"];
    assert_eq!(status["outcome"], "Passed", "{ended:#}");
    assert_eq!(
        (&status["runners"]["lost"], &status["runners"]["replaced"]),
        (&json!(1), &json!(1)),
        "{status:#}"
    );
    let gaps = status["result"]["gaps"].as_array().expect("gaps");
    assert_eq!(gaps.len(), 1, "{gaps:#?}");
    gaps[0].clone()
}

#[test]
fn a_runner_that_is_killed_is_replaced_and_its_gap_is_named() {
    let namespace = Namespace::new("killed");
    namespace.open_shop();
    namespace.apply(&run("killed", &json!({"bots": 4, "pace": "200ms", "iterations": 600})));
    let (pod, uid) = first_at_work(&namespace, "killed");
    // Ends the process at once, as the kernel does when memory is short.
    namespace.kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force", "--wait=false"]);
    let ended = namespace.wait_complete("killed");
    let gap = only_gap(&ended);
    assert_eq!((&gap["index"], &gap["podUID"], &gap["bots"]), (&json!(0), &json!(uid), &json!(2)), "{gap:#}");
    let time = ["from", "until"].map(|field| gap[field].as_u64().expect("a second"));
    assert!(time[0] < time[1], "{gap:#}");
    // What is left of its share is done by who took its place: no pass is missing, none is counted twice.
    let result = &ended["status"]["result"];
    assert_eq!(result["iterations"], 600, "{result:#}");
    let (counted, seen) = (result["requests"].as_u64(), namespace.shop_stats()["requests"].as_u64());
    // Two bots make ten requests a second; a report comes each second.
    assert!(seen >= counted && seen <= counted.map(|n| n + 40), "{counted:?} of {seen:?}");
}

#[test]
fn a_runner_that_is_told_to_end_hands_over_and_is_replaced() {
    let namespace = Namespace::new("told");
    namespace.open_shop();
    namespace.apply(&run("told", &json!({"bots": 4, "pace": "200ms", "iterations": 600})));
    let (pod, uid) = first_at_work(&namespace, "told");
    namespace.kubectl(&["delete", "pod", &pod, "--wait=false"]);
    let ended = namespace.wait_complete("told");
    let gap = only_gap(&ended);
    assert_eq!((&gap["podUID"], &gap["reason"]), (&json!(uid), &json!("its pod was told to end")), "{gap:#}");
    let result = &ended["status"]["result"];
    assert_eq!(result["iterations"], 600, "{result:#}");
    assert_eq!(result["requests"], namespace.shop_stats()["requests"], "nothing of it was lost");
}
