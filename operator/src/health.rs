//! The port at which the operator tells how it does: to the kubelet, to scrapers, and to anybody who reaches it.

use crate::callers::{Bounds, Callers};
use crate::election::Leadership;
use crate::listening;
use crate::readiness::Readiness;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// Nobody says here who he is, so that all are strangers; the kubelet and scrapers have one or two each.
const CONNECTIONS: Bounds = Bounds { all: 300, each: 300, strangers: 200 };
/// How long the head of a request may take, from the moment at which it is waited for: scrapers come each minute at
/// least, and open another connection if they find theirs closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long holds what was found out last: whoever asks without end has nothing more done.
const HOLDS: Duration = Duration::from_millis(500);

/// Whether the operator is ready, and since when that is known.
#[derive(Debug)]
struct Health {
    readiness: Arc<Readiness>,
    leadership: Leadership,
    known: Mutex<Option<(Instant, (StatusCode, String))>>,
}

impl Health {
    async fn is_ready(&self) -> (StatusCode, String) {
        let mut known = self.known.lock().await;
        if let Some((_, told)) = known.as_ref().filter(|(since, _)| since.elapsed() < HOLDS) {
            return told.clone();
        }
        let told = match self.readiness.check(self.leadership.now()).await {
            Ok(()) => (StatusCode::OK, "ok".to_owned()),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        *known = Some((Instant::now(), told.clone()));
        told
    }
}

/// Tells it for as long as the operator lives.
pub async fn serve(
    listener: TcpListener,
    readiness: Arc<Readiness>,
    leadership: Leadership,
    metrics: Router,
) {
    let health = Arc::new(Health { readiness, leadership, known: Mutex::default() });
    let ready = |State(health): State<Arc<Health>>| async move { health.is_ready().await };
    let routes = Router::new().route("/readyz", get(ready)).with_state(health);
    let routes = routes.route("/healthz", get(|| async { "ok" })).merge(metrics);
    let callers = Callers::new(CONNECTIONS);
    loop {
        let Some((stream, address)) = listening::accept(&listener).await else { continue };
        let Some(place) = callers.admit(address.ip()) else { continue };
        let routes = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            let served = listening::server(HEADER_TIMEOUT).serve_connection(TokioIo::new(stream), routes);
            tokio::select! {
                () = place.is_sent_away() => {}
                served = served => drop(served),
            }
        });
    }
}
