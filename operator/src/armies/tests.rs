mod hostile;
mod warmup;

use super::*;
use botarmy_protocol::{CheckIn, RunRef, VERSION};
use botarmy_report::{Delta, Slice};
use botarmy_spec::Part;
use botarmy_tree::{Actions, Path};

pub(crate) fn army(runners: i32) -> Army {
    let spec: BotRunSpec = serde_json::from_value(serde_json::json!({
        "trees": {"T": "done"}, "bots": 10, "runners": {"count": runners}, "thresholds": [{"expect": "count > 0"}],
    }))
    .unwrap();
    let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).unwrap();
    Army::new("ns", "r", &spec, run, 1, 1)
}

pub(crate) fn said(index: u32, stage: Stage, sequences: &[u64]) -> CheckIn {
    let delta = |n: &u64| {
        let totals = Totals { requests: 10, ..Totals::default() };
        Delta {
            sequence: *n,
            slices: vec![Slice { second: *n, totals, warmup: false, apart: false }],
            alive: 5,
        }
    };
    CheckIn {
        protocol: VERSION,
        run: RunRef { namespace: "ns".into(), name: "r".into(), uid: "u".into() },
        index,
        pod_uid: format!("pod-{index}"),
        stage,
        alive: 5,
        round_trip_ms: Some(40),
        deltas: sequences.iter().map(delta).collect(),
        left: false,
        refusal: None,
        sources: None,
        performed: None,
        together: botarmy_protocol::Together::default(),
        trusts: None,
        began_late_ms: None,
        standing: botarmy_protocol::Standing::default(),
    }
}

#[test]
fn the_start_waits_for_all_runners_and_the_slowest_of_them() {
    let mut army = army(2);
    let first = army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
    assert_eq!((first.start_at_ms, army.ready(1_000)), (None, 1));
    let mut slow = said(1, Stage::Preparing, &[]);
    slow.round_trip_ms = Some(200);
    let preparing = army.check_in(&slow, 1_900).unwrap();
    assert_eq!((preparing.start_at_ms, preparing.plan.map(|p| p.runners)), (None, Some(2)));
    slow.stage = Stage::Ready;
    let second = army.check_in(&slow, 2_000).unwrap();
    assert_eq!((second.start_at_ms, second.plan), (None, None), "not before it is written");
    assert!(army.is_urgent());
    write(&mut army);
    for at in [2_100, 9_000] {
        let again = army.check_in(&said(0, Stage::Ready, &[]), at).unwrap();
        assert_eq!(again.start_at_ms, Some(2_700), "set once");
    }
}

#[test]
fn a_start_that_was_not_written_in_time_is_a_later_one() {
    let mut army = army(1);
    let ready = said(0, Stage::Ready, &[]);
    army.check_in(&ready, 1_000).unwrap();
    let slow = army.checkpoint();
    assert_eq!(slow.start_at_ms, Some(1_540));
    // By now there is no time left to tell it.
    army.check_in(&ready, 1_300).unwrap();
    army.written(&slow);
    let orders = army.check_in(&ready, 1_310).unwrap();
    assert_eq!((orders.start_at_ms, army.state.start_at_ms, army.is_urgent()), (None, Some(2_040), true));
    assert_eq!(army.start_at_ms(), None, "nobody was told");
    write(&mut army);
    assert_eq!(army.start_at_ms(), Some(2_040));
    assert_eq!(army.check_in(&ready, 1_400).unwrap().start_at_ms, Some(2_040));
}

#[test]
fn an_operator_that_takes_over_begins_no_run_twice_and_leaves_none_unbegun() {
    let mut before = army(2);
    for index in [0, 1] {
        before.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    let written = write(&mut before);
    let take_over = || Army::restore("ns", "r", before.run.clone(), written.clone(), 2, 1);
    // One was told: it holds for the other too.
    let mut after = take_over();
    assert_eq!(after.check_in(&said(0, Stage::Ready, &[]), 9_000).unwrap().start_at_ms, None, "it may be");
    after.check_in(&said(1, Stage::Running, &[]), 9_100).unwrap();
    assert_eq!(after.check_in(&said(0, Stage::Ready, &[]), 9_200).unwrap().start_at_ms, written.start_at_ms);
    // Nobody was told: all begin together, later.
    let mut after = take_over();
    for index in [0, 1] {
        let orders = after.check_in(&said(index, Stage::Ready, &[]), 9_000).unwrap();
        assert_eq!((orders.start_at_ms, orders.epoch), (None, 2));
    }
    write(&mut after);
    assert_eq!(after.check_in(&said(0, Stage::Ready, &[]), 9_050).unwrap().start_at_ms, Some(9_540));
}

#[test]
fn how_far_the_first_and_the_last_began_from_one_another_is_told() {
    let mut army = army(3);
    let began = |index, late| CheckIn { began_late_ms: late, ..said(index, Stage::Running, &[]) };
    army.check_in(&began(0, None), 1_000).unwrap();
    assert_eq!(army.start_skew_ms(), None, "nobody has told");
    for (index, late, expected) in [(0, 4, 0), (1, -3, 7), (2, 2, 7), (1, 900, 7)] {
        army.check_in(&began(index, Some(late)), 2_000).unwrap();
        assert_eq!(army.start_skew_ms(), Some(expected), "what was told first stands");
    }
    // One that takes a place has not begun with the others, and says nothing.
    let other = CheckIn { pod_uid: "other".into(), ..began(0, None) };
    army.check_in(&other, 3_000).unwrap();
    assert_eq!(army.start_skew_ms(), Some(7));
    let restored = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 2, 1);
    assert_eq!(restored.start_skew_ms(), Some(7));
}

#[test]
fn an_epoch_is_never_one_that_was_before() {
    let mut before = army(1);
    let written = write(&mut before);
    for (epoch, expected) in [(1, 2), (2, 2), (7, 7)] {
        let mut after = Army::restore("ns", "r", before.run.clone(), written.clone(), epoch, 1);
        assert_eq!(after.check_in(&said(0, Stage::Ready, &[]), 1).unwrap().epoch, expected, "{epoch}");
    }
}

#[test]
fn what_cannot_be_kept_is_summed_and_no_count_is_lost() {
    let row = |name: &str, times: u64| {
        let info = botarmy_report::RowInfo { name: name.into(), measured: true, ..Default::default() };
        let mut recorder = botarmy_report::Recorder::new(vec![info].into(), 1_000);
        (0..times).for_each(|_| recorder.record(0, botarmy_report::Outcome::Succeed, 5));
        recorder.drain()
    };
    let delta = |sequence, rows: &[(&str, u64)]| {
        let mut totals = Totals::default();
        for (name, times) in rows {
            totals.merge(&row(name, *times)).unwrap();
        }
        let slice = Slice { second: sequence, totals, warmup: false, apart: false };
        Delta { sequence, slices: vec![slice], alive: 1 }
    };
    let mut army = army(1);
    let said = |delta| CheckIn { deltas: vec![delta], ..said(0, Stage::Running, &[]) };
    army.check_in(&said(delta(1, &[("a", 3), ("b", 2), ("c", 1)])), 1).unwrap();
    army.keep_largest_rows(Keep { rows: 1, judged: true });
    army.check_in(&said(delta(2, &[("a", 1), ("b", 9), ("d", 1)])), 2).unwrap();
    let counts = |army: &Army| -> Vec<(String, u64)> {
        let rows = army.totals().rows.iter();
        rows.map(|(name, row)| (name.clone(), row.whole().measured_count())).collect()
    };
    let expected = [("(other)", 12), ("a", 4), ("d", 1)].map(|(name, n)| (name.to_owned(), n)).to_vec();
    assert_eq!((counts(&army), army.summed_rows()), (expected.clone(), 2), "a name that was summed stays so");
    let checkpoint = write(&mut army);
    let after = Army::restore("ns", "r", army.run.clone(), checkpoint, 2, 1);
    assert_eq!((counts(&after), after.summed_rows()), (expected, 2));
}

#[test]
fn a_delta_counts_once_and_none_is_left_out() {
    let mut army = army(1);
    let orders = army.check_in(&said(0, Stage::Running, &[1, 2]), 1).unwrap();
    assert_eq!((orders.applied, orders.durable, army.totals().requests), (2, 0, 20));
    army.check_in(&said(0, Stage::Running, &[1, 2, 3]), 2).unwrap();
    assert_eq!(army.totals().requests, 30);
    assert!(matches!(army.check_in(&said(0, Stage::Running, &[5]), 3), Err(Refusal::Missing(5, 4))));
    assert_eq!(army.totals().requests, 30);
    assert!(matches!(army.check_in(&said(0, Stage::Running, &[4, 6]), 4), Err(Refusal::Missing(6, 5))));
    army.check_in(&said(0, Stage::Running, &[4, 5]), 5).unwrap();
    assert_eq!(army.totals().requests, 50, "what came before the one that was left out was counted");
}

#[test]
fn it_is_over_when_the_last_measures_are_written() {
    let mut army = army(1);
    army.check_in(&said(0, Stage::Finished, &[1]), 1).unwrap();
    assert!(army.is_urgent() && !army.is_over() && army.may_have_bots());
    let checkpoint = army.checkpoint();
    army.written(&checkpoint);
    assert!(army.is_over() && !army.is_urgent());
    assert!(!army.may_have_bots(), "nobody waits for it");
    assert_eq!(army.check_in(&said(0, Stage::Finished, &[1]), 2).unwrap().durable, 1);
}

#[test]
fn an_operator_that_comes_back_goes_on_from_the_checkpoint() {
    let mut before = army(1);
    before.check_in(&said(0, Stage::Running, &[1]), 1).unwrap();
    let checkpoint = before.checkpoint();
    before.check_in(&said(0, Stage::Running, &[2]), 2).unwrap();
    let mut after = Army::restore("ns", "r", before.run.clone(), checkpoint, 1, 1);
    let orders = after.check_in(&said(0, Stage::Running, &[2, 3]), 3).unwrap();
    assert_eq!((orders.applied, orders.durable, after.totals().requests), (3, 1, 30));
    let series = after.result(4).series.unwrap();
    let points: Vec<(u64, u64)> = series.points.iter().map(|p| (p.requests, p.bots)).collect();
    assert_eq!(points, [(0, 5), (10, 5), (10, 5), (10, 5)]);
}

#[test]
fn nobody_was_silent_before_this_operator_came() {
    let mut before = army(2);
    for index in [0, 1] {
        before.check_in(&said(index, Stage::Running, &[1]), 1_000).unwrap();
    }
    let checkpoint = before.checkpoint();
    let mut after = Army::restore("ns", "r", before.run.clone(), checkpoint, 2, 500_000);
    assert!(after.silent(500_000).is_empty(), "it has only just come");
    assert!(!after.is_settled(505_000), "they may still hand over what they have");
    assert_eq!((after.lost(505_000), after.over_at_ms()), (0, 0));
    after.check_in(&said(0, Stage::Running, &[2]), 949_000).unwrap();
    assert!(
        after.silent(950_000).is_empty(),
        "the lease and a margin are not over, since another one may have answered"
    );
    assert_eq!(after.silent(950_001), ["pod-1".to_owned()].into());
}

#[test]
fn a_runner_has_stopped_by_itself_when_its_own_lease_is_over() {
    let mut army =
        army_with(&serde_json::json!({"leaseSeconds": 30, "setup": {"tree": "T", "timeout": "10s"}}));
    for index in [0, 1, 0] {
        army.check_in(&said(index, Stage::Running, &[]), 1_000).unwrap();
    }
    write(&mut army);
    assert!(army.silent(61_000).is_empty());
    assert_eq!(army.silent(61_001).len(), 2, "30 seconds, and a margin");
    army.check_in(&said(1, Stage::Running, &[]), 101_000).unwrap();
    assert!(army.is_setting_up(), "10 seconds, the lease, and a margin");
    army.check_in(&said(1, Stage::Running, &[]), 101_001).unwrap();
    assert!(matches!(army.fault(), Some((Fault::Setup, _))));
}

#[test]
fn a_runner_whose_part_nobody_does_is_lacking_until_another_one_comes() {
    let mut army = army(3);
    for index in 0..3 {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    let start = army.state.start_at_ms.unwrap();
    let hear = |army: &mut Army, index, stage, at| {
        army.check_in(&said(index, stage, &[]), start + at).unwrap();
    };
    for at in [1_000, 9_000, 18_000] {
        hear(&mut army, 0, Stage::Running, at);
    }
    hear(&mut army, 1, Stage::Running, 2_000);
    hear(&mut army, 2, Stage::Finished, 2_000);
    assert_eq!(army.unmanned(start + 11_000), None, "it may be heard again");
    assert_eq!(army.unmanned(start + 20_000), Some((1, 0)), "it may be at work, and cut off");
    hear(&mut army, 0, Stage::Running, 160_000);
    assert_eq!(army.unmanned(start + 160_000), Some((1, 8_000)), "two and a half minutes after it was heard");
    army.explain("pod-1", "OOMKilled: it has ended", true, start + 100_000);
    assert_eq!(army.unmanned(start + 160_000), Some((1, 60_000)), "since it is known to have ended");
    // Back to the time before.
    army.state.pods.get_mut("pod-0").unwrap().heard_ms = start + 18_000;
    army.state.pods.get_mut("pod-1").unwrap().ended_ms = Some(start + 12_000);
    assert!(army.is_manned(0, start + 20_000) && !army.is_manned(1, start + 20_000));
    // Its part is in good hands again, and then in nobody's.
    army.check_in(&CheckIn { pod_uid: "other".into(), ..said(1, Stage::Preparing, &[]) }, start + 21_000)
        .unwrap();
    hear(&mut army, 0, Stage::Running, 21_000);
    assert_eq!(army.unmanned(start + 22_000), None);
    hear(&mut army, 0, Stage::Running, 60_000);
    assert_eq!(army.unmanned(start + 61_000), Some((1, 40_000)));
    // While its Job was suspended nobody could come.
    army.suspend(false, true, start + 61_000);
    army.suspend(false, false, start + 90_000);
    hear(&mut army, 0, Stage::Running, 95_000);
    assert_eq!(army.unmanned(start + 95_000), Some((1, 5_000)));
    army.go_on_without(&[1].into(), start + 95_000);
    assert_eq!(army.unmanned(start + 95_000), None, "the others go on without it");
}

#[test]
fn a_run_that_ends_without_any_of_its_runners_has_their_gaps() {
    let mut army = army(1);
    army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
    write(&mut army);
    let start = army.state.start_at_ms.unwrap();
    army.check_in(&said(0, Stage::Running, &[1]), start + 2_000).unwrap();
    let now = start + 60_000;
    assert_eq!((army.alive(now), army.ready(now), army.lost(now)), (0, 0, 0), "it may be at work, cut off");
    assert_eq!(army.finally_lost(now), 1, "nobody waits for it any more");
    assert!(army.result(now).gaps.is_empty(), "another one may take its place");
    let gaps = army.final_result(now).gaps;
    let told: Vec<_> = gaps.iter().map(|g| (g.index, g.from, g.until, g.bots)).collect();
    assert_eq!(told, [(0, 2, 60, 5)]);
    army.give_up(&[0].into());
    assert_eq!(army.result(now).gaps, gaps);
}

#[test]
fn strangers_are_refused() {
    let mut army = army(1);
    assert!(matches!(army.check_in(&said(1, Stage::Ready, &[]), 1), Err(Refusal::Index(1, 1))));
    let mut old = said(0, Stage::Ready, &[]);
    old.protocol = VERSION + 2;
    assert!(matches!(army.check_in(&old, 1), Err(Refusal::Protocol(_))));
    assert_eq!(army.ready(1), 0);
}

/// An army whose spec has these fields beside a tree that is done at once.
/// When these are at work, in milliseconds since 1970.
pub(super) const BEGUN: u64 = 2_000;

/// Two runners, at work and heard then.
pub(super) fn at_work() -> Army {
    let mut army = army(2);
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Ready, &[]), 1_000).unwrap();
    }
    write(&mut army);
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Running, &[1]), BEGUN).unwrap();
    }
    army
}

pub(crate) fn army_with(fields: &serde_json::Value) -> Army {
    let mut spec =
        serde_json::json!({"trees": {"T": "done"}, "tree": "T", "bots": 10, "runners": {"count": 2}});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let spec: BotRunSpec = serde_json::from_value(spec).unwrap();
    let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).unwrap();
    Army::new("ns", "r", &spec, run, 1, 1)
}

pub(super) fn performed(index: u32, stage: Stage, part: Part, failure: Option<&str>) -> CheckIn {
    let context = [("token".to_owned(), serde_json::json!("t"))].into_iter().collect();
    let performed = botarmy_protocol::Performed { part, failure: failure.map(str::to_owned), context };
    CheckIn { performed: Some(performed), ..said(index, stage, &[]) }
}

/// What an action has come to that was performed once.
pub(super) fn measured(sequence: u64) -> Delta {
    let info = botarmy_report::RowInfo { name: "a".into(), measured: true, ..Default::default() };
    let mut recorder = botarmy_report::Recorder::new(vec![info].into(), 1_000);
    recorder.record(0, botarmy_report::Outcome::Succeed, 5);
    let slice = Slice { second: sequence, totals: recorder.drain(), warmup: false, apart: false };
    Delta { sequence, slices: vec![slice], alive: 5 }
}

/// What is written now survives.
pub(crate) fn write(army: &mut Army) -> Checkpoint {
    let checkpoint = army.checkpoint();
    army.written(&checkpoint);
    checkpoint
}

#[test]
fn setup_comes_before_the_start_and_its_values_reach_all() {
    let mut army = army_with(&serde_json::json!({"setup": {"tree": "T"}, "teardown": {"tree": "T"}}));
    let ready = |index| said(index, Stage::Ready, &[]);
    for index in [0, 1] {
        assert_eq!(army.check_in(&ready(index), 1).unwrap().perform, None);
        assert!(!army.is_setting_up(), "not before all are there, and the first runner does it");
    }
    assert_eq!(army.check_in(&ready(0), 3).unwrap().perform, None, "who does it is not written down yet");
    assert!(army.is_urgent() && army.has_begun() && army.is_setting_up());
    write(&mut army);
    assert_eq!(army.check_in(&ready(0), 4).unwrap().perform, Some(Part::Setup));
    assert_eq!(army.check_in(&ready(1), 5).unwrap().start_at_ms, None);
    let told = army.check_in(&performed(0, Stage::Ready, Part::Setup, None), 6).unwrap();
    assert!(army.state.start_at_ms.is_some() && told.perform.is_none());
    write(&mut army);
    for index in [0, 1] {
        assert_eq!(army.check_in(&ready(index), 7).unwrap().context["token"], "t");
    }
    // At the end any runner that has ended cleans up; the others stay until that is done.
    assert!(army.check_in(&said(0, Stage::Finished, &[]), 8).unwrap().stay);
    army.check_in(&said(1, Stage::Finished, &[]), 9).unwrap();
    write(&mut army);
    assert!(!army.is_over() && army.is_tearing_down());
    let orders = army.check_in(&said(1, Stage::Finished, &[]), 10).unwrap();
    assert_eq!((orders.perform, orders.context["token"].as_str()), (Some(Part::Teardown), Some("t")));
    army.check_in(&performed(1, Stage::Finished, Part::Teardown, None), 11).unwrap();
    assert!(army.is_over() && army.fault().is_none());
    assert!(!army.check_in(&said(0, Stage::Finished, &[]), 12).unwrap().stay);
}

#[test]
fn what_setup_has_measured_counts_once_though_its_pod_is_replaced_and_heard_again() {
    let mut army = army_with(&serde_json::json!({"setup": {"tree": "T"}}));
    for index in [0, 1, 0] {
        army.check_in(&said(index, Stage::Ready, &[]), 1).unwrap();
    }
    write(&mut army);
    let handed_over = CheckIn {
        deltas: said(0, Stage::Ready, &[1]).deltas,
        ..performed(0, Stage::Ready, Part::Setup, None)
    };
    army.check_in(&handed_over, 2).unwrap();
    assert_eq!(army.totals().requests, 10);
    // Another pod takes its place, while it waits for its end; and so does one more, in place of that.
    for (at, other) in [(3, "b"), (5, "c")] {
        army.check_in(&said_by(other, 0, Stage::Preparing, vec![]), at).unwrap();
        let orders = army.check_in(&handed_over, at + 1).unwrap();
        assert_eq!((army.totals().requests, orders.applied, army.ready(at + 1)), (10, 1, 1), "{other}");
        assert!(army.state.pods.contains_key(other), "it is not in the way of {other}");
    }
    assert!(!army.state.pods.contains_key("b"), "nothing of it was counted");
    assert_eq!((army.lost(7), army.replaced(), army.result(7).gaps.len()), (0, 0, 0));
    // The one that took the place begins, and it does not.
    for _ in 0..2 {
        army.check_in(&said_by("c", 0, Stage::Ready, vec![]), 8).unwrap();
        army.check_in(&said(1, Stage::Ready, &[]), 8).unwrap();
        write(&mut army);
    }
    assert_eq!(army.check_in(&handed_over, 9).unwrap().start_at_ms, None);
    let orders = army.check_in(&said_by("c", 0, Stage::Ready, vec![]), 9).unwrap();
    assert!(orders.start_at_ms.is_some() && orders.plan.is_none());
    let resume = army.check_in(&said_by("d", 0, Stage::Preparing, vec![]), 9).unwrap().plan.unwrap().resume;
    assert!(resume.is_none(), "no part of the load was done by it");
}

#[test]
fn a_setup_that_fails_starts_no_bot_and_is_cleaned_up_after() {
    let mut army = army_with(&serde_json::json!({"setup": {"tree": "T"}, "teardown": {"tree": "T"}}));
    for index in [0, 1, 0] {
        army.check_in(&said(index, Stage::Ready, &[]), 1).unwrap();
    }
    write(&mut army);
    let told = army.check_in(&performed(0, Stage::Ready, Part::Setup, Some("no")), 2).unwrap();
    assert!(told.stop && army.state.start_at_ms.is_some());
    assert_eq!(army.fault(), Some((Fault::Setup, "no".to_owned())));
    let after = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 2, 2);
    assert!(after.stop, "whoever comes next lets no bot begin either");
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Finished, &[]), 3).unwrap();
    }
    write(&mut army);
    assert_eq!(army.check_in(&said(1, Stage::Finished, &[]), 4).unwrap().perform, Some(Part::Teardown));
    army.check_in(&performed(1, Stage::Finished, Part::Teardown, Some("neither")), 5).unwrap();
    let result = army.result(6);
    assert_eq!((result.outcome, result.reason.as_deref()), (RunOutcome::Errored, Some("no")));
}

#[test]
fn a_setup_whose_outcome_is_lost_is_not_repeated() {
    let mut army = army_with(&serde_json::json!({"setup": {"tree": "T"}}));
    for index in [0, 1, 0] {
        army.check_in(&said(index, Stage::Ready, &[]), 1).unwrap();
    }
    let checkpoint = write(&mut army);
    // Another operator tells the same pod only.
    let mut after = Army::restore("ns", "r", army.run.clone(), checkpoint, 1, 1);
    assert_eq!(after.check_in(&said(0, Stage::Ready, &[]), 2).unwrap().perform, Some(Part::Setup));
    let mut replaced = said(0, Stage::Preparing, &[]);
    replaced.pod_uid = "another".into();
    let orders = after.check_in(&replaced, 3).unwrap();
    assert_eq!((orders.perform, orders.stop), (None, true));
    assert!(matches!(after.fault(), Some((Fault::Setup, reason)) if reason.contains("was lost")));
}

#[test]
fn a_runner_that_cannot_do_its_part_ends_the_run() {
    let mut army = army_with(&serde_json::json!({"teardown": {"tree": "T"}}));
    let mut refusing = said(1, Stage::Preparing, &[]);
    let mistake = Mistake { place: "spec.data.file".into(), message: "no".into() };
    refusing.refusal = Some(botarmy_protocol::Refusal { invalid: false, mistakes: vec![mistake] });
    assert!(army.check_in(&refusing, 1).unwrap().stop);
    assert_eq!(army.fault(), Some((Fault::Refused, "spec.data.file: no".to_owned())));
}

#[test]
fn another_rate_is_told_before_it_is_due() {
    let mut army = army_with(&serde_json::json!({"bots": null, "arrivalRate": 10, "runners": null}));
    army.set_rate(10.0, 1);
    assert_eq!(army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap().rates, [], "the same");
    let start = army.state.start_at_ms.unwrap();
    army.set_rate(20.0, start + 5_000);
    army.set_rate(20.0, start + 5_500);
    army.set_rate(0.0, start + 9_000);
    let orders = army.check_in(&said(0, Stage::Running, &[]), start + 9_001).unwrap();
    assert_eq!(orders.rates, [(7_000, 20.0), (11_000, 0.0)]);
    // The time in which the load stood still is none of the load's.
    army.suspend(true, false, start + 20_000);
    army.suspend(false, false, start + 50_000);
    army.set_rate(5.0, start + 60_000);
    let orders = army.check_in(&said(0, Stage::Running, &[]), start + 60_001).unwrap();
    assert_eq!(orders.rates.last(), Some(&(32_000, 5.0)));
    // Of several for one moment the last one holds, and so it does of more than can be kept.
    army.set_rate(6.0, start + 60_000);
    assert_eq!((army.state.rates.len(), army.state.rates.last()), (3, Some(&(32_000, 6.0))));
    for n in 0..MAX_RATES as u64 {
        army.set_rate(if n % 2 == 0 { 7.0 } else { 8.0 }, start + 61_000 + n);
    }
    let last = (33_000 + MAX_RATES as u64 - 1, 8.0);
    assert_eq!((army.state.rates.len(), army.state.rates.last()), (MAX_RATES, Some(&last)));
}

#[test]
fn what_all_share_is_changed_once_and_comes_back_with_an_operator() {
    use botarmy_protocol::Together;
    use botarmy_protocol::shared::{Answer, Change, News};
    let together = |changes: &[(u64, Change)], answered, knows| Together {
        changes: changes.to_vec(),
        is_whole: true,
        answered,
        knows,
        seen: 0,
    };
    let says = |index, together| CheckIn { together, ..said(index, Stage::Running, &[]) };
    let mut army = army_with(&serde_json::json!({}));
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Ready, &[]), 1).unwrap();
    }
    let push = |n: u64, item: &str| (n, Change::Push("l".into(), item.into()));
    let pop = |n| (n, Change::Pop("l".into()));
    let all = says(0, together(&[push(1, "a"), push(2, "b"), pop(3)], 0, 0));
    let made = |value: serde_json::Value| Answer::Made(value);
    let expected = vec![(1, made(1.into())), (2, made(2.into())), (3, made("a".into()))];
    assert_eq!(army.check_in(&all, 2).unwrap().together.answers, expected);
    assert_eq!(army.check_in(&all, 3).unwrap().together.answers, expected, "said twice, made once");
    let checkpoint = write(&mut army);
    army.check_in(&says(1, together(&[pop(1)], 0, 0)), 4).unwrap();
    // An operator that does not know of the last one gives its item to nobody before it is told.
    let mut after = Army::restore("ns", "r", army.run.clone(), checkpoint, 1, 1);
    let hungry = says(0, together(&[pop(4)], 3, 3));
    let orders = after.check_in(&hungry, 10).unwrap().together;
    assert_eq!((orders.answers, orders.applied, orders.news), (vec![], 3, News::default()));
    assert_eq!(after.check_in(&says(1, together(&[], 1, 1)), 11).unwrap().together.applied, 0);
    let repeated = together(&[(1, Change::Take("l".into(), "b".into()))], 1, 0);
    after.check_in(&says(1, repeated), 12).unwrap();
    let orders = after.check_in(&hungry, 13).unwrap().together;
    assert_eq!((orders.answers, orders.news.anew), (vec![(4, Answer::Empty)], true));
}

#[test]
fn answers_to_all_pods_together_have_a_bound_and_come_when_others_have_arrived() {
    use botarmy_protocol::Together;
    use botarmy_protocol::shared::Change;
    const PODS: u32 = 20;
    let spec: BotRunSpec = serde_json::from_value(serde_json::json!({
        "trees": {"T": "done"}, "bots": PODS, "runners": {"count": PODS},
    }))
    .unwrap();
    let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).unwrap();
    let mut army = Army::new("ns", "r", &spec, run, 1, 1);
    let change = |n: u64| (n, Change::Put("k".into(), "x".repeat(50_000).into()));
    let says = |index, answered| {
        let changes = (answered + 1..=answered + 20).map(change).collect();
        let together = Together { changes, is_whole: true, answered, knows: answered, seen: 0 };
        CheckIn { together, ..said(index, Stage::Running, &[]) }
    };
    let mut answered = vec![0; PODS as usize];
    for round in 0..3 {
        for index in 0..PODS {
            let had = answered[index as usize];
            let orders = army.check_in(&says(index, had), 2_000).unwrap().together;
            let last = orders.answers.last().map_or(had, |(number, _)| *number);
            assert!(round == 0 || last > had, "pod {index} gets on");
            answered[index as usize] = last;
        }
        let bytes = serde_json::to_vec(&army.checkpoint().pods).unwrap().len();
        assert!(bytes < 4 << 20, "{bytes} bytes in round {round}");
    }
}

#[test]
fn an_operator_that_came_back_does_not_wait_for_ever() {
    use botarmy_protocol::Together;
    use botarmy_protocol::shared::Change;
    let mut army = army_with(&serde_json::json!({}));
    for index in [0, 1] {
        army.check_in(&said(index, Stage::Ready, &[]), 1).unwrap();
    }
    let mut after = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 1, 1);
    let change = CheckIn {
        together: Together { changes: vec![(1, Change::Add("n".into(), 1.into()))], ..Together::default() },
        ..said(0, Stage::Running, &[])
    };
    assert_eq!(after.check_in(&change, 1_000).unwrap().together.answers, []);
    assert_eq!(after.check_in(&change, 12_000).unwrap().together.answers.len(), 1);
}

#[test]
fn the_start_is_written_at_once_and_what_came_before_it_is_learned_again() {
    use botarmy_protocol::Together;
    use botarmy_protocol::shared::Change;
    let mut army = army_with(&serde_json::json!({"setup": {"tree": "T"}}));
    for index in [0, 1, 0] {
        army.check_in(&said(index, Stage::Ready, &[]), 1).unwrap();
    }
    let early = write(&mut army);
    let together =
        Together { changes: vec![(1, Change::Push("l".into(), "a".into()))], ..Together::default() };
    army.check_in(&CheckIn { together, ..performed(0, Stage::Ready, Part::Setup, None) }, 2).unwrap();
    assert!(
        army.state.start_at_ms.is_some() && army.is_urgent(),
        "an operator that comes back must not begin anew"
    );
    write(&mut army);
    assert!(!army.is_urgent());
    // One that knows only that setup was given away takes no change before all is repeated.
    let mut after = Army::restore("ns", "r", army.run.clone(), early, 1, 1);
    let pop = Together { changes: vec![(1, Change::Pop("l".into()))], ..Together::default() };
    let orders = after.check_in(&CheckIn { together: pop, ..said(1, Stage::Running, &[]) }, 3).unwrap();
    assert_eq!(orders.together.answers, []);
}

/// What a pod says that has taken the place of a lost one, with a name of its own.
pub(crate) fn said_by(pod_uid: &str, index: u32, stage: Stage, deltas: Vec<Delta>) -> CheckIn {
    CheckIn { pod_uid: pod_uid.into(), deltas, ..said(index, stage, &[]) }
}

/// Passes of the tree in a second, as a runner reports them.
pub(crate) fn passes(sequence: u64, second: u64, count: u64) -> Delta {
    let mut recorder = botarmy_report::Recorder::new(
        vec![botarmy_report::RowInfo { name: botarmy_report::ITERATION.into(), ..Default::default() }].into(),
        1_000,
    );
    for _ in 0..count {
        recorder.record(0, botarmy_report::Outcome::Succeed, 5);
        recorder.iteration();
    }
    let slice = Slice { second, totals: recorder.drain(), warmup: false, apart: false };
    Delta { sequence, slices: vec![slice], alive: 5 }
}

#[test]
fn who_takes_the_place_of_a_lost_runner_goes_on_with_what_is_left() {
    let mut army = army_with(&serde_json::json!({"iterations": 100}));
    let begin = |army: &mut Army, pod: &str, index, at| {
        army.check_in(&said_by(pod, index, Stage::Preparing, vec![]), at).unwrap();
        army.check_in(&said_by(pod, index, Stage::Ready, vec![]), at).unwrap()
    };
    begin(&mut army, "a", 0, 1_000);
    begin(&mut army, "b", 1, 1_000);
    write(&mut army);
    let start = army.state.start_at_ms.unwrap();
    army.check_in(&said_by("a", 0, Stage::Running, vec![passes(1, 0, 7), passes(2, 1, 8)]), start + 2_100)
        .unwrap();
    army.check_in(&said_by("b", 1, Stage::Running, vec![passes(1, 0, 9)]), start + 12_000).unwrap();
    // The first has been silent for ten seconds: its bots are not known to be alive.
    army.check_in(&said_by("b", 1, Stage::Running, vec![]), start + 12_200).unwrap();
    let now = start + 12_200;
    assert_eq!((army.alive(now), army.lost(now), army.replaced()), (5, 0, 0));
    let again = army.check_in(&said_by("c", 0, Stage::Preparing, vec![]), start + 14_000).unwrap();
    let resume = again.plan.unwrap().resume.unwrap();
    assert_eq!(resume.iterations, [(String::new(), 15)].into());
    assert!(army.result(start + 14_000).gaps.is_empty(), "not while it is open");
    army.check_in(&said_by("c", 0, Stage::Running, vec![passes(1, 15, 20)]), start + 15_500).unwrap();
    let result = army.result(start + 15_500);
    let gap = botarmy_report::Gap {
        index: 0,
        pod_uid: "a".into(),
        from: 2,
        until: 16,
        bots: 5,
        reason: "its pod was lost".into(),
    };
    let now = start + 15_500;
    assert_eq!((result.gaps, result.iterations, army.alive(now)), (vec![gap.clone()], 44, 10));
    assert_eq!((army.lost(now), army.replaced()), (1, 1));
    // The next one knows of both, and the gap survives the operator.
    let next = army.check_in(&said_by("d", 0, Stage::Preparing, vec![]), start + 16_000).unwrap();
    assert_eq!(next.plan.unwrap().resume.unwrap().iterations, [(String::new(), 35)].into());
    let restored = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 1, 1);
    assert_eq!(restored.result(start + 16_000).gaps, [gap]);
}

/// Two runners, "a" and "b", that may have been told when to begin by an operator that is gone; and when that is.
fn taken_over_at_the_start() -> (Army, u64) {
    let mut army = army(2);
    for (index, pod) in [(0, "a"), (1, "b")] {
        army.check_in(&said_by(pod, index, Stage::Ready, vec![]), 1_000).unwrap();
    }
    let checkpoint = write(&mut army);
    let start = army.state.start_at_ms.unwrap();
    (Army::restore("ns", "r", army.run.clone(), checkpoint, 2, 1), start)
}

#[test]
fn who_was_told_when_to_begin_may_have_done_so() {
    let (mut after, start) = taken_over_at_the_start();
    // It is killed before it was heard again, and the operator with it.
    after.check_in(&said_by("b", 1, Stage::Running, vec![passes(1, 0, 1)]), start + 9_000).unwrap();
    let plan =
        after.check_in(&said_by("c", 0, Stage::Preparing, vec![]), start + 9_500).unwrap().plan.unwrap();
    assert!(plan.resume.is_some(), "it goes on where the other may have been");
    let orders = after.check_in(&said_by("c", 0, Stage::Ready, vec![]), start + 9_600).unwrap();
    assert!(orders.start_at_ms.is_none() && after.is_urgent(), "nobody would know of it");
    write(&mut after);
    let orders = after.check_in(&said_by("c", 0, Stage::Ready, vec![]), start + 9_700).unwrap();
    assert_eq!(orders.start_at_ms, Some(start));
    after.check_in(&said_by("c", 0, Stage::Running, vec![]), start + 10_500).unwrap();
    let gaps = after.result(start + 10_500).gaps;
    let told: Vec<_> = gaps.iter().map(|g| (g.index, g.pod_uid.as_str(), g.from, g.until, g.bots)).collect();
    assert_eq!(told, [(0, "a", 0, 11, 5)]);
}

#[test]
fn a_run_whose_runners_were_all_lost_unheard_does_not_begin_anew() {
    let (mut after, start) = taken_over_at_the_start();
    // No operator was there for so long that they have stopped by themselves.
    let others = [(0, "c"), (1, "d")];
    for stage in [Stage::Preparing, Stage::Ready] {
        for (index, pod) in others {
            after.check_in(&said_by(pod, index, stage, vec![]), start + 140_000).unwrap();
        }
    }
    write(&mut after);
    for (index, pod) in others {
        let orders = after.check_in(&said_by(pod, index, Stage::Ready, vec![]), start + 140_500).unwrap();
        assert_eq!(orders.start_at_ms, Some(start), "{pod}");
        after.check_in(&said_by(pod, index, Stage::Running, vec![]), start + 141_000).unwrap();
    }
    let gaps = after.result(start + 141_000).gaps;
    let told: Vec<_> = gaps.iter().map(|g| (g.index, g.pod_uid.as_str(), g.from, g.until, g.bots)).collect();
    assert_eq!(told, [(0, "a", 0, 141, 5), (1, "b", 0, 141, 5)]);
}

#[test]
fn a_runner_that_leaves_early_is_not_finished() {
    let mut army = army(1);
    army.check_in(&said_by("a", 0, Stage::Ready, vec![]), 1).unwrap();
    army.check_in(&said_by("a", 0, Stage::Running, vec![passes(1, 0, 1)]), 2_000).unwrap();
    let left = CheckIn { left: true, alive: 0, ..said_by("a", 0, Stage::Finished, vec![passes(2, 1, 1)]) };
    army.check_in(&left, 3_000).unwrap();
    army.written(&army.checkpoint());
    assert_eq!((army.finished(), army.is_over(), army.lost(3_000)), (0, false, 1));
    assert_eq!(army.check_in(&left, 3_100).unwrap().durable, 2, "its measures are safe");
    army.check_in(&said_by("b", 0, Stage::Finished, vec![]), 14_000).unwrap();
    army.written(&army.checkpoint());
    assert!(army.is_over());
    let gaps = army.result(14_000).gaps;
    assert_eq!(
        (gaps.len(), gaps[0].from, gaps[0].bots, gaps[0].reason.as_str()),
        (1, 2, 5, "its pod was told to end")
    );
}

#[test]
fn a_run_that_is_given_up_names_what_it_does_not_know() {
    let mut army = army(2);
    for (index, pod) in [(0, "a"), (1, "b")] {
        army.check_in(&said_by(pod, index, Stage::Ready, vec![]), 1).unwrap();
        army.check_in(&said_by(pod, index, Stage::Running, vec![passes(1, 0, 1)]), 1_500).unwrap();
    }
    army.check_in(&said_by("b", 1, Stage::Running, vec![]), 30_000).unwrap();
    assert!(army.result(30_000).gaps.is_empty());
    army.given_up = true;
    let gaps = army.result(30_000).gaps;
    assert_eq!(gaps.iter().map(|gap| (gap.index, gap.from, gap.until)).collect::<Vec<_>>(), [(0, 1, 30)]);
}

#[test]
fn a_runner_that_is_gone_before_the_start_is_waited_for() {
    let mut army = army(2);
    army.check_in(&said_by("a", 0, Stage::Ready, vec![]), 1_000).unwrap();
    // Its successor is not ready yet.
    army.check_in(&said_by("c", 0, Stage::Preparing, vec![]), 2_000).unwrap();
    assert_eq!(army.check_in(&said_by("b", 1, Stage::Ready, vec![]), 2_100).unwrap().start_at_ms, None);
    army.check_in(&said_by("c", 0, Stage::Ready, vec![]), 2_200).unwrap();
    assert!(army.state.start_at_ms.is_some());
    assert!(army.result(2_200).gaps.is_empty());
}

#[test]
fn who_watches_sees_silent_runners_and_old_checkpoints() {
    let mut army = army(3);
    assert_eq!((army.figures(5).silence_ms, army.figures(5).unkept_ms), (None, None));
    for (pod, index) in [("a", 0), ("b", 1), ("c", 2)] {
        army.check_in(&said_by(pod, index, Stage::Ready, vec![]), 1_000).unwrap();
        army.check_in(&said_by(pod, index, Stage::Running, vec![passes(1, 0, 1)]), 2_000).unwrap();
    }
    army.check_in(&said_by("b", 1, Stage::Running, vec![]), 9_000).unwrap();
    army.check_in(&said_by("c", 2, Stage::Finished, vec![]), 9_000).unwrap();
    army.kept_ms = Some(7_500);
    let figures = army.figures(9_500);
    assert_eq!(
        (figures.silence_ms, figures.unkept_ms),
        (Some(7_500), Some(2_000)),
        "of the first, who is at work"
    );
    let runners = Runners { desired: 3, ready: 3, finished: 0, lost: 0, replaced: 0 };
    assert_eq!((figures.runners, figures.alive, figures.target), (runners, 15, Some(10)));
    assert_eq!(figures.totals.iterations, 3);
    assert!(figures.totals.rows.is_empty(), "whole passes are no measured action");
    // Another one takes the place of the first, whose silence is a gap then and no lag.
    for stage in [Stage::Preparing, Stage::Running] {
        army.check_in(&said_by("d", 0, stage, vec![]), 20_000).unwrap();
    }
    army.check_in(&said_by("b", 1, Stage::Running, vec![]), 20_400).unwrap();
    let figures = army.figures(20_500);
    assert_eq!((figures.silence_ms, figures.gaps, figures.runners.replaced), (Some(500), 1, 1));
}
