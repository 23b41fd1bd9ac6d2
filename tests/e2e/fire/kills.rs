//! Processes that are killed.

use crate::blind::hold_against_the_target;
use crate::cluster::Namespace;
use crate::machine::{kill_container, leader, lease, operators, runner};
use crate::{army, at_work, until_requests};
use serde_json::{Value, json};

/// Kills the operator that leads, and waits until another epoch has begun.
pub(crate) fn kill_leader(namespace: &Namespace) {
    let (_, before) = lease();
    kill_container("botarmy", &leader());
    namespace.eventually("another epoch", |_| (lease().1 > before).then_some(()));
}

pub(crate) fn ended_well(namespace: &Namespace, run: &str, iterations: u64) -> Value {
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
fn all_operators_are_killed_at_once() {
    let namespace = at_work("operators", "goes-on", &json!({"iterations": 600}));
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
    namespace.apply(&army("both", &json!({"iterations": 800})));
    // So much that a checkpoint has some of it.
    until_requests(&namespace, 500);
    let uid = kill_container(namespace.name(), &runner(&namespace, "both", 1));
    kill_leader(&namespace);
    let ended = namespace.wait_complete("both");
    let status = &ended["status"];
    assert_eq!(status["outcome"], "Passed", "{ended:#}");
    let gap = &status["result"]["gaps"][0];
    assert_eq!((&gap["podUID"], &gap["index"]), (&json!(uid), &json!(1)), "{ended:#}");
    // What was done since the last checkpoint is not known, so that it may be done once more: never less than asked for.
    assert_eq!(status["result"]["iterations"], 800, "{ended:#}");
    hold_against_the_target(&namespace, "both");
}
