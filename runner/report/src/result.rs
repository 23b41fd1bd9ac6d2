//! What a run came to: the one type that summary, status, JSON and every other report is made from.

mod bounded;
mod detail;
mod generator;
mod section;
mod series;

pub use detail::{DetailResult, FailureResult, OTHER_STATUSES, PartFigures, PartResults, Sample};
pub use generator::GeneratorResult;
pub use section::{Dimension, Section, SectionAction};
pub use series::{PointResult, SeriesResult};

use crate::outcome::Outcome;
use crate::series::Series;
use crate::timeline::Timeline;
use crate::totals::{GROUP_SEPARATOR, RowKey, Totals};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a run ended; apart from its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum RunOutcome {
    /// It ran to its end and all thresholds hold.
    Passed,
    /// It ran to its end and a threshold does not hold.
    Failed,
    /// It was ended early by a threshold.
    Aborted,
    /// It could not run, or not to its end.
    Errored,
}

impl RunOutcome {
    /// The word used in JSON and in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
            Self::Errored => "Errored",
        }
    }
}

/// Numbers of bots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BotCounts {
    /// Started in all.
    pub started: u64,
    /// Alive at the time of the result.
    pub alive: u32,
}

/// Counts and latencies of one action, or of all. Latencies are in microseconds, over succeed, fail,
/// error and crash; absent when `count` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Executions that ended by themselves: `succeed + fail + error + crash`.
    pub count: u64,
    /// Executions that succeeded.
    pub succeed: u64,
    /// Executions that failed.
    pub fail: u64,
    /// Executions that ended with an error.
    pub error: u64,
    /// Executions that panicked.
    pub crash: u64,
    /// Executions stopped before their end; not in `count`.
    pub cancelled: u64,
    /// Those of the cancelled ones that had no more time: a `timeout` around them was over, or the end of the run
    /// did not wait for them any longer. Percentiles are incomplete then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_off: u64,
    /// Median in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// 95th percentile in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_us: Option<u64>,
    /// 99th percentile in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
    /// Greatest latency in microseconds, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
}

impl Figures {
    /// The figures of a series.
    pub fn of(series: &Series) -> Self {
        let latency = series.latency();
        Self {
            count: series.measured_count(),
            succeed: series.count(Outcome::Succeed),
            fail: series.count(Outcome::Fail),
            error: series.count(Outcome::Error),
            crash: series.count(Outcome::Crash),
            cancelled: series.count(Outcome::Cancelled),
            cut_off: series.cut_off_count(),
            p50_us: latency.quantile(0.50),
            p95_us: latency.quantile(0.95),
            p99_us: latency.quantile(0.99),
            max_us: latency.max(),
        }
    }

    /// How many were cancelled, and how many of those were cut off, if any.
    pub(crate) fn cancelled_in_words(&self) -> String {
        match (self.cancelled, self.cut_off) {
            (cancelled, 0) => cancelled.to_string(),
            (cancelled, cut_off) => format!("{cancelled} ({cut_off} cut off)"),
        }
    }

    /// Executions that failed: `fail + error + crash`.
    pub fn failures(&self) -> u64 {
        [self.error, self.crash].into_iter().fold(self.fail, u64::saturating_add)
    }
}

/// What one action did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ActionResult {
    /// Its row's name: `Shop.buy(42, "a")`.
    pub name: String,
    /// The scenario it belongs to; absent when there is but one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The labels of the nodes around it, joined by a slash; absent without labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether `total` counts it; control leaves are not measured.
    pub measured: bool,
    /// Its figures, beside its name in JSON.
    #[serde(flatten)]
    pub figures: Figures,
    /// Its failures, status codes, bytes and parts of the time, beside them.
    #[serde(flatten)]
    pub detail: DetailResult,
}

impl ActionResult {
    /// Its name after the scenario and the group that it belongs to: `day / Shop / GET /cart`.
    pub fn full_name(&self) -> String {
        let parts = [self.scenario.as_deref(), self.group.as_deref(), Some(&*self.name)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(GROUP_SEPARATOR)
    }
}

/// A threshold and how the run stands to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ThresholdResult {
    /// The threshold as written: `p(95) < 500ms`.
    pub expect: String,
    /// The action it is about; absent when it is about all measured ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The group it is about; absent when it is about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The scenario it is about; absent when it is about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The stage it is about; absent when it is about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The measured value as text with its unit: `412.3ms`, `1.24%`, `1024`, `no samples`.
    pub value: String,
    /// Whether it holds.
    pub passed: bool,
}

impl ThresholdResult {
    /// What it is about, in words: `GET /cart, group Pay, stage busy`.
    pub fn about(&self) -> String {
        let mut about = self.action.clone().unwrap_or_else(|| "all measured actions".to_owned());
        let parts = [("group", &self.group), ("scenario", &self.scenario), ("stage", &self.stage)];
        for (what, name) in parts.into_iter().filter_map(|(what, name)| Some((what, name.as_ref()?))) {
            about += &format!(", {what} {name}");
        }
        about
    }
}

/// What could not be known: a runner was lost with what it had not reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Gap {
    /// Index of the runner.
    pub index: u32,
    /// UID of the lost pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Start of the gap, in whole seconds since T0.
    pub from: u64,
    /// End of the gap, in whole seconds since T0, not included.
    pub until: u64,
    /// Bots of the runner at its last report.
    pub bots: u32,
    /// Why the pod was lost.
    pub reason: String,
}

/// What a run came to. Numbers are integers, names are camelCase in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// How it ended.
    pub outcome: RunOutcome,
    /// Bots started and alive.
    pub bots: BotCounts,
    /// Requests sent.
    pub requests: u64,
    /// Passes of the root that ended.
    pub iterations: u64,
    /// Arrivals for which no bot was started, since as many were alive as are allowed. Percentiles are
    /// incomplete then: those that were not served are not in them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Time from T0 to the end, in milliseconds.
    pub duration_ms: u64,
    /// All rows, sorted by name.
    pub actions: Vec<ActionResult>,
    /// Sum of the measured actions.
    pub total: Figures,
    /// Failures, status codes, bytes and parts of the time of the measured actions together.
    #[serde(flatten)]
    pub detail: DetailResult,
    /// The measured actions of each scenario, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scenarios: Vec<Section>,
    /// The measured actions in each stage, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Section>,
    /// How it went over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesResult>,
    /// The thresholds in the order of the run's definition.
    pub thresholds: Vec<ThresholdResult>,
    /// What could not be known; empty when nothing was lost.
    pub gaps: Vec<Gap>,
    /// Why the run is Errored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was done in the warm-up, which is in no other figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<WarmupResult>,
    /// How the generator itself did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<GeneratorResult>,
}

/// What was done in the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarmupResult {
    /// How long it was, in milliseconds; it is part of the duration, and of no rate.
    #[serde(default)]
    pub duration_ms: u64,
    /// Requests sent.
    pub requests: u64,
    /// Passes of the root that ended.
    pub iterations: u64,
    /// Measured actions that ended by themselves.
    pub actions: u64,
    /// Arrivals for which no bot was started.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a result needs beside what was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// How the run ended.
    pub outcome: RunOutcome,
    /// Bots alive.
    pub alive: u32,
    /// Time from T0 to the end, in milliseconds.
    pub duration_ms: u64,
    /// The judged thresholds.
    pub thresholds: Vec<ThresholdResult>,
    /// What could not be known.
    pub gaps: Vec<Gap>,
    /// The scenarios and their stages.
    pub dimensions: Vec<Dimension>,
}

impl RunResult {
    /// The result with how it went over time.
    #[must_use]
    pub fn over_time(self, timeline: &Timeline) -> Self {
        Self { series: SeriesResult::of(timeline), ..self }
    }

    /// The result with what was done in the warm-up, if there was one. Bots that began in it are bots of
    /// the run all the same.
    #[must_use]
    pub fn after(self, warmup: &Totals, length: Duration) -> Self {
        if length.is_zero() {
            return self;
        }
        let Totals { requests, iterations, dropped, bots_started, .. } = *warmup;
        let actions = warmup.total().measured_count();
        let duration_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).min(self.duration_ms);
        let bots = BotCounts { started: self.bots.started.saturating_add(bots_started), ..self.bots };
        let warmup = WarmupResult { duration_ms, requests, iterations, actions, dropped };
        Self { bots, warmup: Some(warmup), ..self }
    }

    /// The time over which there are measures: rates are over it.
    pub fn measured_ms(&self) -> u64 {
        self.duration_ms - self.warmup.map_or(0, |warmup| warmup.duration_ms.min(self.duration_ms))
    }

    /// The result of a run that could not do what it was meant to, for this reason. A verdict on what it
    /// did all the same stands.
    #[must_use]
    pub fn errored(self, reason: &str) -> Self {
        let outcome = match self.outcome {
            RunOutcome::Passed | RunOutcome::Errored => RunOutcome::Errored,
            verdict => verdict,
        };
        Self { outcome, reason: Some(reason.to_owned()), ..self }
    }

    /// The result of what was counted and what is known beside it.
    pub fn build(totals: &Totals, facts: Facts) -> Self {
        let Facts { outcome, alive, duration_ms, thresholds, gaps, dimensions } = facts;
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let actions = totals.rows.iter().map(|(key, row)| {
            let key = RowKey::of(key);
            ActionResult {
                name: key.name.to_owned(),
                scenario: given(key.scenario),
                group: given(key.group),
                measured: row.measured,
                figures: Figures::of(&row.whole()),
                detail: DetailResult::of(&row.details),
            }
        });
        Self {
            outcome,
            bots: BotCounts { started: totals.bots_started, alive },
            requests: totals.requests,
            iterations: totals.iterations,
            dropped: totals.dropped,
            duration_ms,
            actions: actions.collect(),
            total: Figures::of(&totals.total()),
            detail: DetailResult::of(&totals.total_details()),
            scenarios: Section::scenarios(totals, &dimensions),
            stages: Section::stages(totals, &dimensions),
            series: None,
            thresholds,
            gaps,
            reason: None,
            warmup: None,
            generator: GeneratorResult::of(&totals.health),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::RowInfo;
    use serde_json::json;

    fn result() -> RunResult {
        let mut totals = Totals { requests: 5, bots_started: 2, iterations: 4, ..Totals::default() };
        let mut add = |name: &str, measured, samples: &[(Outcome, u64)]| {
            let mut series = Series::default();
            for (outcome, us) in samples {
                series.record(*outcome, *us);
            }
            let info =
                RowInfo { name: name.to_owned(), base: name.to_owned(), measured, ..RowInfo::default() };
            totals.add(&info, series).unwrap();
        };
        add("wait", false, &[(Outcome::Succeed, 5_000_000)]);
        add(
            "buy",
            true,
            &[(Outcome::Succeed, 10), (Outcome::Fail, 20), (Outcome::Error, 30), (Outcome::Crash, 40)],
        );
        add("ask", true, &[(Outcome::Cancelled, 7)]);
        let threshold = |action: Option<&str>| ThresholdResult {
            expect: "count > 3".to_owned(),
            action: action.map(str::to_owned),
            group: None,
            scenario: None,
            stage: None,
            value: "4".to_owned(),
            passed: true,
        };
        let thresholds = vec![threshold(None), threshold(Some("buy"))];
        let gap = Gap {
            index: 1,
            pod_uid: "u".to_owned(),
            from: 3,
            until: 4,
            bots: 9,
            reason: "Evicted".to_owned(),
        };
        let facts = Facts {
            outcome: RunOutcome::Passed,
            alive: 1,
            duration_ms: 1_500,
            thresholds,
            gaps: vec![gap],
            dimensions: Vec::new(),
        };
        RunResult::build(&totals, facts)
    }

    #[test]
    fn the_form_is_fixed() {
        let expected = json!({
            "outcome": "Passed",
            "bots": {"started": 2, "alive": 1},
            "requests": 5,
            "iterations": 4,
            "durationMs": 1500,
            "actions": [
                {"name": "ask", "measured": true, "count": 0, "succeed": 0, "fail": 0, "error": 0, "crash": 0, "cancelled": 1},
                {"name": "buy", "measured": true, "count": 4, "succeed": 1, "fail": 1, "error": 1, "crash": 1, "cancelled": 0,
                 "p50Us": 20, "p95Us": 40, "p99Us": 40, "maxUs": 40},
                {"name": "wait", "measured": false, "count": 1, "succeed": 1, "fail": 0, "error": 0, "crash": 0, "cancelled": 0,
                 "p50Us": 5_000_000, "p95Us": 5_000_000, "p99Us": 5_000_000, "maxUs": 5_000_000},
            ],
            "total": {"count": 4, "succeed": 1, "fail": 1, "error": 1, "crash": 1, "cancelled": 1,
                      "p50Us": 20, "p95Us": 40, "p99Us": 40, "maxUs": 40},
            "thresholds": [
                {"expect": "count > 3", "value": "4", "passed": true},
                {"expect": "count > 3", "action": "buy", "value": "4", "passed": true},
            ],
            "gaps": [{"index": 1, "podUID": "u", "from": 3, "until": 4, "bots": 9, "reason": "Evicted"}],
        });
        assert_eq!(serde_json::to_value(result()).unwrap(), expected);
        assert_eq!(serde_json::from_value::<RunResult>(expected).unwrap(), result());
    }

    #[test]
    fn names_of_outcomes_are_those_in_json() {
        for outcome in [RunOutcome::Passed, RunOutcome::Failed, RunOutcome::Aborted, RunOutcome::Errored] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }

    #[test]
    fn failures_are_fail_error_and_crash() {
        assert_eq!(result().total.failures(), 3);
    }
}
