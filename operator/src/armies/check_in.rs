//! What a runner says, and its orders. Pure.

use super::{Army, Pod};
use botarmy_protocol::{CheckIn, Orders, Plan, Stage, TogetherOrders, VERSION};
use botarmy_report::{MergeError, Presence};
use botarmy_spec::Part;
use serde_json::Map;
use std::collections::BTreeMap;

/// What a runner's round trip is taken for before it was measured, in milliseconds.
const UNKNOWN_ROUND_TRIP_MS: u64 = 1000;

/// Why a check-in is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Another version.
    #[error("protocol {0} is not understood; this coordinator speaks {VERSION}")]
    Protocol(u32),
    /// No such runner.
    #[error("the run has {1} runners, so that there is none with index {0}")]
    Index(u32, u32),
    /// A number was left out.
    #[error("delta {0} came before {1}; resend from {1}")]
    Missing(u64, u64),
    /// Measures that cannot be added.
    #[error("the measures cannot be added: {0}")]
    Measures(#[from] MergeError),
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
            passes: BTreeMap::new(),
            bots: 0,
            left: false,
            replaced: false,
        }
    }

    fn hear(&mut self, said: &CheckIn, now_ms: u64) {
        self.stage = self.stage.max(said.stage);
        self.alive = said.alive;
        // One that ends has fewer and fewer.
        if said.alive > 0 && !said.left {
            self.bots = said.alive;
        }
        self.left |= said.left;
        self.heard_ms = now_ms;
        self.round_trip_ms = said.round_trip_ms.unwrap_or(self.round_trip_ms);
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
        self.replace_lost(said, now_ms);
        let mut pod = self.state.pods.get(&said.pod_uid).cloned().unwrap_or_else(|| Pod::new(said, now_ms));
        self.apply(&mut pod, said)?;
        self.abort_if_it_fails(now_ms);
        pod.hear(said, now_ms);
        let together = self.shared.check_in(said, &mut pod.changes, now_ms);
        self.state.pods.insert(said.pod_uid.clone(), pod.clone());
        self.heard_ms = now_ms;
        if let (Some(refusal), None) = (&said.refusal, &self.state.refusal) {
            self.state.refusal = Some(refusal.clone());
            self.stop = true;
        }
        if self.state.ended_at_ms.is_none() && self.indices(Pod::is_done) == self.run.runners {
            self.state.ended_at_ms = Some(now_ms);
        }
        let perform = self.perform(said, now_ms);
        self.set_start(now_ms);
        Ok(self.orders(said, &pod, perform, together, now_ms))
    }

    /// Adds what a pod has measured since it was last heard.
    fn apply(&mut self, pod: &mut Pod, said: &CheckIn) -> Result<(), Refusal> {
        for delta in &said.deltas {
            if delta.sequence <= pod.applied {
                continue;
            }
            if delta.sequence != pod.applied + 1 {
                return Err(Refusal::Missing(delta.sequence, pod.applied + 1));
            }
            delta.merge_into(&mut self.state.totals, &mut self.state.warmup)?;
            for slice in delta.slices.iter().filter(|slice| !slice.warmup && !slice.apart) {
                self.state.timeline.add(slice.second, &slice.totals);
                pod.presence.tell(&mut self.state.timeline, slice.second, delta.alive);
            }
            pod.count(delta);
            pod.applied = delta.sequence;
            self.state.pods.insert(said.pod_uid.clone(), pod.clone());
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
            resume: self.resume(said.index),
        };
        let begins = said.stage <= Stage::Ready && self.state.start_at_ms.is_some();
        Orders {
            protocol: VERSION,
            epoch: 1,
            now_ms,
            applied: pod.applied,
            durable: pod.durable,
            plan: (said.stage == Stage::Preparing).then(plan),
            start_at_ms: self.state.start_at_ms,
            bots: self.bots,
            stop: self.stop,
            rates: self.state.rates.clone(),
            context: if begins || perform.is_some() { self.state.context.clone() } else { Map::new() },
            stay: self.wants_teardown() && !self.state.teardown.is_over() && !said.left,
            perform,
            together,
        }
    }
}
