//! What a pod runs: checks in with the coordinator, waits for the start, runs its share of the
//! army, hands over its measures, and leaves when they are safe.

mod clock;
mod link;
mod outbox;

use crate::engine::{self, Army, Share, Snapshot};
use crate::metrics::Metrics;
use crate::seconds::Seconds;
use botarmy_protocol::{CheckIn, INTERVAL_MS, Orders, RunRef, Stage, VERSION, env};
use botarmy_report::Totals;
use botarmy_spec::Run;
use botarmy_tree::{Actions, Path};
use link::Link;
use outbox::Outbox;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long a runner works without its coordinator before it stops by itself.
const LEASE: Duration = Duration::from_secs(120);
const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);

/// Why a runner cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not started by the operator.
    #[error(
        "the environment variable {0} is missing or wrong; this command is for the pods that the operator makes"
    )]
    Environment(&'static str),
    /// The coordinator cannot be talked to.
    #[error("{0}")]
    Link(#[from] link::Error),
    /// The coordinator was away for too long.
    #[error("no coordinator for {0:?}; the bots were stopped")]
    LeaseOver(Duration),
    /// The plan is wrong here.
    #[error("the plan cannot be run: {0}")]
    Plan(String),
    /// The army cannot be started.
    #[error("{0}")]
    Army(#[from] engine::Error),
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Who this runner is, from its environment.
#[derive(Debug, Clone)]
pub struct Identity {
    coordinator: String,
    run: RunRef,
    index: u32,
    pod_uid: String,
    metrics: Option<SocketAddr>,
}

impl Identity {
    /// Reads the environment through `get`.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let need = |name: &'static str| get(name).filter(|v| !v.is_empty()).ok_or(Error::Environment(name));
        Ok(Self {
            coordinator: need(env::COORDINATOR)?,
            run: RunRef {
                namespace: need(env::NAMESPACE)?,
                name: need(env::NAME)?,
                uid: need(env::RUN_UID)?,
            },
            index: need(env::INDEX)?.parse().map_err(|_| Error::Environment(env::INDEX))?,
            pod_uid: need(env::POD_UID)?,
            metrics: get(env::METRICS_LISTEN)
                .filter(|v| !v.is_empty())
                .map(|v| v.parse().map_err(|_| Error::Environment(env::METRICS_LISTEN)))
                .transpose()?,
        })
    }
}

/// Works for a run until all measures are safe with the coordinator.
pub async fn run(identity: Identity) -> Result<(), Error> {
    let metrics = match identity.metrics {
        // A run is not given up because nobody can watch it.
        Some(address) => Metrics::serve(address).await.map_err(|e| tracing::warn!("{e}")).ok(),
        None => None,
    };
    let mut agent = Agent {
        link: Link::new(&identity.coordinator)?,
        identity,
        outbox: Outbox::default(),
        heard: Instant::now(),
        round_trip: None,
        epoch: 0,
        unknown: false,
        metrics: metrics.map(|metrics| (metrics, Totals::default())),
    };
    let (run, share, start, orders) = agent.wait_for_start().await?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // It begins before the start, so that its threads are there when the bots begin.
    let army = Army::start(Arc::new(run), share, threads, start).await?;
    let left = agent.work(&army, start, &orders).await;
    tokio::task::spawn_blocking(move || army.join()).await.map_err(std::io::Error::other)?;
    left
}

struct Agent {
    identity: Identity,
    link: Link,
    outbox: Outbox,
    /// When the coordinator was last heard.
    heard: Instant,
    round_trip: Option<Duration>,
    epoch: u64,
    /// The coordinator says that it does not know the run.
    unknown: bool,
    /// Shows the sum of what this runner has measured.
    metrics: Option<(Metrics, Totals)>,
}

impl Agent {
    /// Checks in; none if the coordinator cannot be reached just now.
    async fn check_in(&mut self, stage: Stage, alive: u32) -> Option<(Orders, Instant)> {
        let check_in = CheckIn {
            protocol: VERSION,
            run: self.identity.run.clone(),
            index: self.identity.index,
            pod_uid: self.identity.pod_uid.clone(),
            stage,
            alive,
            round_trip_ms: self.round_trip.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            deltas: self.outbox.pending(),
        };
        let sent = Instant::now();
        match self.link.post(&check_in).await {
            Ok(orders) if orders.epoch < self.epoch => {
                tracing::warn!("orders of an older coordinator are refused (epoch {})", orders.epoch);
                None
            }
            Ok(orders) => {
                self.heard = Instant::now();
                self.epoch = orders.epoch;
                self.unknown = false;
                self.round_trip = Some(sent.elapsed());
                self.outbox.settle(orders.durable);
                Some((orders, sent))
            }
            Err(error) => {
                self.unknown = error.is_unknown_run();
                tracing::warn!("the coordinator cannot be reached: {error}");
                None
            }
        }
    }

    fn show(&mut self, snapshot: &Snapshot) {
        let Some((metrics, sum)) = &mut self.metrics else { return };
        if let Err(error) = sum.merge(&snapshot.totals) {
            tracing::error!("measures cannot be added: {error}");
        }
        metrics.show(sum, snapshot.alive, snapshot.finished);
    }

    fn lease_is_over(&self) -> bool {
        self.heard.elapsed() > LEASE
    }

    async fn wait_for_start(&mut self) -> Result<(Run, Share, Instant, Orders), Error> {
        loop {
            if self.lease_is_over() {
                return Err(Error::LeaseOver(LEASE));
            }
            if let Some((orders, sent)) = self.check_in(Stage::Ready, 0).await
                && let (Some(plan), Some(start_at)) = (&orders.plan, orders.start_at_ms)
            {
                let name = &self.identity.run.name;
                let run = Run::check(&plan.spec, name, &Path::top().field("spec"), &Actions::built_in());
                let run = run.map_err(|f| {
                    Error::Plan(f.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
                })?;
                let share = Share { index: self.identity.index, of: plan.runners };
                let start = clock::local_instant(start_at, orders.now_ms, sent, Instant::now());
                return Ok((run, share, start, orders));
            }
            tokio::time::sleep(INTERVAL / 4).await;
        }
    }

    /// Reports each second until the run is over, then until everything is durable.
    async fn work(&mut self, army: &Army, start: Instant, orders: &Orders) -> Result<(), Error> {
        let mut terminations = signal(SignalKind::terminate())?;
        let mut seconds = Seconds::since(start);
        let mut ending = false;
        let mut abandoned = false;
        let mut terminated = false;
        obey(army, orders, &mut ending);
        loop {
            tokio::select! {
                () = tokio::time::sleep(if ending { INTERVAL / 10 } else { seconds.rest(Instant::now()) }) => {}
                () = army.worker_finished() => {}
                _ = terminations.recv() => {
                    terminated = true;
                    ending = true;
                    army.stop();
                }
            }
            let snapshot = army.drain().await;
            let second = seconds.take(Instant::now());
            self.show(&snapshot);
            self.outbox.add(snapshot.warmup, second, true, snapshot.alive);
            self.outbox.add(snapshot.totals, second, false, snapshot.alive);
            let stage = if snapshot.finished { Stage::Finished } else { Stage::Running };
            let orders = self.check_in(stage, snapshot.alive).await.map(|(orders, _)| orders);
            if let Some(orders) = &orders {
                obey(army, orders, &mut ending);
            }
            if self.lease_is_over() && !abandoned {
                abandoned = true;
                ending = true;
                army.stop();
            }
            match (snapshot.finished, self.outbox.is_empty(), abandoned) {
                (true, true, _) if orders.is_some() => return Ok(()),
                // The run was deleted: nobody is left who wants the rest.
                (true, ..) if terminated && self.unknown => return Ok(()),
                (true, _, true) => return Err(Error::LeaseOver(LEASE)),
                // What is not durable yet is asked after as soon as it can be.
                (true, ..) => ending = true,
                _ => {}
            }
        }
    }
}

/// Does what the coordinator says. A run that was stopped before it began starts no bot.
fn obey(army: &Army, orders: &Orders, ending: &mut bool) {
    army.set_bots(orders.bots);
    if orders.stop && !*ending {
        *ending = true;
        army.stop();
    }
}

/// Whether something was measured that is worth a delta.
fn is_worth_telling(totals: &Totals) -> bool {
    totals.requests > 0 || totals.bots_started > 0 || totals.iterations > 0 || !totals.rows.is_empty()
}
