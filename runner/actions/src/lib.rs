//! The leaves that do something: one module for each action, behind one trait.
//!
//! An action is made once per worker from what the plan says of a leaf, and run by any number of
//! bots. It sees the bot's context but never changes it: what it wants changed comes with its
//! outcome, so that a cancelled action leaves nothing half done.

pub mod control;
pub mod http;
pub mod http1;
pub mod network;
mod own;
mod seen;
pub mod together;

use botarmy_report::Observed;
use botarmy_tree::action::Call;
use botarmy_tree::draw::Draw;
use botarmy_tree::plan::LeafRecord;
use botarmy_tree::{Scope, template};
use futures::future::LocalBoxFuture;
use serde_json::Value;
use std::fmt;

pub use network::{Connections, Hosts, Network};
pub use own::Own;
pub use together::Together;

/// How an action came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It went well.
    Succeed,
    /// It did not, and the tree decides what follows.
    Fail,
    /// What was looked at is not as it should be, which is counted; the tree goes on as after a success.
    Unmet,
    /// The bot's work is done; it ends.
    Done,
    /// It is not through yet: the same leaf is asked again, a millisecond later at the earliest.
    Continue,
    /// Something is wrong with the bot or its tree; it ends with this reason.
    Error(String),
}

/// An outcome with what it changes in the bot's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it came out.
    pub outcome: Outcome,
    /// Values that the context takes over, by name.
    pub updates: Vec<(String, Value)>,
    /// What the execution tells about itself; for most actions nothing.
    pub observed: Observed,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, updates: Vec::new(), observed: Observed::default() }
    }
}

impl From<template::RenderError> for Answer {
    fn from(error: template::RenderError) -> Self {
        Outcome::Error(error.to_string()).into()
    }
}

/// What an action is run with: one bot's view of the world.
pub struct Bot<'a> {
    /// What templates see.
    pub scope: Scope<'a>,
    /// The bot's open connections.
    pub connections: &'a Connections,
}

/// An action's answer, now or later. A trivial action costs no box and no yield.
pub enum Step<'a> {
    /// It came out so, and there is nothing more to tell.
    Plain(Outcome),
    /// Here it is.
    Ready(Box<Answer>),
    /// It takes a while.
    Pending(LocalBoxFuture<'a, Answer>),
}

impl From<Outcome> for Step<'_> {
    fn from(outcome: Outcome) -> Self {
        Self::Plain(outcome)
    }
}

impl From<template::RenderError> for Step<'_> {
    fn from(error: template::RenderError) -> Self {
        Self::Plain(Outcome::Error(error.to_string()))
    }
}

impl fmt::Debug for Bot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bot").field("id", &self.scope.bot).finish_non_exhaustive()
    }
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(outcome) => f.debug_tuple("Plain").field(outcome).finish(),
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}

/// A leaf that can be run.
pub trait Action {
    /// Runs it for one bot. `draw` is the randomness of this visit, made only when it is called.
    fn run<'a>(&'a self, bot: Bot<'a>, draw: &mut dyn FnMut() -> Draw) -> Step<'a>;
}

/// Why a leaf cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not built in.
    #[error("{0}: this runner has no action {1}; use a built-in one, or a runner that has it")]
    Unknown(botarmy_tree::Path, String),
    /// The network cannot be used.
    #[error("{0}")]
    Network(#[from] network::Error),
}

/// Makes the action of a leaf, for the bots of one worker.
pub fn action(
    leaf: &LeafRecord,
    network: &Network,
    together: &Together,
    own: &Own,
) -> Result<Box<dyn Action>, Error> {
    Ok(match &leaf.call {
        Call::Wait(wait) => Box::new(control::Wait::new(wait)),
        Call::SucceedRate(rate) => Box::new(control::SucceedRate::new(*rate)),
        Call::Done => Box::new(control::Done),
        Call::Error(reason) => Box::new(control::Error::new(reason)),
        Call::Log(message) => Box::new(control::Log::new(message)),
        Call::If(condition) => Box::new(control::If::new(condition)),
        Call::Check(condition) => Box::new(control::Check::new(condition)),
        Call::Set(values) => Box::new(control::Set::new(values)),
        Call::Http(request) => Box::new(http::Http::new(request, network)),
        Call::Shared(call) => Box::new(together::SharedChange::new(call, together)),
        Call::Signal(name) => Box::new(together::Signal::new(name, together)),
        Call::Await(call) => Box::new(together::Await::new(call, together)),
        Call::Barrier(call) => Box::new(together::Barrier::new(call, together)),
        Call::Own { name, .. } => {
            let unknown = || Error::Unknown(leaf.path.clone(), name.clone());
            own.make(name, leaf).ok_or_else(unknown)?
        }
    })
}
