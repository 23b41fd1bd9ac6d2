//! Targets that hang, break off, never come to an end or talk nonsense.

use crate::common::army::Done;
use crate::hostile::{Answer, Target, hear, pour, pours, resets_after, say, says, says_and_holds};
use crate::watched::{self, failures};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

/// For what would go on for ever. All else has the usual time, so that a busy machine does not make a timeout of
/// another failure.
const SHORT: &str = ", timeout: 300ms";
const JSON: &str = ", expect: {json: {$.a: 1}}";
const SAVE: &str = ", save: {a: $.a}";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n";
const UNTIL_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const CHUNK: &[u8] = b"4\r\naaaa\r\n";
/// What each case makes.
const ITERATIONS: u64 = 4;

/// What a target does, the fields of the request beside its address, the class of the failure and what is said of it.
type Case = (&'static str, Answer, &'static str, &'static str, &'static str);

/// An answer with this head behind its first line, and this body.
fn ok(rest: &str) -> Answer {
    says(format!("HTTP/1.1 200 OK\r\n{rest}"))
}

fn json(body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    says([format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat())
}

fn asked(url: &str, more: &str) -> Done {
    let tree = format!("trees: {{T: {{http: {{get: '{url}/'{more}}}, label: request}}}}\n");
    watched::run(&tree, &["--iterations", "4", "--bots", "2"], &[])
}

fn fails(cases: Vec<Case>) {
    for (what, answer, more, class, said) in cases {
        fails_at(what, &Target::open(answer).url(), more, class, said);
    }
}

fn fails_at(what: &str, url: &str, more: &str, class: &str, said: &str) {
    let done = asked(url, more);
    let told = failures(&done, "request");
    let [(of, ITERATIONS, text)] = told.as_slice() else { panic!("{what}: {told:?}") };
    assert!(of == class && text.contains(said), "{what}: {told:?}");
    assert_eq!(done.counts("request"), [0, ITERATIONS, 0, 0], "{what}");
    assert_eq!(done.number("/iterations"), ITERATIONS, "{what}");
    assert!(done.number("/bots/started") <= 2, "a failure is no death: {what}: {:#}", done.result);
    assert!(done.number("/requests") <= ITERATIONS, "nothing is tried again in silence: {what}");
    assert!(done.ended.stdout.contains(class), "{what}: {}", done.ended.stdout);
}

#[test]
fn targets_that_hang_are_given_up() {
    let late = "no answer within 300ms";
    fails(vec![
        ("never answers", says_and_holds(b""), SHORT, "timeout", late),
        ("half a head", says_and_holds(b"HTTP/1.1 200 OK\r\ncontent-le"), SHORT, "timeout", late),
        ("no end of the head", says_and_holds(b"HTTP/1.1 200 OK\r\n"), SHORT, "timeout", late),
        ("no body", says_and_holds(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), SHORT, "timeout", late),
        (
            "half a body",
            says_and_holds(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"),
            SHORT,
            "timeout",
            late,
        ),
        ("a body without an end", says_and_holds(UNTIL_CLOSE), SHORT, "timeout", late),
        (
            "no last chunk",
            says_and_holds(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"),
            SHORT,
            "timeout",
            late,
        ),
        (
            "only an interim answer",
            says_and_holds(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
            SHORT,
            "timeout",
            late,
        ),
        (
            "a byte now and then",
            Box::new(|mut stream| {
                hear(&mut stream);
                say(&mut stream, b"HTTP/1.1 200 OK\r\nx: ");
                while stream.write_all(b"y").is_ok() {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            }),
            SHORT,
            "timeout",
            late,
        ),
    ]);
    // The system takes connections for one that never does.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    fails_at("never accepts", &url, SHORT, "timeout", late);
    // More than the buffers between us hold.
    let large = format!(", timeout: 300ms, body: {}", "x".repeat(7 << 20));
    let tree = format!("trees: {{T: {{http: {{put: '{url}/'{large}}}, label: request}}}}\n");
    let done = watched::run(&tree, &["--iterations", "2"], &[]);
    assert_eq!(failures(&done, "request"), [("timeout".to_owned(), 2, late.to_owned())], "never reads");
}

#[test]
fn a_target_that_hangs_keeps_no_run_from_ending() {
    for (what, answer) in [
        ("never answers", says_and_holds(b"")),
        ("an endless body", pours(CHUNKED, CHUNK)),
        ("an endless body of one line", pours(UNTIL_CLOSE, b"a")),
    ] {
        let target = Target::open(answer);
        let tree = format!(
            "trees: {{T: {{http: {{get: '{}/', timeout: 1h}}, label: request}}}}
duration: 300ms\ngracePeriod: 100ms\nbots: 2\n",
            target.url()
        );
        let done = watched::run(&tree, &[], &[]);
        assert_eq!(done.counts("request"), [0, 0, 0, 2], "{what}: {:#}", done.result);
        assert_eq!((done.number("/bots/alive"), done.number("/requests")), (0, 2), "{what}");
    }
}

#[test]
fn connections_that_break_are_told() {
    let closed = "the connection was closed before the answer was whole";
    let reset = "the connection broke: Connection reset by peer";
    fails(vec![
        ("closes at once", Box::new(|_| {}), "", "connect", ""),
        ("closes", says(b""), "", "connect", closed),
        ("resets", resets_after(b""), "", "connect", reset),
        ("resets in a head", resets_after(b"HTTP/1.1 200 OK\r\ncontent-le"), "", "connect", reset),
        (
            "resets in a body",
            resets_after(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"),
            "",
            "connect",
            reset,
        ),
        (
            "resets in a chunk",
            resets_after(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc"),
            "",
            "connect",
            reset,
        ),
        ("half a status line", says(b"HTTP/1.1 20"), "", "connect", closed),
        ("half a head", ok("content-le"), "", "connect", closed),
        ("a head without its end", ok("content-length: 0\r\n"), "", "connect", closed),
        ("half a body", ok("content-length: 9\r\n\r\nabc"), "", "connect", closed),
        (
            "half a body that is looked into",
            ok("content-length: 9\r\n\r\n{\"a\":1}"),
            JSON,
            "connect",
            closed,
        ),
        ("half a chunk", ok("transfer-encoding: chunked\r\n\r\n9\r\nabc"), "", "connect", closed),
        ("half a size", ok("transfer-encoding: chunked\r\n\r\n9"), "", "connect", closed),
        ("no last chunk", ok("transfer-encoding: chunked\r\n\r\n1\r\na\r\n"), "", "connect", closed),
        ("half a trailer", ok("transfer-encoding: chunked\r\n\r\n0\r\nx: "), "", "connect", closed),
        ("only an interim answer", says(b"HTTP/1.1 100 Continue\r\n\r\n"), "", "connect", closed),
    ]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    fails_at("is not there", &url, "", "connect", "Connection refused");
}

#[test]
fn answers_without_end_have_a_bound() {
    let (late, head) = ("no answer within 300ms", "the head of the answer is longer than 65536 bytes");
    let (chunks, large) = ("chunks are longer than 16384 bytes", "the answer is larger than 8388608 bytes");
    fails(vec![
        (
            "headers",
            pours(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
            "",
            "protocol",
            "the answer is not HTTP/1: too many headers",
        ),
        ("a header", pours(b"HTTP/1.1 200 OK\r\nx: ", b"y"), "", "protocol", head),
        ("a name of a header", pours(b"HTTP/1.1 200 OK\r\n", b"x"), "", "protocol", head),
        ("a reason", pours(b"HTTP/1.1 200 ", b"OK "), "", "protocol", head),
        ("empty lines", pours(b"", b"\r\n"), "", "protocol", head),
        ("interim answers", pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "", "protocol", head),
        (
            "interim answers with headers",
            pours(b"", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"),
            "",
            "protocol",
            head,
        ),
        ("extensions of a chunk", pours(CHUNKED, b"5;a=b;"), "", "protocol", ""),
        (
            "an extension of a chunk",
            pours(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", b"a"),
            "",
            "protocol",
            chunks,
        ),
        ("extensions of chunks", pours(CHUNKED, b"1;a=b\r\nx\r\n"), "", "protocol", chunks),
        (
            "trailers",
            pours(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
            "",
            "protocol",
            chunks,
        ),
        ("zeros of a size", pours(CHUNKED, b"0"), SHORT, "timeout", late),
        ("chunks", pours(CHUNKED, CHUNK), SHORT, "timeout", late),
        ("chunks of one byte", pours(CHUNKED, b"1\r\na\r\n"), SHORT, "timeout", late),
        ("a body with a length", pours(SIZED, b"a"), SHORT, "timeout", late),
        ("a body without one", pours(UNTIL_CLOSE, b"a"), SHORT, "timeout", late),
        ("chunks that are looked into", pours(CHUNKED, CHUNK), JSON, "expectation", large),
        ("a body with a length that is looked into", pours(SIZED, b"["), JSON, "expectation", large),
        ("a body that is looked into", pours(UNTIL_CLOSE, b"["), JSON, "expectation", large),
        ("chunks of which something is kept", pours(CHUNKED, CHUNK), SAVE, "expectation", large),
        ("a body of which something is kept", pours(SIZED, b"{"), SAVE, "expectation", large),
        (
            "a body that is not expected",
            pours(b"HTTP/1.1 500 Oops\r\n\r\n", b"a"),
            ", timeout: 300ms, expect: {json: {$.a: 1}}",
            "timeout",
            late,
        ),
    ]);
}

#[test]
fn nonsense_is_told_as_such() {
    let head = "the answer is not HTTP/1: ";
    let chunk = "a chunk of the answer begins without its size";
    let length = "the answer has a Content-Length that is no number, or several that differ";
    fails(vec![
        ("noise", says(b"\x8f\x00\xff\x13\x37 \r\n\r\n\x00"), "", "protocol", head),
        ("zeros", says(vec![0; 100]), "", "protocol", head),
        ("SSH", says(b"SSH-2.0-OpenSSH_9.6\r\n"), "", "protocol", head),
        ("SMTP", says(b"220 mail.example ESMTP\r\n"), "", "protocol", head),
        (
            "HTTP/2",
            says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80"),
            "",
            "protocol",
            head,
        ),
        ("HTTP/2 in words", says(b"HTTP/2 200\r\n\r\n"), "", "protocol", head),
        ("TLS", says(b"\x15\x03\x01\x00\x02\x02\x46"), "", "protocol", head),
        ("HTTP/0.9", says(b"<html>hello</html>\r\n\r\n"), "", "protocol", head),
        ("JSON without a head", says(b"{\"a\": 1}\r\n\r\n"), JSON, "protocol", head),
        ("no status", says(b"HTTP/1.1\r\n\r\n"), "", "protocol", head),
        ("a status of four digits", says(b"HTTP/1.1 1000 OK\r\n\r\n"), "", "protocol", head),
        ("a status of letters", says(b"HTTP/1.1 abc OK\r\n\r\n"), "", "protocol", head),
        ("a header without a colon", ok("content-length\r\n\r\n"), "", "protocol", head),
        ("a header without a name", ok(": 5\r\n\r\n"), "", "protocol", head),
        ("a zero in a header", ok("x: \0\r\ncontent-length: 0\r\n\r\n"), "", "protocol", head),
        ("a folded header", ok("x: y\r\n z\r\ncontent-length: 0\r\n\r\n"), "", "protocol", head),
        ("two lengths", ok("content-length: 1\r\ncontent-length: 2\r\n\r\nab"), "", "protocol", length),
        ("a length below zero", ok("content-length: -1\r\n\r\n"), "", "protocol", length),
        (
            "a length beyond all bounds",
            ok("content-length: 18446744073709551616\r\n\r\n"),
            "",
            "protocol",
            length,
        ),
        ("a length of letters", ok("content-length: many\r\n\r\n"), "", "protocol", length),
        (
            "chunks of HTTP/1.0",
            says(b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            "",
            "protocol",
            "HTTP/1.0",
        ),
        ("a size of letters", ok("transfer-encoding: chunked\r\n\r\nzz\r\nabc"), "", "protocol", chunk),
        (
            "a size beyond all bounds",
            ok("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc"),
            "",
            "protocol",
            chunk,
        ),
        (
            "a chunk that is longer",
            ok("transfer-encoding: chunked\r\n\r\n1\r\nabc\r\n"),
            "",
            "protocol",
            "does not end as it must",
        ),
        (
            "another protocol",
            says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
            "",
            "protocol",
            "switches to another protocol",
        ),
    ]);
}

#[test]
fn answers_that_are_not_what_was_asked_for_are_told() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let no_json = "the answer is not JSON: ";
    fails(vec![
        (
            "status 999",
            says(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"),
            "",
            "status",
            "the status is 999,",
        ),
        (
            "status 600",
            says(b"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n"),
            "",
            "status",
            "the status is 600,",
        ),
        (
            "status 000",
            says(b"HTTP/1.1 000 Odd\r\ncontent-length: 0\r\n\r\n"),
            "",
            "status",
            "the status is 0,",
        ),
        (
            "status 099",
            says(b"HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n"),
            "",
            "status",
            "the status is 99,",
        ),
        (
            "a way round and round",
            says(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
            ", expect: {status: 200}",
            "status",
            "the status is 302,",
        ),
        ("no JSON", json("hello"), JSON, "expectation", no_json),
        ("no body", json(""), JSON, "expectation", no_json),
        ("half of a JSON", json("{\"a\":"), JSON, "expectation", no_json),
        ("two of JSON", json("{\"a\":1}{\"a\":1}"), JSON, "expectation", no_json),
        ("JSON that is no text", json(b"{\"a\":\"\xff\xfe\"}"), JSON, "expectation", no_json),
        ("JSON that is deep", json(deep), JSON, "expectation", "recursion limit"),
        ("a number beyond all bounds", json("{\"a\":1e999}"), JSON, "expectation", "out of range"),
        ("another value", json("{\"a\":2}"), JSON, "expectation", "$.a is 2 in the answer, not 1"),
        ("no such value", json("{\"b\":1}"), SAVE, "expectation", "$.a selects nothing in the answer"),
        (
            "too large a value",
            json(format!("{{\"a\":\"{}\"}}", "x".repeat(65 << 10))),
            SAVE,
            "expectation",
            "is larger than 65536 bytes",
        ),
    ]);
}

#[test]
fn what_is_odd_and_right_is_taken() {
    let cases: [(&str, Answer, &str); 13] = [
        ("headers that are no UTF-8", says(b"HTTP/1.1 200 \xd6K\r\nx: \xff\xfe\r\ncontent-length: 0\r\n\r\n"), ""),
        ("lines without returns", says(b"HTTP/1.1 200 OK\ncontent-length: 7\n\n{\"a\":1}"), JSON),
        ("an end by closing", says(b"HTTP/1.1 200 OK\r\n\r\n{\"a\":1}"), JSON),
        ("HTTP/1.0", says(b"HTTP/1.0 200 OK\r\n\r\n{\"a\":1}"), JSON),
        ("interim answers", says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}"), JSON),
        ("the same length twice", ok("content-length: 7, 7\r\ncontent-length: 7\r\n\r\n{\"a\":1}"), JSON),
        ("extensions and trailers", ok("transfer-encoding: chunked\r\n\r\n7;x=y\r\n{\"a\":1}\r\n0\r\nz: z\r\n\r\n"), JSON),
        ("no body whatever the head says", says(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"), ""),
        ("a length that is too short", ok("content-length: 7\r\n\r\n{\"a\":1}{\"a\":2}"), JSON),
        ("an answer too many", ok("content-length: 7\r\n\r\n{\"a\":1}HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":2}"), JSON),
        ("the target moved, which is not followed", says(b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"), ""),
        (
            "before it was asked",
            Box::new(|mut stream| {
                say(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}");
                hear(&mut stream);
            }),
            JSON,
        ),
        ("many small values", json(format!("{{\"a\":1,\"b\":[{}0]}}", "0,".repeat(500_000))), JSON),
    ];
    for (what, answer, more) in cases {
        let target = Target::open(answer);
        let done = asked(&target.url(), more);
        assert_eq!(done.counts("request"), [ITERATIONS, 0, 0, 0], "{what}: {:#}", done.result);
        assert_eq!(done.number("/requests"), ITERATIONS, "{what}");
        // None of these connections can be used again.
        assert_eq!(target.connections(), ITERATIONS, "{what}");
    }
}

#[test]
fn a_target_that_closes_each_connection_after_its_answer_costs_no_more_than_that() {
    let target = Target::open(ok("content-length: 2\r\n\r\nok"));
    let tree = format!(
        "trees: {{T: {{sequence: [{{http: {{get: '{}/'}}, label: request}}, {{wait: 20ms}}]}}}}",
        target.url()
    );
    let done = watched::run(&tree, &["--iterations", "20", "--bots", "2"], &[]);
    let [succeeded, failed, others @ ..] = done.counts("request");
    assert_eq!((succeeded + failed, others), (20, [0, 0]), "{:#}", done.result);
    assert!(succeeded > 0 && done.number("/requests") <= 20, "{:#}", done.result);
    // One that is sent just while the connection is being closed is lost, and not sent again in silence.
    let told = failures(&done, "request");
    assert!(told.iter().all(|(class, ..)| class == "connect"), "{told:?}");
}

/// A body as large as it takes to tell what is dropped as it comes from what is kept.
#[test]
fn a_huge_answer_takes_no_memory() {
    const SIZE: usize = 512 << 20;
    for (what, head, piece) in [
        ("with a length", format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n"), vec![b'a'; 1 << 20]),
        ("until it is closed", "HTTP/1.1 200 OK\r\n\r\n".to_owned(), vec![b'a'; 1 << 20]),
        (
            "in chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            [b"100000\r\n", vec![b'a'; 1 << 20].as_slice(), b"\r\n"].concat(),
        ),
    ] {
        let target = Target::open(Box::new(move |mut stream| {
            hear(&mut stream);
            say(&mut stream, head.as_bytes());
            (0..SIZE >> 20).for_each(|_| say(&mut stream, &piece));
            say(&mut stream, b"0\r\n\r\n");
        }));
        let tree = format!(
            "trees: {{T: {{http: {{get: '{}/', timeout: 1h}}, label: request}}}}\niterations: 1\n",
            target.url()
        );
        let done = watched::run(&tree, &[], &[]);
        assert_eq!(done.counts("request"), [1, 0, 0, 0], "{what}: {:#}", done.result);
        assert!(done.number("/bytesIn") >= SIZE as u64, "{what}: {:#}", done.result);
    }
}

#[test]
fn what_a_target_says_cannot_make_a_result_large_or_steer_a_terminal() {
    // Another text, another status and another length each time, with what a terminal would obey.
    let counted = std::sync::atomic::AtomicU64::new(0);
    let target = Target::open(Box::new(move |mut stream| {
        let n = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        hear(&mut stream);
        let body = format!("{{\"a\":\"\u{1b}[31m{n}{}\"}}", "x".repeat(10_000));
        let status = if n % 2 == 0 { 200 } else { 400 + n % 600 };
        say(
            &mut stream,
            format!("HTTP/1.1 {status} \u{7}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        );
        pour(&mut stream, b"");
    }));
    let tree = format!(
        "trees: {{T: {{http: {{get: '{}/', expect: {{json: {{$.a: 1}}}}}}, label: request}}}}",
        target.url()
    );
    let done = watched::run(&tree, &["--iterations", "600", "--bots", "4"], &[]);
    assert_eq!(done.counts("request"), [0, 600, 0, 0]);
    assert!(done.result.to_string().len() < 100_000, "{:#}", done.result);
    assert!(!done.ended.stdout.contains(['\u{1b}', '\u{7}']), "{}", done.ended.stdout);
}
