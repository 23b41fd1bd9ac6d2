//! `runner run`: armies against the demo shop and against targets that are none.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::{Ended, Folder, PATIENCE, Running, Shop, runner, start, text, unread, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A shopper: three requests in each iteration, all of which succeed.
const SHOPPER: &str = r#"
trees:
  Shopper:
    sequence:
      - http: {post: "{{ target }}/login", save: {token: $.token}}
      - http:
          post: "{{ target }}/cart"
          headers: {Authorization: "Bearer {{ token }}"}
          json: {item: 1}
          expect: {status: 201, json: {$.total: 1200, $.count: 1}}
        label: Put
      - http:
          get: "{{ target }}/cart"
          headers: {Authorization: "Bearer {{ token }}"}
          expect: {json: {"$.items[0]": 1}}
"#;
/// One request in each iteration.
const GET: &str = "trees: {T: {http: {get: '{{ target }}/catalogue'}}}\n";

/// How a run ended, and its result.
struct Done {
    ended: Ended,
    result: Value,
}

impl Done {
    fn number(&self, pointer: &str) -> u64 {
        let value = self.result.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("{pointer} is no number in {:#}", self.result))
    }

    fn action(&self, name: &str) -> &Value {
        let actions = self.result["actions"].as_array().expect("actions");
        let found = actions.iter().find(|a| a["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {:#}", self.result))
    }

    /// Succeeded, failed, error, cancelled.
    fn counts(&self, name: &str) -> [u64; 4] {
        let action = self.action(name);
        ["succeed", "fail", "error", "cancelled"].map(|k| action[k].as_u64().expect("a number"))
    }
}

/// A file and the place of its result.
struct Given {
    folder: Folder,
    file: String,
    out: String,
}

impl Given {
    fn new(content: &str) -> Self {
        let folder = Folder::new();
        let file = folder.file("army.yaml", content);
        let out = text(&folder.path("out.json"));
        Self { folder, file, out }
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["run", &self.file, "--out", &self.out], more].concat()
    }

    fn start(&self, args: &[&str]) -> Running {
        start(&self.args(args))
    }

    fn done(&self, ended: Ended) -> Done {
        let out = std::fs::read_to_string(&self.out).expect("a result");
        Done { ended, result: serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}")) }
    }

    fn run(&self, args: &[&str]) -> Done {
        let ended = self.start(args).end();
        assert!([0, 99].contains(&ended.code()), "{ended:#?}");
        self.done(ended)
    }
}

/// Runs to the end, which is no failure.
fn run(content: &str, args: &[&str]) -> Done {
    let done = Given::new(content).run(args);
    assert_eq!((done.ended.code(), &done.result["outcome"]), (0, &json!("Passed")), "{:#?}", done.ended);
    done
}

#[test]
fn a_hundred_iterations_are_a_hundred() {
    // Slow enough for each bot to come to its turn.
    let shop = Shop::open(&["--latency", "5ms"]);
    let done = run(SHOPPER, &["--target", &shop.url(), "--iterations", "100", "--bots", "7"]);
    assert_eq!(done.number("/iterations"), 100);
    assert_eq!(done.result["bots"], json!({"started": 7, "alive": 0}));
    let stats = json!({"requests": 300, "routes": {"POST /login": 100, "POST /cart": 100, "GET /cart": 100}});
    assert_eq!(shop.stats(), stats);
    assert_eq!(done.number("/requests"), 300);
    for action in ["POST /login", "Put", "GET /cart"] {
        assert_eq!(done.counts(action), [100, 0, 0, 0], "{action}");
    }
    assert_eq!(done.number("/total/succeed"), 300);
}

#[test]
fn more_bots_than_iterations_do_no_more() {
    let shop = Shop::open(&["--latency", "50ms"]);
    let done = run(GET, &["--target", &shop.url(), "--iterations", "3", "--bots", "20"]);
    assert_eq!((done.number("/iterations"), done.number("/requests"), shop.requests()), (3, 3, 3));
    assert_eq!(done.result["bots"], json!({"started": 3, "alive": 0}), "one that has nothing to do is none");
}

#[test]
fn what_the_target_counts_is_what_we_count() {
    let tree = "
trees:
  T:
    sequence:
      - always_succeed: {http: {get: '{{ target }}/catalogue'}}
      - wait: [1ms, 5ms]
      - always_succeed: {http: {get: '{{ target }}/nowhere'}}
      - wait: [1ms, 5ms]
";
    for (knobs, args) in [
        (&["--failures-per-thousand", "100"][..], &["--iterations", "100", "--bots", "5"][..]),
        (&["--latency", "20ms"], &["--duration", "1s", "--bots", "6"]),
        (&[], &["--duration", "500ms", "--bots", "3"]),
    ] {
        let shop = Shop::open(knobs);
        let done = run(tree, &[&["--target", &shop.url()], args].concat());
        let counted = done.number("/requests");
        assert_eq!(shop.requests(), counted, "{knobs:?} {args:?}");
        assert!(counted > 20, "{counted} requests only");
        assert_eq!(done.number("/total/count") + done.number("/total/cancelled"), counted);
        assert_eq!(done.counts("GET /nowhere")[0], 0, "404 is no success");
        if knobs.contains(&"--failures-per-thousand") {
            assert_eq!(counted, 200);
            assert_eq!(done.counts("GET /catalogue").iter().sum::<u64>(), 100);
            assert!(done.counts("GET /catalogue")[1] > 0, "none failed");
        } else {
            assert_eq!(done.counts("GET /catalogue")[1], 0);
        }
    }
}

#[test]
fn requests_that_are_given_up_were_sent_all_the_same() {
    let shop = Shop::open(&["--latency", "500ms"]);
    let tree = "trees: {T: {http: {get: '{{ target }}/catalogue', timeout: 100ms}}}";
    let done = run(tree, &["--target", &shop.url(), "--iterations", "6", "--bots", "3"]);
    assert_eq!(done.counts("GET /catalogue"), [0, 6, 0, 0]);
    let requests = done.number("/requests");
    until("the shop has counted what it got", || shop.requests() >= requests);
    assert_eq!(shop.requests(), requests);
    assert!((1..=6).contains(&requests), "{requests} requests");
}

#[test]
fn a_run_takes_its_time_and_no_more() {
    let begun = Instant::now();
    let done = run(GET, &["--demo-target", "--duration", "1s", "--bots", "2"]);
    assert!((1000..10_000).contains(&done.number("/durationMs")), "{:#}", done.result);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(done.number("/iterations") > 0 && done.number("/requests") >= done.number("/iterations"));
}

#[test]
fn a_run_is_over_with_its_last_iteration() {
    let shop = Shop::open(&["--latency", "300ms"]);
    let done = run(GET, &["--target", &shop.url(), "--iterations", "2", "--bots", "2", "--duration", "1h"]);
    assert!((300..900).contains(&done.number("/durationMs")), "{:#}", done.result);
}

#[test]
fn the_end_does_not_wait_for_those_that_wait() {
    let begun = Instant::now();
    let tree = "trees: {T: {sequence: [{wait: 1h}, {log: never}]}}";
    let done = run(tree, &["--duration", "300ms", "--bots", "3"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(done.counts("wait(\"1h\")"), [0, 0, 0, 3]);
    assert_eq!((done.number("/iterations"), done.number("/bots/alive")), (0, 0));
    assert!(
        done.result["actions"].as_array().expect("actions").iter().all(|a| a["name"] != "log(\"never\")")
    );
}

#[test]
fn the_result_has_its_form() {
    let content =
        format!("{SHOPPER}thresholds: [{{expect: count == 9}}, {{expect: p(95) < 1m, action: Put}}]\n");
    let done = run(&content, &["--demo-target", "--iterations", "3"]);
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("a mapping").keys().cloned().collect()
    };
    let named = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    let top = named(&[
        "outcome",
        "bots",
        "requests",
        "iterations",
        "durationMs",
        "actions",
        "total",
        "thresholds",
        "gaps",
    ]);
    assert!(top.is_subset(&keys(&done.result)), "{:#}", done.result);
    assert_eq!(keys(&done.result["bots"]), named(&["started", "alive"]));
    let figures =
        ["count", "succeed", "fail", "error", "crash", "cancelled", "p50Us", "p95Us", "p99Us", "maxUs"];
    assert!(named(&figures).is_subset(&keys(&done.result["total"])), "{:#}", done.result);
    for action in ["POST /login", "Put", "GET /cart"] {
        assert!(named(&figures).is_subset(&keys(done.action(action))), "{:#}", done.result);
    }
    let thresholds = &done.result["thresholds"];
    assert_eq!(thresholds[0], json!({"expect": "count == 9", "value": "9", "passed": true}));
    assert_eq!(keys(&thresholds[1]), named(&["expect", "action", "value", "passed"]));
    assert_eq!((&thresholds[1]["action"], &thresholds[1]["passed"]), (&json!("Put"), &json!(true)));
    assert_eq!(done.result["gaps"], json!([]));
    for part in ["Passed", "POST /login", "Put", "GET /cart"] {
        assert!(done.ended.stdout.contains(part), "{part} is not in {}", done.ended.stdout);
    }
}

#[test]
fn a_target_that_is_down_is_a_failure_of_each_request() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", port.local_addr().expect("an address"));
    drop(port);
    let done = run(GET, &["--target", &url, "--iterations", "20", "--bots", "4"]);
    assert_eq!(done.counts("GET /catalogue"), [0, 20, 0, 0]);
    assert_eq!((done.number("/iterations"), done.number("/requests")), (20, 0));
    assert!(done.number("/bots/started") <= 4, "a failure is no death: {:#}", done.result);
}

/// A target of one's own: what it does with each connection, and how many requests reached it.
struct Target {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Target {
    /// The thread lives as long as the test's process.
    fn new(answer: impl Fn(TcpStream) + Send + Copy + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicU64::new(0));
        let counted = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counted = counted.clone();
                std::thread::spawn(move || {
                    let mut stream = stream;
                    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                    if read_request(&mut stream) {
                        counted.fetch_add(1, Ordering::SeqCst);
                        answer(stream);
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads one request without a body; false if none came.
fn read_request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Writes it over and over until the other side has gone.
fn pour(mut stream: &TcpStream, what: &[u8]) {
    while stream.write_all(what).is_ok() {}
}

/// Waits until the other side has gone.
fn hold(mut stream: &TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
}

fn say(mut stream: &TcpStream, what: &[u8]) {
    let _ = stream.write_all(what);
}

#[test]
fn targets_that_talk_nonsense_are_a_failure_of_each_request() {
    type Answer = fn(TcpStream);
    let targets: [(&str, Answer); 12] = [
        ("closes", drop::<TcpStream>),
        ("nonsense", |s| say(&s, b"\x00\x01\x02 what?\r\n\r\n")),
        ("another protocol", |s| say(&s, b"SSH-2.0-OpenSSH_9.6\r\n")),
        ("never answers", |s| hold(&s)),
        ("half a head", |s| say(&s, b"HTTP/1.1 200 OK\r\ncontent-le")),
        ("half a head and holds", |s| {
            say(&s, b"HTTP/1.1 200 OK\r\ncontent-le");
            hold(&s);
        }),
        ("an endless head", |s| {
            say(&s, b"HTTP/1.1 200 OK\r\n");
            pour(&s, b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
        }),
        ("an endless body", |s| {
            say(&s, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            pour(&s, b"4\r\nabcd\r\n");
        }),
        ("a short body", |s| say(&s, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")),
        ("a wrong chunk", |s| say(&s, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc")),
        ("an impossible status", |s| say(&s, b"HTTP/1.1 1000 OK\r\ncontent-length: 0\r\n\r\n")),
        ("two lengths", |s| say(&s, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")),
    ];
    let tree = "trees: {T: {http: {get: '{{ target }}/', timeout: 200ms}}}";
    for (what, answer) in targets {
        let target = Target::new(answer);
        let done = run(tree, &["--target", &target.url(), "--iterations", "4", "--bots", "2"]);
        assert_eq!(done.counts("GET /"), [0, 4, 0, 0], "{what}");
        assert_eq!(done.number("/iterations"), 4, "{what}");
        assert!(done.number("/bots/started") <= 2, "a failure is no death: {what}: {:#}", done.result);
        let requests = done.number("/requests");
        until("the target has counted what it got", || target.requests() >= requests);
        assert_eq!(target.requests(), requests, "{what}");
        assert!((1..=4).contains(&requests), "{what}: {requests} requests");
    }
}

#[test]
fn a_target_that_closes_before_it_reads_is_a_failure() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let tree = "trees: {T: {http: {get: '{{ target }}/', timeout: 200ms}}}";
    let done = run(tree, &["--target", &url, "--iterations", "10", "--bots", "2"]);
    assert_eq!(done.counts("GET /"), [0, 10, 0, 0]);
}

#[test]
fn what_is_expected_of_an_answer_decides() {
    let shop = Shop::open(&[]);
    for (request, succeeds) in [
        ("get: '{{ target }}/catalogue'", true),
        ("get: '{{ target }}/catalogue', expect: {status: 200}", true),
        ("get: '{{ target }}/catalogue', expect: {status: '200-299'}", true),
        ("get: '{{ target }}/catalogue', expect: {status: [404, 200]}", true),
        ("get: '{{ target }}/catalogue', expect: {status: 201}", false),
        ("get: '{{ target }}/nowhere'", false),
        ("get: '{{ target }}/nowhere', expect: {status: 404}", true),
        ("get: '{{ target }}/nowhere', expect: {status: 404, json: {$.error: there is no such page}}", true),
        ("get: '{{ target }}/cart', expect: {status: 401}", true),
        ("get: '{{ target }}/catalogue', expect: {json: {'$.goods[0].name': tea}}", true),
        ("get: '{{ target }}/catalogue', expect: {json: {'$.goods[0].cents': 450}}", true),
        ("get: '{{ target }}/catalogue', expect: {json: {'$.goods[0].cents': 450.0}}", true),
        ("get: '{{ target }}/catalogue', expect: {json: {'$.goods[0].cents': '450'}}", false),
        ("get: '{{ target }}/catalogue', expect: {json: {'$.goods[0].name': mug}}", false),
        ("get: '{{ target }}/catalogue', expect: {json: {'$.goods[9].name': tea}}", false),
        (
            "get: '{{ target }}/catalogue', expect: {json: {'$.goods[0].name': tea, '$.goods[1].name': tea}}",
            false,
        ),
        ("get: '{{ target }}/healthz', expect: {json: {$.ok: true}}", false),
        ("get: '{{ target }}/healthz'", true),
        ("get: '{{ target }}/catalogue', save: {x: $.goods}", true),
        ("get: '{{ target }}/catalogue', save: {x: $.nothing}", false),
        ("post: '{{ target }}/cart', json: {item: 1}", false),
    ] {
        let tree = format!("trees: {{T: {{http: {{{request}}}, label: request}}}}");
        let done = run(&tree, &["--target", &shop.url(), "--iterations", "1"]);
        let counts = if succeeds { [1, 0, 0, 0] } else { [0, 1, 0, 0] };
        assert_eq!(done.counts("request"), counts, "{request}");
        assert_eq!(done.number("/requests"), 1, "{request}");
    }
}

#[test]
fn what_is_saved_is_a_bots_own() {
    let tree = r#"
trees:
  T:
    sequence:
      - http: {get: "{{ target }}/catalogue", save: {kettle: "$.goods[2].id", all: "$.goods[*].cents"}}
      - http: {post: "{{ target }}/login", save: {token: $.token}}
      - http:
          post: "{{ target }}/cart"
          headers: {Authorization: "Bearer {{ token }}"}
          json: {item: "{{ kettle }}"}
          expect: {status: 201, json: {"$.items[0]": "{{ kettle }}", $.total: "{{ all[2] }}"}}
        label: Put
"#;
    let shop = Shop::open(&[]);
    let done = run(tree, &["--target", &shop.url(), "--iterations", "40", "--bots", "8"]);
    // A token of another bot would have found a cart that holds something.
    assert_eq!(done.counts("Put"), [40, 0, 0, 0]);
    assert_eq!(shop.requests(), 120);
}

#[test]
fn bots_that_end_are_replaced() {
    for (tree, leaf, counts) in [
        ("done", "done", [20, 0, 0, 0]),
        ("{error: 'no {{ bot.id }}'}", "error(\"no {{ bot.id }}\")", [0, 0, 20, 0]),
        ("{sequence: [{log: a}, done, {log: b}]}", "done", [20, 0, 0, 0]),
        ("{log: '{{ nothing.like.that }}'}", "log(\"{{ nothing.like.that }}\")", [0, 0, 20, 0]),
        ("{wait: '{{ nothing }}'}", "wait(\"{{ nothing }}\")", [0, 0, 20, 0]),
    ] {
        let done = run(&format!("trees: {{T: {tree}}}"), &["--iterations", "20", "--bots", "3"]);
        assert_eq!(done.counts(leaf), counts, "{tree}");
        assert_eq!((done.number("/bots/started"), done.number("/iterations")), (20, 20), "{tree}");
    }
    let done = run("trees: {T: {sequence: [{wait: 5ms}, done]}}", &["--duration", "300ms", "--bots", "2"]);
    assert!(done.number("/bots/started") > 4, "{:#}", done.result);
    assert_eq!(done.number("/bots/alive"), 0);
}

#[test]
fn a_template_that_fails_sends_nothing() {
    let tree = "trees: {T: {http: {get: '{{ target }}/{{ nothing }}'}, label: request}}";
    let shop = Shop::open(&[]);
    let done = run(tree, &["--target", &shop.url(), "--iterations", "5", "--bots", "2"]);
    assert_eq!(done.counts("request"), [0, 0, 5, 0]);
    assert_eq!((done.number("/requests"), shop.requests(), done.number("/bots/started")), (0, 0, 5));
}

#[test]
fn refill_bounds_how_many_are_replaced() {
    let tree = "trees: {T: done}\nrefill: {max: 2, every: 1h}\n";
    let done = run(tree, &["--duration", "1s", "--bots", "3"]);
    assert_eq!((done.number("/bots/started"), done.number("/iterations")), (5, 5));
    let often = "trees: {T: done}\nrefill: {max: 1, every: 100ms}\n";
    let done = run(often, &["--duration", "1s", "--bots", "2"]);
    let started = done.number("/bots/started");
    assert!((4..=13).contains(&started), "{started} bots for 2 and one each 100 ms");
}

#[test]
fn a_threshold_that_does_not_hold_fails_the_run() {
    let content = "trees: {T: {sequence: [{always_succeed: {http: {get: '{{ target }}/nowhere'}}}, {http: {get: '{{ target }}/catalogue'}}]}}
thresholds:
  - {expect: fail_rate < 1%, action: GET /catalogue}
  - {expect: fail_rate < 1%}
  - {expect: count > 1000}
  - {expect: p(95) < 1m}
  - {expect: fail_rate == 100%, action: GET /nowhere}
";
    let done = Given::new(content).run(&["--demo-target", "--iterations", "10"]);
    assert_eq!((done.ended.code(), &done.result["outcome"]), (99, &json!("Failed")));
    let told = done.result["thresholds"].as_array().expect("thresholds");
    let told: Vec<(&Value, &Value)> = told.iter().map(|t| (&t["value"], &t["passed"])).collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(told[0], (&json!("0.00%"), &yes));
    assert_eq!(told[1], (&json!("50.00%"), &no));
    assert_eq!(told[2], (&json!("20"), &no));
    assert_eq!(told[3].1, &yes);
    assert_eq!(told[4], (&json!("100.00%"), &yes));
    assert!(
        done.ended.stdout.contains("Failed") && done.ended.stdout.contains("50.00%"),
        "{}",
        done.ended.stdout
    );
    // A run that did nothing proves nothing.
    let done =
        Given::new("trees: {T: done}\nthresholds: [{expect: fail_rate < 1%}]").run(&["--iterations", "1"]);
    assert_eq!((done.ended.code(), &done.result["thresholds"][0]["value"]), (99, &json!("no samples")));
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let tree = "trees: {T: {random: [{log: a}, {log: b}, {log: c}]}}";
    let counts = |seed: &str| {
        let done = run(tree, &["--iterations", "300", "--bots", "1", "--seed", seed]);
        ["a", "b", "c"].map(|name| done.counts(&format!("log(\"{name}\")"))[0])
    };
    let seeds = ["1", "2", "3", "4"].map(counts);
    assert_eq!(counts("1"), seeds[0]);
    assert!(seeds.iter().any(|s| *s != seeds[0]), "{seeds:?}");
    assert!(seeds.iter().all(|s| s.iter().sum::<u64>() == 300), "{seeds:?}");
}

#[test]
fn the_command_line_stands_above_the_file() {
    let content = "trees: {A: {log: a}, B: {sequence: [{wait: 20ms}, {log: '{{ target }}', label: b}]}}
tree: A
target: http://127.0.0.1:1
bots: 1
iterations: 1
duration: 1h
seed: 3
";
    let done = run(content, &[]);
    assert_eq!((done.counts("log(\"a\")"), done.number("/bots/started")), ([1, 0, 0, 0], 1));
    let done = run(content, &["--tree", "B", "--iterations", "30", "--bots", "4", "--duration", "30s"]);
    assert_eq!((done.counts("b"), done.number("/bots/started")), ([30, 0, 0, 0], 4));
    let project = json!({"trees": [{"id": "r", "title": "Root", "root": "n", "nodes": {
        "n": {"name": "sequence", "title": "Sequence", "children": ["a", "b"]},
        "a": {"name": "log", "title": "log(\"hello\")"}, "b": {"name": "done", "title": "done()"},
    }}]});
    let done = run(&project.to_string(), &["--iterations", "5", "--bots", "2"]);
    assert_eq!((done.counts("log(\"hello\")"), done.number("/bots/started")), ([5, 0, 0, 0], 5));
}

#[test]
fn the_first_interrupt_ends_it_and_keeps_what_was_measured() {
    for (signal, threshold, code) in
        [("INT", "count > 0", 0), ("TERM", "count > 0", 0), ("INT", "count < 1", 99)]
    {
        let shop = Shop::open(&["--latency", "30ms"]);
        let given = Given::new(&format!("{GET}thresholds: [{{expect: {threshold}}}]\n"));
        let program = given.start(&["--target", &shop.url(), "--bots", "3"]);
        until("the run goes on", || shop.requests() > 5);
        program.signal(signal);
        let done = given.done(program.end());
        assert_eq!(done.ended.code(), code, "{signal}: {:?}", done.ended);
        assert_eq!(done.number("/requests"), shop.requests());
        assert_eq!(done.counts("GET /catalogue")[1..], [0, 0, 0], "what was in flight came to its end");
        assert_eq!(done.number("/bots/alive"), 0);
    }
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let shop = Shop::open(&["--latency", "1h"]);
    let given = Given::new(GET);
    let mut program = given.start(&["--target", &shop.url(), "--bots", "2"]);
    until("the bots hang", || shop.requests() == 2);
    program.signal("INT");
    let early = program.ended_within(Duration::from_millis(300));
    assert!(early.is_none(), "requests in flight are waited for: {early:?}");
    let begun = Instant::now();
    program.signal("INT");
    program.end().expect(130);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn input_that_is_wrong_starts_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for (content, args, part) in [
        ("trees: {T: {wiat: 1}}", &[][..], "trees.T: unknown node \"wiat\""),
        ("trees: {T: {action: Shop.buy}}", &[], "trees.T.action: the action \"Shop.buy\" does not exist"),
        ("trees: {T: {log: no}}", &[], "trees.T.log: YAML 1.1 and YAML 1.2"),
        ("", &[], "(top): the file holds nothing"),
        (GET, &["--tree", "Gone"], "tree: there is no tree named \"Gone\""),
        (GET, &["--bots", "0"], "bots: a run starts with at least one bot"),
        (GET, &["--bots", "-1"], "bots: a run starts with at least one bot"),
        (GET, &["--bots", "1000001"], "bots: "),
        (GET, &["--bots", "2147483647"], "bots: "),
        (GET, &["--duration", "0"], "duration: the time must be above zero"),
        (GET, &["--duration", "-1s"], "duration: \"-1s\" is negative"),
        (GET, &["--duration", "soon"], "duration: \"soon\" is not a duration"),
        ("trees: {T: done}\nthresholds: [{expect: p95 < 1}]", &[], "thresholds[0].expect: "),
    ] {
        let given = Given::new(content);
        let target = if args.contains(&"--target") { vec![] } else { vec!["--target", &url] };
        // Where a mistake is not found, the run ends by itself.
        let bound = if args.contains(&"--duration") { "1" } else { "2" };
        let ended = given.start(&[args, &target, &["--iterations", bound]].concat()).end().expect(1);
        assert_eq!(ended.stdout, "", "{content} {args:?}");
        let start = format!("{}: {part}", given.file);
        assert!(
            ended.stderr_lines().iter().any(|l| l.starts_with(&start)),
            "{content} {args:?}: {}",
            ended.stderr
        );
        assert!(!given.folder.path("out.json").exists(), "{content} {args:?}: an output was written");
    }
    for target in ["", "shop:80", "http://", "ftp://shop", "http://a b"] {
        let given = Given::new(GET);
        let ended = given.start(&["--target", target, "--iterations", "1"]).end().expect(1);
        assert!(ended.stderr.contains("target: "), "{target}: {}", ended.stderr);
        assert!(!given.folder.path("out.json").exists(), "{target}");
    }
    let connection = listener.accept();
    assert!(connection.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "something was started");
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_the_run() {
    let shop = Shop::open(&[]);
    let given = Given::new(GET);
    let nowhere = text(&given.folder.path("nowhere/out.json"));
    let folder = text(&given.folder.path(""));
    for out in [&nowhere, &folder] {
        let args = ["run", &given.file, "--target", &shop.url(), "--iterations", "1", "--out", out];
        let ended = runner(&args).expect(1);
        assert!(
            ended.stderr.starts_with(&format!("the result cannot be written to {out}: ")),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(shop.requests(), 0);
}

#[test]
fn an_output_that_is_there_is_replaced() {
    let given = Given::new(GET);
    std::fs::write(&given.out, "x".repeat(100_000)).expect("an old output");
    let done = given.run(&["--demo-target", "--iterations", "1"]);
    assert_eq!(done.number("/iterations"), 1);
}

#[test]
fn the_result_is_kept_although_nobody_reads_the_summary() {
    let given = Given::new("trees: {T: done}\n");
    unread(&given.args(&["--iterations", "2"])).expect(0);
    let result = std::fs::read_to_string(&given.out).expect("a result");
    let result: Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!(result["iterations"], 2);
}

#[test]
fn a_wrong_command_line_is_told() {
    let given = Given::new("trees: {T: done}\niterations: 1");
    let file = given.file.as_str();
    for args in [
        &[][..],
        &[file, "more.yaml"],
        &[file, "--bots", "x"],
        &[file, "--bots", "99999999999"],
        &[file, "--iterations", "0"],
        &[file, "--iterations=-1"],
        &[file, "--seed=-1"],
        &[file, "--duration"],
        &[file, "--demo-target", "--target", "http://127.0.0.1:1"],
        &[file, "--outt", "x"],
    ] {
        let ended = runner(&[&["run"], args].concat()).expect(2);
        assert!(ended.stderr.starts_with("error: ") && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
    assert_eq!(runner(&[]).code(), 2);
    assert_eq!(runner(&["march"]).code(), 2);
}
