//! Trees of all nodes, against a recursive model that knows the moment of everything: both tell when each leaf is
//! entered and what it sees of the arguments around it, when it is answered and when it is cancelled.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[path = "timed/clock.rs"]
mod clock;
#[path = "timed/model.rs"]
mod model;
#[path = "timed/trees.rs"]
mod trees;

use botarmy_tree::{Effect, Input, LeafId, Verdict, Walk};
use clock::{Walked, plan, walked};
use model::{Event, Grain, Log, Model};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::cell::Cell;
use trees::{Node, Numbers, spread, trees, written_out};

/// Trees of each property.
const CASES: u32 = 3_000;

/// What the trees have come to, all together.
#[derive(Debug, Default)]
struct Tally {
    at_once: Cell<u64>,
    cancelled: Cell<u64>,
    with_arguments: Cell<u64>,
    too_much: Cell<u64>,
}

fn add(to: &Cell<u64>, more: usize) {
    to.set(to.get() + more as u64);
}

fn sorted(mut log: Log) -> Log {
    log.sort_unstable();
    log
}

/// Whether the walk of these trees is that of the model.
fn agree(trees: &Value, grain: Grain, tally: &Tally) -> Result<(), TestCaseError> {
    let (tree, numbers): (Node, Numbers) = written_out(trees);
    let plan = plan(trees);
    let counted = (plan.leaves().len(), plan.timers().len(), plan.frames().len());
    prop_assert_eq!(counted, (numbers.leaves, numbers.timers, numbers.frames), "{}", trees);
    let Some((end, log)) = Model::of(&tree, grain) else {
        add(&tally.too_much, 1);
        return Ok(());
    };
    let Walked { end: walked_end, log: walked_log, at_once } = walked(&plan, grain);
    add(&tally.at_once, at_once);
    add(&tally.cancelled, log.iter().filter(|(_, e)| matches!(e, Event::Cancelled(_))).count());
    add(
        &tally.with_arguments,
        log.iter().filter(|(_, e)| matches!(e, Event::Entered(_, sees) if sees != "-|own")).count(),
    );
    prop_assert_eq!(sorted(walked_log), sorted(log), "{}", trees);
    prop_assert_eq!(walked_end, end, "{}", trees);
    Ok(())
}

fn all_agree(grain: Grain) -> Tally {
    let tally = Tally::default();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&trees(), |mut trees| {
        if grain == Grain::Fine {
            spread(&mut trees, &mut 0);
        }
        agree(&trees, grain, &tally)
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    assert!(tally.cancelled.get() > 1_000 && tally.with_arguments.get() > 1_000, "{tally:?}");
    assert!(tally.too_much.get() < u64::from(CASES) / 20, "{tally:?}");
    tally
}

#[test]
fn every_leaf_has_its_time_and_its_arguments() {
    all_agree(Grain::Fine);
}

/// Of what is over at the same time, whatever comes first is told first, and the model takes the same order. What
/// it has given up by that is refused when it comes.
#[test]
fn things_that_are_over_at_once_count_in_the_order_in_which_they_are_told() {
    let tally = all_agree(Grain::Coarse);
    assert!(tally.at_once.get() > 2_000, "{tally:?}");
}

#[test]
fn a_step_of_parallel_branches_does_not_allocate() {
    let branch = json!({"timeout": {"after": 5, "child": {"retry": {"attempts": 3, "delay": 1, "child": {"action": "a"}}}}});
    let tree = json!({"parallel": {"succeed_on": 2, "fail_on": "all", "children": [branch, branch, {"action": "b"}]}});
    let plan = plan(&json!({"T": tree}));
    let mut walk = Walk::new(&plan, 1);
    let mut running: Vec<LeafId> = Vec::with_capacity(16);
    let mut armed: Vec<botarmy_tree::TimerId> = Vec::with_capacity(16);
    let mut ended = 0;
    let used = allocation_counter::measure(|| {
        for i in 0..10_000_u32 {
            let input = match (running.pop(), armed.pop()) {
                (Some(leaf), timer) => {
                    armed.extend(timer);
                    Input::Leaf(leaf, if i % 3 == 0 { Verdict::Succeed } else { Verdict::Fail })
                }
                (None, Some(timer)) => Input::Timer(timer),
                (None, None) => Input::Start,
            };
            plan.step(&mut walk, input, &mut |effect| match effect {
                Effect::Enter(leaf) => running.push(leaf),
                Effect::Cancel(leaf) | Effect::CutOff(leaf) => running.retain(|l| *l != leaf),
                Effect::Arm(timer) => armed.push(timer),
                Effect::Disarm(timer) => armed.retain(|t| *t != timer),
                Effect::Bind(_) => {}
                Effect::Ended(_) => ended += 1,
            })
            .expect("what runs");
        }
    });
    assert_eq!(used.count_total, 0);
    assert!(ended > 100, "{ended}");
}
