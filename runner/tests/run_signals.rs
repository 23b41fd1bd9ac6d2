//! `runner run` and signals.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{GET, Given};
use common::{Shop, until};
use std::time::{Duration, Instant};

#[test]
fn the_first_interrupt_ends_it_and_keeps_what_was_measured() {
    for (signal, threshold, code) in
        [("INT", "count > 0", 0), ("TERM", "count > 0", 0), ("INT", "count < 1", 99)]
    {
        let shop = Shop::open(&["--latency", "30ms"]);
        let given = Given::new(&format!("{GET}thresholds: [{{expect: {threshold}}}]\n"));
        let program = given.start(&["--target", &shop.url(), "--bots", "3"]);
        until("the run goes on", || shop.requests() > 5);
        program.signal(signal);
        let done = given.done(program.end());
        assert_eq!(done.ended.code(), code, "{signal}: {:?}", done.ended);
        assert_eq!(done.number("/requests"), shop.requests());
        assert_eq!(done.counts("GET /catalogue")[1..], [0, 0, 0], "what was in flight came to its end");
        assert_eq!(done.number("/bots/alive"), 0);
    }
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let shop = Shop::open(&["--latency", "1h"]);
    let given = Given::new(GET);
    let mut program = given.start(&["--target", &shop.url(), "--bots", "2"]);
    until("the bots hang", || shop.requests() == 2);
    program.signal("INT");
    let early = program.ended_within(Duration::from_millis(300));
    assert!(early.is_none(), "requests in flight are waited for: {early:?}");
    let begun = Instant::now();
    program.signal("INT");
    program.end().expect(130);
    assert_eq!(given.names(), ["army.yaml"], "half a result is none");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_run_that_is_cut_short_leaves_the_old_result() {
    for (signal, ends) in [("INT", true), ("KILL", false)] {
        let shop = Shop::open(&["--latency", "1h"]);
        let given = Given::new(GET);
        std::fs::write(&given.out, "old").expect("an old result");
        let program = given.start(&["--target", &shop.url()]);
        until("the bot hangs", || shop.requests() == 1);
        program.signal(signal);
        if ends {
            program.signal(signal);
        }
        drop(program.end());
        assert_eq!(std::fs::read_to_string(&given.out).expect("the old result"), "old", "{signal}");
        assert_eq!(given.names(), ["army.yaml", "out.json"], "{signal}");
    }
}
