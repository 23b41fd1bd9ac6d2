//! What is told to Prometheus: of the operator itself, and of the runs at work.
//!
//! [`Metrics`] counts what happens, wherever it happens; [`routes`] tells it, together with where the armies stand,
//! as text or as protobuf. Both are written from one [`botarmy_report::Exposition`], whose names of a run's figures are
//! those that a runner tells of itself. No label has an unbounded number of values.

mod accept;
mod api_calls;
mod counted;
mod operator;
mod protobuf;
mod routes;
mod runs;
mod shown;

pub use api_calls::client;
pub use counted::{Called, CheckedIn, Kept, NotConnected, Reconciled, Reconciling, Waiting};
pub use routes::routes;

use crate::clock::millis;
use botarmy_report::{Histogram, RunOutcome};
use counted::Counts;
use jiff::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts what the operator does.
#[derive(Debug, Default)]
pub struct Metrics {
    loops: [Loop; Reconciling::NAMES.len()],
    waiting: Counts<{ Waiting::NAMES.len() }>,
    calls: Counts<{ Called::NAMES.len() }>,
    check_ins: Counts<{ CheckedIn::NAMES.len() }>,
    check_in_times: Values,
    check_in_sizes: Values,
    connections: AtomicU64,
    not_connected: Counts<{ NotConnected::NAMES.len() }>,
    statuses_written: AtomicU64,
    events_lost: AtomicU64,
    kept: Counts<{ Kept::NAMES.len() }>,
    keep_times: Values,
    kept_sizes: Values,
    ended: Counts<4>,
    leads: AtomicU64,
    epoch: AtomicU64,
    /// When the certificates of the authority and of the coordinator end, in seconds since 1970; 0 as long as there are
    /// none.
    authority_until: AtomicU64,
    server_until: AtomicU64,
    certificates_failed: AtomicU64,
    /// The time between two looks at a run at work, in milliseconds; 0 before the first one.
    look_interval_ms: AtomicU64,
}

/// What is counted of a loop that reconciles.
#[derive(Debug, Default)]
struct Loop {
    reconciles: Counts<{ Reconciled::NAMES.len() }>,
    times: Values,
    backing_off: AtomicU64,
    queue_errors: AtomicU64,
}

/// Values of which a histogram is kept: microseconds or bytes.
#[derive(Debug, Default)]
struct Values(Mutex<Histogram>);

impl Values {
    fn lock(&self) -> MutexGuard<'_, Histogram> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn took(&self, time: Duration) {
        self.lock().record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    fn copy(&self) -> Histogram {
        self.lock().clone()
    }
}

impl Metrics {
    /// A reconcile took so long and ended like this.
    pub fn reconciled(&self, of: Reconciling, took: Duration, result: Reconciled) {
        let of = self.of(of);
        of.reconciles.add(result as usize);
        of.times.took(took);
    }

    /// So many have failed in a row and wait for another try.
    pub fn back_off(&self, of: Reconciling, objects: usize) {
        self.of(of).backing_off.store(objects as u64, Relaxed);
    }

    /// A watch failed that tells what is to be reconciled.
    pub fn queue_failed(&self, of: Reconciling) {
        self.of(of).queue_errors.fetch_add(1, Relaxed);
    }

    fn of(&self, of: Reconciling) -> &Loop {
        let [runs, schedules] = &self.loops;
        match of {
            Reconciling::Run => runs,
            Reconciling::Schedule => schedules,
        }
    }

    /// These runs wait, each for this reason.
    pub fn waiting(&self, runs: impl Iterator<Item = Waiting>) {
        let mut counts = [0; Waiting::NAMES.len()];
        runs.for_each(|waits| counts[waits as usize] += 1);
        self.waiting.set(counts);
    }

    /// A call to the API server ended like this.
    pub fn called(&self, result: Called) {
        self.calls.add(result as usize);
    }

    /// A check-in took so long to answer and ended like this; the size of its body is kept if it was accepted.
    pub fn checked_in(&self, took: Duration, bytes: Option<u64>, result: CheckedIn) {
        self.check_ins.add(result as usize);
        self.check_in_times.took(took);
        if let (CheckedIn::Accepted, Some(bytes)) = (result, bytes) {
            self.check_in_sizes.lock().record(bytes);
        }
    }

    /// A runner's connection is open for as long as what this returns lives.
    pub fn connected(self: &Arc<Self>) -> Connection {
        self.connections.fetch_add(1, Relaxed);
        Connection(self.clone())
    }

    /// A runner's connection did not come about.
    pub fn not_connected(&self, why: NotConnected) {
        self.not_connected.add(why as usize);
    }

    /// The status of a run was written.
    pub fn status_written(&self) {
        self.statuses_written.fetch_add(1, Relaxed);
    }

    /// An event could not be told.
    pub fn event_lost(&self) {
        self.events_lost.fetch_add(1, Relaxed);
    }

    /// A checkpoint of so many bytes took so long to be packed and written, or was not written.
    pub fn kept(&self, took: Duration, bytes: usize, result: Kept) {
        self.kept.add(result as usize);
        self.keep_times.took(took);
        if result == Kept::Ok {
            self.kept_sizes.lock().record(bytes as u64);
        }
    }

    /// Each run at work is looked at so often.
    pub fn looks_every(&self, every: Duration) {
        self.look_interval_ms.store(millis(every), Relaxed);
    }

    /// A run has come to its end.
    pub fn ended(&self, outcome: RunOutcome) {
        self.ended.add(outcome as usize);
    }

    /// The certificates end then: that of the authority that signs, and that of the coordinator.
    pub fn certificates(&self, authority_until: Timestamp, server_until: Timestamp) {
        for (known, until) in [(&self.authority_until, authority_until), (&self.server_until, server_until)] {
            known.store(u64::try_from(until.as_second()).unwrap_or_default(), Relaxed);
        }
    }

    /// The Secret of the certificates cannot be read, used or written.
    pub fn certificates_failed(&self) {
        self.certificates_failed.fetch_add(1, Relaxed);
    }

    /// Whether this operator leads, and since which change of the leader.
    pub fn lead(&self, leads: bool, epoch: u64) {
        self.leads.store(u64::from(leads), Relaxed);
        self.epoch.store(epoch, Relaxed);
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct Connection(Arc<Metrics>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
