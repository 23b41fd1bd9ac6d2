//! A runner that cannot reach the coordinator for a while.

use crate::at_work;
use crate::blind::hold_against_the_target;
use crate::machine::{Cut, runner};
use crate::outages::{ended_without_a_gap, pass};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_runner_cannot_reach_the_coordinator_for_a_minute() {
    // Both come to the end of their parts within that minute, the one that is cut off with more to tell than it may at once.
    let namespace = at_work("cut", "cut", &json!({"iterations": 2000}));
    {
        let _cut = Cut::off(&namespace, &runner(&namespace, "cut", 1));
        pass(Duration::from_secs(60));
    }
    let status = namespace.get("botrun/cut")["status"].clone();
    assert_eq!(status["phase"], "Running", "{status:#}");
    ended_without_a_gap(&namespace, "cut", 2000);
    // Nor was it ever told that one was lost.
    let which = "regarding.name=cut,reason=RunnerLost";
    let told =
        namespace.kubectl(&["get", "events.v1.events.k8s.io", "--field-selector", which, "-o", "name"]);
    assert_eq!(told, "");
}

/// A runner is cut off for so long that it stops by itself, and another one takes its place.
fn cut_off_until_it_stops(run: &str, fields: &serde_json::Value, time: Duration) {
    let namespace = at_work(run, run, fields);
    let uid = {
        let name = runner(&namespace, run, 1);
        let uid = namespace.get(&format!("pod/{name}"))["metadata"]["uid"].clone();
        let _cut = Cut::off(&namespace, &name);
        pass(time);
        uid
    };
    let ended = namespace.wait_complete(run);
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    let gap = &ended["status"]["result"]["gaps"][0];
    assert_eq!(gap["podUID"], uid, "{ended:#}");
    let why = gap["reason"].as_str().expect("a reason");
    assert!(why.starts_with("CoordinatorUnreachable"), "{why}");
    hold_against_the_target(&namespace, run);
}

/// Takes five minutes, so that only `make faults` runs it.
#[cfg(feature = "long")]
#[test]
fn a_runner_that_is_cut_off_for_longer_than_its_lease_stops_by_itself() {
    // Two minutes, and a margin.
    cut_off_until_it_stops("lease", &json!({"duration": "5m"}), Duration::from_secs(170));
}

#[test]
fn a_shorter_lease_is_over_sooner() {
    let fields = json!({"duration": "2m", "leaseSeconds": 30});
    cut_off_until_it_stops("short-lease", &fields, Duration::from_secs(70));
}
