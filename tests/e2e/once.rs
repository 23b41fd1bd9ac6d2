//! Setup and teardown on a cluster: one runner, once.

use super::cluster::{Namespace, condition, reason};
use super::waiting;
use serde_json::{Value, json};

/// Setup logs in and tells a catalogue; all bots use its token; teardown checks out.
fn run(name: &str, fields: &Value) -> String {
    let bearer = json!({"Authorization": "Bearer {{ token }}"});
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name},
        "spec": {
            "target": "http://target:8080", "runners": {"count": 2}, "tree": "Buy", "bots": 4, "iterations": 40,
            "setup": {"tree": "Login"}, "teardown": {"tree": "Pay"},
            "trees": {
                "Login": {"http": {"post": "{{ target }}/login", "save": {"token": "$.token"}}},
                "Buy": {"http": {"get": "{{ target }}/cart", "headers": bearer}},
                "Pay": {"sequence": [
                    {"http": {"post": "{{ target }}/cart", "headers": bearer, "json": {"item": 1}, "expect": {"status": 201}}},
                    {"http": {"post": "{{ target }}/checkout", "headers": bearer}},
                ]},
                "Lost": {"sequence": [{"http": {"post": "{{ target }}/login", "save": {"token": "$.token"}}}, {"wait": "1h"}]},
                "Broken": {"sequence": [
                    {"http": {"post": "{{ target }}/login", "save": {"token": "$.token"}}},
                    {"http": {"get": "{{ target }}/nowhere"}},
                ]},
            },
        },
    });
    for (key, value) in fields.as_object().expect("fields") {
        run["spec"][key] = value.clone();
    }
    run.to_string()
}

#[test]
fn setup_and_teardown_are_performed_once_over_all_runners() {
    let namespace = Namespace::new("once");
    namespace.open_shop();
    namespace.apply(&run("whole", &json!({})));
    let ended = namespace.wait_complete("whole");
    let (status, stats) = (&ended["status"], namespace.shop_stats());
    assert_eq!(status["outcome"], "Passed", "{ended:#}");
    let result = &status["result"];
    assert_eq!((&result["requests"], &result["total"]["succeed"]), (&stats["requests"], &json!(40)));
    for (route, count) in [("POST /login", 1), ("GET /cart", 40), ("POST /checkout", 1)] {
        assert_eq!(stats["routes"][route], count, "{stats}");
    }
    assert_eq!(result["bots"]["started"], 4);
}

#[test]
fn a_setup_that_fails_starts_no_bot_and_is_cleaned_up_after() {
    let namespace = Namespace::new("once-failed");
    namespace.open_shop();
    namespace.apply(&run("failed", &json!({"setup": {"tree": "Broken"}})));
    let ended = namespace.wait_complete("failed");
    let status = &ended["status"];
    assert_eq!(
        (&status["outcome"], reason(&ended, "Failed")),
        (&json!("Errored"), Some("SetupFailed")),
        "{ended:#}"
    );
    let (_, message) = condition(&ended, "Failed").expect("Failed");
    assert!(message.starts_with("setup failed: GET /nowhere: "), "{message}");
    assert_eq!(status["result"]["reason"], message);
    assert_eq!(status["result"]["bots"]["started"], 0);
    assert_eq!(namespace.shop_stats()["routes"]["POST /checkout"], 1, "it had the token");
}

#[test]
fn a_setup_whose_outcome_is_lost_is_never_repeated() {
    let namespace = Namespace::new("once-lost");
    namespace.open_shop();
    namespace.apply(&run(
        "lost",
        &json!({"setup": {"tree": "Lost", "timeout": "1h"}, "teardown": {"tree": "Login"}}),
    ));
    namespace.eventually("setup has begun", |n| (n.shop_stats()["routes"]["POST /login"] == 1).then_some(()));
    // The shop sees the request before the operator has written how far the run is.
    namespace.eventually("the run says so", |n| {
        (reason(&n.get("botrun/lost"), "Running") == Some("SettingUp")).then_some(())
    });
    let first = "batch.kubernetes.io/job-completion-index=0";
    namespace.kubectl(&["delete", "pod", "-l", first, "--grace-period=0", "--force", "--wait=false"]);
    let ended = namespace.wait_complete("lost");
    assert_eq!(ended["status"]["outcome"], "Errored", "{ended:#}");
    let (_, message) = condition(&ended, "Failed").expect("Failed");
    assert!(message.contains("was lost") || message.contains("interrupted"), "{message}");
    // Once by setup, once by teardown: whoever is left cleans up.
    assert_eq!(namespace.shop_stats()["routes"]["POST /login"], 2);
}

#[test]
fn what_takes_longer_than_its_timeout_is_given_up() {
    let namespace = Namespace::new("once-late");
    let trees = json!({"T": {"wait": "100ms"}, "Hang": {"wait": "1h"}});
    let late = |part: &str| {
        let mut fields = json!({"trees": trees, "tree": "T", "iterations": 8});
        fields[part] = json!({"tree": "Hang", "timeout": "1s"});
        waiting(part, &fields)
    };
    for part in ["setup", "teardown"] {
        namespace.apply(&late(part));
    }
    for (part, failed, iterations) in [("setup", "SetupFailed", 0), ("teardown", "TeardownFailed", 8)] {
        let ended = namespace.wait_complete(part);
        let result = &ended["status"]["result"];
        assert_eq!(ended["status"]["outcome"], "Errored", "{ended:#}");
        assert_eq!(reason(&ended, "Failed"), Some(failed), "{ended:#}");
        let (_, message) = condition(&ended, "Failed").expect("Failed");
        assert!(message.starts_with(&format!("{part} took longer than its timeout of 1s")), "{message}");
        assert_eq!((&result["reason"], &result["iterations"]), (&json!(message), &json!(iterations)));
    }
}
