//! The Kubernetes kinds of the bot army.
//!
//! [`BotRun`] wraps the spec that file and cluster share; its status is what the operator tells.
//! [`definition`] is the custom resource definition, whose YAML is committed beside this crate.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their keys")]

mod definition;
mod status;

pub use definition::{YAML_FILE, definition, to_yaml};
pub use status::{BotRunStatus, Phase, RunnersStatus};

use botarmy_spec::BotRunSpec;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    scale(spec_replicas_path = ".spec.bots", status_replicas_path = ".status.bots"),
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
const FROZEN: [&str; 15] = [
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
];

/// Rules of the API server about the spec.
fn rules() -> Value {
    let of_scenarios = ["tree", "bots", "arrivalRate", "stages", "duration", "iterations", "data"];
    let given: Vec<String> = of_scenarios.iter().map(|field| format!("has(self.{field})")).collect();
    let own = [
        json!({
            "rule": "!has(oldSelf.stop) || !oldSelf.stop || (has(self.stop) && self.stop)",
            "message": "a stopped run stays stopped; apply it anew under another name",
        }),
        json!({
            "rule": format!("!has(self.scenarios) || size(self.scenarios) == 0 || !({})", given.join(" || ")),
            "message": format!("{} and scenarios exclude each other; move them into the scenarios", of_scenarios.join(", ")),
        }),
    ];
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
        rules.extend(own);
        rules.push(live);
        rules.extend(frozen);
    }
    rules
}
