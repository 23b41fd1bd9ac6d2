//! What of a result stands in the status itself, where columns and conditions show it.

use super::conditions::{self, clear, set};
use super::standing::Standing;
use crate::message::bounded;
use botarmy_crds::{BotRun, BotRunStatus, TopError};
use botarmy_report::{FailureResult, RunResult};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Most errors that a status tells.
const MAX_ERRORS: usize = 5;
/// Longest message of one of them, in bytes.
const MAX_ERROR_BYTES: usize = 512;

/// The columns.
pub(super) fn write(status: &mut BotRunStatus, result: &RunResult) {
    let total = &result.total;
    status.bots = i32::try_from(result.bots.alive).ok();
    let per_second = total.count.saturating_mul(1000).checked_div(result.measured_ms());
    status.actions_per_second = per_second.and_then(|n| i64::try_from(n).ok());
    status.p95 = total.p95_us.map(|us| format!("{}.{}ms", us / 1000, us % 1000 / 100));
    let hundredths = total.failures().saturating_mul(10_000).checked_div(total.count);
    status.errors = hundredths.map(|n| format!("{}.{:02}%", n / 100, n % 100));
    status.top_errors = top_errors(result);
}

/// The failures that were most, over all actions that are measured.
fn top_errors(result: &RunResult) -> Vec<TopError> {
    let top = |failure: &FailureResult| TopError {
        class: failure.class.name().to_owned(),
        count: i64::try_from(failure.count).unwrap_or(i64::MAX),
        message: failure.samples.first().map(|sample| bounded(&sample.text, MAX_ERROR_BYTES)),
    };
    let mut all: Vec<TopError> = result.detail.failures.iter().map(top).collect();
    all.sort_by_key(|error| std::cmp::Reverse(error.count));
    all.truncate(MAX_ERRORS);
    all
}

/// What follows from the figures: whether the thresholds hold, and whether the figures are to be trusted.
pub(super) fn judge(status: &mut BotRunStatus, run: &BotRun, result: &RunResult, summed: usize) {
    if !result.thresholds.is_empty() {
        let met = result.thresholds.iter().all(|t| t.passed);
        let reason = if met { Standing::AllHold } else { Standing::Crossed };
        set(status, run, conditions::THRESHOLDS_MET, met, reason, &verdict(result));
    }
    match result.generator.and_then(|generator| generator.warning()) {
        Some(warning) => {
            set(
                status,
                run,
                conditions::GENERATOR_SATURATED,
                true,
                Standing::CannotKeepUp,
                &warning.join(": "),
            );
        }
        None => {
            clear(status, run, conditions::GENERATOR_SATURATED, Standing::KeepsUp, "the generator keeps up");
        }
    }
    if summed > 0 {
        let message = format!(
            "{summed} rows with the fewest samples are summed under (other), since what is kept of a run has a limit; give them labels that they share"
        );
        set(status, run, conditions::MEASURES_SUMMED, true, Standing::TooManyRows, &message);
    }
}

/// The thresholds that do not hold, with their values.
pub(super) fn verdict(result: &RunResult) -> String {
    let failed = result.thresholds.iter().filter(|t| !t.passed);
    let failed: Vec<String> = failed.map(|t| format!("{} is {}", t.expect, t.value)).collect();
    if failed.is_empty() { "all thresholds hold".into() } else { failed.join("; ") }
}

/// A moment, of milliseconds since 1970.
pub(super) fn time(ms: u64) -> Time {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Time(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::armies::tests::army;
    use botarmy_report::FailureClass;

    #[test]
    fn columns_tell_the_errors_that_were_most() {
        let mut result = army(1).result(1);
        let failures =
            (1..=6).map(|count| FailureResult { class: FailureClass::Dns, count, samples: vec![] });
        result.detail.failures = failures.collect();
        (result.total.count, result.total.fail, result.total.p95_us) = (800, 9, Some(12_345));
        let mut status = BotRunStatus::default();
        write(&mut status, &result);
        let counts: Vec<i64> = status.top_errors.iter().map(|error| error.count).collect();
        assert_eq!(counts, [6, 5, 4, 3, 2]);
        assert_eq!((status.p95.as_deref(), status.errors.as_deref()), (Some("12.3ms"), Some("1.12%")));
    }
}
