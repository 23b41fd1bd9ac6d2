//! The fields of a `BotRun`, as a user writes them.

#![allow(clippy::doc_markdown, reason = "kubectl explain shows these texts, where backticks are noise")]

mod data;
mod env;
mod export;
mod load;
mod operation;
mod source;

pub use data::{ConfigMapKey, DataFormat, DataSpec, Exhausted};
pub use env::{EnvSource, EnvVar, FieldRef, KeyRef};
pub use export::{ClaimFolder, ExportFormat, ExportSpec, HeaderSource, HeaderSpec, HttpPut};
pub use load::{LoadSpec, RateText, RefillSpec, ScenarioSpec, Spacing, StageSpec, ThinkTimeSpec, load_rules};
pub use operation::{LossPolicy, OperationSpec, TargetPolicy, TtlSpec};
pub use source::{ClaimName, ImageSource, ObjectName, SourceSpec};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a `BotRun` shall do. Every field has a default or may be left out, but for `trees` or `sources`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BotRunSpec {
    /// The address of what is tested: http://host:port or https://host:port, with a path if need be. Templates
    /// write it as {{ target }}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub target: Option<String>,

    /// Behavior trees by name. The schema leaves them open, because a tree contains trees; the operator checks
    /// them and tells mistakes in the condition Accepted. May be left out when there are sources.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "open_mapping")]
    pub trees: Map<String, Value>,

    /// Trees that lie elsewhere: they are added to trees. The first runner checks them before the bots begin, and
    /// mistakes are told in the condition Accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub sources: Vec<SourceSpec>,

    /// The name of the tree that the bots walk. May be left out when there is one tree, or one called root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tree: Option<String>,

    /// How bots come and go.
    #[serde(flatten)]
    pub load: LoadSpec,

    /// Several populations of bots at once, each with its own tree and load. They take the place of tree and of
    /// the fields that say how bots come and go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub scenarios: Vec<ScenarioSpec>,

    /// A tree that one bot walks once before all others begin. Its values are given to all of them. When it fails,
    /// nothing else is begun, and the run is Errored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<OnceSpec>,

    /// A tree that one bot walks once at the end, whatever came before, if setup was begun. It has the values of
    /// setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<OnceSpec>,

    /// Addresses of names, in the place of what DNS says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub hosts: Vec<HostSpec>,

    /// A time at the beginning whose measures are left out of results and thresholds. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Time>,

    /// How long what is going on may take to end by itself once the run is over. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<Time>,

    /// So many measured actions are begun at most, over all bots and runners: 500/s. Bots wait for their turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<RateText>,

    /// Over how many pods the bots are spread. Default: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runners: Option<RunnersSpec>,

    /// What must hold for the run to pass, over all runners together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub thresholds: Vec<ThresholdSpec>,

    /// Where all randomness comes from: the same seed gives each bot the same walk. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: Option<i64>,

    /// Named texts, which templates write as {{ env.NAME }}.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,

    /// Anything, which templates write as {{ custom.NAME }}.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "open_mapping")]
    pub custom: Map<String, Value>,

    /// True ends the run early: bots end, results are kept. It cannot be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop: bool,

    /// How it is operated on a cluster.
    #[serde(flatten)]
    pub operation: OperationSpec,

    /// A pod template (metadata and spec), merged over that of the runner pods.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "open_mapping")]
    pub template: Map<String, Value>,
}

/// Over how many pods the bots are spread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.count) && has(self.botsPerRunner))",
    "message": "count and botsPerRunner exclude each other; keep one",
}]))]
pub struct RunnersSpec {
    /// So many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: Option<i32>,
    /// As many pods as it takes for none to have more bots than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub bots_per_runner: Option<i32>,
}

/// A tree that is walked once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnceSpec {
    /// The name of the tree.
    #[schemars(length(min = 1, max = 253))]
    pub tree: String,
    /// How long it may take. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Time>,
}

/// An address with the names that lead to it, as in the hostAliases of a pod. A name with several addresses has
/// its connections spread over them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostSpec {
    /// The address: IPv4 or IPv6.
    #[schemars(length(min = 1, max = 45))]
    pub ip: String,
    /// The names.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub hostnames: Vec<String>,
}

/// What must hold for the run to pass. All that is given of what it is about must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdSpec {
    /// A comparison such as p(95) < 500ms, fail_rate < 1% or count > 1000.
    #[schemars(length(min = 1, max = 256))]
    pub expect: String,
    /// The action it is about: its row's name, or the name without arguments for all of its rows. Without it,
    /// all actions that do something to the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub action: Option<String>,
    /// The group it is about: the label of a node, or several joined by a slash with a blank on each side. What
    /// is inside of a group belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub group: Option<String>,
    /// The scenario it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub scenario: Option<String>,
    /// The stage it is about: its name, or its number from 1 if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub stage: Option<String>,
    /// True ends the run as soon as it fails; the outcome is then Aborted. Nothing is judged before something was
    /// measured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abort_on_fail: bool,
    /// How long after the start that may happen at the earliest. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_abort: Option<Time>,
}

/// A time as it is written: text such as 250ms or 1m30s, or a whole number of seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Time {
    /// Seconds.
    Seconds(i64),
    /// A number with its unit.
    Text(String),
}

impl From<&str> for Time {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Time {
    /// The time as JSON, as it stood in the document.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Seconds(seconds) => Value::from(*seconds),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        open_text()
    }
}

/// An enum as the plain list of its names: the API server takes no alternatives of single values.
macro_rules! plain_enum {
    ($name:ident, $values:expr) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schemars::json_schema!({"type": "string", "enum": $values})
            }
        }
    };
}
use plain_enum;

/// Text or a whole number. The bound of the length holds for text; a number is bounded when it is read.
fn open_text() -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 32})
}

fn open_mapping(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic"})
}
