//! Everything that can be killed, cut or stopped, one thing after another: what is counted stays right, and nothing
//! waits for ever. Needs the cluster that `tests/cluster` starts, since it reaches below Kubernetes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod autoscaler;
#[cfg(feature = "chaos")]
mod chaos;
#[path = "../cluster.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
mod cluster;
mod counts;
mod kills;
mod machine;
mod nodes;
mod outages;
mod rotation;
mod tokens;

use cluster::Namespace;
use serde_json::{Value, json};

/// A run of two runners whose requests say which pod has sent them.
fn army(name: &str, fields: &Value) -> String {
    let get = json!({"http": {"get": "{{ target }}/catalogue", "headers": {"x-sender": "{{ env.POD }}"}}});
    let pod = json!({"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}});
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name},
        "spec": {
            "target": "http://target:8080", "trees": {"T": get}, "bots": 4, "runners": {"count": 2},
            "pace": "100ms", "env": [pod],
        },
    });
    for (key, value) in fields.as_object().expect("fields") {
        run["spec"][key] = value.clone();
    }
    run.to_string()
}

/// Waits until the target has seen so many requests.
fn until_requests(namespace: &Namespace, requests: u64) {
    namespace.eventually(&format!("{requests} requests"), |n| {
        (n.shop_stats()["requests"].as_u64()? >= requests).then_some(())
    });
}
