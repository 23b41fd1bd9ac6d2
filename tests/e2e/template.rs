//! The user's pod template: what of it reaches the pods, and what is refused.

use crate::cluster::{Namespace, condition, reason};
use crate::waiting;
use serde_json::{Value, json};

fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    list.as_array()
        .and_then(|l| l.iter().find(|i| i["name"] == name))
        .unwrap_or_else(|| panic!("{name} in {list}"))
}

#[test]
fn the_users_template_reaches_the_pods_and_ours_stays() {
    let namespace = Namespace::new("template");
    let strict = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let template = json!({
        "metadata": {
            "labels": {"team": "shop", "botarmy.dev/run-uid": "forged"},
            "annotations": {"linkerd.io/inject": "enabled", "example.com/note": "hello"},
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "terminationGracePeriodSeconds": 30,
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": [
                {"name": "side", "image": "localhost/botarmy:dev", "command": ["/runner", "--version"], "securityContext": strict},
                {
                    "name": "runner", "env": [{"name": "REGION", "value": "eu"}],
                    "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "512Mi"}},
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                },
            ],
        },
    });
    namespace.apply(&waiting("merged", &json!({"iterations": 20, "template": template})));
    let run = namespace.wait_complete("merged");
    assert_eq!(
        (&run["status"]["outcome"], &run["status"]["result"]["iterations"]),
        (&json!("Passed"), &json!(20))
    );

    let pods = namespace.get("pods");
    let pods = pods["items"].as_array().expect("pods");
    assert_eq!(pods.len(), 2);
    for pod in pods {
        theirs_is_there(pod);
        ours_is_kept(pod, &run);
    }
}

fn theirs_is_there(pod: &Value) {
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    assert_eq!(metadata["labels"]["team"], "shop");
    assert_eq!(metadata["annotations"]["example.com/note"], "hello");
    assert_eq!(metadata["annotations"]["linkerd.io/inject"], "enabled", "ours is only a default");
    assert_eq!(spec["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    assert_eq!(spec["terminationGracePeriodSeconds"], 30);
    named(&spec["volumes"], "scratch");
    assert_eq!(named(&spec["containers"], "side")["command"], json!(["/runner", "--version"]));
    let runner = named(&spec["containers"], "runner");
    assert_eq!(named(&runner["env"], "REGION")["value"], "eu");
    assert_eq!(
        runner["resources"],
        json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}})
    );
    assert_eq!(named(&runner["volumeMounts"], "scratch")["mountPath"], "/scratch");
}

fn ours_is_kept(pod: &Value, run: &Value) {
    let spec = &pod["spec"];
    let uid = &run["metadata"]["uid"];
    assert_eq!(&pod["metadata"]["labels"]["botarmy.dev/run-uid"], uid);
    assert_eq!(
        (&spec["restartPolicy"], &spec["automountServiceAccountToken"]),
        (&json!("Never"), &json!(false))
    );
    let runner = named(&spec["containers"], "runner");
    assert_eq!(runner["command"], json!(["/runner", "agent"]));
    assert_eq!(runner["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(&named(&runner["env"], "BOTARMY_RUN_UID")["value"], uid);
    assert!(named(&runner["env"], "JOB_COMPLETION_INDEX").get("valueFrom").is_some());
    for volume in ["botarmy-token", "botarmy-trust"] {
        named(&spec["volumes"], volume);
        named(&runner["volumeMounts"], volume);
    }
}

#[test]
fn what_a_template_may_not_say_is_refused_with_its_place() {
    let namespace = Namespace::new("protected");
    let runner = |fields: Value| {
        let mut runner = fields;
        runner["name"] = "runner".into();
        json!({"spec": {"containers": [runner]}})
    };
    for (name, template, part) in [
        (
            "restart",
            json!({"spec": {"restartPolicy": "OnFailure"}}),
            "spec.template.spec.restartPolicy: the operator sets",
        ),
        (
            "command",
            runner(json!({"command": ["sh"]})),
            "spec.template.spec.containers[0].command: the operator sets",
        ),
        (
            "index",
            runner(json!({"env": [{"name": "JOB_COMPLETION_INDEX", "value": "0"}]})),
            "spec.template.spec.containers[0].env[0]: the operator sets the variable JOB_COMPLETION_INDEX",
        ),
        (
            "token",
            json!({"spec": {"volumes": [{"name": "botarmy-token", "emptyDir": {}}]}}),
            "spec.template.spec.volumes[0]: the volume botarmy-token is the operator's",
        ),
        (
            "authority",
            runner(json!({"volumeMounts": [{"name": "x", "mountPath": "/etc/botarmy"}]})),
            "spec.template.spec.containers[0].volumeMounts[0]: the files of the operator lie at /etc/botarmy",
        ),
        // These only the API server knows.
        ("typo", json!({"spec": {"nodeSelektor": {}}}), "unknown field \"spec.template.spec.nodeSelektor\""),
        (
            "quantity",
            runner(json!({"resources": {"requests": {"cpu": "lots"}}})),
            "quantities must match the regular expression",
        ),
        ("image", runner(json!({"image": ""})), "spec.template.spec.containers[0].image: Required value"),
    ] {
        namespace.apply(&waiting(name, &json!({"template": template})));
        let run = namespace.wait_complete(name);
        let (accepted, message) = condition(&run, "Accepted").expect("Accepted");
        assert!(
            accepted == "False" && message.contains("spec.template") && message.contains(part),
            "{name}: {message}"
        );
        assert_eq!(
            (reason(&run, "Complete"), &run["status"]["outcome"]),
            (Some("Errored"), &json!("Errored"))
        );
        assert!(!namespace.try_kubectl(&["get", "job", name], None).status.success(), "nothing was started");
    }
}
