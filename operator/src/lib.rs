//! The operator: schedules runners, coordinates them, merges what they measure.
//!
//! [`controller`] turns a `BotRun` into a Job and tells in its status what comes of it;
//! [`coordinator`] is what the runners of that Job talk to; both look at the same [`armies`], whose
//! sums [`checkpoint`] keeps.

pub mod armies;
pub mod certificates;
pub mod checkpoint;
pub mod controller;
pub mod coordinator;
pub mod readiness;
pub mod serve;
pub mod settings;

pub use settings::Settings;
