//! The conditions of an object's status. Pure.

use botarmy_tree::Finding;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::fmt::Display;

/// Longest message of a condition, in bytes.
const MAX_MESSAGE: usize = 8_000;

/// A reason that a test holds against docs/reasons.md. Only such ones can be the reason of a condition.
pub(crate) trait Documented: Display {}

/// Tells whether something holds. The one setter of conditions is [`write`].
pub(crate) fn set(
    conditions: &mut Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
    kind: &str,
    holds: bool,
    reason: &impl Documented,
    message: &str,
) {
    write(conditions, generation, now, kind, if holds { "True" } else { "False" }, reason, message);
}

/// Writes a condition, whose state is True, False or Unknown: it owns the time of transition and the generation.
pub(crate) fn write(
    conditions: &mut Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
    kind: &str,
    state: &str,
    reason: &impl Documented,
    message: &str,
) {
    let condition = Condition {
        type_: kind.to_owned(),
        status: state.to_owned(),
        reason: reason.to_string(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(whole_seconds(now)),
    };
    match conditions.iter_mut().find(|c| c.type_ == kind) {
        Some(known) => {
            let since = if known.status == state {
                known.last_transition_time.clone()
            } else {
                condition.last_transition_time.clone()
            };
            *known = Condition { last_transition_time: since, ..condition };
        }
        None => conditions.push(condition),
    }
}

/// A time as it comes back from the API server, so that what was written is equal to what is read.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// All that is wrong, a line each, as the message of a condition.
pub(crate) fn listed(findings: &[Finding]) -> String {
    lines(findings.iter().map(ToString::to_string))
}

/// Lines, as the message of a condition.
pub(crate) fn lines(lines: impl Iterator<Item = String>) -> String {
    let mut message = lines.collect::<Vec<_>>().join("\n");
    if message.len() > MAX_MESSAGE {
        let end = message.floor_char_boundary(MAX_MESSAGE);
        message.truncate(end);
        message.push_str("\n… and more");
    }
    message
}
