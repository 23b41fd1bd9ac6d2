//! What becomes of a run that is over: its result is taken where it shall be, its pods go, and in the end it does.

use super::dereference::Found;
use super::policy::ttl::{self, Export};
use super::{AGAIN, Context, Error, apply, conditions, export, status, validate};
use botarmy_crds::BotRun;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use std::time::Duration;

/// How long after the end of a run its pods are waited for.
const LONGEST_LEAVE: SignedDuration = SignedDuration::from_mins(10);

/// A run that is over is looked at until its result is exported and its pods are gone, and until it is to be deleted.
pub(super) async fn after_the_end(
    context: &Context,
    run: &BotRun,
    uid: &str,
    found: &mut Found,
) -> Result<Action, Error> {
    // Bots that nobody waits for are at work until it is gone, whatever becomes of the export; nor does that wait for it.
    let left_over = found.left_over(run);
    let discarded = match left_over {
        Some(job) => apply::discard(context, job).await,
        None => Ok(()),
    };
    let mut status = status::of_the_end(run);
    let export = Box::pin(export::follow(context, run, uid, &mut status)).await?;
    status::write(context, run, status).await?;
    discarded?;
    let is_left = found.runners_are_gone() || has_been_over_for_long(run) || found.unreadable.is_some();
    if left_over.is_some() || is_left {
        // All of the result is here alone, until it is kept for its export.
        if export != Export::Unkept {
            context.leave(uid);
        }
        return until_deleted(context, run, uid, export).await;
    }
    // A runner that has not heard yet that its measures are safe must still be answered.
    if let Err(refused) = validate::validate(context, run, uid, found) {
        tracing::debug!("{}: {refused:?}", run.name_any());
    }
    Ok(Action::requeue(context.look_again()))
}

/// Whether a run ended so long ago that nobody waits for its pods any more: a container that the user has added to them
/// may never end.
pub(super) fn has_been_over_for_long(run: &BotRun) -> bool {
    let ended = run.status.as_ref().and_then(|s| s.completion_time.as_ref()).map(|t| t.0);
    ended.is_some_and(|ended| Timestamp::now().duration_since(ended) > LONGEST_LEAVE)
}

/// Deletes a run when its time is over; a run that is kept for ever is not looked at again.
async fn until_deleted(context: &Context, run: &BotRun, uid: &str, export: Export) -> Result<Action, Error> {
    if matches!(export, Export::Unkept | Export::UnderWay) {
        return Ok(Action::requeue(AGAIN));
    }
    let status = run.status.as_ref();
    let ended = status.and_then(|s| s.completion_time.as_ref()).map(|t| t.0);
    let refused =
        || status.and_then(|s| Some(conditions::find(s, conditions::COMPLETE)?.last_transition_time.0));
    let ttl = run.spec.run.operation.ttl_seconds_after_finished.as_ref();
    match ttl::remaining(
        ttl,
        status.and_then(|s| s.outcome),
        ended.or_else(refused),
        export,
        Timestamp::now(),
    ) {
        None => Ok(Action::await_change()),
        Some(Duration::ZERO) => {
            apply::delete(context, run, uid).await?;
            Ok(Action::await_change())
        }
        Some(rest) => Ok(Action::requeue(rest)),
    }
}
