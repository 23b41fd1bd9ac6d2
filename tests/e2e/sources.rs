//! Runs take what they need from where it lies: trees and values from objects of their namespace.

use super::cluster::{Namespace, condition, reason};
use super::loads::run;
use serde_json::{Value, json};

/// A secret that is longer than what a failure tells of a value.
const LONG: &str =
    "k3y-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789";

/// Makes what a run refers to.
fn objects() -> Value {
    let trees = |name: &str, path: &str| {
        format!("trees:\n  {name}: {{http: {{get: \"{{{{ target }}}}/{path}\"}}}}\n")
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trees"}, "data": {
            "map.yaml": trees("FromMap", "catalogue"), "bad.txt": "no trees",
        }},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {
            "secret.yaml": trees("FromSecret", "cart"), "token": "s3cr3t-t0ken", "long": LONG,
        }},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken"}, "data": {
            "broken.yaml": "trees: {FromMap: {htpp: {}}, Unknown: {action: Nobody.knows}}",
        }},
    ]})
}

#[test]
fn trees_are_read_from_where_they_lie() {
    let namespace = Namespace::new("sources");
    namespace.open_shop();
    namespace.apply(&objects().to_string());
    let sources = json!([{"name": "map", "configMap": {"name": "trees"}}, {"name": "hidden", "secret": {"name": "hidden"}, "path": "secret.yaml"}]);
    let root = json!({"Root": {"sequence": [{"subtree": "FromMap"}, {"subtree": "FromSecret"}]}});
    let thresholds = json!([{"expect": "count == 4", "action": "GET /cart"}]);
    let fields = json!({"trees": root, "tree": "Root", "sources": sources, "bots": 2, "iterations": 4, "thresholds": thresholds});
    namespace.apply(&run("read", &fields));
    let ended = namespace.wait_complete("read");
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    assert_eq!(ended["status"]["result"]["requests"], 8);
    assert!(ended["status"]["sourcesDigest"].as_str().expect("a digest").starts_with("sha256:"));
    assert_eq!(condition(&ended, "Accepted").expect("Accepted").0, "True");

    let broken = json!([{"name": "map", "configMap": {"name": "broken"}}]);
    namespace.apply(&run("refused", &json!({"trees": {}, "tree": "FromMap", "sources": broken, "bots": 2})));
    let refused = namespace.wait_complete("refused");
    let (status, message) = condition(&refused, "Accepted").expect("Accepted");
    assert_eq!((status, &refused["status"]["outcome"]), ("False", &json!("Errored")), "{refused:#}");
    assert!(
        message.contains("spec.trees.FromMap: ") && message.contains("(in map/broken.yaml)"),
        "{message}"
    );
    assert_eq!(reason(&refused, "Accepted"), Some("ActionUnknown"), "{message}");
}

#[test]
fn values_from_secrets_are_used_and_never_shown() {
    const TOKEN: &str = "s3cr3t-t0ken";
    let namespace = Namespace::new("values");
    namespace.open_shop();
    namespace.apply(&objects().to_string());
    let env = json!([
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "token"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "long"}}},
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "x", "optional": true}}},
    ]);
    let tree = json!({"T": {"sequence": [
        {"log": "the token is {{ env.TOKEN }}"},
        {"http": {"get": "{{ target }}/catalogue", "headers": {"x-sender": "{{ env.TOKEN }} in {{ env.SPACE }}{{ env.NONE }}"}}},
        {"always_succeed": {"http": {"get": "http://{{ env.TOKEN }}.invalid/"}}},
        {"always_succeed": {"http": {"get": "{{ target }}/catalogue", "headers": {"x-sender": "key"}, "expect": {"json": {"$.none": "{{ env.KEY }}"}}}}},
        {"error": "no luck with {{ env.TOKEN }}"},
    ]}});
    namespace.apply(&run("values", &json!({"trees": tree, "env": env, "bots": 2, "iterations": 4})));
    let ended = namespace.wait_complete("values");
    let senders = namespace.shop_stats()["senders"].clone();
    assert_eq!(senders, json!({format!("{TOKEN} in e2e-values"): 4, "key": 4}), "it was sent");
    let errors = ended["status"]["topErrors"].to_string();
    assert!(errors.contains("the name ***.invalid cannot be resolved"), "{errors}");
    let logs = namespace.kubectl(&["logs", "-l", "botarmy.dev/run=values", "--tail=-1"]);
    let shown =
        [ended.to_string(), logs, namespace.kubectl(&["get", "configmap/values-checkpoint", "-o", "yaml"])];
    assert!(errors.contains("***…"), "what is longer than what is shown is hidden as well: {errors}");
    for text in shown {
        assert!(!text.contains(TOKEN) && !text.contains(&LONG[..8]), "{text}");
    }
}

/// A ConfigMap with one tree of this many requests.
fn changing(requests: usize) -> String {
    let get = json!({"http": {"get": "{{ target }}/catalogue"}});
    let tree = json!({"trees": {"FromMap": {"sequence": vec![get; requests]}}});
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "changing"},
        "data": {"map.yaml": tree.to_string()},
    });
    map.to_string()
}

#[test]
fn runners_that_have_read_different_trees_do_not_begin() {
    let namespace = Namespace::new("changed");
    // There is room for one of two pods, and for the other one only after the trees were changed.
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}},
    });
    namespace.apply(&quota.to_string());
    namespace.eventually("the quota holds", |n| {
        (n.get("resourcequota/few")["status"]["hard"]["pods"] == "1").then_some(())
    });
    namespace.apply(&changing(1));
    let sources = json!([{"name": "map", "configMap": {"name": "changing"}}]);
    let fields = json!({"trees": {}, "tree": "FromMap", "sources": sources, "bots": 2});
    namespace.apply(&run("split", &fields));
    let digest = namespace.eventually("the first runner has read its trees, and is alone", |n| {
        let run = n.get("botrun/split");
        let alone = reason(&run, "Running")? == "Quota";
        run["status"]["sourcesDigest"].as_str().filter(|_| alone).map(str::to_owned)
    });
    namespace.apply(&changing(2));
    namespace.kubectl(&["delete", "resourcequota/few"]);
    let ended = namespace.wait_complete("split");
    assert_eq!(ended["status"]["outcome"], "Errored", "{ended:#}");
    let (_, message) = condition(&ended, "Failed").expect("Failed");
    assert!(
        message.contains("spec.sources") && message.contains("not all runners have read the same"),
        "{message}"
    );
    assert_eq!(reason(&ended, "Failed"), Some("RunnerRefused"), "{message}");
    assert_eq!(ended["status"]["sourcesDigest"], digest, "the first one counts");
    assert_eq!(ended["status"]["result"]["bots"]["started"], 0, "no bot has begun: {ended:#}");
}
