//! Every case of the corpus of broken runs and schedules: refused with its words, and nothing comes of it.

#[allow(dead_code, reason = "the test without a cluster uses the rest of it")]
#[path = "../corpus/cases.rs"]
mod cases;
#[path = "corpus/unasked.rs"]
mod unasked;

use crate::cluster::{Namespace, condition, counting, kubectl, reason};
use crate::waiting;
use cases::{Body, By, Case};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// When the operator has looked at all of them.
const TOLD_WITHIN: Duration = Duration::from_secs(120);
/// Until what follows a refusal is over; and how long nothing may happen then.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(6);
/// Larger ones are created: an apply keeps a second copy of them, for which there is little room.
const MOST_APPLIED: usize = 100_000;
/// The objects of the corpus, as lines.
const KINDS: &str = "botruns,botrunschedules";
const LINES: &str = r#"jsonpath={range .items[*]}{.metadata.name}{"\t"}{.metadata.resourceVersion}{"\t"}{.status}{"\n"}{end}"#;

/// What was said of a case, and whether there is an object.
#[derive(Debug, Default)]
struct Answer {
    said: String,
    created: bool,
}

#[test]
fn every_broken_object_is_refused_and_nothing_spins() {
    let _counting = counting();
    let namespace = Namespace::new("corpus");
    // Should one be let through, it must not load this machine.
    namespace.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {pods: 0}}}");
    let cases = cases::all();
    let operators = operators();
    let neighbours = neighbours(&namespace, &cases);
    let answers = send(&namespace, &cases);
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(&answers) {
        wrong.extend(misunderstood(case, answer).map(|why| format!("{}\n  {why}", case.shown())));
    }
    let kept: Vec<&Case> = cases.iter().filter(|case| case.by == By::Operator).collect();
    let told = until_told(&namespace, &kept);
    for case in &kept {
        let status = told.get(&case.object()).map(|seen| &seen.status);
        wrong.extend(untold(case, status).map(|why| format!("{}\n  {why}", case.shown())));
    }
    wrong.extend(made(&namespace, &neighbours));
    wrong.extend(spins(&namespace, kept.len()));
    wrong.extend(unasked::wrong(&cases));
    let now = self::operators();
    if now != operators {
        wrong.push(format!("the operators were {operators:?} and are {now:?}"));
    }
    assert!(wrong.is_empty(), "{} of {} cases are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));

    // And the operator goes on with its work.
    namespace.apply(&waiting("sound", &json!({})));
    namespace.eventually("a sound run is accepted", |n| {
        (reason(&n.get("botrun/sound"), "Accepted")? == "Valid").then_some(())
    });
}

/// What has to be there before the cases are sent.
fn neighbours<'c>(namespace: &Namespace, cases: &'c [Case]) -> Vec<&'c Value> {
    let neighbours: Vec<&Value> = cases.iter().filter_map(|case| case.beside.as_ref()).collect();
    for object in &neighbours {
        namespace.apply(&object.to_string());
    }
    neighbours
}

/// Sends all of them, those that are objects together.
fn send(namespace: &Namespace, cases: &[Case]) -> Vec<Answer> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut together = BTreeMap::new();
    for (how, fits) in [("apply", true), ("create", false)] {
        let files = folder.path().join(how);
        std::fs::create_dir(&files).expect("a folder");
        for case in cases.iter().filter(|case| matches!(case.body, Body::Manifest(_)) && !case.raw) {
            let text = case.text();
            if (text.len() <= MOST_APPLIED) == fits {
                std::fs::write(files.join(format!("{}.json", case.name)), text).expect("a file");
            }
        }
        together.append(&mut send_folder(namespace, how, &files));
    }
    let each = |case: &Case| match together.remove(&case.name) {
        Some(answer) => answer,
        None if matches!(case.body, Body::Manifest(_)) && !case.raw => Answer::default(),
        None => send_alone(namespace, case, folder.path()),
    };
    cases.iter().map(each).collect()
}

/// Sends all files of a folder; each answer names its file, or the object.
fn send_folder(namespace: &Namespace, how: &str, files: &Path) -> BTreeMap<String, Answer> {
    let (folder, mut answers) = (files.to_string_lossy(), BTreeMap::<String, Answer>::new());
    let output = namespace.try_kubectl(&[how, "-f", &folder], None);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let object = line.split_once('/').and_then(|(_, rest)| rest.strip_suffix(" created"));
        if let Some(name) = object {
            answers.entry(name.to_owned()).or_default().created = true;
        }
    }
    let mut about = String::new();
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        let by_file = line.split_once(&format!("{folder}/")).and_then(|(_, rest)| rest.split_once(".json"));
        // A mistake that is the only one is told in another form.
        let by_name = || line.strip_prefix("The BotRun")?.split('"').nth(1).map(|name| (name, ""));
        if let Some((name, _)) = by_file.or_else(by_name) {
            name.clone_into(&mut about);
        }
        answers.entry(about.clone()).or_default().said.push_str(line);
    }
    answers
}

/// Sends one as it stands, past kubectl too if that does not even ask the API server.
fn send_alone(namespace: &Namespace, case: &Case, folder: &Path) -> Answer {
    let file = folder.join(format!("{}.txt", case.name));
    std::fs::write(&file, case.text()).expect("a file");
    let file = file.to_string_lossy();
    let answer = |args: &[&str]| {
        let output = namespace.try_kubectl(args, None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Answer { said, created: output.status.success() }
    };
    let plural = if case.is_schedule() { "botrunschedules" } else { "botruns" };
    let path =
        format!("/apis/botarmy.dev/v1alpha1/namespaces/{}/{plural}?fieldValidation=Strict", namespace.name());
    let past = || answer(&["create", "--raw", &path, "-f", &file]);
    if case.raw {
        return past();
    }
    let answered = answer(&["create", "-f", &file]);
    let asked = answered.created || ["from server", "is invalid:"].iter().any(|w| answered.said.contains(w));
    if asked {
        return answered;
    }
    let second = past();
    Answer { created: second.created, said: format!("{}\n{}", answered.said, second.said) }
}

/// What is wrong with the answer to a case, if something is.
fn misunderstood(case: &Case, answer: &Answer) -> Option<String> {
    let Answer { said, created } = answer;
    match (case.by, created) {
        (By::Operator, true) => None,
        (By::Operator, false) => Some(format!("there is no object: {said}")),
        (By::Apiserver, true) => Some("the API server has taken it".into()),
        (By::Apiserver, false) => {
            let unsaid = case.says.iter().find(|part| !said.contains(part.as_str()));
            let placed =
                // A rule about an object's own name has no place: the API server gives it none.
                matches!(case.body, Body::Text(_)) || ["spec", "metadata", "name"].iter().any(|p| said.contains(p));
            match unsaid {
                Some(part) => Some(format!("{part:?} is not in {said}")),
                None if !placed => Some(format!("no place in {said}")),
                None => None,
            }
        }
    }
}

/// An object as it was seen.
struct Seen {
    version: String,
    status: Value,
}

/// All objects by name. As lines, because some are nested too deep for a reader of JSON.
fn look(namespace: &Namespace) -> BTreeMap<String, Seen> {
    let lines = namespace.kubectl(&["get", KINDS, "-o", LINES]);
    let seen = |line: &str| {
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        let (name, version) = (fields.next()?, fields.next()?);
        let status = serde_json::from_str(&fields.next()?).unwrap_or_default();
        Some((name, Seen { version, status }))
    };
    lines.lines().filter_map(seen).collect()
}

/// Waits until each of these has the condition Accepted, for a while.
fn until_told(namespace: &Namespace, kept: &[&Case]) -> BTreeMap<String, Seen> {
    let deadline = Instant::now() + TOLD_WITHIN;
    loop {
        let seen = look(namespace);
        let accepted = |seen: &Seen| condition(&json!({"status": seen.status}), "Accepted").is_some();
        let all = kept.iter().all(|case| seen.get(&case.object()).is_some_and(accepted));
        if all || Instant::now() > deadline {
            return seen;
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

/// What the operator has not told as it should.
fn untold(case: &Case, status: Option<&Value>) -> Option<String> {
    let Some(status) = status else { return Some("it is not there".into()) };
    let object = json!({"status": status});
    let Some((accepted, message)) = condition(&object, "Accepted") else {
        return Some(format!("it was never told: {object}"));
    };
    if accepted != "False" {
        return Some(format!("it was accepted: {object}"));
    }
    if let Some(part) = case.says.iter().find(|part| !message.contains(part.as_str())) {
        return Some(format!("{part:?} is not in {message}"));
    }
    let mut mistakes: Vec<&str> = message.lines().collect();
    if mistakes.last() == Some(&"… and more") {
        // What stands before it was cut.
        mistakes.truncate(mistakes.len().saturating_sub(2));
    }
    if let Some(line) = mistakes.iter().find(|line| !is_placed(line)) {
        return Some(format!("no place, or no words, in {line:?}"));
    }
    let ended = if case.is_schedule() {
        let ready = condition(&object, "Ready").map(|(state, _)| state);
        reason(&object, "Stalled") == Some("Invalid") && ready == Some("False")
    } else {
        let status = &object["status"];
        reason(&object, "Complete") == Some("Errored")
            && status["phase"] == "Finished"
            && status["outcome"] == "Errored"
    };
    (!ended).then(|| format!("it is not at its end: {object}"))
}

/// Whether a line of a condition has a place, and says more than that.
fn is_placed(line: &str) -> bool {
    let place = ["spec", "metadata", "(top)"].iter().any(|top| line.starts_with(top));
    place && line.split_once(": ").is_some_and(|(_, words)| words.split_whitespace().count() > 2)
}

/// Jobs and pods, of which there must be none but those that were there before.
fn made(namespace: &Namespace, neighbours: &[&Value]) -> Option<String> {
    let known: BTreeSet<String> = neighbours
        .iter()
        .filter_map(|object| Some(format!("job.batch/{}", object.pointer("/metadata/name")?.as_str()?)))
        .collect();
    let there = namespace.kubectl(&["get", "jobs,pods", "-o", "name"]);
    let made: Vec<&str> = there.lines().filter(|name| !known.contains(*name)).collect();
    (!made.is_empty()).then(|| format!("these were made: {made:?}"))
}

/// What goes on although there is nothing to do for these objects. Other tests have runs of their own meanwhile, so that
/// there may be some work; that for each of these would be far more.
fn spins(namespace: &Namespace, objects: usize) -> Vec<String> {
    std::thread::park_timeout(SETTLED_WITHIN);
    let (before, counted) = (look(namespace), [status_writes(), reconciles()]);
    std::thread::park_timeout(QUIET);
    let (after, counted_again) = (look(namespace), [status_writes(), reconciles()]);
    let changed =
        after.iter().filter(|(name, seen)| before.get(*name).is_none_or(|b| b.version != seen.version));
    let mut wrong: Vec<String> =
        changed.map(|(name, seen)| format!("{name} is written again and again: {}", seen.status)).collect();
    for (what, (first, second)) in
        ["status writes", "reconciles"].iter().zip(counted.iter().zip(&counted_again))
    {
        let more = second - first;
        if more > objects as f64 / 2.0 {
            wrong.push(format!("{more} {what} in {QUIET:?}, with {objects} objects at rest"));
        }
    }
    wrong
}

/// How often the status of a run or of a schedule was written so far.
fn status_writes() -> f64 {
    let metrics = raw("/metrics");
    let ours = |line: &&str| {
        ["apiserver_request_total{", "group=\"botarmy.dev\"", "subresource=\"status\""]
            .iter()
            .all(|p| line.contains(p))
    };
    let writes: f64 = metrics.lines().filter(ours).filter_map(value).sum();
    assert!(writes > 0.0, "the API server counts what the operator has written");
    writes
}

/// How often the operators have looked at an object so far; 0 if they do not count it.
pub(crate) fn reconciles() -> f64 {
    let of = |name: &String| {
        let metrics = raw(&format!("/api/v1/namespaces/botarmy/pods/{name}:8081/proxy/metrics"));
        let counted = metrics.lines().filter(|line| line.starts_with("botarmy_operator_reconciles_total"));
        counted.filter_map(value).sum::<f64>()
    };
    operators().keys().map(of).sum()
}

fn raw(path: &str) -> String {
    String::from_utf8_lossy(&kubectl(&["get", "--raw", path], None).stdout).into_owned()
}

/// The value of a line in Prometheus' text format.
fn value(line: &str) -> Option<f64> {
    line.rsplit_once(' ')?.1.parse().ok()
}

/// The operator's pods: the UID of each, and how often its containers were started again.
fn operators() -> BTreeMap<String, (String, u64)> {
    let label = "app.kubernetes.io/component=operator";
    let output = kubectl(&["--namespace", "botarmy", "get", "pods", "-l", label, "-o", "json"], None);
    let pods: Value = serde_json::from_slice(&output.stdout).expect("pods");
    let pod = |pod: &Value| {
        let text = |key: &str| pod["metadata"][key].as_str().expect(key).to_owned();
        let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let restarts = containers.filter_map(|container| container["restartCount"].as_u64()).sum::<u64>();
        (text("name"), (text("uid"), restarts))
    };
    let pods: BTreeMap<_, _> = pods["items"].as_array().expect("pods").iter().map(pod).collect();
    assert!(!pods.is_empty(), "the operator has pods");
    pods
}
