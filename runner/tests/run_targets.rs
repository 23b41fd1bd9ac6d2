//! `runner run` and its target: requests, answers, and targets that are none.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{GET, Given, run};
use common::{PATIENCE, Shop, until};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
fn a_template_that_fails_sends_nothing() {
    let tree = "trees: {T: {http: {get: '{{ target }}/{{ nothing }}'}, label: request}}";
    let shop = Shop::open(&[]);
    let done = run(tree, &["--target", &shop.url(), "--iterations", "5", "--bots", "2"]);
    assert_eq!(done.counts("request"), [0, 0, 5, 0]);
    assert_eq!((done.number("/requests"), shop.requests(), done.number("/bots/started")), (0, 0, 5));
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
fn a_request_to_no_target_is_told_before_it_is_made() {
    let given = Given::new(GET);
    let ended = common::runner(&given.args(&[])).expect(1);
    assert!(
        ended.stderr.contains("target: trees.T goes to {{ target }}, and no target is given"),
        "{}",
        ended.stderr
    );
    common::runner(&["validate", &given.file]).expect(0);
}

#[test]
fn a_slash_after_the_target_is_none_too_many() {
    let shop = Shop::open(&[]);
    let done = run(GET, &["--target", &format!("{}/", shop.url()), "--iterations", "3"]);
    assert_eq!(done.counts("GET /catalogue"), [3, 0, 0, 0]);
}
