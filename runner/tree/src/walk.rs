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
//! Beside them there are:
//!
//! | node | a child succeeds | a child fails | entry |
//! | --- | --- | --- | --- |
//! | `retry` | it succeeds | child again, after the delay, while attempts are left, then it fails | child |
//! | `timeout` | it succeeds | it fails; so it does, its child cancelled, when the time is over | child, timer armed |
//! | `if` | of the condition: `then`; of that: it succeeds | of the condition: `else`, or it succeeds without one | condition |
//! | `parallel` | it succeeds once `succeed_on` children have | it fails once `fail_on` children have, or once `succeed_on` is out of reach | all children, in order |
//! | `subtree` | it succeeds | it fails | its arguments, then the tree that it calls |
//!
//! Entering a node sets up everything below it anew. One step ends on leaves, on a `retry` that waits
//! or at the end of the root. Without `parallel` it takes at most twice the tree's depth; with it, at
//! most the number of nodes. It never allocates.
//!
//! **What is cancelled.** When a `parallel` has its verdict, and when the time of a `timeout` is over,
//! every leaf that runs below it is cancelled and every timer below it is disarmed, before anything
//! else is entered. A cancelled leaf has no outcome: it changes nothing of the bot's context and steers
//! nothing. Which of both it was is told apart, since what had no more time is missing in what was measured.
//!
//! **What a subtree sees.** Its arguments are rendered each time it is entered, by what its caller sees, before
//! anything below it is entered: [`Effect::Bind`] comes before the [`Effect::Enter`] of its leaves. They are not
//! handed on: a leaf sees the arguments of the innermost subtree around it alone ([`crate::plan::LeafRecord::frame`]),
//! and none if that one was called without any. Such a subtree is no node of its own: the tree that it calls stands
//! in its place.
//!
//! **Who comes first.** Inputs are taken one after another, so that of two children of a `parallel` that
//! end at the same time the one that is told first counts first. Draws do not depend on that order.

mod cancel;

use crate::draw::Draw;
use crate::plan::{FrameId, LeafId, NONE, NodeId, NodeRecord, Op, Plan, TimerId};
use smallvec::{SmallVec, smallvec};

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
    /// A new pass of the root begins. What still runs of the last one is cancelled.
    Start,
    /// A leaf that was entered has its outcome.
    Leaf(LeafId, Verdict),
    /// The time of a timer that was armed is over.
    Timer(TimerId),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Run this leaf.
    Enter(LeafId),
    /// Give up this leaf, which is running; its outcome is no longer wanted, since a `parallel` has its verdict.
    Cancel(LeafId),
    /// Give up this leaf, which is running; the time of a `timeout` around it is over.
    CutOff(LeafId),
    /// Tell when the time of this timer is over.
    Arm(TimerId),
    /// The time of this timer is no longer wanted.
    Disarm(TimerId),
    /// Render the arguments of a subtree: what is entered next sees them.
    Bind(FrameId),
    /// The pass of the root is over; nothing runs any more.
    Ended(Verdict),
}

/// An input about something that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// A leaf.
    #[error("leaf {0} is not running, so that it has no outcome; report each leaf once after it was entered")]
    Leaf(usize),
    /// A timer.
    #[error("timer {0} is not armed, so that its time cannot be over; tell it once after it was armed")]
    Timer(usize),
}

/// A bot's place in a plan: where each of its branches stands, and a counter for each node that
/// needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    bot: u64,
    /// In most trees few, which need no memory of their own.
    slots: SmallVec<[u32; 4]>,
}

impl Walk {
    /// A bot that has not begun.
    pub fn new(plan: &Plan, bot: u64) -> Self {
        let mut slots = smallvec![0; plan.slots as usize];
        for branch in &plan.branches {
            slots[branch.slot as usize] = NONE;
        }
        Self { bot, slots }
    }

    /// The bot's id, from which its draws follow.
    pub fn bot(&self) -> u64 {
        self.bot
    }

    fn slot(&mut self, slot: u32) -> &mut u32 {
        &mut self.slots[slot as usize]
    }
}

impl Plan {
    /// Moves a bot: takes what happened and tells `emit` what is to be done, in order. Never allocates.
    ///
    /// # Errors
    /// [`Stale`] if the input is about a leaf or a timer that does not run; nothing has moved then.
    pub fn step(&self, walk: &mut Walk, input: Input, emit: &mut impl FnMut(Effect)) -> Result<(), Stale> {
        match input {
            Input::Start => {
                self.cancel(walk, 0, emit);
                self.enter(walk, 0, emit);
            }
            Input::Leaf(leaf, verdict) => {
                let node = self.leaf(leaf).node;
                if *walk.slot(self.nodes[node as usize].branch) != node {
                    return Err(Stale::Leaf(leaf.index()));
                }
                self.leave(walk, node, verdict, emit);
            }
            Input::Timer(timer) => self.fire(walk, timer, emit)?,
        }
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

    fn fire(&self, walk: &mut Walk, timer: TimerId, emit: &mut impl FnMut(Effect)) -> Result<(), Stale> {
        let stale = Err(Stale::Timer(timer.index()));
        let Some(record) = self.timers.get(timer.index()) else { return stale };
        let node = self.nodes[record.node as usize];
        match node.op {
            Op::Timeout { slot, .. } if *walk.slot(slot) == 1 => {
                *walk.slot(slot) = 0;
                self.cancel(walk, record.node, &mut |effect| {
                    emit(match effect {
                        Effect::Cancel(leaf) => Effect::CutOff(leaf),
                        effect => effect,
                    });
                });
                self.leave(walk, record.node, Verdict::Fail, emit);
            }
            Op::Retry { .. } if *walk.slot(node.branch) == record.node => {
                self.enter(walk, self.child(record.node, 0), emit);
            }
            _ => return stale,
        }
        Ok(())
    }

    /// Goes down to a leaf, or to several below a `parallel`.
    fn enter(&self, walk: &mut Walk, mut node: NodeId, emit: &mut impl FnMut(Effect)) {
        loop {
            let record = self.nodes[node as usize];
            let place = match record.op {
                Op::Leaf(leaf) => {
                    *walk.slot(record.branch) = node;
                    return emit(Effect::Enter(LeafId(leaf)));
                }
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
                    *walk.slot(slot) = times;
                    0
                }
                Op::Retry { attempts, slot, .. } => {
                    *walk.slot(slot) = attempts;
                    0
                }
                Op::Timeout { timer, slot } => {
                    *walk.slot(slot) = 1;
                    emit(Effect::Arm(TimerId(timer)));
                    0
                }
                Op::Call(frame) => {
                    emit(Effect::Bind(frame));
                    0
                }
                Op::Parallel { slot, .. } => {
                    *walk.slot(record.branch) = node;
                    (*walk.slot(slot), *walk.slot(slot + 1)) = (0, 0);
                    // No child has its verdict at once: each has a leaf that must run first.
                    return (0..record.len).for_each(|place| self.enter(walk, self.child(node, place), emit));
                }
                Op::Sequence
                | Op::Select
                | Op::RepeatUntilSucceed
                | Op::RepeatUntilFail
                | Op::Negate
                | Op::AlwaysSucceed
                | Op::AlwaysFail
                | Op::If => 0,
            };
            node = self.child(node, place);
        }
    }

    /// Goes up with a verdict until a node has something left to run, or the root is over.
    fn leave(&self, walk: &mut Walk, mut node: NodeId, mut verdict: Verdict, emit: &mut impl FnMut(Effect)) {
        loop {
            let NodeRecord { parent, branch, .. } = self.nodes[node as usize];
            if parent == NONE {
                *walk.slot(branch) = NONE;
                return emit(Effect::Ended(verdict));
            }
            match self.after(walk, parent, node, verdict, emit) {
                After::Enter(place) => return self.enter(walk, self.child(parent, place), emit),
                After::Waits => return,
                After::Leaves(with) => (node, verdict) = (parent, with),
            }
        }
    }

    /// What a node does when one of its children has left with a verdict.
    fn after(
        &self,
        walk: &mut Walk,
        node: NodeId,
        child: NodeId,
        verdict: Verdict,
        emit: &mut impl FnMut(Effect),
    ) -> After {
        use Verdict::{Fail, Succeed};
        let record = self.nodes[node as usize];
        let place = self.nodes[child as usize].place;
        match record.op {
            Op::Sequence if verdict == Succeed && place + 1 < record.len => After::Enter(place + 1),
            Op::Select if verdict == Fail && place + 1 < record.len => After::Enter(place + 1),
            Op::RepeatN { slot, .. } => {
                let left = walk.slot(slot);
                *left -= 1;
                if *left > 0 { After::Enter(0) } else { After::Leaves(Succeed) }
            }
            Op::RepeatUntilSucceed if verdict == Fail => After::Enter(0),
            Op::RepeatUntilFail if verdict == Succeed => After::Enter(0),
            Op::RepeatUntilFail | Op::AlwaysSucceed => After::Leaves(Succeed),
            Op::AlwaysFail => After::Leaves(Fail),
            Op::Negate => After::Leaves(if verdict == Succeed { Fail } else { Succeed }),
            Op::Retry { slot, timer, .. } if verdict == Fail => {
                let left = walk.slot(slot);
                *left -= 1;
                match (*left > 0, timer) {
                    (false, _) => After::Leaves(Fail),
                    (true, NONE) => After::Enter(0),
                    (true, timer) => {
                        *walk.slot(record.branch) = node;
                        emit(Effect::Arm(TimerId(timer)));
                        After::Waits
                    }
                }
            }
            Op::Timeout { timer, slot } => {
                // When the time is over the slot says so already.
                if std::mem::take(walk.slot(slot)) == 1 {
                    emit(Effect::Disarm(TimerId(timer)));
                }
                After::Leaves(verdict)
            }
            Op::If => match (place, verdict) {
                (0, Succeed) => After::Enter(1),
                (0, Fail) if record.len > 2 => After::Enter(2),
                (0, Fail) => After::Leaves(Succeed),
                (_, verdict) => After::Leaves(verdict),
            },
            Op::Parallel { succeed_on, fail_on, slot } => {
                *walk.slot(self.nodes[child as usize].branch) = NONE;
                *walk.slot(if verdict == Succeed { slot } else { slot + 1 }) += 1;
                let (succeeded, failed) = (*walk.slot(slot), *walk.slot(slot + 1));
                let over = match verdict {
                    Succeed => succeeded >= succeed_on,
                    Fail => failed >= fail_on || record.len - failed < succeed_on,
                };
                if !over {
                    return After::Waits;
                }
                self.cancel(walk, node, emit);
                After::Leaves(verdict)
            }
            _ => After::Leaves(verdict),
        }
    }
}

/// What follows when a child has left.
enum After {
    /// Another child, by its place.
    Enter(u32),
    /// Nothing now.
    Waits,
    /// The node leaves too.
    Leaves(Verdict),
}

fn next_visit(walk: &mut Walk, slot: u32) -> u32 {
    let visit = walk.slot(slot);
    let this = *visit;
    *visit = this.wrapping_add(1);
    this
}

fn below(draw: &mut Draw, len: u64) -> u32 {
    u32::try_from(draw.below(len)).unwrap_or(0)
}
