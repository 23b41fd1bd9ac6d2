//! Failures, status codes, bytes and parts of the time, as a result states them.

use crate::details::{Details, Samples};
use crate::histogram::Histogram;
use crate::observed::{FailureClass, Part};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The name under which the status codes are counted that are too many to be told apart.
pub const OTHER_STATUSES: &str = "other";

/// What is known beside counts and latencies; all of it absent where nothing was observed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetailResult {
    /// Failures by class, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureResult>,
    /// How often each status code came; the rest, where there are too many, as other.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<String, u64>,
    /// Bytes received on connections of the action.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_in: u64,
    /// Bytes sent on connections of the action.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_out: u64,
    /// Parts of the time that are kept apart.
    #[serde(default, skip_serializing_if = "PartResults::is_empty")]
    pub parts: PartResults,
}

/// The failures of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FailureResult {
    /// The class: dns, connect, tls, timeout, protocol, status, expectation, action, local or error.
    pub class: FailureClass,
    /// How many failures there were.
    pub count: u64,
    /// What some of them said, the most frequent first; of many texts, those first in the alphabet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// The text of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Sample {
    /// What it said.
    pub text: String,
    /// How many failures said that.
    pub count: u64,
}

/// The parts of the time, each over the executions in which it happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartResults {
    /// To resolve the name of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<PartFigures>,
    /// To open a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<PartFigures>,
    /// To agree on TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<PartFigures>,
    /// From the request to the head of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<PartFigures>,
}

/// The times of one part, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartFigures {
    /// How often it happened.
    pub count: u64,
    /// Median in microseconds.
    pub p50_us: u64,
    /// 95th percentile in microseconds.
    pub p95_us: u64,
    /// 99th percentile in microseconds.
    pub p99_us: u64,
    /// Greatest time in microseconds, exact.
    pub max_us: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl DetailResult {
    /// What is stated of what was counted.
    pub fn of(details: &Details) -> Self {
        let failures = details.failures().iter();
        let mut failures: Vec<_> = failures.map(|(class, s)| FailureResult::of(*class, s)).collect();
        failures.sort_by_key(|f| (Reverse(f.count), f.class));
        let statuses = details.statuses();
        let named = statuses.counts().iter().map(|(code, n)| (code.to_string(), *n));
        let rest = (statuses.rest() > 0).then(|| (OTHER_STATUSES.to_owned(), statuses.rest()));
        let part = |part| details.part(part).and_then(PartFigures::of);
        Self {
            failures,
            statuses: named.chain(rest).collect(),
            bytes_in: details.bytes_in(),
            bytes_out: details.bytes_out(),
            parts: PartResults {
                dns_us: part(Part::Dns),
                connect_us: part(Part::Connect),
                tls_us: part(Part::Tls),
                first_byte_us: part(Part::FirstByte),
            },
        }
    }
}

impl FailureResult {
    fn of(class: FailureClass, samples: &Samples) -> Self {
        let texts = samples.counts().iter();
        let mut texts: Vec<_> = texts.map(|(text, n)| Sample { text: text.clone(), count: *n }).collect();
        texts.sort_by_key(|sample| Reverse(sample.count));
        Self { class, count: samples.total(), samples: texts }
    }
}

impl PartResults {
    /// Whether no part happened.
    pub fn is_empty(&self) -> bool {
        self.named().next().is_none()
    }

    /// The parts that happened, with the names that tables have for them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, PartFigures)> {
        let parts = [
            ("dns", self.dns_us),
            ("connect", self.connect_us),
            ("tls", self.tls_us),
            ("first byte", self.first_byte_us),
        ];
        parts.into_iter().filter_map(|(name, part)| Some((name, part?)))
    }
}

impl PartFigures {
    fn of(times: &Histogram) -> Option<Self> {
        Some(Self {
            count: times.count(),
            p50_us: times.quantile(0.50)?,
            p95_us: times.quantile(0.95)?,
            p99_us: times.quantile(0.99)?,
            max_us: times.max()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Observed;
    use serde_json::json;

    #[test]
    fn the_form_is_fixed() {
        let mut details = Details::default();
        for text in ["the status is 500", "the status is 404", "the status is 500"] {
            let status = Some(if text.ends_with("500") { 500 } else { 404 });
            let failed = Observed::failed(FailureClass::Status, text);
            let parts = [None, Some(3), None, Some(4)];
            details.record(&Observed { status, bytes_in: 9, bytes_out: 8, parts, ..failed }, 1_000);
        }
        let part = |us: u64, n: u64| json!({"count": n, "p50Us": us, "p95Us": us, "p99Us": us, "maxUs": us});
        let expected = json!({
            "failures": [{"class": "status", "count": 3, "samples": [
                {"text": "the status is 500", "count": 2}, {"text": "the status is 404", "count": 1},
            ]}],
            "statuses": {"404": 1, "500": 2},
            "bytesIn": 27, "bytesOut": 24,
            "parts": {"connectUs": part(3, 3), "firstByteUs": part(4, 3)},
        });
        let result = DetailResult::of(&details);
        assert_eq!(serde_json::to_value(&result).unwrap(), expected);
        assert_eq!(serde_json::from_value::<DetailResult>(expected).unwrap(), result);
        assert_eq!(serde_json::to_value(DetailResult::of(&Details::default())).unwrap(), json!({}));
    }
}
