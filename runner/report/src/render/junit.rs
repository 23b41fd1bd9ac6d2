//! A result as JUnit's XML: each threshold is a test case, and so is the run itself.

use super::escape_markup as escape;
use crate::result::{RunOutcome, RunResult, ThresholdResult};

pub(super) fn junit(result: &RunResult) -> String {
    let time = format!("{}.{:03}", result.duration_ms / 1000, result.duration_ms % 1000);
    let mut cases = vec![run(result, &time)];
    cases.extend(result.thresholds.iter().map(threshold));
    let failures = result.thresholds.iter().filter(|t| !t.passed).count();
    let errors = usize::from(!came_to_its_end(result.outcome));
    let counts = format!(r#"tests="{}" failures="{failures}" errors="{errors}" time="{time}""#, cases.len());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"botarmy\" {counts}>\n{}  \
         </testsuite>\n</testsuites>\n",
        cases.concat()
    )
}

fn came_to_its_end(outcome: RunOutcome) -> bool {
    matches!(outcome, RunOutcome::Passed | RunOutcome::Failed)
}

fn run(result: &RunResult, time: &str) -> String {
    let open = format!("    <testcase classname=\"botarmy.run\" name=\"comes to its end\" time=\"{time}\"");
    if came_to_its_end(result.outcome) {
        return format!("{open}/>\n");
    }
    let reason = result.reason.as_ref().map(|reason| format!(": {}", escape(reason))).unwrap_or_default();
    let outcome = result.outcome.name();
    format!("{open}>\n      <error message=\"the outcome is {outcome}{reason}\"/>\n    </testcase>\n")
}

fn threshold(threshold: &ThresholdResult) -> String {
    let name = [threshold.expect.clone(), threshold.about()].join(" of ");
    let open = format!("    <testcase classname=\"botarmy.threshold\" name=\"{}\"", escape(&name));
    if threshold.passed {
        return format!("{open}/>\n");
    }
    let message = format!("expected {}, measured {}", threshold.expect, threshold.value);
    format!("{open}>\n      <failure message=\"{}\"/>\n    </testcase>\n", escape(&message))
}
