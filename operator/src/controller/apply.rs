//! Step 4: brings the objects to the API server: what the pods mount first, the Job last and once.

use super::build::Objects;
use super::{Context, Error, FIELD_MANAGER, call};
use botarmy_crds::BotRun;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};

/// That everything is there.
pub(super) struct Applied {
    /// The Job was made just now.
    pub(super) scheduled: bool,
}

pub(super) async fn apply(context: &Context, run: &BotRun, objects: Objects) -> Result<Applied, Error> {
    // Without `..`: an object that is added to the type cannot be forgotten here.
    let Objects { trust, checkpoint, job } = objects;
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let Some(job) = job else { return Ok(Applied { scheduled: false }) };
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    for map in [&trust, &checkpoint] {
        call("applying a ConfigMap", maps.patch(&map.name_any(), &manager, &Patch::Apply(map))).await?;
    }
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    match call("creating the Job", jobs.create(&PostParams::default(), &job)).await {
        Ok(_) => {}
        // Made by a reconcile whose answer was lost.
        Err(Error::Api(_, kube::Error::Api(status))) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    let event = Event {
        type_: EventType::Normal,
        reason: "Scheduled".into(),
        note: Some(format!("Job {} was created", job.name_any())),
        action: "Schedule".into(),
        secondary: None,
    };
    // An event that is lost is no reason to make the Job again.
    if let Err(error) = context.recorder.publish(&event, &run.object_ref(&())).await {
        tracing::warn!("an event cannot be told: {error}");
    }
    Ok(Applied { scheduled: true })
}
