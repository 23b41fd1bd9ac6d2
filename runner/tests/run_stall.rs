//! `runner run`: a stall shows as long as it was for those who came in it, whoever has stalled.
//!
//! Of `T` seconds in which arrivals come evenly, `S` are a stall: whoever comes in it waits for its end. So the
//! longest hundredth of all times begins at `S - T/100`, the longest thousandth at `S - T/1000`: with two seconds in
//! sixty at 1.40 s and 1.94 s. A generator that waits for answers before it asks again measures one long time in
//! each of its loops, and nothing of it in those percentiles.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, Given};
use common::{Ended, PATIENCE, Running, until};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Arrivals a second.
const RATE: u32 = 100;
const TAKES: Duration = Duration::from_secs(60);
const STALL: Duration = Duration::from_secs(2);
/// All who come.
const ALL: usize = 6_000;
/// Who is the first to come in the stall.
const FIRST: u32 = 2_000;

/// What a target has seen.
struct Seen {
    /// What its times count from.
    opened: Instant,
    /// Until when it answers nobody.
    stalled: Option<Instant>,
    /// When each request had come, and when it was answered.
    times: BTreeMap<u32, (Duration, Duration)>,
}

/// A target that answers at once, but for its stall if it has one.
struct Target {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Target {
    /// Its threads live as long as the test's process.
    fn open(stalls: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen =
            Arc::new(Mutex::new(Seen { opened: Instant::now(), stalled: None, times: BTreeMap::new() }));
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = shared.clone();
                std::thread::spawn(move || answer(&stream, &seen, stalls));
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("what was seen")
    }
}

/// Answers the one request of a bot, which tells its number.
fn answer(mut stream: &TcpStream, seen: &Mutex<Seen>, stalls: bool) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(length @ 1..) => head.extend_from_slice(&piece[..length]),
            _ => return,
        }
    }
    let came = Instant::now();
    let head = String::from_utf8(head).expect("text");
    let number = head.split(['/', ' ']).nth(2).and_then(|number| number.parse().ok());
    let number: u32 = number.unwrap_or_else(|| panic!("no number: {head}"));
    let end = {
        let mut seen = seen.lock().expect("what was seen");
        if stalls && number == FIRST {
            seen.stalled = Some(came + STALL);
        }
        seen.stalled
    };
    rest_until(end.unwrap_or(came));
    {
        let mut seen = seen.lock().expect("what was seen");
        let since = |time: Instant| time.saturating_duration_since(seen.opened);
        let times = (since(came), since(Instant::now()));
        seen.times.insert(number, times);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the bot waits");
}

fn rest_until(end: Instant) {
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// A run with so many arrivals, by their numbers.
fn given(target: &Target) -> Given {
    let address = target.address;
    Given::new(&format!(
        "trees: {{T: {{http: {{get: 'http://{address}/{{{{ bot.id }}}}'}}, label: request}}}}
arrivalRate: {RATE}/s
duration: {}s
thresholds: [{{expect: p(99) > 0ms}}, {{expect: p(99.9) > 0ms}}]
",
        TAKES.as_secs()
    ))
}

/// Waits for the end of a run that takes longer than others.
fn end(mut running: Running) -> Ended {
    running.ended_within(TAKES + PATIENCE).expect("the program goes on and on").expect(0)
}

/// A time of the result, which is text with its unit.
fn time(done: &Done, threshold: usize) -> f64 {
    let text = done.result["thresholds"][threshold]["value"].as_str().expect("a value");
    let number =
        text.strip_suffix("ms").map(|number| (number, 1e-3)).or(text.strip_suffix('s').map(|n| (n, 1.0)));
    let (number, unit) = number.unwrap_or_else(|| panic!("no time: {text}"));
    number.parse::<f64>().expect("a number") * unit
}

/// Nothing was left out, and the longest times are as long as the target knows them to be.
fn is_true(target: &Target, done: &Done) {
    assert_eq!(done.counts("request"), [ALL as u64, 0, 0, 0], "{:#}", done.result);
    assert_eq!(done.number("/bots/started"), ALL as u64);
    assert!(done.result.get("dropped").is_none(), "{:#}", done.result);
    let seen = target.seen();
    assert_eq!(seen.times.len(), ALL, "the target has seen them all");
    let scheduled = |number: u32| f64::from(number - 1) / f64::from(RATE);
    // Nobody comes before it is time, and somebody comes in time: that is when it began.
    let early = |(number, (came, _)): (&u32, &(Duration, Duration))| came.as_secs_f64() - scheduled(*number);
    let began = seen.times.iter().map(early).fold(f64::INFINITY, f64::min);
    let took = |(number, (_, answered)): (&u32, &(Duration, Duration))| {
        answered.as_secs_f64() - scheduled(*number) - began
    };
    let mut times: Vec<f64> = seen.times.iter().map(took).collect();
    times.sort_by(f64::total_cmp);
    for (threshold, beyond) in [(0, ALL / 100), (1, ALL / 1000)] {
        let (told, known) = (time(done, threshold), times[ALL - 1 - beyond]);
        assert!((told / known - 1.0).abs() < 0.05, "{told} s is told where the target knows of {known} s");
        // Nothing makes the stall shorter; on a machine that is busy it is longer.
        let least = STALL.as_secs_f64() - TAKES.as_secs_f64() * beyond as f64 / ALL as f64;
        assert!(told > least * 0.95, "{told} s is told of {least} s");
    }
}

#[test]
fn a_stall_of_the_target_is_as_long_as_it_was() {
    let target = Target::open(true);
    let given = given(&target);
    let done = given.done(end(given.start(&[])));
    is_true(&target, &done);
    let lateness = done.action("(lateness)")["p99Us"].as_u64().expect("a number");
    assert!(lateness < 1_000_000, "those who come do not wait for those who are there: {lateness} us");
}

#[test]
fn a_stall_of_the_generator_is_as_long_as_it_was() {
    let target = Target::open(false);
    let given = given(&target);
    let running = given.start(&[]);
    until("it is in the middle", || target.seen().times.contains_key(&FIRST));
    running.signal("STOP");
    rest_until(Instant::now() + STALL);
    running.signal("CONT");
    let done = given.done(end(running));
    is_true(&target, &done);
    let lateness = done.action("(lateness)")["p99Us"].as_u64().expect("a number");
    assert!(lateness > 1_000_000, "whoever is late is told to be: {lateness} us");
}
