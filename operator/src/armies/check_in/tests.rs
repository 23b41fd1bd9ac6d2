use super::super::tests::{army, army_with, said, write};
use super::*;
use botarmy_report::{Delta, Outcome, Recorder, RowInfo, Slice, Totals};
use serde_json::json;

#[test]
fn no_runner_delays_the_start_by_what_it_says_of_its_round_trip() {
    let mut army = army(1);
    let slow = |stage| CheckIn { round_trip_ms: Some(u64::MAX), ..said(0, stage, &[]) };
    army.check_in(&slow(Stage::Ready), 1_000).unwrap();
    assert_eq!(army.state.start_at_ms, Some(1_500 + MAX_ROUND_TRIP_MS));
    // What it has needed while it prepared says nothing of the start.
    let mut army = super::super::tests::army(1);
    army.check_in(&slow(Stage::Preparing), 1_000).unwrap();
    army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
    assert_eq!(army.state.start_at_ms, Some(1_540));
}

#[test]
fn the_load_has_ended_when_the_last_runner_has_said_so_first() {
    let mut army = army(1);
    army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
    write(&mut army);
    let start = army.start_at_ms().unwrap();
    for after in [5_000, 9_000] {
        army.check_in(&said(0, Stage::Finished, &[]), start + after).unwrap();
        assert_eq!(army.load_time_ms(start + 20_000), 5_000);
    }
    let after = Army::restore("ns", "r", army.run.clone(), write(&mut army), 2, start + 60_000);
    assert_eq!(after.over_at_ms(), start + 5_000, "whoever comes next knows it");
}

#[test]
fn the_first_reason_for_which_runners_cannot_go_on_stands() {
    let mut army = army(2);
    let read =
        |index, tree: &str| CheckIn { sources: Some(tree.to_owned()), ..said(index, Stage::Preparing, &[]) };
    let mistake = Mistake { place: "spec.sources".to_owned(), message: "no".to_owned() };
    let refusal = Some(Refused { invalid: true, mistakes: vec![mistake] });
    army.check_in(&read(0, "a"), 1).unwrap();
    army.check_in(&CheckIn { refusal, ..read(1, "a") }, 2).unwrap();
    army.check_in(&read(1, "b"), 3).unwrap();
    assert_eq!(army.invalid().map(|mistakes| mistakes[0].message.as_str()), Some("no"));
    army.state.teardown = super::super::Progress::Failed("neither".to_owned());
    assert_eq!(army.fault().map(|(fault, _)| fault), Some(super::super::Fault::Refused));
}

#[test]
fn what_setup_does_is_counted_and_stands_in_no_second_of_the_load() {
    let mut army = army(1);
    let slice = |apart| Slice {
        second: 0,
        totals: Totals { requests: 10, ..Totals::default() },
        warmup: false,
        apart,
    };
    let delta = Delta { sequence: 1, slices: vec![slice(true), slice(false)], alive: 5 };
    army.check_in(&CheckIn { deltas: vec![delta], ..said(0, Stage::Running, &[]) }, 2_000).unwrap();
    let result = army.result(2_000);
    let points: Vec<u64> = result.series.unwrap().points.iter().map(|point| point.requests).collect();
    assert_eq!((result.requests, points), (20, vec![10]));
}

#[test]
fn that_a_threshold_ends_the_run_is_written_at_once_and_told_then() {
    let mut army = army_with(
        &json!({"runners": {"count": 1}, "thresholds": [{"expect": "count < 3", "abortOnFail": true}]}),
    );
    army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
    write(&mut army);
    let start = army.start_at_ms().unwrap();
    let running = |deltas| CheckIn { deltas, ..said(0, Stage::Running, &[]) };
    army.check_in(&running(vec![]), start + 1_000).unwrap();
    assert!(!army.is_urgent());
    let row = RowInfo { name: "a".into(), measured: true, ..RowInfo::default() };
    let mut recorder = Recorder::new(vec![row].into(), 1_000);
    (0..3).for_each(|_| recorder.record(0, Outcome::Succeed, 5));
    let slice = Slice { second: 0, totals: recorder.drain(), warmup: false, apart: false };
    let delta = Delta { sequence: 1, slices: vec![slice], alive: 5 };
    let orders = army.check_in(&running(vec![delta]), start + 2_000).unwrap();
    assert!(army.is_urgent() && !orders.stop, "a successor would let the others go on");
    write(&mut army);
    assert!(army.check_in(&running(vec![]), start + 3_000).unwrap().stop);
}

#[test]
fn only_what_was_written_is_safe() {
    let mut army = army(1);
    army.check_in(&said(0, Stage::Running, &[1]), 1).unwrap();
    let copy = army.checkpoint();
    army.check_in(&said(0, Stage::Running, &[2]), 2).unwrap();
    army.written(&copy);
    let orders = army.check_in(&said(0, Stage::Running, &[]), 3).unwrap();
    assert_eq!((orders.applied, orders.durable), (2, 1));
}
