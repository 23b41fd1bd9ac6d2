//! Everything that can be killed, cut or stopped: what is counted stays right, and nothing waits for ever. What is done to
//! the cluster itself is done one thing after another, and `pods` beside one another. Needs the cluster that
//! `tests/cluster` starts, since it reaches below Kubernetes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

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
mod pods;
mod rotation;
#[path = "../volume.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
mod volume;

use cluster::Namespace;
use counts::army;
use serde_json::Value;

/// Waits until the target has seen so many requests.
fn until_requests(namespace: &Namespace, requests: u64) {
    namespace.eventually(&format!("{requests} requests"), |n| {
        (n.shop_stats()["requests"].as_u64()? >= requests).then_some(())
    });
}

/// A run that is at work on the shop of a namespace of its own.
fn at_work(namespace: &str, run: &str, fields: &Value) -> Namespace {
    let namespace = Namespace::new(namespace);
    namespace.open_shop();
    namespace.apply(&army(run, fields));
    until_requests(&namespace, 100);
    namespace
}
