//! Every runner pushes its part to a collector of OpenTelemetry: the shop stands in for one.

use super::cluster::Namespace;
use super::loads::run;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use prost::Message;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What a pod has pushed last.
struct Push(ExportMetricsServiceRequest);

impl Push {
    fn of(namespace: &Namespace, pod: &str) -> Option<Self> {
        let path = namespace.shop_path(&format!("files/metrics-{pod}"));
        let found = namespace.try_kubectl(&["get", "--raw", &path], None);
        let push = || ExportMetricsServiceRequest::decode(&*found.stdout).expect("the official format");
        found.status.success().then(push).map(Self)
    }

    fn about(&self) -> BTreeMap<String, String> {
        let attributes = &self.0.resource_metrics[0].resource.as_ref().expect("a resource").attributes;
        let text = |value: Option<Any>| match value {
            Some(Any::StringValue(text)) => text,
            other => panic!("{other:?} is no text"),
        };
        attributes
            .iter()
            .map(|a| (a.key.clone(), text(a.value.as_ref().and_then(|v| v.value.clone()))))
            .collect()
    }

    /// The sum of a counter.
    fn count(&self, name: &str) -> u64 {
        let metrics = &self.0.resource_metrics[0].scope_metrics[0].metrics;
        let Some(Data::Sum(sum)) = metrics.iter().find(|m| m.name == name).and_then(|m| m.data.as_ref())
        else {
            return 0;
        };
        let count = |value: Option<Number>| match value {
            Some(Number::AsInt(count)) => u64::try_from(count).expect("a count"),
            other => panic!("{name}: {other:?}"),
        };
        sum.data_points.iter().map(|point| count(point.value)).sum()
    }
}

/// The pods of a run.
fn pods(namespace: &Namespace, run: &str) -> Vec<String> {
    let pods = namespace.kubectl(&["get", "pods", "-l", &format!("botarmy.dev/run={run}"), "-o", "name"]);
    pods.lines().filter_map(|line| line.strip_prefix("pod/")).map(str::to_owned).collect()
}

#[test]
fn what_all_runners_push_is_what_the_result_says() {
    let namespace = Namespace::new("pushed");
    namespace.open_shop();
    let env = json!([
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://target:8080"},
        {"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "x-sender=$(POD)"},
    ]);
    let template = json!({"spec": {"containers": [{"name": "runner", "env": env}]}});
    namespace.apply(&run("pushed", &json!({"bots": 4, "iterations": 41, "template": template})));
    let ended = namespace.wait_complete("pushed");
    let result = &ended["status"]["result"];
    assert_eq!(
        (&ended["status"]["outcome"], &result["requests"]),
        (&json!("Passed"), &json!(41)),
        "{ended:#}"
    );

    let pods = pods(&namespace, "pushed");
    assert_eq!(pods.len(), 2, "{pods:?}");
    // The last push comes when the measures are handed over, and nobody waits for it.
    let sum = |pushes: &[Push], name: &str| pushes.iter().map(|push| push.count(name)).sum::<u64>();
    let pushes = namespace.eventually("all was pushed", |n| {
        let pushes: Vec<Push> = pods.iter().map(|pod| Push::of(n, pod)).collect::<Option<_>>()?;
        (sum(&pushes, "botarmy.requests") == 41).then_some(pushes)
    });
    for (name, field) in [("iterations", "iterations"), ("received", "bytesIn"), ("sent", "bytesOut")] {
        assert_eq!(result[field], sum(&pushes, &format!("botarmy.{name}")), "{name}: {result:#}");
    }
    assert_eq!(result["bots"]["started"], sum(&pushes, "botarmy.bots.started"));
    assert_eq!(result["statuses"]["200"], sum(&pushes, "botarmy.action.responses"));
    let about: Vec<BTreeMap<String, String>> = pushes.iter().map(Push::about).collect();
    let told = |key: &str| about.iter().map(|about| about[key].clone()).collect::<BTreeSet<String>>();
    let only = |text: &str| BTreeSet::from([text.to_owned()]);
    assert_eq!(told("botarmy.runner.index"), BTreeSet::from(["0", "1"].map(str::to_owned)));
    assert_eq!((told("botarmy.run"), told("k8s.namespace.name")), (only("pushed"), only(namespace.name())));
    assert_eq!(told("botarmy.run.uid"), only(ended["metadata"]["uid"].as_str().expect("a UID")));

    let stats = namespace.shop_stats();
    let pushed = stats["routes"]["POST /v1/metrics"].as_u64().expect("pushes");
    let by_pod: BTreeMap<String, u64> = serde_json::from_value(stats["senders"].clone()).expect("senders");
    assert!(pods.iter().all(|pod| by_pod.get(pod) >= Some(&1)), "{stats}");
    assert_eq!((by_pod.len(), by_pod.values().sum::<u64>()), (2, pushed), "{stats}");
    assert_eq!(stats["routes"]["GET /catalogue"], 41, "pushes are no requests of the run: {stats}");
}
