//! The loop: for each `BotRun` that changes or is at work, one reconcile.
//!
//! A reconcile is a pipeline: dereference (client) → validate → build → apply (client) → observe →
//! status (one write at the end, only if something changed).

mod apply;
mod build;
mod cause;
mod deadline;
mod dereference;
mod observe;
mod status;
mod template;
mod validate;

pub use validate::canonical;

use crate::Settings;
use crate::armies::Armies;
use crate::readiness::Readiness;
use apply::Applied;
use botarmy_crds::{BotRun, Phase};
use dereference::Found;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, predicates};
use kube::{Api, Client, Resource, ResourceExt};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The manager of the fields that this controller writes.
pub const FIELD_MANAGER: &str = "botarmy-operator";
/// Reconciles at the same time.
const CONCURRENCY: u16 = 16;
/// How often a run at work is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is tried to make a Job that the API server does not take now.
const AGAIN: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Why a reconcile did not come to its end; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a call.
    #[error("{0} failed: {1}")]
    Api(&'static str, kube::Error),
    /// The API server did not answer.
    #[error("{0} failed: no answer in time")]
    Timeout(&'static str),
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

/// What each reconcile is given.
pub struct Context {
    client: Client,
    settings: Settings,
    armies: Arc<Armies>,
    /// The certificate that runners check the coordinator with.
    authority: String,
    recorder: Recorder,
    /// How often a run has failed in a row.
    failures: Mutex<HashMap<ObjectRef<DeserializeGuard<BotRun>>, u32>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Context {
    /// The context of a controller.
    pub fn new(client: Client, settings: Settings, armies: Arc<Armies>, authority: String) -> Self {
        let recorder = Recorder::new(client.clone(), Reporter::from(FIELD_MANAGER));
        Self { client, settings, armies, authority, recorder, failures: Mutex::default() }
    }
}

/// The deletion mark of an object: a predicate on the generation alone can miss it.
#[expect(clippy::unnecessary_wraps, reason = "the form of a predicate")]
fn deletion_mark<K: Resource>(object: &K) -> Option<u64> {
    Some(u64::from(object.meta().deletion_timestamp.is_some()))
}

/// Runs the loop until the process is told to end; tells `readiness` when it knows all runs.
pub async fn run(context: Arc<Context>, readiness: Arc<Readiness>) {
    use kube::runtime::{Predicate, PredicateConfig};
    let runs: Api<DeserializeGuard<BotRun>> = Api::all(context.client.clone());
    let jobs: Api<Job> = Api::all(context.client.clone());
    let (reader, writer) = reflector::store::<DeserializeGuard<BotRun>>();
    let (store, armies) = (reader.clone(), context.armies.clone());
    let follow = move |event: &Event<DeserializeGuard<BotRun>>| match event {
        // Not by the store's own waiting: it wakes but one waiter, and that is the controller.
        Event::InitDone => {
            readiness.listed();
            let known: HashSet<String> = store.state().iter().filter_map(|run| run.uid()).collect();
            armies.lock().retain(|uid, _| known.contains(uid));
        }
        // No reconcile sees a run that is gone. Its runners are told so by being unknown, and leave.
        Event::Delete(run) => drop(run.uid().and_then(|uid| armies.lock().remove(&uid))),
        _ => {}
    };
    let main = reflector::reflector(writer, watcher(runs, watcher::Config::default()))
        .inspect_ok(follow)
        .applied_objects()
        .default_backoff()
        .predicate_filter(predicates::generation.combine(deletion_mark), PredicateConfig::default());
    let owned_jobs = watcher(jobs, watcher::Config::default().labels(&build::managed_by_selector()))
        .touched_objects()
        .default_backoff()
        .predicate_filter(predicates::resource_version, PredicateConfig::default());
    Controller::for_stream(main, reader)
        .owns_stream(owned_jobs)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .shutdown_on_signal()
        .run(reconcile, on_error, context)
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!("{error}");
            }
        })
        .await;
}

/// One run, once.
async fn reconcile(guarded: Arc<DeserializeGuard<BotRun>>, context: Arc<Context>) -> Result<Action, Error> {
    let run = match &guarded.0 {
        Ok(run) => run,
        Err(invalid) => {
            tracing::error!("{} cannot be read: {}", guarded.name_any(), invalid.error);
            return Ok(Action::await_change());
        }
    };
    let uid = run.uid().ok_or(Error::Incomplete("UID"))?;
    if run.meta().deletion_timestamp.is_some() {
        context.armies.lock().remove(&uid);
        return Ok(Action::await_change());
    }
    let mut found = dereference::dereference(&context, run, &uid).await?;
    let action = if is_over(run) {
        after_the_end(&context, run, &uid, &mut found).await?
    } else {
        at_work(&context, run, &uid, &mut found).await?
    };
    context.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&ObjectRef::from_obj(&*guarded));
    Ok(action)
}

fn is_over(run: &BotRun) -> bool {
    run.status.as_ref().is_some_and(|s| s.phase == Phase::Finished)
}

/// The pipeline, from the second step on.
async fn at_work(context: &Context, run: &BotRun, uid: &str, found: &mut Found) -> Result<Action, Error> {
    let mut again = LOOK;
    let observed = match validate::validate(context, run, uid, found) {
        Ok(accepted) => {
            let objects = build::build(context, run, uid, &accepted)?;
            let delayed = match apply::apply(context, run, objects).await? {
                Applied::Known | Applied::Scheduled => None,
                Applied::Delayed(cause) => {
                    again = AGAIN;
                    Some(cause)
                }
                Applied::Refused(finding) => {
                    context.armies.lock().remove(uid);
                    status::write(context, run, observe::refused(run, &[finding])).await?;
                    return Ok(Action::requeue(again));
                }
            };
            let seen = observe::conclude(context, run, uid, &found.evidence, delayed);
            observe::observe(context, run, uid, seen)
        }
        Err(refused) => observe::refused(run, &refused),
    };
    status::write(context, run, observed).await?;
    Ok(Action::requeue(again))
}

/// A run that is over is looked at until its pods are gone.
async fn after_the_end(
    context: &Context,
    run: &BotRun,
    uid: &str,
    found: &mut Found,
) -> Result<Action, Error> {
    status::keep_generation(context, run).await?;
    if let Some(job) = found.left_over(run, uid) {
        apply::discard(context, job).await?;
        context.armies.lock().remove(uid);
        return Ok(Action::await_change());
    }
    if found.runners_are_gone() {
        context.armies.lock().remove(uid);
        return Ok(Action::await_change());
    }
    // A runner that has not heard yet that its measures are safe must still be answered.
    if let Err(refused) = validate::validate(context, run, uid, found) {
        tracing::debug!("{}: {refused:?}", run.name_any());
    }
    Ok(Action::requeue(LOOK))
}

#[expect(clippy::needless_pass_by_value, reason = "the form of an error policy")]
/// Each run backs off on its own, twice as long after each failure in a row.
fn on_error(run: Arc<DeserializeGuard<BotRun>>, error: &Error, context: Arc<Context>) -> Action {
    tracing::warn!("{}/{}: {error}", run.namespace().unwrap_or_default(), run.name_any());
    let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures.entry(ObjectRef::from_obj(&*run)).or_default();
    let wait = FIRST_BACKOFF.saturating_mul(1 << (*count).min(10)).min(LONGEST_BACKOFF);
    *count += 1;
    Action::requeue(wait)
}

/// How long a call to the API server may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A call to the API server, with an end.
async fn call<T>(what: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    let answer = tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(|_| Error::Timeout(what))?;
    answer.map_err(|e| Error::Api(what, e))
}
