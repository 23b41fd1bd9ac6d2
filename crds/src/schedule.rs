//! What creates runs by the clock: what it shall do, and what has come of it.

#![allow(clippy::doc_markdown, reason = "kubectl explain shows these texts, where backticks are noise")]

use crate::status::conditions;
use botarmy_spec::BotRunSpec;
use botarmy_spec::file::MAX_RUN_NAME;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longest name of a schedule: its runs' names add a hyphen and the minute at which each was due, which has
/// eight digits until the year 2160.
pub const MAX_SCHEDULE_NAME: usize = MAX_RUN_NAME - 9;
/// What the labels and annotations of this project begin with.
const OWN_KEYS: &str = "botarmy.dev/";

/// When runs are created, and what each of them does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "botarmy.dev",
    version = "v1alpha1",
    kind = "BotRunSchedule",
    plural = "botrunschedules",
    singular = "botrunschedule",
    shortname = "brs",
    namespaced,
    status = "BotRunScheduleStatus",
    derive = "PartialEq",
    doc = "Creates BotRuns by the clock, as a CronJob creates Jobs.",
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "TimeZone", type_ = "string", json_path = ".spec.timeZone"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.activeCount"),
    printcolumn(name = "Last Schedule", type_ = "date", json_path = ".status.lastScheduleTime"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextScheduleTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BotRunScheduleSpec {
    /// When a run is due: minute, hour, day of month, month and day of week, such as 30 2 * * 1-5, or one of
    /// @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually.
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = [schedule_rule()]))]
    pub schedule: String,

    /// The time zone that schedule is read in: a name of the IANA database such as Europe/Berlin. A time that its
    /// clocks leave out is left out; one that they show twice is due twice.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9_+/-]*$"))]
    pub time_zone: String,

    /// What happens when a run is due and an earlier one has not ended: Forbid (it waits for its end, or until
    /// startingDeadlineSeconds are over or the next one is due), Allow (it is started beside it) or Replace (it
    /// takes its place; the earlier one is deleted with its result). Forbid unless set, because two armies at once
    /// spoil each other's figures.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,

    /// How late a run may be started, in seconds: because the operator was down, the schedule was suspended, or an
    /// earlier run had not ended. Without it the latest run that was missed is made up for, however late it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 31_536_000))]
    pub starting_deadline_seconds: Option<i64>,

    /// True creates no more runs; those that are at work go on. What is due meanwhile counts as missed.
    #[serde(default)]
    pub suspend: bool,

    /// How many ended runs with the outcome Passed are kept; the oldest are deleted with their results.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_runs_history_limit: i32,

    /// How many ended runs with another outcome are kept; the oldest are deleted with their results.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_runs_history_limit: i32,

    /// What the runs are made from. A change holds for runs that are created later.
    pub template: RunTemplate,
}

fn utc() -> String {
    "UTC".into()
}

fn three() -> i32 {
    3
}

/// What happens when a run is due and an earlier one has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// It is started beside it.
    Allow,
    /// It waits.
    #[default]
    Forbid,
    /// It takes its place.
    Replace,
}

/// What runs are made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunTemplate {
    /// Labels and annotations of the runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RunTemplateMetadata>,
    /// The spec of the runs, as in a BotRun. The operator checks it at once, and tells mistakes in the condition
    /// Accepted.
    #[schemars(extend("x-kubernetes-validations" = crate::run_rules()))]
    pub spec: BotRunSpec,
}

/// What the metadata of runs may say; the rest is the schedule's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunTemplateMetadata {
    /// Labels of the runs, besides those of the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the runs, besides those of the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// What has come of a schedule so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BotRunScheduleStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is true of the schedule: Accepted, Ready, and Stalled while it cannot be accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Its runs that have not ended, the oldest first, at most 100 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub active: Vec<ActiveRun>,
    /// How many of its runs have not ended.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub active_count: i32,
    /// When the run that was started last was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When a run ended last with the outcome Passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
    /// When the next run is due; absent while none will be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// How many runs were due before the one that was started last and have never been started. At most 100 are
    /// counted between two that were.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub missed_runs: i64,
}

/// A run that has not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 128))]
    pub uid: String,
}

/// A rule of the API server about the name. The rules of a spec cannot see it.
pub(crate) fn name_rule() -> Value {
    json!({
        "rule": format!("size(self.metadata.name) <= {MAX_SCHEDULE_NAME} && !self.metadata.name.contains('.')"),
        "message": format!("a schedule's name becomes part of its runs' names; keep it to {MAX_SCHEDULE_NAME} characters without dots"),
    })
}

/// What the form of a schedule is; whether its numbers make sense is for the operator to say.
fn schedule_rule() -> Value {
    let field = "[0-9A-Za-z*,/#-]+";
    let macros = "@(hourly|daily|midnight|weekly|monthly|yearly|annually)";
    json!({
        "rule": format!("self.matches('^ *({field}( +{field}){{4}}|{macros}) *$')"),
        "message": "write five fields (minute, hour, day of month, month, day of week) such as 30 2 * * 1-5, or one of @hourly, @daily, @weekly, @monthly and @yearly; a time zone belongs into timeZone",
    })
}

fn own_keys_rule() -> Value {
    json!({
        "rule": format!("self.all(key, !key.startsWith('{OWN_KEYS}'))"),
        "message": format!("keys that begin with {OWN_KEYS} are the operator's; give yours another prefix"),
    })
}

/// Texts by name, and none with a name of ours.
fn texts(value: &Value) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": value,
        "x-kubernetes-validations": [own_keys_rule()],
    })
}

fn labels(_: &mut SchemaGenerator) -> Schema {
    texts(&json!({
        "type": "string",
        "maxLength": 63,
        "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    }))
}

fn annotations(_: &mut SchemaGenerator) -> Schema {
    texts(&json!({"type": "string", "maxLength": 4096}))
}
