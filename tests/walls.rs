//! Who may know whom: each crate's own declared dependencies.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// The declared dependencies of each crate of the house, those of its tests left out.
fn declared() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let package = |p: &Value| {
        let dependencies = p["dependencies"].as_array().expect("dependencies").iter();
        let own = dependencies.filter(|d| d["kind"].is_null());
        let names = own.map(|d| d["name"].as_str().expect("a name").to_owned()).collect();
        (p["name"].as_str().expect("a name").to_owned(), names)
    };
    metadata["packages"].as_array().expect("packages").iter().map(package).collect()
}

const RUNTIMES: [&str; 8] = ["tokio", "futures", "hyper", "axum", "reqwest", "kube", "rustls", "async-std"];

#[test]
fn pure_crates_know_no_runtime_no_network_and_no_cluster() {
    let declared = declared();
    for name in ["botarmy-tree", "botarmy-report", "botarmy-spec", "botarmy-protocol"] {
        let dependencies = &declared[name];
        let wrong: Vec<_> = dependencies.iter().filter(|d| RUNTIMES.contains(&d.as_str())).collect();
        assert!(wrong.is_empty(), "{name} declares {wrong:?}");
    }
}

#[test]
fn the_runner_knows_no_cluster() {
    let declared = declared();
    for name in ["botarmy-runner", "botarmy-actions", "botarmy-console"] {
        let wrong: Vec<_> =
            declared[name].iter().filter(|d| d.starts_with("kube") || *d == "k8s-openapi").collect();
        assert!(wrong.is_empty(), "{name} declares {wrong:?}");
    }
}

#[test]
fn the_operator_links_no_action() {
    let wrong: Vec<_> = declared()["botarmy-operator"]
        .iter()
        .filter(|d| *d == "botarmy-actions" || *d == "botarmy-runner")
        .cloned()
        .collect();
    assert!(wrong.is_empty(), "botarmy-operator declares {wrong:?}");
}

/// All that a crate needs to be built, whoever declares it.
fn tree(name: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_kinds_enable_no_client() {
    let tree = tree("botarmy-crds");
    assert!(tree.contains("kube-core"), "the tree was read");
    assert!(!tree.contains("kube-client"), "botarmy-crds enables a client");
}

/// It is a program for a person's own machine: neither the engine nor the operator belongs there.
#[test]
fn the_plugin_knows_neither_the_engine_nor_the_operator() {
    let tree = tree("botarmy-kubectl");
    assert!(tree.contains("kube-client"), "the tree was read");
    for other in ["botarmy-runner ", "botarmy-actions ", "botarmy-operator "] {
        assert!(!tree.contains(other), "botarmy-kubectl needs {other}");
    }
}
