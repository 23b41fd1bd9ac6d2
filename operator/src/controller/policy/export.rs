//! What is to be done next about the export of a run that is over.

use crate::controller::cause;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use std::time::Duration;

/// How long the Job may take from its start; its pod gives up by itself before.
pub(in crate::controller) const JOB_DEADLINE: Duration = Duration::from_secs(18 * 60);
/// How long an export may take in all, the time in which its Job cannot be made or waits included. Nothing waits longer
/// for it.
pub(in crate::controller) const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What is known of an export.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::controller) struct Known<'k> {
    /// The run has destinations.
    pub(in crate::controller) asked: bool,
    /// The run was refused, so that it has no result.
    pub(in crate::controller) refused: bool,
    /// When an export to the same destinations ended, if it did.
    pub(in crate::controller) ended: Option<Timestamp>,
    /// Its Job, if it was made.
    pub(in crate::controller) job: Option<&'k Job>,
    /// Somebody else's Job has its name.
    pub(in crate::controller) foreign: bool,
    /// Since when it is under way; none if that was not told yet.
    pub(in crate::controller) since: Option<Timestamp>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Step {
    /// Nothing, since nothing is asked for.
    None,
    /// Nothing any more, since it ended then.
    Ended(Timestamp),
    /// There is nothing that could be taken anywhere.
    Refuse,
    /// The name of its Job is taken.
    Foreign,
    /// Its Job is to be made.
    Begin,
    /// Its Job is at work, or waits, or is that of an earlier export that is being deleted.
    Wait,
    /// Its Job has done it.
    Succeed,
    /// Its Job was given up.
    Fail,
    /// It was not over in time.
    GiveUp,
}

/// Decides on the next step.
pub(in crate::controller) fn next(known: Known<'_>, now: Timestamp) -> Step {
    let limit = SignedDuration::try_from(LIMIT).unwrap_or(SignedDuration::MAX);
    let late = known.since.is_some_and(|since| now.duration_since(since) > limit);
    match known {
        Known { asked: false, .. } => Step::None,
        Known { ended: Some(at), .. } => Step::Ended(at),
        Known { refused: true, .. } => Step::Refuse,
        Known { foreign: true, .. } => Step::Foreign,
        Known { job: Some(job), .. } if !is_leaving(job) && cause::is_complete(job) => Step::Succeed,
        Known { job: Some(job), .. } if !is_leaving(job) && cause::has_ended(job) => Step::Fail,
        _ if late => Step::GiveUp,
        Known { job: None, .. } => Step::Begin,
        Known { job: Some(_), .. } => Step::Wait,
    }
}

/// It was that of an earlier export: what it has come to is of no interest.
fn is_leaving(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    #[test]
    fn an_export_goes_on_until_its_job_is_over_or_its_time_is() {
        let at = |minute: &str| -> Timestamp { format!("2030-01-01T00:{minute}:00Z").parse().unwrap() };
        let job = |condition: Value| -> Job {
            let status = if condition.is_null() { json!({}) } else { json!({"conditions": [condition]}) };
            serde_json::from_value(json!({"spec": {"template": {}}, "status": status})).unwrap()
        };
        let ended = |kind: &str, status: &str| json!({"type": kind, "status": status});
        let (at_work, done) = (job(Value::Null), job(ended("Complete", "True")));
        let (failed, failing) = (job(ended("Failed", "True")), job(ended("FailureTarget", "True")));
        let mut leaving = failed.clone();
        leaving.metadata.deletion_timestamp = Some(Time(at("09")));
        let new = Known { asked: true, ..Known::default() };
        let begun = Known { since: Some(at("10")), ..new };
        for (what, known, now, step) in [
            ("not asked for", Known::default(), "10", Step::None),
            (
                "not asked for any more",
                Known { job: Some(&at_work), asked: false, ..begun },
                "10",
                Step::None,
            ),
            ("new", new, "10", Step::Begin),
            ("it cannot be made yet", begun, "30", Step::Begin),
            ("it could not be made in time", begun, "31", Step::GiveUp),
            ("refused", Known { refused: true, ..new }, "10", Step::Refuse),
            ("a name that is taken", Known { foreign: true, ..new }, "10", Step::Foreign),
            ("at work", Known { job: Some(&at_work), ..begun }, "30", Step::Wait),
            ("at work for too long", Known { job: Some(&at_work), ..begun }, "31", Step::GiveUp),
            ("at work, and it was never told", Known { job: Some(&at_work), ..new }, "59", Step::Wait),
            ("about to fail", Known { job: Some(&failing), ..begun }, "11", Step::Wait),
            ("that of an earlier one", Known { job: Some(&leaving), ..begun }, "11", Step::Wait),
            (
                "that of an earlier one, for too long",
                Known { job: Some(&leaving), ..begun },
                "59",
                Step::GiveUp,
            ),
            ("done", Known { job: Some(&done), ..begun }, "11", Step::Succeed),
            ("done, seen late", Known { job: Some(&done), ..begun }, "59", Step::Succeed),
            ("failed", Known { job: Some(&failed), ..begun }, "11", Step::Fail),
            ("ended", Known { ended: Some(at("20")), ..begun }, "59", Step::Ended(at("20"))),
            (
                "ended, its Job is there",
                Known { ended: Some(at("20")), job: Some(&failed), ..begun },
                "59",
                Step::Ended(at("20")),
            ),
        ] {
            assert_eq!(next(known, at(now)), step, "{what}");
        }
    }
}
