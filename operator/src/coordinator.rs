//! What runners talk to: check-ins over TLS, each from a pod that has shown who it is.

mod identity;
mod room;

use crate::armies::{Armies, Army, Refusal};
use crate::callers::{Bounds, Callers, Place};
use crate::certificates::InForce;
use crate::checkpoint::Keeper;
use crate::clock::now_ms;
use crate::election::Leadership;
use crate::listening;
use crate::metrics::{CheckedIn, Metrics, NotConnected};
use crate::patient::Patient;
use crate::unfolded::unfolded;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, body};
use botarmy_protocol::{CHECK_IN_PATH, CheckIn, MAX_CHECK_IN_BYTES};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
pub use identity::Reviewer;
use identity::Runner;
use room::{Owner, Room};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from the moment at which it is waited for: a runner calls each second.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a check-in may take to come in and to be reviewed.
const CHECK_IN_TIMEOUT: Duration = Duration::from_secs(10);
/// Each runner has a connection. Pods have addresses of their own, unless their node speaks for them. Connections of
/// callers that have not shown yet who they are live for seconds, if they are honest.
const CONNECTIONS: Bounds = Bounds { all: 12_000, each: 2_000, strangers: 1_000 };

/// Most that a check-in may come to in memory, in bytes. The largest that a runner has to say comes to less.
pub(crate) const MAX_UNFOLDED: usize = 96 << 20;
/// The key of what a check-in has measured.
const MEASURES: &[&str] = &["deltas"];

/// What a check-in is answered with.
#[derive(Debug, Clone)]
pub struct Coordinator {
    /// The armies at work.
    pub armies: Arc<Armies>,
    /// Who is who.
    pub reviewer: Arc<Reviewer>,
    /// What keeps the armies.
    pub keeper: Arc<Keeper>,
    /// Whether this operator may answer.
    pub leadership: Leadership,
    /// Whom runners are told to trust.
    pub in_force: watch::Receiver<InForce>,
    /// What is counted of check-ins.
    pub metrics: Arc<Metrics>,
    /// Room for check-ins that are being read.
    room: Arc<Room>,
}

impl Coordinator {
    /// A coordinator of these armies.
    pub fn new(
        armies: Arc<Armies>,
        reviewer: Arc<Reviewer>,
        keeper: Arc<Keeper>,
        leadership: Leadership,
        in_force: watch::Receiver<InForce>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { armies, reviewer, keeper, leadership, in_force, metrics, room: Arc::default() }
    }
}

/// The routes of the coordinator.
pub fn routes(coordinator: Coordinator) -> Router {
    Router::new()
        .route(CHECK_IN_PATH, post(check_in))
        .route_layer(middleware::from_fn_with_state(coordinator.metrics.clone(), count))
        .with_state(coordinator)
}

/// Counts a check-in with its answer, whoever has refused it.
async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let answer = next.run(request).await;
    let result = answer.extensions().get::<CheckedIn>().copied();
    let result = result.unwrap_or_else(|| CheckedIn::of_status(answer.status()));
    metrics.checked_in(begun.elapsed(), length, result);
    answer
}

fn refuse(status: StatusCode, reason: &impl ToString) -> Response {
    (status, reason.to_string()).into_response()
}

/// A refusal that is counted as something else than its status says.
fn refuse_as(counted: CheckedIn, status: StatusCode, reason: &impl ToString) -> Response {
    let mut answer = refuse(status, reason);
    answer.extensions_mut().insert(counted);
    answer
}

/// What a refusal by the army is counted as.
fn counted(refusal: &Refusal) -> CheckedIn {
    match refusal {
        Refusal::Protocol(_) => CheckedIn::Protocol,
        Refusal::Index(..) => CheckedIn::Index,
        Refusal::Gone(_) => CheckedIn::Gone,
        Refusal::Missing(..) => CheckedIn::Missing,
        Refusal::Measures(_) | Refusal::Weight => CheckedIn::Measures,
    }
}

async fn check_in(State(coordinator): State<Coordinator>, request: Request) -> Response {
    if coordinator.leadership.now().epoch().is_none() {
        return closing(refuse_as(
            CheckedIn::NotLeading,
            StatusCode::SERVICE_UNAVAILABLE,
            &"another operator leads; call again",
        ));
    }
    let answer = match tokio::time::timeout(CHECK_IN_TIMEOUT, hear(&coordinator, request)).await {
        Ok(Ok(heard)) => answer(&coordinator, &heard.said),
        // What is left of the body is not read.
        Ok(Err(refused)) => closing(refused),
        Err(_) => closing(refuse(StatusCode::REQUEST_TIMEOUT, &"the check-in did not come in time")),
    };
    // Another one may lead by now, and a new connection would find it.
    if coordinator.leadership.leads() { answer } else { closing(answer) }
}

/// A check-in that was read.
struct Heard {
    said: CheckIn,
    /// For as long as a large one is there.
    _turn: Option<OwnedSemaphorePermit>,
}

/// Reads a check-in, once it is known that its caller is a runner: a stranger's is not even read.
async fn hear(coordinator: &Coordinator, request: Request) -> Result<Heard, Response> {
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let token = header(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| {
        let cure = "send the pod's token as Authorization: Bearer TOKEN";
        refuse_as(CheckedIn::Token, StatusCode::UNAUTHORIZED, &cure)
    })?;
    // What would be refused anyhow is worth no question to the API server.
    let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    let length = length.ok_or_else(|| refuse(StatusCode::LENGTH_REQUIRED, &"send a Content-Length"))?;
    if length > MAX_CHECK_IN_BYTES {
        let said = format!("a check-in has at most {MAX_CHECK_IN_BYTES} bytes");
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, &said));
    }
    let place = parts.extensions.get::<Place>();
    let runner = coordinator.reviewer.identify(token, place.map(Place::address)).await.map_err(|error| {
        tracing::debug!("a check-in is refused: {error}");
        refuse_as(error.counted(), error.status(), &error)
    })?;
    if place.is_some_and(|place| !place.is_of(runner.pod_uid())) {
        return Err(refuse(StatusCode::TOO_MANY_REQUESTS, &"the pod has too many connections; close some"));
    }
    let said = read(coordinator, &runner, body, length).await?;
    runner.is(&said.said).map_err(|error| {
        let run = &said.said.run;
        tracing::debug!("a check-in for {}/{} is refused: {error}", run.namespace, run.name);
        refuse_as(error.counted(), error.status(), &error)
    })?;
    Ok(said)
}

/// Reads the body of a check-in of this runner.
async fn read(
    coordinator: &Coordinator,
    runner: &Runner,
    body: body::Body,
    length: usize,
) -> Result<Heard, Response> {
    let (namespace, uid) = (runner.namespace(), runner.run_uid());
    let is_known = coordinator.armies.lock().get(uid).is_some_and(|army| army.namespace == namespace);
    let owner = Owner { namespace, run_uid: is_known.then_some(uid) };
    let Some(_taken) = coordinator.room.take(owner, length).await else {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, &"there is no room for check-ins"));
    };
    let body = body::to_bytes(body, length).await;
    let body = body.map_err(|error| refuse(StatusCode::BAD_REQUEST, &error))?;
    if unfolded(&body, MEASURES, MAX_UNFOLDED) > MAX_UNFOLDED {
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, &"what the check-in says takes too much memory"));
    }
    let turn = coordinator.room.turn(body.len()).await;
    let said = serde_json::from_slice(&body).map_err(|error| {
        refuse(StatusCode::UNPROCESSABLE_ENTITY, &format!("this is no check-in: {error}"))
    })?;
    Ok(Heard { said, _turn: turn })
}

fn answer(coordinator: &Coordinator, said: &CheckIn) -> Response {
    coordinator.armies.beat(now_ms());
    let mut armies = coordinator.armies.lock();
    let is_it = |army: &&mut Army| army.namespace == said.run.namespace && army.name == said.run.name;
    // A pod is known by its namespace, and who may create pods there must not reach the runs of others.
    let Some(army) = armies.get_mut(&said.run.uid).filter(is_it) else {
        drop(armies);
        // Only who hears that its run is there no more goes without having handed over what it has.
        let (status, why) = if coordinator.armies.has_left(&said.run.uid) {
            (StatusCode::NOT_FOUND, "there is no such run any more")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "nothing is known of the run here yet; call again")
        };
        return refuse_as(CheckedIn::UnknownRun, status, &why);
    };
    let answered = army.check_in(said, now_ms());
    if army.has_become_urgent(&said.pod_uid) {
        coordinator.keeper.wake();
    }
    match answered {
        Ok(mut orders) => {
            orders.trust = coordinator.in_force.borrow().bundle.told_to(said);
            Json(orders).into_response()
        }
        Err(refusal) => refuse_as(counted(&refusal), StatusCode::CONFLICT, &refusal),
    }
}

/// An answer after which the connection is closed.
fn closing(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Serves the coordinator for as long as the operator lives, each connection with what is in force when it begins.
pub async fn serve(
    listener: TcpListener,
    in_force: watch::Receiver<InForce>,
    routes: Router,
    metrics: Arc<Metrics>,
) {
    let callers = Callers::new(CONNECTIONS);
    loop {
        let Some((stream, address)) = listening::accept(&listener).await else {
            metrics.not_connected(NotConnected::Accept);
            continue;
        };
        let Some(place) = callers.admit(address.ip()) else {
            tracing::debug!("{address} is not served: there are too many connections");
            metrics.not_connected(NotConnected::TooMany);
            continue;
        };
        let acceptor = TlsAcceptor::from(in_force.borrow().server.clone());
        let (routes, metrics) = (routes.clone(), metrics.clone());
        tokio::spawn(async move {
            let _open = metrics.connected();
            tokio::select! {
                () = place.is_sent_away() => metrics.not_connected(NotConnected::TooMany),
                () = converse(&acceptor, stream, routes, &metrics, &place) => {}
            }
        });
    }
}

/// Serves one connection to its end.
async fn converse(
    acceptor: &TlsAcceptor,
    stream: Patient<TcpStream>,
    routes: Router,
    metrics: &Metrics,
    place: &Place,
) {
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!("a caller does not speak TLS: {error}");
            return metrics.not_connected(NotConnected::Handshake);
        }
        Err(_) => return metrics.not_connected(NotConnected::Timeout),
    };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(body::Body::new);
        request.extensions_mut().insert(place.clone());
        routes.clone().oneshot(request)
    });
    let served = listening::server(HEADER_TIMEOUT).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!("a connection ended: {error}");
    }
}
