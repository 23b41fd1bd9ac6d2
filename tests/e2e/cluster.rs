//! The cluster, through kubectl, as its users have it.

use base64::Engine;
use botarmy_operator::armies::Checkpoint;
use botarmy_operator::checkpoint;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Between two looks at the cluster, at first: what comes soon is seen soon.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// And for what takes longer: each look is a process, and other tests need the processors as well.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn kubectl(args: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(root().join("tests/cluster/kubectl"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kubectl");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.unwrap_or_default().as_bytes()).expect("to be read");
    drop(stdin);
    child.wait_with_output().expect("an end")
}

/// The shop of the examples.
fn target() -> String {
    std::fs::read_to_string(root().join("examples/target.yaml")).expect("the example")
}

/// Whoever counts what the operators do, or makes them do much, holds this: not both at the same time.
pub(crate) fn counting() -> MutexGuard<'static, ()> {
    static COUNTING: Mutex<()> = Mutex::new(());
    COUNTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A namespace under the strictest rules, gone when the test ends.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn new(name: &str) -> Self {
        let namespace = Self { name: format!("e2e-{name}") };
        let manifest = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n",
            namespace.name
        );
        namespace.apply(&manifest);
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What kubectl prints; its complaint ends the test.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args, None);
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn try_kubectl(&self, args: &[&str], input: Option<&str>) -> Output {
        let all: Vec<&str> = ["--namespace", &self.name].into_iter().chain(args.iter().copied()).collect();
        kubectl(&all, input)
    }

    pub(crate) fn apply(&self, manifest: &str) {
        let image = std::env::var("BOTARMY_IMAGE").unwrap_or_else(|_| "localhost/botarmy:dev".into());
        let manifest = manifest.replace("localhost/botarmy:dev", &image);
        let output = self.try_kubectl(&["apply", "-f", "-"], Some(&manifest));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", what, "-o", "json"])).expect("JSON")
    }

    /// Waits until something is so, for two minutes at most.
    pub(crate) fn eventually<T>(&self, what: &str, look: impl FnMut(&Self) -> Option<T>) -> T {
        self.eventually_within(120, what, look)
    }

    /// Waits until something is so, for so many seconds at most.
    pub(crate) fn eventually_within<T>(
        &self,
        seconds: u64,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if Instant::now() > deadline {
                let state = self
                    .try_kubectl(&["get", "botrunschedules,botruns,jobs,pods,events", "-o", "wide"], None);
                let status = self.try_kubectl(&["get", "botrunschedules,botruns", "-o", "yaml"], None);
                panic!(
                    "never: {what}\n{}\n{}",
                    String::from_utf8_lossy(&state.stdout),
                    String::from_utf8_lossy(&status.stdout)
                );
            }
            std::thread::park_timeout(pause);
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens the shop of the examples.
    pub(crate) fn open_shop(&self) {
        self.open(&target());
    }

    /// The same, with answers that take so long.
    pub(crate) fn open_slow_shop(&self, latency: &str) {
        let listens = "\"0.0.0.0:8080\"";
        let slow = target().replace(listens, &format!("{listens}, --latency, \"{latency}\""));
        assert!(slow.contains(latency), "the shop has another command: {slow}");
        self.open(&slow);
    }

    fn open(&self, target: &str) {
        self.apply(target);
        self.kubectl(&["rollout", "status", "deployment/target", "--timeout=120s"]);
    }

    /// Where a page of the shop lies for kubectl.
    pub(crate) fn shop_path(&self, page: &str) -> String {
        format!("/api/v1/namespaces/{}/services/target:8080/proxy/{page}", self.name)
    }

    /// The shop's own count.
    pub(crate) fn shop_stats(&self) -> Value {
        self.stats_of("target")
    }

    /// That of a shop of another name. The API server, through which it is read, learns a little later than the
    /// Deployment does that somebody answers there, so that it is asked again.
    pub(crate) fn stats_of(&self, shop: &str) -> Value {
        let path = format!("/api/v1/namespaces/{}/services/{shop}:8080/proxy/stats", self.name);
        let answer = self.eventually(&format!("the count of {shop}"), |n| {
            let output = n.try_kubectl(&["get", "--raw", &path], None);
            if !output.status.success() {
                eprintln!("{path}: {}", String::from_utf8_lossy(&output.stderr));
            }
            output.status.success().then_some(output.stdout)
        });
        serde_json::from_slice(&answer).expect("JSON")
    }

    /// What is kept of a run.
    pub(crate) fn checkpoint(&self, run: &str) -> Checkpoint {
        let stored = self.get(&format!("configmap/{run}-checkpoint"));
        let packed = stored["binaryData"]["checkpoint.json.gz"].as_str().expect("a checkpoint");
        let packed = base64::engine::general_purpose::STANDARD.decode(packed).expect("base64");
        checkpoint::unpack(&packed).expect("a checkpoint")
    }

    /// When each of those who say who they are has called at the shop.
    pub(crate) fn shop_senders(&self) -> Value {
        serde_json::from_str(&self.kubectl(&["get", "--raw", &self.shop_path("stats/senders")]))
            .expect("JSON")
    }

    /// That of one of the shop's pods.
    pub(crate) fn pod_stats(&self, pod: &str) -> Value {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/stats", self.name);
        serde_json::from_str(&self.kubectl(&["get", "--raw", &path])).expect("JSON")
    }

    pub(crate) fn wait_complete(&self, run: &str) -> Value {
        // A run whose runners cannot start ends only when its deadline is over.
        self.wait_complete_within(240, run)
    }

    pub(crate) fn wait_complete_within(&self, seconds: u64, run: &str) -> Value {
        let name = format!("botrun/{run}");
        self.kubectl(&["wait", "--for=condition=Complete", &name, &format!("--timeout={seconds}s")]);
        self.get(&name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.try_kubectl(&["delete", "namespace", &self.name, "--wait=false"], None);
    }
}

/// The reason of a condition.
pub(crate) fn reason<'v>(run: &'v Value, kind: &str) -> Option<&'v str> {
    let all = run["status"]["conditions"].as_array()?;
    all.iter().find(|c| c["type"] == kind)?["reason"].as_str()
}

/// The status of a condition, with its message.
pub(crate) fn condition<'v>(run: &'v Value, kind: &str) -> Option<(&'v str, &'v str)> {
    let all = run["status"]["conditions"].as_array()?;
    let found = all.iter().find(|c| c["type"] == kind)?;
    Some((found["status"].as_str()?, found["message"].as_str()?))
}
