//! A run that is suspended: its time stands still, and whatever ends it begins nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use botarmy_report::{Outcome, Totals};
use botarmy_runner::engine::{Army, Start};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use common::{PATIENCE, Shop};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An army and what it has measured.
struct Watched {
    army: Army,
    totals: Totals,
    finished: bool,
}

impl Watched {
    async fn start(spec: &Value) -> Self {
        let spec: BotRunSpec = serde_json::from_value(spec.clone()).expect("a spec");
        let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).expect("a run");
        let army = Army::start(Start::here(Arc::new(run))).await.expect("an army");
        Self { army, totals: Totals::default(), finished: false }
    }

    /// Looks until something holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        loop {
            let snapshot = self.army.drain().await;
            self.totals.merge(&snapshot.totals).expect("a sum");
            self.finished = snapshot.finished;
            if holds(self) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets it stand still; all workers do once they have answered.
    async fn suspend(&mut self) {
        self.army.suspend(Instant::now());
        self.until("all workers have heard of it", |_| true).await;
    }

    async fn end(mut self) -> Totals {
        self.army.stop();
        self.until("all has ended", |watched| watched.finished).await;
        self.army.join();
        self.totals
    }
}

#[tokio::test]
async fn a_stop_of_a_run_that_stands_still_begins_nothing() {
    let shop = Shop::open(&[]);
    let get = json!({"http": {"get": "{{ target }}/catalogue"}});
    for tree in [
        get.clone(),
        json!({"timeout": {"after": "1h", "child": get}}),
        json!({"parallel": {"children": [get, {"wait": "1ms"}]}}),
    ] {
        let before = shop.requests();
        let spec = json!({"trees": {"T": tree}, "target": shop.url(), "bots": 20});
        let mut watched = Watched::start(&spec).await;
        watched.until("each bot has a connection", |w| w.totals.requests > 2_000).await;
        watched.suspend().await;
        let is_quiet = |w: &Watched| w.totals.requests == w.totals.total().measured_count();
        watched.until("what was under way has come to its end", is_quiet).await;
        let sent = watched.totals.requests;
        let totals = watched.end().await;
        assert_eq!((totals.requests, shop.requests() - before), (sent, sent), "{tree}");
        assert_eq!(totals.total().count(Outcome::Cancelled), 0, "{tree}: what never began has no row");
    }
}

#[tokio::test]
async fn nothing_is_given_up_and_no_cap_is_exceeded_because_it_stood_still() {
    let shop = Shop::open(&[]);
    let get = json!({"http": {"get": "{{ target }}/catalogue"}});
    for tree in [get.clone(), json!({"timeout": {"after": "4s", "child": get}})] {
        let fields = json!({"target": shop.url(), "bots": 20, "maxRate": "20/s", "trees": {"T": tree}});
        let begun = Instant::now();
        let mut watched = Watched::start(&fields).await;
        watched.until("bots are at work", |w| w.totals.iterations > 5).await;
        watched.suspend().await;
        let suspended = Instant::now();
        // Longer than all of them wait for their turns, and than the time of the tree.
        watched.until("all turns are over", |_| suspended.elapsed() > Duration::from_secs(5)).await;
        let stood_still = suspended.elapsed();
        let passes = watched.totals.iterations;
        watched.army.resume(Instant::now());
        watched.until("it goes on", |w| w.totals.iterations > passes + 30).await;
        let load = begun.elapsed().saturating_sub(stood_still);
        let totals = watched.end().await;
        let most = u64::try_from(load.as_millis()).expect("a number") / 50 + 2;
        let count = |outcome| totals.rows["(iteration)"].count(outcome);
        assert!(totals.requests <= most, "{tree}: {} requests in {load:?}", totals.requests);
        assert_eq!(count(Outcome::Fail), 0, "{tree}: no time has gone by");
    }
}

#[tokio::test]
async fn passes_are_not_made_up_for_that_would_have_been_made_meanwhile() {
    const PACE: Duration = Duration::from_millis(100);
    const BOTS: u64 = 4;
    let spec = json!({"trees": {"T": {"log": "here"}}, "bots": BOTS, "pace": "100ms"});
    let begun = Instant::now();
    let mut watched = Watched::start(&spec).await;
    watched.until("each bot is at its pace", |w| w.totals.iterations >= 2 * BOTS).await;
    watched.suspend().await;
    let (suspended, passes) = (Instant::now(), watched.totals.iterations);
    // Forty passes for each bot.
    watched.until("it has stood still for long enough", |_| suspended.elapsed() > PACE * 40).await;
    let stood_still = suspended.elapsed();
    watched.army.resume(Instant::now());
    watched.until("it goes on", |w| w.totals.iterations >= passes + 8 * BOTS).await;
    let totals = watched.end().await;
    let load = begun.elapsed().saturating_sub(stood_still);
    let most = u64::try_from(load.as_millis() / PACE.as_millis()).expect("a number") + 2;
    assert!(totals.iterations <= most * BOTS, "{} passes of {BOTS} bots in {load:?}", totals.iterations);
}
