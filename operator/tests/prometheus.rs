//! A real Prometheus scrapes the operator, once as text and once as messages with native histograms, and what it
//! answers is held against our own exact figures. Needs the programs prometheus and promtool in the folder of
//! `BOTARMY_PROMETHEUS`, or in /usr/bin.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_operator::armies::{Armies, Army};
use botarmy_operator::clock::now_ms;
use botarmy_operator::metrics::{self, CheckedIn, Metrics, Reconciled, Reconciling};
use botarmy_protocol::{CheckIn, RunRef, Stage, Together, VERSION};
use botarmy_report::{
    Delta, FailureClass, Histogram, Observed, Outcome, PROMETHEUS_BUCKETS, Recorder, RowInfo, Slice, Totals,
};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long Prometheus may take to start and to scrape.
const PATIENCE: Duration = Duration::from_secs(60);
/// A name with everything that labels escape.
const EVIL: &str = "GET \"/a\\b\"\n{x=\"y\"} 1";
/// Executions of each action.
const COUNT: u32 = 10_007;

/// One of the programs that come with Prometheus.
fn program(name: &str) -> PathBuf {
    let given = std::env::var_os("BOTARMY_PROMETHEUS").map(PathBuf::from);
    let prometheus = given.unwrap_or_else(|| "/usr/bin/prometheus".into());
    let program = prometheus.with_file_name(name);
    assert!(
        program.is_file(),
        "{} is not there; tests/tools/prometheus says how to get it",
        program.display()
    );
    program
}

/// Times of an action that lie over several magnitudes, the same each time.
fn times(action: u32) -> impl Iterator<Item = u64> {
    // Half of them within a millisecond of each other, so that buckets are full, and the rest far apart.
    (0..COUNT).map(move |n| match n % 4 {
        0 | 1 => u64::from(20_000 + (n * 37) % 1_000 + action),
        2 => u64::from(n * n % 900_001),
        _ => u64::from(n % 60) * 50_000,
    })
}

fn measured() -> (Totals, Histogram) {
    let row = |name: &str| RowInfo {
        name: name.into(),
        base: "GET".into(),
        measured: true,
        group: "A \"group\"".into(),
        ..RowInfo::default()
    };
    let mut recorder = Recorder::new(vec![row("GET /"), row(EVIL)].into(), 3_600_000_000);
    let mut first = Histogram::default();
    for (place, action) in (0..2).zip(0..) {
        for us in times(action) {
            let observed = Observed { status: Some(200), bytes_in: 10, ..Observed::default() };
            recorder.record_observed(place, Outcome::Succeed, us, &observed);
            recorder.count_request();
            if place == 0 {
                first.record(us);
            }
        }
    }
    let failed = Observed::failed(FailureClass::Timeout, "late");
    recorder.record_observed(1, Outcome::Fail, 1_000, &failed);
    (recorder.drain(), first)
}

/// An army at work that has measured this.
fn army(totals: Totals) -> Army {
    let spec = serde_json::json!({"trees": {"T": "done"}, "bots": 10});
    let spec: BotRunSpec = serde_json::from_value(spec).expect("a spec");
    let run = Run::check(&spec, "checkout", &Path::top(), &Actions::built_in()).expect("a run");
    let mut army = Army::new("shop", "checkout", &spec, run, 1, 1);
    let slice = Slice { second: 0, totals, warmup: false, apart: false };
    let said = CheckIn {
        protocol: VERSION,
        run: RunRef { namespace: "shop".into(), name: "checkout".into(), uid: "uid".into() },
        index: 0,
        pod_uid: "pod".into(),
        stage: Stage::Running,
        alive: 7,
        round_trip_ms: None,
        deltas: vec![Delta { sequence: 1, slices: vec![slice], alive: 7 }],
        left: false,
        refusal: None,
        sources: None,
        performed: None,
        together: Together::default(),
        trusts: None,
        began_late_ms: None,
        standing: botarmy_protocol::Standing::default(),
    };
    army.check_in(&said, now_ms()).expect("orders");
    army
}

/// The operator's metrics on a port of this machine, for as long as this lives.
struct Scraped {
    address: SocketAddr,
    first: Histogram,
    _runtime: Runtime,
}

impl Scraped {
    fn serve() -> Self {
        let (totals, first) = measured();
        let armies = Arc::new(Armies::default());
        armies.lock().insert("uid".into(), army(totals));
        let metrics = Arc::new(Metrics::default());
        metrics.reconciled(Reconciling::Run, Duration::from_millis(3), Reconciled::Ok);
        metrics.checked_in(Duration::from_millis(2), Some(2_000), CheckedIn::Accepted);
        metrics.lead(true, 3);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move { axum::serve(listener, metrics::routes(metrics, armies)).await });
        Self { address, first, _runtime: runtime }
    }
}

/// What is at a path of a server; none while there is no server.
fn get(server: SocketAddr, path: &str) -> Option<String> {
    let mut connection = TcpStream::connect_timeout(&server, Duration::from_secs(5)).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200").map(|_| body.to_owned())
}

/// A Prometheus that scrapes one target, with its data in a folder that goes with it.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Drop for Prometheus {
    /// However the test ends, its process ends too.
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Prometheus {
    /// Starts it and waits until it has scraped.
    fn start(target: SocketAddr, features: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
             scrape_configs:\n- job_name: operator\n  honor_labels: true\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        std::fs::write(file("prometheus.yaml"), config).expect("the settings are written");
        let log = File::create(file("log")).expect("a log");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let process = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .args([format!("--web.listen-address={address}"), "--log.level=warn".into()])
            .args(features)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("prometheus");
        let mut prometheus = Self { process, address, folder };
        prometheus.wait();
        prometheus
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while self.try_ask("botarmy_operator_build_info").is_none_or(|told| told.is_empty()) {
            let ended = self.process.try_wait().expect("its state");
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "prometheus ended: {ended:?}\n{}", log());
            assert!(begun.elapsed() < PATIENCE, "nothing was scraped within {PATIENCE:?}\n{}", log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn try_ask(&self, query: &str) -> Option<Vec<Value>> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let answer = get(self.address, &format!("/api/v1/query?query={query}"))?;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        Some(answer["data"]["result"].as_array().expect("a list").clone())
    }

    /// The number that is the only answer to a query.
    #[track_caller]
    fn number(&self, query: &str) -> f64 {
        let told = self.try_ask(query).unwrap_or_else(|| panic!("no answer to {query}"));
        assert_eq!(told.len(), 1, "{query}: {told:?}");
        let number = told[0]["value"][1].as_str().and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("{query}: {told:?}"))
    }

    #[track_caller]
    fn assert_is(&self, query: &str, expected: f64) {
        let told = self.number(query);
        assert!((told - expected).abs() <= expected.abs() * 1e-12, "{query} is {told} and not {expected}");
    }

    /// What is counted is the same, whatever form it came in.
    fn assert_counts(&self) {
        let each = f64::from(COUNT);
        for (query, expected) in [
            ("up", 1.0),
            ("botarmy_operator_leader", 1.0),
            ("botarmy_operator_epoch", 3.0),
            ("botarmy_operator_check_ins_total{result=\"accepted\"}", 1.0),
            ("botarmy_operator_check_ins_total{result=\"token\"}", 0.0),
            ("botarmy_runs", 1.0),
            ("botarmy_bots_alive{namespace=\"shop\",run=\"checkout\"}", 7.0),
            ("botarmy_bots_target{namespace=\"shop\",run=\"checkout\"}", 10.0),
            ("botarmy_requests_total{run=\"checkout\"}", 2.0 * each),
            ("botarmy_received_bytes_total{run=\"checkout\"}", 20.0 * each),
            ("botarmy_actions_total{action=\"GET /\",outcome=\"succeed\"}", each),
            ("sum(botarmy_actions_total{outcome=\"fail\"})", 1.0),
            ("botarmy_action_failures_total{class=\"timeout\"}", 1.0),
            ("sum(botarmy_action_responses_total{status=\"200\"})", 2.0 * each),
        ] {
            self.assert_is(query, expected);
        }
        let told =
            self.try_ask("botarmy_actions_total{outcome=\"fail\",action!=\"GET /\"}").expect("an answer");
        let labels = &told[0]["metric"];
        assert_eq!((labels["action"].as_str(), labels["group"].as_str()), (Some(EVIL), Some("A \"group\"")));
    }
}

/// Shares of all executions whose times are asked for.
const SHARES: [f64; 5] = [0.1, 0.5, 0.9, 0.95, 0.99];

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[test]
fn text_has_exact_counts_and_quantiles_within_classic_buckets() {
    let scraped = Scraped::serve();
    let prometheus = Prometheus::start(scraped.address, &[]);
    prometheus.assert_counts();
    let of = |part: &str| format!("botarmy_action_duration_seconds_{part}{{action=\"GET /\"}}");
    prometheus.assert_is(&of("count"), f64::from(COUNT));
    prometheus.assert_is(&of("sum"), seconds(scraped.first.sum()));
    for share in SHARES {
        let told = prometheus.number(&format!("histogram_quantile({share}, sum by (le) ({}))", of("bucket")));
        let exact = scraped.first.quantile(share).expect("a quantile");
        let place = PROMETHEUS_BUCKETS.partition_point(|bound| *bound < exact);
        let low = if place == 0 { 0 } else { PROMETHEUS_BUCKETS[place - 1] };
        let (low, high) = (seconds(low), seconds(PROMETHEUS_BUCKETS[place]));
        assert!(told >= low && told <= high, "p{share}: {told} is not in {low} to {high}, as {exact} us is");
    }
}

#[test]
fn messages_have_exact_counts_and_quantiles_within_native_buckets() {
    let scraped = Scraped::serve();
    let prometheus = Prometheus::start(scraped.address, &["--enable-feature=native-histograms"]);
    prometheus.assert_counts();
    let histogram = "botarmy_action_duration_seconds{action=\"GET /\"}";
    prometheus.assert_is(&format!("histogram_count({histogram})"), f64::from(COUNT));
    prometheus.assert_is(&format!("histogram_sum({histogram})"), seconds(scraped.first.sum()));
    let native = scraped.first.native(1_000_000);
    // One bucket, and a thousandth for our own counters.
    let most = 2.0_f64.powf(2.0_f64.powi(-native.schema)) * 1.001;
    for share in SHARES {
        let told = prometheus.number(&format!("histogram_quantile({share}, {histogram})"));
        let exact = seconds(scraped.first.quantile(share).expect("a quantile"));
        let off = (told / exact).max(exact / told);
        assert!(off <= most, "p{share}: {told} is {off} times off from {exact}, more than {most}");
    }
    // What the operator measures of itself comes in the same way.
    prometheus
        .assert_is("histogram_count(botarmy_operator_reconcile_duration_seconds{kind=\"BotRun\"})", 1.0);
    prometheus.assert_is("histogram_sum(botarmy_operator_check_in_bytes)", 2_000.0);
}

#[test]
fn the_text_keeps_to_the_rules_for_names() {
    let scraped = Scraped::serve();
    let text = get(scraped.address, "/metrics").expect("metrics");
    let mut promtool = Command::new(program("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    // Dropped at once, so that it reads to the end.
    promtool.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    let done = promtool.wait_with_output().expect("its end");
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
