//! What is shown of a runner's measures beside what its coordinator is told.

use crate::metrics::Metrics;
use crate::otlp::Pusher;
use botarmy_report::Totals;

/// Those who watch, and what was measured so far.
pub(super) struct Shown {
    sum: Totals,
    metrics: Option<Metrics>,
    pusher: Option<Pusher>,
}

impl Shown {
    pub(super) fn to(metrics: Option<Metrics>, pusher: Option<Pusher>) -> Self {
        Self { sum: Totals::default(), metrics, pusher }
    }

    /// Shows what was measured in addition.
    pub(super) fn add(&mut self, totals: &Totals, alive: u32, finished: bool) {
        if self.metrics.is_none() && self.pusher.is_none() {
            return;
        }
        if let Err(error) = self.sum.merge(totals) {
            tracing::error!("measures cannot be added: {error}");
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.show(&self.sum, alive, finished);
        }
        let pusher = self.pusher.as_mut();
        if let Some(told) = pusher.and_then(|p| p.show(&self.sum, alive)) {
            tracing::warn!("{told}");
        }
    }

    /// Pushes what is still to be pushed.
    pub(super) async fn end(&mut self) {
        if let Some(mut pusher) = self.pusher.take() {
            pusher.last(&self.sum, 0);
            pusher.end().await.iter().for_each(|told| tracing::warn!("{told}"));
        }
    }
}
