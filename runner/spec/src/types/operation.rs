//! The fields that say how a run is operated on a cluster: when something is lost, late or over, or in the way.

use super::{ExportSpec, Time, plain_enum};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a run is operated on a cluster. On a laptop none of it has a meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationSpec {
    /// True lets the load stand still: bots stay where they are, requests that are under way come to their end, and the
    /// time of the load does not go on; false lets it go on. A run that is applied with true begins only then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// What becomes of the run when a runner is lost in mid-run. Replace: another pod takes its place and goes on
    /// with what is left of its part. Redistribute: the others take over what is left of it. Ignore: the others go on
    /// without it, and what was left of its part is not done.
    /// Fail: the run ends and is Errored. What is not known of a lost runner is named in result.gaps in each case.
    /// Default Replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_policy: Option<LossPolicy>,

    /// For how many seconds a runner goes on by itself when it cannot reach the operator; then it stops its bots. Half
    /// a minute after that it is taken for lost, and its pod is deleted. Default 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 3600))]
    pub lease_seconds: Option<i32>,

    /// How long the run may wait for its turn, from its creation on: for another run of its target, or for room in its
    /// namespace. Then it is Errored with the reason Queued. Default: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_deadline: Option<Time>,

    /// How long the run may wait for its runners' pods before it is given up. Default: what was chosen when the
    /// operator was installed, 5m unless it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_deadline: Option<Time>,

    /// How long the run may take in all, from when its pods are asked for. Then its bots are told to end, and it is
    /// Errored with the reason DeadlineExceeded; figures are kept. Default: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,

    /// Whether the target is this run's alone. Exclusive: runs of one target wait for one another, in the order of
    /// their creation. Shared: it goes along with other runs that say Shared. Default Exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_policy: Option<TargetPolicy>,

    /// How many seconds after its end the run is deleted, with all that belongs to it, by its outcome. Default: never.
    /// One whose export has failed is kept for an hour after that at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<TtlSpec>,

    /// Where the result is taken when the run is over: by a pod of its own, at any end but that of a run that was
    /// refused. The condition Exported tells how it went, and ttlSecondsAfterFinished counts from its end. It may be
    /// changed at any time; what is there at the end counts, and a change after it takes the result there anew, as does
    /// another value of the annotation botarmy.dev/export-again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub export: Vec<ExportSpec>,
}

/// What becomes of a run that loses a runner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossPolicy {
    /// Another pod takes its place.
    #[default]
    Replace,
    /// The others go on without it.
    Ignore,
    /// The others take over what is left of its part.
    Redistribute,
    /// The run ends.
    Fail,
}
plain_enum!(LossPolicy, ["Replace", "Ignore", "Redistribute", "Fail"]);

/// Whether runs may load one target at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetPolicy {
    /// Not with others.
    #[default]
    Exclusive,
    /// With others that say so as well.
    Shared,
}
plain_enum!(TargetPolicy, ["Exclusive", "Shared"]);

/// How long a run is kept after its end, in seconds. An outcome that is left out keeps it for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlSpec {
    /// One that has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub passed: Option<i32>,
    /// One that has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub failed: Option<i32>,
    /// One that a threshold has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub aborted: Option<i32>,
    /// One that could not run, or not to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub errored: Option<i32>,
}
