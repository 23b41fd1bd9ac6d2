//! How long a run may wait for its runners, and how long it may take in all.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use std::time::Duration;

/// Whether a run has waited for its turn for longer than `limit`, from its creation on: whoever sets it wants the run by
/// then, whatever became of the operators meanwhile.
pub(in crate::controller) fn turn_is_late(
    created: Option<Timestamp>,
    now: Timestamp,
    limit: Option<Duration>,
) -> bool {
    let limit = limit.map(|limit| SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX));
    limit.zip(created).is_some_and(|(limit, created)| now.duration_since(created) > limit)
}

/// Whether a run has waited for its runners for longer than `limit`.
///
/// It waits from the start of its Job, which is a later one after each suspension; while there is no Job, from when it
/// was let in, and not at all before; nor while the Job is suspended, because then somebody else (a queue) decides when
/// it begins. What was before `from` does not count: nobody could hear its runners, or they had to wait for something.
pub(in crate::controller) fn start_is_late(
    job: Option<&Job>,
    let_in: Option<Timestamp>,
    from: Timestamp,
    now: Timestamp,
    limit: Duration,
) -> bool {
    let made = job.and_then(|j| j.metadata.creation_timestamp.as_ref()).map(|t| t.0);
    let since = started(job).or(made).or(let_in);
    is_older(job, since.map(|since| since.max(from)), now, limit)
}

/// How long a run is at work already.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct Load {
    /// When its bots began, in milliseconds since 1970.
    pub(in crate::controller) start: u64,
    /// For how long they were at work, in milliseconds, the time in which they stood still left out.
    pub(in crate::controller) time_ms: u64,
}

/// Whether a run takes longer than `limit`: the time from the start of its Job to that of its bots, and then as long as
/// they are at work. Without a Job, while it stands still, and after its end it takes no time.
pub(in crate::controller) fn is_exceeded(
    job: Option<&Job>,
    now: Timestamp,
    load: Option<Load>,
    limit: Option<Duration>,
) -> bool {
    let Some(limit) = limit else { return false };
    let Some(load) = load else { return is_older(job, started(job), now, limit) };
    // A Job that was suspended has begun anew since: nothing is known of the time before.
    let job_ms = started(job).and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let waited = job_ms.map_or(0, |job| load.start.saturating_sub(job));
    Duration::from_millis(waited.saturating_add(load.time_ms)) > limit
}

fn started(job: Option<&Job>) -> Option<Timestamp> {
    job.and_then(|j| j.status.as_ref()?.start_time.as_ref()).map(|t| t.0)
}

fn is_older(job: Option<&Job>, since: Option<Timestamp>, now: Timestamp, limit: Duration) -> bool {
    let suspended = job.and_then(|j| j.spec.as_ref()?.suspend).unwrap_or_default();
    let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
    !suspended && since.is_some_and(|since| now.duration_since(since) > limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_waits_from_the_start_of_its_job() {
        let at = |second: &str| -> Timestamp { format!("2030-01-01T00:00:{second}Z").parse().unwrap() };
        let none = json!(null);
        let made = json!({"metadata": {"creationTimestamp": at("10")}, "spec": {"template": {}}});
        let started = json!({"metadata": {"creationTimestamp": at("10")}, "spec": {"template": {}}, "status": {"startTime": at("30")}});
        let suspended =
            json!({"metadata": {"creationTimestamp": at("10")}, "spec": {"template": {}, "suspend": true}});
        for (what, job, let_in, from, now, over) in [
            ("it was not let in", &none, None, "00", "59", false),
            ("no Job, in time", &none, Some("10"), "00", "30", false),
            ("no Job, late", &none, Some("10"), "00", "31", true),
            ("a Job, in time", &made, None, "00", "30", false),
            ("a Job, late", &made, None, "00", "31", true),
            ("a Job that was made long after it was let in", &made, Some("00"), "00", "30", false),
            ("resumed, in time", &started, None, "00", "50", false),
            ("resumed, late", &started, None, "00", "51", true),
            ("suspended", &suspended, None, "00", "59", false),
            ("no Job, and nobody was there to make it", &none, Some("10"), "25", "45", false),
            ("no Job, though somebody was there by then", &none, Some("10"), "25", "46", true),
            ("a Job, and nobody could hear its runners", &started, None, "35", "55", false),
            ("a Job whose runners could be heard by then", &started, None, "35", "56", true),
            ("the clock was put back", &made, None, "00", "00", false),
        ] {
            let job: Option<Job> = serde_json::from_value(job.clone()).unwrap();
            let limit = Duration::from_secs(20);
            let found = start_is_late(job.as_ref(), let_in.map(at), at(from), at(now), limit);
            assert_eq!(found, over, "{what}");
        }
    }

    #[test]
    fn a_run_waits_for_its_turn_from_its_creation() {
        let at = |second: &str| -> Timestamp { format!("2030-01-01T00:00:{second}Z").parse().unwrap() };
        let limit = Some(Duration::from_secs(20));
        for (what, created, now, limit, late) in [
            ("in time", Some("10"), "30", limit, false),
            ("late", Some("10"), "31", limit, true),
            ("without a limit", Some("10"), "59", None, false),
            ("without an end", Some("10"), "59", Some(Duration::MAX), false),
            ("nobody has created it yet", None, "59", limit, false),
            ("the clock was put back", Some("10"), "00", limit, false),
        ] {
            assert_eq!(turn_is_late(created.map(at), at(now), limit), late, "{what}");
        }
    }

    #[test]
    fn a_run_takes_time_from_the_start_of_its_job() {
        let at = |second: &str| -> Timestamp { format!("2030-01-01T00:00:{second}Z").parse().unwrap() };
        let made = json!({"metadata": {"creationTimestamp": at("10")}, "spec": {"template": {}}});
        let mut started = made.clone();
        started["status"] = json!({"startTime": at("30")});
        let mut suspended = started.clone();
        suspended["spec"]["suspend"] = true.into();
        let limit = Some(Duration::from_secs(10));
        for (what, job, now, limit, exceeded) in [
            ("no Job", &json!(null), "59", limit, false),
            ("not started", &made, "59", limit, false),
            ("in time", &started, "40", limit, false),
            ("late", &started, "41", limit, true),
            ("late, without a limit", &started, "59", None, false),
            ("suspended", &suspended, "59", limit, false),
        ] {
            let job: Option<Job> = serde_json::from_value(job.clone()).unwrap();
            assert_eq!(is_exceeded(job.as_ref(), at(now), None, limit), exceeded, "{what}");
        }
        let begun = |second: &str, time_ms| {
            let start = u64::try_from(at(second).as_millisecond()).unwrap();
            Some(Load { start, time_ms })
        };
        for (what, job, load, exceeded) in [
            ("three seconds until the bots begin, and seven", &started, begun("33", 7_000), false),
            ("three and eight", &started, begun("33", 8_000), true),
            ("the Job was suspended, and has begun again", &started, begun("15", 10_000), false),
            ("and has taken longer in all", &started, begun("15", 10_001), true),
            ("suspended, after all of its time", &suspended, begun("33", 7_000), false),
            ("there is no Job any more", &json!(null), begun("33", 11_000), true),
        ] {
            let job: Option<Job> = serde_json::from_value(job.clone()).unwrap();
            assert_eq!(is_exceeded(job.as_ref(), at("59"), load, limit), exceeded, "{what}");
        }
    }
}
