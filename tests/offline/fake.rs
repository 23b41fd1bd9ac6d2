//! A fake of the API server, in the process of the test, for faults that a real one cannot be made to have.
//!
//! It keeps objects, versions and generations, answers what the operator asks, and tells changes to those who watch.
//! Calls can be made to fail, and all of them are written down. It does not validate, admit, or collect garbage but at
//! once; nor does it know who owns which field: that is for the tests on a real cluster.

mod call;
mod objects;
mod watch;

pub(crate) use watch::Cut;

use botarmy_operator::nesting;
use call::Call;
use futures::{StreamExt, future, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{Request, Response};
use kube::Client;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, DynBody};
use objects::{Answer, Key, Objects, Refusal};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio::time::Instant;
use tower::retry::Retry;
use tower::util::MapResponse;
use tower::{BoxError, Layer};

/// The namespace of all objects of the tests, unless they say otherwise.
pub(crate) const NAMESPACE: &str = "ns";
/// So many calls are answered; whoever spins then waits for ever, and the test for it comes to its end.
const MOST_CALLS: usize = 200_000;

type Stream = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>>;

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    /// It is refused with this code, and nothing is done.
    Code(u16),
    /// It is never answered, and nothing is done.
    Hang,
    /// It is done, and never answered.
    Lost,
    /// It is done, and answered after this time.
    Slow(Duration),
    /// Its connection breaks, and nothing is done.
    Break,
}

/// A fault: which calls it hits, and how.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    verb: &'static str,
    resource: &'static str,
    name: Option<&'static str>,
    client: Option<&'static str>,
    left: usize,
    effect: Effect,
}

impl Fault {
    /// A fault of all calls with this verb, or any (`*`), about this resource, until it is mended.
    pub(crate) fn new(verb: &'static str, resource: &'static str, effect: Effect) -> Self {
        Self { verb, resource, name: None, client: None, left: usize::MAX, effect }
    }

    /// Only about the object of this name.
    pub(crate) fn about(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Only calls of this client.
    pub(crate) fn by(self, client: &'static str) -> Self {
        Self { client: Some(client), ..self }
    }

    /// Only so many of them.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { left: times, ..self }
    }

    fn hits(&self, call: &Call) -> bool {
        (self.verb == "*" || self.verb == call.verb)
            && self.resource == call.resource
            && self.name.is_none_or(|name| name == call.name)
            && self.client.is_none_or(|client| client == call.client)
            && self.left > 0
    }
}

/// A call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) call: Call,
    /// What it was answered with; none as long as it was not.
    pub(crate) code: Option<u16>,
}

/// Calls that were made, in their order.
#[derive(Debug)]
pub(crate) struct Calls(pub(crate) Vec<Seen>);

impl Calls {
    /// Those with this verb about this resource.
    pub(crate) fn to(mut self, verb: &str, resource: &str) -> Self {
        self.0.retain(|seen| seen.call.verb == verb && seen.call.resource == resource);
        self
    }

    /// Those about the object of this name.
    pub(crate) fn about(mut self, name: &str) -> Self {
        self.0.retain(|seen| seen.call.name == name);
        self
    }

    /// Those that are no watches: these are begun again from time to time.
    pub(crate) fn but_watches(mut self) -> Self {
        self.0.retain(|seen| seen.call.verb != "watch");
        self
    }

    /// Those that change something.
    pub(crate) fn writes(mut self) -> Self {
        self.0.retain(|seen| seen.call.is_write());
        self
    }

    /// Those that were made after this moment.
    pub(crate) fn after(mut self, moment: Instant) -> Self {
        self.0.retain(|seen| seen.at > moment);
        self
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Verb and resource of each.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|seen| format!("{} {}", seen.call.verb, seen.call.resource)).collect()
    }

    /// How long after one another they were made.
    pub(crate) fn distances(&self) -> Vec<Duration> {
        self.0.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }

    /// What each was answered with.
    pub(crate) fn codes(&self) -> Vec<Option<u16>> {
        self.0.iter().map(|seen| seen.code).collect()
    }
}

#[derive(Debug, Default)]
struct State {
    objects: Objects,
    faults: Vec<Fault>,
    seen: Vec<Seen>,
    /// By the token, the namespace, the name and the UID of its pod.
    tokens: HashMap<String, [String; 3]>,
    /// How watches were cut, by resource.
    cuts: HashMap<String, Vec<Cut>>,
    /// Changes that nobody can watch any more.
    forgotten: usize,
}

impl State {
    fn cuts(&self, resource: &str) -> &[Cut] {
        self.cuts.get(resource).map_or(&[], Vec::as_slice)
    }

    /// Writes a call down; its place, and what is to become of it.
    fn begin(&mut self, call: &Call) -> (usize, Option<Effect>) {
        let place = self.seen.len();
        self.seen.push(Seen { at: Instant::now(), call: call.clone(), code: None });
        if place >= MOST_CALLS {
            return (place, Some(Effect::Hang));
        }
        let fault = self.faults.iter_mut().find(|fault| fault.hits(call));
        let effect = fault.map(|fault| {
            fault.left -= 1;
            fault.effect
        });
        (place, effect)
    }

    fn act(&mut self, call: &Call) -> Answer {
        let (key, body) = (call.key(), &call.body);
        match (call.verb, call.resource.as_str()) {
            ("create", "tokenreviews") => Ok(self.review(body.clone())),
            ("get", _) => self.objects.get(&key),
            ("list", resource) => {
                let (labels, fields) = (call.parameter("labelSelector"), call.parameter("fieldSelector"));
                let list = self.objects.list(resource, &call.namespace, labels, fields);
                Ok(page(list, call.parameter("limit"), call.parameter("continue")))
            }
            ("create", _) => self.objects.create(&key, body.clone()),
            ("update", _) => self.objects.replace(&key, body.clone()),
            ("patch", resource) if call.applies && resource.ends_with("/status") => {
                self.objects.apply_status(&key, body, call.parameter("fieldManager"))
            }
            ("patch", _) if call.applies => self.objects.apply(&key, body.clone()),
            ("patch", _) => self.objects.merge(&key, body),
            ("delete", _) => self.objects.delete(&key, body),
            _ => Err(Refusal::new(500, &call.resource, &call.name)),
        }
    }

    fn review(&self, mut review: Value) -> Value {
        let token = review["spec"]["token"].as_str().unwrap_or_default();
        let pod = self.tokens.get(token).filter(|_| review["spec"]["audiences"] == json!(["botarmy"]));
        review["status"] = pod.map_or(json!({"authenticated": false}), |[namespace, name, uid]| {
            let extra = json!({
                "authentication.kubernetes.io/pod-name": [name], "authentication.kubernetes.io/pod-uid": [uid],
            });
            let user = format!("system:serviceaccount:{namespace}:default");
            json!({"authenticated": true, "user": {"username": user, "extra": extra}})
        });
        review
    }
}

/// So many items of a list, from where the last page has ended: its token is their number.
fn page(mut list: Value, limit: &str, from: &str) -> Value {
    let (limit, from): (usize, usize) = (limit.parse().unwrap_or(usize::MAX), from.parse().unwrap_or(0));
    let Some(items) = list["items"].as_array_mut() else { return list };
    let until = items.len().min(from.saturating_add(limit));
    let is_last = until == items.len();
    *items = items.drain(from.min(until)..until).collect();
    if !is_last {
        list["metadata"]["continue"] = until.to_string().into();
    }
    list
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told when there may be something new to watch.
    changed: Sender<()>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics who holds it")
    }

    fn act(&self, call: &Call) -> Answer {
        let answer = self.state().act(call);
        self.changed.send_replace(());
        answer
    }

    fn answer(&self, place: usize, answer: Answer) -> Response<Stream> {
        let (code, body) = match answer {
            Ok(body) => (200, body),
            Err(refusal) => (refusal.code, refusal.status()),
        };
        let bytes = Bytes::from(body.to_string());
        let body = StreamBody::new(stream::once(future::ready(Ok(Frame::data(bytes)))).boxed());
        self.respond(place, code, body)
    }

    fn respond(&self, place: usize, code: u16, body: Stream) -> Response<Stream> {
        self.state().seen[place].code = Some(code);
        Response::builder().status(code).body(body).expect("a response")
    }
}

async fn serve(
    shared: Arc<Shared>,
    client: &'static str,
    request: Request<Body>,
) -> Result<Response<Stream>, BoxError> {
    let call = Call::read(client, request).await?;
    let (place, effect) = shared.state().begin(&call);
    match effect {
        Some(Effect::Code(code)) => {
            return Ok(shared.answer(place, Err(Refusal::new(code, &call.resource, &call.name))));
        }
        Some(Effect::Break) => return Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        Some(Effect::Hang) => future::pending::<()>().await,
        Some(Effect::Lost) => {
            // Whether it went well or not: nobody hears of it.
            drop(shared.act(&call));
            future::pending::<()>().await;
        }
        Some(Effect::Slow(time)) => {
            let answer = shared.act(&call);
            tokio::time::sleep(time).await;
            return Ok(shared.answer(place, answer));
        }
        None => {}
    }
    if call.verb == "watch" {
        let body = watch::watch(shared.clone(), call);
        return Ok(shared.respond(place, 200, body));
    }
    let answer = shared.act(&call);
    Ok(shared.answer(place, answer))
}

/// The fake.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    shared: Arc<Shared>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let (changed, _) = tokio::sync::watch::channel(());
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed }) }
    }

    /// A client under this name, which tries again as that of the operator does.
    pub(crate) fn client(&self, name: &'static str) -> Client {
        let shared = self.shared.clone();
        let service = tower::service_fn(move |request: Request<Body>| serve(shared.clone(), name, request));
        let service = Retry::new(RetryPolicy::server_retry(), service);
        let boxed = |answer: Response<Stream>| {
            answer.map(|body| -> Box<DynBody> { Box::new(body.map_err(Into::into)) })
        };
        // As the operator's own client reads what it is answered.
        Client::new(nesting::layer().layer(MapResponse::new(service, boxed)), NAMESPACE)
    }

    /// From now on calls meet this fault.
    pub(crate) fn inject(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// From now on all is well.
    pub(crate) fn mend(&self) {
        self.shared.state().faults.clear();
    }

    /// Ends all watches of a resource.
    pub(crate) fn cut(&self, resource: &str, how: Cut) {
        self.shared.state().cuts.entry(resource.to_owned()).or_default().push(how);
        self.shared.changed.send_replace(());
    }

    /// What has changed up to now cannot be watched any more, as after the API server has compacted it.
    pub(crate) fn forget_changes(&self) {
        let mut state = self.shared.state();
        state.forgotten = state.objects.changes.len();
    }

    /// The API server vouches for this token: it is that of the pod.
    pub(crate) fn vouch(&self, token: &str, pod: &str, pod_uid: &str) {
        self.vouch_for(NAMESPACE, token, pod, pod_uid);
    }

    /// The same of a pod of another namespace.
    pub(crate) fn vouch_for(&self, namespace: &str, token: &str, pod: &str, pod_uid: &str) {
        let pod = [namespace, pod, pod_uid].map(str::to_owned);
        self.shared.state().tokens.insert(token.to_owned(), pod);
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Calls {
        Calls(self.shared.state().seen.clone())
    }

    /// Somebody makes an object.
    pub(crate) fn add(&self, resource: &str, object: Value) -> Value {
        self.add_to(NAMESPACE, resource, object)
    }

    /// Somebody makes an object in another namespace.
    pub(crate) fn add_to(&self, namespace: &str, resource: &str, object: Value) -> Value {
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let key = (resource.to_owned(), namespace.to_owned(), name);
        let made = self.shared.state().objects.create(&key, object).expect("made");
        self.shared.changed.send_replace(());
        made
    }

    /// The namespace of all objects, with this metadata.
    pub(crate) fn add_namespace(&self, metadata: &Value) {
        let key = ("namespaces".to_owned(), String::new(), NAMESPACE.to_owned());
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.shared.state().objects.create(&key, namespace).expect("made");
    }

    /// Somebody changes an object by a merge patch, its status included.
    pub(crate) fn change(&self, resource: &str, name: &str, patch: &Value) -> Value {
        self.edit(resource, name, |objects, key| objects.merge(key, patch)).expect("changed")
    }

    /// Somebody deletes an object, and what belongs to it.
    pub(crate) fn remove(&self, resource: &str, name: &str) {
        let background = json!({"propagationPolicy": "Background"});
        self.edit(resource, name, |objects, key| objects.delete(key, &background)).expect("deleted");
    }

    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.shared.state().objects.get(&key(resource, name)).ok()
    }

    /// All objects of a resource.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        let mut list = self.shared.state().objects.list(resource, "", "", "");
        list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How many objects belong to the one with this UID.
    pub(crate) fn owned_by(&self, uid: &str) -> usize {
        self.shared.state().objects.owned_by(uid).len()
    }

    fn edit(&self, resource: &str, name: &str, edit: impl FnOnce(&mut Objects, &Key) -> Answer) -> Answer {
        let answer = edit(&mut self.shared.state().objects, &key(resource, name));
        self.shared.changed.send_replace(());
        answer
    }
}

fn key(resource: &str, name: &str) -> Key {
    (resource.to_owned(), NAMESPACE.to_owned(), name.to_owned())
}
