//! `runner run`: what had no time to come to its end is told, and not left out of the figures in silence.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, Given, run};
use common::{Shop, until};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const GET: &str = "{http: {get: '{{ target }}/catalogue'}}";

/// A target that answers so long, and nobody who comes later. Its threads live as long as the test's process.
fn hangs_after(time: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let end = Instant::now() + time;
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            if Instant::now() < end {
                std::thread::spawn(move || answer(&stream));
            } else {
                kept.push(stream);
            }
        }
    });
    address
}

fn answer(mut stream: &TcpStream) {
    let mut head = [0; 4096];
    if stream.read(&mut head).is_ok_and(|length| length > 0) {
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").expect("the bot waits");
    }
}

fn cut_off(of: &serde_json::Value) -> Option<u64> {
    of.get("cutOff").map(|count| count.as_u64().expect("a number"))
}

fn is_told(done: &Done, count: u64) {
    let stdout = &done.ended.stdout;
    let told = format!(
        "warning     {count} actions were cut off by a timeout around them or by the end; percentiles are incomplete"
    );
    assert!(stdout.lines().any(|line| line == told), "{stdout}");
    assert!(stdout.contains(&format!("  {count} ({count} cut off)")), "which row it was: {stdout}");
}

#[test]
fn a_stall_behind_a_timeout_is_told_and_can_be_held_to_a_threshold() {
    let target = hangs_after(Duration::from_secs(1));
    let given = Given::new(&format!(
        "trees: {{T: {{timeout: {{after: 300ms, child: {GET}}}}}}}
target: http://{target}
arrivalRate: 50/s
duration: 3s
thresholds:
  - {{expect: fail_rate < 1%}}
  - {{expect: cut_off_rate < 1%}}
  - {{expect: cut_off_rate < 1%, action: GET /catalogue}}
"
    ));
    let done = given.run(&[]);
    let [succeeded, _, _, cancelled] = done.counts("GET /catalogue");
    assert!(succeeded + cancelled == 150 && cancelled > 50, "{:#}", done.result);
    assert_eq!(cut_off(done.action("GET /catalogue")), Some(cancelled));
    assert_eq!(cut_off(&done.result["total"]), Some(cancelled));
    is_told(&done, cancelled);
    // The figures themselves are fine: it is the threshold on what they leave out that sees it.
    let passed = [0, 1, 2].map(|n| done.result["thresholds"][n]["passed"].as_bool());
    assert_eq!(passed, [Some(true), Some(false), Some(false)], "{:#}", done.result);
    assert_eq!(done.ended.code(), 99);
}

#[test]
fn what_the_grace_does_not_wait_for_is_told() {
    let shop = Shop::open(&["--latency", "30s"]);
    let file = format!(
        "trees: {{T: {GET}}}\ntarget: {}\nbots: 4\nduration: 300ms\ngracePeriod: 100ms\n",
        shop.url()
    );
    let done = run(&file, &[]);
    assert_eq!(done.counts("GET /catalogue"), [0, 0, 0, 4]);
    assert_eq!(cut_off(&done.result["total"]), Some(4));
    is_told(&done, 4);
    // In trees in which several things go on it is no other.
    let both = format!("{{parallel: {{children: [{GET}, {GET}, {{wait: 1h}}]}}}}");
    let done = run(&file.replace(GET, &both), &[]);
    assert_eq!(done.counts("GET /catalogue"), [0, 0, 0, 8]);
    assert_eq!(cut_off(&done.result["total"]), Some(8));
    // A wait is in no percentile that could miss it.
    assert_eq!((done.counts("wait(\"1h\")")[3], cut_off(done.action("wait(\"1h\")"))), (4, None));
}

#[test]
fn what_is_stopped_in_the_middle_is_told_as_well() {
    let shop = Shop::open(&["--latency", "30s"]);
    let file =
        format!("trees: {{T: {GET}}}\ntarget: {}\nbots: 2\nduration: 1h\ngracePeriod: 100ms\n", shop.url());
    let given = Given::new(&file);
    let running = given.start(&[]);
    until("both wait for the target", || shop.requests() == 2);
    running.signal("INT");
    let done = given.done(running.end());
    assert_eq!(cut_off(done.action("GET /catalogue")), Some(2), "{:#}", done.result);
}

#[test]
fn who_loses_against_another_is_not_cut_off() {
    let shop = Shop::open(&["--latency", "30s"]);
    // Against a wait, against a branch whose own time is over, and against one that ends the bot.
    let races = [
        format!("{{parallel: {{succeed_on: 1, children: [{GET}, {{wait: 50ms}}]}}}}"),
        format!("{{parallel: {{children: [{GET}, {{timeout: {{after: 50ms, child: {{wait: 1h}}}}}}]}}}}"),
        format!("{{parallel: {{children: [{GET}, {{sequence: [{{wait: 50ms}}, done]}}]}}}}"),
    ];
    for race in races {
        let file = format!("trees: {{T: {race}}}\ntarget: {}\niterations: 3\n", shop.url());
        let done = run(&file, &[]);
        assert_eq!(done.counts("GET /catalogue"), [0, 0, 0, 3], "{race}");
        assert_eq!(cut_off(done.action("GET /catalogue")), None, "{race}");
        assert!(!done.ended.stdout.contains("cut off"), "{}", done.ended.stdout);
    }
}
