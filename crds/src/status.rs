//! What the operator tells of a run.

#![allow(clippy::doc_markdown, reason = "kubectl explain shows these texts, where backticks are noise")]

use botarmy_report::{RunOutcome, RunResult};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// Greatest number of a status: JSON carries it exactly everywhere.
pub const MAX_NUMBER: u64 = 9_007_199_254_740_991;

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Not looked at yet, or refused.
    #[default]
    Pending,
    /// Its pods are being started.
    Scheduled,
    /// Its bots are at work.
    Running,
    /// It is over; outcome tells how it ended.
    Finished,
}

/// What has come of a run so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BotRunStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the run stands.
    #[serde(default)]
    pub phase: Phase,
    /// How the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunOutcome>,
    /// What is true of the run: Accepted, Scheduled, Running, ThresholdsMet, Complete, and Failed unless it passed;
    /// Reconciling and Stalled for tools that wait for objects; Exported of a run with an export; others where there is
    /// something to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Bots alive at the last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bots: Option<i32>,
    /// Bots that shall be alive, of a run with a fixed number of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bots_target: Option<i32>,
    /// Which pods the bots are in, as a selector of labels, which autoscalers ask for; known from the Job on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub selector: Option<String>,
    /// The pods that the bots are spread over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runners: Option<RunnersStatus>,
    /// When the bots began their work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// How many milliseconds lie between the moments at which the first and the last runner began, as the runners have
    /// measured it by the operator's clock; those that take the place of lost ones are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub start_skew_ms: Option<i64>,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// A digest of what was accepted; a later change of it does not change the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub plan_digest: Option<String>,
    /// A digest of the files that the trees were read from, of a run that has sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub sources_digest: Option<String>,
    /// Measured actions in each second, on average since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub actions_per_second: Option<i64>,
    /// The time below which 95 of 100 measured actions stayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub p95: Option<String>,
    /// The share of measured actions that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub errors: Option<String>,
    /// The failures that were most, those of all measured actions together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "atomic"))]
    pub top_errors: Vec<TopError>,
    /// The export of the result that is under way or was ended last, of a run that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportStatus>,
    /// The figures so far, merged over all runners; those of the whole run once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RunResult>,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportStatus {
    /// The Job that takes the result to where it shall be; it is called after what is to be done.
    #[schemars(length(max = 253))]
    pub job: String,
    /// When it ended, well or not; the condition Exported tells which. None while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// A class of failures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopError {
    /// The class: dns, connect, tls, timeout, protocol, status, expectation, action, local or error.
    #[schemars(length(max = 32))]
    pub class: String,
    /// How many there were.
    #[schemars(range(min = 0))]
    pub count: i64,
    /// What the most frequent of them said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// The pods of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnersStatus {
    /// How many there shall be.
    #[schemars(range(min = 0))]
    pub desired: i32,
    /// How many have checked in and are at work.
    #[schemars(range(min = 0))]
    pub ready: i32,
    /// How many have handed over all of their measures.
    #[schemars(range(min = 0))]
    pub finished: i32,
    /// How many were lost while their bots were at work; result.gaps tells what is not known of them.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub lost: i32,
    /// Of how many of these the place was taken by another, or the part by the others.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub replaced: i32,
}

/// Conditions are a map by type, so that several writers keep out of each other's way.
pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<Vec<Condition>>();
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), serde_json::json!(["type"]));
    schema.insert("maxItems".into(), 32.into());
    schema
}
