//! Setup and teardown of an army: each is performed by one runner, at most once. Pure.
//!
//! Which pod performs a part is written down before it is told to, so that an operator that comes back never
//! tells another one. A pod that is gone has taken the outcome with it: the part counts as failed.

use super::{Army, bounds};
use botarmy_protocol::{CheckIn, Stage};
use botarmy_spec::{Once, Part};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How long after its timeout and the lease of its runner a part is waited for, in milliseconds.
const MARGIN_MS: u64 = 60_000;

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
        *self = Self::Failed(format!(
            "the runner that performed {part} was lost with its outcome; look into what it has left behind"
        ));
    }

    /// Gives the part up when its pod has been replaced, or has not been heard of for too long.
    /// The runner goes on by itself for as long as its lease says.
    pub(super) fn give_up(&mut self, part: &str, once: &Once, lease_ms: u64, said: &CheckIn, now_ms: u64) {
        let Self::Given { pod, index, since_ms } = self else { return };
        let begins_anew = said.stage <= Stage::Ready && said.index == *index && said.pod_uid != *pod;
        let timeout = u64::try_from(once.timeout.as_millis()).unwrap_or(u64::MAX);
        let patience = timeout.saturating_add(lease_ms).saturating_add(MARGIN_MS);
        let late = now_ms > since_ms.saturating_add(patience);
        if begins_anew || late {
            self.fail_as_lost(part);
        }
    }
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
        let lease_ms = self.lease_ms();
        if let Some(once) = &self.run.setup {
            if let Some(context) = self.state.setup.hear(Part::Setup, said) {
                self.state.context = context;
            }
            self.state.setup.give_up("setup", once, lease_ms, said, now_ms);
            self.state.setup.lose("setup", &self.dealt);
            self.stop |= self.state.setup.failure().is_some();
            if !self.state.setup.has_begun()
                && !self.stop
                && (0..said.index).all(|index| self.dealt.contains(&index))
                && self.all_are_ready(now_ms)
            {
                self.state.setup.give(said, now_ms);
            }
            if self.written.setup && self.state.setup.is_given_to(&said.pod_uid) {
                return Some(Part::Setup);
            }
        }
        let wanted = self.wants_teardown();
        let once = self.run.teardown.as_ref().filter(|_| wanted)?;
        self.state.teardown.hear(Part::Teardown, said);
        self.state.teardown.give_up("teardown", once, lease_ms, said, now_ms);
        self.state.teardown.lose("teardown", &self.dealt);
        let may_begin = !self.state.teardown.has_begun() && said.stage == Stage::Finished;
        if may_begin && (self.given_up || self.all_are_done()) {
            self.state.teardown.give(said, now_ms);
        }
        (self.written.teardown && self.state.teardown.is_given_to(&said.pod_uid)).then_some(Part::Teardown)
    }

    /// Whether setup was begun and has not come to its end.
    pub fn is_setting_up(&self) -> bool {
        self.state.setup.has_begun() && !self.state.setup.is_over()
    }

    /// Whether nothing is left to be done but teardown.
    pub fn is_tearing_down(&self) -> bool {
        self.state.teardown.has_begun() && !self.state.teardown.is_over()
    }
}
