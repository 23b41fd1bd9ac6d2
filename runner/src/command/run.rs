//! `runner run`: an army here and now.

use super::input::Input;
use super::output::{complain, say};
use super::progress::Progress;
use super::result_file::{self, FormatArg, ResultFile};
use super::{Exit, FileArg};
use crate::engine::{Army, Share};
use crate::metrics::Metrics;
use crate::seconds::Seconds;
use crate::target::{Knobs, Shop};
use botarmy_report::{Presence, RunOutcome, RunResult, Timeline, Totals, summary};
use botarmy_spec::{Overrides, Run};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) const EXIT_CODES: &str = "Exit codes: 0 passed, 1 invalid input (nothing was started), 2 wrong command line, \
     99 thresholds failed, 130 second interrupt (SIGINT or SIGTERM).";

/// How often a run that is ending is looked at.
const ENDING_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
    /// The tree to run.
    #[arg(long)]
    tree: Option<String>,
    /// The address of what is tested.
    #[arg(long, value_name = "URL", conflicts_with = "demo_target")]
    target: Option<String>,
    /// Test a small shop that is started for it.
    #[arg(long)]
    demo_target: bool,
    /// Bots alive at once.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    bots: Option<i32>,
    /// How long, such as 30s or 5m.
    #[arg(long, value_name = "D", allow_hyphen_values = true)]
    duration: Option<String>,
    /// How many passes of the tree over all bots.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    iterations: Option<i64>,
    /// The seed of all draws.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
    /// Write the result into this file, in the form that its suffix stands for: .json, .html, .csv, .xml
    /// (JUnit) or .txt, else JSON. May be given several times. A run that is cut short leaves it as it was.
    #[arg(long, value_name = "FILE")]
    out: Vec<PathBuf>,
    /// The form of what is written, whatever the suffix.
    #[arg(long, requires = "out")]
    format: Option<FormatArg>,
    /// Serve what is measured to a Prometheus scraper, at /metrics of this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Army(#[from] crate::engine::Error),
    #[error("{0}")]
    Shop(#[from] crate::target::Error),
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("{0}")]
    Out(#[from] result_file::Error),
    #[error("{0}")]
    Metrics(#[from] crate::metrics::Error),
}

pub(super) fn run(args: Args) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = runtime.map_err(Error::Runtime).and_then(|runtime| {
        let exit = runtime.block_on(start(args));
        // What still runs at a second interrupt is left behind.
        runtime.shutdown_background();
        exit
    });
    result.unwrap_or_else(|error| {
        complain(&error);
        Exit::Invalid
    })
}

async fn start(args: Args) -> Result<Exit, Error> {
    let refused = |r: super::input::Refusal| Error::Refused(r.to_string());
    let input = Input::read(&args.file.file).map_err(refused)?;
    // An output that cannot be written is told before anything starts, not after the run.
    let outs = ResultFile::check_all(&args.out, args.format)?;
    let mut target = args.target;
    if args.demo_target {
        let shop = Shop::open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Knobs::default()).await?;
        target = Some(format!("http://{}", shop.address()));
        tokio::spawn(shop.serve(std::future::pending()));
    }
    let (tree, bots, duration) = (args.tree, args.bots, args.duration);
    let overrides = Overrides { tree, target, bots, duration, iterations: args.iterations, seed: args.seed };
    let stopped = input.stopped();
    let metrics = match args.metrics_listen {
        Some(address) => Some(Metrics::serve(address).await?),
        None => None,
    };
    if let Some(metrics) = &metrics {
        complain(&format_args!("metrics at http://{}/metrics", metrics.address()));
    }
    let run = Arc::new(input.run(overrides).map_err(refused)?);
    let result = match stopped {
        Some(place) => Some(end_before_it_begins(&run, &place)),
        None => conduct(run, metrics).await?,
    };
    let Some(result) = result else { return Ok(Exit::Interrupted) };
    say(&summary(&result));
    // One that cannot be written after all keeps none of the others from being written.
    let written: Vec<_> = outs.into_iter().map(|out| out.write(&result)).collect();
    written.into_iter().collect::<Result<(), _>>()?;
    let failed = matches!(result.outcome, RunOutcome::Failed | RunOutcome::Aborted);
    Ok(if failed { Exit::ThresholdsFailed } else { Exit::Passed })
}

/// A run that is stopped is judged by what it did, as it is on a cluster: nothing.
fn end_before_it_begins(run: &Run, place: &str) -> RunResult {
    complain(&format_args!(
        "{place}: the run is stopped, so that no bot was started; leave it out to run it"
    ));
    run.judge(&Totals::default(), 0, 0)
}

/// What asks a run to end: Ctrl-C in a terminal, or whoever supervises the program.
struct Interrupts {
    from_terminal: Signal,
    from_supervisor: Signal,
}

impl Interrupts {
    fn listen() -> std::io::Result<Self> {
        let (from_terminal, from_supervisor) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { from_terminal, from_supervisor })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.from_terminal.recv() => {}
            _ = self.from_supervisor.recv() => {}
        }
    }
}

/// Runs an army to its end; none if a second interrupt cut it short.
async fn conduct(run: Arc<Run>, metrics: Option<Metrics>) -> Result<Option<RunResult>, Error> {
    let mut interrupts = Interrupts::listen()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    let army = Army::start(run.clone(), Share::WHOLE, threads, started).await?;
    let mut measured = Measured::new(run.clone(), started, metrics);
    let mut finished = measured.until(interrupts.next(), &army, None).await.is_none();
    if !finished {
        measured.progress.say("the run ends; a second interrupt ends it at once, without a result");
        army.stop();
        finished = measured.until(interrupts.next(), &army, Some(ENDING_INTERVAL)).await.is_none();
    }
    measured.progress.finish();
    if !finished {
        return Ok(None);
    }
    let duration = started.elapsed();
    tokio::task::spawn_blocking(move || army.join()).await.map_err(std::io::Error::other)?;
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut result = run.judge(&measured.totals, measured.alive, duration_ms).over_time(&measured.timeline);
    if measured.aborted {
        result.outcome = RunOutcome::Aborted;
    }
    Ok(Some(result))
}

struct Measured {
    run: Arc<Run>,
    started: Instant,
    /// A threshold has ended the run.
    aborted: bool,
    totals: Totals,
    timeline: Timeline,
    presence: Presence,
    alive: u32,
    seconds: Seconds,
    progress: Progress,
    metrics: Option<Metrics>,
}

impl Measured {
    fn new(run: Arc<Run>, started: Instant, metrics: Option<Metrics>) -> Self {
        Self {
            run,
            started,
            aborted: false,
            totals: Totals::default(),
            timeline: Timeline::default(),
            presence: Presence::default(),
            alive: 0,
            seconds: Seconds::since(started),
            progress: Progress::new(started),
            metrics,
        }
    }

    /// Takes measures, at the end of each second unless an interval says otherwise, until nothing more
    /// will come (none) or something else happens (that).
    async fn until<T>(
        &mut self,
        happens: impl Future<Output = T>,
        army: &Army,
        interval: Option<Duration>,
    ) -> Option<T> {
        let mut happens = std::pin::pin!(happens);
        loop {
            tokio::select! {
                happened = &mut happens => return Some(happened),
                () = tokio::time::sleep(interval.unwrap_or(self.seconds.rest(Instant::now()))) => {}
                () = army.worker_finished() => {}
            }
            // Outside of the select: a drain that is dropped half way would lose what was drained.
            let snapshot = army.drain().await;
            if let Err(error) = self.totals.merge(&snapshot.totals) {
                tracing::error!("measures cannot be added: {error}");
            }
            let second = self.seconds.take(Instant::now());
            self.timeline.add(second, &snapshot.totals);
            self.presence.tell(&mut self.timeline, second, snapshot.alive);
            self.alive = snapshot.alive;
            if let Some(metrics) = &mut self.metrics {
                metrics.show(&self.totals, self.alive, snapshot.finished);
            }
            if snapshot.finished {
                return None;
            }
            if !self.aborted
                && let Some(expect) = self.run.aborting(&self.totals, self.started.elapsed())
            {
                self.progress.say(&format!("the run ends: {expect} does not hold"));
                self.aborted = true;
                army.stop();
            }
            self.progress.show(&self.totals, self.alive);
        }
    }
}
