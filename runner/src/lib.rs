//! Runs behavior trees: in a pod of an army, or here and now.
//!
//! [`engine`] turns a run into live bots, [`agent`] is what a pod runs, [`target`] is a small shop to try them on, and
//! [`command`] is what the command line offers.

pub mod agent;
pub mod command;
pub mod engine;
mod metrics;
mod seconds;
pub mod target;
