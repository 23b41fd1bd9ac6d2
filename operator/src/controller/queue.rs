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

/// Why the run has to wait; none if it may begin, or has begun.
pub(super) fn wait(context: &Context, run: &BotRun, uid: &str, accepted: &Accepted) -> Option<Cause> {
    if run.spec.run.operation.suspend && !accepted.has_job {
        return Some(Cause::new(Reason::Suspended, "suspend is true; the run begins when it is false"));
    }
    let runs = context.runs.get().map(Store::state).unwrap_or_default();
    // One lock for the look and for the admission: of two runs that look at the same time one is first.
    let mut armies = context.armies.lock();
    if accepted.has_job || armies.get(uid).is_some_and(|army| army.admitted) {
        return None;
    }
    let places: Vec<Place> = runs
        .iter()
        .filter_map(|other| other.0.as_ref().ok())
        .filter(|other| other.metadata.deletion_timestamp.is_none() && !super::is_over(other))
        .filter_map(|other| place(other, &armies))
        .collect();
    let most = context.limits.most_runs(&run.namespace()?);
    let waits = queue::wait(&place(run, &armies)?, &places, most).map(|wait| told(&wait));
    if let (None, Some(army)) = (&waits, armies.get_mut(uid)) {
        army.admitted = true;
    }
    waits
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
