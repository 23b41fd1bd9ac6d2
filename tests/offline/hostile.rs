//! The operator's ports under attack: thousands of connections, slow, endless, oversized and senseless callers, runners
//! that are foes, and pods that only say to be runners. Meanwhile an honest runner measures and reports each second: it
//! is answered all the while, all that it hands over becomes part of the sum once, and memory stays within its bound.
//!
//! The ports are served by a process of their own, so that its memory can be told from that of those who attack it.

mod attack;
mod honest;
mod server;

use crate::fake::NAMESPACE;
use attack::Target;
use futures::FutureExt;
use honest::{Honest, Sums};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::Server;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What the chart gives the operator, in kibibytes, and a quarter more: in the process is also the fake of the API
/// server, which keeps every checkpoint that was ever written.
const MOST_MEMORY_KIB: u64 = 320 << 10;
/// Strangers of both ports, the connections of runners and of pods, and what a process has open anyhow.
const MOST_FILES: usize = 1_500 + server::PODS * attack::CONNECTIONS_OF_POD;
/// Connections that say nothing, and the files that whoever attacks needs besides.
const SILENT: usize = 10_000;
const BESIDES: u64 = 3_000;
/// Answers that the honest runner has after each wave.
const ANSWERS: u64 = 3;
/// How long it waits for any of them at most, a quarter of the time after which it would stop by itself.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// How long an attack lasts that goes on by itself: longer than that, so that it would be noticed.
const LASTING: Duration = Duration::from_secs(45);
/// One attack at a time: they are to be borne by the operator, and not by the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The honest runner is answered often enough, and was all the while.
async fn goes_on(honest: &Honest, while_what: &str) {
    let mut heard = honest.heard.clone();
    let enough = heard.borrow_and_update().answers + ANSWERS;
    loop {
        let now = heard.borrow_and_update().clone();
        let silence = now.longest.max(now.last.elapsed());
        assert!(silence < LONGEST_SILENCE, "{while_what}: {now:?}");
        if now.answers >= enough {
            println!("{while_what}: {now:?}");
            return;
        }
        // It may also hear nothing any more.
        drop(tokio::time::timeout(Duration::from_secs(1), heard.changed()).await);
    }
}

/// The honest runner goes on for a while.
async fn goes_on_for(time: Duration, honest: &Honest, while_what: &str) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        goes_on(honest, while_what).await;
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

/// The memory and the open files of what is attacked are within their bounds.
#[track_caller]
fn stays_within_bounds(server: &Server, while_what: &str) {
    let (memory, files) = (server.peak_memory_kib(), server.open_files());
    println!("{while_what}: at most {memory} KiB so far, {files} files");
    assert!(memory < MOST_MEMORY_KIB, "{while_what}: {memory} KiB");
    assert!(files < MOST_FILES, "{while_what}: {files} files");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ports_withstand_whoever_calls_and_an_honest_runner_goes_on() {
    let _alone = ALONE.lock().await;
    raise_open_files();
    let server = Server::start();
    let target = Target::of(&server.served);
    let honest = Honest::start(&server.served);
    goes_on(&honest, "nobody attacks").await;
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
        goes_on(&honest, what).await;
        stays_within_bounds(&server, what);
    }
    // Tokens that are none were asked for, and no more than a few of those from one address.
    let reviews = server.reviews();
    assert!((2..=150).contains(&reviews), "{reviews} questions to the API server");
    // The kubelet is told that all is well.
    assert_eq!(target.health_code("/healthz").await, Some(200));
    drop(held);
    goes_on(&honest, "all of them are gone").await;
    its_sums_are_right(&server, honest).await;
}

/// Pods whose tokens are good: of runs that there are not, of another run, and of another namespace with the label of the
/// honest runner's run. Each takes what room it gets, for what it never sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_only_say_to_be_runners_keep_no_runner_waiting() {
    let _alone = ALONE.lock().await;
    raise_open_files();
    let server = Server::start();
    let target = Target::of(&server.served);
    let honest = Honest::start(&server.served);
    goes_on_for(Duration::from_secs(10), &honest, "nobody attacks").await;
    let (served, all) = (&server.served, "all pods at once");
    let pods = [&served.of_no_run, &served.from_elsewhere, &served.of_other_run];
    let going: Vec<_> = pods.into_iter().map(|pods| attack::slow_pods(&target, pods)).collect();
    goes_on_for(LASTING, &honest, all).await;
    stays_within_bounds(&server, all);
    drop(going);
    its_sums_are_right(&server, honest).await;
}

/// The honest runner comes to its end: all that it has measured is in the result, once, and nothing is lacking.
async fn its_sums_are_right(server: &Server, honest: Honest) {
    assert!(honest.heard.borrow().large > 0, "some of what it said was large");
    let sums = honest.finish().await;
    let begun = Instant::now();
    let status = loop {
        let status = server.status("a");
        if status["phase"] == "Finished" {
            break status;
        }
        assert!(begun.elapsed() < LONGEST_SILENCE, "it has not come to its end: {status:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let number = |place: &str| status["result"].pointer(place).and_then(serde_json::Value::as_u64);
    let told = (number("/requests"), number("/total/count"), &status["runners"]["lost"]);
    let Sums { requests, actions } = sums;
    assert_eq!(told, (Some(requests), Some(actions), &0.into()), "{status:#}");
    assert_eq!(status["result"]["gaps"].as_array().map(Vec::len), Some(0), "{status:#}");
}

/// What the process serves that is under attack: only when it is started for it.
#[test]
fn the_ports_are_served() {
    server::serve_if_asked(NAMESPACE);
}
