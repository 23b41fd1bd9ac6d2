//! The objects of a run as the operator asks for them, whole, beside what they were: a change of them is seen, and wanted.

use crate::fake::{Fake, NAMESPACE};
use crate::operator::{Operator, apply, run, scheduled};
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
        let found = objects(run("a", &fields)).await;
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("offline/golden/{name}.yaml"));
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&file, &found).expect("to be written");
        }
        let wanted = std::fs::read_to_string(&file).expect("the file; write it with BOTARMY_WRITE_GOLDEN=1");
        assert_eq!(
            found,
            wanted,
            "{} (of namespace {NAMESPACE}) has changed; if that is wanted: {WRITE}=1",
            file.display()
        );
    }
}
