//! What the bots of an army share: the store of the coordinator, and what each pod has changed. Pure.

use super::Pod;
use botarmy_protocol::shared::{Answer, Change, News, Store};
use botarmy_protocol::{CheckIn, Stage, Together, TogetherOrders};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long an operator that came back waits for all runners to repeat what it has lost, in milliseconds.
const RECOVERY_MS: u64 = 10_000;
/// Most bytes of answers that are on their way to a pod at once.
const MAX_ANSWERED_BYTES: usize = 1 << 20;
/// Of those to all pods together: with more of them each pod has a share that is the same for all, and with twice as
/// many no pod gets another one before these have arrived. They are written down, and a checkpoint takes only so much.
const MAX_ANSWERED_BYTES_OF_ALL: usize = 3 << 19;
/// After so many changes, or so many bytes of them, the checkpoint is written early, so that runners need not keep more.
const MANY: u64 = 1_000;
const MANY_BYTES: usize = 1 << 20;

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

impl Changes {
    /// What its answers take, in bytes, about.
    fn size(&self) -> usize {
        self.answers.values().map(Answer::size).sum()
    }
}

impl Pod {
    /// Whether its bots may wait for answers: not those of one whose place another has taken, nor of one that has none.
    pub(super) fn waits_for_answers(&self) -> bool {
        !self.replaced && !self.is_done()
    }
}

/// How much may be on its way.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// What is on its way to other pods.
    others: usize,
    /// What each pod may have whatever the others have.
    share: usize,
}

impl Room {
    /// Whether a pod may have another answer that has so much already.
    fn has_place(self, own: usize) -> bool {
        let all = self.others.saturating_add(own);
        own <= MAX_ANSWERED_BYTES
            && (own <= self.share || all <= MAX_ANSWERED_BYTES_OF_ALL)
            && all <= 2 * MAX_ANSWERED_BYTES_OF_ALL
    }
}

/// The store, as this operator has it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) store: Store,
    recovery: Option<Recovery>,
    /// Changes that were made since the last checkpoint, and what they take.
    unwritten: u64,
    unwritten_bytes: usize,
    /// What is on its way to each pod, in bytes; only of those to which anything is.
    on_their_way: BTreeMap<String, usize>,
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
        Self {
            store: store.restored(),
            recovery,
            unwritten: 0,
            unwritten_bytes: 0,
            on_their_way: BTreeMap::new(),
        }
    }

    /// Whether so much has changed that it should be written.
    pub(super) fn is_urgent(&self) -> bool {
        self.unwritten >= MANY || self.unwritten_bytes >= MANY_BYTES
    }

    /// Takes note of a change that was made.
    fn has_changed(&mut self, change: &Change) {
        self.unwritten += 1;
        self.unwritten_bytes = self.unwritten_bytes.saturating_add(change.size());
    }

    /// A checkpoint was made.
    pub(super) fn written(&mut self) {
        (self.unwritten, self.unwritten_bytes) = (0, 0);
    }

    /// Takes note of what is on its way to a pod.
    pub(super) fn count(&mut self, pod_uid: &str, pod: &Pod) {
        let size = if pod.waits_for_answers() { pod.changes.size() } else { 0 };
        if size == 0 {
            self.on_their_way.remove(pod_uid);
        } else {
            self.on_their_way.insert(pod_uid.to_owned(), size);
        }
    }

    /// A pod is not known any more.
    pub(super) fn forget(&mut self, pod_uid: &str) {
        self.on_their_way.remove(pod_uid);
    }

    fn room(&self, pod_uid: &str, runners: usize) -> Room {
        let others = self.on_their_way.iter().filter(|(uid, _)| *uid != pod_uid).map(|(_, size)| size);
        Room { others: others.sum(), share: MAX_ANSWERED_BYTES_OF_ALL / runners.max(1) }
    }

    /// Makes the changes of a pod, each once, and answers them; the run has so many runners.
    pub(super) fn check_in(
        &mut self,
        said: &CheckIn,
        pod: &mut Changes,
        runners: usize,
        now_ms: u64,
    ) -> TogetherOrders {
        let Together { changes, is_whole, answered, knows, seen } = &said.together;
        pod.answers.retain(|number, _| number > answered);
        let repeats_all = *knows == pod.applied && *is_whole;
        for (number, change) in changes.iter().filter(|(number, _)| *number <= *answered) {
            if *number > pod.applied {
                self.store.apply(change.clone());
                self.has_changed(change);
                pod.applied = *number;
            }
        }
        // What is not repeated has changed nothing.
        if repeats_all {
            pod.applied = pod.applied.max(*answered);
        }
        self.recover(said, pod, now_ms);
        if self.recovery.is_none() {
            let (mut bytes, room) = (pod.size(), self.room(&said.pod_uid, runners));
            for (number, change) in changes.iter().filter(|(number, _)| *number > *answered) {
                // The rest is answered once these have arrived.
                if !room.has_place(bytes) {
                    break;
                }
                if *number > pod.applied {
                    let answer = self.store.apply(change.clone());
                    bytes += answer.size();
                    pod.answers.insert(*number, answer);
                    self.has_changed(change);
                    pod.applied = *number;
                }
            }
        }
        TogetherOrders {
            answers: pod.answers.iter().map(|(number, answer)| (*number, answer.clone())).collect(),
            applied: pod.applied,
            durable: pod.durable,
            news: self.news(*seen),
        }
    }

    /// What is new to a copy of the store. While not all is repeated that was lost, that is nothing: what of it is here
    /// already has never been so, and bots who wait would go on by it.
    fn news(&self, seen: u64) -> News {
        match self.recovery {
            Some(_) => News { version: seen, ..News::default() },
            None => self.store.news(seen),
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

#[cfg(test)]
mod tests {
    use super::super::Army;
    use super::super::tests::{army, said, said_by};
    use super::*;

    #[test]
    fn what_was_on_its_way_to_a_lost_pod_takes_no_room() {
        let mut army = army(1);
        let changes = vec![(1, Change::Push("l".into(), "a".into()))];
        let together = Together { changes, is_whole: true, ..Together::default() };
        army.check_in(&CheckIn { together, ..said(0, Stage::Running, &[]) }, 2_000).unwrap();
        assert_eq!(army.shared.on_their_way.len(), 1);
        army.check_in(&said_by("other", 0, Stage::Running, vec![]), 20_000).unwrap();
        assert_eq!(army.shared.on_their_way.len(), 0);
    }

    #[test]
    fn nobody_sees_what_has_never_been_while_not_all_is_repeated() {
        let mut army = army(2);
        for index in [0, 1] {
            army.check_in(&said(index, Stage::Ready, &[]), 1).unwrap();
        }
        let mut after = Army::restore("ns", "r", army.run.clone(), army.checkpoint(), 2, 1);
        // Of the two that came to a barrier of two one had left before the other one came.
        let (key, one) = ("b".to_owned(), |by: i64| Change::Add("b".into(), by.into()));
        let mut repeats = |index, seen, changes: Vec<(u64, Change)>, at| {
            let answered = changes.len() as u64;
            let together = Together { changes, is_whole: true, answered, knows: 0, seen };
            let said = CheckIn { together, ..said(index, Stage::Running, &[]) };
            after.check_in(&said, at).unwrap().together.news
        };
        let first = vec![(1, one(1))];
        assert_eq!(repeats(0, 7, first.clone(), 10), News { version: 7, ..News::default() });
        let whole = repeats(1, 7, vec![(1, one(1)), (2, one(-1))], 11);
        let count = |news: News| -> Vec<(String, serde_json::Value)> {
            news.entries.into_iter().map(|(key, count, _)| (key, count)).collect()
        };
        let expected = vec![(key, 1.into())];
        assert_eq!((whole.anew, count(whole)), (true, expected.clone()));
        assert_eq!(count(repeats(0, 7, first, 12)), expected);
    }

    #[test]
    fn a_pod_has_its_share_and_all_together_have_a_bound() {
        let all = MAX_ANSWERED_BYTES_OF_ALL;
        let room = |others, own| Room { others, share: all / 100 }.has_place(own);
        for (others, own, expected) in [
            (0, 0, true),
            (0, MAX_ANSWERED_BYTES, true),
            (0, MAX_ANSWERED_BYTES + 1, false),
            (all - 10, 10, true),
            (all, all / 100, true),
            (all, all / 100 + 1, false),
            (2 * all - 10, 10, true),
            (2 * all - 10, 11, false),
            (2 * all + 1, 0, false),
        ] {
            assert_eq!(room(others, own), expected, "{own} beside {others}");
        }
    }
}
