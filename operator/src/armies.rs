//! The armies that are at work: what each shall do, who has checked in, what was measured.
//!
//! Pure: the clock and the network are arguments. [`Army::check_in`] is the whole of what a runner
//! and the coordinator agree on.

use botarmy_protocol::{CheckIn, Orders, Plan, Stage, VERSION};
use botarmy_report::{MergeError, Presence, RunOutcome, RunResult, Timeline, Totals};
use botarmy_spec::{BotRunSpec, Run};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Between the slowest round trip and the start, in milliseconds.
const START_MARGIN_MS: u64 = 300;
/// What a runner's round trip is taken for before it was measured, in milliseconds.
const UNKNOWN_ROUND_TRIP_MS: u64 = 1000;

/// Most points over time that a status tells.
const MAX_POINTS: usize = 30;

/// All armies, by the UID of their run.
#[derive(Debug, Default)]
pub struct Armies(Mutex<HashMap<String, Army>>);

impl Armies {
    /// Looks at or changes them. Held for no longer than it takes to compute.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<String, Army>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One runner pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The runner's index.
    pub index: u32,
    /// How far it is.
    pub stage: Stage,
    /// Its last delta that is part of the sum.
    pub applied: u64,
    /// Its last delta that survives the operator.
    pub durable: u64,
    /// Bots alive at its last report.
    pub alive: u32,
    /// How long its check-ins take, in milliseconds.
    pub round_trip_ms: u64,
    /// Until when the timeline knows how many bots were alive.
    #[serde(default)]
    pub presence: Presence,
}

/// What survives the operator of an army.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The spec as it was accepted.
    pub spec: BotRunSpec,
    /// The sum of all applied deltas but those of the warm-up.
    pub totals: Totals,
    /// The sum of those of the warm-up.
    #[serde(default)]
    pub warmup: Totals,
    /// How it went over time, the warm-up apart.
    #[serde(default)]
    pub timeline: Timeline,
    /// The pods, by UID.
    pub pods: BTreeMap<String, Pod>,
    /// When the bots began.
    pub start_at_ms: Option<u64>,
    /// A threshold has ended the run.
    #[serde(default)]
    pub aborted: bool,
}

/// An army at work.
#[derive(Debug)]
pub struct Army {
    /// The namespace of its run.
    pub namespace: String,
    /// The name of its run.
    pub name: String,
    /// What it runs, as it was accepted.
    pub run: Run,
    state: Checkpoint,
    /// Bots that shall be alive.
    pub bots: u32,
    /// It is to end.
    pub stop: bool,
    /// When the last report came, in milliseconds since 1970.
    pub heard_ms: u64,
}

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

impl Army {
    /// An army that has not begun.
    pub fn new(namespace: &str, name: &str, spec: &BotRunSpec, run: Run) -> Self {
        let state = Checkpoint {
            spec: spec.clone(),
            totals: Totals::default(),
            warmup: Totals::default(),
            timeline: Timeline::default(),
            pods: BTreeMap::new(),
            start_at_ms: None,
            aborted: false,
        };
        Self::restore(namespace, name, run, state)
    }

    /// An army as a checkpoint left it.
    pub fn restore(namespace: &str, name: &str, run: Run, mut state: Checkpoint) -> Self {
        for pod in state.pods.values_mut() {
            // What was written is all that is known now.
            pod.durable = pod.applied;
        }
        Self {
            namespace: namespace.into(),
            name: name.into(),
            bots: run.live_bots().unwrap_or(0),
            stop: state.spec.stop || state.aborted,
            run,
            state,
            heard_ms: 0,
        }
    }

    /// Takes what a runner says and answers with its orders. A delta is applied once, however often
    /// it is sent.
    pub fn check_in(&mut self, said: &CheckIn, now_ms: u64) -> Result<Orders, Refusal> {
        if said.protocol.abs_diff(VERSION) > 1 {
            return Err(Refusal::Protocol(said.protocol));
        }
        if said.index >= self.run.runners {
            return Err(Refusal::Index(said.index, self.run.runners));
        }
        let new = Pod {
            index: said.index,
            stage: said.stage,
            applied: 0,
            durable: 0,
            alive: 0,
            round_trip_ms: UNKNOWN_ROUND_TRIP_MS,
            presence: Presence::default(),
        };
        let mut pod = self.state.pods.get(&said.pod_uid).cloned().unwrap_or(new);
        for delta in &said.deltas {
            if delta.sequence <= pod.applied {
                continue;
            }
            if delta.sequence != pod.applied + 1 {
                return Err(Refusal::Missing(delta.sequence, pod.applied + 1));
            }
            delta.merge_into(&mut self.state.totals, &mut self.state.warmup)?;
            for slice in delta.slices.iter().filter(|slice| !slice.warmup) {
                self.state.timeline.add(slice.second, &slice.totals);
                pod.presence.tell(&mut self.state.timeline, slice.second, delta.alive);
            }
            pod.applied = delta.sequence;
            self.state.pods.insert(said.pod_uid.clone(), pod.clone());
        }
        self.abort_if_it_fails(now_ms);
        pod.stage = pod.stage.max(said.stage);
        pod.alive = said.alive;
        pod.round_trip_ms = said.round_trip_ms.unwrap_or(pod.round_trip_ms);
        let (applied, durable) = (pod.applied, pod.durable);
        self.state.pods.insert(said.pod_uid.clone(), pod);
        self.heard_ms = now_ms;
        self.set_start(now_ms);
        let waits = said.stage == Stage::Ready;
        Ok(Orders {
            protocol: VERSION,
            epoch: 1,
            now_ms,
            applied,
            durable,
            plan: waits.then(|| Plan { spec: self.state.spec.clone(), runners: self.run.runners }),
            start_at_ms: self.state.start_at_ms,
            bots: self.bots,
            stop: self.stop,
        })
    }

    /// A threshold may end the run; what was measured by then is its result.
    fn abort_if_it_fails(&mut self, now_ms: u64) {
        let Some(start) = self.state.start_at_ms.filter(|start| *start <= now_ms && !self.state.aborted)
        else {
            return;
        };
        let since_start = std::time::Duration::from_millis(now_ms - start);
        if self.run.aborting(&self.state.totals, since_start).is_some() {
            self.state.aborted = true;
            self.stop = true;
        }
    }

    /// The start is set once, when the last runner has checked in: late enough for the slowest.
    fn set_start(&mut self, now_ms: u64) {
        if self.state.start_at_ms.is_none() && self.ready() == self.run.runners {
            let slowest = self.state.pods.values().map(|p| p.round_trip_ms).max().unwrap_or(0);
            self.state.start_at_ms = Some(now_ms + slowest + START_MARGIN_MS);
        }
    }

    fn indices(&self, fits: impl Fn(&Pod) -> bool) -> u32 {
        let indices: std::collections::BTreeSet<u32> =
            self.state.pods.values().filter(|p| fits(p)).map(|p| p.index).collect();
        u32::try_from(indices.len()).unwrap_or(u32::MAX)
    }

    /// Runners that have checked in.
    pub fn ready(&self) -> u32 {
        self.indices(|_| true)
    }

    /// Whether the runner with this index has checked in.
    pub fn has_checked_in(&self, index: u32) -> bool {
        self.state.pods.values().any(|p| p.index == index)
    }

    /// Runners whose measures are all durable.
    pub fn finished(&self) -> u32 {
        self.indices(|p| p.stage == Stage::Finished && p.durable == p.applied)
    }

    /// Whether all is measured and safe.
    pub fn is_over(&self) -> bool {
        self.finished() == self.run.runners
    }

    /// Whether something waits to be written that a runner waits for.
    pub fn is_urgent(&self) -> bool {
        self.state.pods.values().any(|p| p.stage == Stage::Finished && p.durable < p.applied)
    }

    /// Bots alive at the last reports.
    pub fn alive(&self) -> u32 {
        self.state.pods.values().map(|p| p.alive).sum()
    }

    /// When the bots begin or began, in milliseconds since 1970.
    pub fn start_at_ms(&self) -> Option<u64> {
        self.state.start_at_ms
    }

    /// What was measured so far.
    pub fn totals(&self) -> &Totals {
        &self.state.totals
    }

    /// What to write so that it survives.
    pub fn checkpoint(&self) -> Checkpoint {
        self.state.clone()
    }

    /// What was written is durable now.
    pub fn written(&mut self, checkpoint: &Checkpoint) {
        for (uid, pod) in &mut self.state.pods {
            if let Some(written) = checkpoint.pods.get(uid) {
                pod.durable = pod.durable.max(written.applied);
            }
        }
    }

    /// The result so far, judged by the run's thresholds.
    pub fn result(&self, now_ms: u64) -> RunResult {
        let end = if self.is_over() { self.heard_ms } else { now_ms };
        let duration_ms = self.state.start_at_ms.map_or(0, |start| end.saturating_sub(start));
        let timeline = self.state.timeline.clone().at_most(MAX_POINTS);
        let mut result = self.run.judge(&self.state.totals, self.alive(), duration_ms).over_time(&timeline);
        if self.state.aborted {
            result.outcome = RunOutcome::Aborted;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_protocol::RunRef;
    use botarmy_report::{Delta, Slice};
    use botarmy_tree::{Actions, Path};

    fn army(runners: i32) -> Army {
        let spec: BotRunSpec = serde_json::from_value(serde_json::json!({
            "trees": {"T": "done"}, "bots": 10, "runners": {"count": runners}, "thresholds": [{"expect": "count > 0"}],
        }))
        .unwrap();
        let run = Run::check(&spec, "r", &Path::top(), &Actions::built_in()).unwrap();
        Army::new("ns", "r", &spec, run)
    }

    fn said(index: u32, stage: Stage, sequences: &[u64]) -> CheckIn {
        let delta = |n: &u64| {
            let totals = Totals { requests: 10, ..Totals::default() };
            Delta { sequence: *n, slices: vec![Slice { second: *n, totals, warmup: false }], alive: 5 }
        };
        CheckIn {
            protocol: VERSION,
            run: RunRef { namespace: "ns".into(), name: "r".into(), uid: "u".into() },
            index,
            pod_uid: format!("pod-{index}"),
            stage,
            alive: 5,
            round_trip_ms: Some(40),
            deltas: sequences.iter().map(delta).collect(),
        }
    }

    #[test]
    fn the_start_waits_for_all_runners_and_the_slowest_of_them() {
        let mut army = army(2);
        let first = army.check_in(&said(0, Stage::Ready, &[]), 1_000).unwrap();
        assert_eq!((first.start_at_ms, army.ready()), (None, 1));
        let mut slow = said(1, Stage::Ready, &[]);
        slow.round_trip_ms = Some(200);
        let second = army.check_in(&slow, 2_000).unwrap();
        assert_eq!(second.start_at_ms, Some(2_500));
        assert_eq!(second.plan.map(|p| p.runners), Some(2));
        let again = army.check_in(&said(0, Stage::Ready, &[]), 2_100).unwrap();
        assert_eq!(again.start_at_ms, Some(2_500), "set once");
    }

    #[test]
    fn a_delta_counts_once_and_none_is_left_out() {
        let mut army = army(1);
        let orders = army.check_in(&said(0, Stage::Running, &[1, 2]), 1).unwrap();
        assert_eq!((orders.applied, orders.durable, army.totals().requests), (2, 0, 20));
        army.check_in(&said(0, Stage::Running, &[1, 2, 3]), 2).unwrap();
        assert_eq!(army.totals().requests, 30);
        assert!(matches!(army.check_in(&said(0, Stage::Running, &[5]), 3), Err(Refusal::Missing(5, 4))));
        assert_eq!(army.totals().requests, 30);
    }

    #[test]
    fn it_is_over_when_the_last_measures_are_written() {
        let mut army = army(1);
        army.check_in(&said(0, Stage::Finished, &[1]), 1).unwrap();
        assert!(army.is_urgent() && !army.is_over());
        let checkpoint = army.checkpoint();
        army.written(&checkpoint);
        assert!(army.is_over() && !army.is_urgent());
        assert_eq!(army.check_in(&said(0, Stage::Finished, &[1]), 2).unwrap().durable, 1);
    }

    #[test]
    fn an_operator_that_comes_back_goes_on_from_the_checkpoint() {
        let mut before = army(1);
        before.check_in(&said(0, Stage::Running, &[1]), 1).unwrap();
        let checkpoint = before.checkpoint();
        before.check_in(&said(0, Stage::Running, &[2]), 2).unwrap();
        let mut after = Army::restore("ns", "r", before.run.clone(), checkpoint);
        let orders = after.check_in(&said(0, Stage::Running, &[2, 3]), 3).unwrap();
        assert_eq!((orders.applied, orders.durable, after.totals().requests), (3, 1, 30));
        let series = after.result(4).series.unwrap();
        let points: Vec<(u64, u64)> = series.points.iter().map(|p| (p.requests, p.bots)).collect();
        assert_eq!(points, [(0, 5), (10, 5), (10, 5), (10, 5)]);
    }

    #[test]
    fn strangers_are_refused() {
        let mut army = army(1);
        assert!(matches!(army.check_in(&said(1, Stage::Ready, &[]), 1), Err(Refusal::Index(1, 1))));
        let mut old = said(0, Stage::Ready, &[]);
        old.protocol = VERSION + 2;
        assert!(matches!(army.check_in(&old, 1), Err(Refusal::Protocol(_))));
        assert_eq!(army.ready(), 0);
    }
}
