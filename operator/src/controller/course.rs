//! Whether a run comes to a bad end, given what was seen of it. Pure.

use super::cause::{Cause, Reason};
use crate::armies::{Army, Fault};
use botarmy_spec::LossPolicy;
use std::collections::BTreeSet;

/// What may be the matter with a runner that is silent.
const MAY_BE_DEAD: &str = "it may be cut off from the coordinator, or its node may be dead";

/// Whether a run takes longer than it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Overdue {
    #[default]
    No,
    Yes,
    /// It had the time to hand over its measures as well.
    ByFar,
}

/// What was seen of the pods besides what the runners say themselves.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the Job was given up, if it was.
    pub(super) given_up: Option<Cause>,
    /// Why runners do not start.
    pub(super) kept: Option<Cause>,
    /// They had the time to.
    pub(super) late: bool,
    /// Whether the run had the time to come to its end.
    pub(super) overdue: Overdue,
    /// There is a Job.
    pub(super) scheduled: bool,
    /// None of its pods will come back.
    pub(super) ended: bool,
    /// A runner whose place nobody has taken yet after it was lost, and whether there was the time to.
    pub(super) unmanned: Option<(u32, bool)>,
    /// Runners that are gone for good, where the others go on.
    pub(super) gone: BTreeSet<u32>,
    /// Runners for which the Job makes no pods any more.
    pub(super) failed: BTreeSet<u32>,
}

/// Whether a run comes to a bad end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It is over, for this reason.
    Fails(Cause),
    /// Its runners are handing over what they have.
    Ends(Cause),
    /// Nothing is wrong with it, or it may pass.
    GoesOn,
}

/// What becomes of the run; `coordinator` is the address that its runners call.
pub(super) fn course(army: &Army, seen: &mut Seen, coordinator: &str, now: u64) -> Course {
    let start = army.start_at_ms();
    let has_handed_over = army.is_settled(now) || start.is_none();
    match start {
        _ if seen.overdue != Overdue::No => {
            let is_done = army.is_over() || has_handed_over || seen.overdue == Overdue::ByFar;
            if is_done { Course::Fails(overdue(army)) } else { Course::Ends(overdue(army)) }
        }
        _ if army.lacks_everybody() => {
            let message = "all runners were lost; result.gaps tells what is not known of them";
            Course::Fails(Cause::new(Reason::RunnerLost, message))
        }
        _ if army.is_over() => Course::GoesOn,
        // Nor do those that live come to an end, whatever else has happened to the run.
        Some(_)
            if (seen.given_up.is_none() || !has_handed_over)
                && let Some(why) = army.cannot_end_because(now) =>
        {
            Course::Fails(unwritten(why, seen.given_up.as_ref()))
        }
        // Those that live hand over what they have; it belongs to the result.
        _ if let Some(cause) = seen.given_up.take() => {
            if has_handed_over {
                Course::Fails(cause)
            } else {
                Course::Ends(cause)
            }
        }
        Some(_) if seen.ended && army.is_settled(now) => {
            let message = "all pods have ended, and not all of what they had to do is done; result.gaps tells what is not known";
            Course::Fails(fault(army).unwrap_or_else(|| Cause::new(Reason::RunnerLost, message)))
        }
        None if let Some((Fault::Refused, refusal)) = army.fault() => {
            Course::Fails(Cause::new(Reason::RunnerRefused, &refusal))
        }
        None if !seen.gone.is_empty() && army.loss_policy() != LossPolicy::Redistribute => {
            let message = "a runner was lost before the bots began, and the run's lossPolicy takes no other in its place";
            Course::Fails(seen.kept.take().unwrap_or_else(|| Cause::new(Reason::RunnerLost, message)))
        }
        None if seen.late && !army.has_to_wait(now) => Course::Fails(too_late(army, seen, coordinator, now)),
        _ => Course::GoesOn,
    }
}

/// What was measured cannot be written down; the run may have been given up before.
fn unwritten(why: &str, given_up: Option<&Cause>) -> Cause {
    let cause = Cause::new(Reason::CheckpointFailed, why);
    given_up
        .map_or(cause.clone(), |given_up| cause.and(&format!("{}: {}", given_up.reason, given_up.message)))
}

/// Why the bots have not begun in time.
fn too_late(army: &Army, seen: &mut Seen, coordinator: &str, now: u64) -> Cause {
    let unwritten = || army.unsafe_because(now).map(|why| Cause::new(Reason::CheckpointFailed, why));
    let cause = seen.kept.take().or_else(unwritten).or_else(|| fault(army));
    cause.unwrap_or_else(|| silent(army, coordinator, now))
}

/// Why a run is Errored whose runners have handed over all.
pub(super) fn fault(army: &Army) -> Option<Cause> {
    let (fault, message) = army.fault()?;
    let reason = match fault {
        Fault::Refused => Reason::RunnerRefused,
        Fault::Setup => Reason::SetupFailed,
        Fault::Teardown => Reason::TeardownFailed,
    };
    Some(Cause::new(reason, &message))
}

/// Why the part of a runner is in nobody's hands, as far as it is known; it is lost only if it is not merely silent.
pub(super) fn absent(army: &Army, index: u32, now: u64) -> Cause {
    if army.is_only_silent(index, now) {
        let message = format!("nothing is heard of runner {index}: {MAY_BE_DEAD}");
        return Cause::new(Reason::RunnerSilent, &message);
    }
    let message = match army.why_lost(index) {
        Some(why) => format!("runner {index} was lost, and no other has taken its place; {why}"),
        None => format!("runner {index} was lost, and no other has taken its place"),
    };
    Cause::new(Reason::RunnerLost, &message)
}

fn overdue(army: &Army) -> Cause {
    let limit = army.run.deadline.unwrap_or_default();
    let message = format!("the run was not over within its deadline of {limit:?}");
    Cause::new(Reason::DeadlineExceeded, &message)
}

/// The pods do well, as far as the cluster can tell.
fn silent(army: &Army, coordinator: &str, now: u64) -> Cause {
    let lacking = || (0..army.run.runners).filter(|index| !army.is_manned(*index, now));
    if let Some(index) = lacking().find(|index| army.is_only_silent(*index, now)) {
        return absent(army, index, now);
    }
    let message = format!(
        "{} of {} runners have checked in; look into the logs of the others' pods, and whether a policy keeps them from {coordinator}",
        army.ready(now),
        army.run.runners,
    );
    let cause = Cause::new(Reason::NoCheckIn, &message);
    let lost = lacking().find_map(|index| Some(format!("runner {index}: {}", army.why_lost(index)?)));
    lost.map_or(cause.clone(), |lost| cause.and(&lost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::armies::Unkept;
    use crate::armies::tests::{army_with, said, write};
    use botarmy_protocol::{CheckIn, Performed, Stage};
    use botarmy_spec::Part;
    use serde_json::json;

    const LATE: u64 = 700_000;

    /// How far two runners are that have to set up first.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Far {
        Absent,
        Suspended,
        /// Who sets up cannot be written down.
        Untold,
        SettingUp,
        SetupFailed,
        SetUp,
        Unwritable,
        Begun,
    }

    fn army(far: Far) -> Army {
        let mut army = army_with(&json!({"setup": {"tree": "T", "timeout": "1h"}}));
        if matches!(far, Far::Absent | Far::Suspended) {
            army.suspend(far == Far::Suspended, false, LATE);
            return army;
        }
        for index in [0, 1, 0] {
            army.check_in(&said(index, Stage::Ready, &[]), LATE).unwrap();
        }
        if far == Far::Untold {
            army.cannot_be_kept("forbidden", Unkept::Refused, LATE - 10_000);
            return army;
        }
        write(&mut army);
        if far == Far::SettingUp {
            return army;
        }
        // Where it fails the other one is not heard any more, so that not even a start for nothing can be set.
        let (failure, at) =
            if far == Far::SetupFailed { (Some("no".to_owned()), LATE + 20_000) } else { (None, LATE) };
        let performed = Performed { part: Part::Setup, failure, context: serde_json::Map::new() };
        let done = CheckIn { performed: Some(performed), ..said(0, Stage::Ready, &[]) };
        army.check_in(&done, at).unwrap();
        match far {
            Far::Unwritable => army.cannot_be_kept("forbidden", Unkept::Refused, LATE - 10_000),
            Far::Begun => drop(write(&mut army)),
            _ => {}
        }
        army
    }

    #[test]
    fn a_run_is_given_up_for_want_of_a_start_only_where_its_runners_could_have_begun() {
        for (far, expected) in [
            (Far::Absent, Some(Reason::NoCheckIn)),
            (Far::Suspended, None),
            (Far::Untold, Some(Reason::CheckpointFailed)),
            (Far::SettingUp, None),
            (Far::SetupFailed, Some(Reason::SetupFailed)),
            (Far::SetUp, None),
            (Far::Unwritable, Some(Reason::CheckpointFailed)),
            (Far::Begun, None),
        ] {
            let army = army(far);
            for (late, kept) in [(false, false), (true, false), (true, true)] {
                let cause = || Cause::new(Reason::ImagePull, "there is none");
                let mut seen = Seen { late, kept: kept.then(cause), scheduled: true, ..Seen::default() };
                let found = match course(&army, &mut seen, "https://coordinator", LATE + 20_000) {
                    Course::Fails(cause) => Some(cause.reason),
                    Course::Ends(cause) => panic!("{far:?} ends: {cause:?}"),
                    Course::GoesOn => None,
                };
                let expected = expected.filter(|_| late);
                let expected = expected.map(|reason| if kept { Reason::ImagePull } else { reason });
                assert_eq!(found, expected, "{far:?}, late: {late}, kept: {kept}");
            }
        }
    }

    #[test]
    fn a_run_that_is_given_up_does_not_wait_for_ever_for_what_cannot_be_written() {
        let lost = Cause::new(Reason::RunnerLost, "runner 1 was lost");
        for (what, stage, is_written, expected) in [
            ("they are ending", Stage::Running, false, None),
            ("they wait in vain", Stage::Finished, false, Some(Reason::CheckpointFailed)),
            ("all is safe", Stage::Finished, true, Some(Reason::RunnerLost)),
        ] {
            let mut army = army(Far::Begun);
            let begun = LATE + 10_000;
            for index in [0, 1] {
                army.check_in(&said(index, Stage::Running, &[1]), begun).unwrap();
            }
            army.give_up_for_want_of(1);
            army.check_in(&said(0, stage, &[1]), begun + 1_000).unwrap();
            if is_written {
                write(&mut army);
            }
            army.cannot_be_kept("forbidden", Unkept::Refused, begun + 1_000);
            let now = begun + 121_000;
            // The first one is heard all the while, the other one is not.
            for at in (begun + 1_000..=now).step_by(5_000) {
                army.look(at);
                army.check_in(&said(0, stage, &[1]), at).unwrap();
            }
            let mut seen = Seen { given_up: Some(lost.clone()), ..Seen::default() };
            let (found, message) = match course(&army, &mut seen, "https://coordinator", now) {
                Course::Fails(cause) => (Some(cause.reason), cause.message),
                Course::Ends(_) => (None, String::new()),
                Course::GoesOn => panic!("{what}: it goes on"),
            };
            assert_eq!(found, expected, "{what}");
            let told = message.contains("RunnerLost: runner 1 was lost");
            assert_eq!(told, expected == Some(Reason::CheckpointFailed), "{message}");
        }
    }

    #[test]
    fn a_runner_that_falls_silent_before_the_start_is_told_and_so_is_why_it_was_lost() {
        for stage in [Stage::Preparing, Stage::Ready] {
            let mut army = army_with(&json!({}));
            let hear = |army: &mut Army, index, stage, at| {
                army.check_in(&said(index, stage, &[]), at).unwrap();
            };
            hear(&mut army, 1, stage, 1_000);
            hear(&mut army, 0, Stage::Preparing, 100_000);
            let late = |army: &Army, now| {
                let mut seen = Seen { late: true, scheduled: true, ..Seen::default() };
                match course(army, &mut seen, "https://coordinator", now) {
                    Course::Fails(cause) => cause,
                    course => panic!("{course:?}"),
                }
            };
            let silent = late(&army, 100_000);
            assert_eq!(silent.reason, Reason::RunnerSilent, "{stage:?}");
            assert!(silent.message.contains("runner 1") && silent.message.contains("node"), "{silent:?}");
            hear(&mut army, 0, Stage::Preparing, 200_000);
            army.explain("pod-1", "CoordinatorUnreachable: its node may be dead", true, 200_000);
            let lost = late(&army, 200_000);
            assert_eq!(lost.reason, Reason::NoCheckIn, "{stage:?}: about who shall take its place");
            assert!(
                lost.message.ends_with("runner 1: CoordinatorUnreachable: its node may be dead"),
                "{lost:?}"
            );
        }
    }

    /// What becomes of two runners that were heard then: whether they may yet hand over what they have, and why.
    fn ends(army: &Army, mut seen: Seen, now: u64) -> Option<(bool, Reason)> {
        match course(army, &mut seen, "https://coordinator", now) {
            Course::Fails(cause) => Some((false, cause.reason)),
            Course::Ends(cause) => Some((true, cause.reason)),
            Course::GoesOn => None,
        }
    }

    /// Two runners whose bots are at work; with the moment at which they were heard last.
    fn at_work(fields: &serde_json::Value) -> (Army, u64) {
        let mut army = army_with(fields);
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Ready, &[]), LATE).unwrap();
        }
        write(&mut army);
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Running, &[]), LATE + 5_000).unwrap();
        }
        (army, LATE + 5_000)
    }

    #[test]
    fn a_run_that_ends_before_its_time_waits_for_what_its_runners_have_and_not_for_ever() {
        let (army, heard) = at_work(&json!({}));
        let overdue = |overdue| Seen { overdue, ..Seen::default() };
        let ended = || Seen { ended: true, ..Seen::default() };
        for (what, seen, after, expected) in [
            ("overdue, and heard", overdue(Overdue::Yes), 1_000, Some((true, Reason::DeadlineExceeded))),
            ("overdue by far", overdue(Overdue::ByFar), 1_000, Some((false, Reason::DeadlineExceeded))),
            ("overdue, and silent", overdue(Overdue::Yes), 20_000, Some((false, Reason::DeadlineExceeded))),
            ("its pods have ended, and were heard", ended(), 1_000, None),
            ("its pods have ended, and are silent", ended(), 20_000, Some((false, Reason::RunnerLost))),
        ] {
            assert_eq!(ends(&army, seen, heard + after), expected, "{what}");
        }
    }

    #[test]
    fn a_run_without_any_runner_has_lost_them_though_nobody_is_waited_for() {
        let (mut army, heard) = at_work(&json!({"lossPolicy": "Ignore"}));
        army.go_on_without(&[0, 1].into(), heard);
        assert!(army.is_over());
        assert_eq!(ends(&army, Seen::default(), heard), Some((false, Reason::RunnerLost)));
    }

    #[test]
    fn a_runner_that_is_lost_before_the_start_ends_the_run_unless_others_take_its_part() {
        let cause = || Cause::new(Reason::ImagePull, "there is none");
        for (policy, kept, expected) in [
            ("Ignore", false, Some(Reason::RunnerLost)),
            ("Ignore", true, Some(Reason::ImagePull)),
            ("Redistribute", true, None),
        ] {
            let army = army_with(&json!({"lossPolicy": policy}));
            let seen = Seen { gone: [0].into(), kept: kept.then(cause), ..Seen::default() };
            assert_eq!(ends(&army, seen, LATE).map(|(_, reason)| reason), expected, "{policy}, kept: {kept}");
        }
    }

    #[test]
    fn the_reason_is_what_came_first() {
        // Its setup has failed, and the pods have gone.
        let mut failed = army(Far::SetupFailed);
        assert!(failed.start_at_ms().is_none());
        failed.check_in(&said(1, Stage::Ready, &[]), LATE + 20_000).unwrap();
        failed.check_in(&said(0, Stage::Ready, &[]), LATE + 20_000).unwrap();
        write(&mut failed);
        let seen = Seen { ended: true, ..Seen::default() };
        assert_eq!(ends(&failed, seen, LATE + 60_000), Some((false, Reason::SetupFailed)));
        // What keeps it from the start is that nothing can be written.
        let mut failed = army(Far::SetupFailed);
        failed.cannot_be_kept("forbidden", Unkept::Refused, LATE);
        let seen = Seen { late: true, ..Seen::default() };
        assert_eq!(ends(&failed, seen, LATE + 20_000), Some((false, Reason::CheckpointFailed)));
    }
}
