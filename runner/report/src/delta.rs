//! What a runner reports at a time: the totals since its last report, by second.

use crate::bounded;
use crate::histogram::MergeError;
use crate::totals::Totals;
use serde::{Deserialize, Serialize};

/// Most slices in one delta: ten minutes, far beyond what a runner keeps without a coordinator.
pub const MAX_SLICES: usize = 600;

/// What was counted in one second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Whole seconds since T0, the common start of the army.
    pub second: u64,
    /// What was counted in it.
    pub totals: Totals,
    /// It lies in the warm-up, which is left out of the result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warmup: bool,
    /// It comes from setup or teardown, and so belongs to no second of the load.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
}

/// One report of one runner. It is applied once: its key is (run, index, pod UID, sequence).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Number of this report in its pod, growing by one.
    pub sequence: u64,
    /// What was counted, by second; at most [`MAX_SLICES`].
    #[serde(deserialize_with = "bounded::list::<_, _, MAX_SLICES>")]
    pub slices: Vec<Slice>,
    /// Bots alive at the time of the report.
    pub alive: u32,
}

impl Delta {
    /// What its slices take in memory, in bytes, about.
    pub fn weight(&self) -> usize {
        self.slices.iter().map(|slice| slice.totals.weight()).sum()
    }

    /// Adds all slices to `totals`, those of the warm-up to `warmup`; or none of them when one does not
    /// fit.
    pub fn merge_into(&self, totals: &mut Totals, warmup: &mut Totals) -> Result<(), MergeError> {
        // Both are checked before either is changed: neither has to be copied to be as it was.
        totals.check(self.part(false))?;
        warmup.check(self.part(true))?;
        self.part(false).for_each(|more| totals.absorb(more));
        self.part(true).for_each(|more| warmup.absorb(more));
        Ok(())
    }

    /// What the slices of the warm-up have counted, or all others.
    fn part(&self, warmup: bool) -> impl Iterator<Item = &Totals> + Clone {
        self.slices.iter().filter(move |slice| slice.warmup == warmup).map(|slice| &slice.totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Health, Histogram, Outcome, RowInfo, Series};
    use serde_json::json;

    fn delta(requests: &[u64]) -> Delta {
        let totals = |requests| Totals { requests, ..Totals::default() };
        let slices = requests.iter().zip(40..).map(|(n, second)| Slice {
            second,
            totals: totals(*n),
            warmup: second == 42,
            apart: false,
        });
        Delta { sequence: 3, slices: slices.collect(), alive: 9 }
    }

    #[test]
    fn all_slices_are_added() {
        let (mut totals, mut warmup) = (Totals { requests: 1, ..Totals::default() }, Totals::default());
        delta(&[10, 20, 500]).merge_into(&mut totals, &mut warmup).unwrap();
        assert_eq!((totals.requests, warmup.requests), (31, 500));
    }

    #[test]
    fn none_is_added_when_one_does_not_fit() {
        let mut totals = Totals { requests: 1, ..Totals::default() };
        for bad in [delta(&[10, u64::MAX]), delta(&[10, u64::MAX - 10])] {
            assert!(bad.merge_into(&mut totals, &mut Totals::default()).is_err());
            assert_eq!(totals.requests, 1);
        }
    }

    #[test]
    fn none_is_added_when_the_warmup_has_no_place_for_it() {
        let (mut totals, mut warmup) = (Totals::default(), Totals { requests: 1, ..Totals::default() });
        for bad in
            [&[10, 20, u64::MAX][..], &[10, u64::MAX, u64::MAX], &[10, 20, u64::MAX - 1, 30, u64::MAX - 59]]
        {
            let before = (totals.clone(), warmup.clone());
            assert!(delta(bad).merge_into(&mut totals, &mut warmup).is_err(), "{bad:?}");
            assert_eq!((&totals, &warmup), (&before.0, &before.1), "{bad:?}");
        }
        delta(&[10, 20, u64::MAX - 1, 30]).merge_into(&mut totals, &mut warmup).unwrap();
        assert_eq!((totals.requests, warmup.requests), (60, u64::MAX));
    }

    #[test]
    fn parts_of_different_ranges_are_not_added_whichever_slice_they_are_in() {
        let with = |lag: Histogram, highest: u64| {
            let mut more = delta(&[1, 2, 3, 4]);
            let mut series = Series::new(highest);
            series.record(Outcome::Succeed, 7);
            let info = RowInfo { name: "a".into(), base: "a".into(), ..RowInfo::default() };
            more.slices[3].totals.add(&info, series).unwrap();
            more.slices[1].totals.health = Health { lag, seconds: 1, ..Health::default() };
            more
        };
        let (mut totals, mut warmup) = (Totals::default(), Totals::default());
        with(Health::no_lag(), 9).merge_into(&mut totals, &mut warmup).unwrap();
        let before = totals.clone();
        for bad in [with(Histogram::new(5), 9), with(Health::no_lag(), 8)] {
            let refused = bad.merge_into(&mut totals, &mut warmup);
            assert!(matches!(refused, Err(MergeError::RangeMismatch { .. })), "{refused:?}");
            assert_eq!(totals, before);
        }
    }

    #[test]
    fn reading_is_bounded() {
        let full = delta(&[1; MAX_SLICES]);
        let mut value = serde_json::to_value(&full).unwrap();
        assert_eq!(serde_json::from_value::<Delta>(value.clone()).unwrap(), full);
        let slices = value["slices"].as_array_mut().unwrap();
        slices.push(slices[0].clone());
        assert!(serde_json::from_value::<Delta>(value).unwrap_err().to_string().contains("at most 600"));
        let none = json!({"sequence": 0, "slices": [], "alive": 0});
        assert_eq!(serde_json::from_value::<Delta>(none).unwrap(), Delta::default());
    }
}
