//! Runners that are lost in mid-run: another pod takes their place, and what is not known of them is named.

use super::cluster::Namespace;
use super::counts::army;
use super::hold_against_the_target;
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
    namespace.apply(&army("killed", &json!({"pace": "200ms", "iterations": 600})));
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
    hold_against_the_target(&namespace, "killed");
}

#[test]
fn a_runner_that_is_told_to_end_hands_over_and_is_replaced() {
    let namespace = Namespace::new("told");
    namespace.open_shop();
    namespace.apply(&army("told", &json!({"pace": "200ms", "iterations": 600})));
    let (pod, uid) = first_at_work(&namespace, "told");
    namespace.kubectl(&["delete", "pod", &pod, "--wait=false"]);
    let ended = namespace.wait_complete("told");
    let gap = only_gap(&ended);
    assert_eq!((&gap["podUID"], &gap["reason"]), (&json!(uid), &json!("its pod was told to end")), "{gap:#}");
    let result = &ended["status"]["result"];
    assert_eq!(result["iterations"], 600, "{result:#}");
    // It has handed over all, so that nothing is lacking.
    assert_eq!(result["requests"], namespace.shop_stats()["requests"], "nothing of it was lost");
    hold_against_the_target(&namespace, "told");
}

/// A run of three runners that take over from one another.
fn shared(name: &str, fields: &Value) -> String {
    let mut all = json!({
        "bots": null, "pace": null, "runners": {"count": 3}, "lossPolicy": "Redistribute",
    });
    for (key, value) in fields.as_object().expect("fields") {
        all[key] = value.clone();
    }
    army(name, &all)
}

/// Kills the first runner in mid-run; how the run has ended, with the one gap, in seconds.
fn lose_one_of_three(namespace: &Namespace, name: &str) -> (Value, u64) {
    let (pod, uid) = first_at_work(namespace, name);
    namespace.kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force", "--wait=false"]);
    let ended = namespace.wait_complete(name);
    let gap = only_gap(&ended);
    assert_eq!((&gap["index"], &gap["podUID"]), (&json!(0), &json!(uid)), "{gap:#}");
    let time = ["from", "until"].map(|field| gap[field].as_u64().expect("a second"));
    // Whoever has lived is counted to the last request.
    hold_against_the_target(namespace, name);
    (ended, time[1].saturating_sub(time[0]))
}

#[test]
fn the_others_take_over_the_passes_of_a_runner_that_is_killed() {
    let namespace = Namespace::new("shared");
    namespace.open_shop();
    namespace.apply(&shared("shared", &json!({"bots": 6, "pace": "100ms", "iterations": 1200})));
    let (ended, _) = lose_one_of_three(&namespace, "shared");
    assert_eq!(ended["status"]["result"]["iterations"], 1200, "{ended:#}");
    let skew = ended["status"]["startSkewMs"].as_u64().expect("a number");
    assert!(skew < 1_000, "{skew}");
    let pods = namespace.kubectl(&["get", "pods", "-l", "botarmy.dev/run=shared", "-o", "name"]);
    assert!(pods.lines().count() <= 3, "nobody takes the place: {pods}");
}

#[test]
fn what_should_have_arrived_at_a_runner_that_is_killed_arrives_at_the_others() {
    let namespace = Namespace::new("arrivals");
    namespace.open_shop();
    namespace.apply(&shared("arrivals", &json!({"arrivalRate": 30, "duration": "45s"})));
    let (ended, gap) = lose_one_of_three(&namespace, "arrivals");
    let result = &ended["status"]["result"];
    let came = result["bots"]["started"].as_u64().expect("a number");
    // A third of those that were due in the gap is missing, and nothing else.
    assert!(came <= 1350 && came + 10 * (gap + 1) >= 1350, "{came} with a gap of {gap} s: {result:#}");
    assert!(gap < 30, "others took over before the end: {result:#}");
}
