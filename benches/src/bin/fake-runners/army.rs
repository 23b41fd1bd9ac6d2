//! What all simulated runners share.

use crate::figures::{Clock, Figures};
use crate::link::Target;
use crate::measures::Measures;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// The runners of this process, over all runs.
#[derive(Debug)]
pub(crate) struct Army {
    pub(crate) target: Target,
    pub(crate) measures: Measures,
    pub(crate) figures: RefCell<Figures>,
    pub(crate) clock: Clock,
    runners: u32,
    /// How long all of them are at work together.
    time: Duration,
    /// When whoever is not at work by then gives up.
    deadline: Instant,
    at_work: Cell<u32>,
    end: Cell<Option<Instant>>,
}

impl Army {
    pub(crate) fn new(
        target: Target,
        measures: Measures,
        runners: u32,
        time: Duration,
        deadline: Instant,
    ) -> Self {
        Self {
            target,
            measures,
            figures: RefCell::default(),
            clock: Clock::now(),
            runners,
            time,
            deadline,
            at_work: Cell::new(0),
            end: Cell::new(None),
        }
    }

    /// One more is at work. With the last one the time begins to run.
    pub(crate) fn begins(&self) {
        self.at_work.set(self.at_work.get() + 1);
        if self.at_work.get() == self.runners {
            self.end.set(Some(Instant::now() + self.time));
            // A script waits for this line.
            eprintln!("fake-runners: all {} runners are at work", self.runners);
        }
    }

    /// Whether those at work have done so for long enough, or in vain.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.end.get().unwrap_or(self.deadline)
    }

    /// Whether it is too late to begin.
    pub(crate) fn is_too_late(&self, now: Instant) -> bool {
        self.end.get().is_none() && now >= self.deadline
    }
}
