//! Things that stand still or cannot be reached for a while.

use crate::blind::hold_against_the_target;
use crate::cluster::Namespace;
use crate::machine::{Cut, Killed, Stopped, runner};
use crate::{army, until_requests};
use serde_json::json;
use std::time::{Duration, Instant};

/// Lets time go by: what is tried is that nothing happens in it.
pub(crate) fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(rest) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest);
    }
}

pub(crate) fn ended_without_a_gap(namespace: &Namespace, run: &str, iterations: u64) {
    let ended = namespace.wait_complete(run);
    let status = &ended["status"];
    assert_eq!(
        (&status["outcome"], &status["result"]["iterations"]),
        (&json!("Passed"), &json!(iterations)),
        "{ended:#}"
    );
    assert_eq!((&status["runners"]["lost"], &status["result"]["gaps"]), (&json!(0), &json!([])), "{ended:#}");
    hold_against_the_target(namespace, run);
}

#[test]
fn the_api_server_stands_still_for_half_a_minute() {
    let namespace = Namespace::new("apiserver");
    namespace.open_shop();
    namespace.apply(&army("api", &json!({"iterations": 1800})));
    until_requests(&namespace, 100);
    {
        let _stopped = Stopped::part("kube-apiserver");
        pass(Duration::from_secs(30));
    }
    ended_without_a_gap(&namespace, "api", 1800);
}

/// Nobody is there to connect to, all watches are cut, and what comes back knows nothing of what it knew before. The Lease
/// is over meanwhile.
#[test]
fn the_api_server_is_killed_and_started_anew() {
    let namespace = Namespace::new("apikilled");
    namespace.open_shop();
    namespace.apply(&army("killed", &json!({"iterations": 2400})));
    until_requests(&namespace, 100);
    {
        let _killed = Killed::part("kube-apiserver");
        pass(Duration::from_secs(15));
    }
    let status = namespace.get("botrun/killed")["status"].clone();
    assert_eq!(status["phase"], "Running", "{status:#}");
    // What is changed now is seen, so that the watches are there again.
    namespace.kubectl(&["scale", "botrun/killed", "--replicas=8"]);
    namespace.eventually("8 bots", |n| (n.get("botrun/killed")["status"]["bots"] == 8).then_some(()));
    ended_without_a_gap(&namespace, "killed", 2400);
}

#[test]
fn a_runner_cannot_reach_the_coordinator_for_a_minute() {
    let namespace = Namespace::new("cut");
    namespace.open_shop();
    // Both come to the end of their parts within that minute, the one that is cut off with more to tell than it may at once.
    namespace.apply(&army("cut", &json!({"iterations": 2000})));
    until_requests(&namespace, 100);
    {
        let _cut = Cut::off(&namespace, &runner(&namespace, "cut", 1));
        pass(Duration::from_secs(60));
    }
    let status = namespace.get("botrun/cut")["status"].clone();
    assert_eq!(status["phase"], "Running", "{status:#}");
    ended_without_a_gap(&namespace, "cut", 2000);
}

/// A runner is cut off for so long that it stops by itself, and another one takes its place.
#[cfg(feature = "long")]
fn cut_off_until_it_stops(run: &str, fields: &serde_json::Value, time: Duration) {
    let namespace = Namespace::new(run);
    namespace.open_shop();
    namespace.apply(&army(run, fields));
    until_requests(&namespace, 100);
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

#[cfg(feature = "long")]
#[test]
fn a_shorter_lease_is_over_sooner() {
    let fields = json!({"duration": "2m", "leaseSeconds": 30});
    cut_off_until_it_stops("short-lease", &fields, Duration::from_secs(70));
}
