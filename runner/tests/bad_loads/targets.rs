//! Targets that hang, break off, never come to an end or talk nonsense.

use crate::common::PATIENCE;
use crate::common::army::Done;
use crate::hostile::{Answer, Target, hear, pours, resets_after, say, says, says_and_holds};
use crate::watched::{self, failures};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For what would go on for ever. All else has the usual time, so that a busy machine does not make a timeout
/// of another failure.
const SHORT: &str = ", timeout: 300ms";
const JSON: &str = ", expect: {json: {$.a: 1}}";
const SAVE: &str = ", save: {a: $.a}";
const SIZED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n";
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
/// What each case makes.
const ITERATIONS: u64 = 4;

/// What targets do, each with its name.
type Cases = Vec<(&'static str, Answer)>;

/// An answer with this behind its first line.
fn ok(rest: &str) -> Answer {
    says(format!("HTTP/1.1 200 OK\r\n{rest}"))
}

/// An answer with this behind its head.
fn chunks(rest: &str) -> Answer {
    says(format!("{CHUNKED}{rest}"))
}

/// A whole answer with this status and body.
fn answer(status: &str, body: impl AsRef<[u8]>) -> Answer {
    let length = body.as_ref().len();
    let head = format!("HTTP/1.1 {status} As Asked\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    says([head.as_bytes(), body.as_ref()].concat())
}

/// Asks this target with these fields of the request beside its address.
fn asked(url: &str, more: &str) -> Done {
    let tree = format!("trees: {{T: {{http: {{get: '{url}/'{more}}}, label: request}}}}\n");
    watched::run(&tree, &["--iterations", "4", "--bots", "2"], &[])
}

/// Each request fails with this class, and with this in its words.
fn fails(class: &str, said: &str, more: &str, cases: Cases) {
    for (what, answer) in cases {
        fails_at(&Target::open(answer).url(), class, said, more, what);
    }
}

fn fails_at(url: &str, class: &str, said: &str, more: &str, what: &str) {
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
    let slowly: Answer = Box::new(|mut stream| {
        hear(&mut stream);
        say(&mut stream, b"HTTP/1.1 200 OK\r\nx: ");
        while stream.write_all(b"y").is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let cases = vec![
        ("never answers", says_and_holds("")),
        ("half a head", says_and_holds("HTTP/1.1 200 OK\r\ncontent-le")),
        ("no end of the head", says_and_holds("HTTP/1.1 200 OK\r\n")),
        ("no body", says_and_holds("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")),
        ("half a body", says_and_holds(HALF)),
        ("a body without an end", says_and_holds(UNTIL_CLOSE)),
        ("no chunk", says_and_holds(CHUNKED)),
        ("only an interim answer", says_and_holds(HINTS)),
        ("a byte now and then", slowly),
    ];
    fails("timeout", late, SHORT, cases);
    // The system takes connections for one that never does.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    fails_at(&url, "timeout", late, SHORT, "never accepts");
    // As large a body as there may be.
    let body = "x".repeat(250_000);
    fails_at(&url, "timeout", late, &format!("{SHORT}, json: {body}"), "never reads");
}

#[test]
fn a_target_that_hangs_keeps_no_run_from_ending() {
    for (what, answer) in [
        ("never answers", says_and_holds("")),
        ("an endless body", pours(CHUNKED, "4\r\naaaa\r\n")),
        ("an endless body of one line", pours(UNTIL_CLOSE, "a")),
    ] {
        let url = Target::open(answer).url();
        let tree = format!("trees: {{T: {{http: {{get: '{url}/', timeout: 1h}}, label: request}}}}");
        let done = watched::run(&format!("{tree}\nduration: 1s\ngracePeriod: 100ms\nbots: 2\n"), &[], &[]);
        assert_eq!(done.counts("request"), [0, 0, 0, 2], "{what}: {:#}", done.result);
        assert_eq!((done.number("/bots/alive"), done.number("/requests")), (0, 2), "{what}");
    }
}

#[test]
fn connections_that_break_are_told() {
    let cases = vec![
        ("closes", says("")),
        ("half a status line", says("HTTP/1.1 20")),
        ("half a head", ok("content-le")),
        ("a head without its end", ok("content-length: 0\r\n")),
        ("half a body", says(HALF)),
        ("half a chunk", chunks("9\r\nabc")),
        ("half a size", chunks("9")),
        ("no last chunk", chunks("1\r\na\r\n")),
        ("half a trailer", chunks("0\r\nx: ")),
        ("only an interim answer", says(HINTS)),
    ];
    fails("connect", "the connection was closed before the answer was whole", "", cases);
    let looked_into = vec![("half a body that is JSON", ok("content-length: 9\r\n\r\n{\"a\":1}"))];
    fails("connect", "the connection was closed before the answer was whole", JSON, looked_into);
    let cases = vec![
        ("resets", resets_after("")),
        ("resets in a head", resets_after("HTTP/1.1 200 OK\r\ncontent-le")),
        ("resets in a body", resets_after(HALF)),
        ("resets in chunks", resets_after(CHUNKED)),
    ];
    fails("connect", "the connection broke: Connection reset by peer", "", cases);
    fails("connect", "the connection ", "", vec![("closes before it reads", Box::new(|_| {}))]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    fails_at(&url, "connect", "Connection refused", "", "is not there");
}

#[test]
fn answers_without_end_have_a_bound() {
    let cases = vec![
        ("a header", pours("HTTP/1.1 200 OK\r\nx: ", "y")),
        ("a name of a header", pours("HTTP/1.1 200 OK\r\n", "x")),
        ("a reason", pours("HTTP/1.1 200 ", "OK ")),
        ("empty lines", pours("", "\r\n")),
        ("interim answers", pours("", "HTTP/1.1 100 Continue\r\n\r\n")),
        ("interim answers with headers", pours("", HINTS)),
    ];
    fails("protocol", "the head of the answer is longer than 65536 bytes", "", cases);
    let many = vec![("headers", pours("HTTP/1.1 200 OK\r\n", "x: y\r\n"))];
    fails("protocol", "the answer is not HTTP/1: too many headers", "", many);
    let cases = vec![
        ("an extension", pours("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", "a")),
        ("extensions", pours(CHUNKED, "1;a=b\r\nx\r\n")),
        ("spaces", pours("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5", " ")),
        ("trailers", pours("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: y\r\n")),
    ];
    fails("protocol", "the answer's chunks are longer than 16384 bytes", "", cases);
    let bodies: fn() -> Cases = || {
        vec![
            ("chunks", pours(CHUNKED, "4\r\naaaa\r\n")),
            ("chunks of one byte", pours(CHUNKED, "1\r\na\r\n")),
            ("a body with a length", pours(SIZED, "[")),
            ("a body without one", pours(UNTIL_CLOSE, "[")),
        ]
    };
    fails("timeout", "no answer within 300ms", SHORT, bodies());
    fails("expectation", "the answer is larger than 8388608 bytes", JSON, bodies());
    fails("expectation", "the answer is larger than 8388608 bytes", SAVE, bodies());
    fails("timeout", "no answer within 300ms", SHORT, vec![("zeros of a size", pours(CHUNKED, "0"))]);
    // Nobody looks into an answer whose status is wrong.
    let wrong = vec![("a body of another status", pours("HTTP/1.1 500 Oops\r\n\r\n", "a"))];
    fails("timeout", "no answer within 300ms", &format!("{SHORT}{JSON}"), wrong);
}

#[test]
fn nonsense_is_told_as_such() {
    let cases = vec![
        ("noise", says(b"\x8f\x00\xff\x13\x37 \r\n\r\n\x00")),
        ("zeros", says(vec![0; 100])),
        ("SSH", says("SSH-2.0-OpenSSH_9.6\r\n")),
        ("SMTP", says("220 mail.example ESMTP\r\n")),
        ("HTTP/2", says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80")),
        ("HTTP/2 in words", says("HTTP/2 200\r\n\r\n")),
        ("TLS", says(b"\x15\x03\x01\x00\x02\x02\x46")),
        ("HTTP/0.9", says("<html>hello</html>\r\n\r\n")),
        ("JSON without a head", says("{\"a\": 1}\r\n\r\n")),
        ("no status", says("HTTP/1.1\r\n\r\n")),
        ("a status of four digits", says("HTTP/1.1 1000 OK\r\n\r\n")),
        ("a status of letters", says("HTTP/1.1 abc OK\r\n\r\n")),
        ("a header without a colon", ok("content-length\r\n\r\n")),
        ("a header without a name", ok(": 5\r\n\r\n")),
        ("a zero in a header", ok("x: \0\r\ncontent-length: 0\r\n\r\n")),
        ("a folded header", ok("x: y\r\n z\r\ncontent-length: 0\r\n\r\n")),
    ];
    fails("protocol", "the answer is not HTTP/1: ", JSON, cases);
    let cases = vec![
        ("two lengths", ok("content-length: 1\r\ncontent-length: 2\r\n\r\nab")),
        ("a length below zero", ok("content-length: -1\r\n\r\n")),
        ("a length beyond all bounds", ok("content-length: 18446744073709551616\r\n\r\n")),
        ("a length of letters", ok("content-length: many\r\n\r\n")),
        ("no length", ok("content-length:\r\n\r\n")),
    ];
    fails("protocol", "a Content-Length that is no number, or several that differ", "", cases);
    let cases = vec![
        ("a size of letters", chunks("zz\r\nabc")),
        ("a size below zero", chunks("-1\r\nabc")),
        ("a size beyond all bounds", chunks("fffffffffffffffff\r\nabc")),
        ("no size", chunks("\r\nabc")),
    ];
    fails("protocol", "a chunk of the answer begins without its size", "", cases);
    let longer = vec![("a chunk that is longer", chunks("1\r\nabc\r\n"))];
    fails("protocol", "a line of the answer's chunks does not end as it must", "", longer);
    let old = says("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    fails("protocol", "the answer is HTTP/1.0 and has a Transfer-Encoding", "", vec![("HTTP/1.0", old)]);
    let other = says("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n");
    fails("protocol", "the answer switches to another protocol", "", vec![("another protocol", other)]);
}

#[test]
fn answers_that_are_not_what_was_asked_for_are_told() {
    for (status, said) in
        [("999", "is 999,"), ("600", "is 600,"), ("000", "is 0,"), ("099", "is 99,"), ("500", "is 500,")]
    {
        fails("status", said, "", vec![("a status", answer(status, ""))]);
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = vec![
        ("no JSON", answer("200", "hello")),
        ("no body", answer("200", "")),
        ("half of it", answer("200", "{\"a\":")),
        ("two of it", answer("200", "{\"a\":1}{\"a\":1}")),
        ("no text", answer("200", b"{\"a\":\"\xff\xfe\"}")),
        ("a number beyond all bounds", answer("200", "{\"a\":1e999}")),
        ("deep", answer("200", deep)),
    ];
    fails("expectation", "the answer is not JSON: ", JSON, cases);
    let other = vec![("another value", answer("200", "{\"a\":2}"))];
    fails("expectation", "$.a is 2 in the answer, not 1", JSON, other);
    let none = vec![("no such value", answer("200", "{\"b\":1}"))];
    fails("expectation", "$.a selects nothing in the answer", SAVE, none);
    let digits = vec![("too long a number", answer("200", "{\"a\":123456789012345678901234567890}"))];
    fails("expectation", "$.a is the number 1.2345678901234568e+29, beyond 64 bits", SAVE, digits);
    let large = vec![("too large a value", answer("200", format!("{{\"a\":\"{}\"}}", "x".repeat(65 << 10))))];
    fails("expectation", "$.a is larger than 65536 bytes", SAVE, large);
}

#[test]
fn answers_that_come_before_the_body_is_taken_are_told() {
    // Just below 8 MiB: no buffer between the two takes that.
    let pieces = vec!["'{{ custom.piece }}'"; 33].join(", ");
    let more = format!("post: 'URL/', json: [{pieces}]");
    let refused = "HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    let stays: Answer = Box::new(move |mut stream| {
        hear(&mut stream);
        say(&mut stream, refused.as_bytes());
        // Neither reads nor closes, as long as the test goes on.
        std::thread::park_timeout(PATIENCE);
    });
    let cases: Cases = vec![
        ("closes", says(refused)),
        ("closes and says so", answer("413", "no")),
        ("stays open without reading", stays),
    ];
    for (what, answer) in cases {
        let target = Target::open(answer);
        let request = more.replace("URL", &target.url());
        let tree = format!("trees: {{T: {{http: {{{request}}}, label: request}}}}\n");
        let custom = format!("custom: {{piece: {}}}\n", "x".repeat(254_000));
        let done = watched::run(&format!("{tree}{custom}"), &["--iterations", "4", "--bots", "2"], &[]);
        let told = failures(&done, "request");
        let [(class, ITERATIONS, text)] = told.as_slice() else { panic!("{what}: {told:?}") };
        assert_eq!(
            (class.as_str(), text.contains("the status is 413")),
            ("status", true),
            "{what}: {told:?}"
        );
        assert_eq!(done.counts("request"), [0, ITERATIONS, 0, 0], "{what}");
        assert_eq!(done.number("/requests"), ITERATIONS, "{what}");
        // The rest of a request may still be waited for there: no connection is used again.
        assert_eq!(target.connections(), ITERATIONS, "{what}");
    }
}

#[test]
fn what_is_odd_and_right_is_taken() {
    let close = "connection: close\r\n";
    let body = "content-length: 7\r\n\r\n{\"a\":1}";
    let early = format!("HTTP/1.1 200 OK\r\n{close}{body}");
    let early: Answer = Box::new(move |mut stream| {
        say(&mut stream, early.as_bytes());
        hear(&mut stream);
    });
    let cases: Cases = vec![
        ("a head that is no UTF-8", says(b"HTTP/1.1 200 \xd6K\r\nx: \xff\xfe\r\n\r\n{\"a\":1}")),
        ("lines without returns", says("HTTP/1.1 200 OK\nconnection: close\ncontent-length: 7\n\n{\"a\":1}")),
        ("an end by closing", ok("\r\n{\"a\":1}")),
        ("HTTP/1.0", says("HTTP/1.0 200 OK\r\n\r\n{\"a\":1}")),
        ("interim answers", says(format!("{}HTTP/1.1 200 OK\r\n{close}{body}", HINTS.repeat(9)))),
        ("the same length twice", ok(&format!("{close}content-length: 7, 7\r\n{body}"))),
        (
            "a length and chunks",
            ok("content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\nx"),
        ),
        ("extensions and trailers", chunks("7;x=y\r\n{\"a\":1}\r\n0\r\nz: z\r\n\r\nx")),
        ("a length that is too short", ok(&format!("{body}{{\"a\":2}}"))),
        ("an answer too many", ok(&format!("{body}HTTP/1.1 200 OK\r\n{body}"))),
        (
            "a way that leads back, which is not gone",
            says(format!("HTTP/1.1 302 Found\r\nlocation: /\r\n{close}{body}")),
        ),
        ("an answer before it was asked", early),
        ("a whole number with a point", answer("200", "{\"a\":1.0}")),
        ("many small values", answer("200", format!("{{\"a\":1,\"b\":[{}0]}}", "0,".repeat(500_000)))),
    ];
    for (what, answer) in cases {
        let target = Target::open(answer);
        let done = asked(&target.url(), JSON);
        assert_eq!(done.counts("request"), [ITERATIONS, 0, 0, 0], "{what}: {:#}", done.result);
        assert_eq!(done.number("/requests"), ITERATIONS, "{what}");
        // What came too much belongs to no answer: the connection is not used again.
        assert_eq!(target.connections(), ITERATIONS, "{what}");
    }
}

#[test]
fn a_target_that_closes_after_each_answer_costs_what_is_lost_by_that() {
    let target = Target::open(ok("content-length: 2\r\n\r\nok"));
    let url = target.url();
    let tree =
        format!("trees: {{T: {{sequence: [{{http: {{get: '{url}/'}}, label: request}}, {{wait: 20ms}}]}}}}");
    let done = watched::run(&tree, &["--iterations", "20", "--bots", "2"], &[]);
    let [succeeded, failed, others @ ..] = done.counts("request");
    assert_eq!((succeeded + failed, others), (20, [0, 0]), "{:#}", done.result);
    assert!(succeeded > 0 && done.number("/requests") <= 20, "{:#}", done.result);
    // One that is sent while the connection is being closed is lost, and not sent again in silence.
    let told = failures(&done, "request");
    assert!(told.iter().all(|(class, ..)| class == "connect"), "{told:?}");
}

#[test]
fn a_huge_answer_takes_no_memory() {
    // Twice what a run may take.
    const SIZE: usize = 512 << 20;
    let mebibyte = vec![b'a'; 1 << 20];
    let sized = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
    for (what, head, piece) in [
        ("with a length", sized.as_str(), mebibyte.clone()),
        ("until it is closed", UNTIL_CLOSE, mebibyte.clone()),
        ("in chunks", CHUNKED, [b"100000\r\n", &mebibyte[..], b"\r\n"].concat()),
    ] {
        let head = head.to_owned();
        let url = Target::open(Box::new(move |mut stream| {
            hear(&mut stream);
            say(&mut stream, head.as_bytes());
            (0..SIZE >> 20).for_each(|_| say(&mut stream, &piece));
            say(&mut stream, b"0\r\n\r\n");
        }))
        .url();
        let tree = format!("trees: {{T: {{http: {{get: '{url}/', timeout: 1h}}, label: request}}}}");
        let done = watched::run(&tree, &["--iterations", "1"], &[]);
        assert_eq!(done.counts("request"), [1, 0, 0, 0], "{what}: {:#}", done.result);
        assert!(done.number("/bytesIn") >= SIZE as u64, "{what}: {:#}", done.result);
    }
}

#[test]
fn what_targets_say_neither_fills_a_result_nor_steers_a_terminal() {
    // Another text, or another status, each time.
    let asked = AtomicU64::new(0);
    let url = Target::open(Box::new(move |mut stream| {
        let n = asked.fetch_add(1, Ordering::SeqCst);
        let status = if n.is_multiple_of(2) { 200 } else { 400 + n % 600 };
        let body = format!("{{\"a\":\"\u{1b}[31m{n}{}\"}}", "x".repeat(10_000));
        hear(&mut stream);
        say(&mut stream, format!("HTTP/1.1 {status} As Asked\r\n\r\n{body}").as_bytes());
    }))
    .url();
    let tree = format!("trees: {{T: {{http: {{get: '{url}/'{JSON}}}, label: request}}}}");
    let done = watched::run(&tree, &["--iterations", "400", "--bots", "4"], &[]);
    assert_eq!(done.counts("request"), [0, 400, 0, 0]);
    assert!(done.result.to_string().len() < 50_000, "{:#}", done.result);
    assert!(!done.ended.stdout.contains('\u{1b}'), "{}", done.ended.stdout);
}

/// Each of them would be kept for itself; all of them would be more than there is.
#[test]
fn large_answers_to_many_bots_are_kept_within_bounds() {
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(7 << 20));
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", large.len());
    let (before, last) = large.split_at(large.len() - 1);
    let (before, last) = (before.to_owned(), last.to_owned());
    // Nobody gets the end of an answer before many wait for it.
    let target = Target::open(Box::new(move |mut stream| {
        hear(&mut stream);
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(before.as_bytes()));
        if sent.is_ok() {
            std::thread::park_timeout(Duration::from_secs(2));
            // One that is refused does not wait for it.
            let _ = stream.write_all(last.as_bytes());
        }
    }));
    let url = target.url();
    let tree = format!("trees: {{T: {{http: {{get: '{url}/', save: {{b: $.b}}}}, label: request}}}}\n");
    let done = watched::run(&tree, &["--iterations", "200", "--bots", "200"], &[]);
    let told = failures(&done, "request");
    let of = |class: &str| told.iter().filter(|(c, _, _)| c == class).map(|(_, n, _)| n).sum::<u64>();
    // There is nothing to save, for those whose answers were looked into.
    let (whole, refused) = (of("expectation"), of("local"));
    assert!(whole + refused == 200 && whole >= 10 && refused >= 100, "{told:?}");
    let said = "answers of more than 128 MiB are kept at once on this runner";
    assert!(told.iter().any(|(_, _, text)| text.contains(said)), "{told:?}");
}
