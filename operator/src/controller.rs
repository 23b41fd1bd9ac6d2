//! The loop: for each `BotRun` that changes or is at work, one reconcile.
//!
//! A reconcile is a pipeline: dereference (client) → validate → build → apply (client) → observe →
//! status (one write at the end, only if something changed).

mod apply;
mod build;
mod cause;
mod changed;
mod conditions;
mod course;
mod dereference;
mod ending;
mod export;
mod figures;
mod observe;
mod policy;
mod queue;
mod standing;
mod status;
mod story;
mod template;
mod unreadable;
mod validate;

pub(crate) use cause::Cause;
pub use policy::limits::Limits;
pub use validate::{canonical, check_spec};

use crate::armies::{Armies, Army};
use crate::backoff::Backoff;
use crate::certificates::InForce;
use crate::election::Leadership;
use crate::metrics::{Metrics, Reconciled, Reconciling};
use crate::readiness::Readiness;
use crate::{Settings, api_call, leading, watching};
use apply::Applied;
use botarmy_crds::{BotRun, Phase};
use dereference::Found;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, predicates};
use kube::{Api, Client, Resource, ResourceExt};
use policy::pace::Pace;
use queue::Queue;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The manager of the fields that this controller writes.
pub const FIELD_MANAGER: &str = "botarmy-operator";
/// Reconciles at the same time.
const CONCURRENCY: u16 = 16;
/// How soon a run is looked at again of which something is to be done.
const LOOK: Duration = Duration::from_secs(1);
/// How often a run that waits for others is looked at.
const QUEUED: Duration = Duration::from_secs(2);
/// How often a run is looked at that was suspended before it began: a change of it is told by the watch.
const AT_REST: Duration = Duration::from_secs(60);
/// How often it is tried to make a Job that the API server does not take now.
const AGAIN: Duration = Duration::from_secs(5);

/// Why a reconcile did not come to its end; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server has refused a call, or does not answer.
    #[error("{0}")]
    Call(#[from] api_call::Error),
    /// The checkpoint of an earlier operator cannot be read.
    #[error("{0}")]
    Checkpoint(#[from] crate::checkpoint::Error),
    /// An object has no name or no namespace.
    #[error("the object has no {0}, which the API server always gives")]
    Incomplete(&'static str),
    /// Something cannot be written as JSON.
    #[error("an object cannot be built: {0}")]
    Build(#[from] serde_json::Error),
}

impl Error {
    /// What a reconcile that ends with it is counted as.
    fn counted(&self) -> Reconciled {
        match self {
            Self::Call(api_call::Error::Timeout(_)) => Reconciled::Timeout,
            Self::Call(_) => Reconciled::Api,
            Self::Checkpoint(_) => Reconciled::Checkpoint,
            Self::Incomplete(_) | Self::Build(_) => Reconciled::Object,
        }
    }
}

/// What each reconcile is given.
pub struct Context {
    client: Client,
    settings: Settings,
    armies: Arc<Armies>,
    /// Only who leads may write.
    leadership: Leadership,
    /// Whom runners are told to trust.
    in_force: watch::Receiver<InForce>,
    /// What is allowed where.
    limits: Limits,
    /// All runs of the cluster, once they are listed.
    runs: OnceLock<Store<DeserializeGuard<BotRun>>>,
    queue: Mutex<Queue>,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    backoff: Backoff,
    pace: Pace,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Context {
    /// The context of a controller.
    pub fn new(
        client: Client,
        settings: Settings,
        armies: Arc<Armies>,
        leadership: Leadership,
        in_force: watch::Receiver<InForce>,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let client = leading::client(client, leadership.clone());
        let recorder = Recorder::new(client.clone(), Reporter::from(FIELD_MANAGER));
        let (runs, queue, backoff) = (OnceLock::new(), Mutex::default(), Backoff::default());
        Self {
            client,
            settings,
            armies,
            leadership,
            in_force,
            limits,
            runs,
            queue,
            recorder,
            metrics,
            backoff,
            pace: Pace::default(),
        }
    }

    /// What this controller is counted in.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Forgets that a run has failed.
    fn recovered(&self, uid: &str) {
        self.backoff.forget(uid);
        self.metrics.back_off(Reconciling::Run, self.backoff.len());
    }

    /// How soon a run is looked at again of which nothing is to be done.
    fn look_again(&self) -> Duration {
        let looked_at = self.armies.lock().values().filter(|army| army.is_let_in()).count();
        let every = self.pace.every(looked_at, CONCURRENCY);
        self.metrics.looks_every(every);
        every
    }

    /// Takes note of what went wrong outside of reconciles.
    fn note(&self, error: &controller::Error<Error, watcher::Error>) {
        tracing::debug!("{error}");
        if matches!(error, controller::Error::QueueError(_)) {
            self.metrics.queue_failed(Reconciling::Run);
        }
    }

    /// Whether a run is there no more, though a reconcile of it goes on; another one may have its name.
    fn is_gone(&self, run: &DeserializeGuard<BotRun>, uid: &str) -> bool {
        let found = self.runs.get().map(|store| store.get(&ObjectRef::from_obj(run)));
        found.is_some_and(|found| found.and_then(|found| found.uid()).as_deref() != Some(uid))
    }

    /// Nobody waits for the runners of a run any more; who wants its target waits until they have ended.
    fn leave(&self, uid: &str) {
        queue::leave(self, uid);
        self.armies.leave(uid);
    }

    /// Takes a run out of memory.
    fn forget(&self, uid: &str) {
        self.leave(uid);
        queue::note(self, uid, None);
        self.recovered(uid);
        // With fewer of them each is looked at more often.
        self.look_again();
    }

    /// A run is there no more.
    fn gone(&self, guarded: &DeserializeGuard<BotRun>) {
        if let Ok(run) = &guarded.0 {
            queue::leave_unknown(self, run);
        }
        self.forget(&guarded.uid().unwrap_or_default());
    }

    /// Takes note of all runs that there are. One that cannot be read never gets an army; one that has it keeps it.
    fn list(&self, runs: &[Arc<DeserializeGuard<BotRun>>]) {
        let uids: HashSet<String> = runs.iter().filter_map(|run| run.uid()).collect();
        let known: HashSet<String> = self.armies.lock().keys().cloned().collect();
        known.difference(&uids).for_each(|uid| self.forget(uid));
        self.backoff.forget_all_but(&uids);
        self.metrics.back_off(Reconciling::Run, self.backoff.len());
        let readable =
            runs.iter().filter_map(|run| run.uid().filter(|uid| run.0.is_ok() || known.contains(uid)));
        self.armies.list(readable.collect());
    }

    /// Takes note of a run whose runners may be waited for.
    fn enter(&self, guarded: &DeserializeGuard<BotRun>) {
        let is_at_work = guarded.0.as_ref().is_ok_and(|run| !is_over(run));
        if let Some(uid) = guarded.uid().filter(|_| is_at_work && guarded.meta().deletion_timestamp.is_none())
        {
            self.armies.enter(&uid);
        }
    }
}

/// The deletion mark of an object: a predicate on the generation alone can miss it.
#[expect(clippy::unnecessary_wraps, reason = "the form of a predicate")]
pub(crate) fn deletion_mark<K: Resource>(object: &K) -> Option<u64> {
    Some(u64::from(object.meta().deletion_timestamp.is_some()))
}

/// Runs the loop until `ended`; tells `readiness` when it knows all runs.
pub async fn run(
    context: Arc<Context>,
    readiness: Arc<Readiness>,
    ended: impl Future<Output = ()> + Send + Sync + 'static,
) {
    use kube::runtime::{Predicate, PredicateConfig};
    let runs: Api<DeserializeGuard<BotRun>> = Api::all(context.client.clone());
    let jobs: Api<Job> = Api::all(context.client.clone());
    let (reader, writer) = reflector::store::<DeserializeGuard<BotRun>>();
    // Set once: the loop runs once.
    drop(context.runs.set(reader.clone()));
    let (store, followed, noted) = (reader.clone(), context.clone(), context.clone());
    let follow = move |event: &Event<DeserializeGuard<BotRun>>| match event {
        // Not by the store's own waiting: it wakes but one waiter, and that is the controller.
        Event::InitDone => {
            readiness.listed();
            followed.list(&store.state());
        }
        // No reconcile begins with a run that is gone. Its runners are told so by being unknown, and leave.
        Event::Delete(run) => followed.gone(run),
        Event::Apply(run) => followed.enter(run),
        Event::Init | Event::InitApply(_) => {}
    };
    let all = watcher(runs, watching::config_of_ours()).modify(watching::without_copies);
    let main = reflector::reflector(writer, all)
        .inspect_ok(follow)
        .applied_objects()
        .backoff(watching::Again::default())
        .predicate_filter(
            predicates::generation.combine(deletion_mark).combine(export::asked_again),
            PredicateConfig::default(),
        );
    let owned_jobs = watcher(jobs, watching::config().labels(&build::managed_by_selector()))
        .touched_objects()
        .backoff(watching::Again::default())
        .predicate_filter(predicates::resource_version, PredicateConfig::default());
    Controller::for_stream(main, reader)
        .owns_stream(owned_jobs)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .trigger_backoff(watching::AtOnce)
        .graceful_shutdown_on(ended)
        .run(reconcile, on_error, context)
        .for_each(|result| {
            if let Err(error) = result {
                noted.note(&error);
            }
            std::future::ready(())
        })
        .await;
}

/// One run, once.
async fn reconcile(guarded: Arc<DeserializeGuard<BotRun>>, context: Arc<Context>) -> Result<Action, Error> {
    let begun = Instant::now();
    let done = look_at(&guarded, &context).await;
    if let (Ok(_), Some(uid)) = (&done, guarded.uid()) {
        context.recovered(&uid);
    }
    let counted = done.as_ref().map_or_else(Error::counted, |_| Reconciled::Ok);
    context.metrics.reconciled(Reconciling::Run, begun.elapsed(), counted);
    done
}

async fn look_at(guarded: &DeserializeGuard<BotRun>, context: &Context) -> Result<Action, Error> {
    if !context.leadership.leads() {
        return Ok(Action::requeue(LOOK));
    }
    let run = match &guarded.0 {
        Ok(run) => run,
        Err(invalid) => return Box::pin(unreadable::report(context, guarded, &invalid.error)).await,
    };
    let uid = run.uid().ok_or(Error::Incomplete("UID"))?;
    if run.meta().deletion_timestamp.is_some() {
        context.forget(&uid);
        return Ok(Action::await_change());
    }
    let done = Box::pin(follow(context, guarded, run, &uid)).await;
    // Whoever was deleted in the meantime may have been entered anew, and what failed for it is of no interest.
    if context.is_gone(guarded, &uid) {
        context.forget(&uid);
        return Ok(Action::await_change());
    }
    done
}

/// The first step of the pipeline, and those that its outcome asks for.
async fn follow(
    context: &Context,
    guarded: &DeserializeGuard<BotRun>,
    run: &BotRun,
    uid: &str,
) -> Result<Action, Error> {
    if queue::still_waits(context, run, uid) && queue::overdue(context, run, uid).is_none() {
        return Ok(Action::requeue(QUEUED));
    }
    let begun = Instant::now();
    let mut found = dereference::dereference(context, run, uid).await?;
    // The API server was asked, which takes its time: nothing is made for a run that was deleted since.
    if context.is_gone(guarded, uid) {
        return Ok(Action::await_change());
    }
    if found.namespace_ends {
        if let Some(job) = &found.evidence.job {
            apply::discard(context, job).await?;
        }
        return Ok(Action::requeue(AGAIN));
    }
    let done = if is_over(run) {
        Box::pin(ending::after_the_end(context, run, uid, &mut found)).await
    } else if let Some(why) = &found.unreadable {
        // Its runners are told that nobody waits for them, and its Job is taken away in the next round.
        context.leave(uid);
        status::write(context, run, observe::unreadable(run, why)).await?;
        Ok(Action::requeue(LOOK))
    } else {
        Box::pin(at_work(context, run, uid, &mut found)).await
    };
    context.pace.took(begun.elapsed());
    done
}

fn is_over(run: &BotRun) -> bool {
    run.status.as_ref().is_some_and(|s| s.phase == Phase::Finished)
}

/// The pipeline, from the second step on.
async fn at_work(context: &Context, run: &BotRun, uid: &str, found: &mut Found) -> Result<Action, Error> {
    let (mut again, mut done) = (context.look_again(), Ok(()));
    let observed = match validate::validate(context, run, uid, found) {
        Ok(_) if never_begins(context, run, uid) => {
            queue::note(context, uid, None);
            observe::never_began(context, run, uid)
        }
        Ok(accepted) => {
            queue::look_for_pods(context, run, &accepted).await;
            if let Some(cause) = queue::wait(context, run, uid, &accepted) {
                return waits(context, run, uid, cause).await;
            }
            let objects = build::build(context, run, uid, &accepted)?;
            let (applied, tried) = apply::apply_or_tell(context, run, uid, objects).await?;
            match &applied {
                Applied::Known | Applied::Scheduled => {
                    context.armies.lock().get_mut(uid).into_iter().for_each(Army::is_scheduled);
                }
                Applied::Delayed(_) => again = AGAIN,
                // What has begun is not refused any more: its runners are missed, if they do not come back.
                Applied::Refused(_) if has_begun(context, uid) => again = AGAIN,
                Applied::Refused(finding) => {
                    context.leave(uid);
                    status::write(context, run, observe::invalid(run, std::slice::from_ref(finding))).await?;
                    return Ok(Action::requeue(again));
                }
            }
            // A pod that cannot be taken away keeps nobody from being told how the run is, nor the run from its end.
            done = tried.and(apply::release_silent(context, run, uid).await);
            let seen = observe::conclude(context, uid, &found.evidence, applied);
            observe::observe(context, run, uid, seen)
        }
        Err(refused) => {
            queue::note(context, uid, None);
            observe::invalid(run, &refused)
        }
    };
    export::keep(context, run, uid, &observed).await;
    status::write(context, run, observed).await?;
    done?;
    Ok(Action::requeue(again))
}

fn has_begun(context: &Context, uid: &str) -> bool {
    context.armies.lock().get(uid).is_some_and(Army::has_begun)
}

/// A run waits for its turn, or for a person; for the one it does not wait longer than it says.
async fn waits(context: &Context, run: &BotRun, uid: &str, cause: cause::Cause) -> Result<Action, Error> {
    if cause.reason == cause::Reason::Suspended {
        status::write(context, run, observe::queued(run, &cause)).await?;
        return Ok(Action::requeue(AT_REST));
    }
    if let Some(limit) = queue::overdue(context, run, uid) {
        queue::note(context, uid, None);
        let observed = observe::queued_too_long(run, limit, &cause);
        export::keep(context, run, uid, &observed).await;
        status::write(context, run, observed).await?;
        return Ok(Action::requeue(LOOK));
    }
    status::write(context, run, observe::queued(run, &cause)).await?;
    queue::looked_at(context, run, uid, cause);
    Ok(Action::requeue(QUEUED))
}

/// Whether the run was stopped before it began, whatever it waits for.
fn never_begins(context: &Context, run: &BotRun, uid: &str) -> bool {
    context.armies.lock().get_mut(uid).is_some_and(|army| army.never_begins(run.spec.run.stop))
}

#[expect(clippy::needless_pass_by_value, reason = "the form of an error policy")]
fn on_error(run: Arc<DeserializeGuard<BotRun>>, error: &Error, context: Arc<Context>) -> Action {
    tracing::warn!("{}/{}: {error}", run.namespace().unwrap_or_default(), run.name_any());
    let wait = context.backoff.failed(&run.uid().unwrap_or_default());
    context.metrics.back_off(Reconciling::Run, context.backoff.len());
    Action::requeue(wait)
}
