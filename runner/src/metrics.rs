//! What was measured so far, for a Prometheus scraper.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use botarmy_report::{PROMETHEUS_CONTENT_TYPE, Totals, prometheus};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Between two looks at what was measured.
const EVERY: Duration = Duration::from_millis(900);

/// Why nothing can be scraped here.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be served at {0}: {1}; choose another address")]
pub(crate) struct Error(SocketAddr, std::io::Error);

/// Serves the measures of a run at `/metrics`.
#[derive(Debug)]
pub(crate) struct Metrics {
    address: SocketAddr,
    text: watch::Sender<String>,
    shown: Option<Instant>,
}

impl Metrics {
    /// Takes the address (port 0 is any free one) and answers from now on.
    pub(crate) async fn serve(address: SocketAddr) -> Result<Self, Error> {
        let failed = |e| Error(address, e);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (text, current) = watch::channel(prometheus(&Totals::default(), 0));
        let answer = move || {
            let text = current.borrow().clone();
            std::future::ready(([(CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE)], text))
        };
        let routes = Router::new().route("/metrics", get(answer));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!("metrics are no longer served: {error}");
            }
        });
        Ok(Self { address, text, shown: None })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows where the run stands, unless it was shown a moment ago; the end is always shown.
    pub(crate) fn show(&mut self, totals: &Totals, alive: u32, finished: bool) {
        if finished || self.shown.is_none_or(|shown| shown.elapsed() >= EVERY) {
            self.shown = Some(Instant::now());
            self.text.send_replace(prometheus(totals, alive));
        }
    }
}
