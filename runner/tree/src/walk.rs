//! Walking a plan: what a bot does next, given what came of what it did.
//!
//! The rules are those of the original behavior tree library:
//!
//! | node | a child succeeds | a child fails | entry |
//! | --- | --- | --- | --- |
//! | `sequence` | next child; after the last it succeeds | it fails | first child |
//! | `select` | it succeeds | next child; after the last it fails | first child |
//! | `random`, `random_weighted` | it succeeds | it fails | a drawn child |
//! | `repeat_n` | child again while runs are left, then it succeeds | the same | child, counter reset |
//! | `repeat_until_succeed` | it succeeds | child again | child |
//! | `repeat_until_fail` | child again | it succeeds | child |
//! | `negate` | it fails | it succeeds | child |
//! | `always_succeed`, `always_fail` | it succeeds, it fails | the same | child |
//!
//! Entering a node sets up everything below it anew. One step ends on a leaf or at the end of the
//! root; it takes at most twice the tree's depth and never allocates.

use crate::draw::Draw;
use crate::plan::{LeafId, NONE, NodeId, Op, Plan};

/// How a leaf or the whole tree came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It went well.
    Succeed,
    /// It did not.
    Fail,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A new pass of the root begins.
    Start,
    /// A leaf that was entered has its outcome.
    Leaf(LeafId, Verdict),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Run this leaf.
    Enter(LeafId),
    /// The pass of the root is over.
    Ended(Verdict),
}

/// An outcome of a leaf that the bot does not stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("leaf {0} is not running, so that it has no outcome; report each leaf once after it was entered")]
pub struct Stale(pub usize);

/// A bot's place in a plan: the leaf it stands on and a counter for each node that needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    bot: u64,
    /// The leaf that is running, or none.
    cursor: NodeId,
    slots: Box<[u32]>,
}

impl Walk {
    /// A bot that has not begun.
    pub fn new(plan: &Plan, bot: u64) -> Self {
        Self { bot, cursor: NONE, slots: vec![0; plan.slots as usize].into() }
    }

    /// The bot's id, from which its draws follow.
    pub fn bot(&self) -> u64 {
        self.bot
    }
}

impl Plan {
    /// Moves a bot: takes what happened and tells `emit` what is to be done. Never allocates.
    ///
    /// # Errors
    /// [`Stale`] if the outcome is of a leaf that is not running; nothing has moved then.
    pub fn step(&self, walk: &mut Walk, input: Input, emit: &mut impl FnMut(Effect)) -> Result<(), Stale> {
        let next = match input {
            Input::Start => self.enter(walk, 0),
            Input::Leaf(leaf, verdict) => {
                let node = self.leaf(leaf).node;
                if walk.cursor != node {
                    return Err(Stale(leaf.index()));
                }
                self.leave(walk, node, verdict)
            }
        };
        walk.cursor = match next {
            Next::Leaf(node, leaf) => {
                emit(Effect::Enter(leaf));
                node
            }
            Next::Ended(verdict) => {
                emit(Effect::Ended(verdict));
                NONE
            }
        };
        Ok(())
    }

    /// The randomness of a leaf's current visit: each visit draws anew.
    pub fn draw(&self, walk: &mut Walk, leaf: LeafId) -> Draw {
        let leaf = self.leaf(leaf);
        let visit = if leaf.slot == NONE { 0 } else { next_visit(walk, leaf.slot) };
        Draw::new(self.seed, walk.bot, leaf.node, visit)
    }

    fn child(&self, node: NodeId, place: u32) -> NodeId {
        self.children[(self.nodes[node as usize].first + place) as usize]
    }

    /// Goes down to a leaf.
    fn enter(&self, walk: &mut Walk, mut node: NodeId) -> Next {
        loop {
            let record = self.nodes[node as usize];
            let place = match record.op {
                Op::Leaf(leaf) => return Next::Leaf(node, LeafId(leaf)),
                Op::Random { slot } => {
                    let mut draw = Draw::new(self.seed, walk.bot, node, next_visit(walk, slot));
                    below(&mut draw, u64::from(record.len))
                }
                Op::RandomWeighted { slot, weights } => {
                    let mut draw = Draw::new(self.seed, walk.bot, node, next_visit(walk, slot));
                    let sums = &self.weights[weights as usize..(weights + record.len) as usize];
                    let drawn = draw.below(sums.last().copied().unwrap_or(0)) + 1;
                    u32::try_from(sums.partition_point(|sum| *sum < drawn)).unwrap_or(0)
                }
                Op::RepeatN { times, slot } => {
                    walk.slots[slot as usize] = times;
                    0
                }
                Op::Sequence
                | Op::Select
                | Op::RepeatUntilSucceed
                | Op::RepeatUntilFail
                | Op::Negate
                | Op::AlwaysSucceed
                | Op::AlwaysFail => 0,
            };
            node = self.child(node, place);
        }
    }

    /// Goes up with an outcome until a node has something left to run, or the root is over.
    fn leave(&self, walk: &mut Walk, mut node: NodeId, mut verdict: Verdict) -> Next {
        use Verdict::{Fail, Succeed};
        loop {
            let parent = self.nodes[node as usize].parent;
            if parent == NONE {
                return Next::Ended(verdict);
            }
            let record = self.nodes[parent as usize];
            let again = match record.op {
                Op::Sequence | Op::Select => {
                    let goes_on = if record.op == Op::Sequence { Succeed } else { Fail };
                    let next = self.nodes[node as usize].place + 1;
                    (verdict == goes_on && next < record.len).then_some(next)
                }
                Op::RepeatN { slot, .. } => {
                    let left = &mut walk.slots[slot as usize];
                    *left -= 1;
                    verdict = Succeed;
                    (*left > 0).then_some(0)
                }
                Op::RepeatUntilSucceed => (verdict == Fail).then_some(0),
                Op::RepeatUntilFail => {
                    let again = (verdict == Succeed).then_some(0);
                    verdict = Succeed;
                    again
                }
                Op::Negate => {
                    verdict = if verdict == Succeed { Fail } else { Succeed };
                    None
                }
                Op::AlwaysSucceed => {
                    verdict = Succeed;
                    None
                }
                Op::AlwaysFail => {
                    verdict = Fail;
                    None
                }
                Op::Random { .. } | Op::RandomWeighted { .. } | Op::Leaf(_) => None,
            };
            match again {
                Some(place) => return self.enter(walk, self.child(parent, place)),
                None => node = parent,
            }
        }
    }
}

enum Next {
    Leaf(NodeId, LeafId),
    Ended(Verdict),
}

fn next_visit(walk: &mut Walk, slot: u32) -> u32 {
    let visit = &mut walk.slots[slot as usize];
    let this = *visit;
    *visit = this.wrapping_add(1);
    this
}

fn below(draw: &mut Draw, len: u64) -> u32 {
    u32::try_from(draw.below(len)).unwrap_or(0)
}
