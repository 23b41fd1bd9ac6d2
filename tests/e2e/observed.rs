//! What can be seen and changed of a run while it goes on: rates, names, the bot log, the generator's health.

use super::cluster::{Namespace, condition, kubectl};
use super::loads::run;
use serde_json::{Value, json};

/// What the operators tell to Prometheus, one after the other.
fn told_by_operators() -> Option<String> {
    let operators = "app.kubernetes.io/component=operator";
    let pods = kubectl(&["--namespace", "botarmy", "get", "pods", "-l", operators, "-o", "json"], None);
    let pods: Value = serde_json::from_slice(&pods.stdout).ok()?;
    let names = pods["items"].as_array()?.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
    let told = names.map(|name| {
        let path = format!("/api/v1/namespaces/botarmy/pods/{name}:8081/proxy/metrics");
        String::from_utf8(kubectl(&["get", "--raw", &path], None).stdout).ok()
    });
    told.collect()
}

#[test]
fn another_rate_of_arrivals_takes_effect_on_all_runners() {
    let namespace = Namespace::new("rate");
    namespace.open_shop();
    namespace.apply(&run("faster", &json!({"arrivalRate": "4/s", "duration": "20s"})));
    namespace
        .eventually("it goes on", |n| (n.get("botrun/faster")["status"]["phase"] == "Running").then_some(()));
    // A scraper finds the measures at each pod.
    namespace.eventually("a pod tells its requests", |n| {
        let pods = n.get("pods");
        let pods = pods["items"].as_array()?.iter();
        let runner =
            pods.filter_map(|pod| pod["metadata"]["name"].as_str()).find(|p| p.starts_with("faster-"))?;
        let path = format!("/api/v1/namespaces/{}/pods/{runner}:9464/proxy/metrics", n.name());
        let told = n.try_kubectl(&["get", "--raw", &path], None);
        let told = String::from_utf8(told.stdout).ok()?;
        let line = told.lines().find(|line| line.starts_with("botarmy_requests_total"))?;
        (line.split(' ').next_back()?.parse::<f64>().ok()? > 0.0).then_some(())
    });
    let patch = |rate: &str| format!("{{\"spec\": {{\"arrivalRate\": \"{rate}\"}}}}");
    namespace.kubectl(&["patch", "botrun/faster", "--type=merge", "-p", &patch("60/s")]);
    // What is not a live change stays refused.
    let longer = namespace.try_kubectl(
        &["patch", "botrun/faster", "--type=merge", "-p", "{\"spec\": {\"duration\": \"1h\"}}"],
        None,
    );
    assert!(!longer.status.success());
    // The operator tells the whole, and how it came by it.
    let of_run = format!("botarmy_requests_total{{namespace=\"{}\",run=\"faster\"}} ", namespace.name());
    let samples = [
        of_run.as_str(),
        "botarmy_operator_check_ins_total{result=\"accepted\"} ",
        "botarmy_operator_checkpoint_writes_total{result=\"ok\"} ",
        "botarmy_operator_api_calls_total{result=\"ok\"} ",
        "botarmy_operator_reconciles_total{kind=\"BotRun\",result=\"ok\"} ",
        "botarmy_operator_status_writes_total ",
    ];
    namespace.eventually("the operator tells of the run and of itself", |_| {
        let told = told_by_operators()?;
        let counts = |sample: &str| {
            let mut numbers = told.lines().filter_map(|line| line.strip_prefix(sample)?.parse::<f64>().ok());
            numbers.any(|number| number > 0.0)
        };
        samples.iter().all(|sample| counts(sample)).then_some(())
    });
    let ended = namespace.wait_complete("faster");
    let result = &ended["status"]["result"];
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    assert!(condition(&ended, "SpecChanged").is_none(), "{ended:#}");
    let started = result["bots"]["started"].as_u64().expect("a number");
    // 80 at the first rate; at the second at least for a part of the time, and never beyond it.
    assert!((200..=1_200).contains(&started), "{result:#}");
    assert_eq!(
        (&result["requests"], &result["dropped"]),
        (&namespace.shop_stats()["requests"], &Value::Null)
    );
    assert_eq!(result["iterations"], started);
}

#[test]
fn all_addresses_of_a_headless_service_are_used_and_hosts_come_first() {
    let namespace = Namespace::new("names");
    namespace.open_shop();
    namespace.kubectl(&["scale", "deployment/target", "--replicas=3"]);
    namespace.kubectl(&["rollout", "status", "deployment/target", "--timeout=120s"]);
    let headless = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "headless"},
        "spec": {"clusterIP": "None", "selector": {"app": "target"}, "ports": [{"port": 8080}]},
    });
    namespace.apply(&headless.to_string());
    // Each bot has a connection of its own, and ends after one pass.
    let tree = json!({"T": {"sequence": [{"http": {"get": "{{ target }}/catalogue"}}, "done"]}});
    let spread = json!({"target": "http://headless:8080", "trees": tree, "bots": 4, "iterations": 120});
    namespace.apply(&run("spread", &spread));
    let ended = namespace.wait_complete("spread");
    assert_eq!(ended["status"]["result"]["total"]["succeed"], 120, "{ended:#}");
    let pods = namespace.get("pods");
    let pods =
        pods["items"].as_array().expect("pods").iter().filter(|p| p["metadata"]["labels"]["app"] == "target");
    let requests: Vec<u64> = pods
        .map(|pod| {
            let name = pod["metadata"]["name"].as_str().expect("a name");
            let stats = namespace.pod_stats(name);
            stats["requests"].as_u64().expect("a number")
        })
        .collect();
    assert_eq!((requests.len(), requests.iter().sum::<u64>()), (3, 120), "{requests:?}");
    // In turn, from a place of its own for each worker: nobody has far more than the others.
    assert!(requests.iter().all(|n| (30..=50).contains(n)), "{requests:?}");
    let service = namespace.get("service/target");
    let ip = service["spec"]["clusterIP"].as_str().expect("an address");
    let aliased = json!({
        "target": "http://shop.example:8080", "bots": 2, "iterations": 10,
        "hosts": [{"ip": ip, "hostnames": ["shop.example"]}],
    });
    namespace.apply(&run("aliased", &aliased));
    let ended = namespace.wait_complete("aliased");
    assert_eq!(ended["status"]["result"]["total"]["succeed"], 10, "{ended:#}");
}

#[test]
fn a_generator_that_is_starved_says_so_and_the_bot_log_is_written_where_it_is_asked_for() {
    let namespace = Namespace::new("starved");
    namespace.open_shop();
    let container = json!({
        "name": "runner", "resources": {"limits": {"cpu": "60m"}, "requests": {"cpu": "10m"}},
        "env": [{"name": "BOTARMY_LOG_FILE", "value": "/dev/stdout"}, {"name": "BOTARMY_LOG_FORMAT", "value": "json"}],
    });
    let template = json!({"spec": {"containers": [container]}});
    let fields = json!({"bots": 50, "duration": "15s", "runners": {"count": 1}, "template": template, "gracePeriod": "5s"});
    namespace.apply(&run("starved", &fields));
    let ended = namespace.wait_complete("starved");
    let (holds, message) = condition(&ended, "GeneratorSaturated").unwrap_or_else(|| panic!("{ended:#}"));
    assert!(
        holds == "True" && message.contains("figures are suspect") && message.contains("by its limit"),
        "{message}"
    );
    let generator = &ended["status"]["result"]["generator"];
    assert_eq!(generator["saturated"], true, "{generator}");
    assert!(generator["throttledMs"].as_u64() > Some(0), "{generator}");
    let log = namespace.kubectl(&["logs", "job/starved", "--tail=50"]);
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(lines.filter(|l| l["action"].is_string() && l["outcome"] == "succeed").count() > 10, "{log}");
}
