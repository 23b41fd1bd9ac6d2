//! Bots that arrive by a rate.

use super::{Squad, micros};
use crate::engine::alarm::Alarm;
use crate::engine::arrivals::Arrivals;
use crate::engine::bot::Begin;
use crate::engine::part::Recruit;
use crate::engine::share::Share;
use botarmy_report::Outcome;
use botarmy_spec::load::Model;
use botarmy_spec::profile::Profile;
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long after the end of a load arrivals are let in that should have come before it.
const MOST_BEHIND: Duration = Duration::from_secs(2);

impl Squad {
    /// Starts a bot at each arrival of this worker, whatever becomes of the others.
    pub(super) fn let_them_arrive(self: &Rc<Self>) {
        let Model::Open(open) = &self.scenario().load.model else { return };
        let worker = Share { index: self.local.share.index, of: self.local.share.of };
        let draw = self.scenario().plan.draw_apart(0, 0);
        let mut arrivals = Arrivals::new(open.clone(), self.local.common.share, worker, draw);
        // What rates there were decides which ones came when.
        if let Some(first) = self.local.run.live_rate().filter(|_| !self.local.common.rates.is_empty()) {
            arrivals.set_rate(Profile::steps(first, &self.local.common.rates));
        }
        arrivals.take_over(&self.lost_runners());
        // They came to the runner whose place this one has taken, or were lost with it.
        let iterations = self.scenario().load.iterations.unwrap_or(u64::MAX);
        let since = self.local.common.since.saturating_sub(self.scenario().start_delay);
        if !since.is_zero() {
            arrivals.skip_until(iterations, since);
        }
        let (squad, alarm) = (self.clone(), self.alarm.take());
        tokio::task::spawn_local(async move {
            let Some(alarm) = alarm else { return };
            loop {
                squad.all_came.set(false);
                if let Err(error) = squad.arrive(&mut arrivals, &alarm).await {
                    tracing::error!("no bot can arrive any more: {error}; check the limit of open files");
                }
                squad.all_came.set(true);
                squad.local.changed.notify_one();
                // There may be more yet of runners that are lost.
                while !squad.hear(&mut arrivals) {
                    squad.nudge.notified().await;
                }
            }
        });
    }

    /// Takes over what has changed of the arrivals that are to come; tells whether there may be more of them.
    fn hear(&self, arrivals: &mut Arrivals) -> bool {
        if let Some(rates) = self.rates.take() {
            arrivals.set_rate(rates);
        }
        let lost = self.lost.take();
        if lost {
            arrivals.take_over(&self.lost_runners());
        }
        lost
    }

    /// The runners that were lost, and from when on what should have arrived there arrives at the others, since the start
    /// of this load.
    fn lost_runners(&self) -> Vec<(u32, Duration)> {
        let losses = self.local.common.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |ms: u64| Duration::from_millis(ms).saturating_sub(self.scenario().start_delay);
        losses.all().iter().map(|loss| (loss.index, at(loss.at_ms))).collect()
    }

    async fn arrive(self: &Rc<Self>, arrivals: &mut Arrivals, alarm: &Alarm) -> std::io::Result<()> {
        let iterations = self.scenario().load.iterations.unwrap_or(u64::MAX);
        let duration = self.scenario().load.duration.unwrap_or(Duration::MAX);
        if !self.is_going() && self.local.clock.since(self.begin()) >= duration {
            // Its runner was lost too late for them.
            let missed = arrivals.skip_until(iterations, duration);
            self.local.recorder.borrow_mut().dropped(missed);
            return Ok(());
        }
        while !self.shared().rows_are_over() && arrivals.number() < iterations {
            self.local.clock.goes_on().await;
            let begin = self.begin();
            // One that lies beyond all time never comes.
            let next = arrivals.peek().filter(|(_, time)| *time < duration);
            let next = next.and_then(|(arrival, time)| Some((arrival, begin.checked_add(time)?)));
            if next.is_none() && !self.may_go_on(begin, duration) {
                break;
            }
            let due = async {
                match (next, begin.checked_add(duration)) {
                    (Some((_, scheduled)), _) => alarm.until(scheduled).await,
                    // None will come at this rate, which can be changed until the end.
                    (None, Some(end)) => {
                        tokio::time::sleep_until(end.into()).await;
                        Ok(())
                    }
                    (None, None) => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                due = due => due?,
                () = self.nudge.notified() => {
                    self.hear(arrivals);
                    continue;
                }
            }
            let Some((arrival, scheduled)) = next.filter(|_| self.is_going()) else { break };
            // A worker that is behind by so much will not catch up any more.
            if self.local.clock.since(begin) > duration.saturating_add(MOST_BEHIND) {
                let missed = arrivals.skip_until(iterations, duration);
                self.local.recorder.borrow_mut().dropped(missed);
                break;
            }
            self.arrived(arrival + 1, scheduled);
            arrivals.next();
            // The bots have to have their turn, however many arrivals are late.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Whether the present rate of 0 may become another one.
    fn may_go_on(&self, begin: Instant, duration: Duration) -> bool {
        self.is_going() && self.local.run.live_rate().is_some() && self.local.clock.since(begin) < duration
    }

    /// Starts a bot that has arrived, if there is room and a row for it.
    fn arrived(self: &Rc<Self>, id: u64, scheduled: Instant) {
        match self.shared().recruit_to_a_place() {
            // An arrival is numbered over the whole army.
            Some(Recruit { row, .. }) => {
                let late = micros(scheduled.elapsed());
                self.local.recorder.borrow_mut().record(self.place.iteration + 1, Outcome::Succeed, late);
                self.start(id, row, Begin::Scheduled(scheduled));
            }
            // Whoever comes after the last row is not expected.
            None if self.shared().rows_are_over() => {}
            None => self.local.recorder.borrow_mut().dropped(1),
        }
    }
}
