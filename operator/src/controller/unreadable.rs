//! Objects that are no runs: written before their definition was as strict as it is. They are left alone, and that is told.

use super::standing::Standing;
use super::{Context, Error, FIELD_MANAGER, conditions};
use crate::api_call::{self, CONFLICT, call};
use crate::conditions::set;
use crate::events;
use crate::message::bounded;
use botarmy_crds::BotRun;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

/// Longest message of the condition, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Tells by a condition and an event that an object cannot be read, unless that was told before.
pub(super) async fn report(
    context: &Context,
    guarded: &DeserializeGuard<BotRun>,
    error: &str,
) -> Result<Action, Error> {
    if guarded.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = guarded.namespace().ok_or(Error::Incomplete("namespace"))?;
    tracing::error!("{namespace}/{} cannot be read: {error}", guarded.name_any());
    let happened = events::unreadable(error);
    match refuse(context, guarded, &namespace, &happened.note).await {
        Ok(true) => {}
        Ok(false) => return Ok(Action::await_change()),
        // All of an object is checked when its status is written, and it is no run: there is still the event.
        Err(Error::Call(refused @ api_call::Error::Refused(..))) if refused.code() != Some(CONFLICT) => {
            tracing::warn!("{namespace}/{}: {refused}", guarded.name_any());
        }
        Err(error) => return Err(error),
    }
    if !events::tell(&context.recorder, &guarded.object_ref(&()), happened).await {
        context.metrics.event_lost();
    }
    Ok(Action::await_change())
}

/// Writes the condition beside what stands in the status, as far as that can be read; whether it is news. None of the types
/// fits such an object.
async fn refuse(
    context: &Context,
    guarded: &DeserializeGuard<BotRun>,
    namespace: &str,
    message: &str,
) -> Result<bool, Error> {
    let kind = ApiResource::erase::<BotRun>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind);
    let name = guarded.name_any();
    let this_one = ListParams::default().fields(&format!("metadata.name={name}"));
    let listed = call("reading an object that is no run", objects.list(&this_one)).await?;
    let Some(found) = listed.items.into_iter().find(|found| found.uid() == guarded.uid()) else {
        return Ok(false);
    };
    let known = match &found.data["status"]["conditions"] {
        Value::Null => Ok(Vec::new()),
        known => serde_json::from_value::<Vec<Condition>>(known.clone()),
    };
    let before = match known {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!("{namespace}/{name}: its conditions cannot be read either: {error}");
            return Ok(true);
        }
    };
    let mut told = before.clone();
    let (generation, message) = (found.metadata.generation, bounded(message, MAX_MESSAGE));
    set(
        &mut told,
        generation,
        Timestamp::now(),
        conditions::ACCEPTED,
        false,
        &Standing::Unreadable,
        &message,
    );
    if told == before {
        return Ok(false);
    }
    let body = json!({
        "metadata": {"resourceVersion": found.resource_version()}, "status": {"conditions": told},
    });
    let ours = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    call("writing the status", objects.patch_status(&name, &ours, &Patch::Merge(&body))).await?;
    context.metrics.status_written();
    Ok(true)
}
