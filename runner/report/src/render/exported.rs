//! The rows that leave for other systems: few enough for them, and with names that are short enough.

use crate::bounded::cut;
use crate::details::Details;
use crate::series::Series;
use crate::totals::{OTHER, OTHER_CONTROL, Row, RowKey, Totals};

/// Most rows with names of their own; the rest is summed, since each name costs the receiver's memory.
const MAX_ROWS: usize = 200;
/// Longest name, scenario and group, in bytes.
const MAX_NAME: usize = 256;

/// What was counted for a row, with what tells it from others.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The name, at most 256 bytes.
    pub name: String,
    /// The scenario, at most 256 bytes; empty when there is but one.
    pub scenario: String,
    /// The group, at most 256 bytes; empty without labels.
    pub group: String,
    /// Latencies by outcome over all stages.
    pub series: Series,
    /// Failures, status codes and bytes.
    pub details: Details,
}

impl Exported {
    fn new(key: RowKey<'_>) -> Self {
        let [name, scenario, group] =
            [key.name, key.scenario, key.group].map(|text| cut(text, MAX_NAME).to_owned());
        Self { name, scenario, group, series: Series::default(), details: Details::default() }
    }

    fn is_of(&self, key: RowKey<'_>) -> bool {
        [(&self.name, key.name), (&self.scenario, key.scenario), (&self.group, key.group)]
            .into_iter()
            .all(|(own, name)| own == cut(name, MAX_NAME))
    }

    fn add(&mut self, row: &Row) {
        row.add_to(&mut self.series);
        self.details.absorb(&row.details);
    }
}

/// The rows for other systems: 200 with names of their own, those beyond as one for each kind. Rows whose
/// names are the same once they are cut are one.
pub fn exported(totals: &Totals) -> Vec<Exported> {
    at_most(MAX_ROWS, totals.rows.iter())
}

/// The measured rows alone: at most so many with names of their own, those beyond as one.
pub fn exported_measured(totals: &Totals, most: usize) -> Vec<Exported> {
    at_most(most, totals.rows.iter().filter(|(_, row)| row.measured))
}

fn at_most<'a>(most: usize, all: impl Iterator<Item = (&'a String, &'a Row)>) -> Vec<Exported> {
    let mut rows: Vec<Exported> = Vec::new();
    for (key, row) in all {
        let mut key = RowKey::of(key);
        if rows.len() >= most && !rows.iter().any(|own| own.is_of(key)) {
            key = RowKey { name: if row.measured { OTHER } else { OTHER_CONTROL }, scenario: "", group: "" };
        }
        match rows.iter_mut().find(|own| own.is_of(key)) {
            Some(own) => own.add(row),
            None => {
                let mut own = Exported::new(key);
                own.add(row);
                rows.push(own);
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, Recorder, RowInfo};

    #[test]
    fn rows_that_cannot_be_told_apart_are_one() {
        let long = "x".repeat(MAX_NAME);
        let row = |n: usize| RowInfo {
            name: format!("{long}{n}"),
            base: "x".into(),
            measured: true,
            scenario: if n < 2 { "day".into() } else { "night".into() },
            ..RowInfo::default()
        };
        let mut recorder = Recorder::new((0..4).map(row).collect(), 1_000);
        (0..4).for_each(|row| recorder.record(row, Outcome::Succeed, 5));
        recorder.record(1, Outcome::Fail, 5);
        let rows = exported(&recorder.drain());
        let told: Vec<_> =
            rows.iter().map(|r| (&*r.scenario, r.name.len(), r.series.measured_count())).collect();
        assert_eq!(told, [("day", MAX_NAME, 3), ("night", MAX_NAME, 2)]);
    }

    #[test]
    fn measured_rows_alone_are_bounded_apart() {
        let row = |n: usize| RowInfo {
            name: format!("r{n}"),
            base: "r".into(),
            measured: !n.is_multiple_of(3),
            ..RowInfo::default()
        };
        let mut recorder = Recorder::new((0..9).map(row).collect(), 1_000);
        (0..9).for_each(|row| recorder.record(row, Outcome::Succeed, 5));
        let totals = recorder.drain();
        let told = |most| -> Vec<(String, u64)> {
            let rows = exported_measured(&totals, most);
            rows.into_iter().map(|r| (r.name, r.series.measured_count())).collect()
        };
        assert_eq!(told(6).len(), 6, "those that are not measured take no place");
        let of = |name: &str, count: u64| (name.to_owned(), count);
        assert_eq!(told(2), [of("r1", 1), of("r2", 1), of(OTHER, 4)]);
    }

    #[test]
    fn a_row_that_is_called_like_the_sums_is_in_them() {
        let row = |n: usize| {
            let name = if n == 0 { OTHER.to_owned() } else { format!("r{n:04}") };
            RowInfo { name, base: "r".into(), measured: n.is_multiple_of(2), ..RowInfo::default() }
        };
        let mut recorder = Recorder::new((0..300).map(row).collect(), 1_000);
        (0..300).for_each(|row| recorder.record(row, Outcome::Succeed, 5));
        let rows = exported(&recorder.drain());
        let names: std::collections::BTreeSet<_> = rows.iter().map(|r| &r.name).collect();
        assert_eq!((rows.len(), names.len()), (MAX_ROWS + 1, MAX_ROWS + 1), "none is there twice");
        let sum: u64 = rows.iter().map(|r| r.series.measured_count()).sum();
        assert_eq!(sum, 300);
    }
}
