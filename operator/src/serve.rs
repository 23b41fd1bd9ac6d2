//! Puts the parts together and runs them until the process is told to end.

use crate::armies::Armies;
use crate::certificates::{self, Authority};
use crate::coordinator::{self, Coordinator, Reviewer};
use crate::readiness::{self, Readiness};
use crate::{Settings, checkpoint, controller};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use kube::Client;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No API server.
    #[error("the API server cannot be found: {0}; the operator runs in a cluster, or with a kubeconfig")]
    Client(#[from] Box<kube::Error>),
    /// No certificates.
    #[error("{0}")]
    Certificates(#[from] certificates::Error),
    /// Nobody could be served.
    #[error("{0}")]
    Readiness(#[from] readiness::Error),
    /// An address is taken.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Runs the operator.
pub async fn serve(settings: Settings) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(Box::new)?;
    let health = listen(settings.health).await?;
    let runners = listen(settings.listen).await?;
    let (armies, readiness) = (Arc::new(Armies::default()), Arc::new(Readiness::default()));
    tokio::spawn(tell_health(health, armies.clone(), readiness.clone()));
    let authority = Authority::load(client.clone(), &settings.namespace, &settings.ca_secret).await?;
    let host = settings.coordinator_host();
    let tls = authority.server(vec![host.clone(), format!("{host}.cluster.local")])?;
    readiness.listening(settings.listen, &host, &authority.certificate)?;

    let reviewer = Arc::new(Reviewer::new(client.clone()));
    let routes = coordinator::routes(Coordinator { armies: armies.clone(), reviewer });
    tokio::spawn(coordinator::serve(runners, tls, routes));
    tokio::spawn(checkpoint::keep(client.clone(), armies.clone()));
    let context = controller::Context::new(client, settings, armies, authority.certificate);
    controller::run(Arc::new(context), readiness).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|e| Error::Listen(address, e))
}

async fn tell_health(listener: TcpListener, armies: Arc<Armies>, readiness: Arc<Readiness>) {
    let ready = move || {
        let readiness = readiness.clone();
        async move {
            match readiness.check().await {
                Ok(()) => (StatusCode::OK, "ok".to_owned()),
                Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            }
        }
    };
    let metrics = move || {
        let armies = armies.clone();
        async move { metrics(&armies) }
    };
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics));
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!("health cannot be told any more: {error}");
    }
}

/// In Prometheus' text format.
fn metrics(armies: &Armies) -> String {
    let armies = armies.lock();
    let bots: u64 = armies.values().map(|a| u64::from(a.alive())).sum();
    let requests: u64 = armies.values().map(|a| a.totals().requests).sum();
    format!(
        "# HELP botarmy_runs Runs at work.\n# TYPE botarmy_runs gauge\nbotarmy_runs {}\n\
         # HELP botarmy_bots Bots alive over all runs at work.\n# TYPE botarmy_bots gauge\nbotarmy_bots {bots}\n\
         # HELP botarmy_run_requests Requests sent by the runs at work.\n# TYPE botarmy_run_requests gauge\nbotarmy_run_requests {requests}\n",
        armies.len()
    )
}
