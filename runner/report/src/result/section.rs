//! Figures of a part of a run: a scenario, a stage.

use super::Figures;
use crate::totals::{RowKey, Selector, Totals};
use serde::{Deserialize, Serialize};

/// The parts of a run that are known from its definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dimension {
    /// The name of a scenario; empty when there is but one.
    pub scenario: String,
    /// The names of its stages, in order.
    pub stages: Vec<String>,
}

/// The measured actions of a part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Section {
    /// The scenario; absent when there is but one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The stage; absent in what is said of all stages of a scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Their figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// Each of them, sorted by name; only of a stage, and not in a status, which has to stay small.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<SectionAction>,
}

/// A measured action in a part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SectionAction {
    /// The name of its row.
    pub name: String,
    /// The group that it belongs to; absent when it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its figures there.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Section {
    /// A section for each scenario, where there are several.
    pub(super) fn scenarios(totals: &Totals, dimensions: &[Dimension]) -> Vec<Self> {
        if dimensions.len() < 2 {
            return Vec::new();
        }
        let section = |d: &Dimension| {
            let selector = Selector { scenario: Some(d.scenario.clone()), ..Selector::default() };
            Self::of(totals, d, None, &selector)
        };
        dimensions.iter().map(section).collect()
    }

    /// A section for each stage of each scenario that has several.
    pub(super) fn stages(totals: &Totals, dimensions: &[Dimension]) -> Vec<Self> {
        let several = dimensions.iter().filter(|d| d.stages.len() > 1);
        let each = several.flat_map(|d| (0_u16..).zip(&d.stages).map(move |(n, name)| (d, n, name)));
        let section = |(d, n, name): (&Dimension, u16, &String)| {
            let selector = Selector {
                scenario: Some(d.scenario.clone()),
                stages: Some(vec![(d.scenario.clone(), n)]),
                ..Selector::default()
            };
            let actions = SectionAction::of_stage(totals, &d.scenario, n);
            Self { actions, ..Self::of(totals, d, Some(name.clone()), &selector) }
        };
        each.map(section).collect()
    }

    fn of(totals: &Totals, dimension: &Dimension, stage: Option<String>, selector: &Selector) -> Self {
        let scenario = Some(dimension.scenario.clone()).filter(|name| !name.is_empty());
        Self { scenario, stage, figures: Figures::of(&totals.select_by(selector)), actions: Vec::new() }
    }

    /// What it is called in a table.
    pub fn name(&self) -> String {
        let parts = [&self.scenario, &self.stage];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" / ")
    }
}

impl SectionAction {
    /// The measured actions that did anything in a stage.
    fn of_stage(totals: &Totals, scenario: &str, stage: u16) -> Vec<Self> {
        let rows = totals.rows.iter().filter(|(_, row)| row.measured);
        let here = rows.filter_map(|(key, row)| {
            let key = RowKey::of(key);
            let series = row.stages.get(&stage).filter(|s| key.scenario == scenario && !s.is_empty())?;
            let group = Some(key.group.to_owned()).filter(|group| !group.is_empty());
            Some(Self { name: key.name.to_owned(), group, figures: Figures::of(series) })
        });
        here.collect()
    }
}
