//! Step 1: reads what there is already of the run.

use super::cause::{self, Evidence, Reason};
use super::conditions;
use super::{Context, Error};
use crate::api_call::call;
use crate::armies::{Army, Checkpoint};
use crate::checkpoint;
use crate::clock::now_ms;
use botarmy_crds::{BotRun, BotRunStatus, Phase, RUN_UID_LABEL};
use botarmy_report::RunOutcome;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::core::{ObjectList, PartialObjectMeta};
use kube::{Api, Resource, ResourceExt};
use std::collections::BTreeSet;

/// How many pods or events are read at once to tell why a run waits, or what it has lost.
const PAGE: u32 = 500;
/// Most pages of them: so many pods no run loses, and nobody shall be able to keep the operator busy with more.
const MAX_PAGES: usize = 20;
/// Why the measures of a run that has begun are lost, if there are none.
const DELETED: &str = "the checkpoint was deleted while no operator knew the run; what was measured is lost but for what the status tells";
/// How old a pod is before its events are read; most are at work by then.
const YOUNG: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// What there is.
pub(super) struct Found {
    /// What an earlier operator wrote, if this one does not know the run.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Why what an earlier operator wrote of a run under way is lost, if it is.
    pub(super) unreadable: Option<String>,
    /// Its namespace is being deleted.
    pub(super) namespace_ends: bool,
    /// There is a Job of the run's name that belongs to somebody else.
    pub(super) name_is_taken: bool,
    /// The run's own Job; of a run that waits for its runners or has lost them, also what tells why.
    pub(super) evidence: Evidence,
}

impl Found {
    /// Whether no runner will check in any more.
    pub(super) fn runners_are_gone(&self) -> bool {
        are_gone(&self.evidence)
    }

    /// The Job that is still there of a run that is over without having begun, or that was ended without its runners. One that
    /// is given up takes its pods away by itself, and stays to be looked at.
    pub(super) fn left_over(&self, run: &BotRun) -> Option<&Job> {
        let begun = run.status.as_ref().is_some_and(|s| s.start_time.is_some());
        let job = self.evidence.job.as_ref();
        job.filter(|job| (!begun || was_cut_off(run)) && !cause::is_ending(job))
    }
}

/// Whether a run has ended in spite of what its runners do. Those of one whose setup or teardown has failed have handed
/// over all, and leave.
fn was_cut_off(run: &BotRun) -> bool {
    let by_themselves = [Reason::SetupFailed, Reason::TeardownFailed].map(|reason| reason.to_string());
    let status = run.status.as_ref().filter(|s| s.outcome == Some(RunOutcome::Errored));
    let failed = status.and_then(|s| conditions::find(s, conditions::FAILED));
    failed.is_some_and(|c| !by_themselves.contains(&c.reason))
}

/// Whose an object is that has the name of one of the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belongs {
    /// The run's own.
    Here,
    /// That of a run of the same name that was deleted: it goes by itself.
    ToOneBefore,
    /// Somebody else's.
    Elsewhere,
}

impl Belongs {
    pub(super) fn to(object: &impl ResourceExt, run: &BotRun, uid: &str) -> Self {
        let owners = object.owner_references();
        let is_like_it = |kind: &str, name: &str| kind == BotRun::kind(&()) && name == run.name_any();
        match () {
            () if owners.iter().any(|owner| owner.uid == uid) => Self::Here,
            () if owners.iter().any(|owner| is_like_it(&owner.kind, &owner.name)) => Self::ToOneBefore,
            () => Self::Elsewhere,
        }
    }
}

/// Whether a Job belongs to the run: somebody else's may have its name.
pub(super) fn is_owned(job: &Job, uid: &str) -> bool {
    job.owner_references().iter().any(|owner| owner.uid == uid)
}

pub(super) async fn dereference(context: &Context, run: &BotRun, uid: &str) -> Result<Found, Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let job = call("reading the Job", jobs.get_opt(&run.name_any())).await?;
    let belongs = job.as_ref().map(|job| Belongs::to(job, run, uid));
    let job = job.filter(|_| belongs == Some(Belongs::Here));
    let start = context.armies.lock().get(uid).map(Army::start_at_ms);
    let mut evidence = Evidence { job, ..Evidence::default() };
    let (checkpoint, unreadable) = match start {
        None if may_have_checkpoint(run, &evidence) => {
            let of = checkpoint::Of { namespace: &namespace, run: &run.name_any(), uid };
            read_checkpoint(context, run, of).await?
        }
        _ => (None, None),
    };
    let start = start.flatten().or(checkpoint.as_ref().and_then(|c| c.start_at_ms));
    let now = now_ms();
    let lacks_why = |army: &Army| army.has_unexplained_loss(now) || army.unmanned(now).is_some();
    let look = |army: &Army| (lacks_why(army), army.not_explained(now));
    let (unexplained, asked) = context.armies.lock().get(uid).map(look).unwrap_or_default();
    let lost = cause::of_failure(&evidence).is_some() || unexplained;
    if lost || (start.is_none() && !super::is_over(run)) {
        let labels = format!("{RUN_UID_LABEL}={uid}");
        gather(context, &namespace, uid, &labels, &asked, &mut evidence).await?;
    }
    // A Job whose pods go with their namespace holds on to them, since it cannot make others: the one would wait for the
    // other for ever.
    let lacks_pods = evidence.job.as_ref().is_none_or(|job| cause::lacks_pods(job) && !cause::has_ended(job));
    let namespace_ends =
        start.is_some() && lacks_pods && !super::is_over(run) && is_ending(context, &namespace).await?;
    let name_is_taken = belongs == Some(Belongs::Elsewhere);
    Ok(Found { checkpoint, unreadable, namespace_ends, name_is_taken, evidence })
}

/// Whether a checkpoint is worth a look. A run whose Job somebody has deleted goes on all the same; of one that is over
/// nobody wants it whose runners are gone.
fn may_have_checkpoint(run: &BotRun, evidence: &Evidence) -> bool {
    if super::is_over(run) {
        return !are_gone(evidence) && !super::ending::has_been_over_for_long(run);
    }
    let has_begun = |status: &BotRunStatus| status.phase != Phase::Pending || status.start_time.is_some();
    evidence.job.is_some() || run.status.as_ref().is_some_and(has_begun)
}

/// What an earlier operator wrote of a run, or why it is lost: the objects belong to the run's namespace, where others may
/// change and delete them.
async fn read_checkpoint(
    context: &Context,
    run: &BotRun,
    of: checkpoint::Of<'_>,
) -> Result<(Option<Checkpoint>, Option<String>), Error> {
    let begun = run.status.as_ref().is_some_and(|s| s.start_time.is_some());
    match checkpoint::read(context.client.clone(), of).await {
        Ok(None) if begun => Ok((None, Some(DELETED.to_owned()))),
        Ok(checkpoint) => Ok((checkpoint, None)),
        Err(error) if error.is_broken() => Ok((None, Some(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

/// Whether no runner will check in any more.
fn are_gone(evidence: &Evidence) -> bool {
    evidence.job.as_ref().is_none_or(cause::has_ended)
}

/// Whether a namespace is being deleted.
async fn is_ending(context: &Context, namespace: &str) -> Result<bool, Error> {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let found = call("reading the namespace", namespaces.get_metadata_opt(namespace)).await?;
    Ok(found.is_some_and(|found| found.metadata.deletion_timestamp.is_some()))
}

/// Reads the pods that do not run, of those with these labels, and events where pods are lacking or say nothing
/// themselves. The pods with the UIDs that are `asked` about are kept, however many others have failed.
pub(super) async fn gather(
    context: &Context,
    namespace: &str,
    uid: &str,
    labels: &str,
    asked: &BTreeSet<String>,
    evidence: &mut Evidence,
) -> Result<(), Error> {
    let Some(job) = evidence.job.clone().filter(|job| is_owned(job, uid)) else { return Ok(()) };
    let pods: &Api<Pod> = &Api::namespaced(context.client.clone(), namespace);
    let idle = ListParams::default().labels(labels).fields("status.phase!=Running,status.phase!=Succeeded");
    let what = "listing the pods of a run";
    list(what, idle, |which| async move { pods.list(&which).await }, |page| evidence.take(page, asked))
        .await?;
    // The Job counts those that were told to end and have not; a run may wait for one of them in vain.
    if job.status.as_ref().and_then(|status| status.terminating).is_some_and(|pods| pods > 0) {
        let at_work = ListParams::default().labels(labels).fields("status.phase=Running");
        let ending = |page: Vec<PartialObjectMeta<Pod>>| {
            let told_to_end = page.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_some());
            evidence.ending.extend(told_to_end);
        };
        list(what, at_work, |which| async move { pods.list_metadata(&which).await }, ending).await?;
    }
    let oldest = evidence.pods.iter().filter(|p| is_slow(p)).min_by_key(|p| p.creation_timestamp());
    let about = [
        job.uid().filter(|_| cause::lacks_pods(&job) && !cause::has_ended(&job)),
        oldest.and_then(ResourceExt::uid),
    ];
    let events: &Api<Event> = &Api::namespaced(context.client.clone(), namespace);
    for uid in about.into_iter().flatten() {
        let warnings = ListParams::default().fields(&format!("regarding.uid={uid},type=Warning"));
        let what = "listing the events of a run";
        list(
            what,
            warnings,
            |which| async move { events.list(&which).await },
            |page| evidence.events.extend(page),
        )
        .await?;
    }
    Ok(())
}

/// Reads what there is, page by page: it comes in the order of names, so that what matters may be in any of them.
async fn list<T, F>(
    what: &'static str,
    which: ListParams,
    read: impl Fn(ListParams) -> F,
    mut take: impl FnMut(Vec<T>),
) -> Result<(), Error>
where
    T: Clone,
    F: Future<Output = kube::Result<ObjectList<T>>>,
{
    let mut which = which.limit(PAGE);
    for _ in 0..MAX_PAGES {
        let page = call(what, read(which.clone())).await?;
        take(page.items);
        let Some(next) = page.metadata.continue_.filter(|token| !token.is_empty()) else { break };
        which = which.continue_token(&next);
    }
    Ok(())
}

/// A pod that has its node and waits there for longer than is usual.
fn is_slow(pod: &Pod) -> bool {
    let placed = pod.spec.as_ref().is_some_and(|s| s.node_name.is_some());
    let pending = pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Pending"));
    let age = pod.creation_timestamp().map(|t| jiff::Timestamp::now().duration_since(t.0));
    placed && pending && age.is_some_and(|age| age > YOUNG)
}
