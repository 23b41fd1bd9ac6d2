//! The armies that are at work: what each shall do, who has checked in, what was measured.
//!
//! Pure: the clock and the network are arguments. [`Army::check_in`] is the whole of what a runner
//! and the coordinator agree on.

mod bounds;
mod check_in;
mod crew;
mod figures;
mod heartbeat;
mod keeping;
mod losses;
mod once;
mod redistribution;
mod rows;
mod start;
mod state;
mod suspension;
mod together;
mod trust;
mod waiting;
mod weight;
mod written;

pub use check_in::Refusal;
pub use figures::{Figures, Runners};
pub use keeping::{Failing, Unkept};
pub use losses::stops_after;
pub use once::Progress;
pub use rows::Keep;
pub use state::{Checkpoint, Pod};
pub use suspension::{MAX_PAUSES, Suspension};
pub use together::Changes;
pub use weight::Budget;

use botarmy_protocol::shared::Store;
use botarmy_protocol::{Mistake, Stage};
use botarmy_report::{Gap, RunOutcome, RunResult, Timeline, Totals};
use botarmy_spec::{BotRunSpec, Run};
use serde_json::Map;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long before it is due a change of the arrivals is told, in milliseconds: all runners hear of it by then.
const ARRIVALS_NOTICE_MS: u64 = 2_000;
/// Most changes of the rate; the last ones take the place of one another then.
const MAX_RATES: usize = 1_000;

/// Most points over time that a status tells.
const MAX_POINTS: usize = 30;

/// All armies, by the UID of their run.
#[derive(Debug, Default)]
pub struct Armies {
    at_work: Mutex<HashMap<String, Army>>,
    /// The runs that there are, those included that no army was made for yet; none before they were listed.
    runs: Mutex<Option<HashSet<String>>>,
    budget: Arc<Budget>,
    /// Locked before the others, never after one of them.
    heart: Mutex<heartbeat::Heartbeat>,
}

impl Armies {
    /// Looks at or changes them. Held for no longer than it takes to compute.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<String, Army>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the measures of all of them may take.
    pub fn budget(&self) -> Arc<Budget> {
        self.budget.clone()
    }

    /// These are all the runs that there are; armies of others are given up.
    pub fn list(&self, runs: HashSet<String>) {
        self.lock().retain(|uid, _| runs.contains(uid));
        *self.runs() = Some(runs);
    }

    /// There is this run.
    pub fn enter(&self, uid: &str) {
        if let Some(runs) = self.runs().as_mut().filter(|runs| !runs.contains(uid)) {
            runs.insert(uid.to_owned());
        }
    }

    /// A run is there no more, or nobody waits for its runners any more.
    pub fn leave(&self, uid: &str) {
        if let Some(runs) = self.runs().as_mut() {
            runs.remove(uid);
        }
        self.lock().remove(uid);
    }

    /// Whether it is certain that nobody waits for the runners of this run: one of which nothing is known yet may be
    /// there all the same.
    pub fn has_left(&self, uid: &str) -> bool {
        self.runs().as_ref().is_some_and(|runs| !runs.contains(uid))
    }

    /// Whether all runs are known whose runners somebody waits for: after a takeover each is looked at first.
    pub fn are_all_known(&self) -> bool {
        let at_work = self.lock();
        self.runs().as_ref().is_some_and(|runs| runs.iter().all(|uid| at_work.contains_key(uid)))
    }

    /// When the last of all runners has stopped by itself that cannot be heard from now on.
    pub fn longest_lease(&self) -> Duration {
        Duration::from_millis(self.lock().values().map(Army::stops_after_ms).max().unwrap_or_default())
    }

    fn runs(&self) -> MutexGuard<'_, Option<HashSet<String>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a run is Errored by what its runners say themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A runner cannot do its part.
    Refused,
    /// Setup failed, or its outcome was lost.
    Setup,
    /// Teardown failed, or its outcome was lost.
    Teardown,
}

/// An army at work.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that hold each by itself")]
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
    /// It is to end, for another reason than a threshold.
    pub stop: bool,
    /// When the last report came, in milliseconds since 1970.
    pub heard_ms: u64,
    /// When what survives the operator was written last, or should have been for the first time, in milliseconds
    /// since 1970.
    pub kept_ms: Option<u64>,
    /// Writes that have failed since the last one that has not.
    pub unkept: Option<Failing>,
    moments: keeping::Moments,
    /// Its runners are being taken away: what is to be done at the end is done by whoever is left.
    pub given_up: bool,
    /// A runner whose place nobody has taken in time.
    wanted_in_vain: Option<u32>,
    /// It may have pods: nothing keeps it waiting any more.
    pub admitted: bool,
    /// It has a Job.
    scheduled: bool,
    /// The name of the certificates that new pods find.
    handed: Option<String>,
    /// Runners that are gone for good, where the others go on.
    gone: BTreeSet<u32>,
    /// Those of them whose part was dealt out to the others.
    dealt: BTreeSet<u32>,
    /// Pods that should have ended long ago, and have not.
    overdue: BTreeSet<String>,
    /// Runners whose loss has ended the run.
    failed: BTreeSet<u32>,
    /// Whether it is to stand still.
    suspension: Suspension,
    /// What is written down, so that it may be told: an order that cannot be taken back must not be known to one
    /// operator alone.
    written: written::Written,
    start: start::Start,
    waiting: waiting::Waiting,
    crew: crew::Crew,
    shared: together::Shared,
    /// Since when its runners could be heard here, in milliseconds since 1970.
    since_ms: u64,
    /// What its measures take at most.
    share: weight::Share,
    /// When its Job was resumed last, in milliseconds since 1970: only then its pods come.
    wanted_ms: u64,
    /// Whether a generation of the spec differs from the plan, the last one that was looked at.
    compared: Cell<Option<(Option<i64>, bool)>>,
}

impl Army {
    /// An army that has not begun, led in this epoch, from now on.
    pub fn new(namespace: &str, name: &str, spec: &BotRunSpec, run: Run, epoch: u64, now_ms: u64) -> Self {
        let state = Checkpoint {
            spec: spec.clone(),
            totals: Totals::default(),
            warmup: Totals::default(),
            timeline: Timeline::default(),
            pods: BTreeMap::new(),
            start_at_ms: None,
            aborted: false,
            setup: Progress::default(),
            teardown: Progress::default(),
            ended_at_ms: None,
            context: Map::new(),
            refusal: None,
            sources: None,
            rates: Vec::new(),
            shared: Store::default(),
            gaps: Vec::new(),
            losses: Vec::new(),
            epoch: 0,
            summed: BTreeSet::new(),
            unjudged: BTreeSet::new(),
            pauses: Vec::new(),
        };
        let mut army = Self::restore(namespace, name, run, state, epoch, now_ms);
        army.written.plan = false;
        army
    }

    /// An army as a checkpoint left it, led in this epoch, or in one that is later than that of the checkpoint: the
    /// Lease that counts them may have been deleted. Nobody could be heard before now.
    pub fn restore(
        namespace: &str,
        name: &str,
        run: Run,
        mut state: Checkpoint,
        epoch: u64,
        now_ms: u64,
    ) -> Self {
        state.epoch = epoch.max(state.epoch.saturating_add(1));
        // One of an operator before this may have more.
        state.timeline.keep_at_most(MAX_POINTS);
        for pod in state.pods.values_mut() {
            // By somebody else's clock: this operator has not heard it.
            pod.heard_ms = 0;
            pod.trusts = None;
            pod.written = true;
            // What was written is all that is known now.
            pod.durable = pod.applied;
            pod.changes.durable = pod.changes.applied;
        }
        let at_work = state.pods.iter().filter(|(_, pod)| pod.stage < Stage::Finished);
        let at_work = at_work.map(|(uid, _)| uid.clone()).collect();
        let mut shared = together::Shared::restored(std::mem::take(&mut state.shared), at_work);
        state.pods.iter().for_each(|(uid, pod)| shared.count(uid, pod));
        Self {
            written: written::Written::of(&state),
            share: weight::Share::new(Arc::default(), weight::of(&state)),
            start: start::Start::restored(&state),
            waiting: waiting::Waiting::default(),
            crew: crew::Crew::of(&state.pods),
            since_ms: now_ms,
            wanted_ms: 0,
            compared: Cell::default(),
            given_up: false,
            wanted_in_vain: None,
            admitted: false,
            scheduled: false,
            unkept: None,
            moments: keeping::Moments::default(),
            handed: None,
            gone: state.losses.iter().map(|loss| loss.index).collect(),
            dealt: state.losses.iter().map(|loss| loss.index).collect(),
            overdue: BTreeSet::new(),
            failed: BTreeSet::new(),
            suspension: Suspension::default(),
            shared,
            namespace: namespace.into(),
            name: name.into(),
            bots: run.live_bots().unwrap_or(0),
            stop: state.spec.stop || state.refusal.is_some() || state.setup.failure().is_some(),
            run,
            state,
            heard_ms: 0,
            kept_ms: None,
        }
    }

    /// Whether it does what this spec says.
    pub fn is_of(&self, spec: &BotRunSpec) -> bool {
        self.state.spec == *spec
    }

    /// Whether this generation of the run's spec differs from the accepted plan; found out once for each.
    pub fn differs_in(&self, generation: Option<i64>, differs: impl FnOnce() -> bool) -> bool {
        let found = match self.compared.get() {
            Some((of, found)) if of == generation => found,
            _ => differs(),
        };
        self.compared.set(Some((generation, found)));
        found
    }

    /// The spec as it was accepted.
    pub fn spec(&self) -> &BotRunSpec {
        &self.state.spec
    }

    /// Whether it waits for nobody's turn.
    pub fn is_let_in(&self) -> bool {
        self.admitted || self.scheduled
    }

    /// Whether pods of it may be there whose bots are at work, or may come to be.
    pub fn may_have_bots(&self) -> bool {
        (self.is_let_in() || !self.state.pods.is_empty()) && !self.is_over()
    }

    /// Why the run is Errored by what its runners say, if it is.
    pub fn fault(&self) -> Option<(Fault, String)> {
        let refused = self.state.refusal.as_ref().map(|refused| (Fault::Refused, refused.to_string()));
        let setup = || self.state.setup.failure().map(|reason| (Fault::Setup, reason.to_owned()));
        let teardown = || self.state.teardown.failure().map(|reason| (Fault::Teardown, reason.to_owned()));
        refused.or_else(setup).or_else(teardown)
    }

    /// What is wrong with the trees or the settings, as a runner has found that could read them.
    pub fn invalid(&self) -> Option<&[Mistake]> {
        self.state.refusal.as_ref().filter(|refused| refused.invalid).map(|refused| &*refused.mistakes)
    }

    /// Whether the trees are still to be read, by the first runner.
    pub fn is_to_be_read(&self) -> bool {
        !self.state.spec.sources.is_empty() && self.state.sources.is_none()
    }

    /// The digest of the sources, once they are read.
    pub fn sources(&self) -> Option<&str> {
        self.state.sources.as_deref()
    }

    /// Lets bots arrive at another rate from a moment on that all runners know of in time.
    pub fn set_rate(&mut self, rate: f64, now_ms: u64) {
        let Some(first) = self.run.live_rate() else { return };
        let last = self.state.rates.last().map_or(first, |(_, rate)| *rate);
        if (last - rate).abs() < f64::EPSILON * rate.max(1.0) {
            return;
        }
        let due = self.state.start_at_ms.map_or(0, |start| self.due_ms(start, now_ms));
        if self.state.rates.len() >= MAX_RATES || self.state.rates.last().is_some_and(|(at, _)| *at >= due) {
            self.state.rates.pop();
        }
        self.state.rates.push((due, rate));
    }

    /// A threshold may end the run; what was measured by then is its result.
    fn abort_if_it_fails(&mut self, now_ms: u64) {
        let Some(start) = self.state.start_at_ms.filter(|start| *start <= now_ms && !self.state.aborted)
        else {
            return;
        };
        let since_start = std::time::Duration::from_millis(self.load_ms(now_ms - start));
        if self.run.aborting(&self.state.totals, since_start, &self.state.unjudged).is_some() {
            self.state.aborted = true;
            self.moments.aborted = Some(now_ms);
        }
    }

    /// Whether nothing new is begun any more, whoever knows of it.
    fn is_to_end(&self) -> bool {
        self.stop || self.state.aborted
    }

    fn indices(&self, fits: impl Fn(&Pod) -> bool) -> u32 {
        u32::try_from(self.indices_of(fits).len()).unwrap_or(u32::MAX)
    }

    fn indices_of(&self, fits: impl Fn(&Pod) -> bool) -> BTreeSet<u32> {
        self.state.pods.values().filter(|p| fits(p)).map(|p| p.index).collect()
    }

    fn runners(&self) -> usize {
        usize::try_from(self.run.runners).unwrap_or(usize::MAX)
    }

    /// Runners that have got ready, and are heard or have done their part.
    pub fn ready(&self, now_ms: u64) -> u32 {
        self.indices(|p| self.is_ready(p, now_ms))
    }

    fn is_ready(&self, pod: &Pod, now_ms: u64) -> bool {
        let is_here = pod.is_done() || (!pod.left && !pod.replaced && self.is_fresh(pod, now_ms));
        pod.stage >= Stage::Ready && is_here
    }

    /// Runners whose measures are all durable.
    pub fn finished(&self) -> u32 {
        self.indices(|p| p.is_done() && p.durable == p.applied)
    }

    /// Whether all is measured and safe.
    pub fn is_over(&self) -> bool {
        let torn_down = !self.wants_teardown() || self.state.teardown.is_over();
        let finished = self.indices_of(|p| p.is_done() && p.durable == p.applied);
        finished.union(self.without()).count() == self.runners() && torn_down
    }

    /// Whether there is something to be kept.
    pub fn has_begun(&self) -> bool {
        self.state.start_at_ms.is_some() || self.state.setup.has_begun()
    }

    /// Bots alive at the last reports; those of a runner that is not heard any more are not known to be.
    pub fn alive(&self, now_ms: u64) -> u32 {
        let fresh = self.state.pods.values().filter(|p| self.is_fresh(p, now_ms));
        fresh.fold(0, |sum, pod| sum.saturating_add(pod.alive))
    }

    /// When all was over: when the last bot had ended, or the last measures came after it, in milliseconds since 1970.
    pub fn over_at_ms(&self) -> u64 {
        self.heard_ms.max(self.state.ended_at_ms.unwrap_or_default())
    }

    /// For how long the load goes on, or went on, in milliseconds; nothing before it has begun.
    pub fn load_time_ms(&self, now_ms: u64) -> u64 {
        let until = self.state.ended_at_ms.unwrap_or(now_ms);
        self.state.start_at_ms.map_or(0, |start| self.load_ms(until.saturating_sub(start)))
    }

    /// When the bots begin or began, in milliseconds since 1970. Of a start that is not written down yet nobody was told.
    pub fn start_at_ms(&self) -> Option<u64> {
        self.state.start_at_ms.filter(|_| !self.start.waits_to_be_written(&self.state))
    }

    /// Whether the bots are at work, or were.
    pub fn is_under_way(&self, now_ms: u64) -> bool {
        self.start_at_ms().is_some_and(|start| start <= now_ms)
    }

    /// What was measured so far.
    pub fn totals(&self) -> &Totals {
        &self.state.totals
    }

    /// What to write so that it survives.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint { shared: self.shared.store.clone(), ..self.state.clone() };
        let without = checkpoint.pods.values_mut().filter(|pod| !pod.waits_for_answers());
        without.for_each(|pod| pod.changes.answers.clear());
        checkpoint
    }

    /// What was written is durable now.
    pub fn written(&mut self, checkpoint: &Checkpoint) {
        for (uid, pod) in &mut self.state.pods {
            if let Some(written) = checkpoint.pods.get(uid) {
                pod.written = true;
                pod.durable = pod.durable.max(written.applied);
                pod.changes.durable = pod.changes.durable.max(written.changes.applied);
            }
        }
        self.written.add(checkpoint);
        self.start.written(&self.state, checkpoint);
        self.shared.written();
    }

    /// The result so far, judged by the run's thresholds.
    pub fn result(&self, now_ms: u64) -> RunResult {
        self.result_with(now_ms, self.gaps(now_ms))
    }

    /// The result of a run that ends now, whatever becomes of its runners.
    pub fn final_result(&self, now_ms: u64) -> RunResult {
        self.result_with(now_ms, self.final_gaps(now_ms))
    }

    fn result_with(&self, now_ms: u64, gaps: Vec<Gap>) -> RunResult {
        let duration_ms = self.load_time_ms(now_ms);
        let (totals, unjudged) = (&self.state.totals, &self.state.unjudged);
        let judged = self.run.judge_without(totals, self.alive(now_ms), duration_ms, unjudged);
        let mut result = judged.over_time(&self.state.timeline).after(&self.state.warmup, self.run.warmup);
        result.gaps = gaps;
        if self.state.aborted {
            result.outcome = RunOutcome::Aborted;
        }
        match self.fault() {
            Some((_, reason)) => result.errored(&reason),
            None => result,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
