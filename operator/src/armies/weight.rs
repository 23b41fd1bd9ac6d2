//! How much memory the measures of an army take, and those of all. A runner that makes them up could have it grow with
//! each check-in. Pure but for the sum over all armies.

use super::check_in::Refusal;
use super::{Army, Checkpoint, Keep};
use botarmy_report::{Delta, MAX_ROWS};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Most that the measures of an army may take, in bytes, about. While a large check-in is added and a checkpoint is
/// made, there are several copies, and all of them have to fit into what the operator is given.
const MAX_WEIGHT: usize = 24 << 20;
/// Most that those of all armies may take. Beyond that each has an equal share, and so much at least: with so many of them
/// that this comes to more, none is worth being looked at for its own sake.
const MAX_WEIGHT_OF_ALL: usize = 64 << 20;
const LEAST_SHARE: usize = 64 << 10;
/// An army whose measures take no more than this, in bytes, is never refused any, nor loses a row that a threshold is about,
/// however many others there are.
const NEVER_REFUSED: usize = 256 << 10;
/// By how much an army may be taken for heavier than twice what it was when it was weighed, in bytes.
const SLACK: usize = LEAST_SHARE;
/// Most names of rows that are remembered because they were summed: those that come after them are summed anew each
/// time that they are too many.
pub(super) const MAX_SUMMED: usize = 4 * MAX_ROWS;

/// What the measures of all armies take together.
#[derive(Debug, Default)]
pub struct Budget {
    taken: AtomicUsize,
    armies: AtomicUsize,
}

impl Budget {
    /// Most that one army may take now.
    fn share(&self) -> usize {
        let (taken, armies) = (self.taken.load(Relaxed), self.armies.load(Relaxed));
        if taken <= MAX_WEIGHT_OF_ALL {
            return MAX_WEIGHT;
        }
        (MAX_WEIGHT_OF_ALL / armies.max(1)).clamp(LEAST_SHARE, MAX_WEIGHT)
    }
}

/// What one army takes of the budget, for as long as it is there.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Budget>,
    /// What its measures take at most, in bytes, about.
    taken: usize,
    /// What they took when they were weighed.
    weighed: usize,
}

impl Share {
    pub(super) fn new(of: Arc<Budget>, weighed: usize) -> Self {
        of.armies.fetch_add(1, Relaxed);
        of.taken.fetch_add(weighed, Relaxed);
        Self { of, taken: weighed, weighed }
    }

    fn take(&mut self, bytes: usize) {
        self.of.taken.fetch_add(bytes, Relaxed);
        self.of.taken.fetch_sub(self.taken, Relaxed);
        self.taken = bytes;
    }

    /// Whether it may be much less by now: then weighing it takes no longer than what was added since has taken.
    fn is_doubtful(&self) -> bool {
        self.taken > self.weighed.saturating_mul(2).saturating_add(SLACK)
    }

    fn is_exceeded(&self) -> bool {
        self.taken > self.of.share()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.take(0);
        self.of.armies.fetch_sub(1, Relaxed);
    }
}

impl Army {
    /// Its measures take of this from now on.
    pub fn draws_on(&mut self, budget: Arc<Budget>) {
        self.share = Share::new(budget, self.share.taken);
    }

    /// Makes room for a delta: where there is too little, points of the timeline are merged, as long as they take more than
    /// half of it; then the rows with the fewest samples are summed, those of thresholds last.
    pub(super) fn make_room(&mut self, delta: &Delta) -> Result<(), Refusal> {
        let more = delta.weight();
        if more > MAX_WEIGHT {
            return Err(Refusal::Weight);
        }
        // At most so much; weighing all of it each time would take longer than adding to it.
        self.share.take(self.share.taken.saturating_add(more));
        if self.share.is_doubtful() {
            self.weigh_with(more);
        }
        let mut steps = Keep::steps(MAX_ROWS);
        while self.share.is_exceeded() {
            self.weigh_with(more);
            if !self.share.is_exceeded() {
                break;
            }
            if self.state.timeline.weight() > self.share.of.share() / 2 && self.merge_points() {
                continue;
            }
            let step = steps.next();
            // However many others there are, nobody's verdict is lost to them.
            if self.share.taken <= NEVER_REFUSED && step.is_none_or(|keep| !keep.judged) {
                break;
            }
            let Some(keep) = step else {
                self.weigh_with(0);
                return Err(Refusal::Weight);
            };
            self.keep_largest_rows(keep);
        }
        Ok(())
    }

    /// Merges points over time; whether there are fewer now.
    fn merge_points(&mut self) -> bool {
        let before = self.state.timeline.len();
        self.state.timeline.keep_at_most(before / 2);
        self.state.timeline.len() < before
    }

    /// Takes note of what the points over time take now, which are no part of what a delta weighs.
    pub(super) fn weigh_time(&mut self, before: usize) {
        let grown = self.state.timeline.weight().saturating_sub(before);
        self.share.take(self.share.taken.saturating_add(grown));
    }

    /// Weighs it, with what is to be added.
    fn weigh_with(&mut self, more: usize) {
        self.share.weighed = self.weigh();
        self.share.take(self.share.weighed.saturating_add(more));
    }

    /// What its measures take, in bytes, about.
    pub(super) fn weigh(&self) -> usize {
        of(&self.state)
    }
}

/// What the measures in a checkpoint take, in bytes, about.
pub(super) fn of(state: &Checkpoint) -> usize {
    state.totals.weight() + state.warmup.weight() + state.timeline.weight()
}

#[cfg(test)]
mod tests {
    use super::super::MAX_POINTS;
    use super::super::tests::{army, said};
    use super::*;
    use botarmy_protocol::{CheckIn, Stage};
    use botarmy_report::{Outcome, RowInfo, Series, Slice, Totals};

    /// A row that takes as much as one can: in each of its stages each page has a value.
    fn heavy(name: &str, stages: u16) -> Totals {
        let info = RowInfo { name: name.into(), base: name.into(), measured: true, ..RowInfo::default() };
        let mut series = Series::default();
        for n in 0..1_100_u64 {
            series.record(Outcome::Succeed, (1 << (11 + n % 20)) + (n << (n % 20)));
        }
        let mut totals = Totals::default();
        totals.add(&info, series.clone()).unwrap();
        for row in totals.rows.values_mut() {
            row.stages = (0..stages).map(|stage| (stage, series.clone())).collect();
        }
        totals
    }

    fn delta(sequence: u64, totals: Totals) -> CheckIn {
        let slice = Slice { second: 0, totals, warmup: sequence.is_multiple_of(2), apart: false };
        let delta = Delta { sequence, slices: vec![slice], alive: 1 };
        CheckIn { deltas: vec![delta], ..said(0, Stage::Running, &[]) }
    }

    #[test]
    fn measures_that_are_made_up_take_no_more_than_there_is_room_for() {
        let mut army = army(1);
        let one = heavy("a", 20);
        assert!(one.weight() > 1 << 19, "{} bytes", one.weight());
        let deltas = (MAX_WEIGHT / one.weight()) as u64 * 5 / 4;
        for sequence in 1..=deltas {
            let totals = heavy(&format!("row {sequence}"), 20);
            army.check_in(&delta(sequence, totals), 1).unwrap();
            assert!(army.weigh() <= MAX_WEIGHT, "{} bytes", army.weigh());
        }
        assert!(army.summed_rows() > 0);
        let count = |totals: &Totals| totals.total().measured_count();
        let counted = count(&army.state.totals) + count(&army.state.warmup);
        assert_eq!(counted, deltas * 21 * 1_100, "no count is lost");
    }

    /// Rows of as many series as there may be, each of one sample: what the most brackets are written for.
    fn scattered(name: &str) -> Totals {
        let mut totals = Totals::default();
        let mut one = Series::default();
        one.record(Outcome::Succeed, 1_000);
        for row in 0..10 {
            let name = format!("{name} {row}");
            let info = RowInfo { name: name.clone(), base: name, measured: true, ..RowInfo::default() };
            totals.add(&info, one.clone()).unwrap();
        }
        for row in totals.rows.values_mut() {
            row.stages = (0..100).map(|stage| (stage, one.clone())).collect();
        }
        totals
    }

    #[test]
    fn the_largest_checkpoint_that_is_written_is_read() {
        for what in ["full", "scattered"] {
            let totals = |n: u64| match what {
                "full" => heavy(&format!("row {n}"), 20),
                _ => scattered(&format!("row {n}")),
            };
            let mut army = army(1);
            army.check_in(&said(0, Stage::Running, &[1]), 1).unwrap();
            let mut weight = army.weigh();
            for more in (1..).map(totals) {
                weight += more.weight();
                if weight > MAX_WEIGHT || army.state.totals.rows.len() + more.rows.len() > MAX_ROWS {
                    break;
                }
                army.state.totals.rows.extend(more.rows);
            }
            let pod = army.state.pods.values().next().unwrap().clone();
            army.state.pods.extend((0..1_000).map(|n| (format!("b3a6-{n:030}"), pod.clone())));
            // As it is written: where it does not fit, the smallest rows are summed until it does.
            let mut keep = Keep::steps(MAX_ROWS);
            while crate::checkpoint::parts(&army.checkpoint()).is_err() {
                army.keep_largest_rows(keep.next().unwrap());
            }
            let rows = army.totals().rows.len() + army.state.warmup.rows.len();
            assert!(rows >= 20, "{what}: {rows} rows are left");
            let read = crate::checkpoint::unpack(&crate::checkpoint::pack(&army.checkpoint()).unwrap());
            assert!(read.is_ok_and(|read| read == army.checkpoint()), "{what}: {rows} rows");
        }
    }

    #[test]
    fn all_armies_together_take_no_more_than_there_is_room_for() {
        const ARMIES: usize = 8;
        let budget = Arc::<Budget>::default();
        let mut armies: Vec<Army> = (0..ARMIES).map(|_| army(1)).collect();
        for army in &mut armies {
            army.draws_on(budget.clone());
        }
        let deltas = (14 << 20) / heavy("a", 20).weight() as u64;
        let add = |army: &mut Army, sequence: u64| {
            army.check_in(&delta(sequence, heavy(&format!("row {sequence}"), 20)), 1).unwrap();
        };
        let weigh = |armies: &[Army]| armies.iter().map(Army::weigh).sum::<usize>();
        for sequence in 1..=deltas {
            for army in &mut armies[1..] {
                add(army, sequence);
            }
            let weight = weigh(&armies);
            assert!(weight <= MAX_WEIGHT_OF_ALL + ARMIES * (1 << 20), "{weight} bytes after {sequence}");
        }
        // As soon as some are lighter there is room for the others.
        let summed = armies[1..].iter().filter(|army| army.summed_rows() > 0).count();
        assert!(summed > ARMIES / 2, "{summed}");
        // One that takes little is left alone.
        for sequence in 1..=4 {
            add(&mut armies[0], sequence);
        }
        assert_eq!(armies[0].summed_rows(), 0);
        assert_eq!(budget.armies.load(Relaxed), ARMIES);
        // Once others are gone there is room again.
        armies.truncate(2);
        assert!(budget.taken.load(Relaxed) <= MAX_WEIGHT_OF_ALL / 2);
        assert_eq!((budget.armies.load(Relaxed), budget.share()), (2, MAX_WEIGHT));
        armies.clear();
        assert_eq!((budget.taken.load(Relaxed), budget.armies.load(Relaxed)), (0, 0));
    }

    #[test]
    fn what_happened_over_time_is_weighed_too_and_told_in_less_points_before_rows_are_summed() {
        let budget = Arc::<Budget>::default();
        // So many others that little is left for each.
        let others: Vec<Share> = (0..800).map(|_| Share::new(budget.clone(), 84 << 10)).collect();
        let mut army = army(1);
        army.draws_on(budget.clone());
        let one = heavy("a", 0);
        for second in 0..100 {
            let slice = Slice { second, totals: one.clone(), warmup: false, apart: false };
            let delta = Delta { sequence: second + 1, slices: vec![slice], alive: 1 };
            army.check_in(&CheckIn { deltas: vec![delta], ..said(0, Stage::Running, &[]) }, 1).unwrap();
            let (weight, points) = (army.state.timeline.weight(), army.state.timeline.len());
            assert!(points <= MAX_POINTS, "{points} points");
            // One more second is added after there was made room.
            assert!(weight <= budget.share() * 3 / 4 || points <= 1, "{weight} bytes in {points} points");
        }
        assert!(army.state.timeline.len() < MAX_POINTS / 2, "{}", army.state.timeline.len());
        let told: u64 = army.result(1).series.unwrap_or_default().points.iter().map(|p| p.actions).sum();
        assert_eq!(told, 100 * 1_100, "no count is lost");
        drop(others);
    }

    #[test]
    fn with_many_armies_each_has_its_least_share() {
        let budget = Arc::<Budget>::default();
        let full = Share::new(budget.clone(), MAX_WEIGHT_OF_ALL);
        assert_eq!((budget.share(), full.is_exceeded()), (MAX_WEIGHT, true));
        let mut others: Vec<Share> = (0..7).map(|_| Share::new(budget.clone(), 1)).collect();
        assert_eq!(budget.share(), MAX_WEIGHT_OF_ALL / 8);
        others.extend((0..2_000).map(|_| Share::new(budget.clone(), 1)));
        assert_eq!((budget.share(), others[0].is_exceeded()), (LEAST_SHARE, false));
    }

    #[test]
    fn an_army_whose_measures_are_all_of_the_same_rows_does_not_seem_to_grow() {
        let mut army = army(1);
        for sequence in 1..=200 {
            army.check_in(&delta(sequence, heavy("a", 1)), 1).unwrap();
            let (taken, own) = (army.share.taken, army.weigh());
            assert!(own <= taken && taken <= 3 * own + SLACK, "{taken} for {own} bytes at {sequence}");
        }
    }

    #[test]
    fn what_cannot_be_made_room_for_is_refused_and_changes_nothing() {
        let mut army = army(1);
        army.share.take(MAX_WEIGHT);
        army.check_in(&delta(1, heavy("a", 1)), 1).unwrap();
        assert!((1..1 << 20).contains(&army.share.taken), "it was weighed: {}", army.share.taken);
        let mut many = heavy("b", 100).rows.remove("b").unwrap();
        let mut huge = Totals::default();
        while huge.weight() <= MAX_WEIGHT {
            huge.rows.insert(format!("{}", huge.rows.len()), many.clone());
            many.base.push('x');
        }
        let before = army.totals().clone();
        assert!(matches!(army.check_in(&delta(2, huge), 2), Err(Refusal::Weight)));
        assert!(*army.totals() == before, "the rows of others are left alone");
        army.check_in(&delta(2, heavy("a", 1)), 3).unwrap();
    }
}
