//! What `runner run` tells of requests: why they failed, status codes, bytes, parts of the time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, GET, Given, run};
use common::{PATIENCE, Shop, ended};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The class and the count of each kind of failure of an action.
fn failures(done: &Done, name: &str) -> Vec<(String, u64)> {
    let failures = done.action(name)["failures"].as_array().cloned().unwrap_or_default();
    let of =
        |f: &Value| (f["class"].as_str().expect("a class").to_owned(), f["count"].as_u64().expect("a count"));
    failures.iter().map(of).collect()
}

/// A target that answers whatever it gets with these bytes; it counts what it gets and sends.
fn target(answer: &'static [u8]) -> (SocketAddr, Arc<[AtomicU64; 2]>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let counted: Arc<[AtomicU64; 2]> = Arc::default();
    let counts = counted.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let counts = counts.clone();
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                let mut buffer = [0; 4096];
                // A request without a body is so short that it comes in one piece.
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    counts[0].fetch_add(read as u64, Ordering::SeqCst);
                    counts[1].fetch_add(answer.len() as u64, Ordering::SeqCst);
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, counted)
}

#[test]
fn failures_are_told_apart() {
    let shop = Shop::open(&["--latency", "300ms"]);
    let (nonsense, _) = target(b"SSH-2.0-OpenSSH_9.6\r\n\r\n");
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let nobody = closed.local_addr().expect("an address");
    drop(closed);
    // No resolver is asked for a name with so long a part.
    let nowhere = format!("http://{}.invalid", "a".repeat(64));
    let plain = shop.url().replace("http://", "https://");
    for (url, more, class, part) in [
        (format!("{}/nowhere", shop.url()), "", "status", "the status is 404"),
        (format!("{}/catalogue", shop.url()), ", timeout: 50ms", "timeout", "no answer within 50ms"),
        (
            format!("{}/catalogue", shop.url()),
            ", save: {x: $.nothing}",
            "expectation",
            "$.nothing selects nothing",
        ),
        (
            format!("{}/catalogue", shop.url()),
            ", expect: {json: {'$.goods[0].cents': 1}}",
            "expectation",
            "is 450 in the answer, not 1",
        ),
        (format!("http://{nobody}/"), "", "connect", "no connection to"),
        (nowhere, "", "dns", "cannot be resolved"),
        (format!("{plain}/"), "", "tls", "TLS with"),
        (format!("http://{nonsense}/"), "", "protocol", "the request failed"),
        ("http://127.0.0.1:99999/".to_owned(), "", "local", "write http://HOST:PORT"),
    ] {
        let tree = format!("trees: {{T: {{http: {{get: '{url}'{more}}}, label: request}}}}");
        let done = run(&tree, &["--iterations", "3"]);
        assert_eq!(failures(&done, "request"), [(class.to_owned(), 3)], "{url}: {:#}", done.result);
        let sample = &done.action("request")["failures"][0]["samples"][0];
        assert!(sample["text"].as_str().is_some_and(|t| t.contains(part)), "{part} is not in {sample}");
        assert_eq!(done.result["failures"], done.action("request")["failures"]);
    }
}

#[test]
fn a_bot_that_dies_tells_why() {
    let tree = "trees: {T: {http: {get: 'http://127.0.0.1:1/{{ nothing }}'}, label: request}}";
    let done = run(tree, &["--iterations", "2"]);
    assert_eq!(failures(&done, "request"), [("error".to_owned(), 2)]);
    let sample = done.action("request")["failures"][0]["samples"][0]["text"].as_str().expect("a text");
    assert!(sample.contains("nothing"), "{sample}");
}

#[test]
fn a_generator_that_runs_out_of_files_says_so_of_itself() {
    let shop = Shop::open(&["--latency", "500ms"]);
    let given = Given::new(GET);
    let runner = env!("CARGO_BIN_EXE_runner");
    let script = format!("ulimit -n 40; exec {runner} \"$@\"");
    let url = shop.url();
    let args = given.args(&["--target", &url, "--iterations", "100", "--bots", "100"]);
    let mut program = Command::new("/bin/sh");
    program.args(["-c", &script, "sh"]).args(args).stdin(Stdio::null());
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = given.done(ended(program));
    let failures = failures(&done, "GET /catalogue");
    assert!(failures.len() == 1 && failures[0].0 == "local", "{failures:?}");
    let text = done.action("GET /catalogue")["failures"][0]["samples"][0]["text"].as_str().expect("a text");
    assert!(text.contains("Too many open files") && text.contains("raise the limit"), "{text}");
}

#[test]
fn bytes_and_statuses_are_those_of_the_target() {
    let (address, counted) = target(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok");
    let done = run(GET, &["--target", &format!("http://{address}"), "--iterations", "60", "--bots", "3"]);
    let [received, sent] = [0, 1].map(|i| counted[i].load(Ordering::SeqCst));
    let action = done.action("GET /catalogue");
    assert_eq!((&action["bytesOut"], &action["bytesIn"]), (&json!(received), &json!(sent)));
    assert_eq!(action["statuses"], json!({"201": 60}));
    assert_eq!((&done.result["bytesIn"], &done.result["statuses"]), (&json!(sent), &json!({"201": 60})));
}

#[test]
fn parts_of_the_time_are_kept_apart() {
    let shop = Shop::open(&["--latency", "30ms"]);
    let done = run(
        GET,
        &["--target", &shop.url().replace("127.0.0.1", "localhost"), "--iterations", "20", "--bots", "2"],
    );
    let parts = &done.action("GET /catalogue")["parts"];
    let count = |part: &str| parts[part]["count"].as_u64();
    assert_eq!(count("firstByteUs"), Some(20), "{parts}");
    assert!(parts["firstByteUs"]["p50Us"].as_u64().is_some_and(|us| us >= 30_000), "{parts}");
    assert!(count("connectUs").is_some_and(|n| n <= 2) && count("tlsUs").is_none(), "kept alive: {parts}");
    assert!(count("dnsUs").is_some_and(|n| (1..=2).contains(&n)), "remembered: {parts}");
    let whole = done.action("GET /catalogue")["maxUs"].as_u64();
    assert!(whole >= parts["firstByteUs"]["maxUs"].as_u64(), "{:#}", done.result);
}

#[test]
fn a_check_is_counted_and_steers_nothing() {
    let spec = r#"
trees:
  T:
    sequence:
      - check: "bot.id > 0"
      - check: {name: never, when: "bot.id > 1000"}
      - check: "bot.id > 1000"
        label: labelled
      - http: {get: "{{ target }}/catalogue?{{ bot.id }}", name: catalogue}
thresholds:
  - {expect: fail_rate == 0%, action: check("bot.id > 0")}
  - {expect: fail_rate == 100%, action: never}
  - {expect: count == 18, action: check}
  - {expect: count == 6}
"#;
    let shop = Shop::open(&[]);
    let done = run(spec, &["--target", &shop.url(), "--iterations", "6", "--bots", "3"]);
    assert_eq!(done.counts("check(\"bot.id > 0\")"), [6, 0, 0, 0]);
    assert_eq!((done.counts("never"), done.counts("labelled")), ([0, 6, 0, 0], [0, 6, 0, 0]));
    assert_eq!((done.counts("catalogue"), done.number("/total/count")), ([6, 0, 0, 0], 6));
    // What it looks at need not be there; why it does not hold is told, and the bot goes on.
    let undefined = "trees: {T: {sequence: [{check: nothing > 3}, {log: further}]}}\nbots: 1\n";
    let done = run(undefined, &["--iterations", "2"]);
    assert_eq!(done.counts("check(\"nothing > 3\")"), [0, 2, 0, 0]);
    assert_eq!((done.counts("log(\"further\")"), done.number("/bots/started")), ([2, 0, 0, 0], 1));
    let failure = &done.action("check(\"nothing > 3\")")["failures"][0];
    assert_eq!((&failure["class"], &failure["count"]), (&"expectation".into(), &2.into()), "{failure}");
    let told = failure["samples"][0]["text"].as_str().expect("a text");
    assert!(told.contains("nothing > 3") && told.contains("undefined"), "{told}");
}
