//! `kubectl botarmy`: runs, watches and stops armies on a cluster, from a terminal or a pipeline.
//!
//! [`command`] is what the command line offers. Behind it, a run is made from a file, followed to its end, and its
//! end is told as `runner run` tells it.

pub mod command;

mod cluster;
mod ending;
mod follow;
mod manifest;
mod names;

#[cfg(test)]
mod fake;
