//! Measures that are not yet safe with the coordinator.

use botarmy_protocol::MAX_DELTAS;
use botarmy_report::{Delta, Slice, Totals};
use std::collections::VecDeque;

/// Most deltas that wait for being sent; above it what is measured is added to the newest one, so that nothing is lost
/// while the coordinator is away.
///
/// What was sent must not change, since the coordinator has added it up, and waits until that survives it. While that does
/// not come about, as where checkpoints fail, the newest one above this number is held back and added to, and the next
/// one for longer: there are never many more of them, and the coordinator still learns how the load goes.
const MAX_WAITING: usize = 300;
/// With so many more that wait, the newest one is held back for twice as many measures.
const TWICE_AS_LONG: usize = 10;
/// Most deltas of one check-in.
const MAX_SENT: usize = 30;
const _: () = assert!(MAX_SENT <= MAX_DELTAS, "the coordinator reads no more");

/// Deltas in the order of their numbers, from 1.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Delta>,
    last: u64,
    /// How many measures the newest one has.
    added: u64,
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
        Self { waiting: VecDeque::new(), last: 0, added: 0, sent: 0, applied: 0, most: MAX_SENT }
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
                Ok(()) => {
                    self.added += 1;
                    return;
                }
                Err(error) => tracing::error!("measures cannot be added up: {error}"),
            }
        }
        self.push(Slice { second, totals, warmup, apart: false }, alive);
    }

    /// Adds what was measured in setup or teardown.
    pub(super) fn add_apart(&mut self, totals: Totals) {
        if is_worth_telling(&totals) {
            self.push(Slice { second: 0, totals, warmup: false, apart: true }, 0);
        }
    }

    fn push(&mut self, slice: Slice, alive: u32) {
        (self.last, self.added) = (self.last + 1, 1);
        self.waiting.push_back(Delta { sequence: self.last, slices: vec![slice], alive });
    }

    /// What to send now, oldest first; all that there is if no more is measured.
    pub(super) fn pending(&mut self, is_all: bool) -> Vec<Delta> {
        let held = self.held().filter(|_| !is_all);
        let new = self.waiting.iter().filter(|d| d.sequence > self.applied && Some(d.sequence) != held);
        let pending: Vec<Delta> = new.take(self.most).cloned().collect();
        self.sent = self.sent.max(pending.last().map_or(0, |d| d.sequence));
        pending
    }

    /// The newest one, if it is held back: it may be added to, and was not for as often as so many that wait ask for.
    fn held(&self) -> Option<u64> {
        let beyond = self.waiting.len().checked_sub(MAX_WAITING + 1)?;
        let enough = 1_u64.checked_shl(u32::try_from(beyond / TWICE_AS_LONG).unwrap_or(u32::MAX));
        let newest = self.waiting.back().filter(|d| d.sequence > self.sent)?;
        let may_grow = newest.slices.last().is_some_and(|slice| !slice.apart);
        (may_grow && enough.is_none_or(|enough| self.added < enough)).then_some(newest.sequence)
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
        let sequences = |o: &mut Outbox| o.pending(false).iter().map(|d| d.sequence).collect::<Vec<_>>();
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
        let first = outbox.pending(false);
        assert_eq!((first.len(), outbox.has_more_than(&first)), (MAX_SENT, true));
        outbox.settle(30, 0);
        let rest = outbox.pending(false);
        assert_eq!((rest.len(), outbox.has_more_than(&rest)), (10, false));
        outbox.settle(40, 0);
        assert!(outbox.pending(false).is_empty() && !outbox.has_more_than(&[]), "all is there");
        outbox.doubt();
        assert!(
            {
                let all = outbox.pending(false);
                outbox.has_more_than(&all)
            },
            "another one may have none of it"
        );
        for most in [15, 7, 3, 1, 1] {
            outbox.send_less();
            assert_eq!(outbox.pending(false).len(), most);
        }
        outbox.settle(1, 1);
        assert_eq!(outbox.pending(false).iter().map(|d| d.sequence).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn what_does_not_become_durable_is_bounded_and_neither_lost_nor_changed_once_sent() {
        const SECONDS: u64 = 200_000;
        let mut outbox = Outbox::default();
        // What the coordinator has: the requests of each, and the seconds in which it has heard.
        let (mut had, mut heard) = (Vec::new(), Vec::new());
        let hear = |outbox: &mut Outbox, had: &mut Vec<u64>, is_all| {
            let pending = outbox.pending(is_all);
            for delta in &pending {
                assert_eq!(delta.sequence, had.len() as u64 + 1);
                had.push(delta.slices[0].totals.requests);
            }
            outbox.settle(had.len() as u64, 0);
            !pending.is_empty()
        };
        for second in 0..SECONDS {
            outbox.add(requests(1), second, false, 1);
            if hear(&mut outbox, &mut had, false) {
                heard.push(second);
            }
            assert!(outbox.waiting.len() < MAX_WAITING + 200, "{} of {second}", outbox.waiting.len());
        }
        let longest = heard.windows(2).map(|w| w[1] - w[0]).max();
        assert!(longest.is_some_and(|longest| longest < SECONDS / 4), "{longest:?}");
        hear(&mut outbox, &mut had, true);
        assert_eq!(had.iter().sum::<u64>(), SECONDS, "all of it is told at the end");
        // Another coordinator has none of it.
        outbox.doubt();
        let mut anew = Vec::new();
        while hear(&mut outbox, &mut anew, true) {}
        assert_eq!(anew, had);
        // Once they are durable, each second is told again.
        outbox.settle(outbox.last, outbox.last);
        outbox.add(requests(1), SECONDS, false, 1);
        assert_eq!(outbox.pending(false).len(), 1);
    }

    #[test]
    fn what_setup_has_measured_is_not_held_back() {
        let mut outbox = Outbox::default();
        for second in 0..=MAX_WAITING as u64 + 50 {
            outbox.add(requests(1), second, false, 1);
            outbox.pending(true);
            outbox.settle(outbox.last, 0);
        }
        outbox.add(requests(1), 400, false, 1);
        assert!(outbox.pending(false).is_empty());
        outbox.add_apart(requests(1));
        assert_eq!(outbox.pending(false).len(), 2);
    }

    #[test]
    fn a_long_absence_loses_nothing_and_changes_nothing_that_was_sent() {
        let mut outbox = Outbox::default();
        for second in 0..1000 {
            outbox.add(requests(1), second, false, 1);
            if second == 10 {
                outbox.pending(false);
            }
        }
        assert_eq!(outbox.waiting.len(), MAX_WAITING);
        let sum: u64 = outbox.waiting.iter().flat_map(|d| &d.slices).map(|s| s.totals.requests).sum();
        assert_eq!(sum, 1000);
        assert_eq!(outbox.pending(false)[5].slices[0].totals.requests, 1);
    }
}
