//! Actions of one's own: each of the five outcomes, with what it changes in the bot's context.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_actions::{Action, Answer, Bot, Outcome, Own, Step};
use botarmy_report::Outcome::{Cancelled, Crash};
use botarmy_report::{FailureClass, Totals};
use botarmy_runner::engine::{Army, Start};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::draw::Draw;
use botarmy_tree::{Actions, Path};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The longest that a walk may take, even on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(40);

/// Comes out as its argument says, and changes `said` to it.
struct Come;

impl Action for Come {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        let count = bot.scope.context.get("count").and_then(Value::as_u64).unwrap_or(0);
        // Not through before it was asked four times; each time with a value changed.
        let (outcome, updates) = if count < 3 {
            (Outcome::Continue, vec![("count".to_owned(), json!(count + 1))])
        } else {
            let how = bot.scope.context.get("how").and_then(Value::as_str).unwrap_or_default();
            match how {
                "panic at once" => panic!("at once"),
                "panic later" => return Step::Pending(Box::pin(async { panic!("later") })),
                _ => {}
            }
            let outcome = match how {
                "succeed" => Outcome::Succeed,
                "fail" => Outcome::Fail,
                "done" => Outcome::Done,
                "never" => Outcome::Continue,
                _ => Outcome::Error(format!("no way, said {how}")),
            };
            (outcome, vec![("said".to_owned(), json!(how)), ("count".to_owned(), json!(0))])
        };
        let answer = Answer { updates, ..outcome.into() };
        if count.is_multiple_of(2) {
            return Step::Ready(Box::new(answer));
        }
        Step::Pending(Box::pin(async {
            tokio::task::yield_now().await;
            answer
        }))
    }
}

/// What was counted when one bot walks this tree once, with these fields beside it.
fn totals_of(tree: &Value, fields: &Value) -> Totals {
    let mut spec = json!({"trees": {"T": tree}, "iterations": 1});
    spec.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
    let spec: BotRunSpec = serde_json::from_value(spec).expect("a spec");
    let actions = Actions::built_in().with("My.come", 0);
    let run = Run::check(&spec, "own", &Path::top(), &actions).unwrap_or_else(|e| panic!("{e:?}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let walked = async {
        let own = Own::default().with("My.come", |_| Box::new(Come));
        let army = Army::start(Start { own, ..Start::here(Arc::new(run)) }).await.expect("an army");
        let mut totals = Totals::default();
        loop {
            let snapshot = army.drain().await;
            totals.merge(&snapshot.totals).expect("one plan");
            if snapshot.finished {
                army.join();
                return totals;
            }
            army.worker_finished().await;
        }
    };
    let walked = runtime.block_on(async { tokio::time::timeout(PATIENCE, walked).await });
    walked.unwrap_or_else(|_| panic!("{tree} with {fields} goes on and on"))
}

/// The action, after its values are set; below a node of time, if it is to run beside others.
fn node(how: &str, concurrent: bool) -> Value {
    let come = json!({"action": "My.come"});
    let come = if concurrent { json!({"timeout": {"after": "1h", "child": come}}) } else { come };
    json!({"sequence": [
        {"set": {"how": how, "said": "nothing"}},
        {"select": [come, {"log": "failed"}]},
        {"check": {"name": "said it", "when": "said == how and count == 0"}},
    ]})
}

/// Of a row: succeeded, failed, error.
fn counts(totals: &Totals, row: &str) -> [u64; 3] {
    use botarmy_report::Outcome::{Error, Fail, Succeed};
    let series = totals.select(row).unwrap_or_default();
    [Succeed, Fail, Error].map(|outcome| series.count(outcome))
}

#[test]
fn each_outcome_has_its_effect_and_its_changes() {
    for concurrent in [false, true] {
        for (how, own, logged, said) in [
            ("succeed", [1, 0, 0], 0, 1),
            ("fail", [0, 1, 0], 1, 1),
            // The bot is gone then, and with it what it knew.
            ("done", [1, 0, 0], 0, 0),
            ("error", [0, 0, 1], 0, 0),
        ] {
            let totals = totals_of(&node(how, concurrent), &json!({}));
            assert_eq!(counts(&totals, "My.come"), own, "{how}, concurrent: {concurrent}");
            assert_eq!(counts(&totals, "log(\"failed\")")[0], logged, "{how}");
            assert_eq!(counts(&totals, "said it"), [said, 0, 0], "{how}");
            // It was asked four times and is one result, of the time from first to last.
            let series = totals.select("My.come").expect("a row");
            assert!(series.latency().max() >= Some(3_000), "{how}: {:?}", series.latency().max());
        }
    }
}

#[test]
fn one_that_panics_ends_its_bot_and_nobody_else() {
    for concurrent in [false, true] {
        for how in ["panic at once", "panic later"] {
            let totals = totals_of(&node(how, concurrent), &json!({"iterations": 3, "bots": 1}));
            let series = totals.select("My.come").expect("a row");
            assert_eq!(
                series.count(Crash),
                3,
                "{how}, concurrent: {concurrent}: the next bot takes its place"
            );
            assert_eq!(counts(&totals, "My.come"), [0, 0, 0], "{how}, concurrent: {concurrent}");
            assert_eq!(counts(&totals, "said it"), [0, 0, 0], "{how}, concurrent: {concurrent}");
            let details = totals.total_details();
            let told = &details.failures()[&FailureClass::Action];
            assert_eq!(told.counts().clone(), [("the action panicked; see the log".into(), 3)].into());
        }
    }
}

#[test]
fn one_that_fails_without_a_reason_is_a_failure_of_the_action() {
    let totals = totals_of(&node("fail", false), &json!({}));
    let details = totals.total_details();
    assert_eq!(details.failures().keys().collect::<Vec<_>>(), [&FailureClass::Action]);
}

#[test]
fn one_that_is_asked_again_has_had_its_turn() {
    for concurrent in [false, true] {
        // Four turns would be three minutes.
        let totals = totals_of(&node("succeed", concurrent), &json!({"maxRate": "1/m"}));
        assert_eq!(counts(&totals, "My.come"), [1, 0, 0], "concurrent: {concurrent}");
    }
}

#[test]
fn one_that_is_not_through_at_the_end_is_not_asked_again() {
    for concurrent in [false, true] {
        let end = json!({"duration": "200ms", "gracePeriod": "1h"});
        let totals = totals_of(&node("never", concurrent), &end);
        let series = totals.select("My.come").unwrap_or_default();
        assert_eq!(counts(&totals, "My.come"), [0, 0, 0], "concurrent: {concurrent}");
        assert_eq!(series.count(Cancelled), 1, "concurrent: {concurrent}");
    }
}

#[test]
fn an_action_that_no_runner_has_is_refused_with_its_place() {
    let spec: BotRunSpec =
        serde_json::from_value(json!({"trees": {"T": {"action": "My.sell"}}})).expect("a spec");
    let run = Run::check(&spec, "own", &Path::top(), &Actions::built_in().with("My.sell", 0)).expect("a run");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let error = runtime.block_on(Army::start(Start::here(Arc::new(run)))).expect_err("no such action");
    assert_eq!(
        error.to_string(),
        "trees.T: this runner has no action My.sell; use a built-in one, or a runner that has it"
    );
}
