//! When a run that is over is deleted.

use botarmy_report::RunOutcome;
use botarmy_spec::TtlSpec;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How long a run is kept at least whose export has failed: its result is nowhere else, and somebody may mend the cause.
const RESCUE: SignedDuration = SignedDuration::from_hours(1);

/// How far the export of a run is that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Export {
    /// There is none.
    None,
    /// It is to begin, and the result is not kept for it yet.
    Unkept,
    /// It is under way.
    UnderWay,
    /// It has ended then.
    Ended(Timestamp),
    /// It has ended then, and some place does not have the result.
    Failed(Timestamp),
}

/// From when on the time is counted for which a run is kept: when both it and its export have ended; none before.
fn since(ended: Option<Timestamp>, export: Export) -> Option<Timestamp> {
    match export {
        Export::None => ended,
        Export::Unkept | Export::UnderWay => None,
        Export::Ended(at) | Export::Failed(at) => ended.max(Some(at)),
    }
}

/// How long it is kept yet; none if for ever, zero if it is to be deleted now.
pub(in crate::controller) fn remaining(
    ttl: Option<&TtlSpec>,
    outcome: Option<RunOutcome>,
    ended: Option<Timestamp>,
    export: Export,
    now: Timestamp,
) -> Option<Duration> {
    let ttl = ttl?;
    let seconds = match outcome? {
        RunOutcome::Passed => ttl.passed,
        RunOutcome::Failed => ttl.failed,
        RunOutcome::Aborted => ttl.aborted,
        RunOutcome::Errored => ttl.errored,
    }?;
    let kept = SignedDuration::from_secs(seconds.into());
    let rest = kept - now.duration_since(since(ended, export)?);
    let rest = match export {
        Export::Failed(at) => rest.max(RESCUE - now.duration_since(at)),
        _ => rest,
    };
    // A negative rest is none.
    Some(rest.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_own_time() {
        let ttl = TtlSpec { passed: Some(10), failed: None, aborted: Some(0), errored: Some(60) };
        let at = |second: &str| -> Timestamp { format!("2030-01-01T00:00:{second}Z").parse().unwrap() };
        let seconds = |n| Some(Duration::from_secs(n));
        for (outcome, now, left) in [
            (Some(RunOutcome::Passed), "14", seconds(6)),
            (Some(RunOutcome::Passed), "20", seconds(0)),
            (Some(RunOutcome::Passed), "59", seconds(0)),
            (Some(RunOutcome::Passed), "00", seconds(20)),
            (Some(RunOutcome::Failed), "59", None),
            (Some(RunOutcome::Aborted), "10", seconds(0)),
            (Some(RunOutcome::Errored), "11", seconds(59)),
            (None, "59", None),
        ] {
            let rest = remaining(Some(&ttl), outcome, Some(at("10")), Export::None, at(now));
            assert_eq!(rest, left, "{outcome:?} {now}");
        }
        let passed = Some(RunOutcome::Passed);
        assert_eq!(remaining(None, passed, Some(at("10")), Export::None, at("59")), None);
        assert_eq!(remaining(Some(&ttl), passed, None, Export::None, at("59")), None);
    }

    #[test]
    fn a_result_that_is_nowhere_else_is_kept_for_an_hour_at_least() {
        let at = |time: &str| -> Timestamp { format!("2030-01-01T{time}Z").parse().unwrap() };
        let ttl = |passed| TtlSpec { passed, ..TtlSpec::default() };
        let minutes = |n: u64| Some(Duration::from_secs(60 * n));
        let failed = Export::Failed(at("00:15:00"));
        for (seconds, export, now, left) in [
            (Some(0), failed, "00:15:00", minutes(60)),
            (Some(0), failed, "01:05:00", minutes(10)),
            (Some(0), failed, "01:15:00", minutes(0)),
            (Some(0), failed, "02:00:00", minutes(0)),
            (Some(7200), failed, "00:15:00", minutes(120)),
            (None, failed, "02:00:00", None),
            (Some(0), Export::Ended(at("00:15:00")), "00:15:00", minutes(0)),
            (Some(0), Export::UnderWay, "02:00:00", None),
            (Some(0), Export::Unkept, "02:00:00", None),
        ] {
            let rest = remaining(
                Some(&ttl(seconds)),
                Some(RunOutcome::Passed),
                Some(at("00:00:00")),
                export,
                at(now),
            );
            assert_eq!(rest, left, "{seconds:?} {export:?} {now}");
        }
    }

    #[test]
    fn the_time_begins_when_the_export_has_ended_as_well() {
        let at = |second: &str| -> Timestamp { format!("2030-01-01T00:00:{second}Z").parse().unwrap() };
        for (ended, export, since) in [
            (Some("10"), Export::None, Some("10")),
            (Some("10"), Export::UnderWay, None),
            (Some("10"), Export::Ended(at("30")), Some("30")),
            (Some("10"), Export::Failed(at("30")), Some("30")),
            // The clock of one operator may be behind that of another.
            (Some("10"), Export::Ended(at("05")), Some("10")),
            (None, Export::Ended(at("30")), Some("30")),
            (None, Export::None, None),
        ] {
            assert_eq!(super::since(ended.map(at), export), since.map(at), "{ended:?} {export:?}");
        }
    }
}
