//! Which pods each runner has had. A check-in is about one runner: it must not look at the pods of all others. Pure.

use super::{Army, Pod};
use std::cell::Cell;
use std::collections::BTreeMap;

/// The pods of each runner, by their UIDs.
#[derive(Debug, Default)]
pub(super) struct Crew {
    pods: BTreeMap<u32, Vec<String>>,
    /// Runners that were found lacking last, when it was asked whether all have done their part, wait, or are ready: as
    /// long as one of them is, the others need not be looked at.
    done: Cell<u32>,
    waiting: Cell<u32>,
    ready: Cell<u32>,
}

impl Crew {
    pub(super) fn of(pods: &BTreeMap<String, Pod>) -> Self {
        let mut crew = Self::default();
        for (uid, pod) in pods {
            crew.pods.entry(pod.index).or_default().push(uid.clone());
        }
        crew
    }
}

impl Army {
    /// Keeps what is known of a pod.
    pub(super) fn keep(&mut self, uid: &str, pod: Pod) {
        let index = pod.index;
        if self.state.pods.insert(uid.to_owned(), pod).is_none() {
            self.crew.pods.entry(index).or_default().push(uid.to_owned());
        }
    }

    /// Another pod has taken the place of these, which had no bots: they are forgotten. One that has handed over what it
    /// has measured, in setup, is remembered all the same: it may be heard yet, and would hand it over again.
    pub(super) fn leave_out(&mut self, index: u32, uids: Vec<String>) {
        let is_counted = |uid: &String| self.state.pods.get(uid).is_some_and(|pod| pod.applied > 0);
        let (counted, forgotten): (Vec<String>, Vec<String>) = uids.into_iter().partition(is_counted);
        self.forget(index, &forgotten);
        for uid in counted {
            // No part of the load was lost with it.
            if let Some(pod) = self.state.pods.get_mut(&uid) {
                (pod.replaced, pod.excused, pod.alive) = (true, true, 0);
            }
            self.shared.forget(&uid);
        }
    }

    /// Forgets these pods of a runner.
    fn forget(&mut self, index: u32, uids: &[String]) {
        for uid in uids {
            self.state.pods.remove(uid);
            self.shared.forget(uid);
        }
        if let Some(pods) = self.crew.pods.get_mut(&index) {
            pods.retain(|uid| !uids.contains(uid));
        }
    }

    /// The pods that a runner has had.
    pub(super) fn pods_of(&self, index: u32) -> impl Iterator<Item = &Pod> {
        let uids = self.crew.pods.get(&index).into_iter().flatten();
        uids.filter_map(|uid| self.state.pods.get(uid))
    }

    /// Those of its pods that are not this one.
    pub(super) fn others(&self, index: u32, pod_uid: &str) -> Vec<String> {
        let uids = self.crew.pods.get(&index).into_iter().flatten();
        uids.filter(|uid| *uid != pod_uid).cloned().collect()
    }

    /// Whether each runner has done its part, those left out of which nothing more is waited for.
    pub(super) fn all_are_done(&self) -> bool {
        self.all(&self.crew.done, |index| {
            self.without().contains(&index) || self.pods_of(index).any(Pod::is_done)
        })
    }

    /// Whether each runner has a pod that fits, those left out whose part was dealt out.
    pub(super) fn all_wait_that(&self, fits: impl Fn(&Pod) -> bool) -> bool {
        self.all(&self.crew.waiting, |index| self.dealt.contains(&index) || self.pods_of(index).any(&fits))
    }

    /// Whether each runner has got ready, those left out whose part was dealt out.
    pub(super) fn all_are_ready(&self, now_ms: u64) -> bool {
        self.all(&self.crew.ready, |index| {
            self.dealt.contains(&index) || self.pods_of(index).any(|p| self.is_ready(p, now_ms))
        })
    }

    /// Whether all runners fit; looks first at the one that did not when it was last asked.
    fn all(&self, lacking: &Cell<u32>, fits: impl Fn(u32) -> bool) -> bool {
        let (of, first) = (self.run.runners, lacking.get().min(self.run.runners));
        let found = (first..of).chain(0..first).find(|index| !fits(*index));
        lacking.set(found.unwrap_or(first));
        found.is_none()
    }
}

#[cfg(test)]
#[path = "crew/tests.rs"]
mod tests;
