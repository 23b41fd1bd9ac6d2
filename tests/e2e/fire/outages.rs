//! Things that stand still or cannot be reached for a while.

use crate::at_work;
use crate::blind::hold_against_the_target;
use crate::cluster::Namespace;
use crate::machine::{Killed, Stopped};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Lets time go by: what is tried is that nothing happens in it.
pub(crate) fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(rest) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest);
    }
}

/// What becomes of a run that has lost nobody.
fn ended_whole(namespace: &Namespace, run: &str) -> Value {
    let ended = namespace.wait_complete(run);
    let status = &ended["status"];
    assert_eq!(status["outcome"], "Passed", "{ended:#}");
    assert_eq!((&status["runners"]["lost"], &status["result"]["gaps"]), (&json!(0), &json!([])), "{ended:#}");
    hold_against_the_target(namespace, run);
    ended
}

pub(crate) fn ended_without_a_gap(namespace: &Namespace, run: &str, iterations: u64) {
    let ended = ended_whole(namespace, run);
    assert_eq!(ended["status"]["result"]["iterations"], iterations, "{ended:#}");
}

#[test]
fn the_api_server_stands_still_for_half_a_minute() {
    let namespace = at_work("apiserver", "api", &json!({"iterations": 1800}));
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
    let namespace = at_work("apikilled", "killed", &json!({"duration": "10m"}));
    {
        let _killed = Killed::part("kube-apiserver");
        pass(Duration::from_secs(15));
    }
    let status = namespace.get("botrun/killed")["status"].clone();
    assert_eq!(status["phase"], "Running", "{status:#}");
    // What is changed now is seen, so that the watches are there again.
    namespace.kubectl(&["scale", "botrun/killed", "--replicas=8"]);
    namespace.eventually("8 bots", |n| (n.get("botrun/killed")["status"]["bots"] == 8).then_some(()));
    namespace.kubectl(&["patch", "botrun/killed", "--type=merge", "--patch", r#"{"spec":{"stop":true}}"#]);
    ended_whole(&namespace, "killed");
}
