//! The time of the load, as one worker sees it: it stands still while the run is suspended.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A time in which the load stands still: since when, and until when if that is known.
pub type Pause = (Instant, Option<Instant>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Suspend,
    Resume,
}

/// When the load began, if all the time in which it stood still is left out.
#[derive(Debug)]
pub(super) struct LoadClock {
    start: Cell<Instant>,
    suspended: Cell<Option<Instant>>,
    changes: RefCell<VecDeque<(Instant, Change)>>,
    resumed: Notify,
}

impl LoadClock {
    /// A clock of a load that begins at `start` and stands still in these times.
    pub(super) fn new(start: Instant, pauses: &[Pause]) -> Self {
        let clock = Self {
            start: Cell::new(start),
            suspended: Cell::default(),
            changes: RefCell::default(),
            resumed: Notify::new(),
        };
        for (from, until) in pauses {
            clock.suspend(*from);
            if let Some(until) = until {
                clock.resume(*until);
            }
        }
        clock
    }

    /// It will stand still from then on.
    pub(super) fn suspend(&self, at: Instant) {
        self.changes.borrow_mut().push_back((at, Change::Suspend));
    }

    /// It will go on from then on.
    pub(super) fn resume(&self, at: Instant) {
        self.changes.borrow_mut().push_back((at, Change::Resume));
    }

    /// Does what is due. Tells whether it has stopped or gone on with that, and when the next change is due.
    pub(super) fn tick(&self, now: Instant) -> (bool, Option<Instant>) {
        let before = (self.suspended.get(), self.start.get());
        let mut changes = self.changes.borrow_mut();
        while let Some((at, change)) = changes.front().copied().filter(|(at, _)| *at <= now) {
            changes.pop_front();
            match (change, self.suspended.get()) {
                (Change::Suspend, None) => self.suspended.set(Some(at)),
                (Change::Resume, Some(since)) => {
                    self.start.set(self.start.get() + at.saturating_duration_since(since));
                    self.suspended.set(None);
                    self.resumed.notify_waiters();
                }
                // Said twice.
                (Change::Suspend, Some(_)) | (Change::Resume, None) => {}
            }
        }
        (before != (self.suspended.get(), self.start.get()), changes.front().map(|(at, _)| *at))
    }

    /// Lets all go on that wait: the run ends, and nothing is to come any more.
    pub(super) fn give_up(&self) {
        self.changes.borrow_mut().clear();
        if let Some(since) = self.suspended.take() {
            self.start.set(self.start.get() + since.elapsed());
        }
        self.resumed.notify_waiters();
    }

    pub(super) fn start(&self) -> Instant {
        self.start.get()
    }

    /// Now, or when it began to stand still.
    pub(super) fn now(&self) -> Instant {
        self.suspended.get().unwrap_or_else(Instant::now)
    }

    /// How long the load goes on.
    pub(super) fn time(&self) -> Duration {
        self.since(self.start.get())
    }

    /// How long the load goes on since a moment of it.
    pub(super) fn since(&self, begin: Instant) -> Duration {
        self.now().saturating_duration_since(begin)
    }

    #[inline]
    pub(super) fn stands_still(&self) -> bool {
        self.suspended.get().is_some()
    }

    /// Waits until the load has gone on for so long.
    pub(super) async fn sleep(&self, time: Duration) {
        let until = self.time().saturating_add(time);
        loop {
            self.goes_on().await;
            let left = until.saturating_sub(self.time());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Waits until it goes on.
    pub(super) async fn goes_on(&self) {
        loop {
            let resumed = self.resumed.notified();
            if !self.stands_still() {
                return;
            }
            resumed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn time_in_which_it_stands_still_is_left_out() {
        let start = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let at = |seconds| start + Duration::from_secs(seconds);
        let clock = LoadClock::new(start, &[]);
        assert_eq!(clock.tick(at(5)), (false, None));
        clock.suspend(at(10));
        assert_eq!((clock.tick(at(9)), clock.stands_still()), ((false, Some(at(10))), false));
        assert_eq!((clock.tick(at(11)), clock.stands_still()), ((true, None), true));
        assert_eq!((clock.now(), clock.since(start)), (at(10), Duration::from_secs(10)));
        clock.suspend(at(12));
        assert_eq!(clock.tick(at(13)), (false, None), "it stands still already");
        clock.resume(at(25));
        assert_eq!(clock.tick(at(20)), (false, Some(at(25))));
        let waiting = clock.goes_on();
        assert_eq!(clock.tick(at(26)), (true, None));
        assert!(waiting.now_or_never().is_some() && !clock.stands_still());
        assert_eq!(clock.start(), at(15), "fifteen seconds later than it was");
        let (before, wall) = (clock.time(), start.elapsed().saturating_sub(Duration::from_secs(15)));
        assert!(before <= wall && wall <= clock.time(), "{before:?} {wall:?}: the rest of it goes by");
    }

    #[test]
    fn who_comes_late_knows_of_all_times() {
        let start = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let at = |seconds| start + Duration::from_secs(seconds);
        let clock = LoadClock::new(start, &[(at(10), Some(at(20))), (at(30), None)]);
        assert_eq!(clock.tick(at(40)), (true, None));
        assert!(clock.stands_still());
        assert_eq!((clock.start(), clock.now()), (at(10), at(30)));
        assert!(clock.goes_on().now_or_never().is_none());
        clock.give_up();
        assert!(clock.goes_on().now_or_never().is_some());
    }
}
