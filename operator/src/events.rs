//! Events about objects, for people who look at them.

use crate::api_call::call;
use crate::message::bounded;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;

/// What has happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Happened {
    pub(crate) type_: EventType,
    pub(crate) reason: String,
    pub(crate) note: String,
    /// Another object that it is about as well.
    pub(crate) related: Option<ObjectReference>,
}

/// The reason of an object that is none of its kind.
pub(crate) const UNREADABLE: &str = "Unreadable";

/// An object is none of its kind: written before its definition was as strict as it is.
pub(crate) fn unreadable(error: &str) -> Happened {
    let note = format!("the object cannot be read, and is left alone: {error}; delete it and apply it anew");
    Happened { type_: EventType::Warning, reason: UNREADABLE.to_owned(), note, related: None }
}

/// Tells an event; whether it was told. One that is lost is no reason to do anything again.
pub(crate) async fn tell(recorder: &Recorder, about: &ObjectReference, happened: Happened) -> bool {
    let event = Event {
        type_: happened.type_,
        reason: happened.reason,
        note: Some(bounded(&happened.note, MAX_NOTE)),
        action: "Reconcile".into(),
        secondary: happened.related,
    };
    let told = call("telling an event", recorder.publish(&event, about)).await;
    told.inspect_err(|error| tracing::warn!("{error}")).is_ok()
}
