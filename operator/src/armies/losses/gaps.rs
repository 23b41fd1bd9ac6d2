//! What is told of those that were lost, and of those that only end.

use super::super::super::tests::{army, said, said_by, write};
use super::super::*;

/// So many runners, whose bots are at work since the moment that stands beside them.
fn at_work(runners: i32) -> (Army, u64) {
    let mut army = army(runners);
    let indexes = 0..army.run.runners;
    for index in indexes.clone() {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    let start = army.start_at_ms().unwrap();
    for index in indexes {
        army.check_in(&said(index, Stage::Running, &[]), start + 1_000).unwrap();
    }
    (army, start)
}

/// The last of two runners was told to end; some of its bots have not yet.
fn leaves() -> CheckIn {
    CheckIn { left: true, alive: 2, ..said(1, Stage::Running, &[]) }
}

/// It has handed over all that it had.
fn left() -> CheckIn {
    CheckIn { left: true, alive: 0, ..said(1, Stage::Finished, &[1]) }
}

#[test]
fn who_was_told_to_end_by_a_suspension_was_not_lost() {
    for (what, left_at, suspended_at, lost) in [
        ("after it was seen", 30_000, 20_000, 0),
        ("before it was seen", 30_000, 50_000, 0),
        ("by something else, long before", 30_000, 50_001, 1),
    ] {
        let (mut army, start) = at_work(2);
        let suspend = |army: &mut Army| army.suspend(false, true, start + suspended_at);
        if suspended_at < left_at {
            suspend(&mut army);
        }
        army.check_in(&leaves(), start + left_at).unwrap();
        if suspended_at > left_at {
            suspend(&mut army);
        }
        let now = start + 60_000;
        army.check_in(&said(0, Stage::Running, &[]), now).unwrap();
        assert_eq!(army.lost(now), lost, "{what}");
        army.check_in(&said_by("other", 1, Stage::Running, vec![]), now).unwrap();
        let bots: Vec<u32> = army.result(now).gaps.iter().map(|gap| gap.bots).collect();
        let all_that_it_had = [5].repeat(lost as usize);
        assert_eq!((army.lost(now), army.replaced(), bots), (lost, lost, all_that_it_had), "{what}");
    }
}

#[test]
fn of_losses_without_end_only_so_many_have_gaps() {
    let (mut army, start) = at_work(1);
    for n in 0..=MAX_GAPS {
        army.check_in(&said_by(&n.to_string(), 0, Stage::Running, vec![]), start + 2_000).unwrap();
    }
    let gaps = army.result(start + 2_000).gaps.len();
    assert_eq!((gaps, army.replaced()), (MAX_GAPS, u32::try_from(MAX_GAPS).unwrap() + 1));
}

#[test]
fn only_who_was_told_when_to_begin_may_have_done_so_and_not_before() {
    for (is_written, before_ms, gaps) in [(true, 0, 1), (false, 0, 0), (true, 1, 0)] {
        let mut army = army(1);
        army.check_in(&said_by("a", 0, Stage::Ready, vec![]), 1_000).unwrap();
        write(&mut army);
        let start = army.start_at_ms().unwrap();
        army.check_in(&said_by("b", 0, Stage::Ready, vec![]), start - 100).unwrap();
        if is_written {
            write(&mut army);
        }
        army.check_in(&said_by("c", 0, Stage::Running, vec![]), start - before_ms).unwrap();
        let told = army.result(start + 1_000).gaps;
        assert_eq!(told.len(), gaps, "known: {is_written}, {before_ms} ms before: {told:?}");
    }
}

#[test]
fn a_runner_that_the_run_does_not_have_is_not_missed() {
    let mut army = army(1);
    army.go_on_without(&[1].into(), 1_000);
    assert!(!army.lacks_everybody());
}

#[test]
fn why_a_pod_was_lost_is_told_once_and_by_who_knows_more() {
    for (has_left, tells, why) in [(false, false, "it ended"), (true, false, LEFT), (true, true, "it ended")]
    {
        let (mut army, start) = at_work(2);
        if has_left {
            army.check_in(&leaves(), start + 2_000).unwrap();
        }
        army.check_in(&said_by("other", 1, Stage::Running, vec![]), start + 20_000).unwrap();
        army.explain("pod-1", "it ended", tells, start + 21_000);
        army.explain("pod-1", "something else", true, start + 22_000);
        let gaps = army.result(start + 22_000).gaps;
        let reasons: Vec<&str> = gaps.iter().map(|gap| gap.reason.as_str()).collect();
        assert_eq!(reasons, [why], "left: {has_left}, tells: {tells}");
    }
}

#[test]
fn the_cluster_is_asked_about_a_loss_for_a_minute() {
    let (mut army, start) = at_work(1);
    let heard = start + 1_000;
    for (after, asks) in
        [(SILENCE_MS, false), (SILENCE_MS + 1, true), (EXPLAIN_MS, true), (EXPLAIN_MS + 1, false)]
    {
        assert_eq!(army.has_unexplained_loss(heard + after), asks, "{after}");
    }
    army.explain("pod-0", "it ended", true, heard + 20_000);
    assert!(!army.has_unexplained_loss(heard + 20_000));
}

#[test]
fn a_run_that_is_given_up_waits_for_what_is_handed_over_and_counts_it() {
    let (mut army, start) = at_work(2);
    let now = start + 12_000;
    army.check_in(&left(), now).unwrap();
    assert!(!army.is_settled(now), "its last measures are not safe");
    write(&mut army);
    assert!(army.is_settled(now), "the other one is not heard");
    let indexes: Vec<u32> = army.final_result(now).gaps.iter().map(|gap| gap.index).collect();
    assert_eq!(indexes, [0], "of the one that has handed over all is known");
    army.check_in(&said(0, Stage::Running, &[]), now).unwrap();
    army.give_up(&BTreeSet::new());
    assert_eq!(army.lost(now), 0, "it has ended because the run does");
    army.give_up(&[1].into());
    assert_eq!(army.lost(now), 1, "the run ends because it has");
}

/// Its pod was taken away by force, and another one has its place; but its node still runs it, and it is not cut off from
/// the coordinator.
#[test]
fn who_is_heard_after_its_place_was_taken_ends_and_takes_nothing_back() {
    let (mut army, start) = at_work(2);
    let old = |sequences: &[u64], stage| said(0, stage, sequences);
    let new = |stage| said_by("new", 0, stage, vec![]);
    let at = |seconds: u64| start + seconds * 1_000;
    army.check_in(&old(&[1], Stage::Running), at(2)).unwrap();
    army.check_in(&new(Stage::Running), at(5)).unwrap();
    let orders = army.check_in(&old(&[2, 3, 4, 5, 6], Stage::Running), at(7)).unwrap();
    assert!(orders.stop && !orders.stay, "it is told to end");
    assert!(!army.check_in(&new(Stage::Running), at(7)).unwrap().stop, "the other one is not");
    let gaps = army.result(at(7)).gaps;
    let told: Vec<_> = gaps.iter().map(|g| (g.pod_uid.as_str(), g.from, g.until)).collect();
    assert_eq!(told, [("pod-0", 7, 7)], "what it has measured meanwhile counts");
    assert_eq!((army.lost(at(7)), army.replaced(), army.ready(at(7))), (1, 1, 2));
    // Neither does its end stand for that of its part.
    army.check_in(&old(&[7], Stage::Finished), at(8)).unwrap();
    army.check_in(&said(1, Stage::Finished, &[1]), at(9)).unwrap();
    write(&mut army);
    assert_eq!((army.finished(), army.is_over(), army.state.ended_at_ms), (1, false, None));
    army.check_in(&new(Stage::Finished), at(20)).unwrap();
    write(&mut army);
    assert_eq!((army.finished(), army.is_over()), (2, true));
}

#[test]
fn who_was_not_heard_since_a_takeover_may_have_been_told_to_go_on_by_the_one_before() {
    let (mut before, start) = at_work(2);
    let taken_over = start + 60_000;
    let mut after = Army::restore("ns", "r", before.run.clone(), write(&mut before), 2, taken_over);
    after.check_in(&said(1, Stage::Running, &[]), taken_over + 1_000).unwrap();
    let alone = after.stops_after_ms();
    let in_doubt = u64::try_from(IN_DOUBT.as_millis()).unwrap();
    for (what, index, last) in
        [("heard", 1, taken_over + 1_000 + alone), ("not heard", 0, taken_over + in_doubt + alone)]
    {
        let pod = &after.state.pods[&format!("pod-{index}")];
        let is_lost = |at| after.is_lost(pod, at);
        assert_eq!([last, last + 1].map(is_lost), [false, true], "{what}");
    }
    // One that was told to end has no bots, whatever it was told besides: others may have its place at once.
    before.check_in(&leaves(), start + 2_000).unwrap();
    let after = Army::restore("ns", "r", before.run.clone(), write(&mut before), 2, taken_over);
    assert_eq!(after.free_from(&after.state.pods["pod-1"]), taken_over);
}
