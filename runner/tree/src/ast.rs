//! A tree as it is defined, before it is compiled: what both notations are read into.

use crate::action::Call;
use crate::finding::Path;
use crate::template::Template;
use std::time::Duration;

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
    /// Runs its children at the same time.
    Parallel {
        /// So many must succeed for it to succeed; what still runs then is cancelled.
        succeed_on: Quorum,
        /// So many must fail for it to fail; what still runs then is cancelled. It fails as well
        /// once `succeed_on` can no longer be reached.
        fail_on: Quorum,
        /// What it runs.
        children: Vec<Node>,
    },
    /// Runs its child again when it fails, a few times, and succeeds with it.
    Retry {
        /// How often the child is run at most.
        attempts: u32,
        /// The time between the end of one attempt and the next.
        delay: Duration,
        /// What it runs.
        child: Box<Node>,
    },
    /// Cancels its child and fails after a time.
    Timeout {
        /// The time, from its entry.
        after: Duration,
        /// What it runs.
        child: Box<Node>,
    },
    /// Runs one child or the other.
    If {
        /// The condition, a leaf of its own: it succeeds when the condition is true.
        when: Leaf,
        /// What runs when it is true.
        then: Box<Node>,
        /// What runs when it is false; without it the node succeeds then.
        otherwise: Option<Box<Node>>,
    },
    /// Stands for another tree of the same document.
    Subtree {
        /// Its name.
        name: String,
        /// Its arguments: rendered when it is entered, seen inside of it by bare name.
        with: Vec<(String, Template)>,
    },
    /// Does something.
    Leaf(Leaf),
}

/// How many children of a `parallel` it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// Each of them.
    All,
    /// One.
    Any,
    /// So many, at least 1 and at most as many as there are.
    Count(u32),
}

impl Quorum {
    /// The number, of so many children.
    pub fn of(self, children: u32) -> u32 {
        match self {
            Self::All => children,
            Self::Any => 1,
            Self::Count(count) => count,
        }
    }
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
