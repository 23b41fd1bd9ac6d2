//! When a run that is over is deleted.

use botarmy_report::RunOutcome;
use botarmy_spec::TtlSpec;
use jiff::{SignedDuration, Timestamp};

/// How far the export of a run is that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Export {
    /// There is none.
    None,
    /// It is under way.
    UnderWay,
    /// It has ended then, well or not.
    Ended(Timestamp),
}

/// From when on the time is counted for which a run is kept: when both it and its export have ended; none before.
pub(in crate::controller) fn since(ended: Option<Timestamp>, export: Export) -> Option<Timestamp> {
    match export {
        Export::None => ended,
        Export::UnderWay => None,
        Export::Ended(at) => ended.max(Some(at)),
    }
}

/// How long it is kept yet; none if for ever, zero if it is to be deleted now.
pub(in crate::controller) fn remaining(
    ttl: Option<&TtlSpec>,
    outcome: Option<RunOutcome>,
    ended: Option<Timestamp>,
    now: Timestamp,
) -> Option<std::time::Duration> {
    let ttl = ttl?;
    let seconds = match outcome? {
        RunOutcome::Passed => ttl.passed,
        RunOutcome::Failed => ttl.failed,
        RunOutcome::Aborted => ttl.aborted,
        RunOutcome::Errored => ttl.errored,
    }?;
    let kept = SignedDuration::from_secs(seconds.into());
    // A negative rest is none.
    Some((kept - now.duration_since(ended?)).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
            assert_eq!(remaining(Some(&ttl), outcome, Some(at("10")), at(now)), left, "{outcome:?} {now}");
        }
        assert_eq!(remaining(None, Some(RunOutcome::Passed), Some(at("10")), at("59")), None);
        assert_eq!(remaining(Some(&ttl), Some(RunOutcome::Passed), None, at("59")), None);
    }

    #[test]
    fn the_time_begins_when_the_export_has_ended_as_well() {
        let at = |second: &str| -> Timestamp { format!("2030-01-01T00:00:{second}Z").parse().unwrap() };
        for (ended, export, since) in [
            (Some("10"), Export::None, Some("10")),
            (Some("10"), Export::UnderWay, None),
            (Some("10"), Export::Ended(at("30")), Some("30")),
            // The clock of one operator may be behind that of another.
            (Some("10"), Export::Ended(at("05")), Some("10")),
            (None, Export::Ended(at("30")), Some("30")),
            (None, Export::None, None),
        ] {
            assert_eq!(super::since(ended.map(at), export), since.map(at), "{ended:?} {export:?}");
        }
    }
}
