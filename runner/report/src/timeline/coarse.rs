//! A histogram that is small: 32 counters for each doubling, only those that are used.

use crate::bounded;
use crate::histogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bits of the first range with a counter for each value.
const EXACT_BITS: u32 = 6;
const DOUBLING_BITS: u32 = EXACT_BITS - 1;
/// What a counter takes, in bytes, about: the nodes of its tree are not full.
const ENTRY: usize = 24;
/// Number of counters for the whole range of `u64`.
const SLOTS: usize = (65 - EXACT_BITS as usize + 1) << DOUBLING_BITS;

/// Counts of values, each within a thirty-second part; the greatest value is exact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Read")]
pub(crate) struct Coarse {
    max: u64,
    counts: BTreeMap<u16, u64>,
}

#[derive(Deserialize)]
struct Read {
    max: u64,
    #[serde(deserialize_with = "bounded::map_by_number::<_, _, SLOTS>")]
    counts: BTreeMap<u16, u64>,
}

impl TryFrom<Read> for Coarse {
    type Error = &'static str;

    fn try_from(Read { max, counts }: Read) -> Result<Self, Self::Error> {
        let last = counts.last_key_value().map(|(slot, _)| *slot);
        let fits = last.map_or(max == 0, |last| last <= slot(max)) && counts.values().all(|n| *n > 0);
        fits.then_some(Self { max, counts }).ok_or("timeline: max and counts of a latency do not fit")
    }
}

/// The counter of a value: the same shape as the fine histogram's, whose counters lie each within one
/// of these.
fn slot(value: u64) -> u16 {
    let shift = (64 - EXACT_BITS) - (value | ((1 << EXACT_BITS) - 1)).leading_zeros();
    u16::try_from((u64::from(shift) << DOUBLING_BITS) + (value >> shift)).unwrap_or(u16::MAX)
}

fn highest_value(slot: u16) -> u64 {
    let slot = u64::from(slot);
    let shift = (slot >> DOUBLING_BITS).saturating_sub(1);
    let within = slot - (shift << DOUBLING_BITS);
    (within << shift) + ((1 << shift) - 1)
}

impl Coarse {
    pub(crate) fn of(fine: &Histogram) -> Self {
        let mut coarse = Self { max: fine.max().unwrap_or(0), counts: BTreeMap::new() };
        for (value, count) in fine.counts_by_value() {
            *coarse.counts.entry(slot(value)).or_default() += count;
        }
        coarse
    }

    /// What it takes beside itself, in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        self.counts.len() * ENTRY
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        for (slot, count) in &other.counts {
            let own = self.counts.entry(*slot).or_default();
            *own = own.saturating_add(*count);
        }
    }

    /// The value that so many of a thousand do not exceed.
    pub(crate) fn quantile_per_mille(&self, per_mille: u64) -> Option<u64> {
        let count: u128 = self.counts.values().map(|n| u128::from(*n)).sum();
        let rank = (count * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|(slot, n)| {
            seen += u128::from(*n);
            (seen >= rank).then(|| highest_value(*slot).min(self.max))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_ordered_and_span_a_thirty_second() {
        let last = usize::from(slot(u64::MAX));
        assert_eq!(last, SLOTS - 1);
        let mut lowest = 0_u64;
        for place in 0..=u16::try_from(last).unwrap() {
            assert_eq!((slot(lowest), slot(highest_value(place))), (place, place));
            let highest = highest_value(place);
            assert!(highest - lowest <= lowest / 32, "{place}: {lowest} to {highest}");
            lowest = highest.wrapping_add(1);
        }
        assert_eq!(lowest, 0);
    }

    #[test]
    fn it_counts_what_the_fine_one_counts() {
        let mut fine = Histogram::new(10_000_000);
        (0..5_000_u64).for_each(|n| fine.record(n * 731));
        let coarse = Coarse::of(&fine);
        assert_eq!(coarse.counts.values().sum::<u64>(), 5_000);
        for per_mille in [1, 500, 950, 990, 1000] {
            let (told, truth) = (coarse.quantile_per_mille(per_mille).unwrap(), (per_mille * 5 - 1) * 731);
            assert!(told >= truth && told <= truth + truth / 31, "{per_mille}: {told}, not {truth}");
        }
        assert_eq!(Coarse::default().quantile_per_mille(500), None);
    }
}
