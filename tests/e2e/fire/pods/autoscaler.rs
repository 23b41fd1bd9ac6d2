//! A `HorizontalPodAutoscaler` scales the bots of a live run, by a metric that this test tells.

mod metrics_api;

use crate::army;
use crate::cluster::Namespace;
use metrics_api::MetricsApi;
use serde_json::{Value, json};

const METRIC: &str = "orders_expected";

/// As docs/cluster.md shows it: so many of the metric for each bot.
fn autoscaler(run: &str) -> Value {
    // As fast as it can: its defaults are made for pods, and would double the bots at most and wait for five minutes.
    let fast = json!({
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 1000, "periodSeconds": 15}],
    });
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": run},
        "spec": {
            "scaleTargetRef": {"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "name": run},
            "minReplicas": 1, "maxReplicas": 50,
            "metrics": [{"type": "External", "external": {
                "metric": {"name": METRIC}, "target": {"type": "AverageValue", "averageValue": "10"},
            }}],
            "behavior": {"scaleUp": fast, "scaleDown": fast},
        },
    })
}

#[test]
fn an_autoscaler_sets_the_bots_of_a_live_run_by_an_external_metric() {
    let namespace = Namespace::new("autoscaler");
    namespace.apply(&army("scaled", &json!({"trees": {"T": {"wait": "100ms"}}, "bots": 5})));
    let bots = |n: &Namespace, wanted: u64| {
        let run = n.get("botrun/scaled");
        (run["status"]["bots"] == wanted && run["spec"]["bots"] == wanted).then_some(run)
    };
    namespace.eventually("5 bots", |n| bots(n, 5));

    // What an autoscaler sees of the run: bots as replicas, and the runners by the selector.
    let path = format!("/apis/botarmy.dev/v1alpha1/namespaces/{}/botruns/scaled/scale", namespace.name());
    let scale: Value = serde_json::from_str(&namespace.kubectl(&["get", "--raw", &path])).expect("JSON");
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(5), &json!(5)));
    let selector = scale["status"]["selector"].as_str().expect("a selector");
    let pods = || namespace.kubectl(&["get", "pods", "-l", selector, "-o", "name"]);
    let runners = pods();
    assert_eq!(runners.lines().count(), 2, "{selector}: {runners}");

    // 120 at 10 a bot. One that multiplied the two runners would come to a few bots.
    let told = MetricsApi::serve(&namespace, METRIC, 120);
    namespace.apply(&autoscaler("scaled").to_string());
    namespace.eventually("more bots", |n| bots(n, 12));
    told.tell(30);
    let run = namespace.eventually("fewer bots", |n| bots(n, 3));
    assert_eq!((&run["status"]["phase"], run["status"]["outcome"].is_null()), (&json!("Running"), true));
    assert_eq!(pods(), runners, "live: no pod was replaced");
    let active = namespace.eventually("the autoscaler is at rest", |n| {
        let seen = n.get("horizontalpodautoscaler/scaled");
        (seen["status"]["currentReplicas"] == 3 && seen["status"]["desiredReplicas"] == 3).then_some(seen)
    });
    let conditions = active["status"]["conditions"].as_array().expect("conditions");
    let is_active = |c: &Value| c["type"] == "ScalingActive" && c["status"] == "True";
    assert!(conditions.iter().any(is_active), "{conditions:#?}");
}
