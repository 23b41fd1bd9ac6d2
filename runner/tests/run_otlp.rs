//! `runner run --otlp-endpoint`: what a collector gets, and that a collector costs a run nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, GET, Given, SHOPPER};
use common::bucket::bucket_of;
use common::{PATIENCE, Shop, command, ended, runner, until};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One push as it came.
#[derive(Debug, Clone)]
struct Push {
    request_line: String,
    /// By name in small letters.
    headers: BTreeMap<String, String>,
    body: ExportMetricsServiceRequest,
}

/// A collector that keeps what it gets.
struct Collector {
    port: u16,
    pushes: Arc<Mutex<Vec<Push>>>,
}

impl Collector {
    /// Answers each push with these bytes; with none it keeps the sender waiting.
    fn open(answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let pushes = Arc::new(Mutex::new(Vec::new()));
        let all = pushes.clone();
        std::thread::spawn(move || {
            let mut waiting = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let push = read(&stream);
                all.lock().expect("the pushes").push(push);
                match &answer {
                    Some(answer) => stream.write_all(answer).expect("the answer is sent"),
                    None => waiting.push(stream),
                }
            }
        });
        Self { port, pushes }
    }

    /// Answers as it should.
    fn good() -> Self {
        Self::open(Some(answer("200 OK", &ExportMetricsServiceResponse::default().encode_to_vec())))
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn pushes(&self) -> Vec<Push> {
        self.pushes.lock().expect("the pushes").clone()
    }
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn read(stream: &TcpStream) -> Push {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line of the head");
        line.trim_end().to_owned()
    };
    let request_line = line();
    let mut headers = BTreeMap::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length: usize = headers["content-length"].parse().expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let body = ExportMetricsServiceRequest::decode(&*body).expect("the official format");
    Push { request_line, headers, body }
}

fn labels(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let pair = |kv: &KeyValue| match kv.value.as_ref().and_then(|v| v.value.clone()) {
        Some(Value::StringValue(value)) => (kv.key.clone(), value),
        other => panic!("{other:?} is no text"),
    };
    attributes.iter().map(pair).collect()
}

/// Whether these are the attributes that are wanted; none wanted means any.
fn has(attributes: &[KeyValue], wanted: &[(&str, &str)]) -> bool {
    let wanted: BTreeMap<String, String> =
        wanted.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    wanted.is_empty() || labels(attributes) == wanted
}

impl Push {
    fn resource(&self) -> BTreeMap<String, String> {
        labels(&self.body.resource_metrics[0].resource.as_ref().expect("a resource").attributes)
    }

    fn data(&self, name: &str) -> Option<Data> {
        let metrics = &self.body.resource_metrics[0].scope_metrics[0].metrics;
        metrics.iter().find(|m| m.name == name).and_then(|m| m.data.clone())
    }

    fn points(&self, name: &str) -> Vec<NumberDataPoint> {
        match self.data(name) {
            Some(Data::Sum(sum)) => sum.data_points,
            Some(Data::Gauge(gauge)) => gauge.data_points,
            None => Vec::new(),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The sum of a metric's points with these attributes, or of all.
    fn count(&self, name: &str, wanted: &[(&str, &str)]) -> u64 {
        let fits = |point: &&NumberDataPoint| has(&point.attributes, wanted);
        let count = |point: &NumberDataPoint| match point.value {
            Some(Number::AsInt(count)) => u64::try_from(count).expect("a count"),
            other => panic!("{name}: {other:?}"),
        };
        self.points(name).iter().filter(fits).map(count).sum()
    }

    /// The times with these attributes.
    fn duration(&self, wanted: &[(&str, &str)]) -> HistogramDataPoint {
        let Some(Data::Histogram(histogram)) = self.data("botarmy.action.duration") else {
            panic!("no histogram in {self:?}")
        };
        let fits = |point: &&HistogramDataPoint| has(&point.attributes, wanted);
        histogram.data_points.iter().find(fits).cloned().unwrap_or_else(|| panic!("{wanted:?} has none"))
    }
}

/// Holds a push against the result of the run.
fn agrees(push: &Push, done: &Done) {
    assert_eq!(push.count("botarmy.requests", &[]), done.number("/requests"));
    assert_eq!(push.count("botarmy.iterations", &[]), done.number("/iterations"));
    assert_eq!(push.count("botarmy.bots.started", &[]), done.number("/bots/started"));
    assert_eq!(push.count("botarmy.bots.alive", &[]), done.number("/bots/alive"));
    for action in done.result["actions"].as_array().expect("actions") {
        let name = action["name"].as_str().expect("a name");
        let parts = [("action", "name"), ("scenario", "scenario"), ("group", "group")];
        let parts = parts.map(|(key, field)| action[field].as_str().map(|value| (key, value)));
        let of: Vec<(&str, &str)> = parts.into_iter().flatten().collect();
        let with = |key, value| [&*of, &[(key, value)]].concat();
        for outcome in ["succeed", "fail", "error", "crash", "cancelled"] {
            let count = push.count("botarmy.actions", &with("outcome", outcome));
            assert_eq!(action[outcome], count, "{name} {outcome}");
        }
        for (status, count) in action["statuses"].as_object().into_iter().flatten() {
            let told = push.count("botarmy.action.responses", &with("status", status));
            assert_eq!(*count, told, "{name} {status}");
        }
        for failure in action["failures"].as_array().into_iter().flatten() {
            let class = failure["class"].as_str().expect("a class");
            let told = push.count("botarmy.action.failures", &with("class", class));
            assert_eq!(failure["count"], told, "{name} {class}");
        }
        let duration = push.duration(&of);
        assert_eq!(action["count"], duration.count, "{name}");
        assert_eq!(duration.bucket_counts.iter().sum::<u64>(), duration.count, "{name}");
        if let Some(p95) = action["p95Us"].as_u64() {
            let p95 = p95 as f64 / 1e6;
            let (from, to) = bucket_of(&duration, 0.95);
            assert!(from < p95 && p95 <= to, "{name}: {p95} is not in {from}..={to}");
        }
    }
}

#[test]
fn the_last_push_is_what_the_result_says() {
    let (collector, shop) = (Collector::good(), Shop::open(&["--failures-per-thousand", "100"]));
    // What is done before and after all bots is part of it, too.
    let once = "  Once: {always_succeed: {http: {get: '{{ target }}/catalogue'}}}
tree: Shopper
setup: {tree: Once}
teardown: {tree: Once}
";
    let given = Given::new(&format!("{SHOPPER}{once}"));
    let done = given.run(&[
        "--target",
        &shop.url(),
        "--iterations",
        "200",
        "--bots",
        "5",
        "--otlp-endpoint",
        &format!("{}/otlp/", collector.url()),
        "--otlp-header",
        "X-Tenant=a=b c",
    ]);
    let pushes = collector.pushes();
    let [push] = &*pushes else { panic!("{} pushes in a short run", pushes.len()) };
    assert_eq!(push.request_line, "POST /otlp/v1/metrics HTTP/1.1");
    let header = |name: &str| push.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("application/x-protobuf"));
    assert_eq!(header("host"), Some(&*format!("127.0.0.1:{}", collector.port)));
    assert_eq!(header("x-tenant"), Some("a=b c"));
    let resource = push.resource();
    assert_eq!((&*resource["service.name"], &*resource["botarmy.run"]), ("botarmy-runner", "army"));
    assert!(!resource["service.instance.id"].is_empty());
    assert!(push.count("botarmy.action.failures", &[]) > 0, "some of it failed");
    assert_eq!(shop.requests(), done.number("/requests"));
    agrees(push, &done);
    assert!(!done.ended.stderr.contains("push"), "{:?}", done.ended);
}

#[test]
fn a_run_pushes_while_it_goes_on_and_each_push_says_all() {
    let (collector, shop) = (Collector::good(), Shop::open(&["--latency", "5ms"]));
    let given = Given::new(GET);
    let url = shop.url();
    let mut program = command(&given.args(&["--target", &url, "--duration", "1h", "--bots", "2"]));
    program.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    program.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s%20t");
    let program = common::Running::new(program.spawn().expect("the program starts"));
    until("it has pushed once", || !collector.pushes().is_empty());
    assert!(!program.is_over());
    let counts = |push: &Push| push.count("botarmy.requests", &[]);
    // Each bot has one under way at most: of more than that the target knows, some have come to their end since.
    until("more requests", || {
        shop.requests() > collector.pushes().first().map(counts).unwrap_or_default() + 2
    });
    program.signal("INT");
    let done = given.done(program.end());
    let pushes = collector.pushes();
    let (first, last) = (pushes.first().expect("a push"), pushes.last().expect("a push"));
    assert!(pushes.len() >= 2, "one at the end, too");
    agrees(last, &done);
    assert_eq!(first.headers["api-key"], "s t");
    assert_eq!(first.count("botarmy.bots.alive", &[]), 2);
    assert!((1..counts(last)).contains(&counts(first)), "{} then {}", counts(first), counts(last));
    let times = |push: &Push| {
        let point = &push.points("botarmy.requests")[0];
        (point.start_time_unix_nano, point.time_unix_nano)
    };
    let ((start, then), (same, now)) = (times(first), times(last));
    assert!(start == same && start < then && then < now, "{start} {same} {then} {now}");
    assert_eq!(first.resource(), last.resource(), "one sender");
}

#[test]
fn the_address_for_metrics_is_used_as_it_is() {
    let collector = Collector::good();
    let given = Given::new("trees: {T: done}\n");
    let mut program = command(&given.args(&["--iterations", "3"]));
    program.env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("{}/api/push?x=y", collector.url()));
    program.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let done = given.done(ended(program).expect(0));
    assert_eq!(collector.pushes()[0].request_line, "POST /api/push?x=y HTTP/1.1");
    agrees(&collector.pushes()[0], &done);
}

/// Whatever the collector does, the run is as it would be without it, and says what went wrong.
#[test]
fn a_collector_that_fails_costs_nothing_but_a_message() {
    let part = ExportMetricsPartialSuccess { rejected_data_points: 7, error_message: "too old".into() };
    let part = ExportMetricsServiceResponse { partial_success: Some(part) }.encode_to_vec();
    let cases = [
        (
            Collector::open(Some(answer("500 Internal Server Error", b""))),
            "the answer is 500 Internal Server Error",
        ),
        (Collector::open(Some(answer("200 OK", &part))), "the collector took all but 7 figures: too old"),
        (Collector::open(Some(b"SSH-2.0-x\r\n".to_vec())), "the connection broke: "),
        (Collector::open(Some(Vec::new())), "the connection broke: "),
        (Collector::open(None), "no answer within 10s"),
    ];
    let mut addresses: Vec<(String, &str)> = cases.iter().map(|(c, told)| (c.url(), *told)).collect();
    addresses.push(("http://127.0.0.1:1".to_owned(), "no connection: Connection refused"));
    // They wait at the same time.
    std::thread::scope(|scope| {
        for (address, told) in &addresses {
            scope.spawn(move || {
                let given = Given::new(GET);
                let done = given.run(&["--demo-target", "--iterations", "20", "--otlp-endpoint", address]);
                assert_eq!((done.ended.code(), done.number("/requests")), (0, 20), "{told}");
                assert!(done.number("/durationMs") < 9_000, "it is not part of the run: {}", done.result);
                let line = format!("1 of 1 pushes to {address}/v1/metrics failed: {told}");
                let last = done.ended.stderr_lines().last().copied().unwrap_or_default().to_owned();
                assert!(last.starts_with(&line), "{last:?} is not {line:?}");
            });
        }
    });
}

#[test]
fn who_has_seen_enough_need_not_wait_for_a_collector() {
    let collector = Collector::open(None);
    let given = Given::new("trees: {T: done}\n");
    let program = given.start(&["--iterations", "1", "--otlp-endpoint", &collector.url()]);
    until("it waits for the collector", || !collector.pushes().is_empty() && given.names().len() == 2);
    let done = given.done({
        program.signal("INT");
        program.end()
    });
    assert_eq!((done.ended.code(), done.number("/iterations")), (0, 1));
}

#[test]
fn what_is_no_address_is_refused_before_anything_starts() {
    let shop = Shop::open(&[]);
    let given = Given::new(GET);
    for (args, told) in [
        (
            &["--otlp-endpoint", "127.0.0.1:4318"][..],
            "--otlp-endpoint: \"127.0.0.1:4318\" is not the address of a collector",
        ),
        (&["--otlp-header", "a=b"], "--otlp-header is for pushes"),
        (
            &["--otlp-endpoint", "http://127.0.0.1:1", "--otlp-header", "secret"],
            "--otlp-header: header \"…\": it has no value",
        ),
    ] {
        let url = shop.url();
        let args = [&["run", &*given.file, "--target", &url, "--iterations", "1"], args].concat();
        let refused = runner(&args).expect(1);
        assert!(refused.stderr.starts_with(told) && refused.stdout.is_empty(), "{refused:?}");
    }
    let mut program = command(&["run", &given.file, "--target", &shop.url(), "--iterations", "1"]);
    program.env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector");
    assert!(ended(program).expect(1).stderr.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: \"collector\""));
    assert_eq!(shop.requests(), 0);
}
