//! Setup and teardown of an army: each is performed by one runner, at most once. Pure.
//!
//! Which pod performs a part is written down before it is told to, so that an operator that comes back never
//! tells another one. A pod that is gone has taken the outcome with it: the part counts as failed.

use super::{Army, Pod, bounds};
use crate::clock::millis;
use botarmy_protocol::{CheckIn, Stage};
use botarmy_spec::{Once, Part};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How long after its timeout and the lease of its runner a part is waited for, in milliseconds.
const MARGIN_MS: u64 = 60_000;
/// How long a runner that was told to end waits for whether it is to clean up, in milliseconds: its pod may have been told
/// so because the run is given up, which the Job says a little later.
const UNSURE_MS: u64 = 5_000;
/// Why teardown failed that somebody should have been told to perform.
const UNTOLD: &str = "nobody was told to perform teardown, since that could not be written down; look into what the run has left behind";
/// Why teardown failed that nobody was told to perform.
const NOBODY_LEFT: &str = "no runner was left to perform teardown; look into what the run has left behind";

/// How far a part is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// Nobody was told to perform it.
    #[default]
    Waiting,
    /// A pod performs it, or will be told to.
    #[serde(rename_all = "camelCase")]
    Given {
        /// The UID of the pod.
        pod: String,
        /// The index of its runner.
        index: u32,
        /// Since when, in milliseconds since 1970.
        since_ms: u64,
    },
    /// It went well.
    Done,
    /// It did not.
    Failed(String),
}

impl Progress {
    /// Whether nothing more will come of it.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_))
    }

    /// Whether it has been begun, or may have been.
    pub fn has_begun(&self) -> bool {
        *self != Self::Waiting
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        if let Self::Failed(reason) = self { Some(reason) } else { None }
    }

    /// Chooses the pod that has said this.
    pub(super) fn give(&mut self, said: &CheckIn, now_ms: u64) {
        *self = Self::Given { pod: said.pod_uid.clone(), index: said.index, since_ms: now_ms };
    }

    /// Whether this pod is the chosen one.
    pub(super) fn is_given_to(&self, pod_uid: &str) -> bool {
        matches!(self, Self::Given { pod, .. } if pod == pod_uid)
    }

    /// Takes over what the chosen pod says of the part, with the values that it left.
    pub(super) fn hear(&mut self, part: Part, said: &CheckIn) -> Option<Map<String, Value>> {
        let told =
            said.performed.as_ref().filter(|told| told.part == part && self.is_given_to(&said.pod_uid))?;
        let (failure, context) = bounds::performed(told);
        *self = failure.map_or(Self::Done, Self::Failed);
        Some(context)
    }

    /// Gives the part up when its runner is lost for good.
    pub(super) fn lose(&mut self, part: &str, lost: &BTreeSet<u32>) {
        if matches!(self, Self::Given { index, .. } if lost.contains(index)) {
            self.fail_as_lost(part);
        }
    }

    fn fail_as_lost(&mut self, part: &str) {
        *self = Self::Failed(lost(part));
    }

    /// The runner that performs the part, or will be told to.
    pub(super) fn chosen(&self) -> Option<u32> {
        if let Self::Given { index, .. } = self { Some(*index) } else { None }
    }

    /// Gives the part up when its pod has been replaced.
    fn give_up_if_replaced(&mut self, part: &str, said: &CheckIn) {
        let Self::Given { pod, index, .. } = self else { return };
        if said.stage <= Stage::Ready && said.index == *index && said.pod_uid != *pod {
            self.fail_as_lost(part);
        }
    }

    /// Gives the part up when nothing was heard of its end for too long: the runner goes on by itself for as long as its
    /// lease says. Whoever has come to it just now has to be told first, by a runner that has waited for somebody.
    fn give_up_if_late(&mut self, part: &str, once: &Once, lease_ms: u64, heard_from_ms: u64, now_ms: u64) {
        let Self::Given { since_ms, .. } = self else { return };
        let timeout = millis(once.timeout);
        let patience = timeout.saturating_add(lease_ms).saturating_add(MARGIN_MS);
        let end = since_ms.saturating_add(patience).max(heard_from_ms.saturating_add(MARGIN_MS));
        if now_ms > end {
            self.fail_as_lost(part);
        }
    }

    /// Nobody was told yet to perform the part.
    fn postpone(&mut self, now_ms: u64) {
        if let Self::Given { since_ms, .. } = self {
            *since_ms = now_ms;
        }
    }
}

fn lost(part: &str) -> String {
    format!("the runner that performed {part} was lost with its outcome; look into what it has left behind")
}

impl Army {
    /// Whether teardown is to be performed at the end: whenever setup was begun, and without setup whenever
    /// the load was.
    pub(super) fn wants_teardown(&self) -> bool {
        let begun = match self.run.setup {
            Some(_) => self.state.setup.has_begun(),
            None => self.state.start_at_ms.is_some() && self.state.refusal.is_none(),
        };
        self.run.teardown.is_some() && begun
    }

    pub(super) fn is_to_be_torn_down(&self) -> bool {
        self.wants_teardown() && !self.state.teardown.is_over()
    }

    /// What this runner is to perform now. Nothing is told before it is written down who does it.
    pub(super) fn perform(&mut self, said: &CheckIn, now_ms: u64) -> Option<Part> {
        self.postpone_untold(now_ms);
        if self.run.setup.is_some() {
            let was_set_up = self.state.setup.is_over();
            if let Some(context) = self.state.setup.hear(Part::Setup, said) {
                self.state.context = context;
            }
            self.state.setup.give_up_if_replaced("setup", said);
            if was_set_up != self.state.setup.is_over() {
                self.has_set_up(now_ms);
            }
            self.give_up_setup(now_ms);
            if !self.state.setup.has_begun()
                && !self.is_to_end()
                && !self.dealt.contains(&said.index)
                && (0..said.index).all(|index| self.dealt.contains(&index))
                && self.all_are_ready(now_ms)
            {
                self.state.setup.give(said, now_ms);
            }
            if self.written.setup && self.state.setup.is_given_to(&said.pod_uid) {
                return Some(Part::Setup);
            }
        }
        if !self.wants_teardown() {
            return None;
        }
        self.state.teardown.hear(Part::Teardown, said);
        self.state.teardown.give_up_if_replaced("teardown", said);
        self.give_up_teardown(now_ms);
        // One whose part is others' by now is told to end, and would take the outcome with it.
        let is_replaced = self.state.pods.get(&said.pod_uid).is_some_and(|pod| pod.replaced);
        let is_given_up = self.dealt.contains(&said.index) || is_replaced;
        let may_be_told = said.stage == Stage::Finished && !is_given_up;
        let may_begin = !self.state.teardown.has_begun() && may_be_told;
        if may_begin && (self.given_up || self.all_are_done()) {
            self.state.teardown.give(said, now_ms);
        }
        (self.written.teardown && self.state.teardown.is_given_to(&said.pod_uid)).then_some(Part::Teardown)
    }

    /// A part has all of its time from when a runner has asked last and was not told yet to perform it.
    fn postpone_untold(&mut self, now_ms: u64) {
        if !self.written.setup {
            self.state.setup.postpone(now_ms);
        }
        if !self.written.teardown {
            self.state.teardown.postpone(now_ms);
        }
    }

    /// Whether a runner that was told to end performs teardown, or may have to: that of a run which is given up, whose
    /// pods are all told to end.
    pub(super) fn may_clean_up(&self, pod_uid: &str, pod: &Pod, now_ms: u64) -> bool {
        let is_unsure = || {
            let since = pod.left_ms.unwrap_or(now_ms);
            !self.suspension.takes_pods() && now_ms < since.saturating_add(UNSURE_MS)
        };
        let may_be_its = !self.state.teardown.has_begun() || self.state.teardown.is_given_to(pod_uid);
        self.is_to_be_torn_down() && may_be_its && (self.given_up || is_unsure())
    }

    /// Whether teardown of a run that is being given up is performed, or will be: by somebody who is heard.
    pub(super) fn waits_for_teardown(&self, now_ms: u64) -> bool {
        let will_be_by = |(uid, pod): (&String, &Pod)| {
            let may_be_its = !self.state.teardown.has_begun() || self.state.teardown.is_given_to(uid);
            may_be_its && self.is_fresh(pod, now_ms)
        };
        self.is_to_be_torn_down() && self.state.pods.iter().any(will_be_by)
    }

    /// What is wrong with the teardown of a run that ends now, if anything is.
    pub fn lacking_teardown(&self) -> Option<String> {
        if !self.wants_teardown() {
            return None;
        }
        match &self.state.teardown {
            Progress::Done => None,
            Progress::Failed(reason) => Some(reason.clone()),
            Progress::Given { .. } if !self.written.teardown => Some(UNTOLD.to_owned()),
            Progress::Given { .. } => Some(lost("teardown")),
            Progress::Waiting => Some(NOBODY_LEFT.to_owned()),
        }
    }

    /// Gives up the parts that nobody brings to their end any more: it may be that no runner is left to say so.
    pub(super) fn give_up_parts(&mut self, now_ms: u64) {
        self.give_up_setup(now_ms);
        self.give_up_teardown(now_ms);
    }

    /// As long as it is not written down who performs a part, nobody was told to, and nobody can be lost with it.
    fn give_up_setup(&mut self, now_ms: u64) {
        let lease_ms = self.lease_ms();
        let Some(once) = self.run.setup.as_ref().filter(|_| self.is_setting_up()) else { return };
        if self.written.setup {
            self.state.setup.give_up_if_late("setup", once, lease_ms, self.since_ms, now_ms);
        }
        self.state.setup.lose("setup", &self.dealt);
        if self.state.setup.is_over() {
            self.has_set_up(now_ms);
        }
    }

    /// Setup has come to its end, well or not.
    fn has_set_up(&mut self, now_ms: u64) {
        self.stop |= self.state.setup.failure().is_some();
        self.is_free_to_begin(now_ms);
    }

    fn give_up_teardown(&mut self, now_ms: u64) {
        let lease_ms = self.lease_ms();
        let Some(once) = self.run.teardown.as_ref().filter(|_| self.is_to_be_torn_down()) else { return };
        if self.written.teardown {
            self.state.teardown.give_up_if_late("teardown", once, lease_ms, self.since_ms, now_ms);
        }
        self.state.teardown.lose("teardown", &self.dealt);
        if !self.state.teardown.has_begun() && self.nobody_has_come(now_ms) && self.all_are_done() {
            self.state.teardown = Progress::Failed(NOBODY_LEFT.to_owned());
        }
    }

    /// Whether nothing was heard of any runner for so long after the end of the load that none is left.
    fn nobody_has_come(&self, now_ms: u64) -> bool {
        let last = self.over_at_ms().max(self.since_ms);
        now_ms > last.saturating_add(self.lease_ms()).saturating_add(MARGIN_MS)
    }

    /// Whether setup was begun and has not come to its end.
    pub fn is_setting_up(&self) -> bool {
        self.state.setup.has_begun() && !self.state.setup.is_over()
    }

    /// Whether it waits to be written down who performs setup.
    pub(super) fn waits_to_tell_setup(&self) -> bool {
        self.is_setting_up() && !self.written.setup
    }

    /// Whether nothing is left to be done but teardown.
    pub fn is_tearing_down(&self) -> bool {
        self.state.teardown.has_begun() && !self.state.teardown.is_over()
    }
}

#[cfg(test)]
#[path = "once/tests.rs"]
mod tests;
