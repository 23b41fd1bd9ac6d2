//! An API of external metrics, with one metric, to which the API server passes questions on.

use crate::cluster::{Namespace, kubectl, root};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the API server calls it, and what it serves.
const NAME: &str = "v1beta1.external.metrics.k8s.io";
const GROUP: &str = "external.metrics.k8s.io/v1beta1";
const SERVICE: &str = "metrics-api";
/// How long a connection of the API server may be silent.
const PATIENCE: Duration = Duration::from_secs(90);
/// Says to a process of this test that it is to serve a metric, and which.
const ASKED: &str = "BOTARMY_TEST_SERVES_METRIC";
const TEST: &str = "autoscaler::metrics_api::a_metric_is_served";
/// What the line begins with that says where.
const TOLD: &str = "told: ";

/// The API, for as long as this is held: a process in the network of the cluster, where the API server reaches it.
pub(super) struct MetricsApi {
    process: Child,
    stdin: ChildStdin,
}

impl MetricsApi {
    /// Tells a metric, and has the API server know of it.
    pub(super) fn serve(namespace: &Namespace, metric: &str, value: u64) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut process = Command::new(root().join("tests/cluster/enter"))
            .arg(program)
            .args(["--exact", TEST, "--nocapture"])
            .env(ASKED, metric)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (stdin, stdout) = (process.stdin.take().expect("stdin"), process.stdout.take().expect("stdout"));
        let mut api = Self { process, stdin };
        api.tell(value);
        let lines = BufReader::new(stdout).lines().map(|line| line.expect("text"));
        let mut told = lines.filter_map(|line| Some(line.split_once(TOLD)?.1.trim().to_owned()));
        let port = told.next().expect("where it is served").parse().expect("a port");
        register(namespace, port);
        namespace.eventually("the metric can be asked for", |n| {
            let path = format!("/apis/{GROUP}/namespaces/{}/{metric}", n.name());
            let asked = n.try_kubectl(&["get", "--raw", &path], None);
            asked.status.success().then_some(())
        });
        // What else is said is read by nobody.
        std::thread::spawn(move || told.for_each(drop));
        api
    }

    /// From now on it has another value.
    pub(super) fn tell(&mut self, value: u64) {
        writeln!(self.stdin, "{value}").expect("to be read");
    }
}

/// What the process does that serves a metric: only when it is started for it.
#[test]
fn a_metric_is_served() {
    let Ok(metric) = std::env::var(ASKED) else { return };
    let listener = TcpListener::bind("0.0.0.0:0").expect("an address");
    let (value, config) = (Arc::new(AtomicU64::new(0)), Arc::new(tls()));
    println!("\n{TOLD}{}", listener.local_addr().expect("an address").port());
    let told = value.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, metric, value) = (config.clone(), metric.clone(), value.clone());
            std::thread::spawn(move || converse(stream, config, &metric, &value));
        }
    });
    for line in std::io::stdin().lines() {
        told.store(line.expect("text").trim().parse().expect("a number"), Ordering::Relaxed);
    }
}

impl Drop for MetricsApi {
    /// An API that does not answer would keep namespaces from being deleted.
    fn drop(&mut self) {
        kubectl(&["delete", "apiservice", NAME, "--ignore-not-found"], None);
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn tls() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed([SERVICE.to_owned()]).expect("a certificate");
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions of TLS").with_no_client_auth();
    config.with_single_cert(vec![made.cert.der().clone()], key.into()).expect("a key for the certificate")
}

/// A Service without a selector leads to the process: on the address of the node, in whose network it is.
fn register(namespace: &Namespace, port: u16) {
    let node = namespace.kubectl(&[
        "get",
        "nodes",
        "-o",
        r#"jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}"#,
    ]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
        "spec": {"ports": [{"port": 443, "targetPort": port}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": SERVICE, "labels": {"kubernetes.io/service-name": SERVICE}},
        "addressType": "IPv4", "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [node.trim()], "conditions": {"ready": true}}],
    });
    namespace.apply(&service.to_string());
    namespace.apply(&slice.to_string());
    // What a test that was killed has left behind; somebody else's is not touched.
    let left = kubectl(&["get", "apiservice", NAME, "-o", "json"], None);
    let left: Value = serde_json::from_slice(&left.stdout).unwrap_or_default();
    if left["spec"]["service"]["namespace"] == namespace.name() {
        kubectl(&["delete", "apiservice", NAME], None);
    }
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": NAME},
        "spec": {
            "group": "external.metrics.k8s.io", "version": "v1beta1",
            "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": {"namespace": namespace.name(), "name": SERVICE},
        },
    });
    let created = kubectl(&["create", "-f", "-"], Some(&api.to_string()));
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
}

/// Answers the questions of one connection, one after the other.
fn converse(stream: TcpStream, config: Arc<ServerConfig>, metric: &str, value: &AtomicU64) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut stream = BufReader::new(stream);
    loop {
        // A question has no body, so that it ends with its head.
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            (stream.read_line(&mut line).ok()? > 0).then_some(())?;
            head.push_str(&line);
        }
        let path = head.split(' ').nth(1)?.split('?').next()?;
        let answer = answer(path, metric, value.load(Ordering::Relaxed));
        let (status, body) =
            answer.map_or(("404 Not Found", "{}".to_owned()), |body| ("200 OK", body.to_string()));
        let length = body.len();
        let said = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.get_mut().write_all(said.as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
    }
}

fn answer(path: &str, metric: &str, value: u64) -> Option<Value> {
    let path = path.strip_prefix("/apis/")?.strip_prefix(GROUP)?;
    match path.strip_prefix("/namespaces/") {
        // Whether it is there at all.
        None if path.is_empty() => Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": [],
        })),
        Some(asked) if asked.split('/').nth(1) == Some(metric) => Some(json!({
            "kind": "ExternalMetricValueList", "apiVersion": GROUP, "metadata": {},
            "items": [{
                "metricName": metric, "metricLabels": {}, "value": value.to_string(),
                "timestamp": jiff::Timestamp::now().to_string(),
            }],
        })),
        _ => None,
    }
}
