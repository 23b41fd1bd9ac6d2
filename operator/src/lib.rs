//! The operator: schedules runners, coordinates them, merges what they measure.
//!
//! Of several operators one leads ([`election`]), and runners find it ([`endpoint`]).
//! [`controller`] turns a `BotRun` into a Job and tells in its status what comes of it;
//! [`coordinator`] is what the runners of that Job talk to; both look at the same [`armies`], whose
//! sums [`checkpoint`] keeps and [`metrics`] shows. [`schedules`] creates `BotRuns` when a `BotRunSchedule` says so.

pub mod api_call;
pub mod armies;
mod backoff;
mod callers;
pub mod certificates;
pub mod checkpoint;
pub mod clock;
mod conditions;
pub mod controller;
pub mod coordinator;
mod costly;
pub mod election;
pub mod endpoint;
mod events;
pub mod health;
mod leading;
mod listening;
mod message;
pub mod metrics;
pub mod nesting;
mod patient;
pub mod readiness;
pub mod schedules;
pub mod serve;
pub mod settings;
mod texts;
mod unfolded;
mod watching;

pub use settings::Settings;
