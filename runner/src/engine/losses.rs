//! What the others take over of runners that were lost. Pure.
//!
//! Nobody deals it out: all runners are told the same list of losses, and each computes from it what has become of each
//! part, and what of that is its own. So it all adds up, whoever hears of a loss when.

use super::share::Share;
use botarmy_protocol::Loss;
use std::collections::BTreeSet;

/// The losses that a runner knows of, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Losses {
    share: Share,
    all: Vec<Loss>,
}

/// How many passes the bots of a runner may make where each makes so many: in the beginning, and what each loss has added,
/// a number for each bot.
pub(super) type Owed = Vec<Vec<u64>>;

impl Losses {
    /// Those of the others that this runner is told of. What makes no sense is left out: runners that there are none of,
    /// a second loss of one, and its own.
    pub(super) fn of(share: Share, told: &[Loss]) -> Self {
        let mut seen = BTreeSet::new();
        let others = told
            .iter()
            .filter(|loss| loss.index < share.of && loss.index != share.index && seen.insert(loss.index));
        Self { share, all: others.cloned().collect() }
    }

    /// This runner among all, those included that were lost.
    pub(super) fn own(&self) -> Share {
        self.share
    }

    pub(super) fn all(&self) -> &[Loss] {
        &self.all
    }

    /// This runner among those that are left.
    pub(super) fn share(&self) -> Share {
        self.share_after(self.all.len())
    }

    /// This runner among those that were left after the first losses.
    pub(super) fn share_after(&self, losses: usize) -> Share {
        self.among(self.share.index, losses.min(self.all.len()))
    }

    /// A runner among those that are left after so many losses.
    fn among(&self, index: u32, losses: usize) -> Share {
        let lost = &self.all[..losses];
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let before = count(lost.iter().filter(|loss| loss.index < index).count());
        Share {
            index: index.saturating_sub(before),
            of: self.share.of.saturating_sub(count(lost.len())).max(1),
        }
    }

    /// This runner's part of so many iterations of a scenario that has at most so many bots, with what it has taken over.
    /// Who has no bots has nobody who could make a pass.
    pub(super) fn iterations(&self, scenario: &str, total: u64, most: u32) -> u64 {
        let own = |share: Share| part_of(share, total, most);
        self.inherit(own, |lost, loss, heir, part| {
            let done = self.all[loss].done.iterations.get(scenario).copied().unwrap_or(0);
            *part += part_of(self.among(heir, loss + 1), lost.saturating_sub(done), most);
        })
    }

    /// The numbers of the rows that this runner has taken over of a table with so many, for a scenario that has at most so
    /// many bots. Rows that nobody uses up stay as even as the bots are, so that each bot has one where there are enough.
    pub(super) fn rows(&self, scenario: &str, count: u32, most: u32) -> Vec<u32> {
        let own = |share: Share| match share.with_bots(most) {
            Some(Share { index, of }) => (index..count).step_by(of.max(1) as usize).collect::<Vec<_>>(),
            None => Vec::new(),
        };
        let mut rows = self.inherit(own, |lost, loss, heir, rows| {
            let used = self.all[loss].done.rows.get(scenario).copied().unwrap_or(0);
            let left = lost.get(usize::try_from(used).unwrap_or(usize::MAX)..).unwrap_or_default();
            let (first, more, of) = self.places(loss, heir, u64::from(count), most);
            // The bounds are those of its neighbours, however few are left.
            let bound = |place: u64| {
                let rows = (place * left.len() as u64).div_ceil(of.max(1));
                usize::try_from(rows).unwrap_or(usize::MAX).min(left.len())
            };
            rows.extend(&left[bound(first)..bound(first + more)]);
        });
        rows.drain(..own(self.share).len());
        rows
    }

    /// How many passes each bot that this runner has taken over may make, by loss, where each makes so many; `bots` tells
    /// how many there were in all at a loss.
    pub(super) fn owed(&self, scenario: &str, per_bot: u64, bots: impl Fn(&Loss) -> u32) -> Owed {
        let at_first = self.all.first().map_or(0, &bots);
        let own =
            |share: Share| -> Owed { vec![vec![per_bot.saturating_mul(u64::from(share.bots(at_first)))]] };
        let owed = self.inherit(own, |lost, loss, heir, owed| {
            let bots = u64::from(bots(&self.all[loss]));
            let (first, count, of) = self.places(loss, heir, bots, u32::MAX);
            let left = self.left(scenario, loss, lost);
            // It has as many bots as it has taken over, whose passes are as even as can be.
            let one = |n: u64| part(left, first + n, of);
            owed.push((0..count).map(one).collect());
        });
        owed.into_iter().skip(1).collect()
    }

    /// So many bots or rows are dealt out to those that have bots, of which there are at most so many. Of what a lost
    /// runner had, that which one of the others has now: the first of it, how much, and of how much.
    fn places(&self, loss: usize, heir: u32, total: u64, most: u32) -> (u64, u64, u64) {
        let lost = self.all[loss].index;
        let (before, after) = (self.among(heir, loss), self.among(heir, loss + 1));
        let part = |share: Share| part_of(share, total, most);
        let of_lost = part(self.among(lost, loss));
        // What those before it have more of now.
        let had = up_to(before, total, most) - if lost < heir { of_lost } else { 0 };
        (up_to(after, total, most) - had, part(after) - part(before), of_lost)
    }

    /// The passes that the bots of a lost runner had yet to make.
    fn left(&self, scenario: &str, loss: usize, owed: &Owed) -> u64 {
        let done = &self.all[loss].done;
        let sum = |parts: &[Vec<u64>]| parts.iter().flatten().fold(0, |a: u64, b| a.saturating_add(*b));
        match done.owed.get(scenario) {
            // What it had not yet taken over when it told so is not in it.
            Some(told) => {
                let unknown = owed.get(done.knew as usize + 1..).unwrap_or_default();
                told.saturating_add(sum(unknown))
            }
            None => sum(owed),
        }
    }

    /// Follows the parts of this runner and of those that were lost: each is what `own` says in the beginning, and at each
    /// loss those that are left get theirs of the lost one's.
    fn inherit<P>(&self, own: impl Fn(Share) -> P, hand_on: impl Fn(&P, usize, u32, &mut P)) -> P {
        let of = self.share.of;
        let mut heirs: std::collections::VecDeque<(u32, P)> =
            self.all.iter().map(|loss| (loss.index, own(Share { index: loss.index, of }))).collect();
        let mut mine = own(self.share);
        for loss in 0..self.all.len() {
            let Some((_, lost)) = heirs.pop_front() else { break };
            for (heir, part) in &mut heirs {
                hand_on(&lost, loss, *heir, part);
            }
            hand_on(&lost, loss, self.share.index, &mut mine);
        }
        mine
    }
}

/// The part of one of so many.
fn part(total: u64, index: u64, of: u64) -> u64 {
    let of = of.max(1);
    total / of + u64::from(index < total % of)
}

/// A runner's part of what is dealt out to those that have bots, of which there are at most so many.
fn part_of(share: Share, total: u64, most: u32) -> u64 {
    share.with_bots(most).map_or(0, |share| share.part(total))
}

/// What those have together that come before one.
fn up_to(share: Share, total: u64, most: u32) -> u64 {
    let Some(Share { index, of }) = share.with_bots(most) else { return total };
    let (index, of) = (u64::from(index), u64::from(of.max(1)));
    index * (total / of) + index.min(total % of)
}

/// Whose each arrival is, by its number.
#[derive(Debug, Clone)]
pub(super) struct Deal {
    of: u32,
    losses: Vec<Dealt>,
}

/// A loss, as far as arrivals are concerned.
#[derive(Debug, Clone)]
struct Dealt {
    lost: u32,
    /// From this arrival on those of the lost one are the others'.
    from: u64,
    /// Who was lost by then, in the order of their indexes.
    missing: Vec<u32>,
}

/// Where an arrival belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The runner.
    pub(super) runner: u32,
    /// Its number among those that this runner has by the same loss.
    pub(super) position: u64,
    /// The loss that has brought it there.
    pub(super) by: Option<usize>,
}

impl Deal {
    /// Nobody is lost of so many runners.
    pub(super) fn among(of: u32) -> Self {
        Self { of: of.max(1), losses: Vec::new() }
    }

    /// How many losses it knows of.
    pub(super) fn losses(&self) -> usize {
        self.losses.len()
    }

    /// The runners that were lost by a loss, that one included, and the arrival from which on it counts.
    pub(super) fn lost_by(&self, loss: usize) -> (Vec<u32>, u64) {
        (self.losses[..=loss].iter().map(|dealt| dealt.lost).collect(), self.losses[loss].from)
    }

    /// A runner is lost: its arrivals from this one on are dealt out in turn.
    pub(super) fn lose(&mut self, lost: u32, from: u64) {
        let mut missing: Vec<u32> = self.losses.iter().map(|dealt| dealt.lost).chain([lost]).collect();
        missing.sort_unstable();
        self.losses.push(Dealt { lost, from, missing });
    }

    /// Where an arrival belongs.
    pub(super) fn place(&self, arrival: u64) -> Place {
        let of = u64::from(self.of);
        let runner = u32::try_from(arrival % of).unwrap_or_default();
        let mut place = Place { runner, position: arrival / of, by: None };
        for (loss, dealt) in self.losses.iter().enumerate() {
            if place.runner != dealt.lost || arrival < dealt.from {
                continue;
            }
            let left = of - dealt.missing.len() as u64;
            if left == 0 {
                break;
            }
            let runner = dealt.nth(u32::try_from(place.position % left).unwrap_or_default());
            place = Place { runner, position: place.position / left, by: Some(loss) };
        }
        place
    }
}

impl Dealt {
    /// The n-th of those that are left, n from 0.
    fn nth(&self, n: u32) -> u32 {
        self.missing.iter().fold(n, |nth, missing| nth + u32::from(*missing <= nth))
    }
}

#[cfg(test)]
#[path = "losses/tests.rs"]
mod tests;
