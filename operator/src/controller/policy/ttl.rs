//! When a run that is over is deleted.

use botarmy_report::RunOutcome;
use botarmy_spec::TtlSpec;
use jiff::{SignedDuration, Timestamp};

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
}
