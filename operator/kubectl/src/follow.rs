//! A run, followed to its end.

mod heed;
mod patience;
mod progress;

pub(crate) use patience::Patience;

use crate::cluster::{self, Cluster};
use crate::ending;
use botarmy_console::interrupts::Interrupts;
use botarmy_console::output::complain;
use botarmy_console::result_file::ResultFile;
use botarmy_crds::BotRun;
use botarmy_report::Exit;
use botarmy_report::quantity::span;
use futures::StreamExt;
use heed::Heed;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use progress::Progress;
use std::pin::pin;
use std::time::{Duration, Instant};

/// How often what is shown is made anew while nothing is heard, and how long after a try to end a run the next one comes.
const TICK: Duration = Duration::from_secs(1);

/// Why a run cannot be followed to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("botrun/{0} is gone: somebody has deleted it; apply it anew if it is to run")]
    Gone(String),
    #[error("{error}; botrun/{run} may go on all the while; watch it: {watch}; end it: {stop}")]
    Lost { error: Box<cluster::Error>, run: String, watch: String, stop: String },
    #[error(
        "botrun/{run} was at work already, and what was applied is not what it performs: {why}. Give this run another name with --name; or wait for the end of that one, or end it ({stop}), delete it, and try again"
    )]
    NotPerformed { run: String, why: String, stop: String },
}

impl Error {
    /// Whether a run was begun whose end is not known.
    pub(crate) fn leaves_the_end_unknown(&self) -> bool {
        match self {
            Self::Gone(_) | Self::Lost { .. } => true,
            Self::NotPerformed { .. } => false,
        }
    }
}

/// What an interrupt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// The first one stops the run, whose end is waited for; the second one leaves it.
    Stop,
    /// It leaves the run as it is.
    Leave,
}

/// How a run is followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) on_interrupt: OnInterrupt,
    /// For how long; none: to the end of the run.
    pub(crate) timeout: Option<Duration>,
    /// The generation of the spec whose outcome is wanted; none if that of whatever the run performs is.
    pub(crate) wanted: Option<i64>,
}

/// How the following ended.
enum End {
    /// The run is over.
    Over(Box<BotRun>),
    /// The time was over before.
    TimedOut(Duration),
    /// Whoever followed it has seen enough.
    Left,
}

/// Follows a run, and tells its end: with the summary and the files if that was waited for.
pub(crate) async fn to_the_end(
    cluster: &Cluster,
    run: BotRun,
    how: How,
    interrupts: &Interrupts,
    files: Vec<ResultFile>,
) -> Result<Exit, Error> {
    let name = run.name_any();
    let (watch, stop) = (cluster.command("watch", &name), cluster.command("stop", &name));
    Ok(match Box::pin(follow(cluster, run, how, interrupts)).await? {
        End::Over(run) => ending::tell(&run, files),
        End::TimedOut(limit) => {
            let limit = span(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
            complain(&format_args!(
                "botrun/{name} has not come to its end within {limit}, and goes on; watch it: {watch}; end it: {stop}"
            ));
            Exit::TimedOut
        }
        End::Left => {
            complain(&format_args!("botrun/{name} is left to itself; watch it: {watch}; end it: {stop}"));
            Exit::Interrupted
        }
    })
}

async fn follow(cluster: &Cluster, run: BotRun, how: How, interrupts: &Interrupts) -> Result<End, Error> {
    let (name, uid) = (run.name_any(), run.uid());
    // The backoff comes last: a list that is begun would be taken for a success, and never be waited for longer.
    let mut changes = pin!(watch_object(cluster.runs(), &name).default_backoff());
    let mut late = pin!(over_after(how.timeout));
    let mut stopping = pin!(stop_when_interrupted(cluster, &name, interrupts));
    let mut tick = tokio::time::interval(TICK);
    let (mut progress, mut patience) = (Progress::new(Instant::now()), Patience::default());
    let stops = how.on_interrupt == OnInterrupt::Stop;
    let (mut run, mut stopped, mut wanted) = (run, false, how.wanted);
    loop {
        if is_performed(cluster, &run, wanted)? {
            wanted = None;
        }
        if ending::outcome(&run).is_some() {
            return Ok(End::Over(Box::new(run)));
        }
        progress.show(&run, Instant::now());
        tokio::select! {
            change = changes.next() => match change {
                // One of the same name that was made later is another run.
                Some(Ok(Some(new))) if new.uid() == uid => {
                    patience.heard();
                    run = new;
                }
                Some(Err(error)) => {
                    let said = patience.lost(Instant::now(), cluster.cut_off(error));
                    said.map_err(|error| lost(cluster, &name, error))?.iter().for_each(complain);
                }
                Some(Ok(_)) | None => return Err(Error::Gone(name.clone())),
            },
            _ = tick.tick() => {}
            limit = &mut late => return Ok(End::TimedOut(limit)),
            () = interrupts.reached(if stops { 2 } else { 1 }) => return Ok(End::Left),
            () = &mut stopping, if stops && !stopped => stopped = true,
        }
    }
}

fn lost(cluster: &Cluster, name: &str, error: cluster::Error) -> Error {
    let (watch, stop) = (cluster.command("watch", name), cluster.command("stop", name));
    Error::Lost { error: Box::new(error), run: name.to_owned(), watch, stop }
}

/// Whether it is certain that a run performs the spec of the generation that is wanted, if any is.
pub(crate) fn is_performed(cluster: &Cluster, run: &BotRun, wanted: Option<i64>) -> Result<bool, Error> {
    let name = run.name_any();
    match wanted.map(|generation| heed::of(run, generation)) {
        None | Some(Heed::Performed) => Ok(true),
        Some(Heed::Unknown) => Ok(false),
        Some(Heed::Ignored(why)) => {
            Err(Error::NotPerformed { stop: cluster.command("stop", &name), run: name, why })
        }
    }
}

/// Tells a run to end once an interrupt has come, and tries until it is told: the cluster may be away just then.
async fn stop_when_interrupted(cluster: &Cluster, name: &str, interrupts: &Interrupts) {
    interrupts.reached(1).await;
    complain(&"the run is told to end, and its end is waited for; a second interrupt leaves it at once");
    let mut said = None;
    while let Err(error) = cluster.stop(name).await {
        let why = error.to_string();
        if said.as_ref() != Some(&why) {
            complain(&format_args!("it could not be told: {why}; trying again"));
            said = Some(why);
        }
        tokio::time::sleep(TICK).await;
    }
    if said.is_some() {
        complain(&"it is told now");
    }
}

/// Comes when the time is over, with how long it was; never if there is no limit.
async fn over_after(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
