//! Step 4: brings the objects to the API server: what the pods mount first, the Job last and once.

use super::build::Objects;
use super::cause::Cause;
use super::{Context, Error, FIELD_MANAGER, call};
use botarmy_crds::BotRun;
use botarmy_tree::{Finding, Path};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use serde_json::Value;

const BAD_REQUEST: u16 = 400;
/// A quota, a webhook or a right: what is forbidden now may be allowed later.
const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
const INVALID: u16 = 422;

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

pub(super) async fn apply(context: &Context, run: &BotRun, objects: Objects) -> Result<Applied, Error> {
    // Without `..`: an object that is added to the type cannot be forgotten here.
    let Objects { trust, checkpoint, job } = objects;
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let Some(job) = job else { return Ok(Applied::Known) };
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    for map in [&trust, &checkpoint] {
        let (name, body) = (map.name_any(), Patch::Apply(map));
        match call("applying a ConfigMap", maps.patch(&name, &manager, &body)).await {
            Err(Error::Api(_, kube::Error::Api(status))) if status.code == FORBIDDEN => {
                return Ok(Applied::Delayed(Cause::of_refusal(&status.message)));
            }
            done => drop(done?),
        }
    }
    match create_job(context, &namespace, &job).await {
        Ok(()) => {}
        // Made by a reconcile whose answer was lost.
        Err(Error::Api(_, kube::Error::Api(status))) if status.code == CONFLICT => {}
        Err(Error::Api(_, kube::Error::Api(status))) if matches!(status.code, BAD_REQUEST | INVALID) => {
            return Ok(Applied::Refused(refused(&status.message)));
        }
        Err(Error::Api(_, kube::Error::Api(status))) if status.code == FORBIDDEN => {
            return Ok(Applied::Delayed(Cause::of_refusal(&status.message)));
        }
        Err(error) => return Err(error),
    }
    let note = format!("Job {} was created", run.name_any());
    tell(context, run, EventType::Normal, "Scheduled", note).await;
    Ok(Applied::Scheduled)
}

/// What is ours of the Job is always the same; so it is the template that the API server refuses.
fn refused(said: &str) -> Finding {
    let said = format!("the API server does not take the Job made from it: {said}");
    Finding::new(&Path::top().field("spec").field("template"), &said)
}

/// Creates the Job, so that a field that the API server does not know is refused and not dropped.
async fn create_job(context: &Context, namespace: &str, job: &Value) -> Result<(), Error> {
    let url = Job::url_path(&(), Some(namespace));
    let request = hyper::Request::post(format!("{url}?fieldValidation=Strict&fieldManager={FIELD_MANAGER}"))
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(job)?)
        .map_err(|e| Error::Api("creating the Job", kube::Error::HttpError(e)))?;
    call("creating the Job", context.client.request::<Job>(request)).await.map(drop)
}

/// Takes away the Job of a run that ended without having begun: its pods could start yet and find
/// nobody who waits for them.
pub(super) async fn discard(context: &Context, job: &Job) -> Result<(), Error> {
    let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let this_one = Preconditions { uid: job.uid(), resource_version: None };
    let how = DeleteParams::background().preconditions(this_one);
    match call("deleting the Job", jobs.delete(&job.name_any(), &how)).await {
        Err(Error::Api(_, kube::Error::Api(status))) if status.code == NOT_FOUND => Ok(()),
        done => done.map(drop),
    }
}

/// Tells an event about the run. One that is lost is no reason to do anything again.
pub(super) async fn tell(context: &Context, run: &BotRun, type_: EventType, reason: &str, note: String) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reconcile".into(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &run.object_ref(&())).await {
        tracing::warn!("an event cannot be told: {error}");
    }
}
