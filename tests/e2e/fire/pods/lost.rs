//! Runners that end before their time, each with its reason.

use crate::blind::hold_against_the_target;
use crate::cluster::{Namespace, reason};
use crate::counts::get;
use crate::kills::ended_well;
use crate::machine::{kill_container, runner};
use crate::{army, at_work, until_requests};
use serde_json::{Value, json};

#[test]
fn a_runner_is_killed_and_the_reason_is_told() {
    let namespace = at_work("runner", "lost", &json!({"iterations": 600}));
    let uid = kill_container(namespace.name(), &runner(&namespace, "lost", 0));
    let ended = ended_well(&namespace, "lost", 600);
    let gap = &ended["status"]["result"]["gaps"][0];
    assert_eq!(gap["podUID"], uid, "{ended:#}");
    let why = gap["reason"].as_str().expect("a reason");
    assert!(why.contains("exit code 137"), "{why}");
    assert_eq!(reason(&ended, "Complete"), Some("Passed"));
}

/// The reasons of a run's gaps.
fn whys(run: &Value) -> Vec<String> {
    let gaps = run["status"]["result"]["gaps"].as_array().into_iter().flatten();
    gaps.filter_map(|gap| gap["reason"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_runner_needs_more_memory_than_it_may_have() {
    let namespace = Namespace::new("memory");
    namespace.open_shop();
    // Four bots are at work; all the others stand and wait, and there will be too many of them.
    let tree =
        json!({"if": {"when": "bot.id <= 4", "then": get("memory", "catalogue"), "else": {"wait": "10m"}}});
    let container = json!({"name": "runner", "resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "48Mi"}}});
    let fields = json!({
        "trees": {"T": tree}, "duration": "90s", "template": {"spec": {"containers": [container]}},
    });
    namespace.apply(&army("memory", &fields));
    until_requests(&namespace, 50);
    let scale = |bots: u32| {
        namespace.kubectl(&["scale", "botrun/memory", &format!("--replicas={bots}")]);
    };
    scale(400_000);
    namespace.eventually("it is told that memory was lacking", |n| {
        let run = n.get("botrun/memory");
        let told = reason(&run, "Running") == Some("OOMKilled")
            || whys(&run).iter().any(|why| why.contains("OOMKilled"));
        told.then_some(())
    });
    scale(4);
    let ended = namespace.wait_complete("memory");
    assert!(whys(&ended).iter().any(|why| why.contains("OOMKilled")), "{ended:#}");
    hold_against_the_target(&namespace, "memory");
}
