//! One pass of a tree in which several things can go on at once: leaves below a `parallel`, the delays
//! of a `retry`, the time of a `timeout`.

use super::leaf::{BEFORE_AGAIN, Ran};
use super::{End, Farewell, Life, Outcome, Recorded, Stage};
use crate::engine::clock::Tick;
use botarmy_actions::{Bot, Step};
use botarmy_tree::{Effect, Input, LeafId, Scope, TimerId};
use futures::FutureExt;
use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    Leaf(LeafId),
    Timer(TimerId),
}

/// Something that goes on, to be known again when it comes to its end.
struct Begun {
    going: Going,
    started: Tick,
    abort: AbortHandle,
}

enum Event {
    /// A leaf, when it began and how it came out.
    Leaf(LeafId, Tick, Ran),
    Timer(TimerId),
}

type Pending = Abortable<LocalBoxFuture<'static, Event>>;

#[derive(Default)]
struct Pass {
    begun: Vec<Begun>,
    pending: FuturesUnordered<Pending>,
    effects: VecDeque<Effect>,
}

/// Runs the pass to its end. However it ends, nothing of it goes on afterwards.
pub(super) async fn iteration(life: &mut Life) -> End {
    let mut pass = Pass::default();
    let mut input = Input::Start;
    loop {
        let effects = &mut pass.effects;
        let moved =
            life.squad.clone().scenario().plan.step(&mut life.walk, input, &mut |e| effects.push_back(e));
        let end = match moved {
            Ok(()) => pass.carry_out(life),
            Err(stale) => {
                tracing::error!(bot_id = life.walk.bot(), "{stale}");
                life.will_have_gone(Farewell::Died(stale.to_string()));
                Some(End::Bot(Recorded::Error))
            }
        };
        life.take_turns().await;
        let next = match end {
            Some(end) => Err(end),
            None => pass.next(life).await,
        };
        match next {
            Ok(next) => input = next,
            Err(end) => {
                pass.give_up(life, |_| true);
                return end;
            }
        }
    }
}

impl Pass {
    /// Does what the walk asks for, in order; tells when the pass is over.
    fn carry_out(&mut self, life: &mut Life) -> Option<End> {
        let mut bound = Ok(());
        let stopping = life.stop.asked();
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                // Nothing new begins in a bot that is told to end.
                Effect::Enter(_) | Effect::Arm(_) if stopping => {}
                Effect::Bind(frame) => {
                    let bot = life.walk.bot();
                    bound = bound.and_then(|()| life.memory.bind(&life.squad, frame, bot));
                }
                Effect::Enter(leaf) => self.enter(life, leaf, std::mem::replace(&mut bound, Ok(()))),
                Effect::Cancel(leaf) => self.give_up(life, |going| going == Going::Leaf(leaf)),
                Effect::Disarm(timer) => self.give_up(life, |going| going == Going::Timer(timer)),
                Effect::Arm(timer) => {
                    let time = life.squad.scenario().plan.timers()[timer.index()].duration;
                    let fire = async move {
                        tokio::time::sleep(time).await;
                        Event::Timer(timer)
                    };
                    self.begin(Going::Timer(timer), fire.boxed_local());
                }
                Effect::Ended(verdict) => return Some(End::Root(verdict)),
            }
        }
        None
    }

    fn begin(&mut self, going: Going, what: LocalBoxFuture<'static, Event>) {
        let (abort, registration) = AbortHandle::new_pair();
        self.begun.push(Begun { going, started: Tick::now(), abort });
        self.pending.push(Abortable::new(what, registration));
    }

    fn enter(&mut self, life: &mut Life, leaf: LeafId, bound: Result<(), String>) {
        let ran = match bound {
            Ok(()) => attempt(life, leaf, None),
            Err(error) => std::future::ready((Tick::now(), Ran::Plain(Outcome::Error(error)))).boxed_local(),
        };
        let ended = ran.map(move |(started, ran)| Event::Leaf(leaf, started, ran));
        self.begin(Going::Leaf(leaf), ended.boxed_local());
    }

    /// A leaf that is not through yet is asked again; its time goes on.
    fn enter_again(&mut self, life: &mut Life, leaf: LeafId, started: Tick) {
        let ended =
            attempt(life, leaf, Some(started)).map(move |(started, ran)| Event::Leaf(leaf, started, ran));
        self.begin(Going::Leaf(leaf), ended.boxed_local());
        if let Some(begun) = self.begun.last_mut() {
            begun.started = started;
        }
    }

    /// Waits for something to come to its end.
    async fn next(&mut self, life: &mut Life) -> Result<Input, End> {
        loop {
            if life.stop.asked() {
                // Only what is done to the target may come to its end, as long as it is let, and within the
                // time that the tree gives it.
                let (squad, cancel) = (life.squad.clone(), life.stop.stage() == Stage::Cancel);
                let is_measured = |leaf| squad.scenario().plan.leaf(leaf).measured;
                self.give_up(life, |going| {
                    cancel || matches!(going, Going::Leaf(leaf) if !is_measured(leaf))
                });
                if !self.begun.iter().any(|b| matches!(b.going, Going::Leaf(_))) {
                    return Err(End::Stopped);
                }
            }
            let stage = if life.stop.asked() { Stage::Cancel } else { Stage::End };
            let event = tokio::select! {
                biased;
                event = self.pending.next() => event,
                () = life.stop.reached(stage) => continue,
            };
            life.now = Tick::now();
            match event {
                // One that was given up.
                Some(Err(_)) => {}
                Some(Ok(Event::Timer(timer))) => {
                    self.begun.retain(|b| b.going != Going::Timer(timer));
                    return Ok(Input::Timer(timer));
                }
                Some(Ok(Event::Leaf(leaf, started, Ran::Again(updates)))) => {
                    self.begun.retain(|b| b.going != Going::Leaf(leaf));
                    if let Err(error) = life.memory.update(updates) {
                        life.finish(leaf, started, Ran::Plain(Outcome::Error(error.to_string())))?;
                    }
                    self.enter_again(life, leaf, started);
                }
                Some(Ok(Event::Leaf(leaf, started, ran))) => {
                    self.begun.retain(|b| b.going != Going::Leaf(leaf));
                    let verdict = life.finish(leaf, started, ran)?;
                    return Ok(Input::Leaf(leaf, verdict));
                }
                None => return Err(End::Stopped),
            }
        }
    }

    /// Ends what goes on and is meant; leaves are recorded as cancelled.
    fn give_up(&mut self, life: &mut Life, is_meant: impl Fn(Going) -> bool) {
        life.now = Tick::now();
        for begun in self.begun.extract_if(.., |b| is_meant(b.going)) {
            begun.abort.abort();
            if let Going::Leaf(leaf) = begun.going {
                // Its end is the tree's will, not the bot's.
                let _ = life.finish(leaf, begun.started, Ran::Cancelled);
            }
        }
    }
}

/// Runs a leaf apart from the bot: it sees the bot's values as they are now. One that is asked again was
/// first asked at this moment.
fn attempt(life: &mut Life, leaf: LeafId, before: Option<Tick>) -> LocalBoxFuture<'static, (Tick, Ran)> {
    let (squad, connections) = (life.squad.clone(), life.connections.clone());
    let scenario = squad.scenario();
    let (context, row) = (life.memory.context.clone(), life.memory.row.clone());
    let arguments = life.memory.arguments(&scenario.plan, leaf).cloned();
    let bot = life.walk.bot();
    let draw = scenario.plan.draw(&mut life.walk, leaf);
    let turn = squad.local.common.pacer.as_ref().filter(|_| scenario.plan.leaf(leaf).measured);
    let turn = turn.map(|pacer| pacer.turn(Instant::now()));
    async move {
        if let Some(turn) = turn {
            tokio::time::sleep_until(turn.into()).await;
        }
        if before.is_some() {
            tokio::time::sleep(BEFORE_AGAIN).await;
        }
        squad.local.clock.goes_on().await;
        let started = before.unwrap_or_else(Tick::now);
        let run = async {
            let scope = Scope {
                run: &squad.scenario().scope,
                bot,
                context: &context,
                arguments: arguments.as_deref(),
                data: row.as_deref(),
                shared: Some(squad.shared_values()),
            };
            let bot = Bot { scope, connections: &connections };
            match squad.actions[leaf.index()].run(bot, &mut || draw.clone()) {
                Step::Plain(outcome) => outcome.into(),
                Step::Ready(answer) => (*answer).into(),
                Step::Pending(later) => later.await.into(),
            }
        };
        let ran = AssertUnwindSafe(run).catch_unwind().await;
        (started, ran.unwrap_or(Ran::Crashed))
    }
    .boxed_local()
}
