//! What was measured so far, pushed to a collector of OpenTelemetry: OTLP over HTTP, in protobuf.
//!
//! Every push says all since the start, so one that fails is made good by the next. A collector that is
//! away costs the run nothing.

mod destination;
mod push;
mod request;

pub(crate) use destination::{Destination, Error};

use botarmy_report::Totals;
use bytes::Bytes;
use futures::FutureExt;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use push::Failure;
use request::Times;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::{JoinError, JoinHandle};

/// Between the beginnings of two pushes.
const EVERY: Duration = Duration::from_secs(10);
/// Between two messages that pushes fail.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Largest push, in bytes; of the 201 rows that are exported at most, none comes near its part of it.
const MAX_BODY: usize = 16 << 20;

/// Attributes that tell one runner from others.
pub(crate) type About = Vec<(&'static str, String)>;

/// Pushes the measures of a run: every 10 seconds, and once at the end.
#[derive(Debug)]
pub(crate) struct Pusher {
    to: Arc<Destination>,
    about: About,
    start: SystemTime,
    /// When the last push was begun.
    begun: Instant,
    /// The push that goes on; there is never another beside it.
    flight: Option<JoinHandle<Result<(), Failure>>>,
    pushes: u64,
    failed: u64,
    cause: String,
    /// A failure of which nothing was said yet.
    untold: bool,
    told: Option<Instant>,
}

impl Pusher {
    /// For the run of this name, which starts now; `about` tells this runner from the others of the run.
    pub(crate) fn new(to: Destination, run: &str, about: About) -> Self {
        let start = SystemTime::now();
        // Two runners without one would overwrite each other's figures.
        let instance = format!("{:x}-{:x}", nanos(start), std::process::id());
        let own = [
            ("service.name", "botarmy-runner".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("botarmy.run", run.to_owned()),
        ];
        let has_instance = about.iter().any(|(key, _)| *key == request::INSTANCE);
        let instance = (!has_instance).then_some((request::INSTANCE, instance));
        Self {
            to: Arc::new(to),
            about: own.into_iter().chain(instance).chain(about).collect(),
            start,
            begun: Instant::now(),
            flight: None,
            pushes: 0,
            failed: 0,
            cause: String::new(),
            untold: false,
            told: None,
        }
    }

    /// Pushes where the run stands, if it is time for it and no push goes on. Never waits. Tells what there
    /// is to say of pushes that failed.
    pub(crate) fn show(&mut self, totals: &Totals, alive: u32) -> Option<String> {
        if let Some(pushed) = self.flight.as_mut().and_then(FutureExt::now_or_never) {
            self.flight = None;
            self.note(pushed);
        }
        if self.flight.is_none() && self.begun.elapsed() >= EVERY {
            self.push(totals, alive);
        }
        self.tell()
    }

    /// Begins the last push, of all that was measured; what still goes on is given up for it.
    pub(crate) fn last(&mut self, totals: &Totals, alive: u32) {
        if let Some(flight) = self.flight.take() {
            flight.abort();
            self.fail(&Failure::Overtaken);
        }
        self.push(totals, alive);
    }

    /// Waits for the last push, which takes 10 seconds at most, and tells how many of all have failed.
    pub(crate) async fn end(mut self) -> Option<String> {
        if let Some(flight) = self.flight.take() {
            let pushed = flight.await;
            self.note(pushed);
        }
        let Self { to, pushes, failed, cause, .. } = self;
        (failed > 0).then(|| format!("{failed} of {pushes} pushes to {to} failed: {cause}"))
    }

    fn push(&mut self, totals: &Totals, alive: u32) {
        self.begun = Instant::now();
        self.pushes += 1;
        let times = Times { start: nanos(self.start), now: nanos(SystemTime::now()) };
        let request: ExportMetricsServiceRequest = request::request(totals, alive, &self.about, times);
        let body = Bytes::from(request.encode_to_vec());
        if body.len() > MAX_BODY {
            return self.fail(&Failure::TooLarge(body.len()));
        }
        let to = self.to.clone();
        self.flight = Some(tokio::spawn(async move { push::push(&to, body).await }));
    }

    fn note(&mut self, pushed: Result<Result<(), Failure>, JoinError>) {
        match pushed {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => self.fail(&failure),
            Err(error) => self.fail(&Failure::Broken(error)),
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.failed += 1;
        self.cause = failure.to_string();
        self.untold = true;
    }

    fn tell(&mut self) -> Option<String> {
        if !self.untold || self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        (self.untold, self.told) = (false, Some(Instant::now()));
        Some(format!("a push to {} failed: {}; the next says it all again", self.to, self.cause))
    }
}

/// Since 1970, as OTLP counts.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
