//! The handle of a running army: its threads, its orders, its measures.

use super::refill::Gate;
use super::share::Share;
use super::worker::{self, Command, Worker};
use botarmy_report::Totals;
use botarmy_spec::load::Model;
use botarmy_spec::{Run, Scenario};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
}

/// What all workers of a runner share; nothing of it is touched at each tick.
#[derive(Debug)]
pub(super) struct Common {
    /// This runner among all.
    pub(super) share: Share,
    /// When the army starts.
    pub(super) start: Instant,
    pub(super) scenarios: Vec<Shared>,
    /// A worker has nothing left to do.
    pub(super) finished: Notify,
}

/// What all workers of a runner share of one scenario.
#[derive(Debug)]
pub(super) struct Shared {
    share: Share,
    bots_begun: AtomicU64,
    /// None: no end by iterations.
    iterations_left: Option<AtomicU64>,
    refill: Option<Mutex<Gate>>,
}

impl Shared {
    fn new(scenario: &Scenario, share: Share) -> Self {
        let refill = match &scenario.load.model {
            Model::Closed(closed) => closed.refill,
            Model::Open(_) => None,
        };
        Self {
            share,
            bots_begun: AtomicU64::new(0),
            iterations_left: scenario.load.iterations.map(|n| AtomicU64::new(share.part(n))),
            refill: refill.map(|refill| Mutex::new(Gate::new(refill, share))),
        }
    }

    pub(super) fn next_bot_id(&self) -> u64 {
        self.share.bot_id(self.bots_begun.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes one of the iterations that are left; false when there are none.
    pub(super) fn take_iteration(&self) -> bool {
        let Some(left) = &self.iterations_left else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// An iteration that was begun and not finished can be another bot's.
    pub(super) fn give_iteration_back(&self) {
        if let Some(left) = &self.iterations_left {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn no_iterations_left(&self) -> bool {
        self.iterations_left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0)
    }

    /// Takes the right to replace a bot, or tells how long to wait for it.
    pub(super) fn take_replacement(&self, since_start: Duration) -> Result<(), Duration> {
        let Some(gate) = &self.refill else { return Ok(()) };
        let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.take(since_start).map_err(|next| next.saturating_sub(since_start))
    }
}

/// A running army, or this runner's share of it.
#[derive(Debug)]
pub struct Army {
    common: Arc<Common>,
    workers: Vec<(mpsc::UnboundedSender<Command>, JoinHandle<()>)>,
}

impl Army {
    /// Begins a run on so many threads. Its times count from `start`; bots begin then, or now if that
    /// has passed.
    pub async fn start(run: Arc<Run>, share: Share, threads: usize, start: Instant) -> Result<Self, Error> {
        let scenarios = run.scenarios.iter().map(|s| Shared::new(s, share)).collect();
        let common = Arc::new(Common { share, start, scenarios, finished: Notify::new() });
        let mut army = Self { common: common.clone(), workers: Vec::new() };
        let of = u32::try_from(threads.max(1)).unwrap_or(1);
        for index in 0..of {
            let (commands, receiver) = mpsc::unbounded_channel();
            let (ready, is_ready) = oneshot::channel();
            let (run, common) = (run.clone(), common.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            let thread = thread.spawn(move || work(run, common, Share { index, of }, receiver, ready))?;
            army.workers.push((commands, thread));
            is_ready.await.map_err(|_| Error::Worker)??;
        }
        army.tell(|| Command::Begin);
        Ok(army)
    }

    /// Keeps so many bots alive over the whole army, if their number can be changed; this runner takes
    /// its share.
    pub fn set_bots(&self, army: u32) {
        self.tell(|| Command::Bots(army));
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
        for (commands, _) in &self.workers {
            let (reply, answer) = oneshot::channel();
            let _ = commands.send(Command::Drain(reply));
            // A worker that died has nothing more to tell; its bots are gone.
            let Ok(part) = answer.await else { continue };
            for (sum, part) in [(&mut sum.totals, &part.totals), (&mut sum.warmup, &part.warmup)] {
                if let Err(error) = sum.merge(part) {
                    tracing::error!("measures of a worker cannot be added: {error}");
                }
            }
            sum.alive += part.alive;
            sum.finished &= part.finished;
        }
        sum
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
