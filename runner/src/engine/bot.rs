//! One bot: walks its tree until it is done, dead, or told to stop.

mod concurrent;
mod memory;

use super::worker::Local;
use botarmy_actions::{Answer, Bot, Connections, Outcome, Step};
use botarmy_report::Outcome as Recorded;
use botarmy_tree::{Effect, Input, LeafId, Verdict, Walk};
use futures::FutureExt;
use memory::Memory;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
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

/// How an iteration ended.
enum End {
    /// The root is over; another may follow.
    Root,
    /// The bot is done or dead.
    Bot,
    /// It was told to stop in the middle.
    Stopped,
}

/// How a leaf came out.
#[derive(Debug)]
enum Ran {
    Answered(Answer),
    Crashed,
    Cancelled,
}

struct Life {
    local: Rc<Local>,
    stop: Rc<Stop>,
    walk: Walk,
    memory: Memory,
    connections: Rc<Connections>,
    ticks: u32,
    turn: Instant,
}

/// Runs a bot to its end.
pub(super) async fn run(local: Rc<Local>, id: u64, stop: Rc<Stop>) {
    let mut life = Life {
        walk: Walk::new(&local.run.plan, id),
        memory: Memory::new(&local.run.plan),
        connections: Rc::default(),
        ticks: 0,
        turn: Instant::now(),
        stop,
        local,
    };
    let mut begun = false;
    while !life.stop.asked() && life.local.take_iteration() {
        // One that finds nothing left to do was never started.
        if !std::mem::replace(&mut begun, true) {
            life.local.recorder.borrow_mut().bot_started();
        }
        let end = if life.local.run.plan.is_concurrent() {
            concurrent::iteration(&mut life).await
        } else {
            life.iteration().await
        };
        match end {
            End::Root => life.local.recorder.borrow_mut().iteration(),
            End::Bot => {
                life.local.recorder.borrow_mut().iteration();
                return;
            }
            End::Stopped => life.local.give_iteration_back(),
        }
    }
}

impl Life {
    /// One pass of a tree in which one leaf runs at a time.
    async fn iteration(&mut self) -> End {
        let mut input = Input::Start;
        loop {
            let mut entered = None;
            let mut bound = Ok(());
            let Self { local, walk, memory, .. } = self;
            let bot = walk.bot();
            let moved = local.run.plan.step(walk, input, &mut |effect| match effect {
                Effect::Enter(leaf) => entered = Some(leaf),
                Effect::Bind(frame) if bound.is_ok() => bound = memory.bind(&local.run, frame, bot),
                _ => {}
            });
            if let Err(stale) = moved {
                tracing::error!(bot_id = bot, "{stale}");
                return End::Bot;
            }
            let Some(leaf) = entered else { return End::Root };
            self.take_turns().await;
            if self.stop.asked() {
                return End::Stopped;
            }
            let started = Instant::now();
            let ran = match bound {
                Ok(()) => self.attempt(leaf).await,
                Err(error) => Ran::Answered(error.into()),
            };
            match self.finish(leaf, started, ran) {
                Ok(verdict) => input = Input::Leaf(leaf, verdict),
                Err(end) => return end,
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
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (recorded, result) = match ran {
            Ran::Crashed => {
                tracing::error!(bot_id = self.walk.bot(), action = %self.local.run.plan.leaf(leaf).name, "the action crashed, the bot died");
                (Recorded::Crash, Err(End::Bot))
            }
            Ran::Cancelled => (Recorded::Cancelled, Err(End::Stopped)),
            Ran::Answered(answer) => {
                self.memory.update(answer.updates);
                match answer.outcome {
                    Outcome::Succeed => (Recorded::Succeed, Ok(Verdict::Succeed)),
                    Outcome::Fail => (Recorded::Fail, Ok(Verdict::Fail)),
                    Outcome::Done => (Recorded::Succeed, Err(End::Bot)),
                    Outcome::Error(reason) => {
                        tracing::warn!(bot_id = self.walk.bot(), "the bot died: {reason}");
                        (Recorded::Error, Err(End::Bot))
                    }
                }
            }
        };
        self.local.recorder.borrow_mut().record(leaf.index(), recorded, micros);
        result
    }

    async fn attempt(&mut self, leaf: LeafId) -> Ran {
        let Self { local, stop, walk, memory, connections, .. } = self;
        let plan = &local.run.plan;
        let scope = memory.scope(&local.run, leaf, walk.bot());
        let action = &local.actions[leaf.index()];
        // The context is left as it was by an action that panics, so that nothing is half done.
        let step = catch_unwind(AssertUnwindSafe(|| {
            action.run(Bot { scope, connections }, &mut || plan.draw(walk, leaf))
        }));
        let later = match step {
            Err(_) => return Ran::Crashed,
            Ok(Step::Ready(answer)) => return Ran::Answered(answer),
            Ok(Step::Pending(later)) => later,
        };
        tokio::select! {
            biased;
            answer = AssertUnwindSafe(later).catch_unwind() => answer.map_or(Ran::Crashed, Ran::Answered),
            () = stop.reached(local.given_up(leaf)) => Ran::Cancelled,
        }
    }
}
