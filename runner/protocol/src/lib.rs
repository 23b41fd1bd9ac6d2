//! What a runner and the coordinator say to each other, as plain data.
//!
//! A runner dials out: it posts a [`CheckIn`] at least once a second and gets [`Orders`] back.
//! Measures travel as numbered deltas. An answer tells up to which number they are `applied`
//! (part of the sum) and `durable` (part of what survives the operator); a runner keeps what is
//! above `durable` and sends it again after a failure. A delta is applied once, whatever is sent.

use botarmy_report::Delta;
use botarmy_spec::BotRunSpec;
use serde::{Deserialize, Serialize};

/// The version of what is said; two adjacent versions understand each other.
pub const VERSION: u32 = 1;
/// Where a runner checks in.
pub const CHECK_IN_PATH: &str = "/v1/checkin";
/// The audience of a runner's token: it is worth nothing anywhere else.
pub const AUDIENCE: &str = "botarmy";
/// Largest check-in, in bytes.
pub const MAX_CHECK_IN_BYTES: usize = 8 << 20;
/// How often a runner checks in, in milliseconds.
pub const INTERVAL_MS: u64 = 1000;

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
    /// Measures above what is durable, in the order of their numbers.
    pub deltas: Vec<Delta>,
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
}

/// What a runner has to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The spec as it was accepted.
    pub spec: BotRunSpec,
    /// How many runners there are.
    pub runners: u32,
}
