//! What a runner and the coordinator say to each other, as plain data.
//!
//! A runner dials out: it posts a [`CheckIn`] at least once a second and gets [`Orders`] back.
//! Measures travel as numbered deltas. An answer tells up to which number they are `applied`
//! (part of the sum) and `durable` (part of what survives the operator); a runner keeps what is
//! above `durable` and sends it again after a failure. A delta is applied once, whatever is sent.

pub mod shared;

use botarmy_report::{Delta, bounded};
use botarmy_spec::{BotRunSpec, Part, Targets};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::{Answer, Change, MAX_CHANGES, News};
use std::collections::BTreeMap;

/// The version of what is said; two adjacent versions understand each other.
pub const VERSION: u32 = 1;
/// Where a runner checks in.
pub const CHECK_IN_PATH: &str = "/v1/checkin";
/// The audience of a runner's token: it is worth nothing anywhere else.
pub const AUDIENCE: &str = "botarmy";
/// Largest check-in, in bytes.
pub const MAX_CHECK_IN_BYTES: usize = 8 << 20;
/// Most deltas of one check-in; a runner sends fewer.
pub const MAX_DELTAS: usize = 64;
/// Most mistakes that are read of a runner that cannot do its part; what is beyond them is left out.
const MAX_MISTAKES: usize = 1_000;
/// Most scenarios that a runner may speak of, far more than a run has, and the longest name of one, in bytes.
const MAX_SCENARIOS: usize = 100;
const MAX_SCENARIO_NAME: usize = 1 << 10;
/// How often a runner checks in, in milliseconds.
pub const INTERVAL_MS: u64 = 1000;
/// How often one that waits for its plan does so, in milliseconds.
pub const PREPARING_INTERVAL_MS: u64 = 250;

/// How often a runner that waits for the start checks in when the army has so many runners, in milliseconds: few ask more
/// often, so that they begin soon; many together ask no more often than they report when they are at work.
pub fn waiting_interval_ms(runners: u32) -> u64 {
    u64::from(runners).clamp(PREPARING_INTERVAL_MS, INTERVAL_MS)
}

/// How the process of a runner ends.
pub mod exit {
    /// Its coordinator was away for too long.
    pub const NO_COORDINATOR: i32 = 5;
    /// It was told to end before the run was over, and has handed over what it has measured.
    pub const LEFT: i32 = 6;
    /// Its coordinator was there, and has refused it for too long.
    pub const REFUSED: i32 = 7;
    /// What it was told makes no sense.
    pub const INVALID: i32 = 1;
    /// A result could not be taken to where it shall be, however often it was tried.
    pub const UNDELIVERED: i32 = 4;
}

/// The port at which a runner shows its measures to a scraper: the usual one of exporters like it.
pub const METRICS_PORT: u16 = 9464;

/// Names of the environment variables that a runner's pod has.
pub mod env {
    /// The address of the coordinator.
    pub const COORDINATOR: &str = "BOTARMY_COORDINATOR";
    /// The namespace of the run.
    pub const NAMESPACE: &str = "BOTARMY_RUN_NAMESPACE";
    /// The name of the run.
    pub const NAME: &str = "BOTARMY_RUN_NAME";
    /// The UID of the run.
    pub const RUN_UID: &str = "BOTARMY_RUN_UID";
    /// The UID of the pod.
    pub const POD_UID: &str = "BOTARMY_POD_UID";
    /// Where the runner shows its measures to a scraper, if it shall.
    pub const METRICS_LISTEN: &str = "BOTARMY_METRICS_LISTEN";
    /// The file of the bot log, if one is to be kept; set by the user.
    pub const LOG_FILE: &str = "BOTARMY_LOG_FILE";
    /// The layout of its lines, `line` or `json`; `line` unless it is set.
    pub const LOG_FORMAT: &str = "BOTARMY_LOG_FORMAT";
    /// Where the result is to be taken, as the spec says it: what a pod is told that does so.
    pub const EXPORT: &str = "BOTARMY_EXPORT";
    /// The index of the runner, which the Job sets.
    pub const INDEX: &str = "JOB_COMPLETION_INDEX";
}

/// Where a runner's pod finds what it needs.
pub mod path {
    /// The folder of the token.
    pub const TOKEN_FOLDER: &str = "/var/run/secrets/botarmy";
    /// The token's file in that folder.
    pub const TOKEN_FILE: &str = "token";
    /// The folder of the certificates that the coordinator is checked with.
    pub const CA_FOLDER: &str = "/etc/botarmy";
    /// The certificates' file in that folder.
    pub const CA_FILE: &str = "ca.crt";
    /// The folder of the trees that lie elsewhere: a folder in it for each source, by its name.
    pub const SOURCES_FOLDER: &str = "/var/run/botarmy-sources";
    /// The folder of the result, in a pod that takes it to elsewhere.
    pub const RESULT_FOLDER: &str = "/var/run/botarmy-result";
    /// The result's file in that folder, and its key in the `ConfigMap` that it comes from: JSON, compressed.
    pub const RESULT_FILE: &str = "result.json.gz";
    /// The folder of the claims that it is taken to: a folder in it for each destination, by its number from 0.
    pub const EXPORT_FOLDER: &str = "/var/run/botarmy-export";
    /// The folder of rows that come from `ConfigMaps`: a folder in it for each scenario, by its number from 0.
    pub const DATA_FOLDER: &str = "/var/run/botarmy-data";
    /// The rows' file in such a folder.
    pub const DATA_FILE: &str = "rows";
}

/// Which run is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a run that is applied anew under an old name is another one.
    pub uid: String,
}

/// How far a runner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// It has not yet got ready what the plan needs: the plan, rows of data.
    Preparing,
    /// It waits for the start.
    Ready,
    /// Its bots are at work.
    Running,
    /// All of its measures are in this check-in or before it.
    Finished,
}

/// What a runner says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckIn {
    /// The version the runner speaks.
    pub protocol: u32,
    /// The run it works for.
    pub run: RunRef,
    /// Its index in the run.
    pub index: u32,
    /// The UID of its pod.
    pub pod_uid: String,
    /// How far it is.
    pub stage: Stage,
    /// Bots alive.
    pub alive: u32,
    /// How long the last check-in took there and back, in milliseconds; none at the first.
    pub round_trip_ms: Option<u64>,
    /// Measures above what is durable, in the order of their numbers; at most [`MAX_DELTAS`].
    #[serde(deserialize_with = "bounded::list::<_, _, MAX_DELTAS>")]
    pub deltas: Vec<Delta>,
    /// Its pod was told to end before the run was over: all that it has measured is in this check-in or before it,
    /// and what is left of its part is that of the pod which takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// Why it cannot do its part: the plan or what belongs to it is wrong where the runner is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// A digest of the sources that it has read, where the plan has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<String>,
    /// What came of setup or teardown, which it was told to perform; said again until it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performed: Option<Performed>,
    /// What its bots do together.
    #[serde(default)]
    pub together: Together,
    /// The name of the certificates that it was told last to check the coordinator with; empty before it was told any.
    /// A runner that does not say it is not told: it knows its file alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusts: Option<String>,
    /// How late its first bots began, in milliseconds of the coordinator's clock: by what it knows of that clock they
    /// may also have begun too early. None before they have, and of a runner that goes on with another's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_late_ms: Option<i64>,
    /// How far it is with its part, beside what its measures tell.
    #[serde(default)]
    pub standing: Standing,
}

/// How far a runner is with its part, beside what its measures tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Of so many lost runners it has taken over what is its; its stage is told with it.
    #[serde(default)]
    pub losses: u32,
    /// Rows of its part that are used up, by scenario, where none is used twice.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "bounded::map::<_, _, MAX_SCENARIOS, MAX_SCENARIO_NAME>"
    )]
    pub rows: BTreeMap<String, u64>,
    /// Passes that its bots have yet to make, by scenario, where each makes so many.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "bounded::map::<_, _, MAX_SCENARIOS, MAX_SCENARIO_NAME>"
    )]
    pub owed: BTreeMap<String, u64>,
}

/// Why a runner cannot do its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// It is the trees or the settings that make no sense: they could not be read before the runner was there.
    #[serde(default)]
    pub invalid: bool,
    /// What is wrong, a line for each mistake, with its place.
    #[serde(deserialize_with = "bounded::first::<_, _, MAX_MISTAKES>")]
    pub mistakes: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where it is.
    pub place: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, Mistake { place, message }) in self.mistakes.iter().enumerate() {
            write!(f, "{}{place}: {message}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// What came of setup or teardown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performed {
    /// Which of the two.
    pub part: Part,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The values that it left.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
}

/// What a runner says about shared data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Together {
    /// Changes by their numbers in this pod, from 1 on and in order. Those up to `answered` are repeated,
    /// since the coordinator has lost them. At most [`MAX_CHANGES`].
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::list::<_, _, MAX_CHANGES>"
    )]
    pub changes: Vec<(u64, Change)>,
    /// All that the coordinator has lost is among them.
    #[serde(default)]
    pub is_whole: bool,
    /// The last change that was answered.
    #[serde(default)]
    pub answered: u64,
    /// The last change that the coordinator has made, as far as this runner knows: what is repeated follows it.
    #[serde(default)]
    pub knows: u64,
    /// The version of the store that this runner's copy has.
    #[serde(default)]
    pub seen: u64,
}

/// What the coordinator answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Orders {
    /// The version the coordinator speaks.
    pub protocol: u32,
    /// Grows with each change of the leader; orders of an older one are refused.
    pub epoch: u64,
    /// The coordinator's clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The last delta of this pod that is part of the sum; 0 for none.
    pub applied: u64,
    /// The last delta of this pod that survives the operator; 0 for none.
    pub durable: u64,
    /// What to run; given to a runner that waits for the start.
    pub plan: Option<Plan>,
    /// When the bots begin, in the coordinator's clock; none while runners are missing.
    pub start_at_ms: Option<u64>,
    /// Bots over the whole army.
    pub bots: u32,
    /// The run is to end.
    pub stop: bool,
    /// Other rates of arrival, in the order of their times: milliseconds since the start, bots a second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<(u64, f64)>,
    /// Times in which the load stands still, in their order: milliseconds since the start, from and until; the last one
    /// may have no end yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<(u64, Option<u64>)>,
    /// Runners that are lost for good, in the order of their losses: of each the others take over what is left. A list
    /// only grows. Told to a runner that does not know of all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// This runner is to perform a part, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perform: Option<Part>,
    /// The values that setup has left; given with the start, and with a part to perform.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// This runner has to wait with leaving, since it may be needed yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stay: bool,
    /// What concerns shared data.
    #[serde(default)]
    pub together: TogetherOrders,
    /// What to check the coordinator with from now on; given to a runner that was not told yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
}

/// What a runner checks the coordinator with, beside its file: that follows only after a minute or two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// A name for these certificates, which the runner repeats; the same name means the same certificates.
    pub name: String,
    /// The certificates, as PEM.
    pub certificates: String,
}

/// What the coordinator answers about shared data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TogetherOrders {
    /// Answers to changes, by their numbers and in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<(u64, Answer)>,
    /// The last change of this pod that was made.
    #[serde(default)]
    pub applied: u64,
    /// The last change of this pod that survives the operator.
    #[serde(default)]
    pub durable: u64,
    /// What has changed since the runner's copy.
    #[serde(default)]
    pub news: News,
}

/// What a runner has to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The spec as it was accepted.
    pub spec: BotRunSpec,
    /// How many runners there are.
    pub runners: u32,
    /// Whom the bots may talk to; anybody if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Targets>,
    /// What this runner's part has come to already, if it takes the place of one that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// What a part of a run had come to when its runner was lost, as far as it is known; by scenario, the one of a run without
/// scenarios has no name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Passes of the tree that ended.
    pub iterations: BTreeMap<String, u64>,
    /// Rows that are used up, where none is used twice.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<String, u64>,
    /// Passes that its bots had yet to make, where each makes so many; nothing if that was never told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owed: BTreeMap<String, u64>,
    /// Of how many losses it knew when it told that.
    #[serde(default)]
    pub knew: u32,
}

/// A runner that is lost for good, and what of its part is known. The others compute from it what each of them takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// The index of the runner.
    pub index: u32,
    /// From when on bots that should have arrived there arrive at others: milliseconds of the load's time since its start.
    pub at_ms: u64,
    /// Bots that were to be alive over the whole army.
    pub bots: u32,
    /// What its part had come to.
    pub done: Resume,
}

#[cfg(test)]
mod tests {
    use super::waiting_interval_ms;

    #[test]
    fn many_runners_together_ask_for_the_start_no_more_often_than_they_report() {
        let intervals = [1, 250, 251, 1_000, 100_000].map(waiting_interval_ms);
        assert_eq!(intervals, [250, 250, 251, 1_000, 1_000]);
    }
}
