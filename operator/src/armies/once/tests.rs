use super::*;
use crate::armies::tests::{army_with, performed, said, write};
use crate::armies::{Checkpoint, Fault};
use botarmy_protocol::Performed;
use serde_json::json;

/// An army of two whose bots are at work since the time that stands beside it.
fn at_work(fields: &Value) -> (Army, u64) {
    let mut army = army_with(fields);
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    let start = army.state.start_at_ms.unwrap();
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Running, &[]), start + 1_000).unwrap();
    }
    (army, start)
}

/// The second runner was told to end, and its bots have ended.
fn left() -> CheckIn {
    CheckIn { left: true, alive: 0, ..said(1, Stage::Finished, &[]) }
}

#[test]
fn who_is_told_to_end_with_the_run_cleans_up() {
    let (mut army, start) = at_work(&json!({"teardown": {"tree": "T"}}));
    let at = start + 20_000;
    let orders = army.check_in(&left(), at).unwrap();
    assert!(orders.stay && orders.perform.is_none(), "why it was told to is not known yet");
    army.give_up(&[0].into());
    assert!(!army.is_settled(at + 500), "it will clean up");
    assert_eq!(army.check_in(&left(), at + 1_000).unwrap().perform, None, "that is not written down yet");
    assert!(army.is_urgent());
    write(&mut army);
    let orders = army.check_in(&left(), at + 9_000).unwrap();
    assert_eq!((orders.perform, orders.stay), (Some(Part::Teardown), true));
    assert!(army.is_tearing_down() && !army.is_settled(at + 9_000));
    let done = CheckIn { left: true, alive: 0, ..performed(1, Stage::Finished, Part::Teardown, None) };
    let orders = army.check_in(&done, at + 12_000).unwrap();
    assert!(!orders.stay && army.is_settled(at + 12_000));
    assert_eq!(army.lacking_teardown(), None);
}

#[test]
fn who_is_told_to_end_alone_does_not_wait_for_long() {
    let (mut army, start) = at_work(&json!({"teardown": {"tree": "T"}}));
    for (after, stays) in [(0, true), (UNSURE_MS - 1, true), (UNSURE_MS, false)] {
        let orders = army.check_in(&left(), start + 20_000 + after).unwrap();
        assert_eq!((orders.stay, orders.perform), (stays, None), "{after}");
    }
    let (mut army, start) = at_work(&json!({}));
    assert!(!army.check_in(&left(), start + 20_000).unwrap().stay, "there is nothing to clean up");
    army.give_up(&[0].into());
    assert!(army.is_settled(start + 20_100) && army.lacking_teardown().is_none());
}

#[test]
fn a_teardown_that_nobody_performs_is_told_and_not_waited_for_for_ever() {
    let (mut army, start) = at_work(&json!({"teardown": {"tree": "T"}}));
    army.give_up(&[0, 1].into());
    assert!(!army.is_settled(start + 2_000), "they may be heard yet");
    assert!(army.is_settled(start + 60_000));
    assert_eq!(army.lacking_teardown().as_deref(), Some(NOBODY_LEFT));
    army.check_in(&left(), start + 61_000).unwrap();
    write(&mut army);
    assert!(!army.is_settled(start + 62_000), "one of them is heard again, and cleans up");
    assert!(army.is_settled(start + 120_000), "it is lost");
    assert_eq!(army.lacking_teardown(), Some(lost("teardown")));
    let failed = performed(1, Stage::Finished, Part::Teardown, Some("teardown failed: no"));
    army.check_in(&failed, start + 121_000).unwrap();
    assert_eq!(army.lacking_teardown().as_deref(), Some("teardown failed: no"));
}

/// One runner that performs setup since a second after 1970; its pod was told to.
fn setting_up() -> Army {
    let setup = json!({"tree": "T", "timeout": "100s"});
    let mut army = army_with(&json!({"runners": {"count": 1}, "leaseSeconds": 30, "setup": setup}));
    army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
    write(&mut army);
    let told = army.check_in(&said(0, Stage::Ready, &[]), 1_500).unwrap();
    assert_eq!(told.perform, Some(Part::Setup));
    army
}

/// It is looked at each second from then until now.
fn look(army: &mut Army, from_ms: u64, until_ms: u64) {
    for at in (from_ms..=until_ms).step_by(1_000) {
        army.look(at);
    }
}

#[test]
fn a_part_is_given_up_though_nobody_checks_in_any_more() {
    let mut army = setting_up();
    // A hundred seconds, the lease, and a margin.
    look(&mut army, 2_000, 191_000);
    assert!(army.is_setting_up() && !army.stop);
    look(&mut army, 192_000, 192_000);
    assert!(matches!(army.fault(), Some((Fault::Setup, reason)) if reason.contains("lost with its outcome")));
    assert_eq!((army.stop, army.waits_from_ms()), (true, 192_000));
}

#[test]
fn nobody_was_lost_with_a_part_that_nobody_was_told_to_perform() {
    let setup = json!({"tree": "T", "timeout": "100s"});
    let mut army = army_with(&json!({"runners": {"count": 1}, "leaseSeconds": 30, "setup": setup}));
    army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
    army.cannot_be_kept("forbidden", crate::armies::Unkept::Refused, 1_000);
    assert!(army.has_to_wait(10_999), "it may be written yet");
    look(&mut army, 2_000, 400_000);
    assert_eq!(army.check_in(&said(0, Stage::Ready, &[]), 400_000).unwrap().perform, None);
    assert_eq!((army.fault(), army.is_setting_up(), army.has_to_wait(400_000)), (None, true, false));
    // From when it is told on it has all of its time.
    write(&mut army);
    assert_eq!(army.check_in(&said(0, Stage::Ready, &[]), 401_000).unwrap().perform, Some(Part::Setup));
    look(&mut army, 401_000, 590_000);
    assert_eq!((army.fault(), army.has_to_wait(590_000)), (None, true));
    look(&mut army, 591_000, 591_000);
    assert!(matches!(army.fault(), Some((Fault::Setup, reason)) if reason.contains("lost with its outcome")));
    // Nor with teardown.
    let (mut army, start) = at_work(&json!({"teardown": {"tree": "T"}}));
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Finished, &[]), start + 2_000).unwrap();
    }
    look(&mut army, start + 2_000, start + 900_000);
    assert_eq!((army.fault(), army.is_tearing_down()), (None, true));
    assert_eq!(army.lacking_teardown().as_deref(), Some(UNTOLD));
}

#[test]
fn a_runner_that_waited_for_an_operator_may_say_first_how_its_part_went() {
    let written = setting_up().checkpoint();
    let run = setting_up().run.clone();
    let mut after = Army::restore("ns", "r", run, written, 2, 900_000);
    look(&mut after, 900_000, 950_000);
    assert!(after.is_setting_up(), "it has had no time to");
    let performed = Performed { part: Part::Setup, failure: None, context: Map::new() };
    let done = CheckIn { performed: Some(performed), ..said(0, Stage::Ready, &[]) };
    after.check_in(&done, 951_000).unwrap();
    assert_eq!((after.fault(), after.state.setup.is_over()), (None, true));
}

#[test]
fn whoever_performs_setup_and_is_lost_is_lacking() {
    let mut army = setting_up();
    look(&mut army, 2_000, 11_000);
    assert_eq!(army.unmanned(11_500), None, "it was heard ten seconds ago");
    look(&mut army, 12_000, 60_000);
    assert_eq!(army.unmanned(12_000), Some((0, 0)), "it may go on by itself");
    assert_eq!(army.unmanned(101_500), Some((0, 40_000)), "half a minute after its lease was over");
    army.explain("pod-0", "Evicted: its node is drained", true, 21_500);
    assert_eq!(army.unmanned(101_500), Some((0, 80_000)), "since it is known to have ended");
    // One that does not perform it is waited for later.
    let mut other = setting_up();
    other.state.setup = Progress::Given { pod: "pod-1".into(), index: 1, since_ms: 1_000 };
    other.run.runners = 2;
    other.check_in(&said(1, Stage::Ready, &[]), 100_000).unwrap();
    assert_eq!(other.unmanned(101_500), None);
}

#[test]
fn teardown_comes_to_its_end_without_anybody_who_says_so() {
    let teardown = json!({"tree": "T", "timeout": "100s"});
    let begin = || {
        let mut army = army_with(&json!({"runners": {"count": 1}, "leaseSeconds": 30, "teardown": teardown}));
        army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
        write(&mut army);
        army.check_in(&said(0, Stage::Running, &[]), 2_000).unwrap();
        army.check_in(&said(0, Stage::Finished, &[1]), 5_000).unwrap();
        write(&mut army);
        army
    };
    let mut told = begin();
    assert_eq!(told.check_in(&said(0, Stage::Finished, &[1]), 5_500).unwrap().perform, Some(Part::Teardown));
    look(&mut told, 6_000, 195_000);
    assert!(told.is_tearing_down() && !told.is_over());
    look(&mut told, 196_000, 196_000);
    assert!(told.is_over());
    assert!(matches!(told.fault(), Some((Fault::Teardown, _))));
    // Nobody was told to: whoever comes after a crash knows only that the bots have ended.
    let written = begin();
    let state = Checkpoint { teardown: Progress::Waiting, ..written.checkpoint() };
    let mut after = Army::restore("ns", "r", written.run.clone(), state, 2, 10_000);
    look(&mut after, 10_000, 100_000);
    assert!(after.fault().is_none() && !after.is_over());
    look(&mut after, 101_000, 101_000);
    assert!(after.is_over());
    assert_eq!(after.fault(), Some((Fault::Teardown, NOBODY_LEFT.to_owned())));
}

#[test]
fn a_run_that_cannot_go_on_comes_to_its_end_with_neither_setup_nor_teardown() {
    for (fields, is_refused) in [
        (json!({"setup": {"tree": "T"}, "teardown": {"tree": "T"}}), false),
        (json!({"teardown": {"tree": "T"}}), true),
    ] {
        let mut army = army_with(&fields);
        if is_refused {
            let refusal = Some(botarmy_protocol::Refusal { invalid: false, mistakes: vec![] });
            army.check_in(&CheckIn { refusal, ..said(0, Stage::Preparing, &[]) }, 1_000).unwrap();
        }
        army.stop = true;
        for index in [0, 1, 0] {
            army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
        }
        write(&mut army);
        assert!(army.start_at_ms().is_some() && !army.is_setting_up(), "{fields}");
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Finished, &[]), 2_000).unwrap();
        }
        write(&mut army);
        assert!(army.is_over() && !army.is_tearing_down(), "{fields}");
    }
}

#[test]
fn who_had_the_place_before_does_not_end_teardown() {
    let (mut army, start) = at_work(&json!({"teardown": {"tree": "T"}}));
    army.check_in(&CheckIn { pod_uid: "other".into(), ..said(0, Stage::Running, &[]) }, start + 20_000)
        .unwrap();
    army.check_in(&said(1, Stage::Finished, &[]), start + 21_000).unwrap();
    let other = CheckIn { pod_uid: "other".into(), ..said(0, Stage::Finished, &[]) };
    army.check_in(&other, start + 21_000).unwrap();
    write(&mut army);
    army.check_in(&said(0, Stage::Finished, &[]), start + 22_000).unwrap();
    assert!(army.is_tearing_down());
    assert_eq!(army.check_in(&other, start + 23_000).unwrap().perform, Some(Part::Teardown));
}

#[test]
fn the_pods_of_a_suspended_job_do_not_wait_for_teardown() {
    let (mut army, start) = at_work(&json!({"teardown": {"tree": "T"}}));
    army.suspend(false, true, start + 19_000);
    assert!(!army.check_in(&left(), start + 20_000).unwrap().stay);
}
