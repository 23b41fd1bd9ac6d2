//! Measures that are not yet safe with the coordinator.

use botarmy_report::{Delta, Slice, Totals};
use std::collections::VecDeque;

/// Most deltas that wait; above it the newest two are added up, so that nothing is lost while the
/// coordinator is away.
const MAX_WAITING: usize = 300;
/// Most deltas of one check-in.
const MAX_SENT: usize = 30;

/// Deltas in the order of their numbers, from 1.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Delta>,
    last: u64,
    /// The highest number that may have reached the coordinator: what was sent never changes.
    sent: u64,
    /// The highest number that the coordinator has, as it last said: what it has is not sent again, unless it is lost
    /// with it.
    applied: u64,
    /// Most deltas of the next check-in.
    most: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), last: 0, sent: 0, applied: 0, most: MAX_SENT }
    }
}

impl Outbox {
    /// Adds what was measured in a second since the start, in the warm-up or after it.
    pub(super) fn add(&mut self, totals: Totals, second: u64, warmup: bool, alive: u32) {
        if !is_worth_telling(&totals) {
            return;
        }
        if self.waiting.len() >= MAX_WAITING
            && let Some(newest) = self.waiting.back_mut().filter(|d| d.sequence > self.sent)
            && let Some(slice) = newest.slices.last_mut().filter(|s| s.warmup == warmup && !s.apart)
        {
            match slice.totals.merge(&totals) {
                Ok(()) => return,
                Err(error) => tracing::error!("measures cannot be added up: {error}"),
            }
        }
        self.last += 1;
        self.waiting.push_back(Delta {
            sequence: self.last,
            slices: vec![Slice { second, totals, warmup, apart: false }],
            alive,
        });
    }

    /// Adds what was measured in setup or teardown.
    pub(super) fn add_apart(&mut self, totals: Totals) {
        if is_worth_telling(&totals) {
            self.last += 1;
            let slice = Slice { second: 0, totals, warmup: false, apart: true };
            self.waiting.push_back(Delta { sequence: self.last, slices: vec![slice], alive: 0 });
        }
    }

    /// What to send now, oldest first.
    pub(super) fn pending(&mut self) -> Vec<Delta> {
        let new = self.waiting.iter().filter(|d| d.sequence > self.applied);
        let pending: Vec<Delta> = new.take(self.most).cloned().collect();
        self.sent = self.sent.max(pending.last().map_or(0, |d| d.sequence));
        pending
    }

    /// Whether there is more to send than these, which were pending.
    pub(super) fn has_more_than(&self, pending: &[Delta]) -> bool {
        let told = pending.last().map_or(self.applied, |delta| delta.sequence);
        self.waiting.back().is_some_and(|newest| newest.sequence > told)
    }

    /// The coordinator does not say what it has: the next one may have less.
    pub(super) fn doubt(&mut self) {
        self.applied = 0;
    }

    /// What was sent was too much at once.
    pub(super) fn send_less(&mut self) {
        self.most = (self.most / 2).max(1);
    }

    /// Forgets what is safe, and takes note of what the coordinator has.
    pub(super) fn settle(&mut self, applied: u64, durable: u64) {
        self.applied = applied;
        self.most = (self.most * 2).min(MAX_SENT);
        while self.waiting.front().is_some_and(|d| d.sequence <= durable) {
            self.waiting.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Whether something was measured that is worth a delta.
fn is_worth_telling(totals: &Totals) -> bool {
    totals.requests > 0
        || totals.bots_started > 0
        || totals.iterations > 0
        || totals.dropped > 0
        || !totals.rows.is_empty()
        || !totals.health.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(n: u64) -> Totals {
        Totals { requests: n, ..Totals::default() }
    }

    #[test]
    fn what_is_not_durable_is_sent_again() {
        let mut outbox = Outbox::default();
        outbox.add(Totals::default(), 0, false, 1);
        assert!(outbox.is_empty(), "nothing was measured");
        outbox.add(requests(1), 0, true, 1);
        outbox.add(requests(2), 1, false, 1);
        let sequences = |o: &mut Outbox| o.pending().iter().map(|d| d.sequence).collect::<Vec<_>>();
        assert_eq!(sequences(&mut outbox), [1, 2]);
        outbox.settle(1, 1);
        assert_eq!(sequences(&mut outbox), [2]);
        outbox.settle(2, 1);
        assert!(sequences(&mut outbox).is_empty() && !outbox.is_empty(), "it is there, and not safe");
        outbox.add(requests(3), 2, false, 1);
        assert_eq!(sequences(&mut outbox), [3]);
        // Another coordinator, or the same one after it was lost.
        outbox.doubt();
        assert_eq!(sequences(&mut outbox), [2, 3]);
        outbox.settle(3, 3);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_too_much_at_once_is_sent_in_parts() {
        let mut outbox = Outbox::default();
        for second in 0..40 {
            outbox.add(requests(1), second, false, 1);
        }
        let first = outbox.pending();
        assert_eq!((first.len(), outbox.has_more_than(&first)), (MAX_SENT, true));
        outbox.settle(30, 0);
        let rest = outbox.pending();
        assert_eq!((rest.len(), outbox.has_more_than(&rest)), (10, false));
        outbox.settle(40, 0);
        assert!(outbox.pending().is_empty() && !outbox.has_more_than(&[]), "all is there");
        outbox.doubt();
        assert!(
            {
                let all = outbox.pending();
                outbox.has_more_than(&all)
            },
            "another one may have none of it"
        );
        for most in [15, 7, 3, 1, 1] {
            outbox.send_less();
            assert_eq!(outbox.pending().len(), most);
        }
        outbox.settle(1, 1);
        assert_eq!(outbox.pending().iter().map(|d| d.sequence).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_long_absence_loses_nothing_and_changes_nothing_that_was_sent() {
        let mut outbox = Outbox::default();
        for second in 0..1000 {
            outbox.add(requests(1), second, false, 1);
            if second == 10 {
                outbox.pending();
            }
        }
        assert_eq!(outbox.waiting.len(), MAX_WAITING);
        let sum: u64 = outbox.waiting.iter().flat_map(|d| &d.slices).map(|s| s.totals.requests).sum();
        assert_eq!(sum, 1000);
        assert_eq!(outbox.pending()[5].slices[0].totals.requests, 1);
    }
}
