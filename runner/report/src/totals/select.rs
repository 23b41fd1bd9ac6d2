//! Which rows are meant.

use super::{Row, RowKey, Totals};
use crate::series::Series;

/// What a figure is about: all that is given must fit. Nothing given: all measured rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// The base of rows (`Shop.buy` for all calls of it) or else the name of one.
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
        let rows = self.rows.iter().map(|(key, row)| (RowKey::of(key), row));
        let around: Vec<_> = rows.filter(|(key, _)| selector.is_around(key)).collect();
        let mut sum = Series::default();
        for (key, row) in &around {
            let is_meant = match selector.action.as_deref() {
                None => row.measured,
                // A name without arguments stands for all of its rows.
                Some(action) if around.iter().any(|(_, other)| other.base == action) => row.base == action,
                Some(action) => key.name == action,
            };
            if is_meant {
                selector.add(key, row, &mut sum);
            }
        }
        sum
    }
}

impl Selector {
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
