//! One worker: a thread with its squads of bots.

use super::army::{Common, Error, Snapshot};
use super::bot::Stage;
use super::health::watch_lag;
use super::load_clock::LoadClock;
use super::part::Owed;
use super::share::Share;
use super::squad::{Place, Squad};
use crate::bot_log::Lines;
use botarmy_actions::{Hosts, Network};
use botarmy_report::{DEFAULT_HIGHEST_US, Health, Histogram, Recorder, Totals};
use botarmy_spec::Run;
use botarmy_tree::Context;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// All workers are there: bots may begin.
    Begin,
    /// Keep so many bots alive, over the whole army.
    Bots(u32),
    /// Other runners were lost: take over what is this one's.
    TakeOver,
    /// Let bots arrive at these rates, from these times on.
    Rates(Vec<(Duration, f64)>),
    /// Hand over what was measured since the last time.
    Drain(oneshot::Sender<Drained>),
    /// The load stands still from then on: bots stay where they are.
    Suspend(Instant),
    /// The load goes on from then on.
    Resume(Instant),
    /// Bots end at their next tick, none is started any more.
    Stop,
}

/// What a worker hands over.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) snapshot: Snapshot,
    /// How late it was.
    pub(super) lag: Histogram,
    /// What its bots have yet to do, by scenario.
    pub(super) owed: Vec<Owed>,
}

/// What the squads of a worker share.
pub(super) struct Local {
    pub(super) run: Arc<Run>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) common: Arc<Common>,
    /// The time of the load.
    pub(super) clock: LoadClock,
    /// This worker among those of the runner.
    pub(super) share: Share,
    /// Something has changed that the supervisor has to look at.
    pub(super) changed: Notify,
    network: Network,
    /// The values that each bot begins with.
    pub(super) context: Rc<Context>,
    /// By which it writes to the bot log, if one is kept.
    pub(super) lines: Option<Rc<RefCell<Lines>>>,
    /// How late the worker was since it was last asked.
    lag: RefCell<Histogram>,
    /// What was measured in the warm-up and is not handed over yet.
    warmup: RefCell<Totals>,
    warm: Cell<bool>,
}

impl Local {
    /// Ends the warm-up when its time is over; tells when that will be.
    fn warm_up(&self, now: Instant) -> Option<Instant> {
        let end = self.clock.start() + self.run.warmup;
        if self.warm.get() {
            return None;
        }
        if now < end {
            return Some(end);
        }
        self.warm.set(true);
        self.set_warmup_aside();
        None
    }

    fn set_warmup_aside(&self) {
        if let Err(error) = self.warmup.borrow_mut().merge(&self.drain()) {
            tracing::error!("measures of the warm-up cannot be added: {error}");
        }
    }

    fn drain(&self) -> Totals {
        let mut recorder = self.recorder.borrow_mut();
        recorder.count_requests(self.network.take_sent());
        recorder.drain()
    }
}

/// A worker: what its squads share, and they.
pub(super) struct Worker {
    local: Rc<Local>,
    squads: Vec<Rc<Squad>>,
    /// Whether those who look at it know it as finished.
    told_finished: Cell<bool>,
}

impl Worker {
    pub(super) fn new(run: Arc<Run>, common: Arc<Common>, share: Share) -> Result<Self, Error> {
        let mut hosts = Hosts::default();
        for (name, addresses) in &run.hosts {
            for address in addresses {
                hosts.add(name, *address);
            }
        }
        let network =
            Network::new(&hosts).map_err(botarmy_actions::Error::from)?.allowing(run.allowed.as_ref());
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        for scenario in &run.scenarios {
            places.push(Place::of(scenario, &mut rows));
        }
        let local = Rc::new(Local {
            recorder: RefCell::new(Recorder::new(rows.into(), DEFAULT_HIGHEST_US)),
            changed: Notify::new(),
            context: Rc::new(common.context.clone()),
            lines: common.log.as_ref().map(|log| Rc::new(RefCell::new(log.lines()))),
            lag: RefCell::new(Health::no_lag()),
            warmup: RefCell::default(),
            warm: Cell::new(false),
            clock: LoadClock::new(common.start, &common.pauses),
            network,
            common,
            share,
            run,
        });
        let squad =
            |(scenario, place)| Squad::new(local.clone(), scenario, place, &local.network).map(Rc::new);
        let squads = places.into_iter().enumerate().map(squad).collect::<Result<_, _>>()?;
        Ok(Self { local, squads, told_finished: Cell::new(false) })
    }

    fn finished(&self) -> bool {
        self.squads.iter().all(|squad| squad.finished())
    }

    /// Whether it is finished, for somebody who will not be called again if it is.
    fn tell_finished(&self) -> bool {
        let finished = self.finished();
        self.told_finished.set(finished);
        finished
    }

    fn drain(&self) -> Drained {
        Drained {
            snapshot: self.snapshot(),
            lag: self.local.lag.replace(Health::no_lag()),
            owed: self.squads.iter().map(|squad| squad.owed()).collect(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        if !self.local.warm.get() {
            self.local.set_warmup_aside();
        }
        if let Some(lines) = &self.local.lines {
            lines.borrow_mut().flush();
        }
        Snapshot {
            totals: self.local.drain(),
            warmup: self.local.warmup.take(),
            alive: self.squads.iter().map(|squad| squad.alive()).sum(),
            finished: self.tell_finished(),
            ..Snapshot::default()
        }
    }

    /// Does what is due, and tells when to look again.
    fn tend(&self, now: Instant) -> Option<Instant> {
        let (changed, next_change) = self.local.clock.tick(now);
        if changed {
            self.squads.iter().for_each(|squad| squad.clock_changed());
        }
        if self.local.clock.stands_still() {
            return next_change;
        }
        let warm = self.local.warm_up(now);
        let next = self.squads.iter().filter_map(|squad| squad.tend(now));
        next.chain(warm).chain(next_change).min()
    }

    fn stop(&self, now: Instant) {
        // Whoever stands still would not hear of it.
        self.local.clock.give_up();
        self.squads.iter().for_each(|squad| squad.end(now, Stage::End));
    }
}

/// Keeps the squads at their load until the channel closes.
pub(super) async fn supervise(worker: Rc<Worker>, mut commands: mpsc::UnboundedReceiver<Command>) {
    /// With nothing to do a worker looks again so often.
    const IDLE: Duration = Duration::from_secs(3600);
    // Bots of the first worker would take the files that the last one needs to begin.
    if !matches!(commands.recv().await, Some(Command::Begin)) {
        return;
    }
    let local = worker.local.clone();
    tokio::task::spawn_local(async move { watch_lag(&local.lag).await });
    loop {
        let now = Instant::now();
        let next = worker.tend(now);
        // What a bot that was stopped gives back may let another worker have something left to do for a moment: whoever was
        // told so in between has to be called again.
        if worker.told_finished.get() != worker.tell_finished() {
            worker.local.common.finished.notify_one();
        }
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Begin) => {}
                Some(Command::Rates(changes)) => worker.squads.iter().for_each(|s| s.set_rates(&changes)),
                Some(Command::TakeOver) => worker.squads.iter().for_each(|squad| squad.take_over()),
                Some(Command::Bots(bots)) => worker.squads.iter().for_each(|squad| squad.set_bots(bots)),
                // Nobody waits for it any more: what was drained is lost with its reader.
                Some(Command::Drain(reply)) => drop(reply.send(worker.drain())),
                Some(Command::Suspend(at)) => worker.local.clock.suspend(at),
                Some(Command::Resume(at)) => worker.local.clock.resume(at),
                Some(Command::Stop) => worker.stop(Instant::now()),
            },
            () = worker.local.changed.notified() => {}
            () = tokio::time::sleep_until(next.unwrap_or(now + IDLE).into()) => {}
        }
    }
}
