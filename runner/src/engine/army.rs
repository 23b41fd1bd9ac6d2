//! The handle of a running army: its threads, its orders, its measures.

use super::health::Watch;
use super::load_clock::Pause;
use super::losses::Losses;
use super::pacer::Pacer;
use super::part::{Owed, Part};
use super::share::Share;
use super::worker::{self, Command, Drained, Worker};
use crate::bot_log::{Chronicle, Sink};
use botarmy_actions::{Own, Together};
use botarmy_protocol::{Loss, Resume, Standing};
use botarmy_report::{Outcome, Totals};
use botarmy_spec::Run;
use botarmy_spec::load::Model;
use botarmy_tree::Context;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// Why an army cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A leaf cannot be run.
    #[error("{0}")]
    Action(#[from] botarmy_actions::Error),
    /// The system gives no thread, no runtime or no timer.
    #[error("a worker cannot be started: {0}; check the limits of processes and open files")]
    System(#[from] std::io::Error),
    /// A worker died while it began.
    #[error("a worker ended before it began; see the log")]
    Worker,
}

/// What an army begins with.
#[derive(Debug)]
pub struct Start {
    /// What it does.
    pub run: Arc<Run>,
    /// This runner among all.
    pub share: Share,
    /// How many threads it has.
    pub threads: usize,
    /// What its times count from; bots begin then, or now if that has passed.
    pub at: Instant,
    /// Times in which the load stood still already, or stands still.
    pub pauses: Vec<Pause>,
    /// Other rates of arrival, as in [`Army::set_rates`].
    pub rates: Vec<(Duration, f64)>,
    /// The values that each bot begins with.
    pub context: Context,
    /// What its bots share.
    pub together: Together,
    /// Actions that are not built in.
    pub own: Own,
    /// Whether it is no load but what one bot walks once: it tells how that bot ended, and the bot log does not take it for
    /// the run's beginning and end.
    pub walks_once: bool,
    /// The bot log, if one is kept.
    pub log: Option<Sink>,
    /// What this share has come to already, in the hands of a runner that was lost.
    pub done: Done,
    /// Other runners that are lost for good.
    pub losses: Vec<Loss>,
}

/// What was done of a share before it was taken over.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// How long the load goes on already, the times left out in which it stood still: what should have arrived in that time is not made up for.
    pub since: Duration,
    /// What is known of it.
    pub part: Resume,
    /// Bots over the whole army, if their number was changed.
    pub bots: Option<u32>,
}

impl Start {
    /// A whole army here and now, with a thread for each processor.
    pub fn here(run: Arc<Run>) -> Self {
        Self {
            run,
            share: Share::WHOLE,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            at: Instant::now(),
            pauses: Vec::new(),
            rates: Vec::new(),
            context: Context::new(),
            together: Together::here(),
            own: Own::default(),
            walks_once: false,
            log: None,
            done: Done::default(),
            losses: Vec::new(),
        }
    }
}

/// How a bot ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    /// What went wrong last.
    pub(super) failure: Option<String>,
    /// The values that it had.
    pub(super) context: Context,
}

/// What an army has measured since it was last asked.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What was measured.
    pub totals: Totals,
    /// What was measured of it in the warm-up, which is not in `totals`.
    pub warmup: Totals,
    /// Bots alive now.
    pub alive: u32,
    /// Nothing more will come.
    pub finished: bool,
    /// How far the share is beside what was measured.
    pub standing: Standing,
}

/// What all workers of a runner share; nothing of it is touched at each tick.
#[derive(Debug)]
pub(super) struct Common {
    /// This runner among all.
    pub(super) share: Share,
    /// When the army starts.
    pub(super) start: Instant,
    /// How long the load goes on already, if this share was another's.
    pub(super) since: Duration,
    /// The times in which it stood still, or stands still.
    pub(super) pauses: Vec<Pause>,
    /// Other rates of arrival that were set before it began.
    pub(super) rates: Vec<(Duration, f64)>,
    /// The values that each bot begins with.
    pub(super) context: Context,
    pub(super) together: Together,
    pub(super) own: Own,
    /// Gives turns to measured leaves, if their rate is capped.
    pub(super) pacer: Option<Pacer>,
    /// How the last bot ended, if that is to be known.
    pub(super) ending: Option<Mutex<Option<Ending>>>,
    pub(super) log: Option<Sink>,
    pub(super) scenarios: Vec<Part>,
    /// Other runners that were lost, as far as it was told.
    pub(super) losses: Mutex<Losses>,
    /// How late the first bots were let begin.
    pub(super) began_late: OnceLock<Duration>,
    /// A worker has nothing left to do.
    pub(super) finished: Notify,
}

impl Common {
    /// This runner among those that are left.
    pub(super) fn among(&self) -> Share {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).share()
    }
}

/// A running army, or this runner's share of it.
#[derive(Debug)]
pub struct Army {
    run: Arc<Run>,
    common: Arc<Common>,
    watch: Mutex<Watch>,
    workers: Vec<(mpsc::UnboundedSender<Command>, JoinHandle<()>)>,
    /// Tells the bot log where the run stands.
    chronicle: Option<Mutex<Chronicle>>,
}

impl Army {
    /// Begins a run.
    pub async fn start(start: Start) -> Result<Self, Error> {
        let Start {
            run,
            share,
            threads,
            at,
            pauses,
            rates,
            context,
            together,
            own,
            walks_once,
            log,
            done,
            losses,
        } = start;
        let losses = Losses::of(share, &losses);
        let live = run.live_bots().is_some();
        let scenarios = run.scenarios.iter().map(|s| Part::new(s, live, &losses, &done)).collect();
        let since = done.since;
        let ending = walks_once.then(Mutex::default);
        let finished = Notify::new();
        let chronicle = log.as_ref().filter(|_| !walks_once);
        let chronicle = chronicle.map(|log| Mutex::new(Chronicle::begin(log, bots(&run, share), at)));
        let pacer = run.max_rate.map(|rate| Pacer::new(part_of_rate(rate, &run, &losses), Instant::now()));
        let common = Common {
            share,
            start: at,
            since,
            pauses,
            rates,
            context,
            together,
            own,
            pacer,
            ending,
            log,
            scenarios,
            losses: Mutex::new(losses),
            began_late: OnceLock::new(),
            finished,
        };
        let common = Arc::new(common);
        let of = u32::try_from(threads.max(1)).unwrap_or(1);
        let watch = Mutex::new(Watch::new(of));
        let mut army =
            Self { run: run.clone(), common: common.clone(), watch, workers: Vec::new(), chronicle };
        for index in 0..of {
            if let Err(error) = army.add_worker(Share { index, of }).await {
                // Whoever hears of it may need the files that the others hold. These have no bots yet and end at once.
                army.join();
                return Err(error);
            }
        }
        army.tell(|| Command::Begin);
        Ok(army)
    }

    /// Starts a worker's thread; its bots wait until all are there.
    async fn add_worker(&mut self, worker: Share) -> Result<(), Error> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        let (run, common) = (self.run.clone(), self.common.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{}", worker.index));
        let thread = thread.spawn(move || work(run, common, worker, receiver, ready))?;
        self.workers.push((commands, thread));
        is_ready.await.map_err(|_| Error::Worker)?
    }

    /// Keeps so many bots alive over the whole army, if their number can be changed; this runner takes
    /// its share.
    pub fn set_bots(&self, army: u32) {
        self.tell(|| Command::Bots(army));
    }

    /// Lets bots arrive at other rates, if that can be changed: from each time since the start on at the
    /// rate beside it. The list is that of all changes since the start.
    pub fn set_rates(&self, changes: &[(Duration, f64)]) {
        self.tell(|| Command::Rates(changes.to_vec()));
    }

    /// Takes over what is this runner's of others that were lost for good. The list is that of all losses; those that it
    /// knows of already have no further effect.
    pub fn take_over(&self, told: &[Loss]) {
        let mut known = self.common.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let losses = Losses::of(self.common.share, told);
        if losses.all().len() <= known.all().len() {
            return;
        }
        for (scenario, part) in self.run.scenarios.iter().zip(&self.common.scenarios) {
            part.take_over(scenario, &known, &losses);
        }
        if let (Some(rate), Some(pacer)) = (self.run.max_rate, &self.common.pacer) {
            pacer.set_rate(part_of_rate(rate, &self.run, &losses));
        }
        *known = losses;
        drop(known);
        self.tell(|| Command::TakeOver);
    }

    /// Whether this runner is the first of those that are left.
    pub fn is_first(&self) -> bool {
        self.common.among().index == 0
    }

    /// Lets the load stand still from a moment on, which may be over: bots stay where they are, what is done to the target
    /// comes to its end, and nothing else begins. All that is to come is so much later.
    pub fn suspend(&self, at: Instant) {
        self.tell(|| Command::Suspend(at));
    }

    /// Lets the load go on from a moment on.
    pub fn resume(&self, at: Instant) {
        self.tell(|| Command::Resume(at));
    }

    /// How late the first bots were let begin, once they were.
    pub fn began_late(&self) -> Option<Duration> {
        self.common.began_late.get().copied()
    }

    /// How the last bot ended, if that was to be known: with the values that it had, or why it failed.
    pub(super) fn ending(&self) -> Option<Ending> {
        let ending = self.common.ending.as_ref()?;
        ending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Bots end at their next tick; requests in flight come to their end, for as long as the grace
    /// period lasts.
    pub fn stop(&self) {
        self.tell(|| Command::Stop);
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for (commands, _) in &self.workers {
            // A worker that is gone has told why.
            let _ = commands.send(command());
        }
    }

    /// Waits until a worker has nothing left to do: then a drain may tell that all is over.
    pub async fn worker_finished(&self) {
        self.common.finished.notified().await;
    }

    /// Takes what was measured since the last time.
    pub async fn drain(&self) -> Snapshot {
        let mut sum = Snapshot { finished: true, ..Snapshot::default() };
        let mut owed = vec![Owed::default(); self.common.scenarios.len()];
        for (commands, _) in &self.workers {
            let (reply, answer) = oneshot::channel();
            let _ = commands.send(Command::Drain(reply));
            // A worker that died has nothing more to tell; its bots are gone.
            let Ok(Drained { snapshot: part, lag, owed: by_worker }) = answer.await else { continue };
            owed.iter_mut().zip(by_worker).for_each(|(sum, part)| sum.add(part));
            self.watch.lock().unwrap_or_else(PoisonError::into_inner).add(&lag);
            for (sum, part) in [(&mut sum.totals, &part.totals), (&mut sum.warmup, &part.warmup)] {
                if let Err(error) = sum.merge(part) {
                    tracing::error!("measures of a worker cannot be added: {error}");
                }
            }
            sum.alive += part.alive;
            sum.finished &= part.finished;
        }
        sum.standing = self.standing(&owed);
        // Once all is over there is nothing to be late for.
        if !sum.finished {
            sum.totals.health = self.watch.lock().unwrap_or_else(PoisonError::into_inner).judge();
        }
        if let Some(chronicle) = &self.chronicle {
            let mut chronicle = chronicle.lock().unwrap_or_else(PoisonError::into_inner);
            chronicle.tell(sum.alive, sum.finished);
        }
        sum
    }

    fn standing(&self, owed: &[Owed]) -> Standing {
        let mut standing = Standing::default();
        let parts = self.run.scenarios.iter().zip(&self.common.scenarios).zip(owed);
        for ((scenario, part), owed) in parts {
            let name = || scenario.name.clone().unwrap_or_default();
            standing.rows.extend(part.rows_used_up().map(|rows| (name(), rows)));
            standing.owed.extend(part.owed(*owed).map(|owed| (name(), owed)));
        }
        standing
    }

    /// Ends the threads. Call it after the last drain.
    pub fn join(self) {
        for (commands, thread) in self.workers {
            drop(commands);
            if thread.join().is_err() {
                tracing::error!("a worker ended with a panic");
            }
        }
    }
}

/// How many bots a runner has alive at its height, those apart that come by a rate.
fn bots(run: &Run, share: Share) -> u32 {
    let closed = run.scenarios.iter().filter(|s| matches!(s.load.model, Model::Closed(_)));
    closed.map(|s| share.bots(s.load.peak())).sum()
}

/// A runner's part of the cap: the same for all that have bots.
fn part_of_rate(rate: f64, run: &Run, losses: &Losses) -> f64 {
    let most = run.scenarios.iter().map(|s| s.load.peak()).max().unwrap_or(1);
    rate / f64::from(losses.share().of.min(most).max(1))
}

type Ready = oneshot::Sender<Result<(), Error>>;

/// The life of a worker's thread.
fn work(
    run: Arc<Run>,
    common: Arc<Common>,
    worker: Share,
    commands: mpsc::UnboundedReceiver<Command>,
    ready: Ready,
) {
    let begin = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = runtime.block_on(async { Worker::new(run, common, worker) })?;
        Ok((runtime, worker))
    };
    let (runtime, worker) = match begin() {
        Ok(begun) => begun,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(())).is_ok() {
        tokio::task::LocalSet::new().block_on(&runtime, worker::supervise(Rc::new(worker), commands));
    }
}
