//! Everything that can be killed, cut or stopped, one thing after another: what is counted stays right, and nothing
//! waits for ever. Needs the cluster that `tests/cluster` starts, since it reaches below Kubernetes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod autoscaler;
mod blind;
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
mod phases;
mod rotation;
mod sources;
mod tokens;
#[path = "../volume.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
mod volume;

use cluster::Namespace;
use counts::army;

/// Waits until the target has seen so many requests.
fn until_requests(namespace: &Namespace, requests: u64) {
    namespace.eventually(&format!("{requests} requests"), |n| {
        (n.shop_stats()["requests"].as_u64()? >= requests).then_some(())
    });
}
