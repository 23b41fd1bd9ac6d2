//! One worker: a thread with its bots, kept at their number.

use super::army::{Common, Snapshot};
use super::bot::{self, Stage, Stop};
use botarmy_actions::{Action, Network};
use botarmy_report::{DEFAULT_HIGHEST_US, Recorder, RowInfo};
use botarmy_spec::Run;
use botarmy_tree::LeafId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Keep so many bots alive.
    Bots(u32),
    /// Hand over what was measured since the last time.
    Drain(oneshot::Sender<Snapshot>),
    /// Bots end at their next tick, none is started any more.
    Stop,
    /// What bots still do is given up.
    Cancel,
}

/// What the bots of a worker share.
pub(super) struct Local {
    pub(super) run: Arc<Run>,
    pub(super) actions: Vec<Box<dyn Action>>,
    pub(super) recorder: RefCell<Recorder>,
    common: Arc<Common>,
    network: Network,
    /// Bots that are alive, by id.
    alive: RefCell<BTreeMap<u64, Rc<Stop>>>,
    /// How many shall be alive.
    wanted: Cell<u32>,
    /// How many may be started that replace none.
    fresh: Cell<u32>,
    stopping: Cell<bool>,
    /// A bot has ended.
    ended: Notify,
}

impl Local {
    pub(super) fn new(run: Arc<Run>, common: Arc<Common>) -> Result<Self, botarmy_actions::Error> {
        let network = Network::new()?;
        let leaves = run.plan.leaves();
        let actions =
            leaves.iter().map(|l| botarmy_actions::action(l, &network)).collect::<Result<_, _>>()?;
        let row = |l: &botarmy_tree::plan::LeafRecord| RowInfo {
            name: l.name.clone(),
            base: l.base.clone(),
            measured: l.measured,
        };
        let rows: Arc<[RowInfo]> = leaves.iter().map(row).collect();
        Ok(Self {
            actions,
            recorder: RefCell::new(Recorder::new(rows, DEFAULT_HIGHEST_US)),
            run,
            common,
            network,
            alive: RefCell::default(),
            wanted: Cell::new(0),
            fresh: Cell::new(0),
            stopping: Cell::new(false),
            ended: Notify::new(),
        })
    }

    /// Takes one of the iterations that are left; false when there are none.
    pub(super) fn take_iteration(&self) -> bool {
        let Some(left) = &self.common.iterations_left else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// An iteration that was begun and not finished can be another bot's.
    pub(super) fn give_iteration_back(&self) {
        if let Some(left) = &self.common.iterations_left {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What steers only the bot, such as a wait, need not come to its end.
    pub(super) fn given_up(&self, leaf: LeafId) -> Stage {
        if self.run.plan.leaf(leaf).measured { Stage::Cancel } else { Stage::End }
    }

    fn no_iterations_left(&self) -> bool {
        self.common.iterations_left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0)
    }

    fn alive(&self) -> u32 {
        u32::try_from(self.alive.borrow().len()).unwrap_or(u32::MAX)
    }

    fn snapshot(&self) -> Snapshot {
        let mut recorder = self.recorder.borrow_mut();
        recorder.count_requests(self.network.take_sent());
        Snapshot { totals: recorder.drain(), alive: self.alive(), finished: self.finished() }
    }

    fn finished(&self) -> bool {
        (self.stopping.get() || self.no_iterations_left()) && self.alive() == 0
    }

    fn want(&self, bots: u32) {
        let before = self.wanted.replace(bots);
        self.fresh.set(if bots > before { self.fresh.get() + (bots - before) } else { 0 });
        let surplus = self.alive().saturating_sub(bots) as usize;
        let alive = self.alive.borrow();
        // The youngest go first; those that were told already are among them.
        alive.values().rev().take(surplus).for_each(|stop| stop.tell(Stage::End));
    }

    fn tell_all(&self, stage: Stage) {
        self.stopping.set(true);
        self.alive.borrow().values().for_each(|stop| stop.tell(stage));
    }
}

/// Keeps the bots at their number until the channel closes.
pub(super) async fn supervise(local: Rc<Local>, mut commands: mpsc::UnboundedReceiver<Command>) {
    loop {
        let wait = start_missing(&local).unwrap_or(Duration::from_secs(3600));
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Bots(bots)) => local.want(bots),
                // Nobody waits for it any more: what was drained is lost with its reader.
                Some(Command::Drain(reply)) => drop(reply.send(local.snapshot())),
                Some(Command::Stop) => local.tell_all(Stage::End),
                Some(Command::Cancel) => local.tell_all(Stage::Cancel),
            },
            () = local.ended.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Starts the bots that are missing, as far as it is allowed; tells how long until more may be.
fn start_missing(local: &Rc<Local>) -> Option<Duration> {
    while !local.stopping.get() && !local.no_iterations_left() && local.alive() < local.wanted.get() {
        if local.fresh.get() > 0 {
            local.fresh.set(local.fresh.get() - 1);
        } else if let Err(wait) = local.common.take_replacement() {
            return Some(wait);
        }
        start(local);
    }
    None
}

fn start(local: &Rc<Local>) {
    let id = local.common.next_bot_id();
    let stop = Rc::new(Stop::new());
    local.alive.borrow_mut().insert(id, stop.clone());
    let alive = Alive { local: local.clone(), id };
    tokio::task::spawn_local(async move {
        bot::run(alive.local.clone(), id, stop).await;
    });
}

/// A bot among those that are alive, however it ends: one that nobody takes out would keep the run
/// from ending.
struct Alive {
    local: Rc<Local>,
    id: u64,
}

impl Drop for Alive {
    fn drop(&mut self) {
        let Self { local, id } = self;
        local.alive.borrow_mut().remove(id);
        local.ended.notify_one();
        if local.finished() {
            local.common.finished.notify_one();
        }
    }
}
