//! Shares of an army that go on when one of them is lost for good.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_protocol::{Loss, Resume, Standing};
use botarmy_report::Totals;
use botarmy_runner::engine::{Army, Share, Snapshot, Start};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNNERS: u32 = 3;

/// One runner, and what it has measured so far.
struct Runner {
    army: Army,
    totals: Totals,
    standing: Standing,
    alive: u32,
    finished: bool,
}

impl Runner {
    async fn drain(&mut self) {
        let Snapshot { totals, standing, alive, finished, .. } = self.army.drain().await;
        self.totals.merge(&totals).expect("a sum");
        (self.standing, self.alive, self.finished) = (standing, alive, finished);
    }

    /// Drains until it is as it shall be.
    async fn until(&mut self, what: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            self.drain().await;
            if what(self) {
                return;
            }
            assert!(Instant::now() < limit, "{:?}, {} alive", self.standing, self.alive);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn end(self) {
        self.army.stop();
        self.army.join();
    }
}

/// A run with these fields, by three runners of two workers each.
async fn runners(fields: &Value) -> (Instant, Vec<Runner>) {
    let mut spec = json!({"trees": {"T": {"wait": "1ms"}}, "runners": {"count": RUNNERS}});
    spec.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
    let spec: BotRunSpec = serde_json::from_value(spec).expect("a spec");
    let mut run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).expect("a run");
    for data in run.scenarios.iter_mut().filter_map(|scenario| scenario.data.as_mut()) {
        assert!(data.table.is_some(), "rows that stand in the spec");
    }
    let (run, at) = (Arc::new(run), Instant::now() + Duration::from_millis(50));
    let mut runners = Vec::new();
    for index in 0..RUNNERS {
        let share = Share { index, of: RUNNERS };
        let army =
            Army::start(Start { share, threads: 2, at, ..Start::here(run.clone()) }).await.expect("an army");
        let (totals, standing) = (Totals::default(), Standing::default());
        runners.push(Runner { army, totals, standing, alive: 0, finished: false });
    }
    (at, runners)
}

/// What is known of a runner that is lost now; what it does after that nobody hears of.
async fn lose(index: u32, mut runner: Runner, at_ms: u64, bots: u32) -> (Loss, Totals) {
    runner.drain().await;
    let Runner { army, totals, standing, .. } = runner;
    army.stop();
    army.join();
    let Standing { rows, owed, .. } = standing;
    (Loss { index, at_ms, bots, done: Resume { iterations: totals.passes(), rows, owed, knew: 0 } }, totals)
}

/// One runner is lost once it has done so much; what the three have come to, all together.
async fn with_a_loss(fields: &Value, ready: impl Fn(&Runner) -> bool) -> Totals {
    let (_, mut runners) = runners(fields).await;
    runners[1].until(ready).await;
    let (loss, mut sum) = lose(1, runners.remove(1), 0, 6).await;
    assert!(sum.iterations > 0, "it has done something");
    for runner in &mut runners {
        runner.army.take_over(std::slice::from_ref(&loss));
    }
    for mut runner in runners {
        runner.until(|runner| runner.finished).await;
        sum.merge(&runner.totals).expect("a sum");
        runner.end();
    }
    sum
}

fn has_made(passes: u64) -> impl Fn(&Runner) -> bool {
    move |runner| runner.totals.iterations >= passes
}

#[tokio::test]
async fn no_pass_is_missing_and_none_is_made_twice() {
    let sum = with_a_loss(&json!({"bots": 6, "iterations": 3_000}), has_made(50)).await;
    assert_eq!(sum.iterations, 3_000);
    let sum = with_a_loss(&json!({"bots": 6, "iterationsPerBot": 100}), has_made(30)).await;
    assert_eq!(sum.iterations, 600);
}

#[tokio::test]
async fn no_row_is_used_twice_and_none_is_left() {
    let rows = (0..120).fold("n\n".to_owned(), |text, n| text + &format!("{n}\n"));
    let fields = json!({
        "bots": 6, "trees": {"T": {"sequence": [{"wait": "5ms"}, "done"]}},
        "data": {"inline": rows, "format": "Csv", "exhausted": "Stop"},
    });
    let sum = with_a_loss(&fields, has_made(5)).await;
    // Those that the lost one had begun with are used up, and not all of these came to their end.
    assert!((116..=120).contains(&sum.iterations), "{}", sum.iterations);
}

#[tokio::test]
async fn who_has_finished_begins_again() {
    let (_, mut runners) = runners(&json!({"bots": 6, "iterations": 90})).await;
    for runner in &mut runners {
        runner.until(|runner| runner.finished).await;
    }
    // The last one had handed over ten passes only.
    runners.remove(2).end();
    let done = Resume { iterations: [(String::new(), 10)].into(), ..Resume::default() };
    let loss = Loss { index: 2, at_ms: 0, bots: 6, done };
    for runner in &mut runners {
        runner.army.take_over(std::slice::from_ref(&loss));
        runner.drain().await;
        assert!(!runner.finished, "there is more to do");
        runner.until(|runner| runner.finished).await;
        assert_eq!(runner.totals.iterations, 40);
        // Told again it is no other loss.
        runner.army.take_over(std::slice::from_ref(&loss));
        runner.drain().await;
        assert!(runner.finished && runner.totals.iterations == 40);
    }
    runners.into_iter().for_each(Runner::end);
}

#[tokio::test]
async fn its_bots_are_alive_elsewhere_however_many_there_shall_be() {
    let (_, mut runners) = runners(&json!({"bots": 10, "trees": {"T": {"wait": "1h"}}})).await;
    let alive = |bots| move |runner: &Runner| runner.alive == bots;
    for (runner, bots) in runners.iter_mut().zip([4, 3, 3]) {
        runner.until(alive(bots)).await;
    }
    runners.remove(0).end();
    let loss = Loss { index: 0, at_ms: 0, bots: 10, done: Resume::default() };
    for runner in &mut runners {
        runner.army.take_over(std::slice::from_ref(&loss));
        runner.until(alive(5)).await;
        runner.army.set_bots(13);
    }
    for (runner, bots) in runners.iter_mut().zip([7, 6]) {
        // As many as were ever started: nobody was sent home.
        runner.until(|runner| runner.alive == bots && runner.totals.bots_started == u64::from(bots)).await;
    }
    runners.into_iter().for_each(Runner::end);
}

#[tokio::test]
async fn passes_of_fewer_bots_than_runners_are_made_by_those_that_have_them() {
    let trees = json!({"A": {"wait": "1ms"}, "B": {"wait": "1ms"}});
    let few = json!({"name": "few", "tree": "A", "bots": 2, "iterations": 301});
    let many = json!({"name": "many", "tree": "B", "bots": 30, "iterations": 300});
    let fields = json!({"trees": trees, "scenarios": [few, many]});
    let passes = |runners: &[Runner]| -> Vec<u64> {
        runners.iter().map(|runner| runner.totals.passes().remove("few").unwrap_or(0)).collect()
    };
    let (_, mut all) = runners(&fields).await;
    for runner in &mut all {
        runner.until(|runner| runner.finished).await;
    }
    assert_eq!(passes(&all), [151, 150, 0]);
    all.into_iter().for_each(Runner::end);
    // One that had a bot is lost: the one that had none has it now.
    let (_, mut left) = runners(&fields).await;
    left[0].until(has_made(20)).await;
    let (loss, lost) = lose(0, left.remove(0), 0, 0).await;
    for runner in &mut left {
        runner.army.take_over(std::slice::from_ref(&loss));
        runner.until(|runner| runner.finished).await;
    }
    let passes = passes(&left);
    let made = lost.passes().get("few").copied().unwrap_or(0);
    assert_eq!(passes.iter().sum::<u64>() + made, 301, "{passes:?}");
    assert!(passes[1] > 0, "{passes:?}");
    left.into_iter().for_each(Runner::end);
}

#[tokio::test]
async fn rows_that_are_just_enough_still_are() {
    let rows = (0..4).fold("n\n".to_owned(), |text, n| text + &format!("{n}\n"));
    let fields = json!({
        "bots": 4, "trees": {"T": {"wait": "1h"}}, "data": {"inline": rows, "format": "Csv"},
    });
    let (_, mut runners) = runners(&fields).await;
    for (runner, bots) in runners.iter_mut().zip([2, 1, 1]) {
        runner.until(|runner| runner.alive == bots).await;
    }
    runners.remove(1).end();
    let loss = Loss { index: 1, at_ms: 0, bots: 4, done: Resume::default() };
    for runner in &mut runners {
        runner.army.take_over(std::slice::from_ref(&loss));
        runner.until(|runner| runner.alive == 2).await;
    }
    runners.into_iter().for_each(Runner::end);
}

#[tokio::test]
async fn what_should_have_arrived_there_arrives_elsewhere() {
    for spacing in ["Even", "Poisson"] {
        let fields = json!({"arrivalRate": 300, "duration": "2s", "spacing": spacing, "maxBots": 30});
        let (start, mut runners) = runners(&fields).await;
        runners[2].until(|runner| runner.totals.bots_started > 10).await;
        // It is told in time, to the first; the second hears of it when the load is over for it.
        let (loss, lost) = lose(2, runners.remove(2), 1_000, 0).await;
        runners[0].army.take_over(std::slice::from_ref(&loss));
        runners[1].until(|runner| runner.finished).await;
        assert!(start.elapsed() >= Duration::from_secs(2));
        runners[1].army.take_over(std::slice::from_ref(&loss));
        runners[1].until(|runner| runner.finished).await;
        runners[0].until(|runner| runner.finished).await;
        let sum = |runner: &Runner| runner.totals.bots_started + runner.totals.dropped;
        let all = runners.iter().map(sum).sum::<u64>();
        if spacing == "Even" {
            // Each has 200 of its own, and half of the last 100 of the lost one: the second too late for them.
            assert_eq!((sum(&runners[0]), sum(&runners[1])), (250, 250), "{}", lost.bots_started);
            assert_eq!(runners[1].totals.dropped, 50);
        } else {
            assert!((400..600).contains(&all), "{all}");
        }
        runners.into_iter().for_each(Runner::end);
    }
}
