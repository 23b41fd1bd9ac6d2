//! The bots of one scenario on one worker: how they come and go.

mod arriving;

use super::alarm::Alarm;
use super::army::{Common, Error};
use super::bot::{Begin, Born, Life, Stage, Stop};
use super::clock::Tick;
use super::journal::Journal;
use super::part::{Owed, Part, Recruit};
use super::rows::Row;
use super::share::Share;
use super::worker::Local;
use botarmy_actions::{Action, Network};
use botarmy_report::{ITERATION, LATENESS, Observed, Outcome, RowInfo};
use botarmy_spec::Scenario;
use botarmy_spec::load::{Between, Closed, Model, whole};
use botarmy_spec::profile::Profile;
use botarmy_tree::template::Shared;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often it is looked at what other workers may have changed: given back a row of the data, or begun the
/// last pass.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many bots are started before others have their turn.
const MOST_AT_ONCE: u32 = 1_000;
/// A ramp is followed in steps of at least so long.
const LEAST_STEP: Duration = Duration::from_millis(10);

/// Where the rows of a scenario lie among all rows: its leaves, whole iterations, lateness.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    first: usize,
    iteration: usize,
}

impl Place {
    pub(super) fn of(scenario: &Scenario, rows: &mut Vec<RowInfo>) -> Self {
        let first = rows.len();
        let name = scenario.name.clone().unwrap_or_default();
        rows.extend(scenario.plan.leaves().iter().map(|l| RowInfo {
            name: l.name.clone(),
            base: l.base.clone(),
            // What is done once to prepare or to clean up is no load.
            measured: l.measured && !name.starts_with('('),
            scenario: name.clone(),
            group: l.group.to_string(),
        }));
        let iteration = rows.len();
        let own = |row: &str| RowInfo {
            name: row.into(),
            base: row.into(),
            scenario: name.clone(),
            ..RowInfo::default()
        };
        rows.extend([own(ITERATION), own(LATENESS)]);
        Self { first, iteration }
    }
}

/// How far a squad is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits for its start.
    Waiting,
    /// Its bots come and go.
    Going,
    /// No bot is started any more; what still goes on at that moment is given up.
    Ending(Instant),
    /// All is given up.
    GivenUp,
}

pub(super) struct Squad {
    pub(super) local: Rc<Local>,
    scenario: usize,
    place: Place,
    pub(super) actions: Vec<Box<dyn Action>>,
    pub(super) journal: Journal,
    /// Bots that are alive, by id.
    alive: RefCell<BTreeMap<u64, Rc<Stop>>>,
    phase: Cell<Phase>,
    /// This runner among those that are left.
    among: Cell<Share>,
    /// How many bots there shall be over the whole army, if that was changed.
    set: Cell<Option<u32>>,
    /// How many shall be alive here.
    wanted: Cell<u32>,
    /// How many may be started that replace none.
    fresh: Cell<u32>,
    /// How many have made all of their passes and are not replaced.
    retired: Cell<u32>,
    /// What wakes for the next arrival: made before the start, so that a system that has none to give is told.
    alarm: RefCell<Option<Alarm>>,
    /// Rates that were changed, and who has to know.
    rates: RefCell<Option<Profile>>,
    nudge: Notify,
    /// Runners were lost of whose arrivals it has not yet taken over its part.
    lost: Cell<bool>,
    /// Arrivals: all have come.
    all_came: Cell<bool>,
    /// The stage that measures belong to, and when the next one begins.
    stage: Cell<Option<(usize, Option<Tick>)>>,
}

impl Squad {
    pub(super) fn new(
        local: Rc<Local>,
        scenario: usize,
        place: Place,
        network: &Network,
    ) -> Result<Self, Error> {
        let journal = Journal::new(local.lines.as_ref(), &local.run.scenarios[scenario]);
        let leaves = local.run.scenarios[scenario].plan.leaves();
        let Common { together, own, .. } = &*local.common;
        let action = |leaf| match journal.action(leaf, &local.run.secrets) {
            Some(action) => Ok(action),
            None => botarmy_actions::action(leaf, network, together, own),
        };
        let actions = leaves.iter().map(action).collect::<Result<_, _>>()?;
        let alarm = match local.run.scenarios[scenario].load.model {
            Model::Open(_) => Some(Alarm::new()?),
            Model::Closed(_) => None,
        };
        let among = local.common.among();
        Ok(Self {
            local,
            scenario,
            place,
            actions,
            journal,
            alive: RefCell::default(),
            phase: Cell::new(Phase::Waiting),
            among: Cell::new(among),
            set: Cell::default(),
            wanted: Cell::default(),
            fresh: Cell::default(),
            retired: Cell::default(),
            alarm: RefCell::new(alarm),
            rates: RefCell::default(),
            nudge: Notify::new(),
            lost: Cell::default(),
            all_came: Cell::default(),
            stage: Cell::default(),
        })
    }

    pub(super) fn scenario(&self) -> &Scenario {
        &self.local.run.scenarios[self.scenario]
    }

    pub(super) fn shared(&self) -> &Part {
        &self.local.common.scenarios[self.scenario]
    }

    /// Tells the recorder when another stage has begun: what ends from now on belongs to it.
    #[inline]
    fn follow_stage(&self, now: Tick) {
        let is_over = |until: Option<Tick>| until.is_some_and(|until| now >= until);
        if !self.scenario().load.stages.is_empty() && self.stage.get().is_none_or(|(_, until)| is_over(until))
        {
            self.enter_stage(now);
        }
    }

    fn enter_stage(&self, now: Tick) {
        let Scenario { load, start_delay, .. } = self.scenario();
        let time = self.local.clock.since(self.local.clock.start() + *start_delay);
        let (stage, next) = load.profile().stage(time);
        let until = next.map(|next| now + next.saturating_sub(time));
        if self.stage.replace(Some((stage, until))).is_none_or(|(before, _)| before != stage) {
            let rows = self.place.first..self.place.iteration + 2;
            let stage = u16::try_from(stage).unwrap_or(u16::MAX);
            self.local.recorder.borrow_mut().enter_stage(rows, stage);
        }
    }

    /// Records a leaf, by its place in the plan.
    pub(super) fn record(&self, leaf: usize, now: Tick, outcome: Outcome, micros: u64, observed: &Observed) {
        self.follow_stage(now);
        self.local.recorder.borrow_mut().record_observed(self.place.first + leaf, outcome, micros, observed);
    }

    /// Records a leaf for whose end there was no more time.
    pub(super) fn record_cut_off(&self, leaf: usize, now: Tick, micros: u64) {
        self.follow_stage(now);
        self.local.recorder.borrow_mut().record_cut_off(self.place.first + leaf, micros);
    }

    /// Records a leaf that has succeeded, of which there is nothing more to tell.
    #[inline]
    pub(super) fn record_success(&self, leaf: usize, now: Tick, micros: u64) {
        self.follow_stage(now);
        self.local.recorder.borrow_mut().record(self.place.first + leaf, Outcome::Succeed, micros);
    }

    /// What all bots share, as templates see it.
    pub(super) fn shared_values(&self) -> &Shared {
        self.local.common.together.values()
    }

    /// A bot is gone; its row can be another's.
    pub(super) fn gone(&self, bot: u64, row: Option<u32>) {
        self.alive.borrow_mut().remove(&bot);
        if let Some(row) = row {
            self.shared().give_row_back(row);
        }
        // One of those that arrived is not replaced: only the last of them is worth a look.
        let is_open = matches!(self.scenario().load.model, Model::Open(_));
        // At the end a place that becomes free is nobody's: another worker may be behind with its last arrivals.
        if is_open && self.is_going() {
            self.shared().give_place_back();
        }
        if !is_open || self.alive() == 0 {
            self.local.changed.notify_one();
        }
    }

    /// Records a whole pass.
    pub(super) fn record_iteration(&self, now: Tick, outcome: Outcome, took: Duration) {
        self.follow_stage(now);
        let mut recorder = self.local.recorder.borrow_mut();
        recorder.record(self.place.iteration, outcome, micros(took));
        if outcome != Outcome::Cancelled {
            recorder.iteration();
        }
    }

    pub(super) fn alive(&self) -> u32 {
        u32::try_from(self.alive.borrow().len()).unwrap_or(u32::MAX)
    }

    /// Whether nothing more will come of it.
    pub(super) fn finished(&self) -> bool {
        let nothing_left = match self.phase.get() {
            Phase::Waiting => false,
            Phase::Going => self.has_nothing_left(),
            Phase::Ending(_) | Phase::GivenUp => true,
        };
        nothing_left && self.alive() == 0 && !self.lost.get()
    }

    fn has_nothing_left(&self) -> bool {
        self.shared().no_iterations_left()
            || self.shared().rows_are_over()
            || match &self.scenario().load.model {
                Model::Open(_) => self.all_came.get(),
                Model::Closed(closed) => {
                    closed.iterations_per_bot.is_some()
                        && self.retired.get() >= self.target(closed, Duration::ZERO)
                }
            }
    }

    /// Changes how many bots there are, if that can be changed.
    pub(super) fn set_bots(&self, army: u32) {
        if self.local.run.live_bots().is_some() {
            self.set.set(Some(army));
        }
    }

    /// Lets bots arrive at other rates, if that can be changed.
    pub(super) fn set_rates(&self, changes: &[(Duration, f64)]) {
        if let Some(first) = self.local.run.live_rate() {
            self.rates.replace(Some(Profile::steps(first, changes)));
            self.nudge.notify_one();
        }
    }

    /// Takes over what is its of runners that were lost.
    pub(super) fn take_over(&self) {
        self.among.set(self.local.common.among());
        // Before its arrivals begin they know of no loss, and learn of all then.
        let is_open = matches!(self.scenario().load.model, Model::Open(_));
        if is_open && self.alarm.borrow().is_none() {
            self.lost.set(true);
            self.nudge.notify_one();
        }
    }

    /// What its bots have yet to do, where each makes so many passes.
    pub(super) fn owed(&self) -> Owed {
        let Model::Closed(closed) = &self.scenario().load.model else { return Owed::default() };
        if closed.iterations_per_bot.is_none() {
            return Owed::default();
        }
        let begun = self.alive().saturating_add(self.retired.get());
        let bots = self.target(closed, Duration::ZERO).saturating_sub(begun);
        Owed { passes: self.alive.borrow().values().map(|stop| stop.owes()).sum(), bots: u64::from(bots) }
    }

    /// A bot of a load that comes to its end has left so many passes: they may be another runner's.
    pub(super) fn keep_what_is_owed(&self, passes: u64) {
        if passes > 0 && !self.is_going() {
            self.shared().give_passes_back(passes);
        }
    }

    /// One that has made all of its passes is not replaced.
    pub(super) fn retire(&self) {
        self.retired.set(self.retired.get() + 1);
    }

    /// Does what is due, and tells when to look again.
    pub(super) fn tend(self: &Rc<Self>, now: Instant) -> Option<Instant> {
        let begin = self.begin();
        let end = self.scenario().load.duration.map(|d| begin + d);
        if self.phase.get() == Phase::Waiting {
            if now < begin {
                return Some(begin);
            }
            self.phase.set(Phase::Going);
            // Only the first squad has something to tell.
            let _ = self.local.common.began_late.set(now - begin);
            self.let_them_arrive();
        }
        // Who has come before the end is let in, however late this worker is.
        let is_open = matches!(self.scenario().load.model, Model::Open(_));
        let has_come = !is_open || (self.all_came.get() && !self.lost.get());
        if let Some(end) = end.filter(|end| now >= *end && has_come) {
            self.end(end, Stage::End);
        }
        let end = end.filter(|_| !is_open);
        match self.phase.get() {
            Phase::Ending(given_up) if now >= given_up => {
                self.end(now, Stage::Cancel);
                None
            }
            Phase::Ending(given_up) => Some(given_up),
            Phase::Waiting | Phase::GivenUp => None,
            Phase::Going => {
                let next = match &self.scenario().load.model {
                    Model::Closed(closed) => self.keep_alive(closed, now, now - begin),
                    Model::Open(_) => None,
                };
                [next, end].into_iter().flatten().min()
            }
        }
    }

    /// Ends it: no bot is started any more, and what its bots do comes to its end, or is given up.
    pub(super) fn end(&self, now: Instant, stage: Stage) {
        match (self.phase.get(), stage) {
            (Phase::Waiting | Phase::Going, Stage::End) => {
                self.phase.set(Phase::Ending(now + self.local.run.grace_period));
            }
            (Phase::Ending(_), Stage::Cancel) => self.phase.set(Phase::GivenUp),
            _ => return,
        }
        self.alive.borrow().values().for_each(|stop| stop.tell(stage));
    }

    /// When its load began, if all the time in which it stood still is left out.
    fn begin(&self) -> Instant {
        self.local.clock.start() + self.scenario().start_delay
    }

    /// The load stands still from now on, or goes on.
    pub(super) fn clock_changed(&self) {
        // Its end is another moment now.
        self.stage.set(None);
        self.nudge.notify_one();
    }

    fn is_going(&self) -> bool {
        self.phase.get() == Phase::Going
    }

    /// How many bots there shall be on this worker.
    fn target(&self, closed: &Closed, since_begin: Duration) -> u32 {
        let army = self.set.get().unwrap_or_else(|| whole(closed.bots.at(since_begin)));
        self.local.share.bots(self.among.get().bots(army))
    }

    fn keep_alive(self: &Rc<Self>, closed: &Closed, now: Instant, since_begin: Duration) -> Option<Instant> {
        let target = self.target(closed, since_begin);
        while self.retired.get() < target && self.shared().take_place_of_one_that_is_done() {
            self.retire();
        }
        self.want(target.saturating_sub(self.retired.get()));
        let next = closed
            .bots
            .next_change(since_begin, LEAST_STEP)
            .map(|next| now + next.saturating_sub(since_begin));
        let refill = self.start_missing(since_begin).map(|wait| now + wait);
        let idle = self.let_idle_go(closed).map(|wait| now + wait);
        [next, refill, idle].into_iter().flatten().min()
    }

    /// Ends the bots that pause although no pass is left for them; tells how long until it is to be looked again.
    fn let_idle_go(&self, closed: &Closed) -> Option<Duration> {
        if closed.between == Between::Nothing || self.scenario().load.iterations.is_none() {
            return None;
        }
        if !self.shared().no_iterations_left() {
            return Some(LOOK_EVERY);
        }
        self.alive.borrow().values().filter(|stop| stop.pauses()).for_each(|stop| stop.tell(Stage::End));
        None
    }

    fn want(&self, bots: u32) {
        let before = self.wanted.replace(bots);
        if bots == before {
            return;
        }
        // Of those that have not begun yet, fewer may be wanted now; whoever has made all of its passes is no loss.
        let missing = bots.saturating_sub(self.alive());
        self.fresh.set((self.fresh.get() + bots.saturating_sub(before)).min(missing));
        let surplus = self.alive().saturating_sub(bots) as usize;
        let alive = self.alive.borrow();
        // The youngest go first; those that were told already are among them.
        alive.values().rev().take(surplus).for_each(|stop| stop.tell(Stage::End));
    }

    /// Starts the bots that are missing, as far as it is allowed; tells how long until more may be.
    fn start_missing(self: &Rc<Self>, since_begin: Duration) -> Option<Duration> {
        let mut started = 0;
        while !self.shared().no_iterations_left() && self.alive() < self.wanted.get() {
            // Those that were started have to have their turn, and the end its time.
            if started >= MOST_AT_ONCE {
                return Some(Duration::from_millis(1));
            }
            started += 1;
            if self.fresh.get() == 0
                && let Err(wait) = self.shared().take_replacement(since_begin)
            {
                return Some(wait);
            }
            let Some(Recruit { id, row }) = self.shared().recruit() else {
                return (!self.shared().rows_are_over()).then_some(LOOK_EVERY);
            };
            self.fresh.set(self.fresh.get().saturating_sub(1));
            self.start(id, row, Begin::Now);
        }
        None
    }

    fn start(self: &Rc<Self>, id: u64, row: Option<Row>, begin: Begin) {
        let stop = Rc::new(Stop::new(self.shared().passes_of_a_bot().unwrap_or_default()));
        self.alive.borrow_mut().insert(id, stop.clone());
        let mut life = Life::new(self.clone(), Born { id, row }, stop);
        tokio::task::spawn_local(async move { life.run(begin).await });
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
