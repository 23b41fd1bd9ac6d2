//! What cannot go well ends with its reason in the result, or with an exit code that is documented and words on
//! stderr: soon, in little memory, without a panic.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod loads;
mod machine;
mod pipes;
mod rows;
mod targets;
mod tls;
mod watched;
