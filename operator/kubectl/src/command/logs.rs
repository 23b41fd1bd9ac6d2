//! `kubectl botarmy logs`.

mod follow;
mod lines;
mod pod;
mod source;

use crate::cluster::{self, Cluster, Where};
use crate::{ending, names};
use botarmy_console::output::{complain, print, unprinted};
use botarmy_report::Exit;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use lines::prefixed;
use pod::{Stage, selector, sorted, stage};
use source::{Reading, asked};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Most pods whose logs are looked at.
const MAX_PODS: u32 = 4_000;
/// How long a log that is read to its end may bring nothing.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the run.
    #[arg(value_parser = names::of_run)]
    name: String,
    /// Go on until the run is over; pods that take the place of lost ones are followed too.
    #[arg(short, long)]
    follow: bool,
    /// Only that of this runner, from 0.
    #[arg(long, value_name = "INDEX")]
    runner: Option<u32>,
    /// Only so many of the last lines of each pod.
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Cluster(#[from] cluster::Error),
    #[error(
        "botrun/{0} has no such pod: it was not made yet, or is gone; kubectl describe botrun {0} tells how the run does"
    )]
    NoPod(String),
    #[error("botrun/{0} has no UID, which the API server always gives")]
    NoUid(String),
    #[error("the log of {pod} breaks off: {error}; try again")]
    BrokenOff { pod: String, error: io::Error },
    #[error("stdout cannot be written to: {0}")]
    Print(#[source] io::Error),
}

pub(super) async fn logs(args: &Args, place: &Where) -> Result<Exit, super::Error> {
    let cluster = Cluster::find(place).await?;
    match print_logs(args, &cluster).await {
        Ok(0) => complain(
            &"the pods have said nothing; what bots do is in the bot log, which a pod writes where BOTARMY_LOG_FILE says",
        ),
        Ok(_) => {}
        Err(Error::Print(error)) => return Ok(unprinted(&error)),
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Passed)
}

/// Prints the logs, and tells how many lines there were.
async fn print_logs(args: &Args, cluster: &Cluster) -> Result<u64, Error> {
    let run = cluster.run(&args.name).await?;
    let uid = run.uid().ok_or_else(|| Error::NoUid(args.name.clone()))?;
    let selector = selector(&uid, args.runner);
    let pods = list(cluster, &selector).await?;
    let is_over = ending::outcome(&run).is_some();
    if pods.is_empty() && (is_over || !args.follow) {
        return Err(Error::NoPod(args.name.clone()));
    }
    let mut printer = Printer { on_terminal: io::stdout().is_terminal(), lines: 0 };
    if args.follow {
        follow::follow(cluster, &run, pods, &selector, args.tail, &mut printer).await?;
    } else {
        for pod in &pods {
            print_log(cluster, pod, args.tail, &mut printer).await?;
        }
    }
    Ok(printer.lines)
}

async fn list(cluster: &Cluster, selector: &str) -> Result<Vec<Pod>, Error> {
    let which = ListParams::default().labels(selector).limit(MAX_PODS);
    let listed = cluster.call(cluster.pods().list(&which)).await?;
    if listed.metadata.continue_.is_some_and(|more| !more.is_empty()) {
        complain(&format_args!(
            "only {MAX_PODS} pods are looked at; choose one of the runners with --runner"
        ));
    }
    Ok(sorted(listed.items))
}

/// Prints what a pod has said so far.
async fn print_log(
    cluster: &Cluster,
    pod: &Pod,
    tail: Option<u32>,
    printer: &mut Printer,
) -> Result<(), Error> {
    let name = pod.name_any();
    if stage(pod) == Stage::Waiting {
        complain(&format_args!("{name} has not begun, and has no log"));
        return Ok(());
    }
    let pods = cluster.pods();
    let mut reading = Reading::new(cluster.call(pods.log_stream(&name, &asked(tail))).await?);
    loop {
        let read = tokio::time::timeout(SILENCE, reading.next()).await;
        let read = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let Some(line) = read.map_err(|error| Error::BrokenOff { pod: name.clone(), error })? else {
            return Ok(());
        };
        printer.print(&name, &line)?;
    }
}

/// Prints lines, each at once.
struct Printer {
    on_terminal: bool,
    /// How many there were.
    lines: u64,
}

impl Printer {
    fn print(&mut self, pod: &str, text: &str) -> Result<(), Error> {
        self.lines = self.lines.saturating_add(1);
        print(&prefixed(pod, text, self.on_terminal)).map_err(Error::Print)
    }
}
