//! Two hundred runs at once: each is told where it stands, none is stuck, nothing is written again and again, and
//! nothing is left of them.

use super::cluster::{Namespace, condition, counting, reason, root};
use super::corpus::reconciles;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What becomes of the runs of the crowd, and how many there are of each kind.
const KINDS: [(&str, usize); 4] = [("still", 120), ("unplaced", 40), ("broken", 20), ("short", 20)];
/// Changes of one run's object at most, from its creation to its end: far more than any of them needs.
const MOST_CHANGES: usize = 25;
/// Looks of the operator in a second at most: one at each run that waits for its pods, and those at the runs of other
/// tests meanwhile; not those at runs that are suspended.
const LOOKS_PER_SECOND: f64 = 88.0;
/// How long is looked whether it is quiet.
const QUIET: Duration = Duration::from_secs(6);

/// A run of this kind.
fn run(kind: &str, number: usize) -> Value {
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun",
        "metadata": {"name": format!("{kind}-{number}"), "labels": {"crowd": kind}},
        "spec": {
            "trees": {"T": {"wait": "10ms"}}, "bots": 1, "iterations": 1, "runners": {"count": 1},
            // They do not wait for one another.
            "target": "http://target:8080", "targetPolicy": "Shared", "startDeadline": "10m",
        },
    });
    let spec = &mut run["spec"];
    match kind {
        "still" => spec["suspend"] = true.into(),
        "unplaced" => spec["template"] = json!({"spec": {"nodeSelector": {"crowd": "nowhere"}}}),
        "broken" => spec["trees"] = json!({"T": {"wiat": "10ms"}}),
        _ => {}
    }
    run
}

/// Whether a run stands where one of its kind shall.
fn has_arrived(kind: &str, run: &Value) -> bool {
    let state = |condition_type: &str| condition(run, condition_type).map(|(state, _)| state);
    let accepted = state("Accepted");
    match kind {
        "still" => accepted == Some("True") && reason(run, "Running") == Some("Suspended"),
        "unplaced" => {
            let waits = state("Running") == Some("False") && reason(run, "Running") == Some("Unschedulable");
            accepted == Some("True") && state("Scheduled") == Some("True") && waits
        }
        "broken" => accepted == Some("False") && reason(run, "Complete") == Some("Errored"),
        _ => reason(run, "Complete") == Some("Passed") && run["status"]["result"]["iterations"] == 1,
    }
}

/// Every change of a run's object, as a watch shows it: its name on a line.
struct Changes(Child);

impl Changes {
    fn watch(namespace: &Namespace) -> Self {
        let watch = Command::new(root().join("tests/cluster/kubectl"))
            .args(["--namespace", namespace.name(), "get", "botruns", "--watch", "-o", "name"])
            .stdout(Stdio::piped())
            .spawn();
        Self(watch.expect("kubectl"))
    }

    /// How often each has changed until now.
    fn count(mut self) -> BTreeMap<String, usize> {
        drop(self.0.kill());
        let mut shown = String::new();
        let lines = self.0.stdout.take().expect("its output").read_to_string(&mut shown);
        lines.expect("text");
        let mut counts = BTreeMap::new();
        for name in shown.lines() {
            *counts.entry(name.rsplit('/').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The runs by name.
fn look(namespace: &Namespace) -> BTreeMap<String, Value> {
    let Value::Array(items) = namespace.get("botruns")["items"].take() else { return BTreeMap::new() };
    let named = |run: Value| Some((run["metadata"]["name"].as_str()?.to_owned(), run));
    items.into_iter().filter_map(named).collect()
}

fn kind(name: &str) -> &str {
    name.split('-').next().unwrap_or_default()
}

#[test]
fn two_hundred_runs_at_once_are_all_told_where_they_stand() {
    let _counting = counting();
    let namespace = Namespace::new("crowd");
    let crowd: Vec<Value> =
        KINDS.iter().flat_map(|(kind, count)| (0..*count).map(|number| run(kind, number))).collect();
    assert_eq!(crowd.len(), 200);
    let changes = Changes::watch(&namespace);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": crowd});
    let created = namespace.try_kubectl(&["create", "-f", "-"], Some(&list.to_string()));
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));

    let all = namespace.eventually_within(240, "all of them are where they shall be", |n| {
        let runs = look(n);
        let have_arrived = runs.iter().all(|(name, run)| has_arrived(kind(name), run));
        (runs.len() == crowd.len() && have_arrived).then_some(runs)
    });
    for (kind_of_run, count) in KINDS {
        assert_eq!(all.keys().filter(|name| kind(name) == kind_of_run).count(), count, "{kind_of_run}");
    }

    // Those that are at rest are left at rest: whoever waits costs looks, and no writes.
    let versions = |runs: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
        let version =
            |(name, run): (&String, &Value)| (name.clone(), run["metadata"]["resourceVersion"].clone());
        runs.iter().map(version).collect()
    };
    let (before, looks, begun) = (versions(&look(&namespace)), reconciles(), Instant::now());
    std::thread::park_timeout(QUIET);
    let (after, looks) = (versions(&look(&namespace)), reconciles() - looks);
    let most = begun.elapsed().as_secs_f64() * LOOKS_PER_SECOND;
    assert!(looks <= most, "{looks} looks in {:?}, where {most} are many", begun.elapsed());
    let written: Vec<_> =
        after.iter().filter(|(name, version)| before.get(*name) != Some(*version)).collect();
    // What the scheduler says of a pod may still change; of many at once it does not.
    assert!(written.len() <= KINDS[1].1 / 4, "written though nothing happens: {written:?}");
    let counts = changes.count();
    assert_eq!(counts.len(), crowd.len());
    let often: Vec<_> = counts.iter().filter(|(_, count)| **count > MOST_CHANGES).collect();
    assert!(often.is_empty(), "written again and again: {often:?}");

    // One of those that stood still goes on among all the others.
    namespace.kubectl(&["patch", "botrun/still-7", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    assert_eq!(namespace.wait_complete("still-7")["status"]["outcome"], "Passed");

    namespace.kubectl(&["delete", "botruns", "--all", "--wait=false"]);
    namespace.eventually("nothing is left", |n| {
        let left = n.kubectl(&["get", "botruns,jobs,pods,configmaps", "-o", "name", "--ignore-not-found"]);
        left.lines().all(|line| line.contains("kube-root-ca.crt")).then_some(())
    });
}
