//! Details as JSON: `{"failures": {"status": {"count": 3, "samples": {"the status is 500": 3}}},
//! "statuses": {"200": 9}, "otherStatuses": 1, "bytesIn": 900, "bytesOut": 90, "parts": {"connect": …}}`,
//! what is not there left out.

use super::{Details, MAX_SAMPLE_BYTES, MAX_SAMPLES, MAX_STATUSES, Samples, Statuses};
use crate::bounded;
use crate::histogram::Histogram;
use crate::observed::FailureClass;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// One of each class.
const MAX_CLASSES: usize = FailureClass::ALL.len();
/// Longest name of a class or of a status code.
const MAX_KEY: usize = 16;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<FailureClass, Class<&'a BTreeMap<String, u64>>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    statuses: &'a BTreeMap<u16, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    other_statuses: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_in: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_out: u64,
    #[serde(skip_serializing_if = "Parts::is_empty")]
    parts: Parts<&'a Histogram>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Read {
    #[serde(deserialize_with = "bounded::map::<_, _, MAX_CLASSES, MAX_KEY>")]
    failures: BTreeMap<String, Class<Texts>>,
    #[serde(deserialize_with = "bounded::map::<_, _, MAX_STATUSES, MAX_KEY>")]
    statuses: BTreeMap<String, u64>,
    other_statuses: u64,
    bytes_in: u64,
    bytes_out: u64,
    parts: Parts<Box<Histogram>>,
}

#[derive(Serialize, Deserialize)]
struct Class<T> {
    count: u64,
    samples: T,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Texts(
    #[serde(deserialize_with = "bounded::map::<_, _, MAX_SAMPLES, MAX_SAMPLE_BYTES>")] BTreeMap<String, u64>,
);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts<H> {
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    dns: Option<H>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    connect: Option<H>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    tls: Option<H>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    first_byte: Option<H>,
}

/// serde's own default would ask for `H: Default`.
fn none<H>() -> Option<H> {
    None
}

impl<H> Default for Parts<H> {
    fn default() -> Self {
        Self { dns: None, connect: None, tls: None, first_byte: None }
    }
}

impl<H> Parts<H> {
    fn is_empty(&self) -> bool {
        [&self.dns, &self.connect, &self.tls, &self.first_byte].into_iter().all(Option::is_none)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Why a text is none of ours. Its sender is broken or hostile; there is nothing to repair.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormatError {
    #[error("details: {0:?} is not a class of failures")]
    Class(String),
    #[error("details: {0:?} is not a status code")]
    Status(String),
    #[error("details: the samples of a class count more than the class")]
    Samples,
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let failures = self.failures.iter();
        let failures = failures.map(|(name, s)| (*name, Class { count: s.total(), samples: s.counts() }));
        let [dns, connect, tls, first_byte] = self.parts.each_ref().map(Option::as_deref);
        let written = Written {
            failures: failures.collect(),
            statuses: self.statuses.counts(),
            other_statuses: self.statuses.rest,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            parts: Parts { dns, connect, tls, first_byte },
        };
        written.serialize(to)
    }
}

impl TryFrom<Read> for Details {
    type Error = FormatError;

    fn try_from(read: Read) -> Result<Self, FormatError> {
        let Read { failures, statuses, other_statuses, bytes_in, bytes_out, parts } = read;
        let mut details = Self { bytes_in, bytes_out, ..Self::default() };
        for (name, class) in failures {
            let known = FailureClass::ALL.into_iter().find(|c| c.name() == name);
            let known = known.ok_or(FormatError::Class(name))?;
            let sum = class.samples.0.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
            let rest = class.count.checked_sub(sum).ok_or(FormatError::Samples)?;
            let mut samples = Samples { rest, ..Samples::default() };
            for (text, n) in &class.samples.0 {
                samples.add(text.as_str(), *n, str::to_owned);
            }
            if !samples.is_empty() {
                details.failures.insert(known, samples);
            }
        }
        details.statuses = Statuses { rest: other_statuses, ..Statuses::default() };
        for (code, n) in statuses {
            let status = code.parse().map_err(|_| FormatError::Status(code))?;
            details.statuses.add(&status, n, |s: &u16| *s);
        }
        let parts = [parts.dns, parts.connect, parts.tls, parts.first_byte];
        details.parts = parts.map(|part| part.filter(|h| !h.is_empty()));
        Ok(details)
    }
}
