//! `runner target`: the small shop and its own count of requests.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::{Shop, runner};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime};

const JSON: &str = "content-type: application/json";

fn log_in(shop: &Shop) -> String {
    let (status, body) = shop.ask("POST", "/login", &[], "");
    assert_eq!(status, 200, "{body}");
    let token = value(&body)["token"].as_str().expect("a token").to_owned();
    format!("authorization: Bearer {token}")
}

fn value(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

#[test]
fn a_file_that_is_put_is_kept_and_replaced() {
    let shop = Shop::open(&[]);
    assert_eq!(shop.ask("GET", "/files/a", &[], "").0, 404);
    for (body, status) in [("first", 201), ("second", 204)] {
        assert_eq!(shop.ask("PUT", "/files/a", &[], body).0, status);
        assert_eq!(shop.ask("GET", "/files/a", &[], ""), (200, body.to_owned()));
    }
    for n in 0..20 {
        assert_eq!(shop.ask("PUT", &format!("/files/b{n}"), &[], "x").0, 201);
    }
    assert_eq!(shop.ask("GET", "/files/a", &[], "").0, 404, "there is room for twenty");
    assert_eq!(shop.ask("PUT", "/files/c", &[], &"x".repeat((1 << 20) + 1)).0, 413);
    assert_eq!(shop.stats()["routes"]["PUT /files/{name}"], 23);
}

#[test]
fn the_last_push_of_each_sender_is_kept() {
    let shop = Shop::open(&[]);
    for (sender, body) in [("x-sender: a", "first"), ("x-sender: b", "other"), ("x-sender: a", "last")] {
        assert_eq!(shop.ask("POST", "/v1/metrics", &[sender], body).0, 200);
    }
    assert_eq!(shop.ask("POST", "/v1/metrics", &[], "whose").0, 200);
    for (name, body) in [("a", "last"), ("b", "other"), ("(other)", "whose")] {
        assert_eq!(shop.ask("GET", &format!("/files/metrics-{name}"), &[], ""), (200, body.to_owned()));
    }
    assert_eq!(shop.stats()["routes"]["POST /v1/metrics"], 4);
}

#[test]
fn each_route_is_counted_and_the_count_is_not() {
    let shop = Shop::open(&[]);
    assert_eq!(shop.stats(), json!({"requests": 0, "routes": {}}));
    let token = log_in(&shop);
    let token = token.as_str();
    for (method, path, headers, body, status) in [
        ("GET", "/catalogue", &[][..], "", 200),
        ("GET", "/catalogue?page=2", &[], "", 200),
        ("GET", "/cart", &[token], "", 200),
        ("GET", "/cart", &[], "", 401),
        ("POST", "/cart", &[token, JSON], r#"{"item": 1}"#, 201),
        ("POST", "/cart", &[JSON], r#"{"item": 1}"#, 401),
        ("POST", "/checkout", &[token], "", 200),
        ("DELETE", "/cart", &[], "", 405),
        ("GET", "/nowhere", &[], "", 404),
        ("POST", "/nowhere/else", &[], "", 404),
        ("BREW", "/cart", &[], "", 405),
        ("GET", "/healthz", &[], "", 200),
        ("GET", "/stats", &[], "", 200),
        ("GET", "/stats/senders", &[], "", 200),
        ("POST", "/stats", &[], "", 405),
        ("POST", "/healthz", &[], "", 405),
    ] {
        let (found, body) = shop.ask(method, path, headers, body);
        assert_eq!(found, status, "{method} {path}: {body}");
    }
    let routes = json!({
        "POST /login": 1, "GET /catalogue": 2, "GET /cart": 2, "POST /cart": 2, "POST /checkout": 1, "DELETE /cart": 1,
        "(other)": 3,
    });
    assert_eq!(shop.stats(), json!({"requests": 12, "routes": routes}));
    assert_eq!(shop.requests(), 12, "asking for the count changes it");
}

#[test]
fn whoever_says_who_it_is_is_counted_by_itself_and_by_the_second() {
    let shop = Shop::open(&[]);
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let from = now();
    for sender in ["x-sender: a", "x-sender: b", "x-sender: a", "x-other: c"] {
        assert_eq!(shop.ask("GET", "/catalogue", &[sender], "").0, 200);
    }
    assert_eq!(shop.stats()["senders"], json!({"a": 2, "b": 1}));
    let told = value(&shop.ask("GET", "/stats/senders", &[], "").1);
    let seconds = told["senders"]["a"].as_object().expect("seconds");
    assert_eq!(seconds.values().filter_map(Value::as_u64).sum::<u64>(), 2, "{told}");
    let is_now = |second: &String| (from..=now()).contains(&second.parse().expect("a second"));
    assert!(seconds.keys().all(is_now), "{told}");
    assert_eq!(told["untimed"], 0);
}

#[test]
fn what_anybody_makes_up_is_one_row() {
    let shop = Shop::open(&[]);
    for n in 0..30 {
        shop.ask(&format!("BREW{n}"), "/cart", &[], "");
        shop.ask("GET", &format!("/made/up/{n}"), &[], "");
        shop.ask(&format!("BREW{n}"), &format!("/made/up/{n}"), &[], "");
    }
    assert_eq!(shop.stats(), json!({"requests": 90, "routes": {"(other)": 90}}));
}

#[test]
fn a_request_that_is_too_large_is_counted_and_refused() {
    let shop = Shop::open(&[]);
    let token = log_in(&shop);
    let limit = 1 << 20;
    let order = |size: usize| r#"{"item": 1}"#.to_owned() + &" ".repeat(size - 11);
    for (size, status) in [(limit, 201), (limit + 1, 413), (5 * limit, 413)] {
        let (found, body) = shop.ask("POST", "/cart", &[&token, JSON], &order(size));
        assert_eq!(found, status, "{size}: {body}");
    }
    assert_eq!(shop.stats(), json!({"requests": 4, "routes": {"POST /login": 1, "POST /cart": 3}}));
}

#[test]
fn a_connection_goes_on_after_a_request_that_is_too_large() {
    let shop = Shop::open(&[]);
    let mut stream = TcpStream::connect(shop.address).expect("a connection");
    stream.set_read_timeout(Some(common::PATIENCE)).expect("a timeout");
    let body = "x".repeat(2 << 20);
    write!(stream, "POST /login HTTP/1.1\r\nhost: shop\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .and_then(|()| stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n"))
        .expect("two requests");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("two answers");
    assert!(answers.starts_with("HTTP/1.1 413 ") && answers.contains("HTTP/1.1 200 OK"), "{answers}");
}

#[test]
fn a_request_that_breaks_off_is_not_counted() {
    let shop = Shop::open(&[]);
    for body in [
        &b"content-length: 100\r\n\r\n{\"item\""[..],
        b"content-length: 9000000\r\n\r\n{\"item\"",
        b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut stream = TcpStream::connect(shop.address).expect("a connection");
        stream.write_all(b"POST /cart HTTP/1.1\r\nhost: shop\r\n").expect("a head");
        stream.write_all(body).expect("half a body");
        stream.shutdown(Shutdown::Write).expect("no more of it");
        stream.set_read_timeout(Some(common::PATIENCE)).expect("a timeout");
        // It is answered or not; then it is over.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(shop.stats(), json!({"requests": 0, "routes": {}}));
}

#[test]
fn a_cart_belongs_to_its_customer() {
    let shop = Shop::open(&[]);
    let (mine, other) = (log_in(&shop), log_in(&shop));
    assert_ne!(mine, other);
    for total in [1200, 2400] {
        let (status, body) = shop.ask("POST", "/cart", &[&mine, JSON], r#"{"item": 1}"#);
        assert_eq!((status, &value(&body)["total"]), (201, &json!(total)));
    }
    for (customer, count, total) in [(&mine, 2, 2400), (&other, 0, 0)] {
        let (_, body) = shop.ask("GET", "/cart", &[customer], "");
        assert_eq!((&value(&body)["count"], &value(&body)["total"]), (&json!(count), &json!(total)));
    }
    let (status, body) = shop.ask("POST", "/checkout", &[&mine], "");
    assert_eq!((status, &value(&body)["total"]), (200, &json!(2400)));
    let (status, _) = shop.ask("POST", "/checkout", &[&mine], "");
    assert_eq!(status, 409, "the cart was emptied");
}

#[test]
fn what_a_customer_may_not_do_is_refused() {
    let shop = Shop::open(&[]);
    let token = log_in(&shop);
    let token = token.as_str();
    let stranger = "authorization: Bearer customer-999";
    for (method, path, headers, body, status) in [
        ("GET", "/cart", &[][..], "", 401),
        ("GET", "/cart", &[stranger], "", 401),
        ("GET", "/cart", &["authorization: Basic customer-1"], "", 401),
        ("POST", "/cart", &[stranger, JSON], r#"{"item": 0}"#, 401),
        ("POST", "/checkout", &[], "", 401),
        ("POST", "/cart", &[token, JSON], r#"{"item": 4}"#, 422),
        ("POST", "/cart", &[token, JSON], r#"{"item": -1}"#, 422),
        ("POST", "/cart", &[token, JSON], r#"["item"]"#, 422),
        ("POST", "/cart", &[token, JSON], "{", 400),
        ("POST", "/cart", &[token], r#"{"item": 0}"#, 415),
    ] {
        let (found, answer) = shop.ask(method, path, headers, body);
        assert_eq!(found, status, "{method} {path} {headers:?} {body}: {answer}");
    }
}

#[test]
fn so_many_of_a_thousand_fail_and_are_counted() {
    let shop = Shop::open(&["--failures-per-thousand", "250"]);
    let statuses: Vec<u16> = (0..40).map(|_| shop.ask("GET", "/catalogue", &[], "").0).collect();
    let with = |status| statuses.iter().filter(|s| **s == status).count();
    assert_eq!((with(500), with(200)), (10, 30), "{statuses:?}");
    assert_eq!(shop.stats(), json!({"requests": 40, "routes": {"GET /catalogue": 40}}));
    let broken = Shop::open(&["--failures-per-thousand", "1000"]);
    assert_eq!(broken.ask("POST", "/login", &[], "").0, 500);
    assert_eq!(broken.ask("GET", "/healthz", &[], "").0, 200);
}

#[test]
fn answers_take_as_long_as_they_are_told_to() {
    let shop = Shop::open(&["--latency", "150ms"]);
    let start = Instant::now();
    assert_eq!(shop.ask("GET", "/catalogue", &[], "").0, 200);
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
}

#[test]
fn it_ends_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        let shop = Shop::open(&[]);
        // A connection that is kept alive must not hold it up.
        let mut idle = TcpStream::connect(shop.address).expect("a connection");
        idle.write_all(b"GET /catalogue HTTP/1.1\r\nhost: shop\r\n\r\n").expect("a request");
        assert!(idle.read(&mut [0; 1]).expect("an answer") > 0);
        shop.program.signal(signal);
        shop.program.end().expect(0);
    }
}

#[test]
fn nothing_that_hangs_keeps_it_open() {
    let shop = Shop::open(&["--latency", "1h"]);
    let mut half = TcpStream::connect(shop.address).expect("a connection");
    half.write_all(b"GET /catalogue HTT").expect("half a request");
    let mut waiting = TcpStream::connect(shop.address).expect("a connection");
    waiting.write_all(b"GET /catalogue HTTP/1.1\r\nhost: shop\r\n\r\n").expect("a request");
    common::until("the request is counted", || shop.requests() == 1);
    shop.program.signal("TERM");
    shop.program.end().expect(0);
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = runner(&["target", "--listen", &address]).expect(1);
    assert_eq!(ended.stdout, "");
    let start = format!("the shop cannot listen on {address}: ");
    assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
    assert!(ended.stderr.trim_end().ends_with("choose another address with --listen"), "{}", ended.stderr);
}

#[test]
fn a_wrong_command_line_is_told() {
    for args in [
        &["--listen", "here"][..],
        &["--listen", "127.0.0.1"],
        &["--listen", "127.0.0.1:99999"],
        &["--latency", "soon"],
        &["--latency=-1s"],
        &["--failures-per-thousand", "1001"],
        &["--failures-per-thousand=-1"],
        &["more"],
    ] {
        let ended = runner(&[&["target"], args].concat()).expect(2);
        assert!(ended.stderr.starts_with("error: ") && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
}
