//! One bot: walks its tree until it is done, dead, or told to stop.

mod concurrent;
mod memory;
mod pause;

use super::army::Ending;
use super::squad::{Squad, micros};
use crate::bot_log::Farewell;
use botarmy_actions::{Answer, Bot, Connections, Outcome, Step};
use botarmy_report::{FailureClass, Observed, Outcome as Recorded};
use botarmy_spec::load::{Between, Model};
use botarmy_tree::{Effect, Input, LeafId, Verdict, Walk};
use futures::FutureExt;
use memory::Memory;
use serde_json::Value;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Ticks after which a bot lets others run, and the time after which it does so in any case.
const TICKS_PER_TURN: u32 = 64;
const TIME_PER_TURN: Duration = Duration::from_micros(100);

/// How far a bot has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It goes on.
    Live,
    /// It ends at its next tick; what it does to the target may end by itself.
    End,
    /// What it does now is given up.
    Cancel,
}

/// By which a bot is told to stop.
#[derive(Debug)]
pub(super) struct Stop {
    stage: Cell<Stage>,
    changed: Notify,
}

impl Stop {
    pub(super) fn new() -> Self {
        Self { stage: Cell::new(Stage::Live), changed: Notify::new() }
    }

    pub(super) fn tell(&self, stage: Stage) {
        if stage > self.stage.get() {
            self.stage.set(stage);
            self.changed.notify_one();
        }
    }

    pub(super) fn asked(&self) -> bool {
        self.stage.get() > Stage::Live
    }

    async fn reached(&self, stage: Stage) {
        while self.stage.get() < stage {
            self.changed.notified().await;
        }
    }
}

/// When a bot begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin {
    /// As soon as it can; it makes one pass after another.
    Now,
    /// At a moment that was set for it; it makes one pass.
    Scheduled(Instant),
}

/// How an iteration ended.
enum End {
    /// The root is over; another may follow.
    Root(Verdict),
    /// The bot is done or dead.
    Bot(Recorded),
    /// It was told to stop in the middle.
    Stopped,
}

impl End {
    fn recorded(&self) -> Recorded {
        match self {
            Self::Root(Verdict::Succeed) => Recorded::Succeed,
            Self::Root(Verdict::Fail) => Recorded::Fail,
            Self::Bot(recorded) => *recorded,
            Self::Stopped => Recorded::Cancelled,
        }
    }
}

/// How a leaf came out.
#[derive(Debug)]
enum Ran {
    Answered(Answer),
    Crashed,
    Cancelled,
}

/// Who a bot is.
pub(super) struct Born {
    pub(super) id: u64,
    /// Its row of the data.
    pub(super) row: Option<Value>,
}

struct Life {
    squad: Rc<Squad>,
    stop: Rc<Stop>,
    walk: Walk,
    memory: Memory,
    connections: Rc<Connections>,
    /// What went wrong last, where that is to be known.
    failure: Option<String>,
    /// When it began, if it did.
    born: Option<Instant>,
    /// How it will have gone if it goes now.
    farewell: Farewell,
    /// How late this pass began: it is added to the first measured leaf.
    late: Duration,
    ticks: u32,
    turn: Instant,
}

/// Runs a bot to its end.
pub(super) async fn run(squad: Rc<Squad>, born: Born, stop: Rc<Stop>, begin: Begin) {
    let plan = &squad.scenario().plan;
    let Born { id, row } = born;
    let local = &squad.local;
    let mut life = Life {
        walk: Walk::new(plan, id),
        memory: Memory::new(plan, &local.context, row, local.common.together.values()),
        failure: None,
        connections: Rc::default(),
        born: None,
        farewell: Farewell::Finished,
        late: Duration::ZERO,
        ticks: 0,
        turn: Instant::now(),
        stop,
        squad,
    };
    match begin {
        Begin::Scheduled(moment) => {
            life.begin();
            life.late = moment.elapsed();
            life.pass(moment).await;
        }
        Begin::Now => life.pass_after_pass().await,
    }
    if let Some(born) = life.born {
        life.squad.journal.gone(id, born.elapsed(), &life.farewell);
    }
}

impl Life {
    fn begin(&mut self) {
        self.born = Some(Instant::now());
        self.squad.local.recorder.borrow_mut().bot_started();
        self.squad.journal.born(self.walk.bot());
    }

    /// Makes passes until the bot is done, dead, told to stop, or nothing is left to do.
    async fn pass_after_pass(&mut self) {
        let begun = Instant::now();
        let mut passes = 0;
        let Model::Closed(closed) = self.squad.scenario().load.model.clone() else { return };
        while !self.stop.asked() && self.squad.shared().take_iteration() {
            // One that finds nothing left to do was never started.
            if passes == 0 {
                self.begin();
            }
            if !self.pass(Instant::now()).await {
                return;
            }
            passes += 1;
            if closed.iterations_per_bot.is_some_and(|most| passes >= most) {
                return self.squad.retire();
            }
            self.pause(closed.between, begun, passes).await;
        }
        if self.stop.asked() {
            self.farewell = Farewell::Stopped;
        }
    }

    /// Makes one pass, which begins or should have begun at a moment; false if it was the bot's last.
    async fn pass(&mut self, moment: Instant) -> bool {
        let end = if self.squad.scenario().plan.is_concurrent() {
            concurrent::iteration(self).await
        } else {
            self.iteration().await
        };
        self.squad.record_iteration(end.recorded(), moment.elapsed());
        self.keep_ending(end.recorded());
        if matches!(end, End::Stopped) {
            self.farewell = Farewell::Stopped;
            self.squad.shared().give_iteration_back();
        }
        matches!(end, End::Root(_))
    }

    fn keep_ending(&mut self, outcome: Recorded) {
        if let Some(ending) = &self.squad.local.common.ending {
            let context = (*self.memory.context).clone();
            let ended = Ending { outcome, failure: self.failure.take(), context };
            *ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        }
    }

    /// What lies between two passes.
    async fn pause(&self, between: Between, begun: Instant, passes: u64) {
        if let Some(until) = pause::until(between, begun, passes, || {
            let visit = u32::try_from(passes).unwrap_or(u32::MAX);
            self.squad.scenario().plan.draw_apart(self.walk.bot(), visit)
        }) {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = self.stop.reached(Stage::End) => {}
            }
        }
    }

    /// One pass of a tree in which one leaf runs at a time.
    async fn iteration(&mut self) -> End {
        let mut input = Input::Start;
        loop {
            let (mut entered, mut ended) = (None, Verdict::Fail);
            let mut bound = Ok(());
            let Self { squad, walk, memory, .. } = self;
            let (bot, scenario) = (walk.bot(), squad.scenario());
            let moved = scenario.plan.step(walk, input, &mut |effect| match effect {
                Effect::Enter(leaf) => entered = Some(leaf),
                Effect::Ended(verdict) => ended = verdict,
                Effect::Bind(frame) if bound.is_ok() => bound = memory.bind(scenario, frame, bot),
                _ => {}
            });
            if let Err(stale) = moved {
                tracing::error!(bot_id = bot, "{stale}");
                self.farewell = Farewell::Died(stale.to_string());
                return End::Bot(Recorded::Error);
            }
            let Some(leaf) = entered else { return End::Root(ended) };
            self.take_turns().await;
            self.wait_for_turn(leaf).await;
            if self.stop.asked() {
                return End::Stopped;
            }
            let started = Instant::now();
            let ran = match bound {
                Ok(()) => self.attempt(leaf).await,
                Err(error) => Ran::Answered(Outcome::Error(error).into()),
            };
            match self.finish(leaf, started, ran) {
                Ok(verdict) => input = Input::Leaf(leaf, verdict),
                Err(end) => return end,
            }
        }
    }

    /// Waits until a measured leaf may begin, where their rate is capped.
    async fn wait_for_turn(&self, leaf: LeafId) {
        let Some(pacer) = self.squad.local.pacer.as_ref() else { return };
        if self.squad.scenario().plan.leaf(leaf).measured {
            tokio::select! {
                () = tokio::time::sleep_until(pacer.turn(Instant::now()).into()) => {}
                () = self.stop.reached(Stage::End) => {}
            }
        }
    }

    /// Lets the other bots of the worker run once this one has had its turn.
    async fn take_turns(&mut self) {
        if self.ticks >= TICKS_PER_TURN || self.turn.elapsed() >= TIME_PER_TURN {
            tokio::task::yield_now().await;
            (self.ticks, self.turn) = (0, Instant::now());
        }
    }

    /// Records how a leaf came out and applies what it changes.
    fn finish(&mut self, leaf: LeafId, started: Instant, ran: Ran) -> Result<Verdict, End> {
        self.ticks += 1;
        let plan = &self.squad.scenario().plan;
        let late = if plan.leaf(leaf).measured { std::mem::take(&mut self.late) } else { Duration::ZERO };
        let micros = micros(late + started.elapsed());
        let mut observed = Observed::default();
        let (recorded, result) = match ran {
            Ran::Crashed => {
                tracing::error!(bot_id = self.walk.bot(), action = %plan.leaf(leaf).name, "the action crashed, the bot died");
                observed = Observed::failed(FailureClass::Action, "the action panicked; see the log");
                (Recorded::Crash, Err(End::Bot(Recorded::Crash)))
            }
            Ran::Cancelled => (Recorded::Cancelled, Err(End::Stopped)),
            Ran::Answered(answer) => {
                observed = answer.observed;
                let outcome = match self.memory.update(answer.updates) {
                    Ok(()) => answer.outcome,
                    Err(error) => Outcome::Error(error.to_string()),
                };
                match outcome {
                    Outcome::Succeed => (Recorded::Succeed, Ok(Verdict::Succeed)),
                    Outcome::Fail => (Recorded::Fail, Ok(Verdict::Fail)),
                    Outcome::Unmet => (Recorded::Fail, Ok(Verdict::Succeed)),
                    Outcome::Done => (Recorded::Succeed, Err(End::Bot(Recorded::Succeed))),
                    Outcome::Error(reason) => {
                        tracing::warn!(bot_id = self.walk.bot(), "the bot died: {reason}");
                        observed = Observed::failed(FailureClass::Error, reason);
                        (Recorded::Error, Err(End::Bot(Recorded::Error)))
                    }
                }
            }
        };
        // An action of the user's own need not say why it failed; it is counted all the same.
        if recorded == Recorded::Fail && observed.failure.is_none() && plan.leaf(leaf).measured {
            observed = Observed::failed(FailureClass::Action, "the action failed");
        }
        if let (Some(failure), true) = (&observed.failure, self.squad.local.common.ending.is_some()) {
            self.failure = Some(format!("{}: {}", plan.leaf(leaf).name, failure.message));
        }
        if self.squad.journal.is_kept() {
            self.tell(leaf, recorded, &result, micros, &observed);
        }
        self.squad.record(leaf.index(), recorded, micros, &observed);
        result
    }

    /// Tells the bot log how a leaf came out.
    fn tell(
        &mut self,
        leaf: LeafId,
        recorded: Recorded,
        result: &Result<Verdict, End>,
        micros: u64,
        observed: &Observed,
    ) {
        if let (Err(End::Bot(Recorded::Error | Recorded::Crash)), Some(failure)) = (result, &observed.failure)
        {
            self.farewell = Farewell::Died(failure.message.clone());
        }
        let leaf = self.squad.scenario().plan.leaf(leaf);
        let done = matches!(result, Err(End::Bot(Recorded::Succeed)));
        self.squad.journal.ran(self.walk.bot(), leaf, recorded, done, micros);
    }

    async fn attempt(&mut self, leaf: LeafId) -> Ran {
        let Self { squad, stop, walk, memory, connections, .. } = self;
        let scenario = squad.scenario();
        let plan = &scenario.plan;
        let scope = memory.scope(scenario, leaf, walk.bot());
        let action = &squad.actions[leaf.index()];
        // The context is left as it was by an action that panics, so that nothing is half done.
        let step = catch_unwind(AssertUnwindSafe(|| {
            action.run(Bot { scope, connections }, &mut || plan.draw(walk, leaf))
        }));
        let later = match step {
            Err(_) => return Ran::Crashed,
            Ok(Step::Ready(answer)) => return Ran::Answered(answer),
            Ok(Step::Pending(later)) => later,
        };
        // What steers only the bot, such as a wait, need not come to its end.
        let given_up = if plan.leaf(leaf).measured { Stage::Cancel } else { Stage::End };
        tokio::select! {
            biased;
            answer = AssertUnwindSafe(later).catch_unwind() => answer.map_or(Ran::Crashed, Ran::Answered),
            () = stop.reached(given_up) => Ran::Cancelled,
        }
    }
}
