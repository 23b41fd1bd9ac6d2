//! One leaf of a bot: run until it has an outcome, recorded, its changes applied.

use super::{End, Life, Stage, Stop};
use crate::bot_log::Farewell;
use crate::engine::clock::Tick;
use crate::engine::squad::micros;
use botarmy_actions::{Answer, Bot, Outcome, Step};
use botarmy_report::{FailureClass, Observed, Outcome as Recorded};
use botarmy_tree::{LeafId, Verdict};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long a leaf that is not through yet waits at least until it is asked again, so that nothing spins.
pub(super) const BEFORE_AGAIN: Duration = Duration::from_millis(1);

/// How a leaf came out.
#[derive(Debug)]
pub(super) enum Ran {
    /// So, and there is nothing more to tell.
    Plain(Outcome),
    /// With something to tell.
    Answered(Box<Answer>),
    /// It is not through yet, and wants these values changed.
    Again(Vec<(String, Value)>),
    Crashed,
    /// The tree does not need its end any more.
    Cancelled,
    /// There is no more time for its end: by a `timeout` around it, or since the bot has to end.
    CutOff,
}

impl From<Answer> for Ran {
    fn from(answer: Answer) -> Self {
        match answer.outcome {
            Outcome::Continue => Self::Again(answer.updates),
            _ => Self::Answered(Box::new(answer)),
        }
    }
}

impl From<Outcome> for Ran {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Continue => Self::Again(Vec::new()),
            outcome => Self::Plain(outcome),
        }
    }
}

/// How far a leaf is that was just begun.
enum Begun<'a> {
    /// It has succeeded, as most do that do not take any time.
    Succeeded,
    /// It has come out otherwise.
    Over(Ran),
    /// It takes a while, until it is over or the bot has to give it up.
    Later(LocalBoxFuture<'a, Answer>, &'a Stop, Stage),
}

impl Life {
    /// Runs a leaf until it has an outcome.
    pub(super) async fn attempt(&mut self, leaf: LeafId) -> Result<Verdict, End> {
        let started = self.now;
        loop {
            // What succeeds at once is not even moved: this is where an army without waits spends its time.
            let mut waited = false;
            let ran = match self.begin_leaf(leaf) {
                Begun::Succeeded => None,
                Begun::Over(ran) => Some(ran),
                Begun::Later(later, stop, given_up) => {
                    let (ran, suspended) = unless_given_up(later, stop, given_up).await;
                    waited = suspended;
                    Some(ran)
                }
            };
            self.now = Tick::now();
            if waited {
                self.had_turn();
            }
            if ran.is_none() && self.told.is_none() {
                self.succeed(leaf, started);
                return Ok(Verdict::Succeed);
            }
            let ran = ran.unwrap_or(Ran::Plain(Outcome::Succeed));
            let Ran::Again(updates) = ran else { return self.finish(leaf, started, ran) };
            if let Err(error) = self.memory.update(updates) {
                return self.finish(leaf, started, Ran::Plain(Outcome::Error(error.to_string())));
            }
            Box::pin(self.rest(Instant::now() + BEFORE_AGAIN)).await;
            if self.squad.local.clock.stands_still() {
                Box::pin(self.stand_still()).await;
            }
            if self.stop.asked() {
                return self.finish(leaf, started, Ran::CutOff);
            }
        }
    }

    #[inline]
    fn begin_leaf(&mut self, leaf: LeafId) -> Begun<'_> {
        let Self { squad, stop, walk, memory, connections, .. } = self;
        let scenario = squad.scenario();
        let plan = &scenario.plan;
        let scope = memory.scope(scenario, leaf, walk.bot(), squad.shared_values());
        let action = &squad.actions[leaf.index()];
        let mut step = None;
        // The context is left as it was by an action that panics, so that nothing is half done.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            step = Some(action.run(Bot { scope, connections }, &mut || plan.draw(walk, leaf)));
        }));
        match step {
            Some(Step::Plain(Outcome::Succeed)) => Begun::Succeeded,
            Some(Step::Plain(outcome)) => Begun::Over(outcome.into()),
            Some(Step::Ready(answer)) => Begun::Over((*answer).into()),
            Some(Step::Pending(later)) if caught.is_ok() => {
                // What steers only the bot, such as a wait, need not come to its end.
                let given_up = if plan.leaf(leaf).measured { Stage::Cancel } else { Stage::End };
                Begun::Later(later, stop, given_up)
            }
            Some(Step::Pending(_)) | None => Begun::Over(Ran::Crashed),
        }
    }

    /// Records a leaf that has succeeded at once.
    fn succeed(&mut self, leaf: LeafId, started: Tick) {
        self.ticks += 1;
        let micros = self.late(leaf) + micros(self.now.duration_since(started));
        self.squad.record_success(leaf.index(), self.now, micros);
    }

    /// How late the pass began, if this leaf has to bear it.
    fn late(&mut self, leaf: LeafId) -> u64 {
        let bears = self.late_us > 0 && self.squad.scenario().plan.leaf(leaf).measured;
        if bears { std::mem::take(&mut self.late_us) } else { 0 }
    }

    /// The bot has waited: the others have had their turn.
    pub(super) fn resume(&mut self) {
        self.now = Tick::now();
        self.had_turn();
    }

    pub(super) fn had_turn(&mut self) {
        (self.ticks, self.turn) = (0, self.now);
    }

    /// Records how a leaf has come out now, and applies what it changes.
    pub(super) fn finish(&mut self, leaf: LeafId, started: Tick, ran: Ran) -> Result<Verdict, End> {
        self.ticks += 1;
        // What is given up has no latency to which it could be added.
        let late =
            if matches!(ran, Ran::Cancelled | Ran::CutOff | Ran::Again(_)) { 0 } else { self.late(leaf) };
        let micros = late + micros(self.now.duration_since(started));
        let record = self.squad.scenario().plan.leaf(leaf);
        // What steers only the bot is in no percentile that could miss it.
        let cut_off = record.measured && matches!(ran, Ran::CutOff);
        let mut observed = Observed::default();
        let (recorded, result) = match ran {
            Ran::Crashed => {
                tracing::error!(bot_id = self.walk.bot(), action = %record.name, "the action crashed, the bot died");
                observed = Observed::failed(FailureClass::Action, "the action panicked; see the log");
                (Recorded::Crash, Err(End::Bot(Recorded::Crash)))
            }
            Ran::Cancelled | Ran::CutOff | Ran::Again(_) => (Recorded::Cancelled, Err(End::Stopped)),
            Ran::Plain(outcome) => self.judge(outcome, &mut observed),
            Ran::Answered(answer) => {
                let Answer { outcome, updates, observed: seen } = *answer;
                observed = seen;
                let outcome = match self.memory.update(updates) {
                    Ok(()) => outcome,
                    Err(error) => Outcome::Error(error.to_string()),
                };
                self.judge(outcome, &mut observed)
            }
        };
        // An action of the user's own need not say why it failed; it is counted all the same.
        let measured = self.squad.scenario().plan.leaf(leaf).measured;
        if recorded == Recorded::Fail && observed.failure.is_none() && measured {
            observed = Observed::failed(FailureClass::Action, "the action failed");
        }
        self.hide_secrets(&mut observed);
        self.tell(leaf, recorded, &result, micros, &observed);
        if cut_off {
            self.squad.record_cut_off(leaf.index(), self.now, micros);
        } else {
            self.squad.record(leaf.index(), self.now, recorded, micros, &observed);
        }
        result
    }

    /// What an outcome is counted as, and what follows from it.
    fn judge(&self, outcome: Outcome, observed: &mut Observed) -> (Recorded, Result<Verdict, End>) {
        match outcome {
            Outcome::Succeed => (Recorded::Succeed, Ok(Verdict::Succeed)),
            Outcome::Fail => (Recorded::Fail, Ok(Verdict::Fail)),
            Outcome::Unmet => (Recorded::Fail, Ok(Verdict::Succeed)),
            Outcome::Done => (Recorded::Succeed, Err(End::Bot(Recorded::Succeed))),
            // It is no outcome, and was taken care of before.
            Outcome::Continue => (Recorded::Cancelled, Err(End::Stopped)),
            Outcome::Error(reason) => {
                let reason = self.squad.local.run.secrets.hide(&reason).into_owned();
                tracing::warn!(bot_id = self.walk.bot(), "the bot died: {reason}");
                *observed = Observed::failed(FailureClass::Error, reason);
                (Recorded::Error, Err(End::Bot(Recorded::Error)))
            }
        }
    }

    /// What an action says about a failure may hold what it was given.
    fn hide_secrets(&self, observed: &mut Observed) {
        let secrets = &self.squad.local.run.secrets;
        if let Some(failure) = observed.failure.as_mut().filter(|_| !secrets.is_empty()) {
            failure.message = secrets.hide(&failure.message).into_owned();
        }
    }

    /// Tells how a leaf came out to those who want to know more than its count.
    fn tell(
        &mut self,
        leaf: LeafId,
        recorded: Recorded,
        result: &Result<Verdict, End>,
        micros: u64,
        observed: &Observed,
    ) {
        let Some(told) = &mut self.told else { return };
        let leaf = self.squad.scenario().plan.leaf(leaf);
        if let Some(failure) = &observed.failure {
            if matches!(result, Err(End::Bot(Recorded::Error | Recorded::Crash))) {
                told.farewell = Farewell::Died(failure.message.clone());
            }
            told.failure = Some(format!("{}: {}", leaf.name, failure.message));
        } else if recorded == Recorded::Fail {
            told.failure = Some(format!("{} failed", leaf.name));
        }
        let done = matches!(result, Err(End::Bot(Recorded::Succeed)));
        self.squad.journal.ran(self.walk.bot(), leaf, recorded, done, micros);
    }
}

/// Waits for an answer, unless the bot is told to give up what it does. Tells also whether there was any
/// waiting: what is answered at once lets nobody else have a turn.
fn unless_given_up<'a>(
    later: LocalBoxFuture<'a, Answer>,
    stop: &'a Stop,
    given_up: Stage,
) -> impl Future<Output = (Ran, bool)> + 'a {
    let mut later = AssertUnwindSafe(later).catch_unwind();
    let mut suspended = false;
    poll_fn(move |context| {
        let ran = match later.poll_unpin(context) {
            Poll::Ready(answer) => Poll::Ready(answer.map_or(Ran::Crashed, Ran::from)),
            Poll::Pending => stop.poll_reached(given_up, context).map(|()| Ran::CutOff),
        };
        let ran = ran.map(|ran| (ran, suspended));
        suspended = true;
        ran
    })
}
