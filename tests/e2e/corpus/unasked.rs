//! The same objects from a client that does not ask for strictness, as most do that are not kubectl: what is wrong is
//! refused all the same, but for fields that nobody knows. Those are dropped, and what is left is accepted or not as it is.

use super::cases::{Body, By, Case};
use super::{neighbours, until_told, untold};
use crate::cluster::{Namespace, condition};
use serde_json::{Value, json};
use std::path::Path;

/// How many are sent at the same time: each is a process.
const TOGETHER: usize = 4;

/// What became of a case.
struct Answer {
    /// The object, as the API server has taken it.
    object: Option<Value>,
    said: String,
}

/// What is wrong with the answers.
pub(super) fn wrong(cases: &[Case]) -> Vec<String> {
    let namespace = Namespace::new("corpus-unasked");
    namespace.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {pods: 0}}}");
    neighbours(&namespace, cases);
    let sent: Vec<&Case> =
        cases.iter().filter(|case| matches!(case.body, Body::Manifest(_)) && !case.raw).collect();
    let answers = send(&namespace, &sent);
    let of = |(case, answer): (&&Case, &Answer)| {
        Some(format!("{}\n  {}", case.shown(), misunderstood(case, answer)?))
    };
    let mut wrong: Vec<String> = sent.iter().zip(&answers).filter_map(of).collect();
    let kept = sent.iter().zip(&answers).filter(|(_, answer)| answer.object.is_some());
    let kept: Vec<&Case> = kept.map(|(case, _)| *case).collect();
    let told = until_told(&namespace, &kept);
    for case in kept {
        let status = told.get(&case.object()).map(|seen| &seen.status);
        let why = match case.by {
            By::Apiserver if case.strict_only => has_other_than("True", status),
            // The rest of it is left to the operator.
            By::Apiserver => has_other_than("False", status),
            By::Operator => untold(case, status),
        };
        wrong.extend(why.map(|why| format!("{}\n  without strictness: {why}", case.shown())));
    }
    wrong
}

/// Sends each by itself, past kubectl's own checks, some at the same time.
fn send(namespace: &Namespace, cases: &[&Case]) -> Vec<Answer> {
    let folder = tempfile::tempdir().expect("a folder");
    let part = cases.len().div_ceil(TOGETHER).max(1);
    std::thread::scope(|scope| {
        let folder = folder.path();
        let send =
            |part: &[&Case]| part.iter().map(|case| send_one(namespace, case, folder)).collect::<Vec<_>>();
        let parts: Vec<_> = cases.chunks(part).map(|part| scope.spawn(move || send(part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("all are sent")).collect()
    })
}

fn send_one(namespace: &Namespace, case: &Case, folder: &Path) -> Answer {
    let file = folder.join(format!("{}.json", case.name));
    std::fs::write(&file, case.text()).expect("a file");
    let plural = if case.is_schedule() { "botrunschedules" } else { "botruns" };
    // Without a word about fields, of which the API server warns then.
    let path = format!("/apis/botarmy.dev/v1alpha1/namespaces/{}/{plural}", namespace.name());
    let output = namespace.try_kubectl(&["create", "--raw", &path, "-f", &file.to_string_lossy()], None);
    // Some are nested too deep for a reader of JSON; none of those has a field that nobody knows.
    let object = output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap_or_default());
    Answer { object, said: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// What is wrong with the API server's answer to a case, if something is.
fn misunderstood(case: &Case, answer: &Answer) -> Option<String> {
    let said = &answer.said;
    match (&answer.object, case.strict_only) {
        (None, true) => Some(format!(
            "without strictness it is refused for another fault, so that it is not strict_only: {said}"
        )),
        (None, false) if case.by == By::Operator => {
            Some(format!("without strictness there is no object: {said}"))
        }
        (Some(object), true) if keeps_all(&case.body, object) => {
            Some(format!("without strictness nothing of it was dropped: {object}"))
        }
        _ => None,
    }
}

/// Whether all that was sent is in the object.
fn keeps_all(body: &Body, object: &Value) -> bool {
    let Body::Manifest(sent) = body else { return false };
    is_within(&sent["spec"], &object["spec"])
}

fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| is_within(value, other)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(one, other)| is_within(one, other))
        }
        _ => part == whole,
    }
}

/// What is wrong with the condition Accepted, if it is not as it should be.
fn has_other_than(state: &str, status: Option<&Value>) -> Option<String> {
    let Some(status) = status else { return Some("it is not there".into()) };
    let object = json!({"status": status});
    match condition(&object, "Accepted") {
        Some((told, _)) if told == state => None,
        told => Some(format!("Accepted should be {state}: {told:?}")),
    }
}
