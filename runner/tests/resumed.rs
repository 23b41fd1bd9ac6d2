//! A share of an army that another runner had begun.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_protocol::Resume;
use botarmy_report::Totals;
use botarmy_runner::engine::{Army, Done, Start};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What becomes of a run whose load goes on for so long already, with so many passes done.
async fn resumed(fields: &Value, since: Duration, done: u64) -> Totals {
    let part = Resume { iterations: [(String::new(), done)].into(), ..Resume::default() };
    going_on(fields, since, part).await
}

async fn going_on(fields: &Value, since: Duration, part: Resume) -> Totals {
    let mut spec = json!({"trees": {"T": {"log": "here"}}});
    spec.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
    let spec: BotRunSpec = serde_json::from_value(spec).expect("a spec");
    let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).expect("a run");
    let done = Done { since, part, bots: None };
    let at = Instant::now().checked_sub(since).expect("a moment");
    let army = Army::start(Start { at, done, ..Start::here(Arc::new(run)) }).await.expect("an army");
    let mut totals = Totals::default();
    loop {
        army.worker_finished().await;
        let snapshot = army.drain().await;
        totals.merge(&snapshot.totals).expect("a sum");
        if snapshot.finished {
            army.join();
            return totals;
        }
    }
}

#[tokio::test]
async fn how_late_the_first_bots_began_is_measured() {
    let spec: BotRunSpec =
        serde_json::from_value(json!({"trees": {"T": "done"}, "iterations": 3})).expect("a spec");
    let run = Arc::new(Run::check(&spec, "r", &Path::top(), &Actions::built_in()).expect("a run"));
    let ms = Duration::from_millis;
    let now = Instant::now();
    for (at, least) in [(now + ms(300), ms(0)), (now.checked_sub(ms(5_000)).expect("a moment"), ms(5_000))] {
        let army = Army::start(Start { at, ..Start::here(run.clone()) }).await.expect("an army");
        assert!(least > ms(0) || army.began_late().is_none(), "it is not time yet");
        while !army.drain().await.finished {
            army.worker_finished().await;
        }
        let late = army.began_late().expect("it has begun");
        assert!(late >= least && late < least + ms(2_000), "{late:?}");
        army.join();
    }
}

#[tokio::test]
async fn only_what_is_left_is_done() {
    let second = Duration::from_secs(1);
    let totals = resumed(&json!({"bots": 3, "iterations": 100}), second, 60).await;
    assert_eq!((totals.iterations, totals.dropped), (40, 0));
    let totals = resumed(&json!({"bots": 3, "iterations": 100}), second, 100).await;
    assert_eq!((totals.iterations, totals.bots_started), (0, 0));
    // What should have arrived in the meantime is not made up for.
    let totals = resumed(&json!({"arrivalRate": 100, "duration": "2s"}), second, 7).await;
    assert_eq!((totals.bots_started, totals.dropped), (100, 0));
    let totals =
        resumed(&json!({"arrivalRate": 100, "duration": "2s", "spacing": "Poisson"}), second, 0).await;
    assert!((50..150).contains(&totals.bots_started) && totals.dropped == 0, "{}", totals.bots_started);
    let totals = resumed(&json!({"arrivalRate": 100, "iterations": 150}), second, 100).await;
    assert_eq!((totals.bots_started, totals.dropped), (50, 0));
}

#[tokio::test]
async fn what_has_arrived_already_is_known_by_the_rates_that_there_were() {
    let fields = json!({"trees": {"T": "done"}, "arrivalRate": 100, "iterations": 150});
    let spec: BotRunSpec = serde_json::from_value(fields).expect("a spec");
    let run = Arc::new(Run::check(&spec, "r", &Path::top(), &Actions::built_in()).expect("a run"));
    let since = Duration::from_secs(2);
    let at = Instant::now().checked_sub(since).expect("a moment");
    // A hundred in the first second, twenty in the next.
    let rates = vec![(Duration::from_secs(1), 20.0)];
    let done = Done { since, ..Done::default() };
    let army = Army::start(Start { at, done, rates, ..Start::here(run) }).await.expect("an army");
    let mut started = 0;
    loop {
        let snapshot = army.drain().await;
        started += snapshot.totals.bots_started;
        if snapshot.finished {
            break;
        }
        army.worker_finished().await;
    }
    army.join();
    assert_eq!(started, 30);
}

#[tokio::test]
async fn passes_of_its_bots_and_its_rows_are_those_that_are_left() {
    let owed = |left: u64| Resume { owed: [(String::new(), left)].into(), ..Resume::default() };
    for left in [0, 2, 7, 30] {
        let totals = going_on(&json!({"bots": 3, "iterationsPerBot": 10}), Duration::ZERO, owed(left)).await;
        assert_eq!((totals.iterations, totals.bots_started), (left, left.min(3)), "as evenly as can be");
    }
    let rows = json!({
        "bots": 2, "trees": {"T": {"sequence": [{"log": "{{ data.n }} of {{ bot.id }}"}, "done"]}},
        "data": {"inline": "n\n1\n2\n3\n4\n5\n", "format": "Csv", "exhausted": "Stop"},
    });
    for used in [0, 3, 5] {
        let part = Resume { rows: [(String::new(), used)].into(), ..Resume::default() };
        let totals = going_on(&rows, Duration::ZERO, part).await;
        assert_eq!(totals.bots_started, 5 - used);
    }
}
