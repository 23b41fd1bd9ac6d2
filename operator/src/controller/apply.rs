//! Step 4: brings the objects to the API server: what the pods mount first, the Job last and once.

use super::build::Objects;
use super::cause::Cause;
use super::dereference::is_owned;
use super::{Context, Error, FIELD_MANAGER, validate};
use crate::api_call::{self, BAD_REQUEST, CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, call};
use crate::coordinator::now_ms;
use crate::events::{self, Happened};
use botarmy_crds::{BotRun, RUN_UID_LABEL};
use botarmy_tree::{Finding, Path};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

/// A runner stops by itself when it has had no coordinator for two minutes; and a margin.
const SILENCE_MS: u64 = 150_000;

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
    let Objects { trust, checkpoint, job } = objects;
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let Some(job) = job else { return Ok(Applied::Known) };
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    for map in [&trust, &checkpoint] {
        let (name, body) = (map.name_any(), Patch::Apply(map));
        match call("applying a ConfigMap", maps.patch(&name, &manager, &body)).await {
            Err(api_call::Error::Refused(_, status)) if status.code == FORBIDDEN => {
                return Ok(Applied::Delayed(Cause::of_refusal(&status.message)));
            }
            done => drop(done?),
        }
    }
    let made =
        api_call::create::<Job>(&context.client, "creating the Job", &namespace, FIELD_MANAGER, &job).await;
    match made {
        Ok(_) => {}
        Err(api_call::Error::Refused(what, status)) if status.code == CONFLICT => {
            match is_ours(context, run, uid, &namespace).await? {
                // Made by a reconcile whose answer was lost.
                Some(true) => {}
                Some(false) => return Ok(Applied::Refused(validate::foreign_job())),
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

/// Whether the Job that has the run's name already is the run's own; none if there is no such Job.
async fn is_ours(context: &Context, run: &BotRun, uid: &str, namespace: &str) -> Result<Option<bool>, Error> {
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let found = call("reading the Job", jobs.get_opt(&run.name_any())).await?;
    Ok(found.map(|job| is_owned(&job, uid)))
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

/// Takes the pods away that were silent for so long that their runners have stopped by themselves: their nodes are dead,
/// and the Job makes no others before they are gone.
pub(super) async fn release_silent(context: &Context, run: &BotRun, uid: &str) -> Result<(), Error> {
    let silent =
        context.armies.lock().get(uid).map(|army| army.silent(now_ms(), SILENCE_MS)).unwrap_or_default();
    if silent.is_empty() {
        return Ok(());
    }
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let of_run = ListParams::default().labels(&format!("{RUN_UID_LABEL}={uid}"));
    let listed = call("listing the pods of a run", pods.list_metadata(&of_run)).await?;
    for pod in listed.items.iter().filter(|pod| pod.uid().is_some_and(|uid| silent.contains(&uid))) {
        let this_one = Preconditions { uid: pod.uid(), resource_version: None };
        let how = DeleteParams::default().grace_period(0).preconditions(this_one);
        match call("deleting a pod", pods.delete(&pod.name_any(), &how)).await {
            Err(error) if matches!(error.code(), Some(NOT_FOUND | CONFLICT)) => continue,
            done => drop(done?),
        }
        let note = format!("pod {} has been silent for too long, and was deleted", pod.name_any());
        tell(context, run, EventType::Warning, "RunnerLost", note).await;
    }
    Ok(())
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
