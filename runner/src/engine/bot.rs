//! One bot: walks its tree until it is done, dead, or told to stop.

mod concurrent;
mod leaf;
mod memory;
mod ongoing;
mod pause;
mod stop;

pub(super) use stop::{Stage, Stop};

use super::army::Ending;
use super::clock::Tick;
use super::rows::Row;
use super::squad::{Squad, micros};
use crate::bot_log::Farewell;
use botarmy_actions::{Connections, Outcome};
use botarmy_report::Outcome as Recorded;
use botarmy_spec::load::{Between, Model};
use botarmy_tree::{Effect, Input, LeafId, Verdict, Walk};
use leaf::Ran;
use memory::Memory;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::PoisonError;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Ticks after which a bot lets others run, and the time after which it does so in any case.
const TICKS_PER_TURN: u32 = 64;
const TIME_PER_TURN: Duration = Duration::from_micros(100);

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

/// Who a bot is.
pub(super) struct Born {
    pub(super) id: u64,
    /// Its row of the data, with its number.
    pub(super) row: Option<Row>,
}

/// What is told of a bot beside its counts, where anybody wants to know.
struct Told {
    /// When it began, if it did.
    born: Option<Tick>,
    /// How it will have gone if it goes now.
    farewell: Farewell,
    /// What went wrong last.
    failure: Option<String>,
}

/// A bot that is alive. Armies are large: what only some bots need is kept apart.
pub(super) struct Life {
    squad: Rc<Squad>,
    stop: Rc<Stop>,
    walk: Walk,
    memory: Memory,
    connections: Rc<Connections>,
    told: Option<Box<Told>>,
    /// How late this pass began, in microseconds: it is added to the first measured leaf.
    late_us: u64,
    /// The number of its row.
    row: Option<u32>,
    /// When this pass began, or should have begun.
    pass_begun: Tick,
    /// How many leaves it has run since others had their turn, and since when that was.
    ticks: u32,
    turn: Tick,
    /// When the clock was read last; nothing was waited for since.
    now: Tick,
}

impl Drop for Life {
    /// However it ends: a bot that nobody takes out would keep the run from ending.
    fn drop(&mut self) {
        self.squad.gone(self.walk.bot(), self.row);
    }
}

impl Life {
    pub(super) fn new(squad: Rc<Squad>, born: Born, stop: Rc<Stop>) -> Self {
        let now = Tick::now();
        let Born { id, row } = born;
        let (row, value) = row.map(|row| (row.number, row.value)).unzip();
        let plan = &squad.scenario().plan;
        let is_told = squad.journal.is_kept() || squad.local.common.ending.is_some();
        let told = || Told { born: None, farewell: Farewell::Finished, failure: None };
        Self {
            walk: Walk::new(plan, id),
            memory: Memory::new(plan, &squad.local.context, value),
            connections: Rc::default(),
            told: is_told.then(|| Box::new(told())),
            late_us: 0,
            row,
            pass_begun: now,
            ticks: 0,
            turn: now,
            now,
            stop,
            squad,
        }
    }

    /// Lives to the end.
    pub(super) async fn run(&mut self, begin: Begin) {
        self.resume();
        match begin {
            Begin::Scheduled(moment) => {
                self.begin();
                self.late_us = micros(moment.elapsed());
                self.pass().await;
            }
            Begin::Now => self.pass_after_pass().await,
        }
        if let Some(Told { born: Some(born), farewell, .. }) = self.told.as_deref() {
            self.squad.journal.gone(self.walk.bot(), born.elapsed(), farewell);
        }
    }

    fn begin(&mut self) {
        self.squad.local.recorder.borrow_mut().bot_started();
        if let Some(told) = &mut self.told {
            told.born = Some(self.now);
            self.squad.journal.born(self.walk.bot());
        }
    }

    fn will_have_gone(&mut self, how: Farewell) {
        if let Some(told) = &mut self.told {
            told.farewell = how;
        }
    }

    /// Makes passes until the bot is done, dead, told to stop, or nothing is left to do.
    async fn pass_after_pass(&mut self) {
        let begun = self.squad.local.clock.time();
        let mut passes = 0;
        while !self.stop.asked() && self.squad.shared().take_iteration() {
            // One that finds nothing left to do was never started.
            if passes == 0 {
                self.begin();
            }
            if !self.pass().await {
                if self.stop.asked() {
                    self.squad.keep_what_is_owed(self.stop.owes());
                }
                return;
            }
            passes += 1;
            self.stop.has_made_a_pass();
            let Model::Closed(closed) = &self.squad.scenario().load.model else { return };
            if closed.iterations_per_bot.is_some() && self.stop.owes() == 0 {
                return self.squad.retire();
            }
            // After the last pass there is nothing to pause for.
            if self.squad.shared().no_iterations_left() {
                break;
            }
            if let Some(time) = self.pause_before_next(closed.between, begun, passes) {
                self.stop.set_pauses(true);
                self.pause(time).await;
                self.stop.set_pauses(false);
            }
        }
        self.squad.keep_what_is_owed(self.stop.owes());
        // One that pauses when nothing is left to do has done all it had to.
        if self.stop.asked() && !self.squad.shared().no_iterations_left() {
            self.will_have_gone(Farewell::Stopped);
        }
    }

    /// Makes one pass, which counts from when it should have begun; false if it was the bot's last.
    async fn pass(&mut self) -> bool {
        self.pass_begun = self.now - Duration::from_micros(self.late_us);
        let end = if self.squad.scenario().plan.is_concurrent() {
            Box::pin(concurrent::iteration(self)).await
        } else {
            self.iteration().await
        };
        self.squad.record_iteration(self.now, end.recorded(), self.now.duration_since(self.pass_begun));
        self.keep_ending(end.recorded());
        if matches!(end, End::Stopped) {
            self.will_have_gone(Farewell::Stopped);
            self.squad.shared().give_iteration_back();
        }
        matches!(end, End::Root(_))
    }

    fn keep_ending(&mut self, outcome: Recorded) {
        if let Some(ending) = &self.squad.local.common.ending {
            let context = (*self.memory.context).clone();
            let failure = self.told.as_mut().and_then(|told| told.failure.take());
            let ended = Ending { outcome, failure, context };
            *ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        }
    }

    /// How long it pauses until its next pass, if at all, when it began at this time of the load.
    fn pause_before_next(&self, between: Between, begun: Duration, passes: u64) -> Option<Duration> {
        if between == Between::Nothing {
            return None;
        }
        let since_begin = self.squad.local.clock.time().saturating_sub(begun);
        pause::time(between, since_begin, passes, || {
            let visit = u32::try_from(passes).unwrap_or(u32::MAX);
            self.squad.scenario().plan.draw_apart(self.walk.bot(), visit)
        })
    }

    /// Waits until the load has gone on for so long, or until it is told to stop. While the load stands still, so
    /// does a pause: else all bots would be through with theirs at the moment at which it goes on.
    async fn pause(&mut self, time: Duration) {
        let until = self.squad.local.clock.time().saturating_add(time);
        while !self.stop.asked() {
            let left = until.saturating_sub(self.squad.local.clock.time());
            if left.is_zero() {
                return;
            }
            if self.squad.local.clock.stands_still() {
                Box::pin(self.stand_still()).await;
            } else {
                self.rest(Instant::now() + left).await;
            }
        }
    }

    /// Waits until then, or until it is told to stop. Kept small, since each bot has room for it.
    async fn rest(&mut self, until: Instant) {
        let mut sleep = pin!(tokio::time::sleep_until(until.into()));
        let mut suspended = false;
        poll_fn(|context| {
            let over = match sleep.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => self.stop.poll_reached(Stage::End, context),
            };
            suspended |= over.is_pending();
            over
        })
        .await;
        self.now = Tick::now();
        if suspended {
            self.had_turn();
        }
    }

    /// One pass of a tree in which one leaf runs at a time.
    async fn iteration(&mut self) -> End {
        let mut input = Input::Start;
        loop {
            let (mut entered, mut ended) = (None, Verdict::Fail);
            let mut bound = Ok(());
            let Self { squad, walk, memory, .. } = self;
            let bot = walk.bot();
            let moved = squad.scenario().plan.step(walk, input, &mut |effect| match effect {
                Effect::Enter(leaf) => entered = Some(leaf),
                Effect::Ended(verdict) => ended = verdict,
                Effect::Bind(frame) if bound.is_ok() => bound = memory.bind(squad, frame, bot),
                _ => {}
            });
            if let Err(stale) = moved {
                tracing::error!(bot_id = bot, "{stale}");
                self.will_have_gone(Farewell::Died(stale.to_string()));
                return End::Bot(Recorded::Error);
            }
            let Some(leaf) = entered else { return End::Root(ended) };
            if let Err(error) = bound {
                match self.finish(leaf, self.now, Ran::Plain(Outcome::Error(error))) {
                    Ok(verdict) => input = Input::Leaf(leaf, verdict),
                    Err(end) => return end,
                }
                continue;
            }
            self.take_turns().await;
            if self.squad.local.common.pacer.is_some() || self.squad.local.clock.stands_still() {
                Box::pin(self.wait_to_begin(leaf)).await;
            }
            if self.stop.asked() {
                return End::Stopped;
            }
            match self.attempt(leaf).await {
                Ok(verdict) => input = Input::Leaf(leaf, verdict),
                Err(end) => return end,
            }
        }
    }

    /// Waits until a leaf may begin, or until it is told to stop. A turn that comes while the load stands still is
    /// nobody's: else all who have waited would begin in the moment in which it goes on.
    async fn wait_to_begin(&mut self, leaf: LeafId) {
        loop {
            if self.squad.local.clock.stands_still() {
                self.stand_still().await;
            }
            self.wait_for_turn(leaf).await;
            if self.stop.asked() || !self.squad.local.clock.stands_still() {
                return;
            }
        }
    }

    /// Waits until the load goes on, or until it is told to stop.
    pub(super) async fn stand_still(&mut self) {
        tokio::select! {
            biased;
            () = self.stop.reached(Stage::End) => {}
            () = self.squad.local.clock.goes_on() => {}
        }
        self.resume();
    }

    /// Waits until a measured leaf may begin, where their rate is capped.
    async fn wait_for_turn(&mut self, leaf: LeafId) {
        let Some(turn) = self.take_turn(leaf) else { return };
        self.rest(turn).await;
        if self.stop.asked() {
            self.give_turn_back(turn);
        }
    }

    /// When a leaf may begin, if it has to wait for its turn.
    fn take_turn(&self, leaf: LeafId) -> Option<Instant> {
        let pacer = self.squad.local.common.pacer.as_ref()?;
        self.squad.scenario().plan.leaf(leaf).measured.then(|| pacer.turn(Instant::now()))
    }

    fn give_turn_back(&self, turn: Instant) {
        if let Some(pacer) = &self.squad.local.common.pacer {
            pacer.give_back(turn, Instant::now());
        }
    }

    /// Lets the other bots of the worker run once this one has had its turn.
    async fn take_turns(&mut self) {
        if self.ticks >= TICKS_PER_TURN || self.now.duration_since(self.turn) >= TIME_PER_TURN {
            tokio::task::yield_now().await;
            self.resume();
        }
    }
}
