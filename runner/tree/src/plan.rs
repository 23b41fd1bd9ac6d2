//! A compiled tree: a flat arena that any number of bots share.

mod unset;

pub use unset::Unset;

use crate::action::Call;
use crate::ast;
use crate::compile;
use crate::draw::Draw;
use crate::finding::{Finding, Path};
use crate::notation::Trees;
use crate::template::{RunScope, Template};
use std::sync::Arc;
use std::time::Duration;

/// A leaf of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeafId(pub(crate) u32);

impl LeafId {
    /// The leaf's place in [`Plan::leaves`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A time that a walk waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub(crate) u32);

impl TimerId {
    /// The timer's place in [`Plan::timers`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The arguments of one call of a subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub(crate) u32);

impl FrameId {
    /// The frame's place in [`Plan::frames`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

pub(crate) type NodeId = u32;

/// No node.
pub(crate) const NONE: NodeId = u32::MAX;

/// What a node does; its children stand in the plan's table of children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Sequence,
    Select,
    /// `slot` counts the visits, so that each draws anew.
    Random {
        slot: u32,
    },
    /// `weights` is where the running sums of the children's weights begin.
    RandomWeighted {
        slot: u32,
        weights: u32,
    },
    /// `slot` counts the runs that are left.
    RepeatN {
        times: u32,
        slot: u32,
    },
    RepeatUntilSucceed,
    RepeatUntilFail,
    Negate,
    AlwaysSucceed,
    AlwaysFail,
    /// `slot` and the one after it count the children that have succeeded and failed.
    Parallel {
        succeed_on: u32,
        fail_on: u32,
        slot: u32,
    },
    /// `slot` counts the attempts that are left; `timer` is none where there is no delay.
    Retry {
        attempts: u32,
        slot: u32,
        timer: u32,
    },
    /// `slot` tells whether the timer runs.
    Timeout {
        timer: u32,
        slot: u32,
    },
    /// The first child is the condition.
    If,
    /// Gives the arguments to what is below.
    Call(FrameId),
    Leaf(u32),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeRecord {
    pub(crate) op: Op,
    pub(crate) parent: NodeId,
    /// Which child of its parent it is.
    pub(crate) place: u32,
    /// Where its children begin in the table of children, and how many there are.
    pub(crate) first: u32,
    pub(crate) len: u32,
    /// The node after the last one below it: nodes are numbered from the top down.
    pub(crate) end: NodeId,
    /// The slot that holds the cursor of its branch.
    pub(crate) branch: u32,
}

/// What runs beside others: the root, and each child of a `parallel`. It has one cursor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Branch {
    pub(crate) root: NodeId,
    /// The slot that holds its cursor.
    pub(crate) slot: u32,
}

/// A time that a node waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerRecord {
    /// How long.
    pub duration: Duration,
    pub(crate) node: NodeId,
}

/// The arguments of one call of a subtree.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameRecord {
    /// The name of the subtree.
    pub subtree: String,
    /// The arguments, to be rendered when the subtree is entered.
    pub with: Vec<(String, Template)>,
    /// The arguments that the caller sees itself.
    pub outer: Option<FrameId>,
}

/// A leaf with all that is needed to run and to report it.
#[derive(Debug, Clone, PartialEq)]
pub struct LeafRecord {
    /// The name of its row: its label, or the action with its arguments as written.
    pub name: String,
    /// The action without arguments, by which all of its rows are found; the name of the row where leaves of several
    /// actions have one.
    pub base: String,
    /// Whether its name is a label.
    pub is_labelled: bool,
    /// The labels of the nodes around it, joined by ` / `; empty without labels.
    pub group: Arc<str>,
    /// Whether it does something to the target.
    pub measured: bool,
    /// What it does.
    pub call: Call,
    /// Where it is defined.
    pub path: Path,
    pub(crate) node: NodeId,
    /// The arguments that it sees.
    pub frame: Option<FrameId>,
    /// Counts the visits of a leaf that draws.
    pub(crate) slot: u32,
}

impl LeafRecord {
    /// Its label, or the action without arguments.
    pub fn short_name(&self) -> &str {
        if self.is_labelled { &self.name } else { &self.base }
    }
}

/// A compiled tree.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub(crate) nodes: Vec<NodeRecord>,
    pub(crate) children: Vec<NodeId>,
    /// Running sums of weights, for the nodes that draw by weight.
    pub(crate) weights: Vec<u64>,
    pub(crate) leaves: Vec<LeafRecord>,
    /// In the order of their nodes, the whole tree first.
    pub(crate) branches: Vec<Branch>,
    /// In the order of their nodes.
    pub(crate) timers: Vec<TimerRecord>,
    pub(crate) frames: Vec<FrameRecord>,
    pub(crate) slots: u32,
    pub(crate) seed: u64,
}

impl Plan {
    /// Compiles a tree that stands alone (one of an editor project).
    pub fn compile(root: &ast::Node) -> Result<Self, Vec<Finding>> {
        compile::compile(root, &Trees::new())
    }

    /// Compiles the tree `entry` of a document; the others may be its subtrees.
    pub fn compile_entry(trees: &Trees, entry: &str) -> Result<Self, Vec<Finding>> {
        let missing = || vec![Finding::new(&Path::top(), &compile::no_such_tree(entry, trees.keys()))];
        compile::compile(trees.get(entry).ok_or_else(missing)?, trees)
    }

    /// Sets the seed from which all draws of all bots follow.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Puts in what is the same for the whole run, so that no bot looks it up.
    #[must_use]
    pub fn fold(mut self, run: &RunScope) -> Self {
        for leaf in &mut self.leaves {
            leaf.call = fold_call(leaf.call.clone(), run);
        }
        for frame in &mut self.frames {
            frame.with = std::mem::take(&mut frame.with).into_iter().map(|(k, t)| (k, t.fold(run))).collect();
        }
        self
    }

    /// Whether more than one thing can go on at once, or a time can be over.
    pub fn is_concurrent(&self) -> bool {
        self.branches.len() > 1 || !self.timers.is_empty()
    }

    /// All timers; [`TimerId::index`] is the place in this list.
    pub fn timers(&self) -> &[TimerRecord] {
        &self.timers
    }

    /// All arguments of subtrees; [`FrameId::index`] is the place in this list.
    pub fn frames(&self) -> &[FrameRecord] {
        &self.frames
    }

    /// Randomness that belongs to a bot and to none of its nodes; bot 0 stands for the army.
    pub fn draw_apart(&self, bot: u64, visit: u32) -> Draw {
        Draw::new(self.seed, bot, NONE, visit)
    }

    /// All leaves; [`LeafId::index`] is the place in this list.
    pub fn leaves(&self) -> &[LeafRecord] {
        &self.leaves
    }

    /// One leaf.
    pub fn leaf(&self, id: LeafId) -> &LeafRecord {
        &self.leaves[id.index()]
    }
}

fn fold_call(call: Call, run: &RunScope) -> Call {
    use crate::action::Wait;
    use crate::http::Body;
    use crate::together::Change;
    let fold = |t: Template| t.fold(run);
    match call {
        Call::Error(t) => Call::Error(fold(t)),
        Call::Log(t) => Call::Log(fold(t)),
        Call::If(t) => Call::If(fold(t)),
        Call::Check(t) => Call::Check(fold(t)),
        Call::Signal(t) => Call::Signal(fold(t)),
        Call::Await(mut call) => {
            call.signal = call.signal.fold(run);
            Call::Await(call)
        }
        Call::Barrier(mut call) => {
            call.name = call.name.fold(run);
            Call::Barrier(call)
        }
        Call::Shared(mut call) => {
            call.key = call.key.fold(run);
            call.change = match call.change {
                Change::Put(t) => Change::Put(fold(t)),
                Change::Add(t) => Change::Add(fold(t)),
                Change::Update(t) => Change::Update(fold(t)),
                Change::Push(t) => Change::Push(fold(t)),
                other @ (Change::Pop | Change::Delete) => other,
            };
            Call::Shared(call)
        }
        Call::Set(values) => Call::Set(values.into_iter().map(|(k, t)| (k, fold(t))).collect()),
        Call::Own { name, args } => Call::Own { name, args: args.into_iter().map(fold).collect() },
        Call::Wait(Wait::Rendered(t)) => Call::Wait(Wait::Rendered(fold(t))),
        Call::Http(mut http) => {
            http.url = http.url.fold(run);
            http.headers = http.headers.into_iter().map(|(k, t)| (k, fold(t))).collect();
            http.expect.json = http.expect.json.into_iter().map(|(p, t)| (p, fold(t))).collect();
            http.body = match http.body {
                Body::Empty => Body::Empty,
                Body::Json(t) => Body::Json(fold(t)),
                Body::Text(t) => Body::Text(fold(t)),
            };
            Call::Http(http)
        }
        other @ (Call::Wait(_) | Call::SucceedRate(_) | Call::Done) => other,
    }
}
