mod gaps;

use super::super::tests::{BEGUN, army, at_work, said, write};
use super::*;

/// The lease, and a margin.
const STOPPED: u64 = 150_000;

/// The first runner goes on, so that all is about the second.
fn go_on(army: &mut Army, now_ms: u64) {
    army.check_in(&said(0, Stage::Running, &[]), now_ms).unwrap();
}

#[test]
fn a_runner_is_lost_when_it_is_certain_and_not_because_it_is_silent() {
    type Happens = fn(&mut Army, u64);
    let nothing: Happens = |_, _| {};
    let left: Happens = |army, now| {
        let left = CheckIn { left: true, ..said(1, Stage::Finished, &[]) };
        army.check_in(&left, now).unwrap();
    };
    let explained: Happens = |army, now| army.explain("pod-1", "OOMKilled: it was", true, now);
    let replaced: Happens = |army, now| {
        let other = CheckIn { pod_uid: "other".into(), ..said(1, Stage::Running, &[]) };
        army.check_in(&other, now).unwrap();
    };
    let gone: Happens = |army, _| army.gone.extend([1]);
    for (what, silent_ms, happens, lost, why) in [
        ("it is heard", 0, nothing, 0, None),
        ("cut off", 11_000, nothing, 0, None),
        ("cut off for as long as it may be", STOPPED, nothing, 0, None),
        ("it has stopped by itself", STOPPED + 1, nothing, 1, Some(SILENT)),
        ("told to end", 0, left, 1, Some(LEFT)),
        ("its end is known", 11_000, explained, 1, Some("OOMKilled: it was")),
        ("another one is at work", 11_000, replaced, 1, None),
        ("nobody shall take its place", 11_000, gone, 1, Some(SILENT)),
    ] {
        let (mut army, now) = (at_work(), BEGUN + silent_ms);
        go_on(&mut army, now);
        happens(&mut army, now);
        assert_eq!((army.lost(now), army.newest_loss(now)), (lost, why), "{what}");
        assert_eq!(army.figures(now).runners.lost, lost, "{what}");
        assert_eq!(army.is_only_silent(1, now), lost == 0 && silent_ms > 0, "{what}");
    }
}

#[test]
fn who_is_heard_again_was_not_lost_and_who_is_silent_at_the_end_is() {
    let mut army = at_work();
    go_on(&mut army, BEGUN + 100_000);
    assert_eq!((army.lost(BEGUN + 100_000), army.finally_lost(BEGUN + 100_000)), (0, 1));
    assert_eq!(army.final_result(BEGUN + 100_000).gaps.len(), 1, "as many as are counted");
    army.check_in(&said(1, Stage::Running, &[2]), BEGUN + 100_000).unwrap();
    assert_eq!((army.lost(BEGUN + 100_000), army.finally_lost(BEGUN + 100_000)), (0, 0));
}

#[test]
fn who_is_silent_for_longer_than_its_lease_is_taken_away_however_far_it_is() {
    type Happens = fn(&mut Army, u64);
    let ready: Happens = |army, now| drop(army.check_in(&said(1, Stage::Ready, &[]), now).unwrap());
    let told: Happens = |army, now| {
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Ready, &[]), now).unwrap();
        }
        write(army);
    };
    let running: Happens = |army, now| drop(army.check_in(&said(1, Stage::Running, &[]), now).unwrap());
    let finished: Happens = |army, now| drop(army.check_in(&said(1, Stage::Finished, &[]), now).unwrap());
    let left: Happens = |army, now| {
        army.check_in(&CheckIn { left: true, ..said(1, Stage::Ready, &[]) }, now).unwrap();
    };
    let ended: Happens = |army, now| army.explain("pod-1", "Evicted: its node was drained", true, now);
    let gone: Happens = |army, _| army.gone.extend([1]);
    for (what, happens, is_silent) in [
        ("it prepares", (|_, _| {}) as Happens, true),
        ("it waits for the start", ready, true),
        ("it was told when to begin", told, true),
        ("it is at work", running, true),
        ("it has done its part", finished, false),
        ("it was told to end before it had bots", left, false),
        ("it is known to have ended", ended, false),
        ("nobody shall take its place", gone, false),
    ] {
        let mut army = army(2);
        army.check_in(&said(1, Stage::Preparing, &[]), BEGUN).unwrap();
        happens(&mut army, BEGUN);
        let silent = |now| army.silent(now).contains("pod-1");
        assert_eq!((silent(BEGUN + STOPPED), silent(BEGUN + STOPPED + 1)), (false, is_silent), "{what}");
    }
    // One that was to take the place of a lost one.
    let mut army = at_work();
    let other = CheckIn { pod_uid: "other".into(), ..said(1, Stage::Preparing, &[]) };
    army.check_in(&other, BEGUN + 20_000).unwrap();
    go_on(&mut army, BEGUN + 20_000 + STOPPED);
    assert!(army.is_only_silent(1, BEGUN + 20_000 + STOPPED));
    assert!(army.silent(BEGUN + 20_001 + STOPPED).contains("other"));
}

#[test]
fn a_pod_that_does_not_end_is_taken_away_unless_its_runner_is_heard() {
    let mut army = army(2);
    army.check_in(&said(1, Stage::Finished, &[]), BEGUN).unwrap();
    army.should_have_ended(["unheard".to_owned(), "pod-1".to_owned()].into());
    // This operator has only just come, so that the runner may have been heard by another one.
    assert!(army.silent(STOPPED).is_empty());
    let now = BEGUN + STOPPED;
    assert_eq!(army.silent(now), ["unheard".to_owned()].into());
    army.should_have_ended(BTreeSet::new());
    assert!(army.silent(now).is_empty(), "it is gone");
}
