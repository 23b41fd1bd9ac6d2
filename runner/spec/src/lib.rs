//! What a `BotRun` says, as plain types shared by file and cluster, and what makes it valid.
//!
//! [`BotRunSpec`] is what a user writes; [`shape`] compares a document with its schema, telling all
//! differences at once; [`Run::check`] turns it into something that can be run. [`mod@file`] reads the
//! documents that people hand to the command line.

pub mod data;
pub mod env;
pub mod export;
pub mod file;
pub mod load;
pub mod profile;
pub mod rate;
pub mod run;
pub mod shape;
pub mod sources;
pub mod targets;
pub mod types;

pub use data::{Data, Table};
pub use env::Secrets;
pub use run::{DEFAULT_LEASE, Once, Overrides, Part, Refill, Run, RunThreshold, Scenario, plan};
pub use targets::Targets;
pub use types::{
    BotRunSpec, EnvVar, ExportSpec, LoadSpec, LossPolicy, OperationSpec, RefillSpec, RunnersSpec,
    TargetPolicy, ThresholdSpec, Time, TtlSpec,
};
