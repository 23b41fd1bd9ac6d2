//! Which bot has which row of the data. Pure.

use super::share::Share;
use botarmy_spec::Data;
use botarmy_spec::types::Exhausted;
use serde_json::Value;
use std::collections::VecDeque;

/// A row that a bot has for as long as it lives.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) number: u32,
    /// Its values by column.
    pub(super) value: Value,
}

/// What there is for a bot that wants to begin.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// This row.
    Row(Row),
    /// None now: all are in use.
    Later,
    /// None any more.
    Never,
}

/// This runner's rows: rows are dealt out to the runners that have bots in turn, as the ids of bots are, so that the
/// first bots have the rows of their ids.
#[derive(Debug)]
pub(super) struct Rows {
    data: Data,
    /// None: it has no bots, and so none of its own.
    share: Option<Share>,
    /// How many of this runner's own rows have been used.
    used: u32,
    /// Those that it has taken over of runners that were lost, and how many of them have been used.
    more: Vec<u32>,
    used_of_more: usize,
    /// Rows that were given back, the one that has waited longest first.
    free: VecDeque<u32>,
}

impl Rows {
    pub(super) fn new(data: &Data, share: Option<Share>) -> Self {
        Self { data: data.clone(), share, used: 0, more: Vec::new(), used_of_more: 0, free: VecDeque::new() }
    }

    /// Passes over so many rows, which were used up by the runner whose place this one has taken.
    pub(super) fn pass_over(&mut self, used: u64) {
        let own = self.share.map_or(0, |share| share.dealt(0, u64::from(self.len())));
        self.used = u32::try_from(used.min(own)).unwrap_or(u32::MAX);
        let of_more = usize::try_from(used.saturating_sub(own)).unwrap_or(usize::MAX);
        self.used_of_more = of_more.min(self.more.len());
    }

    /// Takes over the rows that runners have left that were lost: all of them, those included that it has already.
    pub(super) fn take_over(&mut self, more: Vec<u32>) {
        self.more = more;
    }

    /// How many rows are used up, where none is used twice.
    pub(super) fn used_up(&self) -> Option<u64> {
        let used = u64::from(self.used) + self.used_of_more as u64;
        (self.data.exhausted == Exhausted::Stop).then_some(used)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> u32 {
        self.data.table.as_ref().map_or(0, |table| u32::try_from(table.len()).unwrap_or(u32::MAX))
    }

    /// Takes a row: one that nobody has used yet, or else the one that was given back first.
    pub(super) fn take(&mut self) -> Next {
        let fresh = self.fresh();
        if let Some(value) = self.value(fresh) {
            self.used += 1;
            return Next::Row(Row { number: fresh, value });
        }
        if let Some(number) = self.more.get(self.used_of_more).copied()
            && let Some(value) = self.value(number)
        {
            self.used_of_more += 1;
            return Next::Row(Row { number, value });
        }
        if self.are_over() {
            return Next::Never;
        }
        let free = self.free.pop_front();
        let row = free.and_then(|number| Some(Row { number, value: self.value(number)? }));
        row.map_or(Next::Later, Next::Row)
    }

    /// Whether no bot will be given a row any more.
    pub(super) fn are_over(&self) -> bool {
        let has_none = self.used == 0 && self.used_of_more == 0;
        self.fresh() >= self.len()
            && self.used_of_more >= self.more.len()
            && (self.data.exhausted == Exhausted::Stop || has_none)
    }

    /// Gives the row of a number back.
    pub(super) fn give_back(&mut self, row: u32) {
        if self.data.exhausted != Exhausted::Stop {
            self.free.push_back(row);
        }
    }

    /// The number of the next row that nobody has used yet; a table has fewer rows than 32 bits count.
    fn fresh(&self) -> u32 {
        let place = |Share { index, of }: Share| index.saturating_add(self.used.saturating_mul(of.max(1)));
        self.share.map_or(u32::MAX, place)
    }

    fn value(&self, number: u32) -> Option<Value> {
        self.data.table.as_ref()?.row(number as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_spec::Table;
    use botarmy_spec::data::Source;
    use botarmy_spec::types::DataFormat;
    use std::sync::Arc;

    fn rows(count: usize, exhausted: Exhausted, index: u32, of: u32) -> Rows {
        let text = (0..count).fold("n\n".to_owned(), |text, n| text + &format!("{n}\n"));
        let table = Some(Arc::new(Table::read(text, DataFormat::Csv).expect("rows")));
        let data = Data { source: Source::Inline, format: DataFormat::Csv, exhausted, table };
        Rows::new(&data, Share { index, of }.with_bots(of))
    }

    fn number(next: &Next) -> Option<&str> {
        match next {
            Next::Row(row) => row.value["n"].as_str(),
            Next::Later | Next::Never => None,
        }
    }

    #[test]
    fn rows_are_dealt_out_and_no_two_bots_have_one() {
        let mut seen = Vec::new();
        for index in 0..3 {
            let mut rows = rows(7, Exhausted::Wait, index, 3);
            let taken: Vec<Next> =
                std::iter::from_fn(|| Some(rows.take()).filter(|n| *n != Next::Later)).collect();
            assert_eq!(number(&taken[0]), Some(&*index.to_string()));
            seen.extend(taken.iter().filter_map(|n| number(n).map(str::to_owned)));
        }
        seen.sort();
        assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"]);
    }

    #[test]
    fn what_follows_the_last_row_is_said() {
        for exhausted in [Exhausted::Recycle, Exhausted::Wait] {
            let mut rows = rows(2, exhausted, 0, 1);
            let (Next::Row(a), Next::Row(b)) = (rows.take(), rows.take()) else { panic!("two rows") };
            assert_eq!(rows.take(), Next::Later);
            rows.give_back(b.number);
            rows.give_back(a.number);
            assert_eq!((rows.take(), rows.take()), (Next::Row(b), Next::Row(a)), "the first comes first");
            assert!(!rows.are_over());
        }
        let mut rows = rows(1, Exhausted::Stop, 0, 1);
        assert!(!rows.are_over());
        let Next::Row(row) = rows.take() else { panic!("a row") };
        rows.give_back(row.number);
        assert_eq!(rows.take(), Next::Never);
        assert!(rows.are_over());
    }

    #[test]
    fn rows_that_were_taken_over_come_after_its_own_and_none_that_is_used_up() {
        let mut rows = rows(7, Exhausted::Stop, 1, 3);
        rows.pass_over(1);
        assert_eq!(number(&rows.take()), Some("4"));
        assert_eq!((rows.take(), rows.are_over(), rows.used_up()), (Next::Never, true, Some(2)));
        rows.take_over(vec![0, 6]);
        assert!(!rows.are_over());
        assert_eq!(number(&rows.take()), Some("0"));
        rows.take_over(vec![0, 6, 5]);
        assert_eq!([rows.take(), rows.take()].each_ref().map(number), [Some("6"), Some("5")]);
        assert_eq!((rows.take(), rows.used_up()), (Next::Never, Some(5)));
        // Whoever takes its place has all of them in this order.
        let mut next = super::tests::rows(7, Exhausted::Stop, 1, 3);
        next.take_over(vec![0, 6, 5]);
        next.pass_over(4);
        assert_eq!((number(&next.take()), next.take()), (Some("5"), Next::Never));
        // Where they are used again nothing is used up.
        let mut wait = super::tests::rows(1, Exhausted::Wait, 1, 2);
        wait.take_over(vec![0]);
        let Next::Row(row) = wait.take() else { panic!("a row") };
        assert_eq!((wait.take(), wait.used_up()), (Next::Later, None));
        wait.give_back(row.number);
        assert_eq!(wait.take(), Next::Row(row));
    }

    #[test]
    fn a_runner_without_a_row_of_its_own_starts_no_bot() {
        let mut rows = rows(1, Exhausted::Wait, 1, 2);
        assert!(rows.are_over());
        assert_eq!(rows.take(), Next::Never);
    }
}
