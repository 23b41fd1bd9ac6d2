//! What a pod runs: checks in with the coordinator, gets ready, waits for the start, runs its share of the
//! army, hands over its measures, and leaves when they are safe and it is not needed any more.

mod clock;
mod contact;
mod course;
mod identity;
mod ledger;
mod link;
mod outbox;
mod shown;
mod work;

pub use identity::Identity;
pub use link::{Error as LinkError, Files, Link};

use crate::bot_log::{self, BotLog, Sink};
use crate::data;
use crate::engine::{self, Army, Done, Pause, Share, Start};
use crate::limits;
use crate::metrics::Metrics;
use crate::sources;
use botarmy_protocol::{self as protocol, Mistake, Orders, PREPARING_INTERVAL_MS, Plan, Refusal, Stage, env};
use botarmy_spec::{LossPolicy, Part, Run, Secrets};
use botarmy_tree::{Actions, Context, Finding, Path};
use contact::{Contact, INTERVAL};
use course::{pauses, rates};
use shown::Shown;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Why a runner cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not started by the operator.
    #[error(
        "the environment variable {0} is missing or wrong; this command is for the pods that the operator makes"
    )]
    Environment(&'static str),
    /// A bot log of no known layout.
    #[error(
        "the environment variable {} is neither line nor json; write one of them, or leave it out",
        env::LOG_FORMAT
    )]
    LogFormat,
    /// The bot log that is asked for cannot be kept.
    #[error("{0}")]
    Log(#[from] bot_log::Error),
    /// The coordinator cannot be talked to.
    #[error("{0}")]
    Link(#[from] link::Error),
    /// The coordinator was away for too long.
    #[error("no coordinator for {0:?}; the bots were stopped")]
    LeaseOver(Duration),
    /// The coordinator has answered, but for too long with nothing but refusals.
    #[error("no orders for {0:?}, but refusals, the last of them this: {1}; the bots were stopped")]
    Refused(Duration, String),
    /// Told to end by its pod, before the run was over.
    #[error("the pod was told to end before the run was over; what was measured is handed over")]
    Left,
    /// The army cannot be started.
    #[error("{0}")]
    Army(#[from] engine::Error),
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Works for a run until all measures are safe with the coordinator, who is spoken to by what these files hold.
pub async fn run(identity: Identity, files: Files) -> Result<(), Error> {
    let metrics = match identity.metrics {
        // A run is not given up because nobody can watch it.
        Some(address) => Metrics::serve(address).await.map_err(|e| tracing::warn!("{e}")).ok(),
        None => None,
    };
    let pusher = identity.pusher();
    // A log that cannot be kept is told before the run waits for this runner.
    identity.log.as_ref().map(bot_log::Settings::check).transpose()?;
    let mut agent = Agent {
        contact: Contact::new(identity, files)?,
        shown: Shown::to(metrics, pusher),
        sink: None,
        begins: false,
        may_get_more: false,
        terminated: terminations()?,
    };
    let Some((run, Plan { spec, runners, resume, .. })) = agent.prepare().await? else { return Ok(()) };
    agent.contact.one_of(runners);
    agent.contact.lease = run.lease;
    agent.begins = resume.is_none();
    agent.may_get_more = spec.operation.loss_policy == Some(LossPolicy::Redistribute);
    let run = Arc::new(run);
    let log = agent.contact.identity.log.as_ref().map(|log| BotLog::open(log, bot_log::run_id(&run)));
    let log = log.transpose()?;
    agent.sink = log.as_ref().map(|log| log.sink().clone());
    let Some((start, orders)) = agent.wait_for_start(&run).await? else { return Ok(()) };
    let share = Share { index: agent.contact.identity.index, of: runners };
    for lacking in limits::prepare(&run, share) {
        tracing::warn!("{lacking}");
    }
    // It begins before the start, so that its threads are there when the bots begin.
    let army = Army::start(Start {
        share,
        done: resume.map_or_else(Done::default, |part| Done {
            since: load_time(start, &orders.pauses, Instant::now()),
            part,
            bots: Some(orders.bots),
        }),
        losses: orders.losses.clone(),
        at: start,
        pauses: pauses(start, &orders.pauses),
        rates: rates(&orders.rates),
        context: values(&orders),
        together: agent.contact.together.clone(),
        log: agent.sink.clone(),
        ..Start::here(run.clone())
    });
    let army = army.await?;
    let left = Box::pin(agent.work(&run, &army, start, orders)).await;
    agent.shown.end().await;
    let end = move || {
        army.join();
        log.and_then(|log| log.close().complaint())
    };
    let complaint = tokio::task::spawn_blocking(end).await.map_err(std::io::Error::other)?;
    if let Some(complaint) = complaint {
        tracing::error!("{complaint}");
    }
    left
}

/// Becomes true when the pod is told to end.
fn terminations() -> std::io::Result<watch::Receiver<bool>> {
    let mut signals = signal(SignalKind::terminate())?;
    let (told, terminated) = watch::channel(false);
    tokio::spawn(async move {
        signals.recv().await;
        told.send_replace(true);
        // Kept, so that nobody who waits for it takes its end for a signal.
        std::future::pending::<()>().await;
    });
    Ok(terminated)
}

/// Comes when the pod is told to end.
async fn told(mut terminated: watch::Receiver<bool>) {
    if terminated.wait_for(|told| *told).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// How long the load goes on already.
fn load_time(start: Instant, told: &[(u64, Option<u64>)], now: Instant) -> Duration {
    let still = |(from, until): Pause| until.unwrap_or(now).min(now).saturating_duration_since(from);
    let stood_still: Duration = pauses(start, told).into_iter().map(still).sum();
    now.saturating_duration_since(start).saturating_sub(stood_still)
}

/// The values that setup has left.
fn values(orders: &Orders) -> Context {
    orders.context.clone().into_iter().collect()
}

/// Most mistakes that are told of a plan.
const MAX_MISTAKES: usize = 100;

fn refusal(findings: &[Finding], invalid: bool) -> Refusal {
    let mistake = |f: &Finding| Mistake { place: f.path.to_string(), message: f.message.clone() };
    Refusal { invalid, mistakes: findings.iter().take(MAX_MISTAKES).map(mistake).collect() }
}

/// What is told leaves this pod.
fn hide(mut refusal: Refusal, secrets: &Secrets) -> Refusal {
    for mistake in &mut refusal.mistakes {
        mistake.message = secrets.hide(&mistake.message).into_owned();
    }
    refusal
}

struct Agent {
    contact: Contact,
    shown: Shown,
    /// Where its bots' log goes, if one is kept.
    sink: Option<Sink>,
    /// It begins with all others, and does not go on with another's part.
    begins: bool,
    /// It takes over from others that are lost, for as long as the run is not over.
    may_get_more: bool,
    terminated: watch::Receiver<bool>,
}

impl Agent {
    /// Takes note of when the first bots began, once they have: as soon as that is, since clocks drift apart.
    fn measure_start(&mut self, army: &Army, start: Instant, begin: &Orders) {
        if let (true, None, Some(start_at_ms), Some(late)) =
            (self.begins, self.contact.began_late_ms, begin.start_at_ms, army.began_late())
        {
            self.contact.began_late_ms = self.contact.clock.late_ms(start_at_ms, start + late);
        }
    }

    /// Gets the plan and what belongs to it; none when that cannot be had here,
    /// and the coordinator knows why.
    async fn prepare(&mut self) -> Result<Option<(Run, Plan)>, Error> {
        let plan = loop {
            if self.contact.lease_is_over() {
                return Err(self.contact.given_up());
            }
            if *self.terminated.borrow() {
                return Err(Error::Left);
            }
            if let Some(Orders { plan: Some(plan), .. }) = self.contact.check_in(Stage::Preparing, 0).await {
                break plan;
            }
            tokio::time::sleep(Duration::from_millis(PREPARING_INTERVAL_MS)).await;
        };
        match self.read(&plan) {
            Ok(run) => Ok(Some((run, plan))),
            Err(refusal) => {
                tracing::error!("the plan cannot be run here: {refusal}");
                self.contact.refusal = Some(refusal);
                while self.contact.check_in(Stage::Preparing, 0).await.is_none()
                    && !self.contact.lease_is_over()
                {
                    tokio::time::sleep(INTERVAL).await;
                }
                Ok(None)
            }
        }
    }

    /// What the plan comes to where this runner is.
    fn read(&mut self, plan: &Plan) -> Result<Run, Refusal> {
        let path = Path::top().field("spec");
        let mut spec = plan.spec.clone();
        let here = |findings: Vec<Finding>| refusal(&findings, false);
        let secrets =
            botarmy_spec::env::resolve(&mut spec, &path, |wanted| std::env::var(wanted.carrier()).ok());
        let secrets = secrets.map_err(here)?;
        crate::command::hide(&secrets);
        let hidden = |refused: Refusal| hide(refused, &secrets);
        let (origins, digest) =
            sources::load(&mut spec, &path, sources::Place::Pod).map_err(|f| hidden(refusal(&f, true)))?;
        let checked = Run::check(&spec, &self.contact.identity.run.name, &path, &Actions::built_in());
        let complete = checked.and_then(|run| run.complete(&path));
        let mut run = complete.map_err(|mut findings| {
            origins.name_files(&mut findings, &path);
            hidden(refusal(&findings, true))
        })?;
        data::load(&mut run, &path, data::Place::Pod).map_err(|f| hidden(refusal(&f, false)))?;
        run.allowed.clone_from(&plan.allowed);
        run.secrets = secrets;
        self.contact.sources = digest;
        Ok(run)
    }

    /// Waits for all runners; performs setup if it is told to. None when the run was deleted meanwhile: what
    /// setup has made is taken away then.
    async fn wait_for_start(&mut self, run: &Run) -> Result<Option<(Instant, Orders)>, Error> {
        loop {
            if self.contact.unknown && *self.terminated.borrow() {
                if let Some(done) = self.contact.performed.take() {
                    self.perform(run, Part::Teardown, done.context.into_iter().collect(), Stage::Ready).await;
                }
                return Ok(None);
            }
            // Another pod takes its place, unless something was done here that is known nowhere else.
            if *self.terminated.borrow() && self.contact.performed.is_none() {
                return Err(Error::Left);
            }
            if self.contact.lease_is_over() {
                return Err(self.contact.given_up());
            }
            if let Some(orders) = self.contact.check_in(Stage::Ready, 0).await {
                // Not by this round trip alone: one that took long would have the bots begin at another time than all others.
                if let Some(start) = orders.start_at_ms.and_then(|start_at| self.contact.clock.here(start_at))
                {
                    return Ok(Some((start, orders)));
                }
                if self.contact.is_to_perform(&orders) == Some(Part::Setup) {
                    self.perform(run, Part::Setup, values(&orders), Stage::Ready).await;
                    continue;
                }
            }
            tokio::time::sleep(self.contact.waiting_interval).await;
        }
    }

    /// Performs setup or teardown, checking in all the while.
    async fn perform(&mut self, run: &Run, part: Part, context: Context, stage: Stage) {
        let (together, terminated) = (self.contact.together.clone(), self.terminated.clone());
        // Whoever is told to end has all the time there is for cleaning up.
        let stop = async move {
            match part {
                Part::Setup => told(terminated).await,
                Part::Teardown => std::future::pending().await,
            }
        };
        let mut performing =
            std::pin::pin!(engine::perform(run, part, context, &together, self.sink.clone(), stop));
        let done = loop {
            tokio::select! {
                biased;
                done = &mut performing => break done,
                () = tokio::time::sleep_until((self.contact.asked + INTERVAL).into()) => {}
                () = self.contact.together_is_due() => {}
            }
            self.contact.say(stage, 0, Vec::new()).await;
        };
        let (context, failure) = match done {
            Ok(Some(done)) => {
                self.shown.add(&done.totals, 0, true);
                self.contact.outbox.add_apart(done.totals);
                (done.context, done.failure)
            }
            Ok(None) => (Context::new(), None),
            Err(error) => (Context::new(), Some(error.to_string())),
        };
        if let Some(failure) = &failure {
            tracing::error!("{failure}");
        }
        self.contact.performed =
            Some(protocol::Performed { part, failure, context: context.into_iter().collect() });
    }
}
