//! The language of bots: behavior trees, read, checked, compiled and walked.
//!
//! A tree comes in one of two forms: the YAML notation ([`notation`]) or a project of the
//! visual editor ([`editor`]). Both become the same definition ([`ast`]), which
//! [`Plan::compile`] turns into a flat arena that any number of bots share. A bot's own
//! state is a [`Walk`]: a cursor and a few counters. [`Plan::step`] moves it.
//!
//! The crate is pure: it knows no runtime, no network and no clock. Everything that
//! happens outside is told to it, and what shall happen outside is told by it.

pub mod action;
pub mod ast;
pub mod canonical;
pub mod compile;
pub mod draw;
pub mod duration;
pub mod editor;
pub mod fields;
pub mod finding;
pub mod http;
pub mod json;
pub mod literal;
pub mod notation;
pub mod plan;
pub mod schema;
pub mod template;
pub mod together;
pub mod trace;
pub mod walk;
pub mod yaml;
mod yaml_scalar;

pub use action::{Actions, Signature};
pub use fields::Findings;
pub use finding::{Finding, Path};
pub use plan::{FrameId, LeafId, Plan, TimerId};
pub use template::{Context, RunScope, Scope, Template};
pub use walk::{Effect, Input, Verdict, Walk};
