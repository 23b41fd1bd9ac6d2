//! `kubectl botarmy`, as testers and pipelines use it: what it prints, and the exit code of each end.

use super::cluster::{Namespace, kubectl, root};
use super::waiting;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// No run of these tests takes that long.
const TIMEOUT: &str = "--timeout=240s";

/// How the program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(child: Child) -> Self {
        let output = child.wait_with_output().expect("an end");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The same, once it is known that it ended with this code and said these parts.
    #[track_caller]
    fn with(self, code: i32, stdout: &str, stderr: &str) -> Self {
        let said = self.stdout.contains(stdout) && self.stderr.contains(stderr);
        assert!(self.code == Some(code) && said, "expected {code}, {stdout:?}, {stderr:?}: {self:#?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("JSON")
    }
}

/// The program, built.
fn program() -> PathBuf {
    std::env::var_os("BOTARMY_PLUGIN").expect("BOTARMY_PLUGIN: the program; see tests/e2e/run").into()
}

/// Starts the program in a namespace.
fn start(namespace: &Namespace, args: &[&str], input: &str) -> Child {
    let mut command = Command::new(root().join("tests/cluster/enter"));
    command.arg(program()).args(["--namespace", namespace.name()]).args(args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    // Who reads no input may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    child
}

fn plugin(namespace: &Namespace, args: &[&str], input: &str) -> Ended {
    Ended::of(start(namespace, args, input))
}

fn interrupt(child: &Child) {
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
}

/// Waits until a run has this in its status; it may have to be applied first.
fn status(namespace: &Namespace, run: &str, field: &str, wanted: &Value) {
    namespace.eventually(&format!("{field} of {run} is {wanted}"), |n| {
        let run = n.kubectl(&["get", "botrun", run, "--ignore-not-found", "-o", "json"]);
        let run: Value = serde_json::from_str(&run).ok()?;
        (run["status"][field] == *wanted).then_some(())
    });
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

#[test]
fn a_run_that_passes_is_followed_to_its_end_and_its_result_is_had_in_each_form() {
    let namespace = Namespace::new("plugin-passed");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let (run, [json_file, xml_file, page]) =
        (file("run.json"), ["result.json", "result.xml", "report.html"].map(file));
    std::fs::write(&run, waiting("good", &json!({"iterations": 40}))).expect("the file is written");
    let [run, json_path, xml_path, page_path] =
        [&run, &json_file, &xml_file, &page].map(|path| path.to_str().expect("text"));

    let ran = plugin(&namespace, &["run", run, "--out", json_path, "--out", xml_path, TIMEOUT], "");
    let ran = ran.with(0, "outcome     Passed\n", "botrun/good is applied");
    assert!(ran.stdout.contains("\niterations  40\n"), "{ran:#?}");
    let result = namespace.get("botrun/good")["status"]["result"].clone();
    let written: Value = serde_json::from_str(&read(&json_file)).expect("JSON");
    assert_eq!(written, result);
    assert!(read(&xml_file).contains("<testsuite name=\"botarmy\""));

    let shown = plugin(&namespace, &["result", "good"], "").with(0, "", "");
    assert_eq!(shown.stdout.trim_end(), ran.stdout.trim_end());
    assert_eq!(
        plugin(&namespace, &["result", "botrun/good", "-o", "json"], "").with(0, "", "").json(),
        result
    );
    plugin(&namespace, &["result", "good", "-o", "junit"], "").with(0, "<testsuites ", "");
    plugin(&namespace, &["result", "good", "-o", "csv"], "").with(0, "kind,name,scenario,", "");
    plugin(&namespace, &["report", "good", "--out", page_path], "").with(0, "", page_path);
    assert!(read(&page).starts_with("<!DOCTYPE html>"));
    let watched = plugin(&namespace, &["watch", "good"], "").with(0, "", "");
    assert_eq!(watched.stdout, ran.stdout, "what is over is told at once");

    // A run is made once: its outcome is not taken for that of another.
    plugin(&namespace, &["run", run, TIMEOUT], "").with(1, "", "botrun/good is over already (Passed)");
    plugin(&namespace, &["run", run, "--name", "again", TIMEOUT], "").with(
        0,
        "Passed",
        "botrun/again is applied",
    );
    let metadata = json!({"generateName": "each-"});
    let mut generated: Value = serde_json::from_str(&waiting("", &json!({"iterations": 4}))).expect("JSON");
    generated["metadata"] = metadata;
    let detached = plugin(&namespace, &["run", "-", "--detach"], &generated.to_string());
    let detached = detached.with(0, "each-", "watch it: kubectl botarmy watch each-");
    plugin(&namespace, &["watch", detached.stdout.trim_end(), TIMEOUT], "").with(0, "Passed", "");
}

#[test]
fn kubectl_finds_the_plugin_and_a_broken_threshold_has_a_code_of_its_own() {
    let namespace = Namespace::new("plugin-failed");
    let thresholds = json!([{"expect": "count < 1", "action": "wait"}]);
    let run = waiting("broken", &json!({"iterations": 20, "thresholds": thresholds}));
    plugin(&namespace, &["run", "-", TIMEOUT], &run).with(99, "✗  count < 1", "");
    let folder = program().parent().expect("its folder").to_owned();
    let path = std::env::var("PATH").expect("PATH");
    let found = Command::new(root().join("tests/cluster/kubectl"))
        .args(["botarmy", "watch", "broken", "-n", namespace.name()])
        .env("PATH", format!("{}:{path}", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Ended::of(found.expect("kubectl")).with(99, "outcome     Failed\n", "");
}

#[test]
fn a_run_is_scaled_stopped_and_interrupted_while_it_goes_on() {
    let namespace = Namespace::new("plugin-live");
    plugin(&namespace, &["run", "-", "--detach"], &waiting("live", &json!({}))).with(0, "live\n", "");
    status(&namespace, "live", "bots", &json!(4));
    plugin(&namespace, &["scale", "live", "9"], "").with(0, "botrun/live is scaled to 9 bots", "");
    status(&namespace, "live", "bots", &json!(9));
    plugin(&namespace, &["result", "live"], "").with(0, "outcome ", "botrun/live is still Running");
    // Who watches leaves it as it is, by an interrupt or by lack of time.
    let watching = start(&namespace, &["watch", "live"], "");
    std::thread::park_timeout(std::time::Duration::from_secs(7));
    interrupt(&watching);
    let left = Ended::of(watching).with(
        130,
        "",
        "botrun/live is left to itself; watch it: kubectl botarmy watch live",
    );
    assert!(left.stderr.contains("Running  9 bots  2/2 runners  "), "{left:#?}");
    plugin(&namespace, &["watch", "live", "--timeout", "1s"], "").with(124, "", "within 1.0s, and goes on");
    let stopped = plugin(&namespace, &["stop", "live", "--wait", TIMEOUT], "");
    stopped.with(0, "outcome     Passed\n", "botrun/live is told to end");
    plugin(&namespace, &["stop", "live"], "").with(0, "", "botrun/live is over already (Passed)");
    plugin(&namespace, &["scale", "live", "3"], "").with(1, "", "botrun/live is over (Passed)");

    let running = start(&namespace, &["run", "-", TIMEOUT], &waiting("interrupted", &json!({})));
    status(&namespace, "interrupted", "phase", &json!("Running"));
    interrupt(&running);
    Ended::of(running).with(0, "outcome     Passed\n", "the run is told to end");
    assert_eq!(namespace.get("botrun/interrupted")["spec"]["stop"], true);
}

#[test]
fn a_file_that_a_run_at_work_does_not_perform_has_no_verdict() {
    let namespace = Namespace::new("plugin-kept");
    plugin(&namespace, &["run", "-", "--detach"], &waiting("taken", &json!({}))).with(0, "taken\n", "");
    status(&namespace, "taken", "phase", &json!("Running"));
    let thresholds = json!([{"expect": "count < 1", "action": "wait"}]);
    let tightened = waiting("taken", &json!({"thresholds": thresholds}));
    let ignored = plugin(&namespace, &["run", "-", TIMEOUT], &tightened);
    let ignored = ignored.with(1, "", "Kept: what was changed has no effect");
    assert!(ignored.stderr.contains("--name") && ignored.stdout.is_empty(), "{ignored:#?}");
    // It is known by now, also to who does not wait.
    plugin(&namespace, &["run", "-", "--detach"], &tightened).with(1, "", "Kept: what was changed");
    let run = namespace.get("botrun/taken");
    assert!(run["status"]["phase"] == "Running" && run["spec"]["stop"] != true, "{run:#}");
    plugin(&namespace, &["stop", "taken", "--wait", TIMEOUT], "").with(0, "outcome     Passed\n", "");
    let late = plugin(&namespace, &["run", "-", TIMEOUT], &tightened);
    late.with(1, "", "botrun/taken is over already (Passed)");
    let elsewhere = waiting("taken", &json!({"thresholds": thresholds, "iterations": 20}));
    let ran = plugin(&namespace, &["run", "-", "--name", "free", TIMEOUT], &elsewhere);
    ran.with(99, "outcome     Failed\n", "botrun/free is applied");
}

/// The pods that lines come from.
fn speakers(stdout: &str) -> BTreeSet<&str> {
    stdout
        .lines()
        .map(|line| line.strip_prefix('[').and_then(|l| l.split_once("] ")).expect(line).0)
        .collect()
}

#[test]
fn logs_come_from_all_pods_and_from_those_that_take_the_place_of_others() {
    let namespace = Namespace::new("plugin-logs");
    let container = json!({"name": "runner", "env": [{"name": "BOTARMY_LOG_FILE", "value": "/dev/stdout"}]});
    let template = json!({"spec": {"containers": [container]}});
    let run = waiting("spoken", &json!({"template": template, "iterations": 40}));
    plugin(&namespace, &["run", "-", TIMEOUT], &run).with(0, "Passed", "");
    let all = plugin(&namespace, &["logs", "spoken"], "").with(0, "[spoken-0-", "");
    assert_eq!(speakers(&all.stdout).len(), 2, "{all:#?}");
    let one = plugin(&namespace, &["logs", "spoken", "--runner", "1"], "").with(0, "[spoken-1-", "");
    assert_eq!(speakers(&one.stdout).len(), 1, "{one:#?}");
    let tails = plugin(&namespace, &["logs", "spoken", "--tail", "1"], "").with(0, "", "");
    assert_eq!((tails.stdout.lines().count(), speakers(&tails.stdout).len()), (2, 2), "{tails:#?}");
    // What is over is followed to its end, which is there already: the same lines, each once.
    let followed = plugin(&namespace, &["logs", "spoken", "--follow"], "").with(0, "", "");
    let lines = |ended: &Ended| {
        let mut lines: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&followed), lines(&all));
    plugin(&namespace, &["logs", "spoken", "--runner", "7"], "").with(1, "", "has no such pod");

    let endless = waiting("followed", &json!({"template": template}));
    plugin(&namespace, &["run", "-", "--detach"], &endless).with(0, "followed", "");
    let following = start(&namespace, &["logs", "followed", "-f"], "");
    status(&namespace, "followed", "bots", &json!(4));
    let first = "batch.kubernetes.io/job-completion-index=0,botarmy.dev/run=followed";
    namespace.kubectl(&["delete", "pods", "-l", first, "--wait=false"]);
    namespace.eventually("another has taken its place", |n| {
        let run = n.get("botrun/followed");
        (run["status"]["runners"]["replaced"] == 1 && run["status"]["bots"] == 4).then_some(())
    });
    plugin(&namespace, &["stop", "followed", "--wait", TIMEOUT], "").with(0, "Passed", "");
    let followed = Ended::of(following).with(0, "[followed-1-", "");
    assert_eq!(speakers(&followed.stdout).len(), 3, "{:?}", speakers(&followed.stdout));
}

/// A kubeconfig for somebody who may do nothing.
fn nobody(namespace: &Namespace, folder: &Path) -> PathBuf {
    let view = kubectl(&["config", "view", "--raw", "--flatten", "--minify", "-o", "json"], None);
    let mut config: Value = serde_json::from_slice(&view.stdout).expect("a kubeconfig");
    let token = namespace.kubectl(&["create", "token", "default"]);
    config["users"][0]["user"] = json!({"token": token.trim_end()});
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).expect("it is written");
    path
}

#[test]
fn what_cannot_be_done_is_told_with_its_cause() {
    let namespace = Namespace::new("plugin-errors");
    let good = waiting("good", &json!({"iterations": 4}));
    for (args, input, told) in [
        (
            vec!["run", "-"],
            format!("{good}\n---\n{good}"),
            "standard input: (top): the file holds 2 documents",
        ),
        (vec!["run", "-"], "kind: Pod".into(), "standard input: kind: the kind is \"Pod\""),
        (vec!["run", "-"], good.replace("\"name\"", "\"other\""), "the run has no name"),
        (vec!["run", "-", "--name", "A"], good.clone(), "--name: a name is"),
        (vec!["run", "/absent.yaml"], String::new(), "/absent.yaml: cannot be read: "),
        (
            vec!["run", "-", "--out", "/absent/r.json"],
            good.clone(),
            "the result cannot be written to /absent/r.json",
        ),
        (vec!["run", "-"], good.replace("\"bots\"", "\"bost\""), "bost"),
        (vec!["run", "-"], good.replace("\"bots\":4", "\"bots\":-4"), "spec.bots"),
        (vec!["watch", "absent"], String::new(), "not found in the namespace \"e2e-plugin-errors\""),
        (vec!["logs", "absent"], String::new(), "not found in the namespace"),
        (vec!["stop", "absent"], String::new(), "not found in the namespace"),
        (vec!["watch", "absent", "--context", "absent"], String::new(), "the kubeconfig is of no use: "),
        (vec!["watch", "absent", "--kubeconfig", "/absent"], String::new(), "the kubeconfig is of no use: "),
    ] {
        let ended = plugin(&namespace, &args, &input).with(1, "", told);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    assert_eq!(namespace.kubectl(&["get", "botruns", "-o", "name"]), "", "nothing was started");
    plugin(&namespace, &["watch"], "").with(2, "", "Usage: kubectl botarmy watch");
    let elsewhere = good.replace("\"name\":", "\"namespace\":\"shop\",\"name\":");
    plugin(&namespace, &["run", "-"], &elsewhere).with(1, "", "leave one of them out");

    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = nobody(&namespace, folder.path());
    let kubeconfig = kubeconfig.to_str().expect("text");
    let refused = plugin(&namespace, &["run", "-", "--kubeconfig", kubeconfig], &good);
    refused.with(1, "", "the cluster does not allow it: ");
}

#[test]
fn a_run_that_makes_no_sense_or_cannot_start_says_why() {
    let namespace = Namespace::new("plugin-errored");
    let refused = waiting("refused", &json!({"trees": {"T": {"wat": 1}}}));
    let refused = plugin(&namespace, &["run", "-", TIMEOUT], &refused);
    refused.with(1, "outcome     Errored\n", "spec.trees.T");
    let container = json!({"name": "runner", "image": "localhost/absent:1", "imagePullPolicy": "Never"});
    let stuck = waiting("stuck", &json!({"template": {"spec": {"containers": [container]}}}));
    let waited = plugin(&namespace, &["run", "-", "--timeout", "40s"], &stuck);
    let waited = waited.with(124, "", "botrun/stuck has not come to its end within 40.0s, and goes on");
    assert!(waited.stderr.contains("\nImagePull: "), "{waited:#?}");
    assert!(waited.stderr.contains("s  Scheduled (ImagePull)  0/2 runners\n"), "{waited:#?}");
    plugin(&namespace, &["result", "stuck"], "").with(
        1,
        "",
        "botrun/stuck has no result yet: it is Scheduled",
    );
    // Its deadline ends it: what came of it is told, though nothing was measured.
    let ended = plugin(&namespace, &["watch", "stuck", TIMEOUT], "");
    ended.with(3, "reason      ImagePull: ", "ImagePull: ");
}
