use super::*;
use botarmy_report::{Facts, RunOutcome, Totals};
use clap::Parser;
use flate2::read::GzDecoder;
use std::io::Read;

const UID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

fn run(spec: &Value) -> BotRun {
    let mut run = json!({"metadata": {"name": "checkout", "namespace": "shop", "uid": UID}, "spec": spec});
    run["spec"]["trees"] = json!({"T": "done"});
    serde_json::from_value(run).unwrap()
}

fn made(spec: &Value) -> Value {
    let settings = Settings::parse_from(["operator", "--image", "runner:1"]);
    let run = run(spec);
    job(&settings, &run, UID, &job_name(&run, UID).unwrap()).unwrap()
}

fn exports() -> Value {
    json!({"export": [
        {"persistentVolumeClaim": {"claimName": "results", "path": "nightly"}, "formats": ["json", "html"]},
        {"http": {"url": "http://store/$(HOME)/", "headers": [
            {"name": "X-Plain", "value": "a$(PATH)$b"},
            {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "store", "key": "token"}}},
        ]}},
    ]})
}

/// What a container finds in a variable whose value is this.
fn expanded(value: &str) -> String {
    assert!(!value.replace("$$", "").contains('$'), "nothing is left to be replaced: {value}");
    value.replace("$$", "$")
}

#[test]
fn the_pod_may_do_what_it_must_and_nothing_else() {
    let job = made(&exports());
    let spec = &job["spec"];
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], UID);
    assert_eq!((&spec["backoffLimit"], &spec["activeDeadlineSeconds"]), (&json!(2), &json!(1080)));
    assert_eq!(spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"], json!([1, 4]));
    let (template, pod) = (&spec["template"], &spec["template"]["spec"]);
    assert!(template["metadata"]["labels"].get(botarmy_crds::RUN_UID_LABEL).is_none(), "it is no runner");
    assert_eq!(
        (&pod["restartPolicy"], &pod["automountServiceAccountToken"]),
        (&json!("Never"), &json!(false))
    );
    assert_eq!(
        (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["fsGroup"]),
        (&json!(true), &json!(65532))
    );
    let container = &pod["containers"][0];
    assert_eq!(
        (&container["image"], &container["command"]),
        (&json!("runner:1"), &json!(["/runner", "deliver"]))
    );
    let hardened = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
    assert_eq!(container["securityContext"], hardened);
    let volumes = json!([
        {"name": "botarmy-result", "configMap": {"name": result_name(&run(&exports()), UID)}},
        {"name": "botarmy-export-0", "persistentVolumeClaim": {"claimName": "results"}},
    ]);
    assert_eq!(pod["volumes"], volumes);
    let mounts = json!([
        {"name": "botarmy-result", "mountPath": "/var/run/botarmy-result", "readOnly": true},
        {"name": "botarmy-export-0", "mountPath": "/var/run/botarmy-export/0"},
    ]);
    assert_eq!(container["volumeMounts"], mounts);
}

#[test]
fn values_come_as_they_were_written_and_secrets_from_the_kubelet() {
    let job = made(&exports());
    let variables = &job["spec"]["template"]["spec"]["containers"][0]["env"];
    let of = |name: &str| variables.as_array().unwrap().iter().find(|v| v["name"] == name).unwrap().clone();
    assert_eq!(
        of("BOTARMY_EXPORT_HEADER_1_1")["valueFrom"],
        json!({"secretKeyRef": {"name": "store", "key": "token"}})
    );
    let told = expanded(of("BOTARMY_EXPORT")["value"].as_str().unwrap());
    let told: Vec<ExportSpec> = serde_json::from_str(&told).unwrap();
    assert_eq!(told, run(&exports()).spec.run.operation.export);
    assert_eq!(
        (&of("BOTARMY_RUN_NAME")["value"], &of("BOTARMY_RUN_UID")["value"]),
        (&json!("checkout"), &json!(UID))
    );
}

#[test]
fn names_are_those_of_this_run_and_of_what_is_asked_for() {
    let (first, mut other) = (run(&exports()), exports());
    let name = |run: &BotRun, uid| job_name(run, uid).unwrap();
    assert_eq!(name(&first, UID), name(&run(&exports()), UID), "the same every time");
    assert!(name(&first, UID).starts_with("checkout-export-"));
    assert_ne!(name(&first, UID), name(&first, "another"));
    let asked = |value: &str| {
        let mut run = first.clone();
        run.annotations_mut().insert("botarmy.dev/export-again".into(), value.into());
        name(&run, UID)
    };
    let names = [name(&first, UID), asked("1"), asked("2")];
    assert!(names[0] != names[1] && names[1] != names[2] && asked("1") == names[1], "{names:?}");
    assert!(names.iter().all(|name| is_job_name(&first, name)) && !is_job_name(&first, "checkout"));
    other["export"][0]["formats"] = json!(["csv"]);
    assert_ne!(name(&first, UID), name(&run(&other), UID));
    let mut longest = first;
    longest.metadata.name = Some("n".repeat(botarmy_spec::file::MAX_RUN_NAME));
    assert_eq!(name(&longest, UID).len(), 63, "a label can hold it");
}

#[test]
fn the_users_template_says_where_the_pod_may_run_and_whom_it_trusts() {
    let mut spec = exports();
    spec["template"] = json!({"metadata": {"labels": {"team": "shop"}}, "spec": {
        "nodeSelector": {"pool": "load"}, "affinity": {"nodeAffinity": {}}, "imagePullSecrets": [{"name": "pull"}], "securityContext": {"fsGroup": 7},
        "restartPolicy": "Always", "automountServiceAccountToken": true, "hostNetwork": true,
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}, {"name": "big", "emptyDir": {}}],
        "containers": [{"name": "side", "image": "x"}, {
            "name": "runner", "image": "own", "imagePullPolicy": "Never", "command": ["sh"],
            "resources": {"requests": {"cpu": "8"}},
            "env": [{"name": "SSL_CERT_FILE", "value": "/etc/ca/ca.crt"}, {"name": "OTHER", "value": "1"}],
            "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}, {"name": "big", "mountPath": "/etc/c"}],
        }],
    }});
    let job = made(&spec);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(
        (&pod["nodeSelector"], &pod["imagePullSecrets"]),
        (&json!({"pool": "load"}), &json!([{"name": "pull"}]))
    );
    assert_eq!(pod["affinity"], json!({"nodeAffinity": {}}));
    let context = &pod["securityContext"];
    assert_eq!(
        (&context["fsGroup"], &context["runAsNonRoot"]),
        (&json!(7), &json!(true)),
        "theirs over ours"
    );
    assert_eq!(
        (&pod["restartPolicy"], &pod["automountServiceAccountToken"]),
        (&json!("Never"), &json!(false))
    );
    assert!(pod.get("hostNetwork").is_none());
    let names = |list: &Value| list.as_array().unwrap().iter().map(|i| i["name"].clone()).collect::<Value>();
    assert_eq!(names(&pod["volumes"]), json!(["botarmy-result", "botarmy-export-0", "ca"]));
    assert_eq!(names(&pod["containers"]), json!(["deliver"]));
    let container = &pod["containers"][0];
    assert_eq!((&container["image"], &container["imagePullPolicy"]), (&json!("own"), &json!("Never")));
    assert_eq!(container["command"], json!(["/runner", "deliver"]));
    // Without our limits, which it would be beyond.
    assert_eq!(container["resources"], json!({"requests": {"cpu": "8", "memory": "64Mi"}}));
    assert_eq!(container["volumeMounts"][2], json!({"name": "ca", "mountPath": "/etc/ca"}));
    assert!(
        !container["env"].to_string().contains("OTHER")
            && container["env"].to_string().contains("/etc/ca/ca.crt")
    );
}

#[test]
fn a_result_that_is_too_large_is_kept_as_the_status_has_it() {
    let facts = Facts {
        outcome: RunOutcome::Passed,
        alive: 0,
        duration_ms: 1,
        thresholds: Vec::new(),
        gaps: Vec::new(),
        dimensions: Vec::new(),
    };
    let mut result = RunResult::build(&Totals::default(), facts);
    let action = json!({"name": "", "measured": true, "count": 1, "succeed": 1, "fail": 0, "error": 0, "crash": 0, "cancelled": 0});
    for n in 0..100 {
        let mut action = action.clone();
        action["name"] = format!("row {n}").into();
        result.actions.push(serde_json::from_value(action).unwrap());
    }
    for (most, kept) in [(RESULT_BYTES, result.clone()), (100, result.clone().bounded())] {
        let ((packed, all_fits), mut json) = (pack(&result, most).unwrap(), String::new());
        assert_eq!(all_fits, most == RESULT_BYTES);
        GzDecoder::new(&*packed).read_to_string(&mut json).unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), kept, "{most}");
    }
}

#[test]
fn it_has_limits_of_its_own_only_if_the_runner_has_none_of_theirs() {
    let with = |template: Value| {
        let mut spec = exports();
        spec["template"] = template;
        made(&spec)["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let limits = json!({"cpu": "1", "memory": "512Mi"});
    for template in
        [json!({}), json!({"spec": {"containers": [{"name": "runner"}, {"name": "side", "image": "x"}]}})]
    {
        let container = with(template);
        assert_eq!((&container["resources"]["limits"], &container["image"]), (&limits, &json!("runner:1")));
    }
    let container = with(
        json!({"spec": {"containers": [{"name": "runner", "resources": {"limits": {"memory": "1Gi"}}}]}}),
    );
    let resources = json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}});
    assert_eq!(container["resources"], resources);
}

#[test]
fn an_object_says_whether_it_has_all_of_the_result() {
    let status: botarmy_crds::BotRunStatus =
        serde_json::from_value(json!({"phase": "Finished", "outcome": "Passed"})).unwrap();
    let all = status.told_result().unwrap();
    let told =
        |is_whole| result(&run(&exports()), UID, &all, is_whole).unwrap()["metadata"]["annotations"].clone();
    assert_eq!((told(true), told(false)), (Value::Null, json!({"botarmy.dev/shortened": "true"})));
}
