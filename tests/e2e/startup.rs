//! Runs whose runners cannot start, and runs that lose them: each says why, and each ends.

use crate::cluster::{Namespace, condition, reason};
use crate::waiting;
use serde_json::{Value, json};

/// A template in which the runner's container has these fields.
fn runner(fields: &Value) -> Value {
    let mut runner = fields.clone();
    runner["name"] = "runner".into();
    json!({"spec": {"containers": [runner]}})
}

fn until_running_is_false_for(namespace: &Namespace, run: &str, wanted: &str) -> String {
    namespace.eventually(&format!("{run} waits for {wanted}"), |n| {
        let run = n.get(&format!("botrun/{run}"));
        let (status, message) = condition(&run, "Running")?;
        let told =
            status == "False" && reason(&run, "Running")? == wanted && run["status"]["phase"] == "Scheduled";
        told.then(|| message.to_owned())
    })
}

fn ends_for(namespace: &Namespace, run: &str, wanted: &str, part: &str) {
    let name = run;
    let run = namespace.wait_complete(run);
    let status = &run["status"];
    assert_eq!((&status["phase"], &status["outcome"]), (&json!("Finished"), &json!("Errored")), "{run}");
    assert_eq!(reason(&run, "Complete"), Some("Errored"));
    assert_eq!((reason(&run, "Failed"), reason(&run, "Running")), (Some(wanted), Some(wanted)), "{run}");
    for kind in ["Failed", "Complete"] {
        let message = condition(&run, kind).expect(kind).1;
        assert!(message.contains(part) && message.contains(name), "{kind}: {message}");
    }
    assert!(condition(&run, "Complete").expect("Complete").1.starts_with(wanted));
    assert!(status.get("startTime").is_none(), "it never began: {status}");
}

/// The events about an object that have this reason.
pub(crate) fn events(namespace: &Namespace, name: &str, reason: &str) -> usize {
    let which = format!("regarding.name={name},reason={reason}");
    let events =
        namespace.kubectl(&["get", "events.v1.events.k8s.io", "--field-selector", &which, "-o", "name"]);
    events.lines().count()
}

#[test]
fn what_keeps_runners_from_starting_is_told_and_borne_for_a_while() {
    let namespace = Namespace::new("stuck");
    let secret = json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k"}}});
    let mut volume = runner(&json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}));
    volume["spec"]["volumes"] = json!([{"name": "data", "configMap": {"name": "absent"}}]);
    let cases = [
        (
            "image",
            runner(&json!({"image": "localhost/absent:1", "imagePullPolicy": "Never"})),
            "ImagePull",
            "absent:1",
        ),
        ("secret", runner(&json!({"env": [secret]})), "ConfigError", "secret \"absent\" not found"),
        (
            "node",
            json!({"spec": {"nodeSelector": {"pool": "absent"}}}),
            "Unschedulable",
            "0/1 nodes are available",
        ),
        ("volume", volume, "FailedMount", "configmap \"absent\" not found"),
        ("network", json!({"spec": {"hostNetwork": true}}), "Forbidden", "violates PodSecurity"),
    ];
    for (name, template, ..) in &cases {
        namespace.apply(&waiting(name, &json!({"template": template})));
    }
    for (name, _, wanted, part) in &cases {
        let message = until_running_is_false_for(&namespace, name, wanted);
        assert!(message.contains(part), "{name}: {message}");
    }
    for (name, _, wanted, part) in &cases {
        ends_for(&namespace, name, wanted, part);
        assert_eq!(
            events(&namespace, name, wanted),
            1,
            "{name}: {wanted}, when it was found; at the end, counted"
        );
        namespace.eventually("the Job is gone", |n| {
            n.kubectl(&["get", "job", name, "--ignore-not-found", "-o", "name"]).is_empty().then_some(())
        });
    }
}

#[test]
fn a_quota_is_told_and_a_run_goes_on_when_there_is_room() {
    let namespace = Namespace::new("quota");
    let quota = |name: &str, what: &str| {
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": {what: "0"}}})
            .to_string()
    };
    for (name, what) in [("pods", "pods"), ("jobs", "count/jobs.batch"), ("maps", "count/configmaps")] {
        namespace.apply(&quota(name, what));
        // Until the quota has been counted for the first time, nothing at all is let in.
        namespace.eventually("the quota holds", |n| {
            n.get(&format!("resourcequota/{name}"))["status"]["hard"].is_object().then_some(())
        });
        namespace.apply(&waiting(name, &json!({"iterations": 10})));
        let message = until_running_is_false_for(&namespace, name, "Quota");
        assert!(message.contains(&format!("exceeded quota: {name}")), "{message}");
        namespace.kubectl(&["delete", "resourcequota", name]);
        let run = namespace.wait_complete(name);
        assert_eq!(run["status"]["outcome"], "Passed");
        assert_eq!(events(&namespace, name, "Quota"), 1);
    }
}

#[test]
fn a_job_that_is_given_up_ends_its_run_with_its_pods_own_words() {
    let namespace = Namespace::new("lost");
    // A folder over the program: the container is made, and cannot start.
    let mut template = runner(&json!({"volumeMounts": [{"name": "over", "mountPath": "/runner"}]}));
    template["spec"]["volumes"] = json!([{"name": "over", "emptyDir": {}}]);
    namespace.apply(&waiting("lost", &json!({"template": template})));
    until_running_is_false_for(&namespace, "lost", "StartError");
    ends_for(&namespace, "lost", "StartError", "/runner");
    let run = namespace.get("botrun/lost");
    let message = condition(&run, "Failed").expect("Failed").1;
    assert!(message.contains("MaxFailedIndexesExceeded: Job has exceeded"), "{message}");
    let job = namespace.get("job/lost");
    assert_eq!(job["status"].get("active"), None, "{job}");
}
