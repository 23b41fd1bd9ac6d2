//! The fields that say how bots come and go: of a run, and of each of its scenarios.

use super::{DataSpec, EnvVar, Time, open_text, plain_enum};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;

/// How bots come and go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadSpec {
    /// How many bots are alive at once. Can be changed while the run goes on; 0 only then. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub bots: Option<i32>,

    /// Starts so many bots a second, each for one pass of the tree, whatever the target does: 50, 50/s, 300/m or
    /// 0.5/s. Can be changed while the run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<RateText>,

    /// How the arrivals lie in time: Even (equal distances) or Poisson (independent of one another). Default Even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing: Option<Spacing>,

    /// How many bots of an arrivalRate are alive at most; an arrival beyond them is dropped and counted. Default
    /// 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_bots: Option<i32>,

    /// Ramps: in each stage the number of bots, or the arrivalRate, goes evenly from where it stood to the one
    /// given. The first stage begins at 0; one of duration 0 jumps. The run ends with the last stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub stages: Vec<StageSpec>,

    /// How long it goes on, such as 5m or 1h30m; a bare number is seconds. Without it and without iterations or
    /// stages it goes on until it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Time>,

    /// How many passes of the tree all bots make together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub iterations: Option<i64>,

    /// How many passes of the tree each bot makes; then it is not replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub iterations_per_bot: Option<i64>,

    /// How fast bots that ended are replaced. Without it they are replaced at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill: Option<RefillSpec>,

    /// A bot begins a pass of the tree every so often, or at once when the last one took longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Time>,

    /// How long a bot waits between two passes of the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_time: Option<ThinkTimeSpec>,

    /// Rows, of which each bot is given one for as long as it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSpec>,
}

/// A stage of a ramp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.bots) != has(self.arrivalRate)",
    "message": "a stage goes to a number of bots or to an arrivalRate; give one of them",
}]))]
pub struct StageSpec {
    /// How long it takes.
    pub duration: Time,
    /// The number of bots at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub bots: Option<i32>,
    /// The arrivalRate at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<RateText>,
    /// Its name in reports and thresholds. Default: its number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
}

/// How arrivals lie in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spacing {
    /// At equal distances.
    #[default]
    Even,
    /// Independent of one another, as strangers come.
    Poisson,
}

plain_enum!(Spacing, ["Even", "Poisson"]);

/// A time between two passes: drawn evenly from a range, or exponentially.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.mean) ? !has(self.from) && !has(self.to) : has(self.from) && has(self.to) && !has(self.max)",
    "message": "give from and to for an even range, or mean (and max) for exponential times",
}]))]
pub struct ThinkTimeSpec {
    /// The shortest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// The longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// The mean of exponentially distributed times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Time>,
    /// What an exponential time is cut to. Default: ten times the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Time>,
}

/// How fast bots that ended are replaced, over all runners together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefillSpec {
    /// At most so many replacements in each interval.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: i32,
    /// The length of an interval, such as 5s.
    pub every: Time,
}

/// Rules of the API server about the fields of a [`LoadSpec`]: what [`crate::load`] refuses too, said
/// already when the object is applied.
pub fn load_rules() -> Value {
    let pairs = [
        ("bots", "stages"),
        ("arrivalRate", "stages"),
        ("bots", "arrivalRate"),
        ("pace", "thinkTime"),
        ("arrivalRate", "iterationsPerBot"),
        ("arrivalRate", "refill"),
        ("arrivalRate", "pace"),
        ("arrivalRate", "thinkTime"),
    ];
    let rule = |(first, second): (&str, &str)| {
        json!({
            "rule": format!("!(has(self.{first}) && has(self.{second}))"),
            "message": format!("{first} and {second} exclude each other; keep one"),
        })
    };
    pairs.into_iter().map(rule).collect()
}

/// A population of bots beside others: its own tree, load and env.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = load_rules()))]
pub struct ScenarioSpec {
    /// Its name in reports and thresholds.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The name of the tree that its bots walk. May be left out when there is one tree, or one called root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tree: Option<String>,
    /// How long after the start of the run it begins. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_delay: Option<Time>,
    /// Named texts of its own, over those of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// How its bots come and go.
    #[serde(flatten)]
    pub load: LoadSpec,
}

/// A rate as it is written: 50, 50/s, 300/m, 10/h or 0.5/s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RateText {
    /// So many a second.
    PerSecond(i64),
    /// A number with its unit.
    Text(String),
}

impl RateText {
    /// The rate as JSON, as it stood in the document.
    pub fn to_value(&self) -> Value {
        match self {
            Self::PerSecond(rate) => Value::from(*rate),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

impl JsonSchema for RateText {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        open_text()
    }
}
