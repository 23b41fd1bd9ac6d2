//! What a runner says, and its orders. Pure.

use super::bounds::{self, MAX_DIGEST, MAX_ROUND_TRIP_MS, MAX_TRUST_NAME};
use super::{Army, MAX_POINTS, Pod};
use botarmy_protocol::{
    CheckIn, Mistake, Orders, Plan, Refusal as Refused, Stage, Standing, TogetherOrders, VERSION,
};
use botarmy_report::{MergeError, Presence};
use botarmy_spec::Part;
use serde_json::Map;
use std::collections::BTreeMap;

/// What a runner's round trip is taken for before it was measured, in milliseconds.
const UNKNOWN_ROUND_TRIP_MS: u64 = 1000;

/// What is wrong when two runners have read different trees.
const CHANGED: &str =
    "not all runners have read the same; leave the sources as they are while a run begins, and apply it anew";

/// Why a check-in is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Another version.
    #[error("protocol {0} is not understood; this coordinator speaks {VERSION}")]
    Protocol(u32),
    /// No such runner.
    #[error("the run has {1} runners, so that there is none with index {0}")]
    Index(u32, u32),
    /// Nobody takes the place of a lost runner of this run.
    #[error("runner {0} was lost, and by the run's lossPolicy no other takes its place")]
    Gone(u32),
    /// A number was left out.
    #[error("delta {0} came before {1}; resend from {1}")]
    Missing(u64, u64),
    /// Measures that cannot be added.
    #[error("the measures cannot be added: {0}")]
    Measures(#[from] MergeError),
    /// Measures that take more memory than there is for one run.
    #[error("the measures take more memory than there is for a run; one of the senders made them up")]
    Weight,
}

impl Pod {
    fn new(said: &CheckIn, now_ms: u64) -> Self {
        Self {
            index: said.index,
            stage: said.stage,
            applied: 0,
            durable: 0,
            alive: 0,
            round_trip_ms: UNKNOWN_ROUND_TRIP_MS,
            presence: Presence::default(),
            changes: super::Changes::default(),
            heard_ms: now_ms,
            measured_until: 0,
            requests: 0,
            passes: BTreeMap::new(),
            bots: 0,
            left: false,
            left_ms: None,
            finished_ms: None,
            replaced: false,
            excused: false,
            written: false,
            trusts: None,
            began_late_ms: None,
            standing: Standing::default(),
            why: None,
            ended_ms: None,
        }
    }

    fn hear(&mut self, said: &CheckIn, now_ms: u64) {
        self.alive = said.alive;
        // One that ends has fewer and fewer.
        if said.alive > 0 && !said.left {
            self.bots = said.alive;
        }
        self.left |= said.left;
        self.left_ms = self.left_ms.or(said.left.then_some(now_ms));
        self.finished_ms = (said.stage == Stage::Finished).then_some(self.finished_ms.unwrap_or(now_ms));
        self.trusts = said.trusts.clone().filter(|name| name.len() <= MAX_TRUST_NAME);
        self.began_late_ms = self.began_late_ms.or(said.began_late_ms);
        self.heard_ms = now_ms;
        self.round_trip_ms = said.round_trip_ms.unwrap_or(self.round_trip_ms).min(MAX_ROUND_TRIP_MS);
    }
}

impl Army {
    /// Takes what a runner says and answers with its orders. A delta is applied once, however often
    /// it is sent.
    pub fn check_in(&mut self, said: &CheckIn, now_ms: u64) -> Result<Orders, Refusal> {
        if said.protocol.abs_diff(VERSION) > 1 {
            return Err(Refusal::Protocol(said.protocol));
        }
        if said.index >= self.run.runners {
            return Err(Refusal::Index(said.index, self.run.runners));
        }
        if self.gone.contains(&said.index) && !self.state.pods.contains_key(&said.pod_uid) {
            return Err(Refusal::Gone(said.index));
        }
        self.replace_lost(said, now_ms);
        let mut pod = self.state.pods.get(&said.pod_uid).cloned().unwrap_or_else(|| Pod::new(said, now_ms));
        self.apply(&mut pod, said)?;
        if pod.replaced {
            self.move_gap(&said.pod_uid, &pod, now_ms);
        }
        self.abort_if_it_fails(now_ms);
        pod.stand(said, self.losses(), &self.run);
        pod.hear(said, now_ms);
        pod.excused |= said.left && self.suspension.takes_pods();
        let together = self.shared.check_in(said, &mut pod.changes, self.runners(), now_ms);
        self.shared.count(&said.pod_uid, &pod);
        self.keep(&said.pod_uid, pod.clone());
        self.heard_ms = now_ms;
        self.hear_of_sources(said);
        if let (Some(refusal), None) = (&said.refusal, &self.state.refusal) {
            self.state.refusal = Some(bounds::refusal(refusal));
            self.stop = true;
        }
        if self.state.ended_at_ms.is_none() && self.all_are_done() {
            self.state.ended_at_ms = Some(now_ms);
        }
        let perform = self.perform(said, now_ms);
        self.set_start(&pod, now_ms);
        if self.tells_end(now_ms) {
            self.moments.told_to_end.get_or_insert(now_ms);
        }
        Ok(self.orders(said, &pod, perform, together, now_ms))
    }

    /// All runners must have read the same trees.
    fn hear_of_sources(&mut self, said: &CheckIn) {
        let Some(read) = said.sources.as_ref().filter(|read| read.len() <= MAX_DIGEST) else { return };
        match &self.state.sources {
            None => self.state.sources = Some(read.clone()),
            Some(known) if known != read && self.state.refusal.is_none() => {
                let mistake = Mistake { place: "spec.sources".to_owned(), message: CHANGED.to_owned() };
                self.state.refusal = Some(Refused { invalid: false, mistakes: vec![mistake] });
                self.stop = true;
            }
            Some(_) => {}
        }
    }

    /// Adds what a pod has measured since it was last heard, as far as that can be added.
    fn apply(&mut self, pod: &mut Pod, said: &CheckIn) -> Result<(), Refusal> {
        let had = pod.applied;
        let added = self.add(pod, said);
        // Once, and also where the rest of it is refused: a pod may have much to copy.
        if pod.applied > had {
            self.keep(&said.pod_uid, pod.clone());
        }
        added
    }

    fn add(&mut self, pod: &mut Pod, said: &CheckIn) -> Result<(), Refusal> {
        for delta in &said.deltas {
            if delta.sequence <= pod.applied {
                continue;
            }
            if delta.sequence != pod.applied + 1 {
                return Err(Refusal::Missing(delta.sequence, pod.applied + 1));
            }
            self.make_room(delta)?;
            delta.merge_into(&mut self.state.totals, &mut self.state.warmup)?;
            self.sum_up();
            let before = self.state.timeline.weight();
            for slice in delta.slices.iter().filter(|slice| !slice.warmup && !slice.apart) {
                self.state.timeline.add(slice.second, &slice.totals);
                pod.presence.tell(&mut self.state.timeline, slice.second, delta.alive);
                self.state.timeline.keep_at_most(MAX_POINTS);
            }
            self.weigh_time(before);
            pod.count(delta);
            pod.applied = delta.sequence;
        }
        Ok(())
    }

    fn orders(
        &self,
        said: &CheckIn,
        pod: &Pod,
        perform: Option<Part>,
        together: TogetherOrders,
        now_ms: u64,
    ) -> Orders {
        let plan = || Plan {
            spec: self.state.spec.clone(),
            runners: self.run.runners,
            allowed: self.run.allowed.clone(),
            resume: self.resume(said.index),
        };
        // Its part is the others', whatever has kept it from being heard.
        let is_dealt = self.dealt.contains(&said.index);
        // Or that of a pod that has come after it; it ends, and what it has measured until then counts.
        let is_given_up = is_dealt || (pod.replaced && said.stage >= Stage::Running);
        let may_begin = pod.written && !is_dealt && !(pod.replaced && said.stage <= Stage::Ready);
        let start_at_ms = self.start.told(&self.state).filter(|_| may_begin);
        let begins = said.stage <= Stage::Ready && start_at_ms.is_some();
        let is_needed = if said.left {
            self.may_clean_up(&said.pod_uid, pod, now_ms)
        } else {
            self.may_give_more() || self.is_to_be_torn_down()
        };
        Orders {
            protocol: VERSION,
            epoch: self.state.epoch,
            now_ms,
            applied: pod.applied,
            durable: pod.durable,
            plan: (said.stage == Stage::Preparing).then(plan),
            start_at_ms,
            bots: self.bots,
            stop: is_given_up || self.tells_end(now_ms),
            rates: self.state.rates.clone(),
            pauses: self.state.pauses.clone(),
            context: if begins || perform.is_some() { self.state.context.clone() } else { Map::new() },
            stay: is_needed && !is_given_up,
            losses: self.losses_for(said),
            perform,
            together,
            // What is in force is not an army's affair.
            trust: None,
        }
    }
}

#[cfg(test)]
#[path = "check_in/tests.rs"]
mod tests;
