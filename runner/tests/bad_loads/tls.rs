//! Targets with TLS that is none, is not theirs, or breaks off.

use crate::common::Folder;
use crate::hostile::{Answer, Target, hear, hold, pour, resets_after, say};
use crate::watched::{self, failures};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;

const SHORT: &str = ", timeout: 500ms";
const LATE: &str = "no answer within 500ms";
const JSON: &str = ", expect: {json: {$.a: 1}}";

/// For `localhost`, unless something is made different.
fn certificate(differs: impl FnOnce(&mut CertificateParams)) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    differs(&mut parameters);
    CertifiedKey { cert: parameters.self_signed(&signing_key).expect("a certificate"), signing_key }
}

type Secured<'s> = StreamOwned<ServerConnection, &'s TcpStream>;

type Then = fn(&mut Secured<'_>);

/// Agrees on TLS, and then does this.
fn secured(with: &CertifiedKey<KeyPair>, then: Then) -> Answer {
    let key = PrivateKeyDer::try_from(with.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(vec![with.cert.der().clone()], key)
        });
    let config = Arc::new(config.expect("a certificate with its key"));
    Box::new(move |stream| {
        let connection = ServerConnection::new(config.clone()).expect("a connection");
        then(&mut StreamOwned::new(connection, stream));
    })
}

/// Each request fails with this class, and with this in its words; the certificate is one that is trusted.
fn fails(
    what: &str,
    trusted: Option<&CertifiedKey<KeyPair>>,
    answer: Answer,
    more: &str,
    class: &str,
    said: &str,
) {
    let port = Target::open(answer).port;
    let folder = Folder::new();
    let file = trusted.map(|trusted| folder.file("roots.pem", trusted.cert.pem()));
    let environment: Vec<_> = file.iter().map(|file| ("SSL_CERT_FILE", file.as_str())).collect();
    let tree = format!("trees: {{T: {{http: {{get: 'https://localhost:{port}/'{more}}}, label: request}}}}");
    let done = watched::run(&tree, &["--iterations", "3", "--bots", "2"], &environment);
    let told = failures(&done, "request");
    let [(of, 3, text)] = told.as_slice() else { panic!("{what}: {told:?}") };
    assert!(of == class && text.contains(said), "{what}: {told:?}");
    assert_eq!(done.counts("request"), [0, 3, 0, 0], "{what}");
    assert!(done.number("/bots/started") <= 2, "a failure is no death: {what}: {:#}", done.result);
}

/// Reads what a client begins with: one record.
fn greeting(stream: &mut impl Read) {
    let mut head = [0; 5];
    let read = stream.read_exact(&mut head);
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    // A client that has gone has nothing to say.
    let _ = read.and_then(|()| stream.read_exact(&mut body));
}

/// Reads what a client begins with, and says this.
fn greets(what: &'static [u8]) -> Answer {
    Box::new(move |mut stream| {
        greeting(&mut stream);
        say(&mut stream, what);
    })
}

/// Says this without end.
fn raves(what: Vec<u8>) -> Answer {
    Box::new(move |mut stream| pour(&mut stream, &what))
}

#[test]
fn who_is_trusted_is_heard_and_the_handshake_has_a_time_of_its_own() {
    let ours = certificate(|_| {});
    let answer = secured(&ours, |stream| {
        while hear(stream) {
            say(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}");
        }
    });
    let port = Target::open(answer).port;
    let folder = Folder::new();
    let file = folder.file("roots.pem", ours.cert.pem());
    let request = format!("get: 'https://localhost:{port}/'{JSON}");
    let tree = format!("trees: {{T: {{http: {{{request}}}, label: request}}}}");
    let done = watched::run(&tree, &["--iterations", "6", "--bots", "2"], &[("SSL_CERT_FILE", &file)]);
    assert_eq!(done.counts("request"), [6, 0, 0, 0]);
    let handshakes = done.action("request")["parts"]["tlsUs"]["count"].as_u64().expect("handshakes");
    assert!((1..=2).contains(&handshakes), "one a connection, which is kept: {handshakes}");
}

#[test]
fn what_is_no_tls_is_told() {
    let huge = [b"\x16\x03\x03\x40\x00", &[2; 0x4000][..]].concat();
    let cases: Vec<(&str, Answer, &str)> = vec![
        ("HTTP", greets(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "corrupt message"),
        ("SSH", greets(b"SSH-2.0-OpenSSH_9.6\r\n"), "corrupt message"),
        ("an old version", greets(b"\x15\x03\x01\x00\x02\x02\x46"), "ProtocolVersion"),
        ("another kind of record", greets(b"\x17\x03\x03\x00\x02ab"), "unexpected message"),
        ("half a record", greets(b"\x16\x03\x03\x00\x7a\x02"), "handshake eof"),
        ("closes", greets(b""), "handshake eof"),
        ("closes before it reads", Box::new(|_| {}), ""),
        ("resets", resets_after(""), "Connection reset by peer"),
        ("noise without end", raves(b"\xff\x00".to_vec()), "corrupt message"),
        ("a handshake without end", raves(huge), "HandshakePayloadTooLarge"),
        ("empty records without end", raves(b"\x16\x03\x03\x00\x00".to_vec()), "InvalidEmptyPayload"),
    ];
    for (what, answer, said) in cases {
        fails(what, None, answer, "", "tls", said);
    }
    let half: Answer = Box::new(|mut stream| {
        greets(b"\x16\x03\x03\x00\x7a\x02")(stream);
        hold(&mut stream);
    });
    fails("never answers", None, Box::new(|mut stream| hold(&mut stream)), SHORT, "timeout", LATE);
    fails("half a record", None, half, SHORT, "timeout", LATE);
}

#[test]
fn certificates_that_are_not_to_be_trusted_are_told() {
    let ours = certificate(|_| {});
    let theirs = certificate(|_| {});
    let expired = certificate(|c| c.not_after = date_time_ymd(2001, 1, 1));
    let early = certificate(|c| c.not_before = date_time_ymd(4000, 1, 1));
    let name = SanType::DnsName("shop.example".try_into().expect("a name"));
    let another = certificate(|c| c.subject_alt_names = vec![name]);
    for (what, with, trusted, said) in [
        ("its own", &ours, None, "UnknownIssuer"),
        ("not the one that is trusted", &theirs, Some(&ours), "BadSignature"),
        ("expired", &expired, Some(&expired), "certificate expired"),
        ("not valid yet", &early, Some(&early), "certificate not valid yet"),
        ("of another name", &another, Some(&another), "certificate not valid for name \"localhost\""),
    ] {
        fails(what, trusted, secured(with, hears), "", "tls", said);
    }
}

fn hears(stream: &mut Secured<'_>) {
    hear(stream);
}

/// Hears a request and begins to answer it.
fn begin(stream: &mut Secured<'_>) {
    hear(stream);
    say(stream, b"HTTP/1.1 200 OK\r\n\r\n{\"a\":1}");
}

#[test]
fn what_breaks_off_inside_of_tls_is_told() {
    let cut = "the connection was closed without the farewell of TLS";
    let closed = "the connection was closed before the answer was whole";
    let cases: Vec<(&str, Then, &str, &str, &str)> = vec![
        ("closes", hears, "", "connect", cut),
        // Whoever cuts the connection could cut an answer where it looks whole.
        ("closes where it looks whole", begin, JSON, "connect", cut),
        ("says farewell before all is said", says_farewell, "", "connect", closed),
        ("nonsense", talks_nonsense, "", "protocol", "is not HTTP/1"),
        ("hangs", |stream| hold(stream), SHORT, "timeout", LATE),
        ("a body without end", begins_and_pours, SHORT, "timeout", LATE),
        ("one that is looked into", begins_and_pours, JSON, "expectation", "larger than 8388608 bytes"),
    ];
    let ours = certificate(|_| {});
    for (what, then, more, class, said) in cases {
        fails(what, Some(&ours), secured(&ours, then), more, class, said);
    }
}

fn talks_nonsense(stream: &mut Secured<'_>) {
    hear(stream);
    say(stream, b"nonsense\r\n\r\n");
}

fn says_farewell(stream: &mut Secured<'_>) {
    hear(stream);
    stream.conn.send_close_notify();
    say(stream, b"");
}

fn begins_and_pours(stream: &mut Secured<'_>) {
    begin(stream);
    pour(stream, b"[");
}
