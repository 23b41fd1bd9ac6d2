//! How much memory the measures of an army take. A runner that makes them up could have it grow with each check-in. Pure.

use super::check_in::Refusal;
use super::{Army, Keep};
use botarmy_report::{Delta, MAX_ROWS};

/// Most that the measures of an army may take, in bytes, about. While a large check-in is added and a checkpoint is
/// made, there are several copies, and all of them have to fit into what the operator is given.
const MAX_WEIGHT: usize = 24 << 20;
/// Most names of rows that are remembered because they were summed: those that come after them are summed anew each
/// time that they are too many.
pub(super) const MAX_SUMMED: usize = 4 * MAX_ROWS;

impl Army {
    /// Makes room for a delta: where there is too little, the rows with the fewest samples are summed, those of
    /// thresholds last.
    pub(super) fn make_room(&mut self, delta: &Delta) -> Result<(), Refusal> {
        let more = delta.weight();
        if more > MAX_WEIGHT {
            return Err(Refusal::Weight);
        }
        // At most so much; weighing all of it each time would take longer than adding to it.
        self.weight = self.weight.saturating_add(more);
        let mut steps = Keep::steps(MAX_ROWS);
        while self.weight > MAX_WEIGHT {
            let own = self.weigh();
            self.weight = own.saturating_add(more);
            if self.weight <= MAX_WEIGHT {
                break;
            }
            let Some(keep) = steps.next() else {
                self.weight = own;
                return Err(Refusal::Weight);
            };
            self.keep_largest_rows(keep);
        }
        Ok(())
    }

    /// What its measures take, in bytes, about.
    pub(super) fn weigh(&self) -> usize {
        self.state.totals.weight() + self.state.warmup.weight()
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_cannot_be_made_room_for_is_refused_and_changes_nothing() {
        let mut army = army(1);
        army.weight = MAX_WEIGHT;
        army.check_in(&delta(1, heavy("a", 1)), 1).unwrap();
        assert!((1..1 << 20).contains(&army.weight), "it was weighed: {}", army.weight);
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
