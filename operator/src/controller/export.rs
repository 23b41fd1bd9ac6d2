//! The result of a run that is over, taken to where it shall be by a Job of its own: the operator itself mounts nothing
//! and calls nobody.

mod objects;

use super::cause::{self, Cause, Evidence, Reason};
use super::conditions::{self, find, set, unknown};
use super::dereference::{self, Belongs, is_owned};
use super::policy::export::{Known, LIMIT, Step, next};
use super::policy::ttl::Export;
use super::{Context, Error, FIELD_MANAGER, apply};
use crate::api_call::{self, BAD_REQUEST, CONFLICT, FORBIDDEN, INVALID, call};
use crate::coordinator::now_ms;
use botarmy_crds::{BotRun, BotRunStatus, ExportStatus, Phase};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};

/// The result is where it shall be.
const DELIVERED: &str = "Delivered";
/// It is on its way.
const PENDING: &str = "ExportPending";
/// It could not be taken to some place.
const FAILED: &str = "ExportFailed";

/// Keeps the whole result of a run that has just come to its end, which its status has no room for. Without it the
/// bounded one is exported, so that no failure keeps the run from its end.
pub(super) async fn keep(context: &Context, run: &BotRun, uid: &str, status: &BotRunStatus) {
    let wanted = status.phase == Phase::Finished && !run.spec.run.operation.export.is_empty();
    if !wanted || status.is_refused() {
        return;
    }
    let has_begun = status.result.is_some();
    let whole = context.armies.lock().get(uid).filter(|_| has_begun).map(|army| army.final_result(now_ms()));
    let whole = BotRunStatus { result: whole.or_else(|| status.result.clone()), ..status.clone() };
    if let Err(error) = write_result(&context.client, run, uid, &whole, true).await {
        tracing::warn!("{}: the whole result is not kept for its export: {error}", run.name_any());
    }
}

/// Keeps a result. A name that somebody else has is left alone; false then.
async fn write_result(
    client: &Client,
    run: &BotRun,
    uid: &str,
    status: &BotRunStatus,
    anew: bool,
) -> Result<bool, Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let name = objects::result_name(run, uid);
    let found = call("looking for the result", maps.get_metadata_opt(&name)).await?;
    match found.map(|found| Belongs::to(&found, run, uid)) {
        Some(Belongs::Here) if !anew => return Ok(true),
        Some(Belongs::Here) | None => {}
        Some(Belongs::ToOneBefore | Belongs::Elsewhere) => return Ok(false),
    }
    let Some(result) = status.told_result() else { return Ok(false) };
    let map = objects::result(run, uid, &result)?;
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    call("keeping the result", maps.patch(&name, &manager, &Patch::Apply(&map))).await?;
    Ok(true)
}

/// Brings the export of a run that is over a step further, and tells of it in the status.
pub(super) async fn follow(
    context: &Context,
    run: &BotRun,
    uid: &str,
    status: &mut BotRunStatus,
) -> Result<Export, Error> {
    let asked = !run.spec.run.operation.export.is_empty();
    let name = objects::job_name(run, uid)?;
    let ended = status.export.as_ref().filter(|ended| ended.job == name).map(|e| e.completion_time.0);
    let refused = status.is_refused();
    let job = if asked && ended.is_none() && !refused { read_job(context, run, &name).await? } else { None };
    let told = find(status, conditions::EXPORTED).filter(|told| told.status == "Unknown");
    let foreign = job.as_ref().is_some_and(|job| !is_owned(job, uid));
    let since = told.map(|told| told.last_transition_time.0);
    let known = Known { asked, refused, ended, job: job.as_ref(), foreign, since };
    let last = told.map(|told| told.message.clone()).unwrap_or_default();
    let step = next(known, Timestamp::now());
    let outcome = match step {
        Step::None => {
            status.conditions.retain(|condition| condition.type_ != conditions::EXPORTED);
            status.export = None;
            return Ok(Export::None);
        }
        Step::Ended(at) => return Ok(Export::Ended(at)),
        Step::Begin => begin(context, run, uid, &name, status).await,
        Step::Wait => Outcome::Pending(Box::pin(waits(context, uid, job)).await?),
        Step::Succeed => Outcome::Delivered,
        Step::Fail => Outcome::Failed(Box::pin(why(context, uid, job, &last)).await?),
        Step::GiveUp => {
            if let Some(job) = &job {
                apply::discard(context, job).await?;
            }
            Outcome::Failed(format!("it was not over within {LIMIT:?}; the last that was known: {last}"))
        }
        Step::Foreign => Outcome::Failed(taken("Job", &name)),
        Step::Refuse => Outcome::Failed(
            "the run was refused, so that it has no result; correct it, delete it and apply it anew".into(),
        ),
    };
    Ok(tell(status, run, name, outcome))
}

/// What a step has come to.
enum Outcome {
    Pending(String),
    Delivered,
    Failed(String),
}

/// Writes it into the status.
fn tell(status: &mut BotRunStatus, run: &BotRun, job: String, outcome: Outcome) -> Export {
    match outcome {
        Outcome::Pending(message) => {
            unknown(status, run, conditions::EXPORTED, PENDING, &message);
            return Export::UnderWay;
        }
        Outcome::Delivered => {
            let number = run.spec.run.operation.export.len();
            let message = format!("the result was taken to {}", objects::destinations(number));
            set(status, run, conditions::EXPORTED, true, DELIVERED, &message);
        }
        Outcome::Failed(message) => {
            let message = format!("{message}; a change of spec.export starts it anew");
            set(status, run, conditions::EXPORTED, false, FAILED, &message);
        }
    }
    let now = Timestamp::now();
    let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    status.export = Some(ExportStatus { job, completion_time: Time(at) });
    Export::Ended(at)
}

async fn read_job(context: &Context, run: &BotRun, name: &str) -> Result<Option<Job>, Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    Ok(call("reading the Job of the export", jobs.get_opt(name)).await?)
}

fn taken(kind: &str, name: &str) -> String {
    format!("the {kind} {name} exists and belongs to something else; delete it")
}

/// Makes the Job, once. Whatever keeps it from being made is told, and tried again for a while.
async fn begin(context: &Context, run: &BotRun, uid: &str, name: &str, status: &BotRunStatus) -> Outcome {
    match try_to_begin(context, run, uid, name, status).await {
        Ok(outcome) => outcome,
        Err(Error::Call(api_call::Error::Refused(_, status))) if status.code == FORBIDDEN => {
            Outcome::Pending(shown(&Cause::of_refusal(&status.message)))
        }
        Err(error) => Outcome::Pending(error.to_string()),
    }
}

async fn try_to_begin(
    context: &Context,
    run: &BotRun,
    uid: &str,
    name: &str,
    status: &BotRunStatus,
) -> Result<Outcome, Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    if !write_result(&context.client, run, uid, status, false).await? {
        return Ok(Outcome::Failed(taken("ConfigMap", &objects::result_name(run, uid))));
    }
    let job = objects::job(&context.settings, run, uid, name)?;
    let made = api_call::create::<Job>(
        &context.client,
        "creating the Job of the export",
        &namespace,
        FIELD_MANAGER,
        &job,
    )
    .await;
    match made {
        Ok(_) => {}
        Err(api_call::Error::Refused(_, refusal)) if refusal.code == CONFLICT => {
            // Made by a reconcile whose answer was lost, or gone again.
            if read_job(context, run, name).await?.is_some_and(|job| !is_owned(&job, uid)) {
                return Ok(Outcome::Failed(taken("Job", name)));
            }
        }
        Err(api_call::Error::Refused(_, refusal)) if matches!(refusal.code, BAD_REQUEST | INVALID) => {
            let said =
                format!("the API server does not take the Job made from spec.export: {}", refusal.message);
            return Ok(Outcome::Failed(said));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Outcome::Pending(format!("the Job {name} was made")))
}

/// Why a Job at work is not done yet.
async fn waits(context: &Context, uid: &str, job: Option<Job>) -> Result<String, Error> {
    let name = job.as_ref().map(ResourceExt::name_any).unwrap_or_default();
    let evidence = look_at(context, uid, job).await?;
    let kept = cause::of_waiting(&evidence, |_| false).map(|cause| shown(&cause));
    Ok(kept.unwrap_or_else(|| format!("the Job {name} is at work")))
}

/// Why a Job was given up: what its pod said, or else what was known of it last.
async fn why(context: &Context, uid: &str, job: Option<Job>, last: &str) -> Result<String, Error> {
    let evidence = look_at(context, uid, job).await?;
    Ok(match cause::of_failure(&evidence) {
        Some(cause) if cause.reason == Reason::JobFailed => {
            format!("{}; the last that was known: {last}", cause.message)
        }
        Some(cause) => shown(&cause),
        None => last.to_owned(),
    })
}

async fn look_at(context: &Context, uid: &str, job: Option<Job>) -> Result<Evidence, Error> {
    let Some(job) = job else { return Ok(Evidence::default()) };
    let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
    let selector = format!("{}={}", objects::JOB_LABEL, job.name_any());
    let mut evidence = Evidence { job: Some(job), ..Evidence::default() };
    dereference::gather(context, &namespace, uid, &selector, &mut evidence).await?;
    Ok(evidence)
}

/// A cause with its reason, unless the container says itself why it has ended.
fn shown(cause: &Cause) -> String {
    match cause.reason {
        Reason::CrashLoop => cause.message.clone(),
        reason => format!("{reason}: {}", cause.message),
    }
}

#[cfg(test)]
mod tests {
    use super::{DELIVERED, FAILED, PENDING};

    #[test]
    fn every_reason_is_documented() {
        let page = include_str!("../../../docs/reasons.md");
        for reason in [DELIVERED, PENDING, FAILED] {
            let is_told =
                |line: &str| line.starts_with("| `Exported` | ") && line.contains(&format!("`{reason}`"));
            assert!(page.lines().any(is_told), "{reason} has no row in docs/reasons.md");
        }
    }
}
