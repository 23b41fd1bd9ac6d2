//! What a schedule does to its runs: creates the one that is due, deletes those that make room or are too old.

use super::due::{Decision, MOST_MISSED};
use super::runs::{ScheduledRun, name_of};
use super::status::Reason;
use super::{Context, Error, FIELD_MANAGER, build, history};
use crate::api_call::{self, BAD_REQUEST, CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, call};
use crate::controller::Cause;
use crate::events::Happened;
use botarmy_crds::{BotRun, BotRunSchedule};
use jiff::Timestamp;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

/// What the API server calls it when there is an object of this name.
const ALREADY_EXISTS: &str = "AlreadyExists";

/// Does what was decided; `runs` are those that there are afterwards. Tells why the run that is due cannot be
/// created now.
pub(super) async fn act(
    context: &Context,
    schedule: &BotRunSchedule,
    decision: Decision,
    runs: &mut Vec<ScheduledRun>,
    happened: &mut Vec<Happened>,
) -> Result<Option<Cause>, Error> {
    let Decision::Start { at, replace, many } = decision else { return Ok(None) };
    if replace {
        for run in runs.iter().filter(|run| run.end.is_none()) {
            if delete(context, schedule, run).await? {
                let note = format!("{} was deleted to make room for the run that was due at {at}", run.name);
                happened.push(Reason::RunReplaced.happened(EventType::Normal, note, None));
            }
        }
        runs.retain(|run| run.end.is_some());
    }
    let failure = create(context, schedule, at, runs, happened).await?;
    if many && failure.is_none() {
        let note = format!(
            "more than {MOST_MISSED} runs were missed before the one that was due at {at}, and are not made up for; look whether the operator was down, or a clock is wrong"
        );
        happened.push(Reason::TooManyMissed.happened(EventType::Warning, note, None));
    }
    Ok(failure)
}

async fn create(
    context: &Context,
    schedule: &BotRunSchedule,
    at: Timestamp,
    runs: &mut Vec<ScheduledRun>,
    happened: &mut Vec<Happened>,
) -> Result<Option<Cause>, Error> {
    let namespace = schedule.namespace().ok_or(Error::Incomplete("namespace"))?;
    let run = build::build(schedule, at)?;
    let made = api_call::create::<DeserializeGuard<BotRun>>(
        &context.client,
        "creating a run",
        &namespace,
        FIELD_MANAGER,
        &run,
    );
    let name = name_of(&schedule.name_any(), at);
    match made.await {
        Ok(made) => {
            let note = format!("{name} was created; it was due at {at}");
            let reference = Some(made.object_ref(&()));
            happened.push(Reason::RunCreated.happened(EventType::Normal, note, reference));
            runs.extend(ScheduledRun::of(schedule, &made));
        }
        // Created by a reconcile whose answer was lost, or by a clock that was put back since.
        Err(api_call::Error::Refused(_, status))
            if status.code == CONFLICT && status.reason == ALREADY_EXISTS =>
        {
            let note = format!("{name} was there already; it was due at {at}");
            happened.push(Reason::RunCreated.happened(EventType::Normal, note, None));
        }
        Err(api_call::Error::Refused(_, status))
            if matches!(status.code, BAD_REQUEST | FORBIDDEN | INVALID) =>
        {
            return Ok(Some(Cause::of_refusal(&status.message)));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

/// Deletes the ended runs beyond what is kept.
pub(super) async fn clear(
    context: &Context,
    schedule: &BotRunSchedule,
    runs: &[ScheduledRun],
    happened: &mut Vec<Happened>,
) -> Result<(), Error> {
    for run in history::surplus(&schedule.spec, runs) {
        if delete(context, schedule, run).await? {
            let note = format!("{} was deleted, as the history limits say", run.name);
            happened.push(Reason::RunDeleted.happened(EventType::Normal, note, None));
        }
    }
    Ok(())
}

/// Deletes a run, and in the background what belongs to it; false if it was gone.
async fn delete(context: &Context, schedule: &BotRunSchedule, run: &ScheduledRun) -> Result<bool, Error> {
    let namespace = schedule.namespace().ok_or(Error::Incomplete("namespace"))?;
    let runs: Api<BotRun> = Api::namespaced(context.client.clone(), &namespace);
    let this_one = Preconditions { uid: Some(run.uid.clone()), resource_version: None };
    let how = DeleteParams::background().preconditions(this_one);
    match call("deleting a run", runs.delete(&run.name, &how)).await {
        // It is gone, or another one has its name.
        Err(api_call::Error::Refused(_, status)) if matches!(status.code, NOT_FOUND | CONFLICT) => Ok(false),
        done => done.map(|_| true).map_err(Error::from),
    }
}
