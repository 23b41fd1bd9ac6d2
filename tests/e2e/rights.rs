//! The operator's rights against what it did in the end-to-end tests: none unused, none refused.
//! Reads the audit log of the cluster, so that it runs after them.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
mod cluster;

use cluster::kubectl;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

const ACCOUNT: &str = "system:serviceaccount:botarmy:botarmy-operator";
/// Rights that the tests do not use, each with the reason why the operator has it.
const UNUSED: [(&str, &str); 0] = [];

/// A right, written as `VERB RESOURCE.GROUP`.
fn right(verb: &str, group: &str, resource: &str) -> String {
    format!("{verb} {resource}.{}", if group.is_empty() { "core" } else { group })
}

fn granted(kind: &str) -> BTreeSet<String> {
    let output = kubectl(&["--namespace", "botarmy", "get", kind, "botarmy-operator", "-o", "json"], None);
    let role: Value = serde_json::from_slice(&output.stdout).expect("a role");
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        let list = rule[key].as_array().into_iter().flatten();
        list.map(|v| v.as_str().expect("text").to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().expect("rules") {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                rights.extend(texts(rule, "verbs").iter().map(|verb| right(verb, &group, &resource)));
            }
        }
    }
    rights
}

/// The audit log and those before it: the API server begins another one when it has become large.
fn logs() -> impl Iterator<Item = String> {
    let path =
        std::env::var("BOTARMY_AUDIT_LOG").expect("BOTARMY_AUDIT_LOG: the audit log; see tests/e2e/run");
    let (folder, name) =
        (Path::new(&path).parent().expect("a folder"), Path::new(&path).file_stem().expect("a name"));
    let name = name.to_str().expect("text").to_owned();
    let files = folder.read_dir().expect(&path).map(|file| file.expect("a file"));
    let ours = files.filter(move |file| file.file_name().to_string_lossy().starts_with(&name));
    ours.flat_map(|file| BufReader::new(File::open(file.path()).expect("a log")).lines())
        .map(|line| line.expect("text"))
}

/// What the operator asked for and got, and what it was refused for want of a right. An API server that was started anew knows
/// no roles for a moment: what the same request got at another time was not refused for want of one.
fn asked() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut used, mut refused, mut got) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in logs() {
        // The last line may still be being written.
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        if event["user"]["username"] != ACCOUNT || event["objectRef"].is_null() {
            continue;
        }
        let text = |key: &str| event["objectRef"][key].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            subresource => format!("{}/{subresource}", text("resource")),
        };
        let verb = event["verb"].as_str().expect("a verb");
        let asked = right(verb, text("apiGroup"), &resource);
        let place = (asked.clone(), text("namespace").to_owned());
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            refused.insert(place);
            continue;
        }
        got.insert(place);
        used.insert(asked);
        // An apply that makes the object needs the right to create it too.
        if verb == "patch" && event["responseStatus"]["code"] == 201 {
            used.insert(right("create", text("apiGroup"), &resource));
        }
    }
    (used, refused.difference(&got).map(|(asked, namespace)| format!("{asked} in {namespace:?}")).collect())
}

#[test]
fn the_operator_has_the_rights_it_uses_and_no_others() {
    let granted: BTreeSet<String> = granted("clusterrole").union(&granted("role")).cloned().collect();
    let (used, refused) = asked();
    assert!(used.len() > 10, "the tests ran before: {used:?}");
    assert!(refused.is_empty(), "refused: {refused:?}");
    let more: Vec<_> = used.difference(&granted).collect();
    assert!(more.is_empty(), "used by a right from elsewhere: {more:?}");
    let known: BTreeSet<String> = UNUSED.iter().map(|(right, _)| (*right).to_owned()).collect();
    let unused: BTreeSet<String> = granted.difference(&used).cloned().collect();
    assert_eq!(unused, known, "rights that no test makes use of");
    println!("{} rights, each used: {granted:?}", granted.len());
}
