//! The result of a run, kept for its export as an object that the run owns.

use super::super::dereference::Belongs;
use super::super::{Context, Error, FIELD_MANAGER};
use super::objects;
use crate::api_call::call;
use crate::armies::Army;
use crate::clock::now_ms;
use botarmy_crds::{BotRun, BotRunStatus, Phase};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};

/// Keeps the whole result of a run that has just come to its end, which its status has no room for, before anybody knows
/// of the end: this operator may be the last that has it. If that fails it is tried again when the export begins, so that
/// no failure keeps the run from its end.
pub(in crate::controller) async fn keep(context: &Context, run: &BotRun, uid: &str, status: &BotRunStatus) {
    let wanted = status.phase == Phase::Finished && !run.spec.run.operation.export.is_empty();
    if !wanted || status.is_refused() {
        return;
    }
    if let Err(error) = write(context, run, uid, status, true).await {
        tracing::warn!("{}: the whole result is not kept for its export yet: {error}", run.name_any());
    }
}

/// Keeps the result of a run that is over, unless it is kept; false if somebody else has its name.
pub(super) async fn is_kept(
    context: &Context,
    run: &BotRun,
    uid: &str,
    status: &BotRunStatus,
) -> Result<bool, Error> {
    write(context, run, uid, status, false).await
}

async fn write(
    context: &Context,
    run: &BotRun,
    uid: &str,
    status: &BotRunStatus,
    anew: bool,
) -> Result<bool, Error> {
    let (maps, name) = (maps(context, run)?, objects::result_name(run, uid));
    let found = call("looking for the result", maps.get_metadata_opt(&name)).await?;
    match found.map(|found| Belongs::to(&found, run, uid)) {
        Some(Belongs::Here) if !anew => return Ok(true),
        Some(Belongs::Here) | None => {}
        Some(Belongs::ToOneBefore | Belongs::Elsewhere) => return Ok(false),
    }
    let (status, is_whole) = whole(context, uid, status);
    let Some(result) = status.told_result() else { return Ok(false) };
    let map = objects::result(run, uid, &result, is_whole)?;
    let manager = PatchParams::apply(FIELD_MANAGER).force();
    call("keeping the result", maps.patch(&name, &manager, &Patch::Apply(&map))).await?;
    Ok(true)
}

/// The status with all of the result, as long as the army is known, and whether it has all.
fn whole(context: &Context, uid: &str, status: &BotRunStatus) -> (BotRunStatus, bool) {
    let has_begun = status.result.is_some();
    let ended = status.completion_time.as_ref().and_then(|at| u64::try_from(at.0.as_millisecond()).ok());
    let all_of = |army: &Army| match ended {
        // Its load has no end of its own: it would grow with each try.
        Some(ended) if !army.is_over() => army.final_result(ended),
        _ => army.final_result(now_ms()),
    };
    match context.armies.lock().get(uid).filter(|_| has_begun).map(all_of) {
        Some(result) => (BotRunStatus { result: Some(result), ..status.clone() }, true),
        // Of a run that never began there is nothing to be left out.
        None => (status.clone(), !has_begun),
    }
}

/// Whether what is kept is not all of the result.
pub(super) async fn is_shortened(context: &Context, run: &BotRun, uid: &str) -> Result<bool, Error> {
    let (maps, name) = (maps(context, run)?, objects::result_name(run, uid));
    let found = call("looking for the result", maps.get_metadata_opt(&name)).await?;
    Ok(found.is_some_and(|found| found.annotations().contains_key(objects::SHORTENED)))
}

fn maps(context: &Context, run: &BotRun) -> Result<Api<ConfigMap>, Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    Ok(Api::namespaced(context.client.clone(), &namespace))
}
