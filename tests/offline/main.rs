//! The operator's loops against an API server that is a fake: faults that a real one cannot be made to have, and the
//! clock turned by hand. What the API server itself does is tried on a real cluster, by the end-to-end tests.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod agents;
mod checkpoint;
mod deletion;
mod election;
mod export;
mod failures;
mod fake;
mod golden;
mod hostile;
mod jobs;
mod operator;
mod queue;
mod reconcile;
mod rotation;
mod scene;
mod schedules;
mod serving;
mod stopping;
mod takeover;
mod targets;
mod waiting;
mod watches;
