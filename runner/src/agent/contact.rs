//! What a runner and its coordinator tell each other: check-ins, and all that is in them.

use super::Identity;
use super::clock::Clock;
use super::ledger::Ledger;
use super::link::{self, Files, Link};
use super::outbox::Outbox;
use botarmy_actions::Together;
use botarmy_actions::together::Request;
use botarmy_protocol::{CheckIn, INTERVAL_MS, Orders, Performed, Refusal, Stage, Standing, VERSION};
use botarmy_report::Delta;
use botarmy_spec::{DEFAULT_LEASE, Part};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often a runner checks in at least.
pub(super) const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);
/// How often a runner asks for news while its bots wait for those of other runners.
const NEWS_INTERVAL: Duration = Duration::from_millis(100);
/// Between two check-ins that are about shared data, at least: so long, and so long for each runner, so that
/// all together do not keep the coordinator from its work.
const LEAST_DISTANCE: Duration = Duration::from_millis(10);
const DISTANCE_PER_RUNNER: Duration = Duration::from_micros(200);

/// One side of a long talk.
pub(super) struct Contact {
    pub(super) identity: Identity,
    link: Link,
    /// Measures that are not durable yet.
    pub(super) outbox: Outbox,
    /// When the coordinator was last heard.
    heard: Instant,
    /// How long this runner works without it before it stops by itself.
    pub(super) lease: Duration,
    round_trip: Option<Duration>,
    epoch: u64,
    /// What is known of the coordinator's clock.
    pub(super) clock: Clock,
    /// How late the first bots began, by that clock; said again and again, for a coordinator that comes later.
    pub(super) began_late_ms: Option<i64>,
    /// How far this runner is with its part, beside what was measured.
    pub(super) standing: Standing,
    /// The coordinator says that it does not know the run.
    pub(super) unknown: bool,
    /// Why this runner cannot do its part.
    pub(super) refusal: Option<Refusal>,
    /// A digest of the sources that were read here.
    pub(super) sources: Option<String>,
    /// The pod was told to end before the run was over.
    pub(super) left: bool,
    /// What came of setup or teardown, the last of them that was performed here.
    pub(super) performed: Option<Performed>,
    /// What the bots share.
    pub(super) together: Together,
    requests: mpsc::Receiver<Request>,
    ledger: Ledger,
    /// When the coordinator was last asked anything, and how long to wait then before it is asked about
    /// shared data.
    pub(super) asked: Instant,
    distance: Duration,
}

impl Contact {
    /// Nothing has been said yet.
    pub(super) fn new(identity: Identity, files: Files) -> Result<Self, link::Error> {
        let (together, requests) = Together::there();
        Ok(Self {
            link: Link::new(&identity.coordinator, files)?,
            identity,
            outbox: Outbox::default(),
            heard: Instant::now(),
            lease: DEFAULT_LEASE,
            round_trip: None,
            epoch: 0,
            clock: Clock::default(),
            began_late_ms: None,
            standing: Standing::default(),
            unknown: false,
            refusal: None,
            sources: None,
            left: false,
            performed: None,
            together,
            requests,
            ledger: Ledger::default(),
            asked: Instant::now(),
            distance: LEAST_DISTANCE,
        })
    }

    /// The coordinator has so many runners to talk to.
    pub(super) fn one_of(&mut self, runners: u32) {
        self.distance = LEAST_DISTANCE.max(DISTANCE_PER_RUNNER * runners);
    }

    /// Checks in with all there is to say; none if the coordinator cannot be reached just now.
    pub(super) async fn check_in(&mut self, stage: Stage, alive: u32) -> Option<(Orders, Instant)> {
        let deltas = self.outbox.pending();
        self.say(stage, alive, deltas).await
    }

    /// Says these measures, and all else there is to say.
    pub(super) async fn say(
        &mut self,
        stage: Stage,
        alive: u32,
        deltas: Vec<Delta>,
    ) -> Option<(Orders, Instant)> {
        while let Ok(request) = self.requests.try_recv() {
            self.ledger.take(request);
        }
        let check_in = CheckIn {
            protocol: VERSION,
            run: self.identity.run.clone(),
            index: self.identity.index,
            pod_uid: self.identity.pod_uid.clone(),
            stage,
            alive,
            round_trip_ms: self.round_trip.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            deltas,
            left: self.left,
            refusal: self.refusal.clone(),
            sources: self.sources.clone(),
            performed: self.performed.clone(),
            together: self.ledger.to_say(),
            trusts: Some(self.link.trusts().to_owned()),
            began_late_ms: self.began_late_ms,
            standing: self.standing.clone(),
        };
        let sent = Instant::now();
        self.asked = sent;
        match self.link.post(&check_in).await {
            Ok(orders) if orders.epoch < self.epoch => {
                tracing::warn!("orders of an older coordinator are refused (epoch {})", orders.epoch);
                None
            }
            Ok(mut orders) => {
                self.heard = Instant::now();
                self.clock.hear(orders.epoch, orders.now_ms, sent, self.heard);
                self.epoch = orders.epoch;
                self.unknown = false;
                self.round_trip = Some(sent.elapsed());
                self.outbox.settle(orders.applied, orders.durable);
                if let Some(Err(error)) = orders.trust.take().map(|trust| self.link.trust(trust)) {
                    tracing::warn!("{error}");
                }
                // News first: a bot that is answered then sees what its own change has come to.
                let mut heard = std::mem::take(&mut orders.together);
                self.together.learn(self.ledger.news(&mut heard));
                self.ledger.hear(heard);
                Some((orders, sent))
            }
            Err(error) => {
                self.unknown = error.is_unknown_run();
                self.outbox.doubt();
                if error.is_too_large() {
                    self.outbox.send_less();
                }
                tracing::warn!("the coordinator cannot be reached: {error}");
                None
            }
        }
    }

    /// Waits until something is to be said or asked about shared data.
    pub(super) async fn together_is_due(&mut self) {
        tokio::time::sleep_until((self.asked + self.distance).into()).await;
        if self.ledger.has_unanswered() {
            return;
        }
        let (asked, together) = (self.asked, self.together.clone());
        let news = async {
            loop {
                tokio::time::sleep_until((asked + NEWS_INTERVAL).max(Instant::now() + LEAST_DISTANCE).into())
                    .await;
                if together.waiting() > 0 {
                    return;
                }
                tokio::time::sleep(NEWS_INTERVAL).await;
            }
        };
        tokio::select! {
            Some(request) = self.requests.recv() => self.ledger.take(request),
            () = news => {}
        }
    }

    /// The coordinator was away for too long.
    pub(super) fn lease_is_over(&self) -> bool {
        self.heard.elapsed() > self.lease
    }

    /// What this runner is told to perform, if it has not done so yet.
    pub(super) fn is_to_perform(&self, orders: &Orders) -> Option<Part> {
        orders.perform.filter(|part| self.performed.as_ref().is_none_or(|done| done.part != *part))
    }
}
