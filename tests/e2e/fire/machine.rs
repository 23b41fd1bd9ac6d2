//! Below Kubernetes: the processes of pods and of the cluster, and its network.

use crate::blind::{self, now_ms};
use crate::cluster::{Namespace, kubectl, root};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

const NODE: &str = "node1";
/// The namespace of the operators.
const OPERATORS: &str = "botarmy";
/// Parts without which no checkpoint is written.
const KEEPERS: [&str; 2] = ["kube-apiserver", "etcd"];
/// How long a part that is started again may take until it serves.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// The folder of the cluster's own state.
pub(crate) fn run_folder() -> String {
    let name =
        std::env::var("BOTARMY_CLUSTER").expect("BOTARMY_CLUSTER: the cluster that tests/e2e/run starts");
    format!("/run/botarmy/{name}")
}

/// Does something in the network of the cluster: what a thread opens there stays there.
pub(crate) fn in_network<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let name = run_folder().replace("/run/botarmy/", "/var/run/netns/botarmy-");
    let thread = std::thread::spawn(move || {
        let network = File::open(&name).expect(&name);
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("its network");
        act()
    });
    thread.join().expect("a thread that came to its end")
}

fn signal(pid: &str, signal: &str) {
    let status = Command::new("kill").args([signal, pid]).status().expect("kill");
    assert!(status.success(), "kill {signal} {pid}");
}

fn pod(namespace: &str, name: &str) -> Value {
    let output = kubectl(&["--namespace", namespace, "get", "pod", name, "-o", "json"], None);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Ends the process of a pod's container as the kernel does when there is no other way; the pod's UID.
pub(crate) fn kill_container(namespace: &str, name: &str) -> String {
    kill_if_alive(namespace, name).unwrap_or_else(|| panic!("{name} has no process"))
}

/// The same, unless it has ended already.
pub(crate) fn kill_if_alive(namespace: &str, name: &str) -> Option<String> {
    let pod = pod(namespace, name);
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str()?;
    let id = id.strip_prefix("containerd://").expect("of containerd");
    let file = format!("{}/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/init.pid", run_folder());
    let pid = std::fs::read_to_string(&file).ok()?;
    if namespace == OPERATORS && name == leader() {
        blind::leader_dies();
    }
    // It may have ended by itself since the file was read.
    let killed = Command::new("kill").args(["-KILL", pid.trim()]).status().expect("kill").success();
    if !killed {
        return None;
    }
    pod["metadata"]["uid"].as_str().map(str::to_owned)
}

/// The pods of the operator.
pub(crate) fn operators() -> Vec<String> {
    let which = "app.kubernetes.io/component=operator";
    let output = kubectl(&["--namespace", OPERATORS, "get", "pods", "-l", which, "-o", "json"], None);
    let pods: Value = serde_json::from_slice(&output.stdout).expect("pods");
    let pods = pods["items"].as_array().expect("pods").iter();
    let alive = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    alive.map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

fn read_lease() -> Value {
    let output = kubectl(&["--namespace", OPERATORS, "get", "lease", "botarmy-operator", "-o", "json"], None);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Since when the operator leads that leads now, in milliseconds since 1970.
pub(crate) fn led_since() -> u64 {
    let lease = read_lease();
    let time = lease["spec"]["acquireTime"].as_str().expect("a time").parse::<jiff::Timestamp>();
    u64::try_from(time.expect("a time").as_millisecond()).expect("after 1970")
}

/// Who holds the Lease, and how often it has changed hands.
pub(crate) fn lease() -> (String, u64) {
    let lease = read_lease();
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    (holder, lease["spec"]["leaseTransitions"].as_u64().unwrap_or_default())
}

/// The pod of the operator that leads.
pub(crate) fn leader() -> String {
    let (holder, _) = lease();
    holder.split('_').next().unwrap_or_default().to_owned()
}

/// The pod of a runner, as soon as there is one.
pub(crate) fn runner(namespace: &Namespace, run: &str, index: u32) -> String {
    namespace.eventually("a runner", |n| runner_now(n, run, index))
}

/// The pod of a runner, if there is one now.
pub(crate) fn runner_now(namespace: &Namespace, run: &str, index: u32) -> Option<String> {
    let which = format!("botarmy.dev/run={run},batch.kubernetes.io/job-completion-index={index}");
    let running = "--field-selector=status.phase=Running";
    let names = namespace.kubectl(&["get", "pods", "-l", &which, running, "-o", "name"]);
    names.lines().next().and_then(|name| name.strip_prefix("pod/")).map(str::to_owned)
}

/// Takes a pod from its node as `kubectl drain` does: its end is asked for, not forced.
pub(crate) fn evict(namespace: &Namespace, pod: &str) {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", namespace.name());
    let output = kubectl(&["create", "--raw", &path, "-f", "-"], Some(&eviction.to_string()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A node that takes no new pods for as long as this lives.
pub(crate) struct Cordoned;

impl Cordoned {
    pub(crate) fn node() -> Self {
        let output = kubectl(&["cordon", NODE], None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self
    }
}

impl Drop for Cordoned {
    fn drop(&mut self) {
        kubectl(&["uncordon", NODE], None);
    }
}

/// A part of the cluster that does not do its work: since when, and how often the Lease had changed hands before.
struct Away {
    part: String,
    since_ms: u64,
    transitions: u64,
}

impl Away {
    /// Sends the part's process a signal.
    fn by(part: &str, how: &str) -> (Self, String) {
        let transitions = if KEEPERS.contains(&part) { lease().1 } else { 0 };
        let pid = std::fs::read_to_string(format!("{}/pid/{part}", run_folder())).expect(part);
        let away = Self { part: part.to_owned(), since_ms: now_ms(), transitions };
        signal(pid.trim(), how);
        (away, pid.trim().to_owned())
    }

    /// It does its work again.
    fn is_back(&self) {
        if KEEPERS.contains(&&*self.part) {
            blind::nothing_was_written(self.since_ms, self.transitions);
        }
    }
}

/// A process of the cluster that stands still for as long as this lives.
pub(crate) struct Stopped(Away, String);

impl Stopped {
    pub(crate) fn part(part: &str) -> Self {
        let (away, pid) = Away::by(part, "-STOP");
        Self(away, pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(&self.1, "-CONT");
        self.0.is_back();
    }
}

/// A process of the cluster that is killed, so that nobody is there whom one could connect to, and started anew when this
/// ends.
pub(crate) struct Killed(Away);

impl Killed {
    pub(crate) fn part(part: &str) -> Self {
        Self(Away::by(part, "-KILL").0)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let started = Command::new(root().join("tests/cluster/start")).arg(&self.0.part).status();
        assert!(started.is_ok_and(|status| status.success()), "{} does not start", self.0.part);
        let deadline = Instant::now() + STARTS_WITHIN;
        while !kubectl(&["get", "--raw", "/readyz"], None).status.success() {
            assert!(Instant::now() < deadline, "{} does not serve again", self.0.part);
            std::thread::park_timeout(Duration::from_millis(300));
        }
        self.0.is_back();
    }
}

/// Packets that a pod sends to the coordinator are lost for as long as this lives.
pub(crate) struct Cut {
    address: String,
    uid: String,
    since_ms: u64,
}

impl Cut {
    pub(crate) fn off(namespace: &Namespace, pod_name: &str) -> Self {
        let pod = pod(namespace.name(), pod_name);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (address, uid) = (text(&pod["status"]["podIP"]), text(&pod["metadata"]["uid"]));
        rule("-I", &address);
        Self { address, uid, since_ms: now_ms() }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        rule("-D", &self.address);
        blind::not_heard(self.since_ms, &self.uid);
    }
}

fn rule(what: &str, address: &str) {
    let rule = ["iptables", what, "FORWARD", "-s", address, "-p", "tcp", "--dport", "8443", "-j", "DROP"];
    let status = Command::new(root().join("tests/cluster/enter")).args(rule).status().expect("iptables");
    assert!(status.success(), "{rule:?}");
}
