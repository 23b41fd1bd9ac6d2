//! What runners talk to: check-ins over TLS, each from a pod that has shown who it is.

mod callers;
mod identity;

use crate::armies::{Armies, Army, Refusal};
use crate::certificates::InForce;
use crate::checkpoint::Keeper;
use crate::election::Leadership;
use crate::metrics::{CheckedIn, Metrics, NotConnected};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use botarmy_protocol::{CHECK_IN_PATH, CheckIn, MAX_CHECK_IN_BYTES};
use callers::Callers;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
pub use identity::Reviewer;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from the moment at which it is waited for: a runner calls each second.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a check-in may take to come in and to be reviewed.
const CHECK_IN_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Room for all check-ins that are being read, in kibibytes.
const ROOM_KIB: usize = 128 << 10;

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
    /// Room for check-ins that are being read, in kibibytes.
    room: Arc<Semaphore>,
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
        let room = Arc::new(Semaphore::new(ROOM_KIB));
        Self { armies, reviewer, keeper, leadership, in_force, metrics, room }
    }
}

/// The clock that all starts are given in: milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
        Refusal::Measures(_) => CheckedIn::Measures,
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
        Ok(Ok(said)) => answer(&coordinator, &said),
        // What is left of the body is not read.
        Ok(Err(refused)) => closing(refused),
        Err(_) => closing(refuse(StatusCode::REQUEST_TIMEOUT, &"the check-in did not come in time")),
    };
    // Another one may lead by now, and a new connection would find it.
    if coordinator.leadership.leads() { answer } else { closing(answer) }
}

/// Reads a check-in, once it is known that its caller is a runner: a stranger's is not even read.
async fn hear(coordinator: &Coordinator, request: Request) -> Result<CheckIn, Response> {
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let token = header(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| {
        let cure = "send the pod's token as Authorization: Bearer TOKEN";
        refuse_as(CheckedIn::Token, StatusCode::UNAUTHORIZED, &cure)
    })?;
    let runner = coordinator.reviewer.identify(token).await.map_err(|error| {
        tracing::warn!("a check-in is refused: {error}");
        refuse_as(error.counted(), error.status(), &error)
    })?;
    let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    let length = length.ok_or_else(|| refuse(StatusCode::LENGTH_REQUIRED, &"send a Content-Length"))?;
    if length > MAX_CHECK_IN_BYTES {
        let said = format!("a check-in has at most {MAX_CHECK_IN_BYTES} bytes");
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, &said));
    }
    let kibibytes = u32::try_from(length.div_ceil(1 << 10)).unwrap_or(u32::MAX);
    let Ok(_room) = coordinator.room.acquire_many(kibibytes).await else {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, &"there is no room for check-ins"));
    };
    let body = axum::body::to_bytes(body, MAX_CHECK_IN_BYTES).await;
    let body = body.map_err(|error| refuse(StatusCode::BAD_REQUEST, &error))?;
    let said: CheckIn = serde_json::from_slice(&body).map_err(|error| {
        refuse(StatusCode::UNPROCESSABLE_ENTITY, &format!("this is no check-in: {error}"))
    })?;
    runner.is(&said).map_err(|error| {
        tracing::warn!("a check-in for {}/{} is refused: {error}", said.run.namespace, said.run.name);
        refuse_as(error.counted(), error.status(), &error)
    })?;
    Ok(said)
}

fn answer(coordinator: &Coordinator, said: &CheckIn) -> Response {
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
    let callers = Arc::new(Callers::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection cannot be accepted: {error}");
                metrics.not_connected(NotConnected::Accept);
                // Out of open files, say: trying at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
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
            converse(&acceptor, stream, routes, &metrics).await;
            drop(place);
        });
    }
}

/// Serves one connection to its end.
async fn converse(acceptor: &TlsAcceptor, stream: TcpStream, routes: Router, metrics: &Metrics) {
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!("a caller does not speak TLS: {error}");
            return metrics.not_connected(NotConnected::Handshake);
        }
        Err(_) => return metrics.not_connected(NotConnected::Timeout),
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection ended: {error}");
    }
}
