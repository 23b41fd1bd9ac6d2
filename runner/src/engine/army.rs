//! The handle of a running army: its threads, its orders, its measures.

use super::refill::Gate;
use super::share::Share;
use super::worker::{self, Command, Local};
use botarmy_report::Totals;
use botarmy_spec::Run;
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
    /// The system gives no thread or no runtime.
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
    /// Bots alive now.
    pub alive: u32,
    /// Nothing more will come.
    pub finished: bool,
}

/// What all workers of a runner share; nothing of it is touched at each tick.
#[derive(Debug)]
pub(super) struct Common {
    share: Share,
    started: Instant,
    bots_begun: AtomicU64,
    /// None: no end by iterations.
    pub(super) iterations_left: Option<AtomicU64>,
    refill: Option<Mutex<Gate>>,
    /// A worker has nothing left to do.
    pub(super) finished: Notify,
}

impl Common {
    pub(super) fn next_bot_id(&self) -> u64 {
        self.share.bot_id(self.bots_begun.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes the right to replace a bot, or tells how long to wait for it.
    pub(super) fn take_replacement(&self) -> Result<(), Duration> {
        let Some(gate) = &self.refill else { return Ok(()) };
        let since_start = self.started.elapsed();
        let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.take(since_start).map_err(|next| next.saturating_sub(since_start))
    }
}

/// A running army, or this runner's share of it.
#[derive(Debug)]
pub struct Army {
    share: Share,
    common: Arc<Common>,
    workers: Vec<(mpsc::UnboundedSender<Command>, JoinHandle<()>)>,
}

impl Army {
    /// Starts the bots of a run on so many threads.
    pub async fn start(run: Arc<Run>, share: Share, threads: usize) -> Result<Self, Error> {
        let common = Arc::new(Common {
            share,
            started: Instant::now(),
            bots_begun: AtomicU64::new(0),
            iterations_left: run.iterations.map(|n| AtomicU64::new(share.part(n))),
            refill: run.refill.map(|refill| Mutex::new(Gate::new(refill, share))),
            finished: Notify::new(),
        });
        let mut army = Self { share, common: common.clone(), workers: Vec::new() };
        for index in 0..threads.max(1) {
            let (commands, receiver) = mpsc::unbounded_channel();
            let (ready, is_ready) = oneshot::channel();
            let (run, common) = (run.clone(), common.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            let thread = thread.spawn(move || work(run, common, receiver, ready))?;
            army.workers.push((commands, thread));
            is_ready.await.map_err(|_| Error::Worker)??;
        }
        army.set_bots(run.bots);
        Ok(army)
    }

    /// Keeps so many bots alive over the whole army; this runner takes its share.
    pub fn set_bots(&self, army: u32) {
        let mine = self.share.bots(army);
        let workers = u32::try_from(self.workers.len()).unwrap_or(1);
        for (index, (commands, _)) in (0..).zip(&self.workers) {
            let share = Share { index, of: workers };
            // A worker that is gone has told why.
            let _ = commands.send(Command::Bots(share.bots(mine)));
        }
    }

    /// Bots end at their next tick; requests in flight come to their end.
    pub fn stop(&self) {
        self.tell(|| Command::Stop);
    }

    /// What still goes on is given up and counted as cancelled.
    pub fn cancel(&self) {
        self.tell(|| Command::Cancel);
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for (commands, _) in &self.workers {
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
            if let Err(error) = sum.totals.merge(&part.totals) {
                tracing::error!("measures of a worker cannot be added: {error}");
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
fn work(run: Arc<Run>, common: Arc<Common>, commands: mpsc::UnboundedReceiver<Command>, ready: Ready) {
    let begun = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::from)
        .and_then(|runtime| Ok((runtime, Local::new(run, common)?)));
    let (runtime, local) = match begun {
        Ok(begun) => begun,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(())).is_ok() {
        tokio::task::LocalSet::new().block_on(&runtime, worker::supervise(Rc::new(local), commands));
    }
}
