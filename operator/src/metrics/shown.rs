//! Which runs have figures of their own: each costs the receiver's memory, so that only so many have, and the others
//! are summed. Pure.

use botarmy_report::Counters;
use std::collections::{BTreeSet, HashMap};

/// Most runs with figures of their own at a time.
pub(super) const MAX_RUNS: usize = 20;

/// The choice, which holds for as long as a run is known: figures that came and went would be no counters.
#[derive(Debug, Default)]
pub(super) struct Shown {
    own: BTreeSet<String>,
    /// What each of the others had come to when it was looked at last.
    others: HashMap<String, Counters>,
    /// What those of them had come to that are not known any more.
    gone: Counters,
}

impl Shown {
    /// Gives places to the runs that there are now, by their UIDs.
    pub(super) fn choose(&mut self, mut uids: Vec<String>) {
        // In an order that does not depend on how they are kept.
        uids.sort_unstable();
        self.own.retain(|uid| uids.binary_search(uid).is_ok());
        let gone = self.others.extract_if(|uid, _| uids.binary_search(uid).is_err());
        for (_, counters) in gone {
            self.gone.add(&counters);
        }
        for uid in uids {
            if self.own.len() < MAX_RUNS && !self.others.contains_key(&uid) {
                self.own.insert(uid);
            } else if !self.own.contains(&uid) {
                self.others.entry(uid).or_default();
            }
        }
    }

    /// The runs with figures of their own.
    pub(super) fn own(&self) -> &BTreeSet<String> {
        &self.own
    }

    /// The others, of which what they have come to is to be told.
    pub(super) fn others(&mut self) -> impl ExactSizeIterator<Item = (&String, &mut Counters)> {
        self.others.iter_mut()
    }

    /// What the others have come to so far, those included that are not known any more: it never gets less.
    pub(super) fn sum(&self) -> Counters {
        let mut sum = self.gone;
        self.others.values().for_each(|counters| sum.add(counters));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_report::Totals;

    fn uids(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|n| format!("{n:04}")).collect()
    }

    fn counters(requests: u64) -> Counters {
        Counters::of(&Totals { requests, ..Totals::default() })
    }

    #[test]
    fn a_run_keeps_its_place_and_a_sum_never_gets_less() {
        let mut shown = Shown::default();
        shown.choose(uids(0..MAX_RUNS + 2));
        assert_eq!((shown.own().len(), shown.others().len()), (MAX_RUNS, 2));
        shown.others().for_each(|(_, told)| *told = counters(10));
        assert_eq!(shown.sum(), counters(20));
        // A place becomes free, and another run comes: it is taken by that one, and not by one of the others.
        shown.choose(uids(1..MAX_RUNS + 3));
        assert!(shown.own().contains(&format!("{:04}", MAX_RUNS + 2)));
        assert_eq!((shown.own().len(), shown.others().len()), (MAX_RUNS, 2));
        shown.others().for_each(|(_, told)| *told = counters(15));
        assert_eq!(shown.sum(), counters(30));
        shown.choose(uids(0..0));
        assert_eq!((shown.own().len(), shown.others().len()), (0, 0));
        assert_eq!(shown.sum(), counters(30));
    }
}
