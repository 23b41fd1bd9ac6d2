//! Puts the parts together and runs them until the process is told to end.

use crate::armies::Armies;
use crate::certificates::{Custodian, Setup};
use crate::checkpoint::Keeper;
use crate::controller::Limits;
use crate::coordinator::{self, Coordinator, Reviewer};
use crate::election::{self, Candidate, Leadership};
use crate::metrics::{self, Metrics};
use crate::readiness::{self, Readiness};
use crate::{Settings, controller, endpoint, health, schedules};
use kube::Client;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long writing the last checkpoints may take at the end.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No API server.
    #[error("the API server cannot be found: {0}; the operator runs in a cluster, or with a kubeconfig")]
    Client(#[from] Box<kube::Error>),
    /// Nobody could be served.
    #[error("{0}")]
    Readiness(#[from] readiness::Error),
    /// An address is taken.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The limits cannot be read.
    #[error("the limits in {0} cannot be read: {1}; correct the value limits of the chart")]
    Limits(PathBuf, String),
    /// Signals cannot be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(std::io::Error),
    /// Another operator leads.
    #[error("{0}")]
    Election(#[from] election::Error),
    /// A part of the operator has died.
    #[error("a part of the operator has died: {0}; it begins anew")]
    Died(#[from] tokio::task::JoinError),
}

/// Runs the operator until the process is told to end. It listens from the start, and does the rest once it leads.
pub async fn serve(settings: Settings) -> Result<(), Error> {
    let ended = terminations()?;
    raise_open_files();
    let limits = settings.limits.as_deref().map(read_limits).transpose()?.unwrap_or_default();
    let metrics = Arc::new(Metrics::default());
    let client = metrics::client(metrics.clone()).await.map_err(Box::new)?;
    let health_port = listen(settings.health).await?;
    let runners = listen(settings.listen).await?;
    let (armies, readiness) = (Arc::new(Armies::default()), Arc::new(Readiness::default()));
    let Settings { namespace, lease, pod, .. } = &settings;
    let (candidate, leadership) = Candidate::new(client.clone(), namespace, lease, pod, &process());
    let shown = metrics::routes(metrics.clone(), armies.clone());
    let mut health = tokio::spawn(health::serve(health_port, readiness.clone(), leadership.clone(), shown));
    tokio::spawn(follow_standing(leadership.clone(), metrics.clone()));
    let mut heart = live(armies.clone());
    let setup = Setup {
        namespace: namespace.clone(),
        secret: settings.ca_secret.clone(),
        hosts: settings.coordinator_hosts(),
        valid_for: settings.ca_validity,
        armies: armies.clone(),
        leadership: leadership.clone(),
        metrics: metrics.clone(),
    };
    let (custodian, in_force) = tokio::select! {
        () = told(ended.clone()) => return Ok(()),
        died = &mut health => return Ok(died?),
        begun = Custodian::begin_when_possible(client.clone(), setup, &readiness) => begun,
    };
    readiness.listening(settings.listen, &settings.coordinator_host(), in_force.clone())?;

    let (resign, resigned) = watch::channel(false);
    let election = tokio::spawn(candidate.stand(told(resigned)));

    let keeper = Arc::new(Keeper::new(client.clone(), armies.clone(), leadership.clone(), metrics.clone()));
    let reviewer = Arc::new(Reviewer::new(client.clone()));
    let coordinator = Coordinator::new(
        armies.clone(),
        reviewer,
        keeper.clone(),
        leadership.clone(),
        in_force.clone(),
        metrics.clone(),
    );
    let routes = coordinator::routes(coordinator);
    let coordinator = coordinator::serve(runners, in_force.clone(), routes, metrics.clone());
    let context = controller::Context::new(
        client.clone(),
        settings.clone(),
        armies,
        leadership.clone(),
        in_force,
        limits,
        metrics,
    );
    let lead = lead(client, settings, Arc::new(context), keeper, leadership, readiness, ended);

    // A crash of any of them must end the process. They have a task each, so that none waits for another.
    let (mut coordinator, mut custodian) = (tokio::spawn(coordinator), tokio::spawn(custodian.keep()));
    let mut election = std::pin::pin!(election);
    tokio::select! {
        lost = &mut election => lost??,
        died = &mut health => died?,
        died = &mut coordinator => died?,
        died = &mut custodian => died?,
        died = &mut heart => died?,
        () = lead => {
            resign.send_replace(true);
            election.await??;
        }
    }
    Ok(())
}

/// Keeps the heart of the process beating. That is a task of its own, like those in which runners are heard: it stands still
/// when they do, and never for less.
fn live(armies: Arc<Armies>) -> JoinHandle<()> {
    tokio::spawn(async move { armies.live().await })
}

/// Waits for the leadership, and does its work until the process is told to end.
async fn lead(
    client: Client,
    settings: Settings,
    context: Arc<controller::Context>,
    keeper: Arc<Keeper>,
    mut leadership: Leadership,
    readiness: Arc<Readiness>,
    ended: watch::Receiver<bool>,
) {
    tokio::select! {
        () = told(ended.clone()) => return,
        () = leadership.begins() => {}
    }
    let metrics = context.metrics();
    // Not as tasks of their own: a crash of one must end the process.
    let loops = async {
        tokio::join!(
            endpoint::lead(client.clone(), &settings, leadership.clone(), told(ended.clone())),
            controller::run(context, readiness, told(ended.clone())),
            schedules::run(client.clone(), leadership.clone(), metrics, told(ended.clone())),
        )
    };
    tokio::select! {
        _ = loops => {}
        () = keeper.keep() => {}
    }
    if tokio::time::timeout(LAST_WRITES, keeper.last()).await.is_err() {
        tracing::warn!(
            "the last checkpoints were not written in time; runners send again what is not in them"
        );
    }
}

/// Each runner has a connection, and what is allowed at first may be few.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!("no more than {current:?} files can be open: {error}");
    }
}

/// What tells this process from others of the same pod, before and after it.
fn process() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", since.as_nanos())
}

/// Becomes true when the process is told to end.
fn terminations() -> Result<watch::Receiver<bool>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tell.send_replace(true);
        // Kept, so that nobody takes its end for a signal.
        std::future::pending::<()>().await;
    });
    Ok(told)
}

/// Comes when something was told.
async fn told(mut told: watch::Receiver<bool>) {
    if told.wait_for(|told| *told).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn read_limits(path: &Path) -> Result<Limits, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::Limits(path.to_owned(), why.to_string());
    let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
    Limits::read(&text).map_err(|e| failed(&e))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|e| Error::Listen(address, e))
}

/// Shows in the metrics whether this operator leads.
async fn follow_standing(mut leadership: Leadership, metrics: Arc<Metrics>) {
    loop {
        let now = leadership.now();
        metrics.lead(now.leads(), now.epoch().unwrap_or_default());
        if !leadership.changed().await {
            return;
        }
    }
}
