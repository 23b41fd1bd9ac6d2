use super::super::tests::{army_with, passes, said, said_by, write};
use super::*;
use botarmy_report::Delta;
use serde_json::json;

/// Three runners that share a hundred passes, at work; with the moment at which they began.
fn at_work() -> (Army, u64) {
    let mut army = army_with(
        &json!({"runners": {"count": 3}, "bots": 9, "iterations": 100, "lossPolicy": "Redistribute"}),
    );
    for index in 0..3 {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    let start = army.start_at_ms().unwrap();
    for index in 0..3 {
        let first = says(index, Stage::Running, 0, vec![passes(1, 0, 10)]);
        army.check_in(&first, start + 1_000).unwrap();
    }
    (army, start)
}

/// What a runner says that knows of so many losses.
fn says(index: u32, stage: Stage, losses: u32, deltas: Vec<Delta>) -> CheckIn {
    let standing = Standing { losses, ..Standing::default() };
    CheckIn { standing, deltas, alive: 3, ..said(index, stage, &[]) }
}

fn lose(army: &mut Army, index: u32, now_ms: u64) {
    army.go_on_without(&[index].into(), now_ms);
}

#[test]
fn a_loss_is_dealt_out_when_all_is_known_and_told_when_it_is_written() {
    let (mut army, start) = at_work();
    let hear = |army: &mut Army, at| army.check_in(&says(0, Stage::Running, 0, vec![]), start + at).unwrap();
    lose(&mut army, 1, start + 3_000);
    // It was heard a short while ago: something of it may be on its way.
    army.check_in(&says(1, Stage::Running, 0, vec![passes(2, 1, 4)]), start + 4_000).unwrap();
    lose(&mut army, 1, start + 14_000);
    assert!(army.state.losses.is_empty());
    lose(&mut army, 1, start + 14_001);
    let expected = [Loss {
        index: 1,
        at_ms: 16_001,
        bots: 9,
        done: Resume { iterations: [(String::new(), 14)].into(), ..Resume::default() },
    }];
    assert_eq!(army.state.losses, expected);
    assert_eq!((hear(&mut army, 14_100).losses, army.is_urgent()), (vec![], true), "it could be lost again");
    write(&mut army);
    assert_eq!(hear(&mut army, 14_200).losses, expected);
    assert_eq!(hear(&mut army, 14_300).losses, expected, "until it is known");
    let knows = says(0, Stage::Running, 1, vec![]);
    assert_eq!(army.check_in(&knows, start + 14_400).unwrap().losses, []);
    // It is dealt out once, and survives the operator.
    lose(&mut army, 1, start + 60_000);
    assert_eq!(army.state.losses.len(), 1);
    let mut after = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 2, start + 60_000);
    let late = after.check_in(&says(2, Stage::Running, 0, vec![]), start + 60_000).unwrap();
    assert_eq!(late.losses, expected);
    let gaps = after.final_result(start + 71_000).gaps;
    let of_lost = gaps.iter().find(|gap| gap.index == 1).unwrap();
    assert_eq!((of_lost.from, of_lost.until), (2, 17), "until others have its arrivals");
    assert_eq!((after.lost(start + 61_000), after.replaced()), (1, 1));
}

#[test]
fn what_was_not_written_is_not_known_to_the_next_operator_and_dealt_out_anew() {
    let (mut army, start) = at_work();
    let written = write(&mut army);
    lose(&mut army, 1, start + 12_000);
    assert_eq!(army.state.losses.len(), 1);
    let mut after = Army::restore("ns", "r", army.run.clone(), written, 2, start + 20_000);
    lose(&mut after, 1, start + 20_000);
    assert!(after.state.losses.is_empty(), "it may be heard yet");
    lose(&mut after, 1, start + 30_001);
    assert_eq!((after.state.losses.len(), after.state.losses[0].at_ms), (1, 32_001));
}

#[test]
fn one_that_has_handed_over_is_not_waited_for_and_one_that_comes_back_is_told_to_end() {
    let (mut army, start) = at_work();
    let left = CheckIn { left: true, ..says(1, Stage::Finished, 0, vec![passes(2, 1, 3)]) };
    army.check_in(&left, start + 2_000).unwrap();
    lose(&mut army, 1, start + 2_500);
    assert_eq!(army.state.losses[0].done.iterations[""], 13);
    write(&mut army);
    let orders = army.check_in(&left, start + 2_600).unwrap();
    assert!(orders.stop && !orders.stay && orders.durable == 2, "{orders:?}");
    let back = army.check_in(&says(1, Stage::Running, 0, vec![]), start + 2_650).unwrap();
    assert!(back.stop && !back.stay, "{back:?}");
    let stranger = said_by("other", 1, Stage::Preparing, vec![]);
    assert!(army.check_in(&stranger, start + 2_700).is_err());
}

#[test]
fn who_has_finished_waits_for_what_may_come_and_begins_again() {
    let (mut army, start) = at_work();
    let finished = |index, losses| says(index, Stage::Finished, losses, vec![]);
    for index in [0, 2] {
        assert!(army.check_in(&finished(index, 0), start + 2_000).unwrap().stay);
    }
    lose(&mut army, 1, start + 3_000);
    assert_eq!((army.finished(), army.is_over()), (0, false), "not before its loss is dealt out");
    lose(&mut army, 1, start + 12_000);
    write(&mut army);
    // They do not know of it yet, whatever they say.
    for index in [0, 2] {
        let orders = army.check_in(&finished(index, 0), start + 12_100).unwrap();
        assert!(orders.stay && orders.losses.len() == 1);
    }
    assert!(army.state.ended_at_ms.is_none());
    army.check_in(&says(0, Stage::Running, 1, vec![passes(2, 12, 12)]), start + 13_000).unwrap();
    army.check_in(&finished(0, 1), start + 14_000).unwrap();
    // One that comes late was sent earlier.
    army.check_in(&says(0, Stage::Running, 0, vec![]), start + 14_100).unwrap();
    assert!(army.state.ended_at_ms.is_none());
    let last = says(2, Stage::Finished, 1, vec![passes(2, 13, 12)]);
    assert!(army.check_in(&last, start + 15_000).unwrap().stay, "its end is not written");
    assert!(army.is_urgent());
    write(&mut army);
    assert!(army.is_over() && !army.check_in(&finished(0, 1), start + 15_200).unwrap().stay);
    let result = army.result(start + 16_000);
    assert_eq!((result.iterations, result.gaps.len(), army.lost(start + 16_000)), (54, 1, 1));
    // Nobody is there any more who could take anything over.
    lose(&mut army, 2, start + 40_000);
    assert_eq!(army.state.losses.len(), 1);
}

#[test]
fn several_are_lost_and_at_last_all() {
    let (mut army, start) = at_work();
    lose(&mut army, 0, start + 12_000);
    write(&mut army);
    let taken = Standing {
        losses: 1,
        rows: [(String::new(), 7), ("nobody's".into(), 1)].into(),
        owed: [(String::new(), 5)].into(),
    };
    let at = start + 13_000;
    army.check_in(&CheckIn { standing: taken, ..says(2, Stage::Running, 1, vec![passes(2, 12, 20)]) }, at)
        .unwrap();
    lose(&mut army, 2, at + 11_000);
    let done = Resume {
        iterations: [(String::new(), 30)].into(),
        rows: [(String::new(), 7)].into(),
        owed: [(String::new(), 5)].into(),
        knew: 1,
    };
    let indexes: Vec<u32> = army.state.losses.iter().map(|loss| loss.index).collect();
    assert_eq!((indexes, &army.state.losses[1].done), (vec![0, 2], &done), "what is no scenario is not kept");
    assert!(!army.lacks_everybody());
    lose(&mut army, 1, at + 30_000);
    assert!(army.lacks_everybody());
    assert_eq!(army.final_result(at + 30_000).gaps.len(), 3);
}

#[test]
fn the_start_does_not_wait_for_who_was_lost_before_it() {
    let fields = json!({"runners": {"count": 3}, "setup": {"tree": "T"}, "lossPolicy": "Redistribute"});
    let mut army = army_with(&fields);
    for index in [1, 2] {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    assert!(army.start_at_ms().is_none() && !army.is_setting_up());
    lose(&mut army, 0, 2_000);
    // The first of those that are left performs setup.
    army.check_in(&said(2, Stage::Ready, &[]), 3_000).unwrap();
    assert!(!army.is_setting_up());
    army.check_in(&said(1, Stage::Ready, &[]), 3_000).unwrap();
    write(&mut army);
    let orders = army.check_in(&said(1, Stage::Ready, &[]), 3_100).unwrap();
    assert!(orders.perform.is_some());
    let performed = botarmy_protocol::Performed {
        part: botarmy_spec::Part::Setup,
        failure: None,
        context: serde_json::Map::new(),
    };
    army.check_in(&CheckIn { performed: Some(performed), ..said(1, Stage::Ready, &[]) }, 3_200).unwrap();
    write(&mut army);
    let orders = army.check_in(&said(2, Stage::Ready, &[]), 3_300).unwrap();
    assert_eq!(orders.start_at_ms, army.start_at_ms());
    let told: Vec<(u32, u64)> = orders.losses.iter().map(|loss| (loss.index, loss.at_ms)).collect();
    assert_eq!((orders.start_at_ms.is_some(), told), (true, vec![(0, 0)]), "all of its part is the others'");
    assert_eq!((army.lost(3_300), army.result(3_300).gaps.len()), (0, 0), "nobody was at work yet");
}

#[test]
fn a_setup_that_is_lost_with_its_runner_is_not_waited_for() {
    let mut army = army_with(&json!({"setup": {"tree": "T"}, "lossPolicy": "Redistribute"}));
    for index in [0, 1, 0] {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    lose(&mut army, 0, 2_000);
    assert!(army.check_in(&said(1, Stage::Ready, &[]), 2_100).unwrap().stop);
    assert!(army.fault().is_some());
}

#[test]
fn one_that_was_told_when_to_begin_and_was_lost_has_a_gap() {
    for policy in ["Redistribute", "Ignore"] {
        let mut army = army_with(&json!({"lossPolicy": policy}));
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
        }
        write(&mut army);
        let start = army.start_at_ms().unwrap();
        army.check_in(&said(1, Stage::Running, &[]), start + 11_000).unwrap();
        lose(&mut army, 0, start + 11_000);
        let gaps = army.result(start + 11_000).gaps;
        assert_eq!(gaps.iter().map(|g| (g.index, g.from, g.bots)).collect::<Vec<_>>(), [(0, 0, 5)]);
        assert_eq!(army.state.losses.len(), usize::from(policy == "Redistribute"));
    }
}

#[test]
fn nothing_is_taken_over_by_other_policies_or_of_a_run_that_ends() {
    for (fields, stop) in [
        (json!({"lossPolicy": "Ignore"}), false),
        (json!({}), false),
        (json!({"lossPolicy": "Redistribute"}), true),
    ] {
        let mut army = army_with(&fields);
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
        }
        write(&mut army);
        let start = army.start_at_ms().unwrap();
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Running, &[]), start + 500).unwrap();
        }
        army.stop = stop;
        lose(&mut army, 1, start + 20_000);
        assert!(army.state.losses.is_empty(), "{fields}");
        let orders = army.check_in(&said(0, Stage::Finished, &[]), start + 20_000).unwrap();
        write(&mut army);
        assert!(!orders.stay && army.is_over(), "{fields}");
    }
}

#[test]
fn a_run_that_was_stopped_before_it_began_does_not_wait_for_who_is_lost() {
    let mut army = army_with(&json!({"lossPolicy": "Redistribute"}));
    army.stop = true;
    army.check_in(&said(1, Stage::Ready, &[]), 1_000).unwrap();
    lose(&mut army, 0, 2_000);
    army.check_in(&said(1, Stage::Ready, &[]), 2_000).unwrap();
    write(&mut army);
    let orders = army.check_in(&said(1, Stage::Ready, &[]), 2_100).unwrap();
    assert!(orders.stop && orders.start_at_ms.is_some());
}

#[test]
fn what_runners_say_of_losses_is_taken_for_what_can_be() {
    let (mut army, start) = at_work();
    lose(&mut army, 1, start + 12_000);
    write(&mut army);
    let knows =
        |losses, rows| Standing { losses, rows: [(String::new(), rows)].into(), ..Standing::default() };
    for (said, kept) in [((9, 7), (1, 7)), ((1, 8), (1, 8)), ((0, 3), (1, 8))] {
        let check_in = CheckIn { standing: knows(said.0, said.1), ..says(0, Stage::Running, 0, vec![]) };
        army.check_in(&check_in, start + 13_000).unwrap();
        assert_eq!(army.state.pods["pod-0"].standing, knows(kept.0, kept.1), "{said:?}");
    }
}

#[test]
fn rows_that_were_read_by_any_pod_of_a_lost_runner_are_not_read_again() {
    let (mut army, start) = at_work();
    for (pod, rows) in [("pod-1", 7), ("other", 3)] {
        let standing = Standing { rows: [(String::new(), rows)].into(), ..Standing::default() };
        let said = CheckIn { standing, ..said_by(pod, 1, Stage::Running, vec![]) };
        army.check_in(&said, start + 2_000).unwrap();
    }
    lose(&mut army, 1, start + 13_000);
    assert_eq!(army.state.losses[0].done.rows[""], 7);
}

#[test]
fn who_has_left_is_not_set_to_work_by_a_loss() {
    let (mut army, start) = at_work();
    let left = CheckIn { left: true, ..says(2, Stage::Finished, 0, vec![]) };
    army.check_in(&left, start + 11_000).unwrap();
    lose(&mut army, 1, start + 12_000);
    write(&mut army);
    let stages: Vec<Stage> = army.pods_of(2).map(|pod| pod.stage).collect();
    assert_eq!(stages, [Stage::Finished], "it has handed over all that it had");
}

#[test]
fn that_all_have_finished_is_written_at_once() {
    let (mut army, start) = at_work();
    write(&mut army);
    for index in 0..3 {
        assert!(!army.is_urgent(), "{index}");
        army.check_in(&says(index, Stage::Finished, 0, vec![]), start + 2_000).unwrap();
    }
    assert!(army.is_urgent(), "they wait for it");
}

#[test]
fn a_runner_whose_part_is_the_others_is_given_nothing_to_perform() {
    let part = json!({"tree": "T"});
    let fields = json!({"setup": part, "lossPolicy": "Redistribute"});
    let mut army = army_with(&fields);
    army.check_in(&said(0, Stage::Preparing, &[]), 1_000).unwrap();
    army.check_in(&said(1, Stage::Ready, &[]), 1_000).unwrap();
    lose(&mut army, 0, 1_500);
    army.check_in(&said(0, Stage::Ready, &[]), 2_000).unwrap();
    army.check_in(&said(1, Stage::Ready, &[]), 2_100).unwrap();
    assert_eq!(army.state.setup.chosen(), Some(1));

    let mut army = army_with(&json!({"teardown": part, "lossPolicy": "Redistribute"}));
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    army.check_in(&said(1, Stage::Running, &[]), 20_000).unwrap();
    lose(&mut army, 0, 20_000);
    army.give_up(&BTreeSet::new());
    for index in [0, 1] {
        let left = CheckIn { left: true, ..said(index, Stage::Finished, &[]) };
        army.check_in(&left, 21_000).unwrap();
    }
    assert_eq!(army.state.teardown.chosen(), Some(1));
}
