//! The certificate authority is exchanged while runners are at work.

use crate::at_work;
use crate::cluster::{Namespace, kubectl};
use crate::kills::kill_leader;
use crate::outages::ended_without_a_gap;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn of_the_operator(what: &str) -> Value {
    let output = kubectl(&["--namespace", "botarmy", "get", what, "-o", "json"], None);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What the Secret holds, by its keys.
fn kept() -> Value {
    of_the_operator("secret/botarmy-ca")["data"].clone()
}

/// How many certificates new pods of the run find.
fn handed(namespace: &Namespace, run: &str) -> usize {
    let map = namespace.get(&format!("configmap/{run}-trust"));
    map["data"]["ca.crt"].as_str().expect("certificates").matches("BEGIN CERTIFICATE").count()
}

/// What was told of the Secret.
fn reasons() -> BTreeSet<String> {
    let events = of_the_operator("events.events.k8s.io");
    let events = events["items"].as_array().expect("events").iter();
    let told = events.filter(|event| event["regarding"]["name"] == "botarmy-ca");
    told.filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect()
}

/// After each step the leader is killed, so that all runners have to connect anew.
#[test]
fn the_authority_is_exchanged_while_runners_are_at_work() {
    let namespace = at_work("rotation", "exchanged", &json!({"iterations": 9000}));
    let old = kept()["ca.crt"].clone();
    assert_eq!(handed(&namespace, "exchanged"), 1);

    let ask = ["--namespace", "botarmy", "annotate", "secret", "botarmy-ca", "botarmy.dev/rotate=now"];
    let asked = kubectl(&ask, None);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let next = namespace.eventually("a next authority", |_| {
        let next = kept()["next.crt"].clone();
        next.is_string().then_some(next)
    });
    namespace.eventually("both are handed to pods", |n| (handed(n, "exchanged") == 2).then_some(()));
    kill_leader(&namespace);

    namespace.eventually("the next one signs", |_| (kept()["ca.crt"] == next).then_some(()));
    assert_eq!(kept()["previous.crt"], old);
    kill_leader(&namespace);

    namespace
        .eventually("the old one is trusted no longer", |_| kept()["previous.crt"].is_null().then_some(()));
    namespace
        .eventually("the new one alone is handed to pods", |n| (handed(n, "exchanged") == 1).then_some(()));
    kill_leader(&namespace);

    assert_eq!(
        namespace.get("botrun/exchanged")["status"]["phase"],
        "Running",
        "it was at work all the while"
    );
    ended_without_a_gap(&namespace, "exchanged", 9000);
    let told = reasons();
    for reason in ["RotationBegun", "AuthoritySwitched", "RotationDone"] {
        assert!(told.contains(reason), "{reason}: {told:?}");
    }
}
