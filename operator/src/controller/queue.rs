//! Whether a run may begin now, given all others of the cluster.

use super::Context;
use super::cause::{Cause, Reason};
use super::policy::queue::{self, Place, Wait, target_key};
use super::validate::Accepted;
use crate::armies::Army;
use botarmy_crds::{BotRun, Phase};
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How long it holds what was found out about who waits: of thousands of runs that wait none looks at all the others by
/// itself.
const HOLDS: Duration = Duration::from_secs(1);

/// Who waits, and why, as it was found out last.
#[derive(Debug, Default)]
pub(super) struct Queue(Option<Seen>);

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// By UID; none of those that may begin.
    waits: HashMap<String, Option<Cause>>,
}

/// Why the run has to wait; none if it may begin, or has begun.
pub(super) fn wait(context: &Context, run: &BotRun, uid: &str, accepted: &Accepted) -> Option<Cause> {
    if run.spec.run.operation.suspend && !accepted.has_job {
        return Some(Cause::new(Reason::Suspended, "suspend is true; the run begins when it is false"));
    }
    // One lock for the look and for the admission: of two runs that look at the same time one is first.
    let mut armies = context.armies.lock();
    if accepted.has_job || armies.get(uid).is_some_and(|army| army.admitted) {
        return None;
    }
    let mut queue = context.queue.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = |seen: &&Seen| seen.at.elapsed() < HOLDS && seen.waits.contains_key(uid);
    let known = queue.0.as_ref().filter(is_known).map(|seen| seen.waits[uid].clone());
    let waits = known.unwrap_or_else(|| {
        let seen = look(context, run, &armies);
        let waits = seen.waits.get(uid).cloned().flatten();
        queue.0 = Some(seen);
        waits
    });
    if let (None, Some(army)) = (&waits, armies.get_mut(uid)) {
        army.admitted = true;
    }
    waits
}

/// Looks at all runs that wait or are at work. Those that are suspended before they began stand in nobody's way.
fn look(context: &Context, own: &BotRun, armies: &HashMap<String, Army>) -> Seen {
    let runs = context.runs.get().map(Store::state).unwrap_or_default();
    let others = runs.iter().filter_map(|other| other.0.as_ref().ok()).filter(|other| {
        other.metadata.deletion_timestamp.is_none() && !super::is_over(other) && other.uid() != own.uid()
    });
    // What the watch shows of this one may be older.
    let places = others.chain([own]).filter_map(|run| place(run, armies).map(|place| (place, run)));
    let places = places.filter(|(place, run)| place.at_work || !run.spec.run.operation.suspend);
    let places: Vec<Place> = places.map(|(place, _)| place).collect();
    let waiting = queue::waits(&places, |namespace| context.limits.most_runs(namespace));
    let why = |place: &Place| (place.uid.clone(), waiting.get(&*place.uid).map(told));
    Seen { at: Instant::now(), waits: places.iter().map(why).collect() }
}

fn place(run: &BotRun, armies: &HashMap<String, Army>) -> Option<Place> {
    let (uid, namespace) = (run.uid()?, run.namespace()?);
    let begun = run.status.as_ref().is_some_and(|s| matches!(s.phase, Phase::Scheduled | Phase::Running));
    Some(Place {
        target: run.spec.run.target.as_ref().map(|target| target_key(target, &namespace)),
        policy: run.spec.run.operation.target_policy.unwrap_or_default(),
        created: run.creation_timestamp().map(|time| time.0),
        at_work: begun || armies.get(&uid).is_some_and(|army| army.admitted),
        name: run.name_any(),
        uid,
        namespace,
    })
}

fn told(wait: &Wait<'_>) -> Cause {
    let message = match wait {
        Wait::Target(other) => format!(
            "the BotRun {}/{} loads the same target; targetPolicy: Shared in both lets them load it together",
            other.namespace, other.name
        ),
        Wait::Namespace(most) => format!("{most} runs may be at work in this namespace, and as many are"),
    };
    Cause::new(Reason::Queued, &message)
}
