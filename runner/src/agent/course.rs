//! How far the army of a runner is, and what it was told.

use crate::engine::{Army, Pause};
use botarmy_protocol::{Loss, Orders};
use std::time::{Duration, Instant};

/// The times in which the load stands still, by this runner's clock.
pub(super) fn pauses(start: Instant, told: &[(u64, Option<u64>)]) -> Vec<Pause> {
    let at = |ms: u64| start + Duration::from_millis(ms);
    told.iter().map(|(from, until)| (at(*from), until.map(at))).collect()
}

/// Rates of arrival, from times since the start on.
pub(super) fn rates(told: &[(u64, f64)]) -> Vec<(Duration, f64)> {
    told.iter().map(|(at, rate)| (Duration::from_millis(*at), *rate)).collect()
}

fn count(losses: &[Loss]) -> u32 {
    u32::try_from(losses.len()).unwrap_or(u32::MAX)
}

/// Whether the army of this runner was told to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ending {
    #[default]
    No,
    /// By its pod, or because nobody is left to report to.
    Told,
    /// By the run.
    Ordered,
}

/// How far the army of this runner is.
#[derive(Debug)]
pub(super) struct Course {
    start: Instant,
    pub(super) ending: Ending,
    pub(super) terminated: bool,
    /// All of its bots have ended.
    pub(super) finished: bool,
    /// Of so many lost runners it has taken over what is its.
    pub(super) losses: u32,
    /// The rates that it was told.
    rates: Vec<(u64, f64)>,
    /// The times in which its load stands still that it was told.
    pauses: Vec<(u64, Option<u64>)>,
}

impl Course {
    /// The course of an army that has begun with these orders.
    pub(super) fn knowing(start: Instant, begin: &Orders) -> Self {
        Self {
            start,
            ending: Ending::No,
            terminated: false,
            finished: false,
            losses: count(&begin.losses),
            rates: Vec::new(),
            pauses: begin.pauses.clone(),
        }
    }

    /// Tells what is new of the times in which the load stands still.
    fn stand_still(&mut self, army: &Army, told: &[(u64, Option<u64>)]) {
        let known = pauses(self.start, &self.pauses);
        for (i, (from, until)) in pauses(self.start, told).into_iter().enumerate() {
            let before = known.get(i);
            if before.is_none() {
                army.suspend(from);
            }
            if let (Some(until), None) = (until, before.and_then(|(_, until)| *until)) {
                army.resume(until);
            }
        }
        // What was told and not written is not known to a coordinator that comes after a crash.
        let is_taken_back =
            told.len() < known.len() && known.last().is_some_and(|(_, until)| until.is_none());
        if is_taken_back {
            army.resume(Instant::now());
        }
        self.pauses = told.to_vec();
    }

    pub(super) fn end(&mut self, army: &Army) {
        if self.ending == Ending::No {
            self.ending = Ending::Told;
            army.stop();
        }
    }

    /// Does what the coordinator says. A run that was stopped before it began starts no bot.
    pub(super) fn obey(&mut self, army: &Army, orders: &Orders) {
        army.set_bots(orders.bots);
        if orders.pauses != self.pauses {
            self.stand_still(army, &orders.pauses);
        }
        if orders.rates != self.rates {
            self.rates.clone_from(&orders.rates);
            army.set_rates(&rates(&self.rates));
        }
        if count(&orders.losses) > self.losses {
            self.losses = count(&orders.losses);
            army.take_over(&orders.losses);
        }
        if orders.stop {
            self.end(army);
            self.ending = Ending::Ordered;
        }
    }
}
