//! What a row holds beside its latencies: failures by class, status codes, bytes, parts of the time.
//!
//! Each list is bounded in a way that keeps adding exact: of more entries than there is room for, the
//! **least** keep counts of their own and the rest is summed. What lies beyond the bound in one part
//! lies beyond it in every sum with that part, so that neither the split nor the order matters.

use crate::bounded;
use crate::histogram::Histogram;
use crate::observed::{FailureClass, Observed, Part};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most samples of a class of failures: different texts with a count each.
pub const MAX_SAMPLES: usize = 5;
/// Longest sample, in bytes; a longer one is cut.
pub const MAX_SAMPLE_BYTES: usize = 200;
/// Most status codes with a count of their own.
pub const MAX_STATUSES: usize = 64;

/// Counts by key, of which the least have a count of their own.
///
/// `MOST` is how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Least<K: Ord, const MOST: usize> {
    counts: BTreeMap<K, u64>,
    rest: u64,
}

impl<K: Ord, const MOST: usize> Default for Least<K, MOST> {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), rest: 0 }
    }
}

impl<K: Ord + Clone, const MOST: usize> Least<K, MOST> {
    /// The counts kept, in the order of their keys.
    pub fn counts(&self) -> &BTreeMap<K, u64> {
        &self.counts
    }

    /// The sum of the others.
    pub fn rest(&self) -> u64 {
        self.rest
    }

    /// The sum of all.
    pub fn total(&self) -> u64 {
        self.counts.values().fold(self.rest, |sum, n| sum.saturating_add(*n))
    }

    /// Counts `n` of a key, which is made only if it is new.
    fn add<Q: ?Sized + Ord>(&mut self, key: &Q, n: u64, make: impl FnOnce(&Q) -> K)
    where
        K: std::borrow::Borrow<Q>,
    {
        if n == 0 {
            return;
        }
        if let Some(count) = self.counts.get_mut(key) {
            *count = count.saturating_add(n);
            return;
        }
        if self.counts.len() < MOST {
            self.counts.insert(make(key), n);
            return;
        }
        let greatest = self.counts.last_key_value().map(|(k, _)| k.borrow());
        if greatest.is_some_and(|greatest| key < greatest) {
            let folded = self.counts.pop_last().map_or(0, |(_, n)| n);
            self.rest = self.rest.saturating_add(folded);
            self.counts.insert(make(key), n);
        } else {
            self.rest = self.rest.saturating_add(n);
        }
    }

    fn absorb(&mut self, other: &Self) {
        self.rest = self.rest.saturating_add(other.rest);
        for (key, n) in &other.counts {
            self.add(key, *n, K::clone);
        }
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.rest == 0
    }
}

/// An entry of a mapping, in bytes, about.
const ENTRY: usize = 64;

/// The failures of one class; the samples are their texts.
pub type Samples = Least<String, MAX_SAMPLES>;
/// How often each status code came.
pub type Statuses = Least<u16, MAX_STATUSES>;

/// What a row holds beside its latencies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "wire::Read")]
pub struct Details {
    failures: BTreeMap<FailureClass, Samples>,
    statuses: Statuses,
    bytes_in: u64,
    bytes_out: u64,
    /// By [`Part::index`]; a histogram that is there is not empty.
    parts: [Option<Box<Histogram>>; 4],
}

impl Details {
    /// Takes what one execution tells. Times go up to `highest` microseconds.
    #[inline]
    pub(crate) fn record(&mut self, observed: &Observed, highest: u64) {
        if let Some(failure) = &observed.failure {
            let text = bounded::cut(&failure.message, MAX_SAMPLE_BYTES);
            self.failures.entry(failure.class).or_default().add(text, 1, str::to_owned);
        }
        if let Some(status) = observed.status {
            self.statuses.add(&status, 1, |s| *s);
        }
        self.bytes_in = self.bytes_in.saturating_add(observed.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(observed.bytes_out);
        for (part, us) in self.parts.iter_mut().zip(observed.parts) {
            if let Some(us) = us {
                part.get_or_insert_with(|| Box::new(Histogram::new(highest))).record(u64::from(us));
            }
        }
    }

    /// What it takes beside itself, in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        let texts = self.failures.values().flat_map(|samples| samples.counts().keys());
        let texts: usize = texts.map(|text| text.len() + ENTRY).sum();
        let parts: usize = self.parts.iter().flatten().map(|histogram| histogram.weight()).sum();
        texts + parts + (self.failures.len() + self.statuses.counts().len()) * ENTRY
    }

    /// Adds everything in `other`, exactly.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (class, samples) in &other.failures {
            self.failures.entry(*class).or_default().absorb(samples);
        }
        self.statuses.absorb(&other.statuses);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        for (own, their) in self.parts.iter_mut().zip(&other.parts) {
            match (own, their) {
                (_, None) => {}
                (Some(own), Some(their)) => own.absorb(their),
                (own @ None, Some(_)) => own.clone_from(their),
            }
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
            && self.statuses.is_empty()
            && (self.bytes_in, self.bytes_out) == (0, 0)
            && self.parts.iter().all(Option::is_none)
    }

    /// Failures by class.
    pub fn failures(&self) -> &BTreeMap<FailureClass, Samples> {
        &self.failures
    }

    /// How often each status code came.
    pub fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    /// Bytes received.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Bytes sent.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// The times of a part; none when it did not happen.
    pub fn part(&self, part: Part) -> Option<&Histogram> {
        self.parts[part.index()].as_deref()
    }

    /// The ranges of its histograms.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = u64> {
        self.parts.iter().flatten().map(|h| h.highest())
    }

    /// The greatest number of samples of one of its histograms.
    pub(crate) fn most_samples(&self) -> u128 {
        self.parts.iter().flatten().map(|h| u128::from(h.count())).max().unwrap_or(0)
    }
}

mod wire;

#[cfg(test)]
mod tests;
