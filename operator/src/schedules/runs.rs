//! The runs of a schedule, as its decisions see them. Pure.

use botarmy_crds::{BotRun, BotRunSchedule, Phase};
use botarmy_report::RunOutcome;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};

/// A run that a schedule has created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScheduledRun {
    pub(super) name: String,
    pub(super) uid: String,
    /// When it was due, which its name says.
    pub(super) at: Option<Timestamp>,
    /// None as long as it is active.
    pub(super) end: Option<End>,
    /// It has ended, and its result is not yet where it shall be taken.
    pub(super) is_exporting: bool,
    /// It is being deleted.
    pub(super) is_leaving: bool,
}

/// How a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// When; a run that was refused has ended when it was created.
    pub(super) at: Timestamp,
    /// Its outcome is Passed.
    pub(super) passed: bool,
}

/// The name of the run that is due then. Another one for the same time cannot be created.
pub(super) fn name_of(schedule: &str, at: Timestamp) -> String {
    format!("{schedule}-{}", at.as_second().div_euclid(60))
}

/// When the run of this name was due.
fn due_of(schedule: &str, name: &str) -> Option<Timestamp> {
    let minutes: i64 = name.strip_prefix(schedule)?.strip_prefix('-')?.parse().ok()?;
    Timestamp::from_second(minutes.checked_mul(60)?).ok()
}

impl ScheduledRun {
    /// Looks at a run; none if it is not one of the schedule's, whatever its labels say.
    pub(super) fn of(schedule: &BotRunSchedule, guarded: &DeserializeGuard<BotRun>) -> Option<Self> {
        let uid = schedule.uid()?;
        let controls = |owner: &&OwnerReference| owner.uid == uid && owner.controller == Some(true);
        guarded.owner_references().iter().find(controls)?;
        let created = guarded.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let end = match &guarded.0 {
            Ok(run) => {
                run.status.as_ref().filter(|status| status.phase == Phase::Finished).map(|status| End {
                    at: status.completion_time.as_ref().map_or(created, |time| time.0),
                    passed: status.outcome == Some(RunOutcome::Passed),
                })
            }
            // The operator cannot work on it, so that nothing may wait for it.
            Err(_) => Some(End { at: created, passed: false }),
        };
        let name = guarded.name_any();
        Some(Self {
            is_exporting: end.is_some() && guarded.0.as_ref().is_ok_and(is_exporting),
            uid: guarded.uid()?,
            at: due_of(&schedule.name_any(), &name),
            name,
            end,
            is_leaving: guarded.meta().deletion_timestamp.is_some(),
        })
    }
}

/// Whether an export of a run that is over is under way, or is to begin. It ends in any case, if not well.
fn is_exporting(run: &BotRun) -> bool {
    let has_ended = run.status.as_ref().is_some_and(|status| {
        // Where the result went before a change of the spec says nothing of where it shall go now.
        let is_current = status.observed_generation >= run.metadata.generation;
        is_current && status.export.as_ref().is_some_and(|export| export.completion_time.is_some())
    });
    !run.spec.run.operation.export.is_empty() && !has_ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_time_has_its_name_and_a_name_its_time() {
        let at: Timestamp = "2030-01-01T02:30:00Z".parse().unwrap();
        let name = name_of("nightly-shop", at);
        assert_eq!(name, "nightly-shop-31557750");
        assert_eq!(due_of("nightly-shop", &name), Some(at));
        for other in
            ["nightly-31557750", "nightly-shop", "nightly-shop-", "nightly-shop-x", "nightly-shop-1-2"]
        {
            assert_eq!(due_of("nightly-shop", other), None, "{other}");
        }
        assert_eq!(due_of("s", "s-9223372036854775807"), None, "beyond all time");
        assert!(
            name_of(&"n".repeat(botarmy_crds::MAX_SCHEDULE_NAME), at).len()
                <= botarmy_spec::file::MAX_RUN_NAME
        );
    }

    #[test]
    fn a_run_is_seen_as_it_stands() {
        let schedule: BotRunSchedule = serde_json::from_value(json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule",
            "metadata": {"name": "s", "uid": "mine"},
            "spec": {"schedule": "@hourly", "template": {"spec": {"trees": {}}}},
        }))
        .unwrap();
        let run = |owner: &str, controller: bool, spec: Value, status: Value| {
            let owner = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule", "name": "s", "uid": owner, "controller": controller});
            let run: DeserializeGuard<BotRun> = serde_json::from_value(json!({
                "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "spec": spec, "status": status,
                "metadata": {"name": "s-31557750", "uid": "u", "generation": 2, "creationTimestamp": "2030-01-01T02:30:01Z", "ownerReferences": [owner]},
            }))
            .unwrap();
            ScheduledRun::of(&schedule, &run).map(|run| (run.at.is_some(), run.end, run.is_exporting))
        };
        let export = json!({"trees": {"T": "done"}, "export": [{"http": {"url": "http://store/"}}]});
        let mut exported =
            json!({"phase": "Finished", "outcome": "Passed", "completionTime": "2030-01-01T02:30:40Z"});
        let exporting = exported.clone();
        exported["export"] = json!({"job": "j", "completionTime": "2030-01-01T02:31:00Z"});
        exported["observedGeneration"] = 2.into();
        let (mut again, mut changed) = (exported.clone(), exported.clone());
        again["export"] = json!({"job": "k"});
        changed["observedGeneration"] = 1.into();
        let at = |second: &str| format!("2030-01-01T02:30:{second}Z").parse::<Timestamp>().unwrap();
        let spec = json!({"trees": {"T": "done"}});
        let running = json!({"phase": "Running"});
        let ended = |outcome: &str| json!({"phase": "Finished", "outcome": outcome, "completionTime": at("40").to_string()});
        let refused = json!({"phase": "Finished", "outcome": "Errored"});
        let end = |second: &str, passed| Some(End { at: at(second), passed });
        for (what, owner, controller, spec, status, wanted) in [
            ("somebody else's", "other", true, &spec, &running, None),
            ("not controlled", "mine", false, &spec, &running, None),
            ("at work", "mine", true, &spec, &running, Some((true, None, false))),
            ("passed", "mine", true, &spec, &ended("Passed"), Some((true, end("40", true), false))),
            ("exporting", "mine", true, &export, &exporting, Some((true, end("40", true), true))),
            ("exported", "mine", true, &export, &exported, Some((true, end("40", true), false))),
            ("exporting again", "mine", true, &export, &again, Some((true, end("40", true), true))),
            ("to be exported again", "mine", true, &export, &changed, Some((true, end("40", true), true))),
            ("to be exported", "mine", true, &export, &running, Some((true, None, false))),
            ("failed", "mine", true, &spec, &ended("Failed"), Some((true, end("40", false), false))),
            ("refused", "mine", true, &spec, &refused, Some((true, end("01", false), false))),
            (
                "not to be read",
                "mine",
                true,
                &json!({"trees": 5}),
                &running,
                Some((true, end("01", false), false)),
            ),
        ] {
            assert_eq!(run(owner, controller, spec.clone(), status.clone()), wanted, "{what}");
        }
    }
}
