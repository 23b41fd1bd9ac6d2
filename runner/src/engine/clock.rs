//! The clock by which leaves are measured.
//!
//! A trivial leaf takes less time than asking the system for the time. The processor's own counter, set right
//! by the system's clock once, costs a third of that; where there is none that keeps time, the system is asked.

/// A moment of that clock. It says how long something took, and nothing about when it was.
pub(super) use quanta::Instant as Tick;
