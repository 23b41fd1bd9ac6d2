//! Step 1: reads what there is already of the run.

use super::{Context, Error, call};
use crate::armies::Checkpoint;
use crate::checkpoint;
use botarmy_crds::BotRun;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt};

/// What there is.
pub(super) struct Found {
    /// The run's Job, if it was made.
    pub(super) job: Option<Job>,
    /// What an earlier operator wrote, if this one does not know the run.
    pub(super) checkpoint: Option<Checkpoint>,
}

impl Found {
    /// Why the Job was given up, if it was.
    pub(super) fn job_failure(&self) -> Option<String> {
        let conditions = self.job.as_ref()?.status.as_ref()?.conditions.as_ref()?;
        let failed = conditions.iter().find(|c| c.type_ == "Failed" && c.status == "True")?;
        let said = |text: &Option<String>| text.clone().unwrap_or_default();
        Some(format!("{}: {}", said(&failed.reason), said(&failed.message)))
    }

    /// Whether no runner will check in any more.
    pub(super) fn runners_are_gone(&self) -> bool {
        let conditions = self.job.as_ref().and_then(|j| j.status.as_ref()?.conditions.as_ref());
        let ended = conditions.is_some_and(|all| {
            all.iter().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
        });
        self.job.is_none() || ended
    }
}

pub(super) async fn dereference(context: &Context, run: &BotRun, uid: &str) -> Result<Found, Error> {
    let namespace = run.namespace().ok_or(Error::Incomplete("namespace"))?;
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let job = call("reading the Job", jobs.get_opt(&run.name_any())).await?;
    let known = context.armies.lock().contains_key(uid);
    let checkpoint = match (&job, known) {
        (Some(_), false) => checkpoint::read(context.client.clone(), &namespace, &run.name_any()).await?,
        _ => None,
    };
    Ok(Found { job, checkpoint })
}
