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
    for (first, second) in [("INT", "INT"), ("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let shop = Shop::open(&["--latency", "1h"]);
        let given = Given::new(GET);
        let mut program = given.start(&["--target", &shop.url(), "--bots", "2"]);
        until("the bots hang", || shop.requests() == 2);
        program.signal(first);
        let early = program.ended_within(Duration::from_millis(300));
        assert!(early.is_none(), "requests in flight are waited for: {early:?}");
        let begun = Instant::now();
        program.signal(second);
        let ended = program.end().expect(130);
        assert_eq!(given.names(), ["army.yaml"], "half a result is none");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(ended.stderr.contains("a second interrupt ends it at once"), "{first}: {}", ended.stderr);
    }
}

#[test]
fn a_run_that_is_cut_short_leaves_the_old_result() {
    for signals in [&["INT", "INT"][..], &["KILL"]] {
        let shop = Shop::open(&["--latency", "1h"]);
        let given = Given::new(GET);
        std::fs::write(&given.out, "old").expect("an old result");
        let mut program = given.start(&["--target", &shop.url()]);
        until("the bot hangs", || shop.requests() == 1);
        for signal in signals {
            program.signal(signal);
            // Two at the same moment are one.
            program.ended_within(Duration::from_millis(300));
        }
        until("it has ended", || {
            program.is_over() || program.ended_within(Duration::from_millis(5)).is_some()
        });
        assert_eq!(std::fs::read_to_string(&given.out).expect("the old result"), "old", "{signals:?}");
        assert_eq!(given.names(), ["army.yaml", "out.json"], "{signals:?}");
    }
}

#[test]
fn a_log_is_not_flooded() {
    let shop = Shop::open(&["--latency", "1500ms"]);
    let given = Given::new(GET);
    let begun = Instant::now();
    let mut program = given.start(&["--target", &shop.url(), "--bots", "2", "--duration", "1h"]);
    assert!(program.ended_within(Duration::from_secs(3)).is_none());
    program.signal("TERM");
    let ended = program.end().expect(0);
    // Not a line each second, nor each time that the end is looked for.
    let (figures, other): (Vec<&str>, _) =
        ended.stderr_lines().into_iter().partition(|l| l.contains(" bots  "));
    let most = 1 + begun.elapsed().as_secs() / 10;
    assert!((1..=most).contains(&(figures.len() as u64)), "{figures:#?}");
    assert_eq!(other, ["the run ends; a second interrupt ends it at once, without a result"]);
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stderr.contains('\r'), "{:?}", ended.stderr);
}
