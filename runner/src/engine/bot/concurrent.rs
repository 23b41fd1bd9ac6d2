//! One pass of a tree in which several things can go on at once: leaves below a `parallel`, the delays
//! of a `retry`, the time of a `timeout`.

use super::leaf::{BEFORE_AGAIN, Ran};
use super::ongoing::Ongoing;
use super::{End, Farewell, Life, Outcome, Recorded, Stage};
use crate::engine::clock::Tick;
use crate::engine::squad::Squad;
use crate::engine::worker::Local;
use botarmy_actions::{Bot, Step};
use botarmy_tree::{Effect, Input, LeafId, Scope, TimerId};
use futures::FutureExt;
use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Instant;

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Going {
    Leaf(LeafId),
    Timer(TimerId),
}

/// How far a leaf is that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    /// It was not asked yet: it waits for its turn, if it needs one, or until the load goes on.
    Entered(Option<Instant>),
    /// It is at work, since it was first asked.
    Works(Tick),
    /// It is not through yet, and waits until it is asked again.
    Rests(Tick),
}

/// Something that goes on, to be known again when it comes to its end.
struct Begun {
    /// How far a leaf is; it tells so itself.
    far: Option<Rc<Cell<Far>>>,
    abort: AbortHandle,
}

/// Why something is given up.
#[derive(Clone, Copy)]
enum GivenUp {
    /// The tree does not need its end any more.
    Needless,
    /// There is no more time for it.
    CutOff,
}

impl GivenUp {
    const fn ran(self) -> Ran {
        match self {
            Self::Needless => Ran::Cancelled,
            Self::CutOff => Ran::CutOff,
        }
    }
}

enum Event {
    /// A leaf, when it began and how it came out.
    Leaf(LeafId, Tick, Ran),
    Timer(TimerId),
}

type Pending = Abortable<LocalBoxFuture<'static, Event>>;

#[derive(Default)]
struct Pass {
    begun: Ongoing<Going, Begun>,
    /// How many leaves are among them.
    leaves: u32,
    pending: FuturesUnordered<Pending>,
    effects: VecDeque<Effect>,
    /// The bot is told to end, and what may not come to its end was given up.
    ends: bool,
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
                // Whoever is done or dead does not need what else it had begun; one that is stopped had no time for it.
                let ran = if matches!(end, End::Stopped) { GivenUp::CutOff } else { GivenUp::Needless };
                pass.give_all_up(life, ran, |_, _| true);
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
                Effect::Cancel(leaf) => self.give_up(life, GivenUp::Needless, Going::Leaf(leaf)),
                Effect::CutOff(leaf) => self.give_up(life, GivenUp::CutOff, Going::Leaf(leaf)),
                Effect::Disarm(timer) => self.give_up(life, GivenUp::Needless, Going::Timer(timer)),
                Effect::Arm(timer) => {
                    let time = life.squad.scenario().plan.timers()[timer.index()].duration;
                    let squad = life.squad.clone();
                    let fire = async move {
                        squad.local.clock.sleep(time).await;
                        Event::Timer(timer)
                    };
                    self.begin(Going::Timer(timer), None, fire.boxed_local());
                }
                Effect::Ended(verdict) => return Some(End::Root(verdict)),
            }
        }
        None
    }

    fn begin(&mut self, going: Going, far: Option<Rc<Cell<Far>>>, what: LocalBoxFuture<'static, Event>) {
        let (abort, registration) = AbortHandle::new_pair();
        self.leaves += u32::from(going.is_leaf());
        self.begun.push(going, Begun { far, abort });
        self.pending.push(Abortable::new(what, registration));
    }

    /// Something has come to its end, or is not wanted any more.
    fn remove(&mut self, going: Going) -> Option<Begun> {
        let begun = self.begun.remove(going)?;
        self.leaves -= u32::from(going.is_leaf());
        Some(begun)
    }

    fn enter(&mut self, life: &mut Life, leaf: LeafId, bound: Result<(), String>) {
        match bound {
            Ok(()) => {
                let turn = life.take_turn(leaf);
                self.ask(life, leaf, Far::Entered(turn));
            }
            Err(error) => {
                let now = Tick::now();
                let ended = Event::Leaf(leaf, now, Ran::Plain(Outcome::Error(error)));
                let far = Rc::new(Cell::new(Far::Works(now)));
                self.begin(Going::Leaf(leaf), Some(far), std::future::ready(ended).boxed_local());
            }
        }
    }

    /// Asks a leaf, or asks one again that is not through yet; its time goes on.
    fn ask(&mut self, life: &mut Life, leaf: LeafId, far: Far) {
        let far = Rc::new(Cell::new(far));
        let ran = attempt(life, leaf, far.clone());
        let ended = ran.map(move |(started, ran)| Event::Leaf(leaf, started, ran));
        self.begin(Going::Leaf(leaf), Some(far), ended.boxed_local());
    }

    /// Waits for something to come to its end.
    async fn next(&mut self, life: &mut Life) -> Result<Input, End> {
        loop {
            let event = if life.stop.asked() {
                if !std::mem::replace(&mut self.ends, true) {
                    self.give_up_what_may_not_end(life);
                }
                if self.leaves == 0 {
                    return Err(End::Stopped);
                }
                tokio::select! {
                    biased;
                    event = self.pending.next() => event,
                    () = life.stop.reached(Stage::Cancel) => return Err(End::Stopped),
                }
            } else {
                // The end comes first: what is held back until now would begin as soon as it is looked at.
                tokio::select! {
                    biased;
                    () = life.stop.reached(Stage::End) => continue,
                    event = self.pending.next() => event,
                }
            };
            life.now = Tick::now();
            match event {
                // One that was given up.
                Some(Err(_)) => {}
                Some(Ok(Event::Timer(timer))) => {
                    self.remove(Going::Timer(timer));
                    return Ok(Input::Timer(timer));
                }
                Some(Ok(Event::Leaf(leaf, started, Ran::Again(updates)))) => {
                    self.remove(Going::Leaf(leaf));
                    if let Err(error) = life.memory.update(updates) {
                        life.finish(leaf, started, Ran::Plain(Outcome::Error(error.to_string())))?;
                    }
                    if self.ends {
                        let _ = life.finish(leaf, started, GivenUp::CutOff.ran());
                    } else {
                        self.ask(life, leaf, Far::Rests(started));
                    }
                }
                Some(Ok(Event::Leaf(leaf, started, ran))) => {
                    self.remove(Going::Leaf(leaf));
                    let verdict = life.finish(leaf, started, ran)?;
                    return Ok(Input::Leaf(leaf, verdict));
                }
                None => return Err(End::Stopped),
            }
        }
    }

    /// In a bot that is told to end, only what is being done to the target may come to its end, as long as it is
    /// let, and within the time that the tree gives it. What has not begun yet does not begin any more, so that this
    /// is done once.
    fn give_up_what_may_not_end(&mut self, life: &mut Life) {
        let squad = life.squad.clone();
        self.give_all_up(life, GivenUp::CutOff, |going, begun| match going {
            Going::Leaf(leaf) => !begun.is_at_work() || !squad.scenario().plan.leaf(leaf).measured,
            Going::Timer(_) => false,
        });
    }

    /// Ends all that goes on and is meant.
    fn give_all_up(&mut self, life: &mut Life, why: GivenUp, is_meant: impl Fn(Going, &Begun) -> bool) {
        life.now = Tick::now();
        for (going, begun) in self.begun.extract_if(is_meant) {
            self.leaves -= u32::from(going.is_leaf());
            begun.end(life, why, going);
        }
    }

    fn give_up(&mut self, life: &mut Life, why: GivenUp, going: Going) {
        if let Some(begun) = self.remove(going) {
            life.now = Tick::now();
            begun.end(life, why, going);
        }
    }
}

impl Going {
    const fn is_leaf(self) -> bool {
        matches!(self, Self::Leaf(_))
    }
}

impl Begun {
    fn is_at_work(&self) -> bool {
        self.far.as_ref().is_some_and(|far| matches!(far.get(), Far::Works(_)))
    }

    /// Leaves are recorded as cancelled, but for those that were never asked.
    fn end(&self, life: &mut Life, why: GivenUp, going: Going) {
        self.abort.abort();
        let (Going::Leaf(leaf), Some(far)) = (going, &self.far) else { return };
        match far.get() {
            Far::Works(started) | Far::Rests(started) => {
                // Its end is the tree's will, not the bot's.
                let _ = life.finish(leaf, started, why.ran());
            }
            Far::Entered(Some(turn)) => life.give_turn_back(turn),
            Far::Entered(None) => {}
        }
    }
}

/// Waits until a leaf may be asked. A turn that comes while the load stands still is nobody's: else all who have
/// waited would begin in the moment in which it goes on.
async fn wait_to_begin(squad: &Squad, far: &Cell<Far>) {
    let Local { clock, common, .. } = &*squad.local;
    clock.goes_on().await;
    loop {
        match far.get() {
            Far::Entered(Some(turn)) => tokio::time::sleep_until(turn.into()).await,
            Far::Rests(_) => tokio::time::sleep(BEFORE_AGAIN).await,
            Far::Entered(None) | Far::Works(_) => {}
        }
        if !clock.stands_still() {
            return;
        }
        clock.goes_on().await;
        if let (Far::Entered(Some(_)), Some(pacer)) = (far.get(), &common.pacer) {
            far.set(Far::Entered(Some(pacer.turn(Instant::now()))));
        }
    }
}

/// Runs a leaf apart from the bot: it sees the bot's values as they are now. Tells when it was first asked, and
/// how it came out.
fn attempt(life: &mut Life, leaf: LeafId, far: Rc<Cell<Far>>) -> LocalBoxFuture<'static, (Tick, Ran)> {
    let (squad, connections) = (life.squad.clone(), life.connections.clone());
    let scenario = squad.scenario();
    let (context, row) = (life.memory.context.clone(), life.memory.row.clone());
    let arguments = life.memory.arguments(&scenario.plan, leaf).cloned();
    let bot = life.walk.bot();
    let draw = scenario.plan.draw(&mut life.walk, leaf);
    async move {
        wait_to_begin(&squad, &far).await;
        let started = match far.get() {
            Far::Entered(_) => Tick::now(),
            Far::Works(started) | Far::Rests(started) => started,
        };
        far.set(Far::Works(started));
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
