//! Setup and teardown of an army: each is performed by one runner, at most once. Pure.
//!
//! Which pod performs a part is written down before it is told to, so that an operator that comes back never
//! tells another one. A pod that is gone has taken the outcome with it: the part counts as failed.

use super::bounds;
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
