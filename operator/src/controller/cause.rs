//! Why runners do not start or were lost: what the cluster says of their pods, as one reason. Pure.

use super::standing::Standing;
use crate::conditions::Documented;
use crate::message::bounded;
use botarmy_protocol::{Mistake, exit};
use botarmy_tree::{Finding, Path, action};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Longest message, in bytes: an event takes no more than a kilobyte.
const MAX_MESSAGE: usize = 1000;
/// Longest reason of a gap, in bytes: there may be many.
const MAX_LOSS: usize = 200;
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// What the cluster shows of runners that have not begun, or were lost.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The Job, if it was made.
    pub(super) job: Option<Job>,
    /// Its pods that do not run, of those that have failed only what may tell something.
    pub(super) pods: Vec<Pod>,
    /// Those that run, and were told to end: nothing is known of them but that.
    pub(super) ending: Vec<PartialObjectMeta<Pod>>,
    /// What was told about the Job and its pods.
    pub(super) events: Vec<Event>,
}

impl Evidence {
    /// Adds some of the Job's pods. A Job keeps all that have failed, so that there may be very many: of these only the
    /// newest of each runner is worth anything, and those that are asked about by their UIDs.
    pub(super) fn take(&mut self, pods: Vec<Pod>, asked: &BTreeSet<String>) {
        self.pods.extend(pods);
        let mut newest: BTreeMap<u32, &Pod> = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| has_failed(pod)) {
            take_if_newer(&mut newest, pod);
        }
        let newest: BTreeSet<String> = newest.into_values().filter_map(ResourceExt::uid).collect();
        let is_worth = |uid: &String| newest.contains(uid) || asked.contains(uid);
        self.pods.retain(|pod| !has_failed(pod) || pod.metadata.uid.as_ref().is_some_and(is_worth));
    }
}

fn has_failed(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Failed"))
}

/// The runner that a pod is of.
fn index(pod: &ObjectMeta) -> u32 {
    let index = pod.annotations.as_ref().and_then(|all| all.get(INDEX));
    index.and_then(|index| index.parse().ok()).unwrap_or(u32::MAX)
}

fn take_if_newer<'p>(newest: &mut BTreeMap<u32, &'p Pod>, pod: &'p Pod) {
    let known = newest.entry(index(&pod.metadata)).or_insert(pod);
    if known.creation_timestamp() < pod.creation_timestamp() {
        *known = pod;
    }
}

/// The reasons; of several the first one is told: what a person has to mend comes before what may
/// pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The template refers to what is not there, or the container cannot be made from it.
    ConfigError,
    /// The image cannot be had.
    ImagePull,
    /// The container was made, but its program could not be started.
    StartError,
    /// A container needed more memory than it may have.
    OOMKilled,
    /// A runner has not reached the coordinator for too long.
    CoordinatorUnreachable,
    /// The coordinator has refused a runner for too long.
    CheckInRefused,
    /// A container ended with a failure.
    CrashLoop,
    /// The pod was taken from its node.
    Evicted,
    /// The pod failed in another way.
    PodFailed,
    /// A quota leaves no room.
    Quota,
    /// A rule of the cluster refuses the pods.
    Forbidden,
    /// The pods cannot be made for another reason.
    FailedCreate,
    /// No node fits.
    Unschedulable,
    /// A volume cannot be mounted.
    FailedMount,
    /// The node cannot give the pod its network.
    FailedSandbox,
    /// Nothing is heard any more of a runner that had reported: it is cut off, or its node is dead.
    RunnerSilent,
    /// The pods run, but not all have reported.
    NoCheckIn,
    /// The Job was given up.
    JobFailed,
    /// A runner cannot do its part: rows of data are bad, say.
    RunnerRefused,
    /// Setup failed, so that no bot began.
    SetupFailed,
    /// Teardown failed after the load.
    TeardownFailed,
    /// Runners were lost, and none takes their place.
    RunnerLost,
    /// What was measured cannot be written down.
    CheckpointFailed,
    /// The run was not over in time.
    DeadlineExceeded,
    /// It waits for other runs.
    Queued,
    /// It stands still, because somebody has said so.
    Suspended,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Documented for Reason {}

/// A reason, with the cluster's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Cause {
    pub(super) fn new(reason: Reason, message: &str) -> Self {
        Self { reason, message: bounded(message, MAX_MESSAGE) }
    }

    /// The same with something beside it; the end of a long message is cut before that is.
    pub(super) fn and(&self, more: &str) -> Self {
        let room = MAX_MESSAGE.saturating_sub(more.len() + "; ".len());
        Self::new(self.reason, &format!("{}; {more}", bounded(&self.message, room)))
    }

    /// Why the API server did not take an object.
    pub(crate) fn of_refusal(said: &str) -> Self {
        let reason = match said {
            _ if said.contains("exceeded quota") => Reason::Quota,
            _ if said.contains("forbidden") || said.contains("denied") => Reason::Forbidden,
            _ => Reason::FailedCreate,
        };
        Self::new(reason, said)
    }
}

/// Why runners do not start; `has_checked_in` tells of an index that its pod is well by now.
pub(super) fn of_waiting(evidence: &Evidence, has_checked_in: impl Fn(u32) -> bool) -> Option<Cause> {
    let mut newest: BTreeMap<u32, &Pod> = BTreeMap::new();
    for pod in evidence.pods.iter().filter(|p| p.metadata.deletion_timestamp.is_none()) {
        take_if_newer(&mut newest, pod);
    }
    newest.retain(|index, _| !has_checked_in(*index));
    let pods = newest.into_values().filter_map(|pod| of_pod(pod, &evidence.events));
    pods.chain(of_job_events(evidence)).min_by_key(|cause| cause.reason)
}

/// Pods that should have ended before this moment, and have not: with their metadata, of those that have not failed.
fn overdue(evidence: &Evidence, before: Timestamp) -> impl Iterator<Item = &ObjectMeta> {
    let pending = evidence.pods.iter().filter(|pod| !has_failed(pod)).map(|pod| &pod.metadata);
    let all = pending.chain(evidence.ending.iter().map(|pod| &pod.metadata));
    // The mark is the end of its grace period.
    all.filter(move |pod| pod.deletion_timestamp.as_ref().is_some_and(|until| until.0 < before))
}

/// The UIDs of pods that should have ended before this moment, and have not.
pub(super) fn of_overdue(evidence: &Evidence, before: Timestamp) -> BTreeSet<String> {
    overdue(evidence, before).filter_map(|pod| pod.uid.clone()).collect()
}

/// What is wrong with pods that should have ended before this moment: a Job makes no other one before they have.
pub(super) fn of_stuck(
    evidence: &Evidence,
    before: Timestamp,
    has_checked_in: impl Fn(u32) -> bool,
) -> Option<Cause> {
    let pod = overdue(evidence, before).find(|pod| !has_checked_in(index(pod)))?;
    let name = pod.name.as_deref().unwrap_or_default();
    let message = format!(
        "pod {name}: it was told to end, and has not within its grace period: its node may be dead; no other takes its place before it is gone"
    );
    Some(Cause::new(Reason::RunnerSilent, &message))
}

/// Why the Job was given up, if it was: its own words, and those of a lost pod. It tells so before the other pods, which
/// are told to end, have done so.
pub(super) fn of_failure(evidence: &Evidence) -> Option<Cause> {
    let conditions = evidence.job.as_ref()?.status.as_ref()?.conditions.as_ref()?;
    let told = |kind: &str| conditions.iter().find(|c| c.type_ == kind && c.status == "True");
    let failed = told("Failed").or_else(|| told("FailureTarget"))?;
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let job = format!("{}: {}", said(&failed.reason), said(&failed.message));
    let pods = evidence.pods.iter().filter_map(|pod| of_pod(pod, &[]));
    Some(match pods.min_by_key(|cause| cause.reason) {
        Some(pod) => pod.and(&job),
        None => Cause::new(Reason::JobFailed, &job),
    })
}

/// Why pods were lost, by their UIDs; false with what only says that a container has ended.
pub(super) fn of_lost(evidence: &Evidence) -> impl Iterator<Item = (String, String, bool)> {
    evidence.pods.iter().filter(|pod| has_failed(pod)).filter_map(|pod| {
        let cause = of_pod(pod, &[])?;
        let tells = !matches!(cause.reason, Reason::CrashLoop | Reason::PodFailed);
        Some((pod.uid()?, format!("{}: {}", cause.reason, bounded(&cause.message, MAX_LOSS)), tells))
    })
}

/// Why a run is refused, as one word.
pub(super) fn of_findings(findings: &[Finding]) -> Standing {
    let trees = Path::top().field("spec").field("trees");
    let messages = findings.iter().map(|f| &*f.message);
    of_mistaken(messages, findings.iter().any(|finding| finding.path.is_within(&trees)))
}

/// The same, of what a runner has found.
pub(super) fn of_mistakes(mistakes: &[Mistake]) -> Standing {
    let in_tree =
        mistakes.iter().any(|m| m.place.starts_with("spec.trees") || m.place.starts_with("spec.sources"));
    of_mistaken(mistakes.iter().map(|m| &*m.message), in_tree)
}

fn of_mistaken<'m>(mut messages: impl Iterator<Item = &'m str>, in_tree: bool) -> Standing {
    match in_tree {
        _ if messages.any(action::is_unknown) => Standing::ActionUnknown,
        true => Standing::InvalidTree,
        false => Standing::Invalid,
    }
}

/// Whether no pod of the Job will come back.
pub(super) fn has_ended(job: &Job) -> bool {
    is_complete(job) || holds(job, "Failed")
}

/// Whether the Job has ended, or makes no more pods and takes away those that are left.
pub(super) fn is_ending(job: &Job) -> bool {
    has_ended(job) || holds(job, "FailureTarget")
}

/// Whether the Job has done what it was made for.
pub(super) fn is_complete(job: &Job) -> bool {
    holds(job, "Complete")
}

fn holds(job: &Job, condition: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == condition && c.status == "True"))
}

fn of_pod(pod: &Pod, events: &[Event]) -> Option<Cause> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    let containers = init.chain(status.container_statuses.iter().flatten());
    let found = containers
        .filter_map(of_container)
        .min_by_key(|(reason, _)| *reason)
        .filter(|_| status.reason.is_none())
        .or_else(|| of_pod_itself(pod))
        .or_else(|| of_pod_events(pod, events));
    found.map(|(reason, said)| Cause::new(reason, &format!("pod {}: {said}", pod.name_any())))
}

fn of_container(status: &ContainerStatus) -> Option<(Reason, String)> {
    let name = &status.name;
    let text = |text: &Option<String>| text.as_deref().unwrap_or("no reason is given").trim().to_owned();
    let ended = |state: Option<&ContainerState>| {
        // One that was told to end has done nothing wrong.
        let ended = state?.terminated.as_ref().filter(|t| ![0, exit::LEFT].contains(&t.exit_code))?;
        let reason = match ended.reason.as_deref() {
            Some("OOMKilled") => Reason::OOMKilled,
            Some("StartError" | "ContainerCannotRun") => Reason::StartError,
            _ if ended.exit_code == exit::NO_COORDINATOR => Reason::CoordinatorUnreachable,
            _ if ended.exit_code == exit::REFUSED => Reason::CheckInRefused,
            _ => Reason::CrashLoop,
        };
        let said = text(&ended.message.clone().filter(|m| !m.is_empty()).or(ended.reason.clone()));
        Some((reason, format!("container {name}: exit code {}: {said}", ended.exit_code)))
    };
    let Some(waiting) = status.state.as_ref().and_then(|s| s.waiting.as_ref()) else {
        return ended(status.state.as_ref());
    };
    let word = waiting.reason.as_deref()?;
    let reason = match word {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Reason::ImagePull,
        "CreateContainerConfigError" | "CreateContainerError" | "PreCreateHookError" => Reason::ConfigError,
        "RunContainerError" | "PostStartHookError" => Reason::StartError,
        // Only what restarts within its pod comes here, such as a sidecar; why is in its last end.
        "CrashLoopBackOff" => return ended(status.last_state.as_ref()),
        _ => return None,
    };
    Some((reason, format!("container {name}: {word}: {}", text(&waiting.message))))
}

/// What is said of the pod as a whole.
fn of_pod_itself(pod: &Pod) -> Option<(Reason, String)> {
    let status = pod.status.as_ref()?;
    let conditions = || status.conditions.iter().flatten();
    let said = |reason: &Option<String>, message: &Option<String>| {
        [reason, message].into_iter().flatten().cloned().collect::<Vec<_>>().join(": ")
    };
    let disrupted = conditions().find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    let unplaced = conditions().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    match (status.phase.as_deref(), disrupted, unplaced) {
        (Some("Failed"), Some(c), _) => Some((Reason::Evicted, said(&c.reason, &c.message))),
        (Some("Failed"), None, _) if status.reason.as_deref() == Some("Evicted") => {
            Some((Reason::Evicted, said(&status.reason, &status.message)))
        }
        (Some("Failed"), None, _) if was_told_to_end(status) => None,
        (Some("Failed"), None, _) => Some((Reason::PodFailed, said(&status.reason, &status.message))),
        (_, _, Some(c)) => Some((Reason::Unschedulable, said(&c.reason, &c.message))),
        _ => None,
    }
}

/// Whether the runner has ended because it was told to.
fn was_told_to_end(status: &PodStatus) -> bool {
    let containers = status.container_statuses.iter().flatten();
    let ended =
        |c: &ContainerStatus| c.state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code);
    containers.filter_map(ended).any(|code| code == exit::LEFT)
}

/// What only the kubelet's events tell of a pod.
fn of_pod_events(pod: &Pod, events: &[Event]) -> Option<(Reason, String)> {
    let latest = latest(events, "Pod", &pod.uid()?)?;
    let word = latest.reason.as_deref()?;
    let reason = match word {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => Reason::FailedMount,
        "FailedCreatePodSandBox" | "NetworkNotReady" => Reason::FailedSandbox,
        _ => return None,
    };
    Some((reason, format!("{word}: {}", latest.note.as_deref().unwrap_or_default())))
}

/// Why pods of the Job cannot be made: only its events tell.
fn of_job_events(evidence: &Evidence) -> Option<Cause> {
    let job = evidence.job.as_ref().filter(|j| lacks_pods(j))?;
    let latest = latest(&evidence.events, "Job", &job.uid()?)?;
    latest.note.as_deref().filter(|_| latest.reason.as_deref() == Some("FailedCreate")).map(Cause::of_refusal)
}

/// Whether some of the Job's pods were not made yet.
pub(super) fn lacks_pods(job: &Job) -> bool {
    let active = job.status.as_ref().and_then(|s| s.active).unwrap_or_default();
    job.spec.as_ref().and_then(|s| s.parallelism).is_some_and(|wanted| active < wanted)
}

fn latest<'e>(events: &'e [Event], kind: &str, uid: &str) -> Option<&'e Event> {
    let about = |e: &&Event| {
        e.regarding.as_ref().is_some_and(|r| r.kind.as_deref() == Some(kind) && r.uid.as_deref() == Some(uid))
    };
    let time = |e: &&Event| -> Option<Timestamp> {
        let series = e.series.as_ref().map(|s| s.last_observed_time.0);
        let counted = e.deprecated_last_timestamp.as_ref().map(|t| t.0);
        series.or(counted).or(e.event_time.as_ref().map(|t| t.0))
    };
    events.iter().filter(about).max_by_key(time)
}

#[cfg(test)]
mod tests;
