//! Whether a run may begin now, given all others of the cluster.

mod leaving;

use super::cause::{self, Cause, Reason};
use super::dereference::is_owned;
use super::policy::deadline;
use super::policy::queue::{self, Place, Wait, target_key};
use super::validate::Accepted;
use super::{Context, Error};
use crate::api_call::call;
use crate::armies::{Army, stops_after};
use crate::clock::now_ms;
use crate::metrics::Waiting;
use botarmy_crds::{BotRun, Phase, RUN_UID_LABEL};
use botarmy_spec::{BotRunSpec, DEFAULT_LEASE};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::Store;
use leaving::Leaving;
use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long it holds what was found out about who waits: of thousands of runs that wait none looks at all the others by
/// itself.
const HOLDS: Duration = Duration::from_secs(1);

/// How long it holds what the API server has told of a run that waits: its Job, its namespace and its trees are looked at again
/// when it may begin.
const LOOKED_HOLDS: Duration = Duration::from_secs(30);

/// Who waits, and why.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// As it was found out last.
    seen: Option<Seen>,
    /// As it was told last, by UID.
    waiting: HashMap<String, Waiting>,
    /// As it was looked at last, by UID: those of the ones that wait that were told so.
    looked: HashMap<String, Looked>,
    leaving: Leaving,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// By UID; none of those that may begin.
    waits: HashMap<String, Option<(Waiting, Cause)>>,
}

/// A run that waits, as it was looked at last.
#[derive(Debug)]
struct Looked {
    at: Instant,
    generation: Option<i64>,
    cause: Cause,
}

fn lock(context: &Context) -> MutexGuard<'_, Queue> {
    context.queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why the run has to wait; none if it may begin, or has begun.
pub(super) fn wait(context: &Context, run: &BotRun, uid: &str, accepted: &Accepted) -> Option<Cause> {
    let waits = find(context, run, uid, accepted);
    note(context, uid, waits.as_ref().map(|(waits, _)| *waits));
    waits.map(|(_, cause)| cause)
}

/// Takes note of whether a run waits, and why.
pub(super) fn note(context: &Context, uid: &str, waits: Option<Waiting>) {
    let mut queue = lock(context);
    let before = match waits {
        Some(waits) => queue.waiting.insert(uid.to_owned(), waits),
        None => {
            queue.looked.remove(uid);
            queue.waiting.remove(uid)
        }
    };
    if before != waits {
        context.metrics.waiting(queue.waiting.values().copied());
    }
}

fn find(context: &Context, run: &BotRun, uid: &str, accepted: &Accepted) -> Option<(Waiting, Cause)> {
    // One that has begun stands still in its place, even if somebody has deleted its Job.
    if run.spec.run.operation.suspend && !accepted.has_job() && !super::has_begun(context, uid) {
        context.armies.lock().get_mut(uid).into_iter().for_each(Army::is_kept_out);
        let message = "suspend is true; the run begins when it is false";
        return Some((Waiting::Suspended, Cause::new(Reason::Suspended, message)));
    }
    // One lock for the look and for the admission: of two runs that look at the same time one is first.
    let mut armies = context.armies.lock();
    if accepted.has_job() {
        return None;
    }
    if let Some(army) = armies.get_mut(uid).filter(|army| army.admitted) {
        army.let_in(now_ms());
        return None;
    }
    let waits = seen(context, run, uid, &armies, &mut lock(context));
    if let (None, Some(army)) = (&waits, armies.get_mut(uid)) {
        army.let_in(now_ms());
    }
    waits
}

/// Why the run has to wait, as it was found out a moment ago, or is now.
fn seen(
    context: &Context,
    run: &BotRun,
    uid: &str,
    armies: &HashMap<String, Army>,
    queue: &mut Queue,
) -> Option<(Waiting, Cause)> {
    let is_known = |seen: &&Seen| seen.at.elapsed() < HOLDS && seen.waits.contains_key(uid);
    if let Some(seen) = queue.seen.as_ref().filter(is_known) {
        return seen.waits[uid].clone();
    }
    let seen = look(context, run, armies, &mut queue.leaving);
    let waits = seen.waits.get(uid).cloned().flatten();
    queue.seen = Some(seen);
    waits
}

/// Takes note that a run was looked at as a whole, and waits for this reason, which its status tells.
pub(super) fn looked_at(context: &Context, run: &BotRun, uid: &str, cause: Cause) {
    let looked = Looked { at: Instant::now(), generation: run.metadata.generation, cause };
    lock(context).looked.insert(uid.to_owned(), looked);
}

/// Whether a run waits for others as it did when it was looked at last, so that there is nothing to ask the API server: of
/// hundreds that wait it would be asked hundreds of times a second.
pub(super) fn still_waits(context: &Context, run: &BotRun, uid: &str) -> bool {
    let armies = context.armies.lock();
    let mut queue = lock(context);
    let holds =
        |looked: &&Looked| looked.generation == run.metadata.generation && looked.at.elapsed() < LOOKED_HOLDS;
    let Some(before) = queue.looked.get(uid).filter(holds).map(|looked| looked.cause.clone()) else {
        return false;
    };
    // Pods that are waited for are looked at by the one who waits.
    let is_the_same = |(waits, cause): (Waiting, Cause)| waits != Waiting::Pods && cause == before;
    seen(context, run, uid, &armies, &mut queue).is_some_and(is_the_same)
}

/// How long a run may wait for its turn, if it has waited for longer.
pub(super) fn overdue(context: &Context, run: &BotRun, uid: &str) -> Option<Duration> {
    let limit = context.armies.lock().get(uid).and_then(|army| army.run.queue_deadline);
    let created = run.metadata.creation_timestamp.as_ref().map(|time| time.0);
    limit.filter(|_| deadline::turn_is_late(created, Timestamp::now(), limit))
}

/// Looks at all runs that wait or are at work, and at those whose pods may be. Those that are suspended before they began
/// stand in nobody's way.
fn look(context: &Context, own: &BotRun, armies: &HashMap<String, Army>, leaving: &mut Leaving) -> Seen {
    let now = Instant::now();
    let runs = context.runs.get().map(Store::state).unwrap_or_default();
    let others = runs.iter().filter_map(|other| other.0.as_ref().ok()).filter(|other| {
        other.metadata.deletion_timestamp.is_none() && !super::is_over(other) && other.uid() != own.uid()
    });
    // What the watch shows of this one may be older.
    let places = others.chain([own]).filter_map(|run| place(run, armies).map(|place| (place, run)));
    let places = places.filter(|(place, run)| place.at_work || !run.spec.run.operation.suspend);
    let mut places: Vec<Place> = places.map(|(place, _)| place).collect();
    let known: HashSet<String> = places.iter().map(|place| place.uid.clone()).collect();
    // Their runs are over or deleted, and they have not been left yet.
    let more = armies.iter().filter(|(uid, army)| !known.contains(*uid) && army.may_have_bots());
    places.extend(more.map(|(uid, army)| place_of(uid, army)));
    places.extend(leaving.places(now).filter(|place| !known.contains(&place.uid)).cloned());
    let waiting = queue::waits(&places, |namespace| context.limits.most_runs(namespace));
    let why = |place: &Place| {
        let told = |wait: &Wait<'_>| told(wait, &place.namespace);
        (place.uid.clone(), waiting.get(&*place.uid).map(told))
    };
    Seen { at: now, waits: places.iter().map(why).collect() }
}

fn place(run: &BotRun, armies: &HashMap<String, Army>) -> Option<Place> {
    let (uid, namespace) = (run.uid()?, run.namespace()?);
    let begun = run.status.as_ref().is_some_and(|s| matches!(s.phase, Phase::Scheduled | Phase::Running));
    Some(Place {
        target: target(&run.spec.run, &namespace),
        policy: run.spec.run.operation.target_policy.unwrap_or_default(),
        created: run.creation_timestamp().map(|time| time.0),
        at_work: begun || armies.get(&uid).is_some_and(|army| army.admitted),
        leaves: false,
        name: run.name_any(),
        uid,
        namespace,
    })
}

/// The place of a run that is no more.
fn place_of(uid: &str, army: &Army) -> Place {
    let spec = army.spec();
    Place {
        target: target(spec, &army.namespace),
        policy: spec.operation.target_policy.unwrap_or_default(),
        created: None,
        at_work: true,
        leaves: true,
        name: army.name.clone(),
        uid: uid.to_owned(),
        namespace: army.namespace.clone(),
    }
}

fn target(spec: &BotRunSpec, namespace: &str) -> Option<String> {
    spec.target.as_ref().map(|target| target_key(target, namespace))
}

const NONE_MAY: &str =
    "no run may begin in this namespace, whose limit maxRuns is 0; ask whoever has installed the operator";

/// Why a run of this namespace waits.
fn told(wait: &Wait<'_>, namespace: &str) -> (Waiting, Cause) {
    // Whoever may read this run need not know what others have called theirs.
    let who = |other: &Place| {
        if other.namespace == namespace {
            format!("the BotRun {}/{}", other.namespace, other.name)
        } else {
            "a run of another namespace".to_owned()
        }
    };
    let (waits, message) = match wait {
        Wait::Target(other) if other.leaves => (
            Waiting::Pods,
            format!(
                "{} is over or was deleted, and its pods may load the same target until they have ended",
                who(other)
            ),
        ),
        Wait::Target(other) => (
            Waiting::Target,
            format!(
                "{} loads the same target; targetPolicy: Shared in both lets them load it together",
                who(other)
            ),
        ),
        Wait::Namespace(0) => (Waiting::Namespace, NONE_MAY.to_owned()),
        Wait::Namespace(most) => {
            (Waiting::Namespace, format!("{most} runs may be at work in this namespace, and as many are"))
        }
    };
    (waits, Cause::new(Reason::Queued, &message))
}

/// An army is about to be given up: its pods are waited for where they may load the target.
pub(super) fn leave(context: &Context, uid: &str) {
    let armies = context.armies.lock();
    if let Some(army) = armies.get(uid).filter(|army| army.may_have_bots()) {
        lock(context).leaving.enter(place_of(uid, army), Instant::now() + stops_after(army.run.lease));
    }
}

/// A run was deleted that no army was made for yet, since this operator has begun to lead just now.
pub(super) fn leave_unknown(context: &Context, run: &BotRun) {
    let armies = context.armies.lock();
    let place = place(run, &armies).filter(|place| place.at_work && !armies.contains_key(&place.uid));
    let lease = run.spec.run.operation.lease_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let lease = lease.map_or(DEFAULT_LEASE, Duration::from_secs);
    if let Some(place) = place {
        lock(context).leaving.enter(Place { leaves: true, ..place }, Instant::now() + stops_after(lease));
    }
}

/// Looks whether the pods are gone of those runs that keep this one from its target though they are no more.
pub(super) async fn look_for_pods(context: &Context, run: &BotRun, accepted: &Accepted) {
    let Some(namespace) = run.namespace().filter(|_| !accepted.has_job()) else { return };
    let Some(target) = target(&run.spec.run, &namespace) else { return };
    let due = lock(context).leaving.due(&target, Instant::now());
    for place in due {
        match are_gone(context, &place).await {
            Ok(true) => {
                let mut queue = lock(context);
                queue.leaving.has_left(&place.uid);
                queue.seen = None;
            }
            Ok(false) => {}
            // It waits until they have stopped by themselves.
            Err(error) => tracing::warn!("the pods of {}/{}: {error}", place.namespace, place.name),
        }
    }
}

/// Whether a run has no pods any more that may be at work, and will get none.
async fn are_gone(context: &Context, place: &Place) -> Result<bool, Error> {
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &place.namespace);
    let job = call("reading the Job", jobs.get_opt(&place.name)).await?;
    if job.is_some_and(|job| is_owned(&job, &place.uid) && !cause::has_ended(&job)) {
        return Ok(false);
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &place.namespace);
    let at_work = ListParams::default()
        .labels(&format!("{RUN_UID_LABEL}={}", place.uid))
        .fields("status.phase!=Failed,status.phase!=Succeeded")
        .limit(1);
    Ok(call("listing the pods of a run", pods.list_metadata(&at_work)).await?.items.is_empty())
}

#[cfg(test)]
mod tests;
