//! A fake of the API server, in the process of a test: it keeps one run, tells its changes to those who watch, and fails
//! where it is told to. The operator, and whoever else changes the run, is played by the test.

use crate::cluster::Cluster;
use futures::stream::{self, BoxStream, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch::{Sender, channel};
use tower::BoxError;

const NAMESPACE: &str = "ns";

type Stream = StreamBody<BoxStream<'static, Result<Frame<Bytes>, BoxError>>>;

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    /// It is refused with this code, and nothing is done.
    Code(u16),
    /// Its connection breaks, and nothing is done.
    Break,
    /// It is done, and never answered.
    Lost,
}

#[derive(Debug, Default)]
struct State {
    run: Option<Value>,
    /// All that watchers are told, in its order; the version of an object is how many there were.
    events: Vec<Value>,
    calls: Vec<&'static str>,
    /// Which calls fail, how many of them, and how.
    faults: Vec<(&'static str, usize, Effect)>,
    /// What happens to the run right after a call that was answered, once.
    reactions: Vec<(&'static str, Value)>,
}

impl State {
    /// Takes a change of the run, or a first one.
    fn change(&mut self, patch: &Value) {
        let is_new = self.run.is_none();
        let fresh = || json!({"metadata": {"namespace": NAMESPACE, "uid": "uid", "generation": 0}});
        let mut run = self.run.take().unwrap_or_else(fresh);
        let spec = run["spec"].clone();
        merge(&mut run, patch);
        if run["spec"] != spec {
            run["metadata"]["generation"] = (run["metadata"]["generation"].as_i64().unwrap() + 1).into();
        }
        self.tell(if is_new { "ADDED" } else { "MODIFIED" }, run.clone());
        run["metadata"]["resourceVersion"] = self.events.len().to_string().into();
        self.run = Some(run);
    }

    fn tell(&mut self, kind: &str, mut run: Value) {
        run["metadata"]["resourceVersion"] = (self.events.len() + 1).to_string().into();
        self.events.push(json!({"type": kind, "object": run}));
    }

    fn act(&mut self, verb: &'static str, name: &str, body: &Value) -> (u16, Value) {
        let is_there = self.run.as_ref().is_some_and(|run| run["metadata"]["name"] == name);
        match verb {
            "list" => return (200, self.list()),
            "create" | "apply" => self.change(body),
            _ if !is_there => return refusal(404, name),
            "merge" => self.change(body),
            "scale" => self.change(&json!({"spec": {"bots": body["spec"]["replicas"]}})),
            _ => {}
        }
        let mut run = self.run.clone().unwrap();
        if verb == "scale" {
            let metadata = json!({"name": name, "namespace": NAMESPACE});
            let replicas = &body["spec"]["replicas"];
            run = json!({
                "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata,
                "spec": {"replicas": replicas},
            });
        }
        (200, run)
    }

    fn list(&self) -> Value {
        let items: Vec<&Value> = self.run.iter().collect();
        json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunList",
            "metadata": {"resourceVersion": self.events.len().to_string()}, "items": items,
        })
    }
}

/// A merge patch.
fn merge(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            for (field, value) in fields {
                merge(&mut into[field], value);
            }
        }
        other => *into = other.clone(),
    }
}

fn refusal(code: u16, name: &str) -> (u16, Value) {
    let (reason, details) = match code {
        404 => ("NotFound", json!({"kind": "botruns", "name": name, "group": "botarmy.dev"})),
        403 => ("Forbidden", json!({})),
        _ => ("InternalError", json!({})),
    };
    let message = format!("botruns.botarmy.dev {name:?}: {reason}");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason,
        "details": details, "code": code,
    });
    (code, status)
}

/// The fake.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    /// Told when there may be something new to watch.
    changed: Sender<()>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), changed: channel(()).0 }
    }

    /// The program's own view of it.
    pub(crate) fn cluster(&self) -> Cluster {
        let fake = self.clone();
        let service = tower::service_fn(move |request| fake.clone().serve(request));
        Cluster::of_client(Client::new(service, NAMESPACE), NAMESPACE)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Somebody makes a run, with these fields of its spec.
    pub(crate) fn add(&self, name: &str, spec: &Value, status: &Value) {
        let (api, kind) = ("botarmy.dev/v1alpha1", "BotRun");
        let mut run = json!({
            "apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": {"trees": {"T": "done"}},
            "status": status,
        });
        merge(&mut run["spec"], spec);
        self.state().change(&run);
        self.changed.send_replace(());
    }

    /// Somebody changes the run by a merge patch, its status included.
    pub(crate) fn change(&self, name: &str, patch: &Value) {
        assert_eq!(self.get(name)["metadata"]["name"], name);
        self.state().change(patch);
        self.changed.send_replace(());
    }

    /// Somebody deletes the run.
    pub(crate) fn remove(&self) {
        let mut state = self.state();
        let run = state.run.take().unwrap();
        state.tell("DELETED", run);
        drop(state);
        self.changed.send_replace(());
    }

    pub(crate) fn get(&self, name: &str) -> Value {
        let run = self.state().run.clone().unwrap();
        assert_eq!(run["metadata"]["name"], name);
        run
    }

    /// So many of the next calls with this verb meet this fault.
    pub(crate) fn fail(&self, verb: &'static str, times: usize, effect: Effect) {
        self.state().faults.push((verb, times, effect));
    }

    /// This happens to the run right after the next call with this verb.
    pub(crate) fn after(&self, verb: &'static str, patch: Value) {
        self.state().reactions.push((verb, patch));
    }

    /// How many calls there were with this verb.
    pub(crate) fn count(&self, verb: &str) -> usize {
        self.state().calls.iter().filter(|call| **call == verb).count()
    }

    async fn serve(self, request: Request<Body>) -> Result<Response<Stream>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let kind = parts.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let (verb, name) = verb(&parts.method, &parts.uri, kind.is_some_and(|kind| kind.contains("apply")));
        if verb == "watch" {
            self.state().calls.push(verb);
            let query = parts.uri.query().unwrap_or_default();
            let seen = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
            return Ok(Response::new(self.watch(seen.unwrap_or_default().parse()?)));
        }
        let (effect, (code, answer)) = self.meet(verb, &name, &body);
        match effect {
            Some(Effect::Break) => return Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            Some(Effect::Lost) => std::future::pending().await,
            _ => {}
        }
        let bytes = Bytes::from(answer.to_string());
        let body = StreamBody::new(stream::iter([Ok(Frame::data(bytes))]).boxed());
        Ok(Response::builder().status(StatusCode::from_u16(code)?).body(body)?)
    }

    /// Does what is asked for, unless a fault keeps it from that.
    fn meet(&self, verb: &'static str, name: &str, body: &Value) -> (Option<Effect>, (u16, Value)) {
        let mut state = self.state();
        state.calls.push(verb);
        let fault = state.faults.iter_mut().find(|(of, left, _)| *of == verb && *left > 0);
        let effect = fault.map(|(_, left, effect)| {
            *left -= 1;
            *effect
        });
        let answer = match effect {
            Some(Effect::Code(code)) => refusal(code, name),
            Some(Effect::Break) => refusal(500, name),
            Some(Effect::Lost) | None => {
                let answer = state.act(verb, name, body);
                if let Some(place) = state.reactions.iter().position(|(of, _)| *of == verb) {
                    let (_, patch) = state.reactions.remove(place);
                    state.change(&patch);
                }
                answer
            }
        };
        drop(state);
        self.changed.send_replace(());
        (effect, answer)
    }

    /// All that has happened since so many events, and what will.
    fn watch(self, seen: usize) -> Stream {
        let changed = self.changed.subscribe();
        let events = stream::unfold((self, changed, seen), |(fake, mut changed, seen)| async move {
            loop {
                changed.borrow_and_update();
                let event = fake.state().events.get(seen).cloned();
                if let Some(event) = event {
                    let line = Bytes::from(format!("{event}\n"));
                    return Some((Ok(Frame::data(line)), (fake, changed, seen + 1)));
                }
                changed.changed().await.ok()?;
            }
        });
        StreamBody::new(events.boxed())
    }
}

/// What a request asks for, and of the run of which name.
fn verb(method: &Method, uri: &http::Uri, applies: bool) -> (&'static str, String) {
    let path = uri.path().split_once("/botruns").map_or("", |(_, path)| path).trim_matches('/');
    let (name, sub) = path.split_once('/').unwrap_or((path, ""));
    let watches = uri.query().is_some_and(|query| query.contains("watch=true"));
    let verb = match *method {
        Method::GET if watches => "watch",
        Method::GET if name.is_empty() => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PATCH if sub == "scale" => "scale",
        Method::PATCH if applies => "apply",
        _ => "merge",
    };
    (verb, name.to_owned())
}
