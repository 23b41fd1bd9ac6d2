//! Nodes that die or are emptied.

use crate::blind::hold_against_the_target;
use crate::cluster::Namespace;
use crate::machine::{Cordoned, Stopped, evict, kill_container, runner};
use crate::{army, at_work, until_requests};
use serde_json::json;

fn pods(namespace: &Namespace, run: &str, phase: &str) -> Vec<String> {
    let (which, phase) = (format!("botarmy.dev/run={run}"), format!("--field-selector=status.phase={phase}"));
    let names = namespace.kubectl(&["get", "pods", "-l", &which, &phase, "-o", "name"]);
    names.lines().map(str::to_owned).collect()
}

#[test]
fn a_runner_is_evicted_while_no_node_takes_pods() {
    let namespace = at_work("evicted", "evicted", &json!({"iterations": 600}));
    let pod = runner(&namespace, "evicted", 0);
    {
        let _cordoned = Cordoned::node();
        evict(&namespace, &pod);
        namespace.eventually("no node takes another one", |n| {
            (!pods(n, "evicted", "Pending").is_empty()).then_some(())
        });
    }
    let ended = namespace.wait_complete("evicted");
    let status = &ended["status"];
    assert_eq!(
        (&status["outcome"], &status["result"]["iterations"]),
        (&json!("Passed"), &json!(600)),
        "{ended:#}"
    );
    assert_eq!(
        status["result"]["requests"],
        namespace.shop_stats()["requests"],
        "it handed over what it had"
    );
    hold_against_the_target(&namespace, "evicted");
}

/// As a dead node looks from outside: its kubelet tells nothing any more, and what ran on it has ended. The others of
/// this one node live on, as if they were elsewhere.
#[test]
fn the_node_of_a_runner_dies() {
    let namespace = Namespace::new("deadnode");
    namespace.open_shop();
    // A node that is not ready takes its pods out of their Services, so that the target is called by its own address.
    let target =
        namespace.get("pods")["items"][0]["status"]["podIP"].as_str().expect("an address").to_owned();
    let fields = json!({"duration": "2m", "leaseSeconds": 30, "target": format!("http://{target}:8080")});
    namespace.apply(&army("deadnode", &fields));
    until_requests(&namespace, 100);
    let name = runner(&namespace, "deadnode", 1);
    let uid = {
        let _dead = Stopped::part("kubelet");
        let uid = kill_container(namespace.name(), &name);
        // Nobody but the operator takes the pod away: its kubelet cannot say that it has ended.
        namespace.eventually_within(240, "its pod is taken away", |n| {
            let gone = n.kubectl(&["get", "pod", &name, "--ignore-not-found", "-o", "name"]);
            gone.trim().is_empty().then_some(())
        });
        uid
    };
    let ended = namespace.wait_complete("deadnode");
    let status = &ended["status"];
    assert_eq!(status["outcome"], "Passed", "{ended:#}");
    let gap = &status["result"]["gaps"][0];
    assert_eq!((&gap["podUID"], &gap["index"]), (&json!(uid), &json!(1)), "{ended:#}");
    let why = gap["reason"].as_str().expect("a reason");
    assert!(why.contains("its node may be dead"), "{why}");
    assert_eq!(status["runners"]["replaced"], 1, "{ended:#}");
    hold_against_the_target(&namespace, "deadnode");
}
