//! `runner run`: an army here and now.

mod conduct;

use self::conduct::{Conducted, Watchers, conduct};
use super::input::Input;
use super::output::complain;
use super::result_file::{self, OutArgs, ResultFile, deliver};
use super::{Exit, FileArg, runtime};
use crate::bot_log::{self, BotLog, Layout};
use crate::engine::Share;
use crate::limits;
use crate::metrics::Metrics;
use crate::otlp::{Destination, Pusher};
use crate::target::{Knobs, Shop};
use botarmy_console::interrupts::Interrupts;
use botarmy_report::{RunResult, Totals};
use botarmy_spec::{Overrides, Run};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Builder;

pub(super) const EXIT_CODES: &str = "Exit codes: 0 passed, 1 invalid input (nothing was started), 2 wrong command line, \
     3 setup or teardown failed, or no bot could begin after setup, 4 passed but the result could not be written, 99 thresholds failed, \
     130 second interrupt (SIGINT or SIGTERM).";

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
    /// A file with the rows of data, in the place of where the run's file takes them from.
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    /// Where a source of trees is here: a file or a folder. May be given several times.
    #[arg(long, value_name = "NAME=PATH", value_parser = super::input::source)]
    source: Vec<(String, PathBuf)>,
    #[command(flatten)]
    results: OutArgs,
    /// Serve what is measured to a Prometheus scraper, at /metrics of this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// Write what each bot does into this file, line by line; a file that exists is appended to.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Write these lines as JSON.
    #[arg(long, requires = "log_file")]
    format_json_logs: bool,
    /// Push what is measured to a collector of OpenTelemetry, such as `http://127.0.0.1:4318`: every 10 s and
    /// at the end, to /v1/metrics there. Without it, the environment says where, as for other programs:
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// A header to send with each push. May be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    otlp_header: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Army(#[from] crate::engine::Error),
    #[error("{0}")]
    Shop(#[from] crate::target::Error),
    #[error("the runtime cannot be started: {0}; check the limits of processes and open files")]
    Runtime(#[from] std::io::Error),
    #[error("{0}")]
    Out(#[from] result_file::Error),
    #[error("{0}")]
    Metrics(#[from] crate::metrics::Error),
    #[error(
        "--data: the run's file takes no rows whose place these could take; add data: {{file: FILE}} to it"
    )]
    NoData,
    #[error("{0}")]
    Log(#[from] bot_log::Error),
    #[error("{0}")]
    Otlp(#[from] crate::otlp::Error),
}

pub(super) fn run(args: Args) -> Exit {
    let runtime = runtime::build(Builder::new_multi_thread().worker_threads(1));
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
    let outs = ResultFile::check_all(&args.results, args.log_file.as_deref())?;
    let collector = Destination::choose(args.otlp_endpoint.as_deref(), &args.otlp_header, |name| {
        std::env::var(name).ok()
    })?;
    let mut target = args.target;
    if args.demo_target {
        let shop = Shop::open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Knobs::default()).await?;
        target = Some(format!("http://{}", shop.address()));
        tokio::spawn(shop.serve(std::future::pending()));
    }
    let (tree, bots, duration) = (args.tree, args.bots, args.duration);
    let (iterations, seed) = (args.iterations, args.seed);
    let data = args.data.map(absolute).transpose()?;
    let with_data = data.is_some();
    let overrides = Overrides { tree, target, bots, duration, iterations, seed, data };
    let stopped = input.stopped();
    input.of_clusters().iter().for_each(complain);
    let metrics = match args.metrics_listen {
        Some(address) => Some(Metrics::serve(address).await?),
        None => None,
    };
    if let Some(metrics) = &metrics {
        complain(&format_args!("metrics at http://{}/metrics", metrics.address()));
    }
    let run = Arc::new(input.run(overrides, &args.source.into_iter().collect()).map_err(refused)?);
    if with_data && run.scenarios.iter().all(|scenario| scenario.data.is_none()) {
        return Err(Error::NoData);
    }
    let log = match args.log_file.filter(|_| stopped.is_none()) {
        Some(path) => {
            let layout = if args.format_json_logs { Layout::Json } else { Layout::Pairs };
            Some(BotLog::open(&bot_log::Settings { path, layout }, bot_log::run_id(&run))?)
        }
        None => None,
    };
    for lacking in limits::prepare(&run, Share::WHOLE) {
        complain(&format_args!("warning: {lacking}"));
    }
    let result = match stopped {
        Some(place) => Some(Conducted { result: end_before_it_begins(&run, &place), pusher: None }),
        None => {
            let pusher = collector.map(|to| Pusher::new(to, &run.name, Vec::new()));
            let watchers = Watchers { metrics, pusher, log: log.as_ref().map(|log| log.sink().clone()) };
            conduct(run, watchers).await?
        }
    };
    let Some(Conducted { result, pusher }) = result else { return Ok(Exit::Interrupted) };
    let exit = deliver(&result, outs);
    close(log).await?;
    // The result does not wait for a collector, nor does who has seen enough.
    if let Some(pusher) = pusher {
        let interrupts = Interrupts::listen()?;
        tokio::select! {
            told = pusher.end() => told.iter().for_each(complain),
            () = interrupts.reached(1) => {}
        }
    }
    Ok(exit)
}

/// A file named on the command line lies in the working directory, not beside the run's file.
fn absolute(file: String) -> Result<String, std::io::Error> {
    std::path::absolute(file).map(|file| file.display().to_string())
}

/// Closes the bot log and tells what is missing in it.
async fn close(log: Option<BotLog>) -> Result<(), Error> {
    let Some(log) = log else { return Ok(()) };
    let closed = tokio::task::spawn_blocking(|| log.close()).await.map_err(std::io::Error::other)?;
    closed.complaint().iter().for_each(complain);
    Ok(())
}

/// A run that is stopped is judged by what it did, as it is on a cluster: nothing.
fn end_before_it_begins(run: &Run, place: &str) -> RunResult {
    complain(&format_args!(
        "{place}: the run is stopped, so that no bot was started; leave it out to run it"
    ));
    run.judge(&Totals::default(), 0, 0)
}
