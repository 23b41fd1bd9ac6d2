//! The objects of a run as the operator asks for them, whole, beside what they were: a change of them is seen, and wanted.

use crate::fake::{Fake, NAMESPACE};
use crate::operator::{Operator, apply, condition, eventually, run, said, scheduled, told};
use botarmy_protocol::{CheckIn, Stage};
use botarmy_report::{Delta, Outcome, Recorder, RowInfo, Slice};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Writes the files anew instead of comparing them.
const WRITE: &str = "BOTARMY_WRITE_GOLDEN";

/// What the API server adds, and what is another one each time, taken out.
fn settled(mut object: Value, uid: &str) -> Value {
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    for added in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers"]
    {
        metadata.remove(added);
    }
    object.as_object_mut().expect("an object").remove("status");
    if let Some(certificate) = object.pointer_mut("/data/ca.crt") {
        assert!(certificate.as_str().is_some_and(|text| text.starts_with("-----BEGIN CERTIFICATE-----")));
        *certificate = "a certificate".into();
    }
    let text = object.to_string().replace(uid, "UID-OF-THE-RUN");
    serde_json::from_str(&text).expect("JSON")
}

/// What there is after the operator has taken on this run.
async fn objects(run: Value) -> String {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run);
    scheduled(&fake, "a").await;
    operator.kill().await;
    let objects = ["configmaps", "jobs"].into_iter().flat_map(|kind| fake.all(kind));
    let documents: Vec<String> =
        objects.map(|object| serde_yaml::to_string(&settled(object, &uid)).expect("YAML")).collect();
    documents.join("---\n")
}

#[tokio::test(start_paused = true)]
async fn the_objects_of_a_run_are_what_they_were() {
    let secret = json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "token"}}});
    let container = json!({"name": "runner", "resources": {"limits": {"memory": "1Gi"}}});
    let sidecar = json!({"name": "proxy", "image": "proxy:1"});
    let whole = json!({
        "target": "http://shop:8080", "duration": "5m", "runners": {"count": 3}, "lossPolicy": "Ignore",
        "env": [{"name": "REGION", "value": "eu"}, secret],
        "template": {
            "metadata": {"labels": {"team": "shop"}},
            "spec": {"containers": [container, sidecar], "nodeSelector": {"pool": "load"}},
        },
    });
    let sources = json!({
        "tree": "T",
        "sources": [
            {"name": "trees", "configMap": {"name": "shop-trees"}},
            {"name": "private", "secret": {"name": "shop-trees"}, "path": "checkout.yaml"},
            {"name": "team", "persistentVolumeClaim": {"claimName": "trees"}, "path": "checkout"},
            {"name": "shared", "image": {"reference": "example.com/trees:3"}},
        ],
    });
    for (name, fields) in [("least", json!({})), ("whole", whole), ("sources", sources)] {
        compare(name, &objects(run("a", &fields)).await);
    }
}

fn compare(name: &str, found: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("offline/golden/{name}.yaml"));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, found).expect("to be written");
    }
    let wanted = std::fs::read_to_string(&file).expect("the file; write it with BOTARMY_WRITE_GOLDEN=1");
    assert_eq!(
        found,
        wanted,
        "{} (of namespace {NAMESPACE}) has changed; if that is wanted: {WRITE}=1",
        file.display()
    );
}

/// The runner says that so many measured actions have failed since it was last heard.
fn fails(uid: &str, stage: Stage, sequence: u64, times: u64) -> CheckIn {
    let row = RowInfo { name: "get".to_owned(), measured: true, ..RowInfo::default() };
    let mut recorder = Recorder::new(vec![row].into(), 1_000_000);
    (0..times).for_each(|_| recorder.record(0, Outcome::Fail, 5));
    let slice = Slice { second: sequence, totals: recorder.drain(), warmup: false, apart: false };
    let deltas = vec![Delta { sequence, slices: vec![slice], alive: 4 }];
    CheckIn { deltas, ..said(uid, 0, stage, &[]) }
}

/// What stands in a status beside figures and times.
fn verdicts(fake: &Fake) -> String {
    let status = fake.get("botruns", "a").expect("a run")["status"].clone();
    let mut conditions = status["conditions"].clone();
    for condition in conditions.as_array_mut().expect("conditions") {
        condition.as_object_mut().expect("a condition").remove("lastTransitionTime");
    }
    let verdicts = json!({
        "phase": status["phase"], "outcome": status["outcome"], "errors": status["errors"],
        "thresholds": status["result"]["thresholds"], "conditions": conditions,
    });
    serde_yaml::to_string(&verdicts).expect("YAML")
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_badly_is_judged_by_all_that_was_measured() {
    let thresholds = json!([{"expect": "count < 15"}, {"expect": "count < 25"}]);
    let failed =
        json!({"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "so it is"});
    let failed = json!({"status": {"conditions": [failed]}});
    for (name, times) in [("ending", 20), ("errored", 30)] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = apply(&fake, run("a", &json!({"thresholds": thresholds})));
        scheduled(&fake, "a").await;
        operator.begin(&uid).await;
        eventually("all is well", || {
            (condition(&fake, "a", "ThresholdsMet") == told("True", "AllHold")).then_some(())
        })
        .await;
        // Before anybody looks the next time its Job is given up; whoever is not heard is not waited for.
        let last = fails(&uid, Stage::Running, 1, times);
        if name == "ending" {
            operator.hear(&last);
        } else {
            operator.hear_ago(&last, 60_000);
            operator.has_lived(60_000);
        }
        fake.change("jobs", "a", &failed);
        let (kind, reason) =
            if name == "ending" { ("Running", "JobFailed") } else { ("Failed", "JobFailed") };
        eventually(name, || (condition(&fake, "a", kind) == told("True", reason)).then_some(())).await;
        compare(name, &verdicts(&fake));
        operator.kill().await;
    }
}
