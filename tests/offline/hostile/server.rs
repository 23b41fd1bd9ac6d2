//! The process with the ports: the coordinator of an operator at work, and its health.

use crate::fake::{Fake, NAMESPACE};
use crate::operator::{Operator, apply, in_force, run, scheduled, uid};
use crate::serving::pod;
use botarmy_crds::RUN_UID_LABEL;
use botarmy_operator::checkpoint::Keeper;
use botarmy_operator::coordinator::{self, Coordinator, Reviewer};
use botarmy_operator::election::Leadership;
use botarmy_operator::metrics::{self, Metrics};
use botarmy_operator::{armies::Armies, health};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// Says to a process of this test that it is to serve.
const ASKED: &str = "BOTARMY_TEST_SERVES";
const TEST: &str = "hostile::the_ports_are_served";
/// What lines begin with that are meant for whoever has started it.
const TOLD: &str = "told: ";

/// What there is to be attacked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Served {
    pub(super) coordinator: SocketAddr,
    pub(super) health: SocketAddr,
    /// The certificates to check the coordinator with.
    pub(super) trust: String,
    /// The UID of the honest runner's run, its token, and its pod's UID.
    pub(super) run: String,
    pub(super) honest: String,
    pub(super) honest_pod: String,
    /// The same of a runner that is not honest, of another run: the second one of two.
    pub(super) other_run: String,
    pub(super) foe: String,
    pub(super) foe_pod: String,
    /// Tokens of pods that are no runners: of runs that there are not, each of another one; of another namespace, all
    /// with the label of the honest runner's run; and of the foe's run.
    pub(super) of_no_run: Vec<String>,
    pub(super) from_elsewhere: Vec<String>,
    pub(super) of_other_run: Vec<String>,
}

/// How many pods there are of those that are no runners.
pub(super) const PODS: usize = OF_NO_RUN + FROM_ELSEWHERE + OF_OTHER_RUN;
/// Enough of each to take all the room there is, if they were let.
const OF_NO_RUN: usize = 40;
const FROM_ELSEWHERE: usize = 8;
const OF_OTHER_RUN: usize = 8;

/// The process, which ends with this.
pub(super) struct Server {
    pub(super) served: Served,
    process: Child,
    lines: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    pub(super) fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", TEST, "--nocapture"])
            .env(ASKED, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (stdin, stdout) = (process.stdin.take().expect("stdin"), process.stdout.take().expect("stdout"));
        let mut stdout = BufReader::new(stdout);
        let served = serde_json::from_str(&told(&mut stdout)).expect("what is served");
        Self { served, process, lines: Mutex::new((stdin, stdout)) }
    }

    /// The most memory that it has had, in kibibytes.
    pub(super) fn peak_memory_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// How many files it has open, connections among them.
    pub(super) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("its files").count()
    }

    /// How often the API server was asked whose a token is.
    pub(super) fn reviews(&self) -> usize {
        self.ask("").parse().expect("a number")
    }

    /// The status of the run of this name.
    pub(super) fn status(&self, run: &str) -> Value {
        serde_json::from_str(&self.ask(run)).expect("JSON")
    }

    fn ask(&self, what: &str) -> String {
        let mut lines = self.lines.lock().expect("nobody panics who holds it");
        let (stdin, stdout) = &mut *lines;
        writeln!(stdin, "{what}").expect("to be read");
        told(stdout)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn told(lines: &mut BufReader<ChildStdout>) -> String {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("text") > 0, "the process has ended");
        // The test's own words may stand before it.
        if let Some((_, told)) = line.split_once(TOLD) {
            return told.trim().to_owned();
        }
    }
}

fn tell(what: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\n{TOLD}{what}").and_then(|()| stdout.flush()).expect("somebody reads it");
}

/// Serves until nobody is there any more who has asked for it.
pub(super) fn serve_if_asked(namespace: &str) {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    assert!(!namespace.is_empty());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let fake = Fake::new();
    let served = runtime.block_on(serve(&fake));
    tell(&serde_json::to_string(&served).expect("JSON"));
    for line in std::io::stdin().lines() {
        match line.expect("text").as_str() {
            "" => tell(&fake.calls().to("create", "tokenreviews").count().to_string()),
            run => tell(&fake.get("botruns", run).map(|run| run["status"].to_string()).unwrap_or_default()),
        }
    }
}

async fn serve(fake: &Fake) -> Served {
    let in_force = in_force("coordinator");
    let operator = Operator::start(fake);
    let (run, other_run) = (apply(fake, run_of("a", 1)), apply(fake, run_of("b", 2)));
    scheduled(fake, "a").await;
    scheduled(fake, "b").await;
    let (honest, foe) = ("honest".repeat(100), "foe".repeat(100));
    let honest_pod = pod(fake, &run, 0, &honest);
    let foe_pod = pod(fake, &other_run, 1, &foe);
    let posing =
        |n: usize, namespace, run: &str| (0..n).map(|_| posing_pod(fake, namespace, run)).collect::<Vec<_>>();
    let of_no_run = (0..OF_NO_RUN).map(|n| posing_pod(fake, NAMESPACE, &format!("made-up-{n}"))).collect();
    let (from_elsewhere, of_other_run) =
        (posing(FROM_ELSEWHERE, "elsewhere", &run), posing(OF_OTHER_RUN, NAMESPACE, &other_run));

    let listen = || async { TcpListener::bind("127.0.0.1:0").await.expect("a port") };
    let (port, health_port) = (listen().await, listen().await);
    let (at, health_at) =
        (port.local_addr().expect("an address"), health_port.local_addr().expect("an address"));
    let leadership = Leadership::from(operator.standing.subscribe());
    let (armies, metrics) = (operator.armies.clone(), Arc::new(Metrics::default()));
    let keeper = Keeper::new(fake.client("keeper"), armies.clone(), leadership.clone(), metrics.clone());
    let reviewer = Arc::new(Reviewer::new(fake.client("reviewer")));
    let trust = in_force.borrow().bundle.certificates().to_owned();
    let coordinator = Coordinator::new(
        armies.clone(),
        reviewer,
        Arc::new(keeper),
        leadership.clone(),
        in_force.clone(),
        metrics.clone(),
    );
    let routes = coordinator::routes(coordinator);
    tokio::spawn(coordinator::serve(port, in_force, routes, metrics.clone()));
    let shown = metrics::routes(metrics, Arc::<Armies>::clone(&armies));
    tokio::spawn(health::serve(health_port, operator.readiness.clone(), leadership, shown));
    // For as long as the process lives.
    std::mem::forget(operator);
    Served {
        coordinator: at,
        health: health_at,
        trust,
        run,
        honest,
        honest_pod,
        other_run,
        foe,
        foe_pod,
        of_no_run,
        from_elsewhere,
        of_other_run,
    }
}

/// A pod that somebody has made who may make pods in this namespace, with the labels that he likes; its token.
fn posing_pod(fake: &Fake, namespace: &str, run_uid: &str) -> String {
    let name = format!("posing-{}", fake.all("pods").len());
    let metadata = json!({
        "name": name, "labels": {RUN_UID_LABEL: run_uid},
        "annotations": {"batch.kubernetes.io/job-completion-index": "1"},
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
    let pod = fake.add_to(namespace, "pods", pod);
    let token = format!("{name}-").repeat(50);
    fake.vouch_for(namespace, &token, &name, &uid(&pod));
    token
}

fn run_of(name: &str, runners: u32) -> serde_json::Value {
    run(name, &json!({"runners": {"count": runners}}))
}
