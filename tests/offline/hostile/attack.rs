//! Those who attack. Each wave holds on to its connections, as far as it is let; what becomes of them is theirs.

use super::server::Served;
use crate::operator::said;
use botarmy_protocol::{CHECK_IN_PATH, MAX_CHECK_IN_BYTES, Stage};
use botarmy_report::{DEFAULT_HIGHEST_US, Delta, Outcome, Recorder, RowInfo, Slice};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::any::Any;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;

pub(super) type Tls = tokio_rustls::client::TlsStream<TcpStream>;
/// What a wave holds on to.
pub(super) type Held = Box<dyn Any + Send>;

/// Attackers have so many addresses, beside that of the honest runner.
const ADDRESSES: usize = 8;
/// How long an attacker waits for what he may not get.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections of one pod; it is allowed no more.
pub(super) const CONNECTIONS_OF_POD: usize = 8;
/// How long a slow one waits between two bytes.
const SLOW: Duration = Duration::from_millis(500);

/// Bytes of all kinds.
fn garbage() -> impl Iterator<Item = u8> {
    (0..=250_u8).flat_map(|byte| [byte, byte.wrapping_mul(7)]).cycle()
}

/// Where the ports are.
#[derive(Clone)]
pub(super) struct Target {
    served: Served,
    connector: TlsConnector,
}

/// An address of the attackers.
fn address(n: usize) -> [u8; 4] {
    [127, 0, 0, u8::try_from(2 + n % ADDRESSES).unwrap_or(2)]
}

/// The head of a check-in.
pub(super) fn head(path: &str, token: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: coordinator\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    )
}

impl Target {
    pub(super) fn of(served: &Served) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(served.trust.as_bytes()) {
            roots.add(certificate.expect("a certificate")).expect("an authority");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions of TLS").with_root_certificates(roots).with_no_client_auth();
        Self { served: served.clone(), connector: TlsConnector::from(Arc::new(config)) }
    }

    async fn tcp(&self, from: [u8; 4], to: SocketAddr) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind((IpAddr::from(from), 0).into()).ok()?;
        tokio::time::timeout(PATIENCE, socket.connect(to)).await.ok()?.ok()
    }

    pub(super) async fn tls(&self, from: [u8; 4]) -> Option<Tls> {
        let stream = self.tcp(from, self.served.coordinator).await?;
        let name = ServerName::try_from("coordinator").expect("a name");
        tokio::time::timeout(PATIENCE, self.connector.connect(name, stream)).await.ok()?.ok()
    }

    /// What the port of health answers.
    pub(super) async fn health_code(&self, path: &str) -> Option<u16> {
        let mut stream = self.tcp([127, 0, 0, 1], self.served.health).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = [0; 64];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.ok()?.ok()?;
        String::from_utf8_lossy(&answer[..read]).split(' ').nth(1)?.parse().ok()
    }
}

/// So many attackers at once, a few of them at the same time; what each comes to is held.
async fn many<T, F>(times: usize, attack: impl Fn(usize) -> F) -> Held
where
    T: Send + 'static,
    F: Future<Output = Option<T>> + Send + 'static,
{
    let (mut going, mut held) = (JoinSet::new(), Vec::new());
    for n in 0..times {
        if going.len() >= 50 {
            held.push(going.join_next().await);
        }
        going.spawn(attack(n));
    }
    while let Some(done) = going.join_next().await {
        held.push(Some(done));
    }
    Box::new(held)
}

/// So many over TLS, each of which says this, and then holds on.
async fn saying(target: &Target, times: usize, what: impl Fn(&Target) -> Vec<u8>) -> Held {
    many(times, |n| {
        let (target, said) = (target.clone(), what(target));
        async move {
            let mut stream = target.tls(address(n)).await?;
            // It may be closed before all of it is said.
            let said = tokio::time::timeout(PATIENCE, stream.write_all(&said)).await;
            drop(said);
            Some(stream)
        }
    })
    .await
}

pub(super) async fn silent(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move { target.tcp(address(n), target.served.coordinator).await }
    })
    .await
}

/// A task that ends with what holds it.
struct Going(JoinHandle<()>);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says something at once, and then a byte of the rest now and then.
fn slowly(mut stream: impl tokio::io::AsyncWrite + Unpin + Send + 'static, rest: Vec<u8>) -> Going {
    Going(tokio::spawn(async move {
        for byte in rest {
            tokio::time::sleep(SLOW).await;
            if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }))
}

pub(super) async fn half_handshakes(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move {
            let mut stream = target.tcp(address(n), target.served.coordinator).await?;
            // A record that is announced to be as large as one may be.
            stream.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0xff, 0xff]).await.ok()?;
            Some(slowly(stream, vec![3; 1_000]))
        }
    })
    .await
}

pub(super) async fn no_tls(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move {
            let mut stream = target.tcp(address(n), target.served.coordinator).await?;
            let garbage: Vec<u8> = garbage().skip(n).take(100_000).collect();
            drop(tokio::time::timeout(PATIENCE, stream.write_all(&garbage)).await);
            Some(stream)
        }
    })
    .await
}

pub(super) async fn silent_in_tls(target: &Target, times: usize) -> Held {
    saying(target, times, |_| Vec::new()).await
}

pub(super) async fn slow_heads(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move {
            let mut stream = target.tls(address(n)).await?;
            stream.write_all(b"POST /v1/checkin HTTP/1.1\r\nX: ").await.ok()?;
            Some(slowly(stream, vec![b'x'; 1_000]))
        }
    })
    .await
}

pub(super) async fn large_heads(target: &Target, times: usize) -> Held {
    saying(target, times, |_| {
        let mut head = b"POST /v1/checkin HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ".to_vec();
        head.resize(1 << 20, b'x');
        head
    })
    .await
}

pub(super) async fn no_http(target: &Target, times: usize) -> Held {
    saying(target, times, |_| garbage().take(50_000).collect()).await
}

/// Without a token: announced, in parts without an end, and both.
pub(super) async fn bodies_of_strangers(target: &Target, times: usize) -> Held {
    let body = vec![b'['; 1 << 20];
    let heads =
        ["Content-Length: 8388608", "Transfer-Encoding: chunked", "Content-Length: 99999999999999999999"];
    many(times, |n| {
        let (target, body) = (target.clone(), body.clone());
        async move {
            let mut stream = target.tls(address(n)).await?;
            let head = format!("POST {CHECK_IN_PATH} HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n", heads[n % 3]);
            let size = format!("{:x}\r\n", body.len());
            let said = [head.as_bytes(), size.as_bytes(), &body].concat();
            drop(tokio::time::timeout(PATIENCE, stream.write_all(&said)).await);
            Some(stream)
        }
    })
    .await
}

/// Each with another one, and all from few addresses.
pub(super) async fn made_up_tokens(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move {
            let mut stream = target.tls(address(n % 2)).await?;
            let said = head(CHECK_IN_PATH, &format!("made-up-{n}"), 2) + "{}";
            stream.write_all(said.as_bytes()).await.ok()?;
            let mut answer = [0; 64];
            drop(tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await);
            Some(stream)
        }
    })
    .await
}

pub(super) async fn half_closed(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move {
            let mut stream = target.tls(address(n)).await?;
            stream.write_all(head(CHECK_IN_PATH, "t", 100).as_bytes()).await.ok()?;
            if n % 2 == 0 {
                stream.shutdown().await.ok()?;
            } else {
                stream.get_mut().0.shutdown().await.ok()?;
            }
            Some(stream)
        }
    })
    .await
}

/// A foe that is a runner: bodies as large as they may be, which stand for many times as much.
pub(super) async fn unfolding(target: &Target) -> Held {
    // The last one stands for less, and is read.
    let bodies = [r#"{"":0}"#, "[]", "[[[]]]", "\"some text of forty characters or so\""].map(|item| {
        let times = (MAX_CHECK_IN_BYTES - 64) / (item.len() + 1);
        format!(r#"{{"together":{{"changes":[[1,{{"put":["k",[{}]]}}]]}}}}"#, vec![item; times].join(","))
    });
    let bodies = Arc::new(bodies);
    many(8, |n| {
        let (target, bodies) = (target.clone(), bodies.clone());
        async move {
            let body = &bodies[n % bodies.len()];
            let mut stream = target.tls(address(n)).await?;
            let said = head(CHECK_IN_PATH, &target.served.foe, body.len()) + body;
            drop(tokio::time::timeout(PATIENCE * 4, stream.write_all(said.as_bytes())).await);
            let mut answer = [0; 64];
            drop(tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await);
            Some(stream)
        }
    })
    .await
}

/// A foe that is a runner: takes what room there is, and does not give it back.
pub(super) async fn slow_bodies(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move {
            let mut stream = target.tls(address(n)).await?;
            let length = if n % 2 == 0 { MAX_CHECK_IN_BYTES } else { 60_000 };
            let said = head(CHECK_IN_PATH, &target.served.foe, length) + &"[".repeat(50_000);
            stream.write_all(said.as_bytes()).await.ok()?;
            Some(slowly(stream, vec![b'['; 1_000]))
        }
    })
    .await
}

/// Foes that are pods, with tokens that are good: each of their connections takes what room there is, and when it is
/// closed the next one does.
pub(super) fn slow_pods(target: &Target, tokens: &[String]) -> Held {
    let connections = tokens.iter().flat_map(|token| (0..CONNECTIONS_OF_POD).map(move |n| (token, n)));
    let going = connections.enumerate().map(|(place, (token, n))| {
        let (target, token) = (target.clone(), token.clone());
        // One in eight is as large as it may be; the others pass for small ones.
        let length = if n == 0 { MAX_CHECK_IN_BYTES } else { 60_000 };
        Going(tokio::spawn(async move {
            loop {
                slow_body(&target, address(place), &token, length).await;
                tokio::time::sleep(SLOW).await;
            }
        }))
    });
    Box::new(going.collect::<Vec<_>>())
}

/// One of them, until its connection is closed.
async fn slow_body(target: &Target, from: [u8; 4], token: &str, length: usize) -> Option<()> {
    let mut stream = target.tls(from).await?;
    let said = head(CHECK_IN_PATH, token, length) + &"[".repeat(50_000);
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let speaks = async {
        writing.write_all(said.as_bytes()).await.ok()?;
        loop {
            tokio::time::sleep(SLOW).await;
            writing.write_all(b"[").await.ok()?;
            writing.flush().await.ok()?;
        }
    };
    let mut answer = [0; 1_024];
    tokio::select! {
        spoken = speaks => spoken,
        read = reading.read(&mut answer) => read.ok().map(drop),
    }
}

/// A foe that is a runner: measures that it makes up, as many as it can, each of names that there were not before.
fn made_up(target: &Target, sequence: u64) -> Vec<u8> {
    let row = |n: u64| RowInfo {
        name: format!("row {n} of {sequence}"),
        base: "row".into(),
        measured: true,
        ..RowInfo::default()
    };
    let rows: Vec<RowInfo> = (0..100).map(row).collect();
    let mut recorder = Recorder::new(rows.into(), DEFAULT_HIGHEST_US);
    // Each of these is in a page of counters of its own.
    let times = (11..31).flat_map(|doubling| (8..16_u64).map(move |eighth| eighth << (doubling - 3)));
    for (row, time) in (0..100).flat_map(|row| times.clone().map(move |time| (row, time))) {
        for outcome in Outcome::ALL {
            recorder.record(row, outcome, time);
            recorder.record(row, outcome, time);
        }
    }
    let slice = Slice { second: sequence, totals: recorder.drain(), warmup: false, apart: false };
    let mut said = said(&target.served.other_run, 1, Stage::Running, &[]);
    "b".clone_into(&mut said.run.name);
    said.pod_uid.clone_from(&target.served.foe_pod);
    said.deltas = vec![Delta { sequence, slices: vec![slice], alive: 1 }];
    serde_json::to_vec(&said).expect("JSON")
}

/// Says them one after the other, until it is told to end. The first ones would take more than a third of a gigabyte, if all of it were kept.
pub(super) async fn without_end(target: &Target) -> Held {
    let (tell, mut told) = tokio::sync::watch::channel(0);
    let target = target.clone();
    let going = Going(tokio::spawn(async move {
        let mut stream = None;
        for sequence in 1.. {
            let body = made_up(&target, sequence);
            let said = [head(CHECK_IN_PATH, &target.served.foe, body.len()).as_bytes(), &body].concat();
            loop {
                if stream.is_none() {
                    stream = target.tls(address(0)).await;
                }
                let Some(open) = &mut stream else { continue };
                let mut answer = [0; 4_096];
                let heard = async {
                    open.write_all(&said).await.ok()?;
                    open.read(&mut answer).await.ok().filter(|read| *read > 0)
                };
                if heard.await.is_some_and(|read| answer[..read].starts_with(b"HTTP/1.1 200")) {
                    break;
                }
                stream = None;
            }
            tell.send_replace(sequence);
        }
    }));
    drop(told.wait_for(|heard| *heard >= 16).await);
    Box::new(going)
}

/// At the other port: one question after the other, without an answer being read; and heads that never end.
pub(super) async fn unread_metrics(target: &Target, times: usize) -> Held {
    many(times, |n| {
        let target = target.clone();
        async move {
            let mut stream = target.tcp(address(n), target.served.health).await?;
            let question = if n % 3 == 0 {
                "GET /metrics HTTP/1.1\r\nX: "
            } else {
                "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
            };
            let said = question.repeat(if n % 3 == 0 { 1 } else { 500 });
            drop(tokio::time::timeout(Duration::from_millis(200), stream.write_all(said.as_bytes())).await);
            Some(slowly(stream, vec![b'x'; 1_000]))
        }
    })
    .await
}
