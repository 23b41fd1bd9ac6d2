//! Which rows are meant.

use super::{Row, RowKey, Totals};
use crate::series::Series;
use std::collections::BTreeSet;

/// What a figure is about: all that is given must fit. Nothing given: all measured rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// The base of rows (`Shop.buy` for all calls of it), or the name of some.
    pub action: Option<String>,
    /// The group that the rows are in, or in one inside of it.
    pub group: Option<String>,
    /// The scenario that the rows belong to.
    pub scenario: Option<String>,
    /// The stages, by scenario (empty when there is but one) and number.
    pub stages: Option<Vec<(String, u16)>>,
}

impl Totals {
    /// The sum of what is meant; empty if nothing is.
    pub fn select_by(&self, selector: &Selector) -> Series {
        let mut sum = Series::default();
        for (_, key, row) in self.meant(selector) {
            selector.add(&key, row, &mut sum);
        }
        sum
    }

    /// The keys of the rows that a figure is made of, if it cannot be told any more once they are summed with others.
    pub fn rows_of(&self, selector: &Selector) -> BTreeSet<String> {
        if selector.outlives_rows() {
            return BTreeSet::new();
        }
        let meant = self.meant(selector).into_iter();
        meant
            .filter(|(_, key, _)| selector.has_stages_of(key.scenario))
            .map(|(key, ..)| key.to_owned())
            .collect()
    }

    /// The rows that are meant, whatever their stages.
    fn meant(&self, selector: &Selector) -> Vec<(&str, RowKey<'_>, &Row)> {
        let rows = self.rows.iter().map(|(key, row)| (key.as_str(), RowKey::of(key), row));
        let mut meant: Vec<_> = rows.filter(|(_, key, _)| selector.is_around(key)).collect();
        match selector.action.as_deref() {
            None => meant.retain(|(.., row)| row.measured),
            // An action without arguments stands for all of its rows.
            Some(action) => meant.retain(|(_, key, row)| row.base == action || key.name == action),
        }
        meant
    }
}

impl Selector {
    /// Whether the figure stays what it is when rows are summed: it is about all that is measured, or about stages of the
    /// only scenario, which the sum keeps.
    fn outlives_rows(&self) -> bool {
        let names_none = self.action.is_none() && self.group.is_none() && self.scenario.is_none();
        names_none && self.stages.iter().flatten().all(|(scenario, _)| scenario.is_empty())
    }

    fn has_stages_of(&self, scenario: &str) -> bool {
        self.stages.as_ref().is_none_or(|stages| stages.iter().any(|(of, _)| of == scenario))
    }

    fn is_around(&self, key: &RowKey<'_>) -> bool {
        self.group.as_deref().is_none_or(|group| key.is_in(group))
            && match self.scenario.as_deref() {
                Some(scenario) => key.scenario == scenario,
                // What is done once before or after the load is no part of it, whatever its name.
                None => !key.is_apart(),
            }
    }

    fn add(&self, key: &RowKey<'_>, row: &Row, sum: &mut Series) {
        let Some(stages) = &self.stages else { return row.add_to(sum) };
        for (_, stage) in stages.iter().filter(|(scenario, _)| scenario == key.scenario) {
            if let Some(series) = row.stages.get(stage) {
                sum.absorb(series);
            }
        }
    }
}
