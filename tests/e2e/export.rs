//! The result is taken to a claim and to a server, and the run is kept until then.

use super::cluster::{Namespace, condition, reason};
use super::loads::run;
use super::volume::Volume;
use super::waiting;
use serde_json::{Value, json};

const TOKEN: &str = "s3cr3t-t0ken";

/// Waits until the export of a run has ended.
fn wait_exported(n: &Namespace, run: &str) -> Value {
    n.eventually("the export has ended", |n| {
        let run = n.get(&format!("botrun/{run}"));
        (condition(&run, "Exported")?.0 != "Unknown").then_some(run)
    })
}

/// What a run's files are called, but for their suffix.
fn file_of(n: &Namespace, run: &Value) -> String {
    let text = |field: &str| run["metadata"][field].as_str().expect(field).to_owned();
    format!("{}-{}-{}", n.name(), text("name"), &text("uid")[..8])
}

/// A pod that sees the volume, to look into it.
fn open_reader(n: &Namespace, claim: &str) {
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": {
        "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "reader", "image": "localhost/botarmy:dev", "command": ["/runner", "target"],
            "securityContext": restricted, "volumeMounts": [{"name": "claim", "mountPath": "/claim", "readOnly": true}],
        }],
        "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
    }});
    n.apply(&pod.to_string());
    n.kubectl(&["wait", "--for=condition=Ready", "pod/reader", "--timeout=120s"]);
}

#[test]
fn a_result_is_taken_to_a_claim_and_to_a_server_and_no_secret_with_it() {
    let namespace = Namespace::new("export");
    namespace.open_shop();
    let volume = Volume::new(&namespace, "results");
    open_reader(&namespace, "results");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": {"token": TOKEN}});
    namespace.apply(&secret.to_string());
    let from = json!({"secretKeyRef": {"name": "store", "key": "token"}});
    let tree = json!({"T": {"sequence": [
        {"http": {"get": "{{ target }}/catalogue"}}, {"error": "no luck with {{ env.TOKEN }}"},
    ]}});
    let export = json!([
        {
            "persistentVolumeClaim": {"claimName": "results", "path": format!("{}/nightly", volume.folder())},
            "formats": ["json", "html", "junit", "csv", "text"],
        },
        {
            "http": {"url": "http://target:8080/files/", "headers": [{"name": "X-Sender", "valueFrom": from}]},
            "formats": ["json", "csv"],
        },
    ]);
    let fields = json!({
        "trees": tree, "env": [{"name": "TOKEN", "valueFrom": from}], "bots": 2, "iterations": 10, "export": export,
    });
    namespace.apply(&run("kept", &fields));
    let ended = wait_exported(&namespace, "kept");
    assert_eq!(condition(&ended, "Exported").expect("Exported").0, "True", "{ended:#}");
    assert_eq!(reason(&ended, "Complete"), Some("Passed"), "{ended:#}");
    let (told, file) = (&ended["status"]["result"], file_of(&namespace, &ended));

    let path = format!("/claim/{}/nightly/{file}.json", volume.folder());
    let read = namespace.kubectl(&["exec", "reader", "--", "/runner", "summary", &path, "--format", "json"]);
    let read: Value = serde_json::from_str(&read).expect("JSON");
    for field in ["outcome", "requests", "iterations", "total"] {
        assert_eq!(read[field], told[field], "{field}: {read:#}");
    }
    // Those of the shop, asked before the export and after: the file that was put is the file of the claim.
    let kept = |suffix: &str| {
        let path = format!(
            "/api/v1/namespaces/{}/services/target:8080/proxy/files/{file}.{suffix}",
            namespace.name()
        );
        namespace.kubectl(&["get", "--raw", &path])
    };
    assert_eq!(serde_json::from_str::<Value>(&kept("json")).expect("JSON"), read);
    assert!(kept("csv").contains("catalogue"), "{}", kept("csv"));
    let stats = namespace.shop_stats();
    assert_eq!(stats["senders"], json!({TOKEN: 2}), "the kubelet has put it into the header");
    let logs = namespace.kubectl(&["logs", "-l", "botarmy.dev/export=kept", "--tail=-1"]);
    assert!(logs.contains(&format!("{file}.xml")), "{logs}");
    for text in [kept("json"), kept("csv"), logs, ended.to_string()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    // An export that is asked for later takes the result too.
    let elsewhere = json!({"spec": {"export": [{"http": {"url": "http://target:8080/files/later"}, "formats": ["text"]}]}});
    namespace.kubectl(&["patch", "botrun/kept", "--type=merge", "-p", &elsewhere.to_string()]);
    namespace.eventually("it is there", |n| {
        let path = format!("/api/v1/namespaces/{}/services/target:8080/proxy/files/later", n.name());
        let found = n.try_kubectl(&["get", "--raw", &path], None);
        String::from_utf8_lossy(&found.stdout).contains("Passed").then_some(())
    });
}

#[test]
fn what_cannot_be_taken_is_told_and_the_run_is_deleted_only_then() {
    let namespace = Namespace::new("exportfail");
    namespace.open_shop();
    let to = |url: &str| json!([{"http": {"url": url}}]);
    // A shop that answers 500 to all: it is asked again and again, until it is well.
    let broken = json!({"spec": {"template": {"spec": {"containers": [{
        "name": "shop",
        "command": ["/runner", "target", "--listen", "0.0.0.0:8080", "--failures-per-thousand", "1000"],
    }]}}}});
    namespace.kubectl(&["patch", "deployment/target", "-p", &broken.to_string()]);
    namespace.kubectl(&["rollout", "status", "deployment/target", "--timeout=120s"]);
    let ttl = json!({"passed": 1});
    let slow =
        json!({"iterations": 4, "export": to("http://target:8080/files/"), "ttlSecondsAfterFinished": ttl});
    namespace.apply(&waiting("slow", &slow));
    // What a server does not know is told at once, as is what cannot be mounted.
    let refused = json!({
        "iterations": 4, "export": to("http://target:8080/healthz"), "ttlSecondsAfterFinished": ttl,
    });
    namespace.apply(&waiting("refused", &refused));
    let unmounted = json!([{"persistentVolumeClaim": {"claimName": "nowhere"}}]);
    namespace.apply(&waiting("unmounted", &json!({"iterations": 4, "export": unmounted})));

    let ended = wait_exported(&namespace, "refused");
    let (status, message) = condition(&ended, "Exported").expect("Exported");
    assert_eq!((status, reason(&ended, "Exported")), ("False", Some("ExportFailed")), "{ended:#}");
    assert!(message.contains("export[0]: http://target:8080/healthz: the answer is 405"), "{message}");
    assert_eq!(ended["status"]["outcome"], "Passed");
    namespace.eventually("what keeps it is told", |n| {
        let run = n.get("botrun/unmounted");
        let (status, message) = condition(&run, "Exported")?;
        (status == "Unknown" && message.contains("\"nowhere\" not found")).then_some(())
    });
    let slow = namespace.get("botrun/slow");
    assert_eq!(condition(&slow, "Exported").expect("Exported").0, "Unknown", "it is kept: {slow:#}");
    namespace.kubectl(&["rollout", "undo", "deployment/target"]);
    namespace.kubectl(&["rollout", "status", "deployment/target", "--timeout=120s"]);
    namespace.eventually_within(120, "it is there, and its time is over", |n| {
        (!n.try_kubectl(&["get", "botrun/slow"], None).status.success()).then_some(())
    });
    let events = namespace.kubectl(&["get", "events", "-o", "json"]);
    let events: Value = serde_json::from_str(&events).expect("JSON");
    let of_slow = |e: &&Value| e["involvedObject"]["name"] == "slow" && e["reason"] == "Delivered";
    assert_eq!(events["items"].as_array().expect("events").iter().filter(of_slow).count(), 1, "{events:#}");
    // The result of the other is nowhere else, however short its time is.
    let refused = namespace.get("botrun/refused");
    assert_eq!(reason(&refused, "Exported"), Some("ExportFailed"), "it is kept: {refused:#}");
    // Whoever has mended the cause asks for the same once more.
    namespace.kubectl(&["annotate", "botrun/refused", "botarmy.dev/export-again=1"]);
    namespace.eventually("it is tried again", |n| {
        let jobs = n.kubectl(&["get", "jobs", "-o", "name"]);
        let job = refused["status"]["export"]["job"].as_str()?;
        (jobs.contains("refused-export-") && !jobs.contains(job)).then_some(())
    });
}
