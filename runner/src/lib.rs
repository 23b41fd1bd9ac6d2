//! Runs behavior trees: in a pod of an army, or here and now.
//!
//! [`engine`] turns a run into live bots, [`bot_log`] keeps what they do, [`agent`] is what a pod runs, [`target`] is a small
//! shop to try them on, and [`command`] is what the command line offers.

pub mod agent;
pub mod bot_log;
pub mod command;
mod data;
mod deliver;
pub mod engine;
mod limits;
mod metrics;
mod otlp;
mod outbound;
mod seconds;
mod sources;
pub mod target;
