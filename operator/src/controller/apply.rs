//! Step 4: brings the objects to the API server: what the pods mount first, the Job last and once.

use super::build::Objects;
use super::cause::{Cause, Reason};
use super::dereference::Belongs;
use super::{Context, Error, FIELD_MANAGER, validate};
use crate::api_call::{self, BAD_REQUEST, CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, call};
use crate::armies::Army;
use crate::clock::now_ms;
use crate::events::{self, Happened};
use botarmy_crds::{BotRun, RUN_UID_LABEL};
use botarmy_tree::{Finding, Path};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};
use serde_json::json;

/// After so many failures in a row a run tells why it waits: what passes by itself, such as a conflict, is over by then.
const FAILURES_TO_TELL: u32 = 3;

/// How far it came.
pub(super) enum Applied {
    /// All was there already.
    Known,
    /// The Job was made just now.
    Scheduled,
    /// The API server does not take an object now, but may do so later.
    Delayed(Cause),
    /// The API server will never take the Job.
    Refused(Finding),
}

pub(super) async fn apply(
    context: &Context,
    run: &BotRun,
    uid: &str,
    objects: Objects,
) -> Result<Applied, Error> {
    // Without `..`: an object that is added to the type cannot be forgotten here.
    let Objects { trust, trust_name, checkpoint, job } = objects;
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let Some(job) = job else {
        // Somebody has deleted it, and runners wait for what is written there.
        let lacks = context.armies.lock().get(uid).is_some_and(Army::lacks_its_object);
        let made = if lacks { apply_map(&maps, run, uid, &checkpoint).await? } else { None };
        hand(context, run, uid, &maps, &trust, &trust_name).await;
        return Ok(made.unwrap_or(Applied::Known));
    };
    for map in [&trust, &checkpoint] {
        if let Some(applied) = apply_map(&maps, run, uid, map).await? {
            return Ok(applied);
        }
    }
    handed(context, uid, &trust_name);
    let made =
        api_call::create::<Job>(&context.client, "creating the Job", &namespace, FIELD_MANAGER, &job).await;
    match made {
        Ok(_) => {}
        Err(api_call::Error::Refused(what, status)) if status.code == CONFLICT => {
            let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
            let found = call("reading the Job", jobs.get_opt(&run.name_any())).await?;
            match found.map(|job| Belongs::to(&job, run, uid)) {
                // Made by a reconcile whose answer was lost.
                Some(Belongs::Here) => {}
                Some(Belongs::ToOneBefore) => return Ok(Applied::Delayed(one_before("Job"))),
                Some(Belongs::Elsewhere) => return Ok(Applied::Refused(validate::foreign("a Job"))),
                // It is gone again, or the conflict was about something else, such as a quota.
                None => return Err(api_call::Error::Refused(what, status).into()),
            }
        }
        Err(api_call::Error::Refused(_, status)) if matches!(status.code, BAD_REQUEST | INVALID) => {
            return Ok(Applied::Refused(refused(&status.message)));
        }
        Err(api_call::Error::Refused(_, status)) if status.code == FORBIDDEN => {
            return Ok(Applied::Delayed(Cause::of_refusal(&status.message)));
        }
        Err(error) => return Err(error.into()),
    }
    let note = format!("Job {} was created", run.name_any());
    tell(context, run, EventType::Normal, "Scheduled", note).await;
    Ok(Applied::Scheduled)
}

/// The same. What has failed some times in a row is a reason for which the run waits, and it comes with the failure: the run
/// tells so, and is given up when its time is over, and others are not asked more often for it.
pub(super) async fn apply_or_tell(
    context: &Context,
    run: &BotRun,
    uid: &str,
    objects: Objects,
) -> Result<(Applied, Result<(), Error>), Error> {
    match apply(context, run, uid, objects).await {
        Ok(applied) => Ok((applied, Ok(()))),
        Err(error) if context.backoff.failures(uid) >= FAILURES_TO_TELL => {
            Ok((Applied::Delayed(Cause::of_refusal(&error.to_string())), Err(error)))
        }
        Err(error) => Err(error),
    }
}

/// Brings a ConfigMap of the run to the API server, unless the name is somebody else's; what follows if it is.
async fn apply_map(
    maps: &Api<ConfigMap>,
    run: &BotRun,
    uid: &str,
    map: &ConfigMap,
) -> Result<Option<Applied>, Error> {
    let name = map.name_any();
    let found = call("reading a ConfigMap", maps.get_metadata_opt(&name)).await?;
    match found.as_ref().map(|found| Belongs::to(found, run, uid)) {
        Some(Belongs::ToOneBefore) => return Ok(Some(Applied::Delayed(one_before("ConfigMap")))),
        Some(Belongs::Elsewhere) => {
            return Ok(Some(Applied::Refused(validate::foreign(&format!("the ConfigMap {name}")))));
        }
        Some(Belongs::Here) | None => {}
    }
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    match call("applying a ConfigMap", maps.patch(&name, &manager, &Patch::Apply(map))).await {
        // What is in it is always alike, so that a rule of the cluster has refused it, which can be changed.
        Err(api_call::Error::Refused(_, status))
            if matches!(status.code, FORBIDDEN | BAD_REQUEST | INVALID) =>
        {
            Ok(Some(Applied::Delayed(Cause::of_refusal(&status.message))))
        }
        done => Ok(done.map(|_| None)?),
    }
}

/// Why a run waits whose name another one had.
fn one_before(kind: &str) -> Cause {
    let message = format!("the {kind} of an earlier run of this name is still being taken away");
    Cause::new(Reason::FailedCreate, &message)
}

/// Gives the pods that are there, and those that take their places, what is in force now to check the coordinator with.
/// A run goes on without it, and it is tried again.
async fn hand(
    context: &Context,
    run: &BotRun,
    uid: &str,
    maps: &Api<ConfigMap>,
    trust: &ConfigMap,
    name: &str,
) {
    if context.armies.lock().get(uid).is_none_or(|army| army.has_been_handed(name)) {
        return;
    }
    let kept = |why: &dyn std::fmt::Display| {
        tracing::warn!("the ConfigMap {} is not brought up to date: {why}", trust.name_any());
    };
    match apply_map(maps, run, uid, trust).await {
        Ok(None) => handed(context, uid, name),
        Ok(Some(Applied::Delayed(cause))) => kept(&cause.message),
        Ok(Some(_)) => kept(&"it is somebody else's"),
        Err(error) => kept(&error),
    }
}

fn handed(context: &Context, uid: &str, name: &str) {
    if let Some(army) = context.armies.lock().get_mut(uid) {
        army.handed(name);
    }
}

/// What is ours of the Job is always the same; so it is the template that the API server refuses.
fn refused(said: &str) -> Finding {
    let said = format!("the API server does not take the Job made from it: {said}");
    Finding::new(&Path::top().field("spec").field("template"), &said)
}

/// Takes away the Job of a run that ended without having begun: its pods could start yet and find
/// nobody who waits for them.
pub(super) async fn discard(context: &Context, job: &Job) -> Result<(), Error> {
    let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let this_one = Preconditions { uid: job.uid(), resource_version: None };
    let how = DeleteParams::background().preconditions(this_one);
    match call("deleting the Job", jobs.delete(&job.name_any(), &how)).await {
        Err(api_call::Error::Refused(_, status)) if status.code == NOT_FOUND => Ok(()),
        done => Ok(done.map(drop)?),
    }
}

/// What is told of a runner whose pod was taken away.
const SILENT: &str = "nothing was heard of it for so long that it has stopped by itself, and its pod was deleted: its node may be dead";

/// Takes the pods away that were silent for so long that their runners have stopped by themselves: their nodes are dead,
/// and the Job makes no others before they are gone.
pub(super) async fn release_silent(context: &Context, run: &BotRun, uid: &str) -> Result<(), Error> {
    let silent = context.armies.lock().get(uid).map(|army| army.silent(now_ms())).unwrap_or_default();
    if silent.is_empty() {
        return Ok(());
    }
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    // One that has ended is replaced anyway, and its log is worth a look.
    let at_work = ListParams::default()
        .labels(&format!("{RUN_UID_LABEL}={uid}"))
        .fields("status.phase!=Failed,status.phase!=Succeeded");
    let listed = call("listing the pods of a run", pods.list_metadata(&at_work)).await?;
    for pod in listed.items.iter().filter(|pod| pod.uid().is_some_and(|uid| silent.contains(&uid))) {
        match release(&pods, &pod.name_any(), pod.uid()).await {
            Err(error) if matches!(error.code(), Some(NOT_FOUND | CONFLICT)) => continue,
            done => done?,
        }
        let why = format!("{}: {SILENT}", Reason::CoordinatorUnreachable);
        if let (Some(army), Some(pod)) = (context.armies.lock().get_mut(uid), pod.uid()) {
            army.explain(&pod, &why, true, now_ms());
        }
        let note = format!("pod {}: {SILENT}", pod.name_any());
        tell(context, run, EventType::Warning, "RunnerLost", note).await;
    }
    Ok(())
}

/// Takes a pod away whose kubelet cannot. A Job that waits for its pods to fail, as ours does, holds on to one that was only
/// deleted, for ever: it has to have failed, and like any pod that the cluster takes away it has not failed by itself. The
/// cluster's own garbage collector does the same with the pods of a node that is gone.
async fn release(pods: &Api<Pod>, name: &str, uid: Option<String>) -> Result<(), api_call::Error> {
    let disrupted = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "RunnerSilent", "message": SILENT,
        "lastTransitionTime": Time(Timestamp::now()),
    });
    let failed = json!({
        "metadata": {"uid": &uid},
        "status": {"phase": "Failed", "reason": "RunnerSilent", "message": SILENT, "conditions": [disrupted]},
    });
    let patch = Patch::Strategic(&failed);
    call("taking a pod for failed", pods.patch_status(name, &PatchParams::default(), &patch)).await?;
    let this_one = Preconditions { uid, resource_version: None };
    let how = DeleteParams::default().grace_period(0).preconditions(this_one);
    call("deleting a pod", pods.delete(name, &how)).await.map(drop)
}

/// Deletes the run, and with it all that belongs to it.
pub(super) async fn delete(context: &Context, run: &BotRun, uid: &str) -> Result<(), Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let runs: Api<BotRun> = Api::namespaced(context.client.clone(), &namespace);
    let this_one = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let how = DeleteParams::background().preconditions(this_one);
    match call("deleting the run", runs.delete(&run.name_any(), &how)).await {
        Err(error) if matches!(error.code(), Some(NOT_FOUND | CONFLICT)) => Ok(()),
        done => Ok(done.map(drop)?),
    }
}

/// Tells an event about the run.
pub(super) async fn tell(context: &Context, run: &BotRun, type_: EventType, reason: &str, note: String) {
    let happened = Happened { type_, reason: reason.to_owned(), note, related: None };
    if !events::tell(&context.recorder, &run.object_ref(&()), happened).await {
        context.metrics.event_lost();
    }
}
