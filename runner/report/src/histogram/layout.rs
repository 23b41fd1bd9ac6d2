//! The `HdrHistogram` layout for a lowest value of 1 and 3 significant digits: which counter a
//! value belongs to, and which values share a counter.
//!
//! Values below 2048 have a counter each. Above, every doubling has 1024 counters, so that the
//! values of one counter differ by less than a thousandth. (Gil Tene, <http://hdrhistogram.org>;
//! 2048 is the first power of two that is at least 2 · 10³.)

/// Bits of the first range with a counter for each value.
const EXACT_BITS: u32 = 11;
/// Bits of the counters of each doubling above.
const DOUBLING_BITS: u32 = EXACT_BITS - 1;

/// Number of counters for the whole range of `u64`.
pub(super) const SLOTS: usize = (65 - EXACT_BITS as usize + 1) << DOUBLING_BITS;

/// The counter of `value`, below [`SLOTS`]; it grows with the value.
#[inline]
pub(super) const fn slot(value: u64) -> usize {
    // The mask makes the exact range one bucket, whatever its leading zeros.
    let shift = (64 - EXACT_BITS) - (value | ((1 << EXACT_BITS) - 1)).leading_zeros();
    #[expect(clippy::cast_possible_truncation, reason = "after the shift at most EXACT_BITS bits remain")]
    let within = (value >> shift) as usize;
    ((shift as usize) << DOUBLING_BITS) + within
}

/// The highest value counted in `slot`; `slot` is below [`SLOTS`].
pub(super) const fn highest_value(slot: usize) -> u64 {
    let shift = (slot >> DOUBLING_BITS).saturating_sub(1);
    let within = (slot - (shift << DOUBLING_BITS)) as u64;
    let lowest = within << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slot_is_that_of_the_greatest_value() {
        assert_eq!(slot(u64::MAX), SLOTS - 1);
        assert_eq!(highest_value(SLOTS - 1), u64::MAX);
    }

    #[test]
    fn slots_are_contiguous_and_ordered() {
        let mut lowest = 0;
        for place in 0..SLOTS {
            assert_eq!(slot(lowest), place, "lowest value of {place}");
            let highest = highest_value(place);
            assert_eq!(slot(highest), place, "highest value of {place}");
            lowest = highest.wrapping_add(1);
        }
        assert_eq!(lowest, 0, "the last slot ends with the range");
    }

    #[test]
    fn a_slot_spans_less_than_a_thousandth() {
        for place in 2048..SLOTS {
            let (before, highest) = (highest_value(place - 1), highest_value(place));
            assert!((highest - before - 1) <= before / 1000, "slot {place}");
        }
    }
}
