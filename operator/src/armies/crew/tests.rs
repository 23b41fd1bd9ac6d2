use super::super::tests::{army_with, said, write};
use super::*;
use botarmy_protocol::{CheckIn, Stage, Standing};
use botarmy_tree::draw::Draw;
use std::collections::BTreeSet;

/// What is asked at a check-in is what all pods come to, whoever says what and when.
#[test]
fn it_knows_as_much_as_who_looks_at_all_pods() {
    let mut answers = BTreeSet::new();
    for case in 0..300 {
        let mut draw = Draw::new(1, case, 0, 0);
        let policy = ["Replace", "Ignore", "Redistribute"][usize::try_from(case % 3).unwrap()];
        let fields = serde_json::json!({"runners": {"count": 4}, "lossPolicy": policy});
        let mut army = army_with(&fields);
        let mut now_ms = 1_000;
        for _ in 0..draw.between(1, 60) {
            now_ms += draw.between(1, 3_000);
            something_happens(&mut army, &mut draw, now_ms);
            let told = [
                army.all_are_done(),
                army.all_wait_that(|p| p.stage >= Stage::Ready && army.is_fresh(p, now_ms)),
                army.all_are_ready(now_ms),
            ];
            assert_eq!(told, by_looking(&army, now_ms), "{policy} {case}");
            answers.insert(told);
            for index in 0..5 {
                let of_index = army.state.pods.values().filter(|p| p.index == index).count();
                assert_eq!(army.pods_of(index).count(), of_index);
            }
        }
    }
    for question in 0..3 {
        let of_it: BTreeSet<bool> = answers.iter().map(|told| told[question]).collect();
        assert_eq!(of_it.len(), 2, "question {question} had one answer only");
    }
}

fn by_looking(army: &Army, now_ms: u64) -> [bool; 3] {
    let all =
        |indexes: BTreeSet<u32>, others: &BTreeSet<u32>| indexes.union(others).count() == army.runners();
    [
        all(army.indices_of(Pod::is_done), army.without()),
        all(army.indices_of(|p| p.stage >= Stage::Ready && army.is_fresh(p, now_ms)), &army.dealt),
        all(army.indices_of(|p| army.is_ready(p, now_ms)), &army.dealt),
    ]
}

/// A pod of one of four runners says something, is lost for good, or all is written, and at times it is another operator.
fn something_happens(army: &mut Army, draw: &mut Draw, now_ms: u64) {
    let index = u32::try_from(draw.below(4)).unwrap();
    match draw.below(20) {
        0 => army.go_on_without(&[index].into(), now_ms),
        1 => drop(write(army)),
        2 => {
            let checkpoint = write(army);
            *army = Army::restore("ns", "r", army.run.clone(), checkpoint, 1, now_ms);
        }
        _ => {
            let stages = [Stage::Preparing, Stage::Ready, Stage::Running, Stage::Finished, Stage::Finished];
            let stage = stages[usize::try_from(draw.below(5)).unwrap()];
            let pod_uid = format!("{index}-{}", draw.below(2));
            let losses = u32::try_from(draw.below(3)).unwrap();
            let standing = Standing { losses, ..Standing::default() };
            let left = stage == Stage::Finished && draw.below(4) == 0;
            // One that is gone is refused.
            drop(army.check_in(&CheckIn { pod_uid, left, standing, ..said(index, stage, &[]) }, now_ms));
        }
    }
}
