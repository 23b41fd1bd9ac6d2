//! The result of a run that is over, taken to where it shall be by a Job of its own: the operator itself mounts nothing
//! and calls nobody.

mod kept;
mod objects;

pub(super) use kept::keep;

use super::cause::{self, Cause, Evidence, Reason};
use super::conditions::{self, find, set, unknown};
use super::dereference::{self, is_owned};
use super::policy::export::{Known, LIMIT, Step, next};
use super::policy::ttl::Export;
use super::standing::Standing;
use super::{Context, Error, FIELD_MANAGER, apply};
use crate::api_call::{self, BAD_REQUEST, CONFLICT, FORBIDDEN, INVALID, call};
use botarmy_crds::{BotRun, BotRunStatus, EXPORT_AGAIN_ANNOTATION, ExportStatus, RUN_UID_LABEL};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is said of a result that was.
const SHORTENED: &str = ", shortened as the status has it: all of it was too large, or could not be kept before the operator was started anew";

/// Brings the export of a run that is over a step further, and tells of it in the status.
pub(super) async fn follow(
    context: &Context,
    run: &BotRun,
    uid: &str,
    status: &mut BotRunStatus,
) -> Result<Export, Error> {
    let asked = !run.spec.run.operation.export.is_empty();
    let name = objects::job_name(run, uid)?;
    let told_of = status.export.take_if(|export| asked && export.job == name);
    if told_of.is_none() {
        if status.export.take().is_some() && !asked {
            discard_others(context, run, uid, None).await?;
        }
        // The time of another one is not that of this one.
        status.conditions.retain(|condition| condition.type_ != conditions::EXPORTED);
    }
    let ended = told_of.as_ref().and_then(|export| Some(export.completion_time.as_ref()?.0));
    status.export = told_of;
    let refused = status.is_refused();
    let job = if asked && ended.is_none() && !refused { read_job(context, run, &name).await? } else { None };
    let told = find(status, conditions::EXPORTED);
    let has_failed = told.is_some_and(|told| told.status == "False");
    let told = told.filter(|told| told.status == "Unknown");
    let foreign = job.as_ref().is_some_and(|job| !is_owned(job, uid));
    let since = told.map(|told| told.last_transition_time.0);
    let known = Known { asked, refused, ended, job: job.as_ref(), foreign, since };
    let last = told.map(|told| told.message.clone()).unwrap_or_default();
    let outcome = match next(known, Timestamp::now()) {
        Step::None => return Ok(Export::None),
        Step::Ended(at) if has_failed && !refused => return Ok(Export::Failed(at)),
        Step::Ended(at) => return Ok(Export::Ended(at)),
        Step::Begin => begin(context, run, uid, &name, status).await,
        Step::Wait => Outcome::Pending(Box::pin(waits(context, uid, job)).await?),
        Step::Succeed => Outcome::Delivered { shortened: kept::is_shortened(context, run, uid).await? },
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
    /// The result is not kept yet, for this reason.
    Unkept(String),
    Pending(String),
    Delivered {
        shortened: bool,
    },
    Failed(String),
}

/// Writes it into the status.
fn tell(status: &mut BotRunStatus, run: &BotRun, job: String, outcome: Outcome) -> Export {
    let now = Timestamp::now();
    let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let export = match outcome {
        Outcome::Unkept(message) => {
            unknown(status, run, conditions::EXPORTED, Standing::ExportPending, &message);
            Export::Unkept
        }
        Outcome::Pending(message) => {
            unknown(status, run, conditions::EXPORTED, Standing::ExportPending, &message);
            Export::UnderWay
        }
        Outcome::Delivered { shortened } => {
            let number = objects::destinations(run.spec.run.operation.export.len());
            let how = if shortened { SHORTENED } else { "" };
            let message = format!("the result was taken to {number}{how}");
            set(status, run, conditions::EXPORTED, true, Standing::Delivered, &message);
            Export::Ended(at)
        }
        Outcome::Failed(message) => {
            let message = format!(
                "{message}; a change of spec.export, or of the annotation {EXPORT_AGAIN_ANNOTATION}, starts it anew"
            );
            set(status, run, conditions::EXPORTED, false, Standing::ExportFailed, &message);
            if status.is_refused() { Export::Ended(at) } else { Export::Failed(at) }
        }
    };
    let has_ended = matches!(export, Export::Ended(_) | Export::Failed(_));
    status.export = Some(ExportStatus { job, completion_time: has_ended.then_some(Time(at)) });
    export
}

/// What is asked for by an annotation, as a predicate sees it: the generation does not grow by it.
pub(super) fn asked_again<K: ResourceExt>(run: &K) -> Option<u64> {
    let asked = run.annotations().get(EXPORT_AGAIN_ANNOTATION)?;
    let mut hasher = DefaultHasher::new();
    asked.hash(&mut hasher);
    Some(hasher.finish())
}

/// Takes away the Jobs of the run's other exports. One at work would go on taking the result to where it shall not be any
/// more, and what one that has ended came to would be taken for the answer when the same is asked for again.
async fn discard_others(
    context: &Context,
    run: &BotRun,
    uid: &str,
    this_one: Option<&str>,
) -> Result<(), Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let of_run = ListParams::default().labels(&format!("{RUN_UID_LABEL}={uid}"));
    let listed = call("listing the Jobs of a run", jobs.list(&of_run)).await?;
    let is_other = |job: &&Job| {
        let name = job.name_any();
        is_owned(job, uid) && objects::is_job_name(run, &name) && this_one != Some(&*name)
    };
    for job in listed.items.iter().filter(is_other) {
        apply::discard(context, job).await?;
    }
    Ok(())
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
        Err(error) => Outcome::Pending(refusal(&error)),
    }
}

/// Why the API server does not do something now.
fn refusal(error: &Error) -> String {
    match error {
        Error::Call(api_call::Error::Refused(_, status)) if status.code == FORBIDDEN => {
            shown(&Cause::of_refusal(&status.message))
        }
        error => error.to_string(),
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
    match kept::is_kept(context, run, uid, status).await {
        Ok(true) => {}
        Ok(false) => return Ok(Outcome::Failed(taken("ConfigMap", &objects::result_name(run, uid)))),
        Err(error) => return Ok(Outcome::Unkept(refusal(&error))),
    }
    discard_others(context, run, uid, Some(name)).await?;
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
    if job.as_ref().is_some_and(|job| job.metadata.deletion_timestamp.is_some()) {
        return Ok(format!("the Job {name} of an earlier export is still being taken away"));
    }
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
    let asked = BTreeSet::new();
    Box::pin(dereference::gather(context, &namespace, uid, &selector, &asked, &mut evidence)).await?;
    Ok(evidence)
}

/// A cause with its reason, unless the container says itself why it has ended.
fn shown(cause: &Cause) -> String {
    match cause.reason {
        Reason::CrashLoop => cause.message.clone(),
        reason => format!("{reason}: {}", cause.message),
    }
}
