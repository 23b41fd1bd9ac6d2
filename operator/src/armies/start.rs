//! When the bots begin: one moment for all runners. Pure.
//!
//! It is proposed when the last runner is ready, written down, and told only then: an operator that takes over after
//! it was told must know of it, or some runners would begin twice. A moment that was not written in time is proposed
//! anew, since nobody has heard of it.

use super::{Army, Checkpoint, Pod};
use botarmy_protocol::{Stage, waiting_interval_ms};

/// How late a runner may be that asks for the start, in milliseconds: its machine has other work as well.
const LATE_MS: u64 = 50;
/// How long writing it down may take at first, in milliseconds; twice as long each time that it took longer.
const FIRST_ALLOWANCE_MS: u64 = 200;
const LONGEST_ALLOWANCE_MS: u64 = 10_000;

/// How far the start is that the checkpoint has.
#[derive(Debug)]
pub(super) struct Start {
    state: State,
    allowance_ms: u64,
    /// A pod was heard whose bots were at work, or had been.
    begun: bool,
    /// The run was stopped before anybody could know of a start.
    never: bool,
    /// The slowest round trip since it was last looked for, in milliseconds.
    slowest_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not proposed, or not written yet: nobody knows of it.
    Untold,
    /// Written, so that it is told.
    Told,
    /// Written by the operator before this one, which may have told it or not.
    Unsure,
}

impl Start {
    pub(super) fn restored(state: &Checkpoint) -> Self {
        let begun = state.pods.values().any(|p| p.stage >= Stage::Running);
        let state = match state.start_at_ms {
            None => State::Untold,
            Some(_) if begun => State::Told,
            Some(_) => State::Unsure,
        };
        Self { state, allowance_ms: FIRST_ALLOWANCE_MS, begun, never: false, slowest_ms: 0 }
    }

    /// The start, as runners may know it.
    pub(super) fn told(&self, state: &Checkpoint) -> Option<u64> {
        state.start_at_ms.filter(|_| self.state == State::Told)
    }

    /// The start, as somebody may know it: also one that an operator before this has written, and told or not.
    pub(super) fn may_be_known(&self, state: &Checkpoint) -> Option<u64> {
        state.start_at_ms.filter(|_| self.state != State::Untold)
    }

    /// A pod is gone that may have begun: the start holds, whoever else says that he waits.
    pub(super) fn somebody_began(&mut self) {
        self.begun = true;
    }

    pub(super) fn waits_to_be_written(&self, state: &Checkpoint) -> bool {
        self.state == State::Untold && state.start_at_ms.is_some()
    }

    pub(super) fn written(&mut self, state: &Checkpoint, written: &Checkpoint) {
        if self.state == State::Untold
            && written.start_at_ms.is_some()
            && written.start_at_ms == state.start_at_ms
        {
            self.state = State::Told;
        }
    }
}

impl Army {
    /// The start, if runners may know it.
    pub(super) fn start_told(&self) -> Option<u64> {
        self.start.told(&self.state)
    }

    /// Whether it ends before it begins, as it does when it is `stopped` while nobody can know of a start and setup has not
    /// begun: from then on no start is told.
    pub fn never_begins(&mut self, stopped: bool) -> bool {
        let is_open = self.start.state == State::Untold && !self.start.begun && !self.state.setup.has_begun();
        if stopped && is_open && self.fault().is_none() && !self.given_up {
            self.start.never = true;
            self.state.start_at_ms = None;
        }
        self.start.never
    }

    /// Proposes the start when the last runner has got ready, this one: late enough for the slowest.
    pub(super) fn set_start(&mut self, pod: &Pod, now_ms: u64) {
        if self.start.never {
            return;
        }
        self.start.begun |= pod.stage >= Stage::Running;
        self.start.slowest_ms = self.start.slowest_ms.max(pod.round_trip_ms);
        match (self.start.state, self.state.start_at_ms) {
            (State::Told, _) => {}
            (_, Some(_)) if self.start.begun => self.start.state = State::Told,
            // All of them say that they wait, so that nobody was told.
            (State::Unsure, _) | (State::Untold, None) => {
                if self.all_wait(now_ms) {
                    self.start.slowest_ms = self.slowest_round_trip_ms();
                    self.propose(now_ms);
                }
            }
            (State::Untold, Some(start)) if start < self.earliest_ms(now_ms) => {
                self.start.allowance_ms = (self.start.allowance_ms * 2).min(LONGEST_ALLOWANCE_MS);
                self.propose(now_ms);
            }
            (State::Untold, _) => {}
        }
    }

    /// By when all runners can know of it: each has asked once more by then, and the slowest has its answer.
    fn earliest_ms(&self, now_ms: u64) -> u64 {
        let asks_within = waiting_interval_ms(self.run.runners).saturating_add(LATE_MS);
        now_ms.saturating_add(self.start.slowest_ms).saturating_add(asks_within)
    }

    fn propose(&mut self, now_ms: u64) {
        self.start.state = State::Untold;
        self.state.start_at_ms = Some(self.earliest_ms(now_ms).saturating_add(self.start.allowance_ms));
    }

    /// How far the first and the last runner began from one another, in milliseconds: of those that have told when they
    /// did, once the bots are at work.
    pub fn start_skew_ms(&self) -> Option<u64> {
        let late = self.state.pods.values().filter_map(|p| p.began_late_ms);
        let (first, last) = late.fold(None, |range, late| {
            let (first, last) = range.unwrap_or((late, late));
            Some((late.min(first), late.max(last)))
        })?;
        Some(last.abs_diff(first))
    }

    fn slowest_round_trip_ms(&self) -> u64 {
        self.state.pods.values().map(|p| p.round_trip_ms).max().unwrap_or(0)
    }

    /// Whether this operator has heard from all runners that they wait for the start, and nothing else is to come
    /// before it.
    fn all_wait(&self, now_ms: u64) -> bool {
        let set_up = match self.run.setup {
            Some(_) => self.state.setup.is_over() || (self.is_to_end() && !self.state.setup.has_begun()),
            None => true,
        };
        let is_there = |p: &Pod| p.stage >= Stage::Ready && !p.left && !p.replaced;
        let here = |p: &Pod| is_there(p) && p.heard_ms > 0 && self.is_fresh(p, now_ms);
        set_up && !self.is_suspended() && self.all_wait_that(here)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{army_with, said, write};
    use super::*;

    #[test]
    fn what_is_stopped_before_anybody_knows_of_a_start_never_begins() {
        let ready = |army: &mut Army| {
            for index in [0, 1] {
                army.check_in(&said(index, Stage::Ready, &[]), 5_000).unwrap();
            }
        };
        let mut army = army_with(&serde_json::json!({}));
        assert!(!army.never_begins(false));
        ready(&mut army);
        let proposed = army.checkpoint();
        assert!(proposed.start_at_ms.is_some() && army.never_begins(true));
        // What was on its way to be written comes too late, and so does whoever asks.
        army.written(&proposed);
        let orders = army.check_in(&said(0, Stage::Ready, &[]), 6_000).unwrap();
        assert_eq!((orders.start_at_ms, army.start_at_ms(), army.has_begun()), (None, None, false));
        assert!(army.never_begins(false), "it stays so");

        let mut army = army_with(&serde_json::json!({}));
        ready(&mut army);
        write(&mut army);
        assert!(army.start_at_ms().is_some() && !army.never_begins(true), "its runners know when to begin");
        let mut army = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 2, 7_000);
        assert!(!army.never_begins(true), "an operator before this one may have told them");

        let mut army = army_with(&serde_json::json!({"setup": {"tree": "T"}}));
        ready(&mut army);
        army.check_in(&said(0, Stage::Ready, &[]), 5_100).unwrap();
        assert!(army.has_begun() && !army.never_begins(true), "what setup has made is to be torn down");
    }

    #[test]
    fn the_start_is_so_far_that_each_of_many_runners_has_asked_once_more() {
        for (runners, asks_within_ms) in [(2, 250), (600, 600), (1_000, 1_000)] {
            let mut army = army_with(&serde_json::json!({"bots": runners, "runners": {"count": runners}}));
            for index in 0..runners {
                army.check_in(&said(index, Stage::Ready, &[]), 5_000).unwrap();
            }
            let round_trip_ms = said(0, Stage::Ready, &[]).round_trip_ms.unwrap();
            let latest = 5_000 + round_trip_ms + asks_within_ms + LATE_MS + FIRST_ALLOWANCE_MS;
            assert_eq!(army.state.start_at_ms, Some(latest), "{runners} runners");
        }
    }
}
