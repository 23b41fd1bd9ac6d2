//! How runs are operated: they wait for one another, stand still, end in time, go when they are over, and take what
//! they need from where it lies.

use super::cluster::{Namespace, condition, reason};
use super::loads::run;
use super::waiting;
use serde_json::{Value, json};

fn is_running(n: &Namespace, run: &str) -> Option<()> {
    (reason(&n.get(&format!("botrun/{run}")), "Running")? == "BotsAtWork").then_some(())
}

#[test]
fn runs_of_one_target_wait_for_one_another() {
    let namespace = Namespace::new("queue");
    namespace.open_shop();
    namespace.apply(&run("first", &json!({"bots": 2, "pace": "200ms"})));
    namespace.eventually("the first one is at work", |n| is_running(n, "first"));
    // However the target is written.
    let same = json!({"target": "http://target.e2e-queue.svc:8080", "bots": 2, "iterations": 4});
    namespace.apply(&run("second", &same));
    namespace.eventually("the second one waits", |n| {
        let run = n.get("botrun/second");
        let (_, message) = condition(&run, "Running")?;
        (reason(&run, "Running")? == "Queued" && message.contains("e2e-queue/first")).then_some(())
    });
    assert!(!namespace.try_kubectl(&["get", "job/second"], None).status.success(), "it has no pods");
    namespace.kubectl(&["patch", "botrun/first", "--type=merge", "-p", r#"{"spec":{"stop":true}}"#]);
    assert_eq!(namespace.wait_complete("first")["status"]["outcome"], "Passed");
    let second = namespace.wait_complete("second");
    assert_eq!(
        (&second["status"]["outcome"], &second["status"]["result"]["iterations"]),
        (&json!("Passed"), &json!(4))
    );
    // Both may share it.
    for name in ["third", "fourth"] {
        namespace.apply(&run(name, &json!({"bots": 2, "pace": "200ms", "targetPolicy": "Shared"})));
    }
    for name in ["third", "fourth"] {
        namespace.eventually("they go together", |n| is_running(n, name));
    }
}

#[test]
fn a_run_stands_still_and_goes_on() {
    let namespace = Namespace::new("suspend");
    namespace.open_shop();
    namespace.apply(&run("still", &json!({"arrivalRate": "20/s", "duration": "15s", "suspend": true})));
    namespace.eventually("it does not begin", |n| {
        (reason(&n.get("botrun/still"), "Running")? == "Suspended").then_some(())
    });
    assert!(!namespace.try_kubectl(&["get", "job/still"], None).status.success());
    let suspend = |value: &str| {
        let patch = format!("{{\"spec\":{{\"suspend\":{value}}}}}");
        namespace.kubectl(&["patch", "botrun/still", "--type=merge", "-p", &patch]);
    };
    suspend("false");
    namespace
        .eventually("some bots have come", |n| (n.shop_stats()["requests"].as_u64()? > 40).then_some(()));
    suspend("true");
    namespace.eventually("it stands still", |n| {
        let run = n.get("botrun/still");
        (reason(&run, "Running")? == "Suspended" && condition(&run, "Running")?.0 == "False").then_some(())
    });
    // The notice has passed when look after look sees the same.
    let (mut last, mut same) = (0, 0);
    namespace.eventually("no requests any more", |n| {
        let now = n.shop_stats()["requests"].as_u64()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same >= 8).then_some(())
    });
    suspend("false");
    let ended = namespace.wait_complete("still");
    let result = &ended["status"]["result"];
    assert_eq!(ended["status"]["outcome"], "Passed", "{ended:#}");
    // Every arrival has come, in its time, as if it had never stood still.
    assert_eq!((&result["bots"]["started"], &result["iterations"]), (&json!(300), &json!(300)), "{result:#}");
    assert_eq!(result["requests"], namespace.shop_stats()["requests"]);
    let took = result["durationMs"].as_u64().expect("a time");
    assert!((14_000..20_000).contains(&took), "{took} ms");
}

#[test]
fn a_job_that_others_suspend_goes_on_with_what_is_left() {
    let namespace = Namespace::new("jobsuspend");
    namespace.open_shop();
    namespace.apply(&run("kept", &json!({"bots": 4, "pace": "200ms", "iterations": 300})));
    namespace.eventually("bots are at work", |n| (n.shop_stats()["requests"].as_u64()? > 40).then_some(()));
    let suspend = |value: &str| {
        let patch = format!("{{\"spec\":{{\"suspend\":{value}}}}}");
        namespace.kubectl(&["patch", "job/kept", "--type=merge", "-p", &patch]);
    };
    suspend("true");
    namespace.eventually("its pods are gone", |n| {
        let pods = n.kubectl(&["get", "pods", "-l", "botarmy.dev/run=kept", "-o", "name"]);
        (pods.trim().is_empty() && reason(&n.get("botrun/kept"), "Running")? == "Suspended").then_some(())
    });
    suspend("false");
    let ended = namespace.wait_complete("kept");
    let status = &ended["status"];
    assert_eq!(
        (&status["outcome"], &status["result"]["iterations"]),
        (&json!("Passed"), &json!(300)),
        "{ended:#}"
    );
    assert_eq!(status["result"]["requests"], namespace.shop_stats()["requests"], "all was handed over");
    assert_eq!(
        (&status["runners"]["lost"], &status["result"]["gaps"]),
        (&json!(0), &json!([])),
        "{status:#}"
    );
}

#[test]
fn a_run_that_is_not_over_in_time_is_ended() {
    let namespace = Namespace::new("deadline");
    namespace.open_shop();
    namespace
        .apply(&run("long", &json!({"bots": 2, "pace": "200ms", "deadline": "15s", "gracePeriod": "2s"})));
    let ended = namespace.wait_complete("long");
    assert_eq!(ended["status"]["outcome"], "Errored", "{ended:#}");
    assert_eq!(reason(&ended, "Failed"), Some("DeadlineExceeded"), "{ended:#}");
    let counted = &ended["status"]["result"]["requests"];
    assert!(counted.as_u64().expect("requests") > 10, "{ended:#}");
    assert_eq!(*counted, namespace.shop_stats()["requests"], "what was measured is kept");
    namespace.eventually("its pods are gone", |n| {
        let pods = n.kubectl(&[
            "get",
            "pods",
            "-l",
            "botarmy.dev/run=long",
            "--field-selector=status.phase=Running",
            "-o",
            "name",
        ]);
        pods.trim().is_empty().then_some(())
    });
}

#[test]
fn a_run_is_deleted_when_its_time_is_over() {
    let namespace = Namespace::new("ttl");
    let ttl = json!({"passed": 5, "failed": 600});
    let failing = json!([{"expect": "count < 1", "action": "wait"}]);
    namespace.apply(&waiting("passes", &json!({"iterations": 4, "ttlSecondsAfterFinished": ttl})));
    let fails = json!({"iterations": 4, "ttlSecondsAfterFinished": ttl, "thresholds": failing});
    namespace.apply(&waiting("fails", &fails));
    assert_eq!(
        namespace.wait_complete("passes")["status"]["outcome"],
        "Passed",
        "it can be read for a while"
    );
    assert_eq!(namespace.wait_complete("fails")["status"]["outcome"], "Failed");
    namespace.eventually("only the one that has passed is gone", |n| {
        let left = n.kubectl(&["get", "botruns,jobs", "-o", "name"]);
        (left.contains("botrun.botarmy.dev/fails") && !left.contains("passes")).then_some(())
    });
}

#[test]
fn the_others_go_on_without_a_lost_runner_or_the_run_ends() {
    let namespace = Namespace::new("policies");
    namespace.open_shop();
    let lose_one = |name: &str, policy: &str| {
        let fields = json!({"bots": 4, "pace": "200ms", "duration": "20s", "lossPolicy": policy});
        namespace.apply(&run(name, &fields));
        namespace.eventually("it is at work", |n| {
            let requests = n.get(&format!("botrun/{name}"))["status"]["result"]["requests"].as_u64()?;
            (requests > 20).then_some(())
        });
        let which = format!("botarmy.dev/run={name},batch.kubernetes.io/job-completion-index=1");
        namespace.kubectl(&["delete", "pod", "-l", &which, "--grace-period=0", "--force", "--wait=false"]);
        namespace.wait_complete(name)
    };
    let ignored = lose_one("ignored", "Ignore");
    let status = &ignored["status"];
    assert_eq!(
        (&status["outcome"], &status["runners"]["lost"]),
        (&json!("Passed"), &json!(1)),
        "{ignored:#}"
    );
    assert_eq!(status["runners"]["replaced"], 0);
    let gap = &status["result"]["gaps"][0];
    assert_eq!((&gap["index"], &gap["bots"]), (&json!(1), &json!(2)), "{gap:#}");
    assert!(gap["until"].as_u64().expect("a second") >= 20, "to the end: {gap:#}");
    let failed = lose_one("failed", "Fail");
    assert_eq!(failed["status"]["outcome"], "Errored", "{failed:#}");
    assert_eq!(reason(&failed, "Failed"), Some("RunnerLost"), "{failed:#}");
    let gaps = failed["status"]["result"]["gaps"].as_array().expect("gaps");
    assert!(gaps.len() == 1 && gaps[0]["index"] == 1, "{failed:#}");
    assert!(failed["status"]["result"]["requests"].as_u64().expect("requests") > 20, "what is known is kept");
}

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
            "secret.yaml": trees("FromSecret", "cart"), "token": "s3cr3t-t0ken",
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
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "x", "optional": true}}},
    ]);
    let tree = json!({"T": {"sequence": [
        {"log": "the token is {{ env.TOKEN }}"},
        {"http": {"get": "{{ target }}/catalogue", "headers": {"x-sender": "{{ env.TOKEN }} in {{ env.SPACE }}{{ env.NONE }}"}}},
        {"always_succeed": {"http": {"get": "http://{{ env.TOKEN }}.invalid/"}}},
        {"error": "no luck with {{ env.TOKEN }}"},
    ]}});
    namespace.apply(&run("values", &json!({"trees": tree, "env": env, "bots": 2, "iterations": 4})));
    let ended = namespace.wait_complete("values");
    let senders = namespace.shop_stats()["senders"].clone();
    assert_eq!(senders, json!({format!("{TOKEN} in e2e-values"): 4}), "it was sent");
    let errors = ended["status"]["topErrors"].to_string();
    assert!(errors.contains("the name ***.invalid cannot be resolved"), "{errors}");
    let logs = namespace.kubectl(&["logs", "-l", "botarmy.dev/run=values", "--tail=-1"]);
    let shown =
        [ended.to_string(), logs, namespace.kubectl(&["get", "configmap/values-checkpoint", "-o", "yaml"])];
    for text in shown {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[test]
fn a_namespace_that_is_deleted_with_a_run_at_work_goes() {
    let namespace = Namespace::new("going");
    namespace.apply(&waiting("at-work", &json!({})));
    namespace.eventually("bots are at work", |n| is_running(n, "at-work"));
    namespace.kubectl(&["delete", "namespace", namespace.name(), "--wait=false"]);
    namespace.eventually("it is gone", |n| {
        let found = n.try_kubectl(&["get", "namespace", n.name()], None);
        String::from_utf8_lossy(&found.stderr).contains("not found").then_some(())
    });
}
