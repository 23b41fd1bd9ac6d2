//! Targets that do not answer, or answer with what is no answer: the run ends, and counts it all.

use crate::cluster::Namespace;
use crate::waiting;
use serde_json::{Value, json};

const ITERATIONS: u64 = 40;

fn visitor(target: &str) -> Value {
    json!({
        "target": target, "trees": {"T": {"sequence": [{"http": {"get": "{{ target }}/catalogue"}}, {"wait": "10ms"}]}},
        "iterations": ITERATIONS, "thresholds": [{"expect": "fail_rate < 1%"}],
    })
}

/// Runs bots against a target of which each visit must fail; the number of requests that count as sent.
fn requests_to(namespace: &Namespace, name: &str, target: &str) -> u64 {
    namespace.apply(&waiting(name, &visitor(target)));
    let run = namespace.wait_complete(name);
    let (status, result) = (&run["status"], &run["status"]["result"]);
    assert_eq!(status["outcome"], "Failed", "{name}: {status}");
    assert_eq!(status["errors"], "100.00%", "{name}: {status}");
    assert_eq!(
        (&result["iterations"], &result["total"]["count"]),
        (&json!(ITERATIONS), &json!(ITERATIONS)),
        "{name}"
    );
    assert_eq!(result["total"]["succeed"], 0, "{name}: {result}");
    assert_eq!(result["thresholds"][0]["value"], "100.00%", "{name}: {result}");
    result["requests"].as_u64().expect("requests")
}

#[test]
fn a_target_that_is_down_fails_every_visit_and_gets_no_request() {
    let namespace = Namespace::new("down");
    namespace.open_shop();
    // Nobody listens at this port of the shop's pod, so that connections to it are refused.
    let down = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "down"},
        "spec": {"selector": {"app": "target"}, "ports": [{"port": 8080, "targetPort": 9}]},
    });
    namespace.apply(&down.to_string());
    assert_eq!(requests_to(&namespace, "refused", "http://down:8080"), 0);
    assert_eq!(requests_to(&namespace, "nameless", "http://absent:8080"), 0);
}

#[test]
fn a_target_that_talks_garbage_fails_every_visit() {
    let namespace = Namespace::new("garbage");
    namespace.open_shop();
    // To somebody who speaks HTTP, a server of TLS answers with bytes that are no HTTP.
    let tls = "http://botarmy-coordinator.botarmy.svc:8443";
    assert_eq!(requests_to(&namespace, "alert", tls), ITERATIONS);
    // The other way round there is no connection on which a request could be sent.
    assert_eq!(requests_to(&namespace, "plain", "https://target:8080"), 0);
    assert_eq!(namespace.shop_stats()["requests"], 0);
}

#[test]
fn an_authority_is_trusted_that_the_template_names() {
    let namespace = Namespace::new("trusted");
    // The API server's own certificate is signed by an authority that no one else knows. Who it lets in is not the point.
    let fields = |template: Value| {
        json!({
            "target": "https://kubernetes.default.svc", "targetPolicy": "Shared", "iterations": 8, "template": template,
            "trees": {"T": {"http": {"get": "{{ target }}/version", "expect": {"status": [200, 401, 403]}}}},
        })
    };
    let authority = json!({"spec": {
        "volumes": [{"name": "authority", "configMap": {"name": "kube-root-ca.crt"}}],
        "containers": [{
            "name": "runner", "env": [{"name": "SSL_CERT_FILE", "value": "/authority/ca.crt"}],
            "volumeMounts": [{"name": "authority", "mountPath": "/authority", "readOnly": true}],
        }],
    }});
    namespace.apply(&waiting("trusting", &fields(authority)));
    namespace.apply(&waiting("strange", &fields(json!({}))));
    let ended = namespace.wait_complete("trusting");
    let result = &ended["status"]["result"];
    assert_eq!((&result["requests"], &result["total"]["succeed"]), (&json!(8), &json!(8)), "{ended:#}");
    assert!(result["parts"]["tlsUs"]["count"].as_u64() >= Some(4), "each bot has a connection: {ended:#}");
    let ended = namespace.wait_complete("strange");
    let result = &ended["status"]["result"];
    assert_eq!((&result["requests"], &result["total"]["fail"]), (&json!(0), &json!(8)), "{ended:#}");
    let failures = result["failures"].as_array().expect("failures");
    assert!(failures.len() == 1 && failures[0]["class"] == "tls", "{failures:#?}");
}
