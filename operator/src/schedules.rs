//! The loop of schedules: each `BotRunSchedule` has a run created when one is due.
//!
//! A reconcile is a pipeline as that of a run: look at what there is → accept → decide → act (client) → fold →
//! status (one write, only if something changed) → events → history. All but what acts is pure.

mod accept;
mod act;
mod build;
mod cron;
mod due;
mod history;
mod runs;
mod status;

use crate::api_call::{self, CONFLICT, NOT_FOUND, call};
use crate::backoff::Backoff;
use crate::controller::deletion_mark;
use crate::election::Leadership;
use crate::events::{self, Happened};
use crate::metrics::{Metrics, Reconciled, Reconciling};
use crate::{leading, watching};
use botarmy_crds::{BotRun, BotRunSchedule, BotRunScheduleStatus};
use botarmy_spec::BotRunSpec;
use due::{Decision, Moment};
use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Controller, Error as LoopError};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates};
use kube::{Client, Resource, ResourceExt};
use runs::ScheduledRun;
use serde_json::json;
use status::Verdict;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The manager of the fields that this loop writes.
const FIELD_MANAGER: &str = "botarmy-operator-schedules";
/// Reconciles at the same time.
const CONCURRENCY: u16 = 8;
/// How often it is looked whether the runs are known.
const SOON: Duration = Duration::from_secs(1);
/// How often it is tried to create a run that the API server does not take now.
const AGAIN: Duration = Duration::from_secs(10);
/// Longest time between two looks at a schedule: how long it may take until a step of the clock is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a reconcile did not come to its end; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The API server has refused a call, or does not answer.
    #[error("{0}")]
    Call(#[from] api_call::Error),
    /// An object has no name or no namespace.
    #[error("the object has no {0}, which the API server always gives")]
    Incomplete(&'static str),
    /// Something cannot be written as JSON.
    #[error("a run cannot be built: {0}")]
    Build(#[from] serde_json::Error),
    /// Another one is written over it, or the watch is behind.
    #[error("the schedule is not as it was looked at any more")]
    Outdated,
}

impl Error {
    /// What a reconcile that ends with it is counted as.
    fn counted(&self) -> Reconciled {
        match self {
            Self::Call(api_call::Error::Timeout(_)) => Reconciled::Timeout,
            Self::Call(_) | Self::Outdated => Reconciled::Api,
            Self::Incomplete(_) | Self::Build(_) => Reconciled::Object,
        }
    }
}

/// What each reconcile is given.
struct Context {
    client: Client,
    leadership: Leadership,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    backoff: Backoff,
    /// All schedules.
    schedules: Store<DeserializeGuard<BotRunSchedule>>,
    /// All runs that schedules have created.
    runs: Store<DeserializeGuard<BotRun>>,
    /// They have been listed.
    runs_are_known: AtomicBool,
    /// The status of each schedule, by UID, as it was written last. What the watch shows may be older, and a run
    /// that was deleted since cannot be remembered by anything else.
    written: Mutex<HashMap<String, Known>>,
}

/// The status of a schedule, and in which version of it that stands.
#[derive(Debug, Clone, Default)]
struct Known {
    status: BotRunScheduleStatus,
    version: Option<String>,
}

impl Known {
    /// Whether it is later than another one. Versions grow; of one that is no number nothing is known.
    fn is_later_than(&self, other: &Self) -> bool {
        let number = |known: &Self| known.version.as_ref()?.parse::<u64>().ok();
        number(self).zip(number(other)).is_some_and(|(own, other)| own > other)
    }
}

impl Context {
    /// Forgets that a schedule has failed.
    fn recovered(&self, uid: &str) {
        self.backoff.forget(uid);
        self.metrics.back_off(Reconciling::Schedule, self.backoff.len());
    }

    /// Takes note of what went wrong outside of reconciles.
    fn note(&self, error: &LoopError<Error, watcher::Error>) {
        let LoopError::QueueError(error) = error else { return tracing::debug!("{error}") };
        tracing::warn!(
            "schedules or their runs cannot be watched: {error}; look whether the chart botarmy-crds is installed and the operator may list them"
        );
        self.metrics.queue_failed(Reconciling::Schedule);
    }

    /// Whether a schedule is there no more; another one may have its name.
    fn is_gone(&self, schedule: &DeserializeGuard<BotRunSchedule>) -> bool {
        let found = self.schedules.get(&ObjectRef::from_obj(schedule));
        found.and_then(|found| found.uid()) != schedule.uid()
    }

    /// Tells an event about a schedule.
    async fn tell(&self, schedule: &DeserializeGuard<BotRunSchedule>, happened: Happened) {
        if !events::tell(&self.recorder, &schedule.object_ref(&()), happened).await {
            self.metrics.event_lost();
        }
    }

    fn forget(&self, uid: &str) {
        self.recovered(uid);
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn forget_all_but(&self, known: &HashSet<String>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| known.contains(uid));
        self.backoff.forget_all_but(known);
        self.metrics.back_off(Reconciling::Schedule, self.backoff.len());
    }

    /// The status of a schedule as it was found, or as it was written here if that was later: somebody else may have led
    /// in between.
    fn last_status(&self, schedule: &BotRunSchedule, uid: &str) -> Known {
        let found = Known {
            status: schedule.status.clone().unwrap_or_default(),
            version: schedule.resource_version(),
        };
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(uid).filter(|written| written.is_later_than(&found)).cloned().unwrap_or(found)
    }

    /// The runs of a schedule, in the order in which they were due.
    fn runs_of(&self, schedule: &BotRunSchedule) -> Vec<ScheduledRun> {
        let all = self.runs.state();
        let mut own: Vec<_> = all.iter().filter_map(|run| ScheduledRun::of(schedule, run)).collect();
        own.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        own
    }
}

/// Runs the loop until `shutdown` is over; a reconcile that has begun then comes to its end. Nothing is done while this
/// operator does not lead.
pub async fn run(
    client: Client,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = leading::client(client, leadership.clone());
    let (schedules, schedules_writer) = reflector::store();
    let (runs, runs_writer) = reflector::store();
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), Reporter::from(FIELD_MANAGER)),
        client,
        leadership,
        metrics,
        backoff: Backoff::default(),
        schedules: schedules.clone(),
        runs,
        runs_are_known: AtomicBool::new(false),
        written: Mutex::default(),
    });
    let noted = context.clone();
    Controller::for_stream(watch(context.clone(), schedules.clone(), schedules_writer), schedules)
        .owns_stream(watch_runs(context.clone(), runs_writer))
        .with_config(Config::default().concurrency(CONCURRENCY))
        .trigger_backoff(watching::AtOnce)
        .graceful_shutdown_on(shutdown)
        .run(reconcile, on_error, context)
        .for_each(|result| {
            if let Err(error) = result {
                noted.note(&error);
            }
            std::future::ready(())
        })
        .await;
}

/// The schedules whose spec changes; all of them are kept in the store.
fn watch(
    context: Arc<Context>,
    store: Store<DeserializeGuard<BotRunSchedule>>,
    writer: Writer<DeserializeGuard<BotRunSchedule>>,
) -> impl Stream<Item = Result<DeserializeGuard<BotRunSchedule>, watcher::Error>> + Send + 'static {
    let all: Api<DeserializeGuard<BotRunSchedule>> = Api::all(context.client.clone());
    let follow = move |event: &Event<DeserializeGuard<BotRunSchedule>>| match event {
        Event::InitDone => {
            let known = store.state().iter().filter_map(|schedule| schedule.uid()).collect();
            context.forget_all_but(&known);
        }
        Event::Delete(schedule) => context.forget(&schedule.uid().unwrap_or_default()),
        _ => {}
    };
    watcher(all, watching::config_of_ours())
        .reflect(writer)
        .inspect_ok(follow)
        .applied_objects()
        .backoff(watching::Again::default())
        .predicate_filter(predicates::generation.combine(deletion_mark), PredicateConfig::default())
}

/// The runs that schedules have created, at each of their changes and when they go.
fn watch_runs(
    context: Arc<Context>,
    writer: Writer<DeserializeGuard<BotRun>>,
) -> impl Stream<Item = Result<DeserializeGuard<BotRun>, watcher::Error>> + Send + 'static {
    let all: Api<DeserializeGuard<BotRun>> = Api::all(context.client.clone());
    watcher(all, watching::config_of_ours().labels(build::SCHEDULE_LABEL))
        .modify(lighten)
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, Event::InitDone) {
                context.runs_are_known.store(true, Ordering::Release);
            }
        })
        .touched_objects()
        .backoff(watching::Again::default())
        .predicate_filter(predicates::resource_version, PredicateConfig::default())
}

/// Keeps of a run whose it is and how it stands: what it does and what it has measured are large.
fn lighten(guarded: &mut DeserializeGuard<BotRun>) {
    guarded.managed_fields_mut().clear();
    if let Ok(run) = &mut guarded.0 {
        let export = std::mem::take(&mut run.spec.run.operation.export);
        run.spec.run = BotRunSpec::default();
        run.spec.run.operation.export = export;
        if let Some(status) = &mut run.status {
            status.conditions.clear();
            status.result = None;
        }
    }
}

/// One schedule, once.
async fn reconcile(
    guarded: Arc<DeserializeGuard<BotRunSchedule>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let begun = Instant::now();
    let done = look_at(&guarded, &context).await;
    let counted = done.as_ref().map_or_else(Error::counted, |_| Reconciled::Ok);
    context.metrics.reconciled(Reconciling::Schedule, begun.elapsed(), counted);
    match done {
        // It is looked at again as it is now.
        Err(Error::Outdated) => Ok(Action::requeue(SOON)),
        // What failed for one that was deleted in the meantime is of no interest.
        Err(error) if context.is_gone(&guarded) => {
            tracing::debug!("{error}");
            Ok(Action::await_change())
        }
        done => done,
    }
}

async fn look_at(guarded: &DeserializeGuard<BotRunSchedule>, context: &Context) -> Result<Action, Error> {
    let schedule = match &guarded.0 {
        Ok(schedule) => schedule,
        Err(invalid) => {
            let namespace = guarded.namespace().unwrap_or_default();
            tracing::error!("{namespace}/{} cannot be read: {}", guarded.name_any(), invalid.error);
            if context.leadership.leads() {
                context.tell(guarded, events::unreadable(&invalid.error)).await;
            }
            return Ok(Action::await_change());
        }
    };
    if schedule.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    // Who does not know the runs that are active would start one beside them.
    if !context.leadership.leads() || !context.runs_are_known.load(Ordering::Acquire) {
        return Ok(Action::requeue(SOON));
    }
    let uid = schedule.uid().ok_or(Error::Incomplete("UID"))?;
    let mut happened = Vec::new();
    let done = follow(context, schedule, &uid, &mut happened).await;
    // What has happened is told, even if what came after it did not succeed.
    for event in happened {
        context.tell(guarded, event).await;
    }
    let verdict = done?;
    context.recovered(&uid);
    Ok(again(&verdict, Timestamp::now()))
}

/// The pipeline.
async fn follow(
    context: &Context,
    schedule: &BotRunSchedule,
    uid: &str,
    happened: &mut Vec<Happened>,
) -> Result<Verdict, Error> {
    let now = Timestamp::now();
    let known = context.last_status(schedule, uid);
    let before = &known.status;
    let mut runs = context.runs_of(schedule);
    let verdict = match accept::accept(schedule, now) {
        Ok(cron) => {
            let told = before.last_schedule_time.as_ref().map(|time| time.0);
            let since = due::last_start(told, &runs, now).unwrap_or_else(|| status::created(schedule));
            let is_active = runs.iter().any(|run| run.end.is_none());
            let moment = Moment { spec: &schedule.spec, cron: &cron, since, is_active, now };
            let decision = due::decide(&moment);
            let failure = act::act(context, schedule, decision, &mut runs, happened).await?;
            Verdict::Followed { cron, decision, failure }
        }
        Err(findings) => Verdict::Refused(findings),
    };
    let after = status::fold(schedule, before, &runs, &verdict, now);
    write(context, schedule, uid, &known, &after).await?;
    happened.extend(status::news(before, &after));
    // Only now: as long as the status was not written, it is the runs themselves that tell when they were due.
    act::clear(context, schedule, &runs, happened).await?;
    Ok(verdict)
}

/// Writes the status if it is another one than the last, and only over that: the one who leads now may have written since.
async fn write(
    context: &Context,
    schedule: &BotRunSchedule,
    uid: &str,
    before: &Known,
    status: &BotRunScheduleStatus,
) -> Result<(), Error> {
    if before.status == *status {
        return Ok(());
    }
    let namespace = schedule.namespace().ok_or(Error::Incomplete("namespace"))?;
    let schedules: Api<BotRunSchedule> = Api::namespaced(context.client.clone(), &namespace);
    let body = json!({
        "apiVersion": BotRunSchedule::api_version(&()), "kind": BotRunSchedule::kind(&()),
        "metadata": {"resourceVersion": before.version}, "status": status,
    });
    let (name, manager) = (schedule.name_any(), PatchParams::apply(FIELD_MANAGER).force());
    let written =
        call("writing the status", schedules.patch_status(&name, &manager, &Patch::Apply(&body))).await;
    let mut all = context.written.lock().unwrap_or_else(PoisonError::into_inner);
    match written {
        // It has been deleted meanwhile.
        Err(api_call::Error::Refused(_, refusal)) if refusal.code == NOT_FOUND => {}
        Err(api_call::Error::Refused(_, refusal)) if refusal.code == CONFLICT => {
            all.remove(uid);
            return Err(Error::Outdated);
        }
        written => {
            let known = Known { status: status.clone(), version: written?.resource_version() };
            all.insert(uid.to_owned(), known);
        }
    }
    Ok(())
}

/// When to look at a schedule again, unless it changes, or one of its runs does.
fn again(verdict: &Verdict, now: Timestamp) -> Action {
    match verdict {
        Verdict::Refused(_) | Verdict::Followed { decision: Decision::Suspended, .. } => {
            Action::await_change()
        }
        Verdict::Followed { failure: Some(_), .. } => Action::requeue(AGAIN),
        Verdict::Followed { cron, .. } => {
            let wait = cron.after(now).and_then(|next| Duration::try_from(next.duration_since(now)).ok());
            Action::requeue(wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form of an error policy")]
fn on_error(schedule: Arc<DeserializeGuard<BotRunSchedule>>, error: &Error, context: Arc<Context>) -> Action {
    tracing::warn!("{}/{}: {error}", schedule.namespace().unwrap_or_default(), schedule.name_any());
    let wait = context.backoff.failed(&schedule.uid().unwrap_or_default());
    context.metrics.back_off(Reconciling::Schedule, context.backoff.len());
    Action::requeue(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn of_a_run_it_is_kept_whether_its_result_goes_elsewhere() {
        let export = json!([{"http": {"url": "http://store/"}}]);
        let mut run: DeserializeGuard<BotRun> = serde_json::from_value(json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "s-1"},
            "spec": {"trees": {"T": "done"}, "export": export}, "status": {"phase": "Finished"},
        }))
        .unwrap();
        lighten(&mut run);
        let kept: Value = serde_json::to_value(&run.0.unwrap().spec).unwrap();
        assert_eq!((&kept["export"], kept["trees"]["T"].is_null()), (&export, true));
    }

    #[test]
    fn a_step_of_the_clock_is_noticed_within_a_minute() {
        let now: Timestamp = "2030-01-01T00:00:30Z".parse().unwrap();
        let seconds = |seconds| Action::requeue(Duration::from_secs(seconds));
        for (cron, wait) in [("* * * * *", 30), ("@yearly", 60)] {
            let cron = cron::Cron::read(cron, "Etc/UTC").unwrap();
            let verdict = Verdict::Followed { cron, decision: Decision::Wait, failure: None };
            assert_eq!(again(&verdict, now), seconds(wait));
        }
    }
}
