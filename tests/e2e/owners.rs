//! Fields have owners: the operator writes its own and leaves those of others alone, and nobody stands in its way.

use super::cluster::{Namespace, condition, kubectl};
use serde_json::{Value, json};

const OPERATOR: &str = "botarmy-operator";

/// An endless run, as a team applies it.
fn run(bots: u32) -> Value {
    json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun",
        "metadata": {"name": "owned", "labels": {"team": "shop"}, "annotations": {"example.com/ticket": "7"}},
        "spec": {"trees": {"T": {"wait": "100ms"}}, "bots": bots, "env": [{"name": "A", "value": "a"}]},
    })
}

/// Applies it on the server, without force: a conflict ends the test.
fn apply(namespace: &Namespace, manager: &str, more: &[&str], object: &Value) {
    let manager = format!("--field-manager={manager}");
    let all = [&["apply", "--server-side", &*manager, "-f", "-"], more].concat();
    let output = namespace.try_kubectl(&all, Some(&object.to_string()));
    assert!(output.status.success(), "{all:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a manager owns of an object: the subresource, and the fields as text.
fn owned(object: &Value, manager: &str) -> Vec<(String, String)> {
    let entries = object["metadata"]["managedFields"].as_array().expect("managed fields").iter();
    let own = entries.filter(|entry| entry["manager"] == manager);
    own.map(|entry| {
        let subresource = entry["subresource"].as_str().unwrap_or_default();
        (subresource.to_owned(), entry["fieldsV1"].to_string())
    })
    .collect()
}

/// With the fields' owners, which kubectl leaves out otherwise.
fn whole(namespace: &Namespace, what: &str) -> Value {
    let shown = namespace.kubectl(&["get", what, "-o", "json", "--show-managed-fields"]);
    serde_json::from_str(&shown).expect("JSON")
}

/// A condition that the operator knows nothing of.
fn audited(message: &str) -> Value {
    json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "owned"},
        "status": {"conditions": [{
            "type": "example.com/Audited", "status": "True", "reason": "Seen", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    })
}

/// What others have written is there as they wrote it.
fn assert_others_are_left_alone(namespace: &Namespace) {
    let run = namespace.get("botrun/owned");
    assert_eq!(condition(&run, "example.com/Audited"), Some(("True", "by hand")), "{run:#}");
    assert_eq!(run["metadata"]["labels"]["team"], "shop");
    assert_eq!(run["metadata"]["annotations"]["example.com/ticket"], "7");
    for what in ["job/owned", "configmap/owned-trust", "configmap/owned-checkpoint"] {
        let object = namespace.get(what);
        let (labels, annotations) = (&object["metadata"]["labels"], &object["metadata"]["annotations"]);
        assert_eq!(
            (&labels["cost"], &annotations["example.com/note"]),
            (&json!("load"), &json!("n")),
            "{what}"
        );
        assert_eq!(labels["botarmy.dev/run"], "owned", "{what}");
    }
}

#[test]
fn what_others_have_written_stays_theirs_and_what_is_the_operators_is_only_the_status() {
    let namespace = Namespace::new("owners");
    apply(&namespace, "team", &[], &run(2));
    let bots = |n: &Namespace, wanted: u64| (n.get("botrun/owned")["status"]["bots"] == wanted).then_some(());
    namespace.eventually("2 bots", |n| bots(n, 2));

    apply(&namespace, "auditor", &["--subresource=status"], &audited("by hand"));
    for what in ["job/owned", "configmap/owned-trust", "configmap/owned-checkpoint"] {
        namespace.kubectl(&["label", what, "cost=load", "--field-manager=accounting"]);
        namespace.kubectl(&["annotate", what, "example.com/note=n", "--field-manager=accounting"]);
    }
    // The spec is its team's: the operator has written nothing there that could stand in its way.
    apply(&namespace, "team", &[], &run(5));
    namespace.eventually("5 bots", |n| bots(n, 5));
    apply(&namespace, "team", &[], &run(3));
    namespace.eventually("3 bots", |n| bots(n, 3));
    // Checkpoints were written meanwhile, and are written on.
    namespace.eventually("the sum is kept", |n| {
        n.get("configmap/owned-checkpoint")["binaryData"].as_object().map(drop)
    });
    assert_others_are_left_alone(&namespace);

    let seen = whole(&namespace, "botrun/owned");
    let ours = owned(&seen, OPERATOR);
    assert!(!ours.is_empty(), "{seen:#}");
    for (subresource, fields) in &ours {
        assert_eq!(subresource, "status", "{fields}");
        let fields: Value = serde_json::from_str(fields).expect("JSON");
        let parts: Vec<&String> = fields.as_object().expect("fields").keys().collect();
        assert_eq!(parts, ["f:status"]);
    }
    let has =
        |manager: &str, part: &str| owned(&seen, manager).iter().any(|(_, fields)| fields.contains(part));
    assert!(has("auditor", "example.com/Audited") && !has(OPERATOR, "example.com/Audited"), "{seen:#}");
    assert!(has("team", "f:bots") && has(OPERATOR, r#"{\"type\":\"Running\"}"#), "{seen:#}");

    // Whoever takes what is the operator's is told so.
    let stolen = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "owned"},
        "status": {"phase": "Finished"},
    });
    let all = ["--namespace", namespace.name(), "apply", "--server-side", "--field-manager=thief"];
    let all = [&all[..], &["--subresource=status", "-f", "-"]].concat();
    let refused = kubectl(&all, Some(&stolen.to_string()));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("conflict with \"botarmy-operator\""), "{said}");

    // The last writes of a run leave it alone as well.
    namespace.kubectl(&["patch", "botrun/owned", "--type=merge", "-p", r#"{"spec":{"stop":true}}"#]);
    let ended = namespace.wait_complete("owned");
    assert_eq!(ended["status"]["outcome"], "Passed");
    assert_others_are_left_alone(&namespace);
    apply(&namespace, "auditor", &["--subresource=status"], &audited("once more"));
    let seen = namespace.eventually("the auditor's own change", |n| {
        let run = n.get("botrun/owned");
        (condition(&run, "example.com/Audited")?.1 == "once more").then_some(run)
    });
    assert_eq!(condition(&seen, "Complete").expect("Complete").0, "True");
}
