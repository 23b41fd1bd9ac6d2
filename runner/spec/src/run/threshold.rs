//! Thresholds: what they are about exists, and how a run stands to them.

use super::check::Check;
use super::{Error, Scenario};
use crate::types::{BotRunSpec, ThresholdSpec};
use botarmy_report::{Selector, Threshold, ThresholdResult, Totals};
use botarmy_tree::finding::listed;
use botarmy_tree::plan::LeafRecord;
use botarmy_tree::{Path, duration};
use std::collections::BTreeSet;
use std::time::Duration;

/// The value of a threshold whose rows are not told apart any more.
const SUMMED: &str = "unknown, as its rows were summed";
/// Most names that a mistake lists.
const MAX_LISTED: usize = 20;

/// A threshold and what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct RunThreshold {
    /// As it is written.
    pub spec: ThresholdSpec,
    /// Whose measures it is about.
    pub about: Selector,
    /// As it is computed.
    pub threshold: Threshold,
    /// From when on it ends the run when it fails, since the start.
    pub aborts_after: Option<Duration>,
}

impl RunThreshold {
    /// How what was measured stands to it.
    pub fn judge(&self, totals: &Totals) -> ThresholdResult {
        let judgement = self.threshold.evaluate(&totals.select_by(&self.about));
        self.result(judgement.value, judgement.passed)
    }

    /// What is said of it when what it is about was summed with other rows: like one without samples it proves nothing.
    pub(super) fn unknown(&self) -> ThresholdResult {
        self.result(SUMMED.to_owned(), false)
    }

    fn result(&self, value: String, passed: bool) -> ThresholdResult {
        let ThresholdSpec { expect, action, group, scenario, stage, .. } = self.spec.clone();
        ThresholdResult { expect, action, group, scenario, stage, value, passed }
    }
}

impl RunThreshold {
    /// Whether it ends the run so long after its start. What has no samples yet is not judged.
    pub(super) fn aborts(&self, totals: &Totals, since_start: Duration) -> bool {
        if self.aborts_after.is_none_or(|after| since_start < after) {
            return false;
        }
        let series = totals.select_by(&self.about);
        self.threshold.has_samples(&series) && !self.threshold.evaluate(&series).passed
    }
}

impl Check<'_> {
    /// `scenarios` is none when their trees are wrong, so that their rows are not known.
    pub(super) fn thresholds(
        &mut self,
        spec: &BotRunSpec,
        scenarios: Option<&[Scenario]>,
        rows_are_known: bool,
    ) -> Vec<RunThreshold> {
        let mut thresholds = Vec::new();
        for (i, written) in spec.thresholds.iter().enumerate() {
            let place = self.path.field("thresholds").index(i);
            let about = scenarios.map(|scenarios| self.about(written, scenarios, rows_are_known, &place));
            if let Some(Selector { stages: Some(stages), .. }) = &about {
                self.not_in_warmup(spec, written, scenarios.unwrap_or_default(), stages, &place);
            }
            let aborts_after = self.aborts_after(written, &place);
            match Threshold::parse(&written.expect) {
                Ok(threshold) => thresholds.push(RunThreshold {
                    spec: written.clone(),
                    about: about.unwrap_or_default(),
                    threshold,
                    aborts_after,
                }),
                Err(error) => self.findings.note(&place.field("expect"), &Error::Threshold(error)),
            }
        }
        thresholds
    }

    fn aborts_after(&mut self, written: &ThresholdSpec, place: &Path) -> Option<Duration> {
        let place = place.field("delayAbort");
        let delay = written.delay_abort.as_ref().map(|delay| duration::from_value(&delay.to_value()));
        let delay = delay.and_then(|delay| self.findings.ok(&place, delay));
        if delay.is_some() && !written.abort_on_fail {
            self.findings.note(&place, &Error::DelayWithoutAbort);
        }
        written.abort_on_fail.then(|| delay.unwrap_or_default())
    }

    /// What a threshold is about; names that are not there are told with those that are.
    fn about(
        &mut self,
        written: &ThresholdSpec,
        scenarios: &[Scenario],
        rows_are_known: bool,
        place: &Path,
    ) -> Selector {
        let ThresholdSpec { action, group, scenario, stage, .. } = written;
        let names = scenarios.iter().filter_map(|s| s.name.as_deref());
        if let Some(name) = scenario
            && !names.clone().any(|n| n == name)
        {
            self.no_such(place, "scenario", name, names);
            return Selector::default();
        }
        let meant: Vec<&Scenario> =
            scenarios.iter().filter(|s| scenario.is_none() || s.name == *scenario).collect();
        let leaves = || meant.iter().flat_map(|s| s.plan.leaves());
        if !rows_are_known {
            // Who reads the trees looks whether there are such rows.
        } else if let Some(group) = group
            && !leaves().any(|leaf| is_in(leaf, group))
        {
            self.no_such(place, "group", group, leaves().map(|leaf| &*leaf.group).filter(|g| !g.is_empty()));
        } else if let Some(action) = action {
            let there: Vec<_> = leaves().filter(|l| group.as_deref().is_none_or(|g| is_in(l, g))).collect();
            if !there.iter().any(|l| l.name == *action || l.base == *action) {
                let rows: BTreeSet<&str> = there.iter().map(|l| l.name.as_str()).collect();
                let rows = rows.into_iter().take(MAX_LISTED).collect::<Vec<_>>().join(", ");
                self.findings.note(&place.field("action"), &Error::NoRow(action.clone(), rows));
            }
        }
        let stages = stage.as_deref().map(|stage| self.stages(stage, &meant, place));
        Selector { action: action.clone(), group: group.clone(), scenario: scenario.clone(), stages }
    }

    fn stages(&mut self, name: &str, scenarios: &[&Scenario], place: &Path) -> Vec<(String, u16)> {
        let all = || {
            scenarios.iter().flat_map(|s| (0_u16..).zip(&s.load.stages).map(move |(n, stage)| (s, n, stage)))
        };
        let of_name = || all().filter(move |(_, _, stage)| *stage == name);
        if of_name().next().is_none() {
            self.no_such(place, "stage", name, all().map(|(_, _, stage)| stage.as_str()));
        } else if !of_name().any(|(s, n, _)| s.load.profile().takes_time(n.into())) {
            let next = of_name().find_map(|(s, n, _)| after(s, n.into())).unwrap_or_default();
            self.findings
                .note(&place.field("stage"), &Error::NoTimeInStage(name.to_owned(), next.to_owned()));
        }
        of_name().map(|(s, n, _)| (s.name.clone().unwrap_or_default(), n)).collect()
    }

    /// At least one of the stages is not over when measuring begins.
    fn not_in_warmup(
        &mut self,
        spec: &BotRunSpec,
        written: &ThresholdSpec,
        scenarios: &[Scenario],
        stages: &[(String, u16)],
        place: &Path,
    ) {
        // One that cannot be read is told of elsewhere.
        let warmup = spec.warmup.as_ref().and_then(|time| duration::from_value(&time.to_value()).ok());
        let of = |name: &str| scenarios.iter().find(|s| s.name.as_deref().unwrap_or_default() == name);
        let ends = stages.iter().map(|(name, n)| {
            let scenario = of(name)?;
            scenario.load.profile().end_of((*n).into()).map(|end| scenario.start_delay + end)
        });
        let end = ends.collect::<Option<Vec<Duration>>>().and_then(|ends| ends.into_iter().max());
        if let (Some(warmup), Some(end), Some(stage)) = (warmup, end, &written.stage)
            && !end.is_zero()
            && end <= warmup
        {
            self.findings.note(&place.field("stage"), &Error::StageInWarmup(stage.clone(), end, warmup));
        }
    }

    fn no_such<'n>(
        &mut self,
        place: &Path,
        what: &'static str,
        name: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        let names: BTreeSet<&str> = names.collect();
        let there = if names.is_empty() {
            format!("the run has no {what}s")
        } else {
            format!("there are {}", listed(names.into_iter().take(MAX_LISTED)))
        };
        self.findings.note(&place.field(what), &Error::NoSuch(what, name.to_owned(), there));
    }
}

/// The next stage that takes time.
fn after(scenario: &Scenario, stage: usize) -> Option<&str> {
    let mut later = scenario.load.stages.iter().enumerate().skip(stage + 1);
    later.find(|(n, _)| scenario.load.profile().takes_time(*n)).map(|(_, name)| name.as_str())
}

fn is_in(leaf: &LeafRecord, group: &str) -> bool {
    let key = botarmy_report::RowKey { name: &leaf.name, scenario: "", group: &leaf.group };
    key.is_in(group)
}
