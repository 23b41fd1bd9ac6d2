//! Giving up what runs below a node.

use super::{Effect, Walk};
use crate::plan::{LeafId, NONE, NodeId, Op, Plan, TimerId};

impl Plan {
    /// Gives up everything below a node, and the node itself.
    pub(super) fn cancel(&self, walk: &mut Walk, node: NodeId, emit: &mut impl FnMut(Effect)) {
        let end = self.nodes[node as usize].end;
        let branch = self.nodes[node as usize].branch;
        let cursor = *walk.slot(branch);
        if (node..end).contains(&cursor) {
            *walk.slot(branch) = NONE;
            self.give_up(cursor, emit);
        }
        let first = self.branches.partition_point(|b| b.root <= node);
        for branch in self.branches[first..].iter().take_while(|b| b.root < end) {
            let cursor = std::mem::replace(walk.slot(branch.slot), NONE);
            if cursor != NONE {
                self.give_up(cursor, emit);
            }
        }
        let first = self.timers.partition_point(|t| t.node < node);
        for (i, timer) in (first..).zip(self.timers[first..].iter().take_while(|t| t.node < end)) {
            if let Op::Timeout { slot, .. } = self.nodes[timer.node as usize].op
                && std::mem::take(walk.slot(slot)) == 1
            {
                emit(Effect::Disarm(TimerId(u32::try_from(i).unwrap_or(NONE))));
            }
        }
    }

    /// A branch stands on a leaf, on a `retry` that waits, or on a `parallel`, whose branches are
    /// looked at by themselves.
    fn give_up(&self, cursor: NodeId, emit: &mut impl FnMut(Effect)) {
        match self.nodes[cursor as usize].op {
            Op::Leaf(leaf) => emit(Effect::Cancel(LeafId(leaf))),
            Op::Retry { timer, .. } if timer != NONE => emit(Effect::Disarm(TimerId(timer))),
            _ => {}
        }
    }
}
