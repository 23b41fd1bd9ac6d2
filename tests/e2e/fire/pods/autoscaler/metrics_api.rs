//! An API of external metrics, with one metric: this process, which the API server passes questions on to.

use crate::cluster::{Namespace, kubectl};
use crate::machine::in_network;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the API server calls it, and what it serves.
const NAME: &str = "v1beta1.external.metrics.k8s.io";
const GROUP: &str = "external.metrics.k8s.io/v1beta1";
const SERVICE: &str = "metrics-api";
/// How long a connection of the API server may be silent.
const PATIENCE: Duration = Duration::from_secs(90);

/// The API, for as long as this is held.
pub(super) struct MetricsApi {
    value: Arc<AtomicU64>,
}

impl MetricsApi {
    /// Tells a metric, and has the API server know of it.
    pub(super) fn serve(namespace: &Namespace, metric: &'static str, value: u64) -> Self {
        let listener = in_network(|| TcpListener::bind("0.0.0.0:0")).expect("an address");
        let port = listener.local_addr().expect("an address").port();
        let (told, config) = (Arc::new(AtomicU64::new(value)), Arc::new(tls()));
        let value = told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, value) = (config.clone(), value.clone());
                std::thread::spawn(move || converse(stream, config, metric, &value));
            }
        });
        let api = Self { value: told };
        register(namespace, port);
        namespace.eventually("the metric can be asked for", |n| {
            let path = format!("/apis/{GROUP}/namespaces/{}/{metric}", n.name());
            let asked = n.try_kubectl(&["get", "--raw", &path], None);
            asked.status.success().then_some(())
        });
        api
    }

    /// From now on it has another value.
    pub(super) fn tell(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }
}

impl Drop for MetricsApi {
    /// An API that does not answer would keep namespaces from being deleted.
    fn drop(&mut self) {
        kubectl(&["delete", "apiservice", NAME, "--ignore-not-found"], None);
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

/// A Service without a selector leads to this process: on the address of the node, in whose network it is.
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
