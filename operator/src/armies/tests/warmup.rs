//! What is measured in the warm-up is counted apart, and no threshold is about it.

use super::*;
use botarmy_report::{Outcome, Recorder, RowInfo};

/// So many executions in a second: in the warm-up those that fail, after it those that succeed.
fn delta(sequence: u64, second: u64, [warm_failed, succeeded, failed]: [u64; 3]) -> Delta {
    let slice = |outcomes: &[(Outcome, u64)], warmup| {
        let info = RowInfo { name: "a".into(), measured: true, ..RowInfo::default() };
        let mut recorder = Recorder::new(vec![info].into(), 1_000);
        for (outcome, count) in outcomes {
            (0..*count).for_each(|_| recorder.record(0, *outcome, 5));
        }
        Slice { second, totals: recorder.drain(), warmup, apart: false }
    };
    let warm = slice(&[(Outcome::Fail, warm_failed)], true);
    let slices = vec![warm, slice(&[(Outcome::Succeed, succeeded), (Outcome::Fail, failed)], false)];
    Delta { sequence, slices, alive: 5 }
}

#[test]
fn thresholds_are_judged_without_the_warm_up_and_end_nothing_in_it() {
    let thresholds = serde_json::json!([{"expect": "fail_rate < 1%", "abortOnFail": true}]);
    let mut army = army_with(&serde_json::json!({"warmup": "5s", "thresholds": thresholds}));
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    let start = army.state.start_at_ms.unwrap();
    let hear = |army: &mut Army, sequence: u64, second: u64, counts| {
        for index in [0, 1] {
            let deltas = vec![delta(sequence, second, counts)];
            let said = CheckIn { deltas, ..said(index, Stage::Running, &[]) };
            assert!(!army.check_in(&said, start + (second + 1) * 1_000).unwrap().stop);
        }
        let result = army.result(start + (second + 1) * 1_000);
        let warm = result.warmup.unwrap().actions;
        let judged = result.thresholds.iter().map(|threshold| threshold.passed).collect::<Vec<_>>();
        (army.state.aborted, judged, warm, result.total.failures())
    };
    assert_eq!(hear(&mut army, 1, 1, [50, 0, 0]).2, 100);
    assert!(!army.state.aborted, "it is the warm-up");
    // In the second in which it ends some belong to it.
    assert_eq!(hear(&mut army, 2, 4, [10, 100, 0]), (false, vec![true], 120, 0));
    assert_eq!(hear(&mut army, 3, 5, [0, 100, 1]), (false, vec![true], 120, 2));
    // The same after it ends the run.
    assert_eq!(hear(&mut army, 4, 6, [0, 0, 50]), (true, vec![false], 120, 102));
}
