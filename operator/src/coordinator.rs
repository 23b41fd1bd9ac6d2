//! What runners talk to: check-ins over TLS, each from a pod that has shown who it is.

mod identity;

use crate::armies::Armies;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use botarmy_protocol::{CHECK_IN_PATH, CheckIn, MAX_CHECK_IN_BYTES};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
pub use identity::{RUN_UID_LABEL, Reviewer};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a check-in is answered with.
#[derive(Debug, Clone)]
pub struct Coordinator {
    /// The armies at work.
    pub armies: Arc<Armies>,
    /// Who is who.
    pub reviewer: Arc<Reviewer>,
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
        .layer(DefaultBodyLimit::max(MAX_CHECK_IN_BYTES))
        .with_state(coordinator)
}

fn refuse(status: StatusCode, reason: &impl ToString) -> Response {
    (status, reason.to_string()).into_response()
}

async fn check_in(
    State(coordinator): State<Coordinator>,
    headers: HeaderMap,
    Json(said): Json<CheckIn>,
) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    let Some(token) = token else {
        return refuse(StatusCode::UNAUTHORIZED, &"send the pod's token as Authorization: Bearer TOKEN");
    };
    if let Err(error) = coordinator.reviewer.check(token, &said).await {
        tracing::warn!("a check-in for {}/{} is refused: {error}", said.run.namespace, said.run.name);
        return refuse(error.status(), &error);
    }
    let mut armies = coordinator.armies.lock();
    let Some(army) = armies.get_mut(&said.run.uid) else {
        return refuse(StatusCode::NOT_FOUND, &"the run is not known here (yet)");
    };
    match army.check_in(&said, now_ms()) {
        Ok(orders) => Json(orders).into_response(),
        Err(refusal) => refuse(StatusCode::CONFLICT, &refusal),
    }
}

/// Serves the coordinator for as long as the operator lives.
pub async fn serve(listener: TcpListener, tls: Arc<rustls::ServerConfig>, routes: Router) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection cannot be accepted: {error}");
                // Out of open files, say: trying at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            let Ok(Ok(stream)) = handshake else {
                tracing::debug!("a caller does not speak TLS");
                return;
            };
            let service = TowerToHyperService::new(routes);
            let served = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
}
