//! What a schedule has to do now. Pure: the clock is an argument.

use super::cron::Cron;
use super::runs::ScheduledRun;
use botarmy_crds::{BotRunScheduleSpec, ConcurrencyPolicy};
use jiff::{SignedDuration, Timestamp};

/// So many missed runs are looked at one by one; beyond them only the last one is looked for.
pub(super) const MOST_MISSED: usize = 100;
/// What is further in the future than this was written by a clock that was wrong.
const CLOCK_STEP: SignedDuration = SignedDuration::from_mins(10);

/// What is known of a schedule at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'m> {
    pub(super) spec: &'m BotRunScheduleSpec,
    pub(super) cron: &'m Cron,
    /// Since when it counts: when its last run was due, or when it was created.
    pub(super) since: Timestamp,
    /// One of its runs has not ended.
    pub(super) is_active: bool,
    pub(super) now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing, for nothing is due.
    Wait,
    /// Nothing, because it is suspended.
    Suspended,
    /// Start the run that was due then.
    Start {
        /// When it was due.
        at: Timestamp,
        /// Those that are active make room first.
        replace: bool,
        /// More were missed before it than are looked at.
        many: bool,
    },
    /// Let the run that was due then wait for one that is active.
    Blocked(Timestamp),
    /// Pass over the run that was due then: it is too late for it.
    Late(Timestamp),
}

/// Decides what to do. At most one run is started: the last one that was due and is in time.
pub(super) fn decide(moment: &Moment) -> Decision {
    let Moment { spec, cron, since, is_active, now } = *moment;
    if spec.suspend {
        return Decision::Suspended;
    }
    let due: Vec<Timestamp> = cron.between(since, now).take(MOST_MISSED + 1).collect();
    let many = due.len() > MOST_MISSED;
    let last = if many { cron.last_between(since, now) } else { due.last().copied() };
    let Some(at) = last else { return Decision::Wait };
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    match spec.concurrency_policy {
        _ if deadline.is_some_and(|deadline| now.duration_since(at) > deadline) => Decision::Late(at),
        ConcurrencyPolicy::Forbid if is_active => Decision::Blocked(at),
        policy => Decision::Start { at, replace: is_active && policy == ConcurrencyPolicy::Replace, many },
    }
}

/// When the run that was started last was due: by the status, and by the runs that there are, because the status
/// may not have been written. What lies in the future does not count, or a clock that was put back would keep
/// the schedule from going on.
pub(super) fn last_start(
    told: Option<Timestamp>,
    runs: &[ScheduledRun],
    now: Timestamp,
) -> Option<Timestamp> {
    let known = told.into_iter().chain(runs.iter().filter_map(|run| run.at));
    known.filter(|at| at.duration_since(now) <= CLOCK_STEP).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn spec(fields: &Value) -> BotRunScheduleSpec {
        let mut spec = json!({"schedule": "0 * * * *", "template": {"spec": {"trees": {}}}});
        for (key, value) in fields.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn decided(fields: &Value, since: &str, is_active: bool, now: &str) -> Decision {
        let spec = spec(fields);
        let cron = Cron::read(&spec.schedule, &spec.time_zone).unwrap();
        decide(&Moment { spec: &spec, cron: &cron, since: time(since), is_active, now: time(now) })
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn the_last_run_that_is_due_and_in_time_is_started() {
        let start =
            |at: &str, replace, many| Decision::Start { at: time(&format!("2030-01-{at}Z")), replace, many };
        let blocked = |at: &str| Decision::Blocked(time(&format!("2030-01-{at}Z")));
        let late = |at: &str| Decision::Late(time(&format!("2030-01-{at}Z")));
        let none = json!({});
        let patient = json!({"startingDeadlineSeconds": 600});
        let suspended = json!({"suspend": true});
        let (allow, replace) =
            (json!({"concurrencyPolicy": "Allow"}), json!({"concurrencyPolicy": "Replace"}));
        let both = json!({"concurrencyPolicy": "Replace", "startingDeadlineSeconds": 600});
        let elsewhere = json!({"schedule": "0 2 * * *", "timeZone": "Asia/Kolkata"});
        for (what, fields, since, is_active, now, wanted) in [
            ("before the first", &none, "01T00:00:01", false, "01T00:59:59", Decision::Wait),
            ("to the second", &none, "01T00:00:01", false, "01T01:00:00", start("01T01:00:00", false, false)),
            ("a little late", &none, "01T00:00:00", false, "01T01:00:07", start("01T01:00:00", false, false)),
            ("started already", &none, "01T01:00:00", false, "01T01:00:07", Decision::Wait),
            (
                "several were missed",
                &none,
                "01T01:00:00",
                false,
                "01T05:30:00",
                start("01T05:00:00", false, false),
            ),
            (
                "a hundred were missed",
                &none,
                "01T00:00:00",
                false,
                "05T04:30:00",
                start("05T04:00:00", false, false),
            ),
            (
                "more were missed",
                &none,
                "01T00:00:00",
                false,
                "05T05:30:00",
                start("05T05:00:00", false, true),
            ),
            (
                "within its deadline",
                &patient,
                "01T00:00:00",
                false,
                "01T01:10:00",
                start("01T01:00:00", false, false),
            ),
            ("beyond it", &patient, "01T00:00:00", false, "01T01:10:01", late("01T01:00:00")),
            ("many, beyond it", &patient, "01T00:00:00", false, "09T01:30:00", late("09T01:00:00")),
            ("one is active", &none, "01T00:00:00", true, "01T01:00:00", blocked("01T01:00:00")),
            ("active for long", &none, "01T00:00:00", true, "01T03:20:00", blocked("01T03:00:00")),
            ("active beyond the deadline", &patient, "01T00:00:00", true, "01T01:20:00", late("01T01:00:00")),
            ("beside it", &allow, "01T00:00:00", true, "01T01:00:00", start("01T01:00:00", false, false)),
            ("in its place", &replace, "01T00:00:00", true, "01T01:00:00", start("01T01:00:00", true, false)),
            (
                "in nobody's place",
                &replace,
                "01T00:00:00",
                false,
                "01T01:00:00",
                start("01T01:00:00", false, false),
            ),
            ("too late to replace", &both, "01T00:00:00", true, "01T01:20:00", late("01T01:00:00")),
            ("suspended", &suspended, "01T00:00:00", false, "01T01:00:00", Decision::Suspended),
            (
                "by other clocks",
                &elsewhere,
                "01T00:00:00",
                false,
                "01T20:30:00",
                start("01T20:30:00", false, false),
            ),
            ("the clock was put back", &none, "01T05:00:00", false, "01T04:59:58", Decision::Wait),
        ] {
            let at = |time: &str| format!("2030-01-{time}Z");
            assert_eq!(decided(fields, &at(since), is_active, &at(now)), wanted, "{what}");
        }
    }

    #[test]
    fn the_last_start_is_what_is_told_and_what_is_there_but_not_in_the_future() {
        let run = |at: Option<&str>| ScheduledRun {
            name: "s-1".into(),
            uid: "u".into(),
            at: at.map(time),
            end: None,
            is_exporting: false,
            is_leaving: false,
        };
        let (one, two, three) = ("2030-01-01T01:00:00Z", "2030-01-01T02:00:00Z", "2030-01-01T03:00:00Z");
        for (what, told, runs, now, wanted) in [
            ("nothing yet", None, vec![], two, None),
            ("by the status", Some(one), vec![run(None)], two, Some(one)),
            ("by a run", None, vec![run(Some(one)), run(Some(two))], two, Some(two)),
            ("the status was not written", Some(one), vec![run(Some(two))], two, Some(two)),
            ("the run is gone", Some(two), vec![run(Some(one))], two, Some(two)),
            ("the clock was put back a little", Some(three), vec![], "2030-01-01T02:55:00Z", Some(three)),
            ("the clock was put back", Some(three), vec![run(Some(one)), run(Some(three))], two, Some(one)),
        ] {
            assert_eq!(last_start(told.map(time), &runs, time(now)), wanted.map(time), "{what}");
        }
    }
}
