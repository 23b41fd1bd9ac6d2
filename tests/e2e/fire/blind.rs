//! When what runners said did not arrive, or did not outlive the operator, because of what was done here: what a lost
//! runner has sent then may be unknown.

use crate::cluster::Namespace;
use crate::counts::{self, Blind};
use crate::machine::{lease, led_since};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How old the last checkpoint of an operator is at most when it dies, in milliseconds.
const CHECKPOINT_MS: u64 = 12_000;
/// How long after an operator leads all runners have said again what is not safe, in milliseconds.
const HEARD_AGAIN_MS: u64 = 3_000;

/// When a time is over.
#[derive(Debug, Clone, Copy)]
enum End {
    At(u64),
    /// When another operator leads than the one of so many transitions.
    AfterTransitions(u64),
}

#[derive(Debug, Clone)]
struct Time {
    from: u64,
    end: End,
    /// It counts only if the operator has not outlived it: as many transitions were there before.
    unless_transitions: Option<u64>,
    pod: Option<String>,
}

static TIMES: Mutex<Vec<Time>> = Mutex::new(Vec::new());

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a while yet")
}

fn take_note(time: Time) {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    settle(&mut times);
    times.push(time);
}

/// Another operator may lead by now.
fn settle(times: &mut [Time]) {
    let waits = |time: &&mut Time| matches!(time.end, End::AfterTransitions(_));
    let mut waiting = times.iter_mut().filter(waits).peekable();
    if waiting.peek().is_none() {
        return;
    }
    let (transitions, since) = (lease().1, led_since());
    for time in waiting {
        if matches!(time.end, End::AfterTransitions(before) if transitions > before) {
            time.end = End::At(since + HEARD_AGAIN_MS);
        }
    }
}

/// The operator that leads is killed now: what was said since its last checkpoint has to be said again.
pub(crate) fn leader_dies() {
    let from = now_ms().saturating_sub(CHECKPOINT_MS);
    let end = End::AfterTransitions(lease().1);
    take_note(Time { from, end, unless_transitions: None, pod: None });
}

/// No checkpoint could be written since then, and an operator that was exchanged has left none.
pub(crate) fn nothing_was_written(since_ms: u64, transitions: u64) {
    let (from, end) = (since_ms.saturating_sub(CHECKPOINT_MS), End::At(now_ms() + CHECKPOINT_MS));
    take_note(Time { from, end, unless_transitions: Some(transitions), pod: None });
}

/// Nothing that this pod said since then has arrived.
pub(crate) fn not_heard(since_ms: u64, pod_uid: &str) {
    let end = End::At(now_ms() + HEARD_AGAIN_MS);
    take_note(Time { from: since_ms, end, unless_transitions: None, pod: Some(pod_uid.to_owned()) });
}

fn times() -> Vec<Blind> {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    settle(&mut times);
    let (now, transitions) = (now_ms(), lease().1);
    let counts = |time: &&Time| time.unless_transitions != Some(transitions);
    let blind = |time: &Time| {
        let until = if let End::At(until) = time.end { until } else { now };
        Blind { from: time.from, until, pod: time.pod.clone() }
    };
    times.iter().filter(counts).map(blind).collect()
}

/// Holds the count of each pod against the target's: a lost one falls short by no more than could not be known, given what
/// was done here.
pub(crate) fn hold_against_the_target(namespace: &Namespace, run: &str) {
    counts::hold(namespace, run, &times());
}
