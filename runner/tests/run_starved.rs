//! `runner run`: a generator that cannot keep up says so, and one that can says nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, Given};
use common::{PATIENCE, Running, ask, until};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What the summary says of a generator that could not keep up.
const WARNING: &str = "\nwarning     the generator could not keep up in ";
/// So many others want the processor: each gets a few milliseconds before it is the program's turn again.
const OTHERS: usize = 16;

/// A processor that this test may use.
fn processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list");
    allowed.trim().split([',', '-']).next().expect("a processor").to_owned()
}

/// This program on that processor only.
fn on(processor: &str, program: &[&str]) -> Running {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", processor]).args(program).env_remove("RUST_LOG");
    pinned.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::new(pinned.spawn().expect("taskset"))
}

/// What summary and result say is the same, and follows from the seconds that were looked at.
fn is_saturated(done: &Done) -> bool {
    let generator = &done.result["generator"];
    let saturated = generator["saturated"].as_bool().unwrap_or_else(|| panic!("{:#}", done.result));
    let [bad, all] = ["/generator/saturatedSeconds", "/generator/seconds"].map(|place| done.number(place));
    assert!(all >= 1 && bad <= all, "{generator:#}");
    assert_eq!(saturated, bad > 1 && bad * 100 > all * 5, "{generator:#}");
    assert_eq!(done.ended.stdout.contains(WARNING), saturated, "{}", done.ended.stdout);
    saturated
}

#[test]
fn a_generator_that_can_keep_up_says_nothing() {
    let given = Given::new("trees: {T: {wait: 1h}}\nbots: 10\nduration: 2500ms\n");
    // The machine may be busy with other things; then it has to say so, and is asked once more.
    let begun = Instant::now();
    while is_saturated(&given.run(&[])) {
        assert!(begun.elapsed() < PATIENCE, "a generator that has nothing to do never keeps up");
    }
}

#[test]
fn a_generator_that_is_starved_says_so() {
    let given = Given::new("trees: {T: {log: a}}\nbots: 50\nduration: 1h\n");
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address: SocketAddr = free.local_addr().expect("an address");
    drop(free);
    let processor = processor();
    let others = || on(&processor, &["sh", "-c", "while :; do :; done"]);
    let others: Vec<Running> = (0..OTHERS).map(|_| others()).collect();
    // Bots that wait for nothing want more of a processor than there is.
    let listen = address.to_string();
    let args = given.args(&["--metrics-listen", &listen]);
    let running = on(&processor, &[&[env!("CARGO_BIN_EXE_runner")], &args[..]].concat());
    until("it says that it cannot keep up", || {
        TcpStream::connect(address).is_ok()
            && ask(address, "GET", "/metrics", &[], "").1.contains("\nbotarmy_generator_saturated 1")
    });
    running.signal("INT");
    let ended = running.end().expect(0);
    drop(others);
    let done = given.done(ended);
    assert!(is_saturated(&done), "{:#}", done.result);
    assert_eq!(done.result["outcome"], "Passed", "it is no verdict");
    assert!(done.ended.stdout.contains("; take more runners\n"), "{}", done.ended.stdout);
}
