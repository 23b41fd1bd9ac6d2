//! The operator's ports under attack: thousands of connections, slow, endless, oversized and senseless callers, and a
//! runner that is a foe. Meanwhile an honest runner is answered, and memory stays within its bound.
//!
//! The ports are served by a process of their own, so that its memory can be told from that of those who attack it.

mod attack;
mod server;

use crate::fake::NAMESPACE;
use crate::operator::said;
use attack::Target;
use botarmy_protocol::{CHECK_IN_PATH, CheckIn, Stage};
use futures::FutureExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{Served, Server};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the chart gives the operator, in kibibytes, and a quarter more: in the process is also the fake of the API
/// server, which keeps every checkpoint that was ever written.
const MOST_MEMORY_KIB: u64 = 320 << 10;
/// Strangers of both ports, the connections of the two runners, and what a process has open anyhow.
const MOST_FILES: usize = 1_500;
/// Connections that say nothing, and the files that whoever attacks needs besides.
const SILENT: usize = 10_000;
const BESIDES: u64 = 3_000;
/// Check-ins that an honest runner makes after each wave, and how long all of them may take at most.
const CHECK_INS: usize = 5;
const ANSWERED_WITHIN: Duration = Duration::from_secs(90);

/// A runner that does what it shall: it calls again when its connection breaks, as it may.
struct Honest<'s> {
    served: &'s Served,
    connection: Option<attack::Tls>,
}

impl Honest<'_> {
    async fn check_in(&mut self, said: &CheckIn) -> Option<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Target::of(self.served).tls([127, 0, 0, 1]).await?,
        };
        let body = serde_json::to_vec(said).expect("JSON");
        let head = attack::head(CHECK_IN_PATH, &self.served.honest, body.len());
        connection.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
        let mut answer = Vec::new();
        let code = loop {
            connection.read_buf(&mut answer).await.ok().filter(|read| *read > 0)?;
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            if body.len() >= length.parse().ok()? {
                break head.split(' ').nth(1)?.parse().ok()?;
            }
        };
        self.connection = Some(connection);
        Some(code)
    }

    /// Is answered as often as it has to be.
    async fn goes_on(&mut self, while_what: &str) {
        let said = CheckIn {
            pod_uid: self.served.honest_pod.clone(),
            ..said(&self.served.run, 0, Stage::Preparing, &[])
        };
        let (begun, mut answered, mut refused) = (Instant::now(), 0, Vec::new());
        while answered < CHECK_INS {
            assert!(begun.elapsed() < ANSWERED_WITHIN, "{while_what}: {answered} answered, else {refused:?}");
            match self.check_in(&said).await {
                Some(200) => answered += 1,
                other => refused.push(other),
            }
        }
    }
}

/// Lets this process, and those that it starts, have as many files open as it may, and as the attack needs.
fn raise_open_files() {
    let needed = SILENT as u64 + BESIDES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit { current: Some(limit.maximum.map_or(needed, |most| most.min(needed))), ..limit };
        setrlimit(Resource::Nofile, raised).expect("a higher limit");
    }
    let most = getrlimit(Resource::Nofile).current;
    assert!(most.is_none_or(|most| most >= needed), "{most:?} open files; raise the hard limit to {needed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ports_withstand_whoever_calls_and_an_honest_runner_goes_on() {
    raise_open_files();
    let server = Server::start();
    let served = &server.served;
    let target = Target::of(served);
    let mut honest = Honest { served, connection: None };
    honest.goes_on("nobody attacks").await;
    let mut held = Vec::new();

    let waves = [
        ("connections that say nothing", attack::silent(&target, SILENT).boxed()),
        ("handshakes that stop half-way", attack::half_handshakes(&target, 300).boxed()),
        ("what is no TLS", attack::no_tls(&target, 100).boxed()),
        ("connections that say nothing after the handshake", attack::silent_in_tls(&target, 300).boxed()),
        ("heads that never end", attack::slow_heads(&target, 200).boxed()),
        ("heads that are too large", attack::large_heads(&target, 100).boxed()),
        ("what is no HTTP", attack::no_http(&target, 100).boxed()),
        ("bodies of strangers", attack::bodies_of_strangers(&target, 100).boxed()),
        ("tokens that are made up", attack::made_up_tokens(&target, 200).boxed()),
        ("connections that are closed half-way", attack::half_closed(&target, 100).boxed()),
        ("a runner that unfolds too much", attack::unfolding(&target).boxed()),
        ("a runner that sends slowly and much", attack::slow_bodies(&target, 20).boxed()),
        ("a runner that says much without end", attack::without_end(&target).boxed()),
        ("whoever asks for metrics and reads nothing", attack::unread_metrics(&target, 300).boxed()),
    ];
    for (what, wave) in waves {
        held.push(wave.await);
        honest.goes_on(what).await;
        let (memory, files) = (server.peak_memory_kib(), server.open_files());
        println!("{what}: at most {memory} KiB so far, {files} files");
        assert!(memory < MOST_MEMORY_KIB, "{what}: {memory} KiB");
        assert!(files < MOST_FILES, "{what}: {files} files");
    }
    // Tokens that are none were asked for, and no more than a few of those from one address.
    let reviews = server.reviews();
    assert!((2..=150).contains(&reviews), "{reviews} questions to the API server");
    // The kubelet is told that all is well.
    assert_eq!(target.health_code("/healthz").await, Some(200));
    drop(held);
    honest.goes_on("all of them are gone").await;
}

/// What the process serves that is under attack: only when it is started for it.
#[test]
fn the_ports_are_served() {
    server::serve_if_asked(NAMESPACE);
}
