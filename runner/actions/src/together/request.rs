//! A change on its way to the coordinator, and what becomes of its answer.

use botarmy_protocol::shared::{Answer, Change};
use tokio::sync::oneshot;

/// A change on its way to the coordinator.
#[derive(Debug)]
pub struct Request {
    /// The change.
    pub change: Change,
    /// Where its answer goes.
    pub reply: Reply,
}

impl Request {
    /// A change whose answer nobody waits for.
    pub fn unheard(change: Change) -> Self {
        Self { change, reply: Reply::new(None).0 }
    }
}

/// Where the answer to a change goes.
#[derive(Debug)]
pub struct Reply {
    to: oneshot::Sender<Answer>,
    arrival: Option<Arrival>,
}

/// What a bot does that comes to a barrier.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where those who come are counted.
    pub key: String,
    /// How many go on together.
    pub parties: i64,
}

impl Reply {
    /// A way for an answer, and its end. A change that is an arrival says so.
    pub fn new(arrival: Option<Arrival>) -> (Self, oneshot::Receiver<Answer>) {
        let (to, answer) = oneshot::channel();
        (Self { to, arrival }, answer)
    }

    /// Gives the answer to whoever waits for it. A bot that has gone away in the meantime has come to no
    /// barrier: then this is the change that takes its arrival back.
    #[must_use]
    pub fn send(self, answer: Answer) -> Option<Change> {
        let unheard = self.to.send(answer).err()?;
        let arrival = self.arrival?;
        Some(arrival.taken_back(arrival.goal(&unheard)?))
    }
}

impl Arrival {
    /// The count at which those go on who are together with one that was counted so.
    pub(super) fn goal(&self, counted: &Answer) -> Option<i64> {
        let Answer::Made(count) = counted else { return None };
        let before = count.as_i64().unwrap_or(1) - 1;
        Some(before.div_euclid(self.parties).saturating_add(1).saturating_mul(self.parties))
    }

    /// The change by which one is not counted any more that waits for this count.
    pub(super) fn taken_back(&self, goal: i64) -> Change {
        Change::Leave(self.key.clone(), goal)
    }
}
