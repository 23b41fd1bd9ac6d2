//! What is decided about a run beside its load. Each policy is pure: the clock and what was seen are arguments.

pub(super) mod deadline;
pub(super) mod export;
pub(super) mod limits;
pub(super) mod loss;
pub(super) mod pace;
pub(super) mod queue;
pub(super) mod ttl;
