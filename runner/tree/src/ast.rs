//! A tree as it is defined, before it is compiled: what both notations are read into.

use crate::action::Call;
use crate::finding::Path;

/// A node of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is written.
    pub path: Path,
    /// The name it goes by in reports instead of its own.
    pub label: Option<String>,
    /// What it does.
    pub kind: Kind,
}

/// What a node does. The meaning of each is the original's: see [`crate::walk`].
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Runs its children in order until one fails.
    Sequence(Vec<Node>),
    /// Runs its children in order until one succeeds.
    Select(Vec<Node>),
    /// Runs one child, drawn evenly at each entry.
    Random(Vec<Node>),
    /// Runs one child, drawn by weight at each entry.
    RandomWeighted(Vec<(u32, Node)>),
    /// Runs its child so many times, whatever comes of it, and succeeds.
    RepeatN(u32, Box<Node>),
    /// Runs its child until it succeeds, and succeeds.
    RepeatUntilSucceed(Box<Node>),
    /// Runs its child until it fails, and succeeds.
    RepeatUntilFail(Box<Node>),
    /// Turns its child's outcome round.
    Negate(Box<Node>),
    /// Succeeds whatever its child does.
    AlwaysSucceed(Box<Node>),
    /// Fails whatever its child does.
    AlwaysFail(Box<Node>),
    /// Stands for another tree of the same document, by its name.
    Subtree(String),
    /// Does something.
    Leaf(Leaf),
}

/// A leaf: one action with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The name of its row: the action's name with its arguments as written.
    pub name: String,
    /// The name without arguments.
    pub base: String,
    /// What to do.
    pub call: Call,
}
