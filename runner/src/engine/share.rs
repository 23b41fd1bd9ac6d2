//! Which part of an army a runner has: no bot and no iteration is lost or doubled.

/// Runner `index` of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// This runner, from 0.
    pub index: u32,
    /// How many runners there are, at least 1.
    pub of: u32,
}

impl Share {
    /// The whole army.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// This runner's part of a number. The parts of all runners add up to it; the first ones have
    /// one more where it does not divide.
    pub fn part(self, total: u64) -> u64 {
        let of = u64::from(self.of.max(1));
        total / of + u64::from(u64::from(self.index) < total % of)
    }

    /// The same for a number of bots.
    pub fn bots(self, total: u32) -> u32 {
        u32::try_from(self.part(u64::from(total))).unwrap_or(u32::MAX)
    }

    /// This runner among those that have bots, where there are at most so many over all; none if it has none itself.
    pub fn with_bots(self, most: u32) -> Option<Self> {
        (self.index < most).then(|| Self { of: self.of.min(most), ..self })
    }

    /// The id of this runner's n-th bot, n from 0: ids begin at 1 and no two runners share one.
    pub fn bot_id(self, n: u64) -> u64 {
        u64::from(self.index) + 1 + n * u64::from(self.of.max(1))
    }

    /// How many of the numbers from `from` to below `to` are this runner's, dealt out in turn.
    pub fn dealt(self, from: u64, to: u64) -> u64 {
        let of = u64::from(self.of.max(1));
        let below = |end: u64| (end + of - 1 - u64::from(self.index)) / of;
        below(to).saturating_sub(below(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_ids_are_unique() {
        for of in [1, 2, 3, 7] {
            let shares: Vec<Share> = (0..of).map(|index| Share { index, of }).collect();
            for total in [0, 1, 2, 10, 1000] {
                assert_eq!(shares.iter().map(|s| s.part(total)).sum::<u64>(), total);
                assert_eq!(shares.iter().map(|s| s.dealt(17, 17 + total)).sum::<u64>(), total);
            }
            for most in [1, 2, 5, 100] {
                let with_bots = shares.iter().filter_map(|s| s.with_bots(most));
                assert_eq!(with_bots.clone().map(|s| s.part(23)).sum::<u64>(), 23);
                assert_eq!(with_bots.count(), shares.iter().filter(|s| s.bots(most) > 0).count());
            }
            let mut ids: Vec<u64> = shares.iter().flat_map(|s| (0..10).map(|n| s.bot_id(n))).collect();
            ids.sort_unstable();
            assert_eq!(ids, (1..=u64::from(of) * 10).collect::<Vec<_>>());
        }
    }
}
