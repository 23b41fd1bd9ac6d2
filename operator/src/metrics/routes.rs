//! Answers scrapers, one after the other.

use super::accept::Form;
use super::shown::Shown;
use super::{Metrics, operator, protobuf, runs};
use crate::armies::Armies;
use crate::coordinator::now_ms;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use botarmy_report::Exposition;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a scrape waits for others: scrapers themselves rarely wait for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is told, and to whom.
#[derive(Debug)]
struct Scraped {
    metrics: Arc<Metrics>,
    armies: Arc<Armies>,
    /// One scrape at a time: the copies that it makes are not small.
    shown: Arc<Mutex<Shown>>,
}

/// The route `/metrics`.
pub fn routes(metrics: Arc<Metrics>, armies: Arc<Armies>) -> Router {
    let scraped = Scraped { metrics, armies, shown: Arc::default() };
    Router::new().route("/metrics", get(scrape)).with_state(Arc::new(scraped))
}

async fn scrape(State(scraped): State<Arc<Scraped>>, headers: HeaderMap) -> Response {
    let form = Form::asked_for(&headers);
    let turn = tokio::time::timeout(PATIENCE, scraped.shown.clone().lock_owned()).await;
    let Ok(mut shown) = turn else {
        let busy = "other scrapes go on; scrape less often, or from fewer places";
        return (StatusCode::SERVICE_UNAVAILABLE, busy).into_response();
    };
    // It takes a while when there is much to tell, in which runners are to be answered.
    let told = tokio::task::spawn_blocking(move || {
        tell(form, &scraped.metrics, &scraped.armies, &mut shown, now_ms())
    });
    match told.await {
        Ok(told) => ([(header::CONTENT_TYPE, form.content_type())], told).into_response(),
        Err(error) => {
            tracing::error!("metrics cannot be told: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn tell(form: Form, metrics: &Metrics, armies: &Armies, shown: &mut Shown, now_ms: u64) -> Vec<u8> {
    let mut exposition = match form {
        Form::Text => Exposition::classic(),
        Form::Protobuf => Exposition::with_native(),
    };
    operator::expose(&mut exposition, metrics);
    runs::expose(&mut exposition, armies, shown, now_ms);
    match form {
        Form::Text => exposition.text().into_bytes(),
        Form::Protobuf => protobuf::delimited(&exposition),
    }
}

#[cfg(test)]
mod tests;
