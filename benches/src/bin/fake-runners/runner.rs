//! One runner without bots: it says what a real one says, when a real one says it.

use crate::army::Army;
use crate::cluster::Identity;
use crate::figures::{Begin, Phase};
use crate::link::Link;
use crate::measures::BOTS;
use crate::outbox::Outbox;
use botarmy_protocol::{
    CheckIn, INTERVAL_MS, Orders, PREPARING_INTERVAL_MS, Stage, Together, VERSION, waiting_interval_ms,
};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often a runner at work reports.
const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);
/// How long a runner goes on without its coordinator.
const LEASE: Duration = Duration::from_secs(120);

/// Why a runner has not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GaveUp {
    /// Nobody has answered.
    #[error("a runner has had no answer for {LEASE:?}")]
    Lease,
    /// The others were not there in time.
    #[error("the start did not come in time")]
    Late,
}

/// An answer, with when it was asked for and when it came.
struct Answer {
    orders: Orders,
    sent: Instant,
    received: Instant,
}

struct Runner {
    identity: Identity,
    army: Rc<Army>,
    link: Link,
    outbox: Outbox,
    round_trip: Option<Duration>,
    heard: Instant,
    epoch: u64,
}

/// Does a runner's part from `begin` on, until all that it has reported is durable.
pub(crate) async fn work(
    identity: Identity,
    army: Rc<Army>,
    link: Link,
    begin: Instant,
) -> Result<(), GaveUp> {
    tokio::time::sleep_until(begin.into()).await;
    let mut runner = Runner {
        identity,
        army,
        link,
        outbox: Outbox::default(),
        round_trip: None,
        heard: Instant::now(),
        epoch: 0,
    };
    let interval = runner.prepare().await?;
    let start = runner.wait_for_start(interval).await?;
    runner.report(start).await?;
    runner.hand_over().await
}

impl Runner {
    /// Gets the plan; how often this runner asks for the start then.
    async fn prepare(&mut self) -> Result<Duration, GaveUp> {
        loop {
            let answer = self.check_in(Stage::Preparing, Phase::Waiting).await;
            if let Some(plan) = answer.and_then(|answer| answer.orders.plan) {
                return Ok(Duration::from_millis(waiting_interval_ms(plan.runners)));
            }
            self.pause(Duration::from_millis(PREPARING_INTERVAL_MS)).await?;
        }
    }

    /// Waits for all others.
    async fn wait_for_start(&mut self, interval: Duration) -> Result<Instant, GaveUp> {
        loop {
            if let Some(answer) = self.check_in(Stage::Ready, Phase::Waiting).await
                && let Some(told_ms) = answer.orders.start_at_ms
            {
                return Ok(self.begin(told_ms, &answer));
            }
            self.pause(interval).await?;
        }
    }

    /// When the bots would begin: what was told is taken to be said half way between question and answer.
    fn begin(&self, told_ms: u64, answer: &Answer) -> Instant {
        let Answer { orders, sent, received } = answer;
        let start = local_instant(told_ms, orders.now_ms, *sent, *received);
        let late = start < *received;
        let at_us = self.army.clock.micros(start.max(*received));
        let run = &self.identity.pod.run.uid;
        self.army.figures.borrow_mut().begins(run, Begin { told_ms, at_us, late });
        start
    }

    /// Reports at each full second until the time is over, or the run is to end.
    async fn report(&mut self, start: Instant) -> Result<(), GaveUp> {
        tokio::time::sleep_until(start.into()).await;
        self.army.begins();
        let mut stopped = false;
        loop {
            let second = start.elapsed().as_secs();
            let due = start + Duration::from_secs(second + 1);
            tokio::time::sleep_until(due.into()).await;
            self.army.figures.borrow_mut().late(due.elapsed());
            self.outbox.add(second);
            if stopped || self.army.is_over(Instant::now()) {
                self.check_in(Stage::Finished, Phase::Ending).await;
                return Ok(());
            }
            let answer = self.check_in(Stage::Running, Phase::Working).await;
            stopped |= answer.is_some_and(|answer| answer.orders.stop);
            self.in_time()?;
        }
    }

    /// Waits until nothing can be lost any more.
    async fn hand_over(&mut self) -> Result<(), GaveUp> {
        while !self.outbox.is_empty() {
            self.pause(INTERVAL / 10).await?;
            self.check_in(Stage::Finished, Phase::Ending).await;
        }
        Ok(())
    }

    async fn pause(&self, time: Duration) -> Result<(), GaveUp> {
        self.in_time()?;
        tokio::time::sleep(time).await;
        Ok(())
    }

    fn in_time(&self) -> Result<(), GaveUp> {
        if self.heard.elapsed() > LEASE {
            return Err(GaveUp::Lease);
        }
        if self.army.is_too_late(Instant::now()) { Err(GaveUp::Late) } else { Ok(()) }
    }

    /// Says how far this runner is; none if no orders came.
    async fn check_in(&mut self, stage: Stage, phase: Phase) -> Option<Answer> {
        let army = self.army.clone();
        let body = match self.outbox.body(&self.said(stage), &army.measures) {
            Ok(body) => body,
            Err(error) => {
                army.figures.borrow_mut().failed("body", &error);
                return None;
            }
        };
        let phase = if self.link.is_new() { Phase::Connecting } else { phase };
        let (bytes, deltas, sent) = (body.len(), self.outbox.pending(), Instant::now());
        let orders = self.link.post(&army.target, body, &self.identity.bearer).await;
        let received = Instant::now();
        let mut figures = army.figures.borrow_mut();
        let orders = match orders {
            Ok(orders) if orders.epoch >= self.epoch => orders,
            Ok(orders) => {
                self.outbox.doubt();
                figures.failed("epoch", &format!("the orders are of epoch {}", orders.epoch));
                return None;
            }
            Err(error) => {
                self.outbox.doubt();
                figures.failed(&error.kind(), &error);
                return None;
            }
        };
        figures.answered(phase, received - sent);
        if phase == Phase::Working {
            figures.sent(bytes, deltas);
        }
        self.heard = received;
        self.epoch = orders.epoch;
        self.round_trip = Some(received - sent);
        self.outbox.settle(orders.applied, orders.durable);
        Some(Answer { orders, sent, received })
    }

    /// A check-in without its deltas.
    fn said(&self, stage: Stage) -> CheckIn {
        let pod = &self.identity.pod;
        CheckIn {
            protocol: VERSION,
            run: pod.run.clone(),
            index: pod.index,
            pod_uid: pod.uid.clone(),
            stage,
            alive: if stage == Stage::Running { BOTS } else { 0 },
            round_trip_ms: self.round_trip.map(|trip| u64::try_from(trip.as_millis()).unwrap_or(u64::MAX)),
            deltas: Vec::new(),
            left: false,
            refusal: None,
            sources: None,
            performed: None,
            together: Together::default(),
            trusts: None,
            began_late_ms: None,
            standing: botarmy_protocol::Standing::default(),
        }
    }
}

/// When `at_ms` of the coordinator's clock is here, by the orders that it made at `now_ms`.
fn local_instant(at_ms: u64, now_ms: u64, sent: Instant, received: Instant) -> Instant {
    let made = sent + (received - sent) / 2;
    let apart = Duration::from_millis(at_ms.abs_diff(now_ms));
    if at_ms >= now_ms { made + apart } else { made.checked_sub(apart).unwrap_or(made) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_placed_from_the_middle_of_the_round_trip() {
        let sent = Instant::now() + Duration::from_secs(10);
        let received = sent + Duration::from_millis(40);
        assert_eq!(local_instant(1_500, 1_000, sent, received), sent + Duration::from_millis(520));
        assert_eq!(local_instant(1_000, 1_000, sent, received), sent + Duration::from_millis(20));
        let before = sent.checked_sub(Duration::from_millis(80)).unwrap();
        assert_eq!(local_instant(900, 1_000, sent, received), before);
    }
}
