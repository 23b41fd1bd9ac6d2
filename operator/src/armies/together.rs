//! What the bots of an army share: the store of the coordinator, and what each pod has changed. Pure.

use botarmy_protocol::shared::{Answer, Store};
use botarmy_protocol::{CheckIn, Stage, Together, TogetherOrders};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long an operator that came back waits for all runners to repeat what it has lost, in milliseconds.
const RECOVERY_MS: u64 = 10_000;
/// Most bytes of answers that are on their way to a pod at once.
const MAX_ANSWERED_BYTES: usize = 1 << 20;
/// After so many changes the checkpoint is written early, so that runners need not keep more.
const MANY: u64 = 1_000;

/// What a pod has changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Its last change that was made.
    pub applied: u64,
    /// Its last change that survives the operator.
    #[serde(default)]
    pub durable: u64,
    /// Answers that it may not have got yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<u64, Answer>,
}

/// The store, as this operator has it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) store: Store,
    recovery: Option<Recovery>,
    /// Changes that were made since the last checkpoint.
    unwritten: u64,
}

/// What an operator that came back does not know yet.
#[derive(Debug)]
struct Recovery {
    until_ms: Option<u64>,
    /// Pods that have not yet repeated what was lost.
    pods: BTreeSet<String>,
}

impl Shared {
    /// The store as a checkpoint left it. New changes wait until these pods have repeated what they were
    /// answered since: what one of them took must not be given to another.
    pub(super) fn restored(store: Store, pods: BTreeSet<String>) -> Self {
        let recovery = (!pods.is_empty()).then_some(Recovery { until_ms: None, pods });
        Self { store: store.restored(), recovery, unwritten: 0 }
    }

    /// Whether so much has changed that it should be written.
    pub(super) fn is_urgent(&self) -> bool {
        self.unwritten >= MANY
    }

    /// A checkpoint was made.
    pub(super) fn written(&mut self) {
        self.unwritten = 0;
    }

    /// Makes the changes of a pod, each once, and answers them.
    pub(super) fn check_in(&mut self, said: &CheckIn, pod: &mut Changes, now_ms: u64) -> TogetherOrders {
        let Together { changes, is_whole, answered, knows, seen } = &said.together;
        pod.answers.retain(|number, _| number > answered);
        let repeats_all = *knows == pod.applied && *is_whole;
        for (number, change) in changes.iter().filter(|(number, _)| *number <= *answered) {
            if *number > pod.applied {
                self.store.apply(change.clone());
                self.unwritten += 1;
                pod.applied = *number;
            }
        }
        // What is not repeated has changed nothing.
        if repeats_all {
            pod.applied = pod.applied.max(*answered);
        }
        self.recover(said, pod, now_ms);
        if self.recovery.is_none() {
            let mut bytes: usize = pod.answers.values().map(Answer::size).sum();
            for (number, change) in changes.iter().filter(|(number, _)| *number > *answered) {
                // The rest is answered once these have arrived.
                if bytes > MAX_ANSWERED_BYTES {
                    break;
                }
                if *number > pod.applied {
                    let answer = self.store.apply(change.clone());
                    bytes += answer.size();
                    pod.answers.insert(*number, answer);
                    self.unwritten += 1;
                    pod.applied = *number;
                }
            }
        }
        TogetherOrders {
            answers: pod.answers.iter().map(|(number, answer)| (*number, answer.clone())).collect(),
            applied: pod.applied,
            durable: pod.durable,
            news: self.store.news(*seen),
        }
    }

    fn recover(&mut self, said: &CheckIn, pod: &Changes, now_ms: u64) {
        let Some(recovery) = &mut self.recovery else { return };
        let until = *recovery.until_ms.get_or_insert(now_ms + RECOVERY_MS);
        if pod.applied >= said.together.answered || said.stage == Stage::Finished {
            recovery.pods.remove(&said.pod_uid);
        }
        if recovery.pods.is_empty() || now_ms > until {
            self.recovery = None;
        }
    }
}
