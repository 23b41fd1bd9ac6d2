//! By which a bot is told to stop.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// How far a bot has been told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Stage {
    /// It goes on.
    Live,
    /// It ends at its next tick; what it does to the target may end by itself.
    End,
    /// What it does now is given up.
    Cancel,
}

/// How far one bot has been told to stop. Only the bot waits for it, so that there is room for one waker.
#[derive(Debug)]
pub(in crate::engine) struct Stop {
    stage: Cell<Stage>,
    /// The bot pauses between two passes.
    pauses: Cell<bool>,
    /// Passes that it has yet to make, where bots make so many each.
    owes: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Stop {
    pub(in crate::engine) fn new(owes: u64) -> Self {
        Self {
            stage: Cell::new(Stage::Live),
            pauses: Cell::new(false),
            owes: Cell::new(owes),
            waker: RefCell::new(None),
        }
    }

    pub(in crate::engine) fn owes(&self) -> u64 {
        self.owes.get()
    }

    /// A pass was made.
    pub(super) fn has_made_a_pass(&self) {
        self.owes.set(self.owes.get().saturating_sub(1));
    }

    pub(in crate::engine) fn tell(&self, stage: Stage) {
        if stage > self.stage.get() {
            self.stage.set(stage);
            let waker = self.waker.take();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    pub(in crate::engine) fn pauses(&self) -> bool {
        self.pauses.get()
    }

    pub(super) fn set_pauses(&self, pauses: bool) {
        self.pauses.set(pauses);
    }

    pub(super) fn asked(&self) -> bool {
        self.stage.get() > Stage::Live
    }

    /// Whether a stage is reached; the bot is woken when the next one is.
    pub(super) fn poll_reached(&self, stage: Stage, context: &mut Context<'_>) -> Poll<()> {
        if self.stage.get() >= stage {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    pub(super) async fn reached(&self, stage: Stage) {
        poll_fn(|context| self.poll_reached(stage, context)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_bot_is_woken_by_each_stage_that_it_waits_for() {
        let stop = Stop::new(0);
        assert!(stop.reached(Stage::End).now_or_never().is_none() && !stop.asked());
        let (all, ()) = tokio::join!(
            async {
                stop.reached(Stage::End).await;
                let first = stop.stage.get();
                stop.reached(Stage::Cancel).await;
                (first, stop.stage.get())
            },
            async {
                tokio::task::yield_now().await;
                stop.tell(Stage::End);
                tokio::task::yield_now().await;
                stop.tell(Stage::Live);
                stop.tell(Stage::Cancel);
            }
        );
        assert_eq!(all, (Stage::End, Stage::Cancel));
    }
}
