//! The Kubernetes kinds of the bot army.
//!
//! [`BotRun`] wraps the spec that file and cluster share; its status is what the operator tells.
//! [`BotRunSchedule`] creates such runs by the clock. [`definitions`] are the custom resource definitions,
//! whose YAML is committed beside this crate.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their keys")]

mod definition;
mod ending;
mod schedule;
mod status;

pub use definition::{Definition, definitions};
pub use schedule::{
    ActiveRun, BotRunSchedule, BotRunScheduleSpec, BotRunScheduleStatus, ConcurrencyPolicy,
    MAX_SCHEDULE_NAME, RunTemplate, RunTemplateMetadata,
};
pub use status::{BotRunStatus, ExportStatus, MAX_NUMBER, Phase, RunnersStatus, TopError};

use botarmy_spec::BotRunSpec;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The label of all objects of a run, pods included, with the run's name.
pub const RUN_LABEL: &str = "botarmy.dev/run";
/// The label of all objects of a run, pods included, with the run's UID.
pub const RUN_UID_LABEL: &str = "botarmy.dev/run-uid";
/// The annotation of a run whose value, whenever it is another one, asks for its result to be exported again.
pub const EXPORT_AGAIN_ANNOTATION: &str = "botarmy.dev/export-again";
/// The name of the container of a pod that runs the bots.
pub const RUNNER_CONTAINER: &str = "runner";

/// An army of bots: what it shall do, and what has come of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "botarmy.dev",
    version = "v1alpha1",
    kind = "BotRun",
    plural = "botruns",
    singular = "botrun",
    shortname = "br",
    namespaced,
    status = "BotRunStatus",
    derive = "PartialEq",
    doc = "An army of bots: what it shall do, and what has come of it.",
    scale(
        spec_replicas_path = ".spec.bots",
        status_replicas_path = ".status.bots",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".status.outcome"),
    printcolumn(name = "Bots", type_ = "integer", json_path = ".status.bots"),
    printcolumn(name = "Runners", type_ = "integer", json_path = ".status.runners.ready"),
    printcolumn(name = "Actions/s", type_ = "integer", json_path = ".status.actionsPerSecond"),
    printcolumn(name = "P95", type_ = "string", json_path = ".status.p95"),
    printcolumn(name = "Errors", type_ = "string", json_path = ".status.errors"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct BotRunDefinition {
    /// The fields that a file can hold as well.
    #[serde(flatten)]
    pub run: BotRunSpec,
}

/// Fields that cannot be changed. Lists and open mappings cannot either, but comparing them costs the API
/// server more than a rule may: of these the condition `SpecChanged` tells.
const FROZEN: [&str; 20] = [
    "target",
    "tree",
    "duration",
    "iterations",
    "iterationsPerBot",
    "spacing",
    "maxBots",
    "pace",
    "seed",
    "warmup",
    "gracePeriod",
    "maxRate",
    "runners",
    "setup",
    "teardown",
    "lossPolicy",
    "leaseSeconds",
    "queueDeadline",
    "startDeadline",
    "deadline",
];

/// A rule about the fields that scenarios take the place of.
fn scenarios_rule() -> Value {
    let of_scenarios = ["tree", "bots", "arrivalRate", "stages", "duration", "iterations", "data"];
    let given: Vec<String> = of_scenarios.iter().map(|field| format!("has(self.{field})")).collect();
    json!({
        "rule": format!("!has(self.scenarios) || size(self.scenarios) == 0 || !({})", given.join(" || ")),
        "message": format!("{} and scenarios exclude each other; move them into the scenarios", of_scenarios.join(", ")),
    })
}

/// A run without a tree has nothing to do.
fn trees_rule() -> Value {
    json!({
        "rule": "has(self.trees) || has(self.sources)",
        "message": "there is no tree; give trees, or sources that hold them",
    })
}

/// Rules of the API server about a spec that has no past, such as one that runs are made from.
fn run_rules() -> Value {
    let mut rules = botarmy_spec::types::load_rules();
    if let Value::Array(rules) = &mut rules {
        rules.extend([trees_rule(), scenarios_rule()]);
    }
    rules
}

/// Rules of the API server about the spec of a run.
fn rules() -> Value {
    let stop = json!({
        "rule": "!has(oldSelf.stop) || !oldSelf.stop || (has(self.stop) && self.stop)",
        "message": "a stopped run stays stopped; apply it anew under another name",
    });
    let live = json!({
        "rule": "has(self.arrivalRate) == has(oldSelf.arrivalRate)",
        "message": "arrivalRate can be changed, but neither added nor taken away; apply the run anew under another name",
    });
    let frozen = FROZEN.map(|field| {
        json!({
            "rule": format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"),
            "message": format!("{field} is fixed once the run is applied; apply it anew under another name"),
        })
    });
    let mut rules = botarmy_spec::types::load_rules();
    if let Value::Array(rules) = &mut rules {
        rules.extend([stop, trees_rule(), scenarios_rule(), live]);
        rules.extend(frozen);
    }
    rules
}
