//! Step 2: what the spec says, checked; no client needed.

use super::Context;
use super::dereference::{Found, is_owned};
use super::template;
use crate::armies::Army;
use crate::coordinator::now_ms;
use base64::Engine;
use botarmy_crds::BotRun;
use botarmy_spec::data::Source;
use botarmy_spec::file::MAX_RUN_NAME;
use botarmy_spec::{BotRunSpec, LoadSpec, Run, rate};
use botarmy_tree::{Actions, Finding, Path};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A run that can be scheduled.
pub(super) struct Accepted {
    /// Its Job was made already.
    pub(super) has_job: bool,
    /// The runners, as it was accepted.
    pub(super) runners: u32,
    /// The pod template of the spec, as it was accepted.
    pub(super) template: Value,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a Job of this name exists and belongs to something else; give the run another name")]
    ForeignJob,
    #[error(
        "a run's name becomes part of its pods' names; keep it to {MAX_RUN_NAME} characters without dots"
    )]
    Name,
    #[error(
        "{0:?} lies beside the run's file, where a pod finds nothing; put the rows into a ConfigMap and write configMap: {{name: NAME, key: KEY}}, or mount a volume by the template and write the absolute path"
    )]
    RelativeFile(String),
}

/// Accepts the run, making its army if it has none, or tells all that is wrong.
pub(super) fn validate(
    context: &Context,
    run: &BotRun,
    uid: &str,
    found: &mut Found,
) -> Result<Accepted, Vec<Finding>> {
    let path = Path::top().field("spec");
    let spec = canonical(&run.spec.run);
    let job = found.evidence.job.as_ref();
    let mut armies = context.armies.lock();
    if let Some(army) = armies.get_mut(uid) {
        // The plan is frozen; live are the number of bots, the rate of arrivals and the stop.
        army.bots = spec.load.bots.and_then(|b| u32::try_from(b).ok()).unwrap_or(1);
        let rate = spec.load.arrival_rate.as_ref().map(|rate| rate::from_value(&rate.to_value()));
        match rate {
            Some(Ok(rate)) => army.set_rate(rate, now_ms()),
            Some(Err(error)) => tracing::warn!("{}: spec.arrivalRate: {error}", run.name_any()),
            None => {}
        }
        army.stop |= spec.stop;
        return Ok(accepted(job, army.run.runners, spec));
    }
    let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
    let plan_of = |spec: &BotRunSpec| Run::check(spec, &name, &path, &Actions::built_in());
    let mut findings = check_objects(run, uid, &spec, job, &path);
    let accepted_spec = found.checkpoint.as_ref().map_or(&spec, |c| &c.spec);
    let plan = plan_of(accepted_spec).map_err(|f| findings.extend(f)).ok();
    findings.extend(plan.as_ref().and_then(|plan| plan.missing_target(&path)));
    findings.extend(plan.iter().flat_map(|plan| relative_files(plan, &path)));
    let Some(plan) = plan.filter(|_| findings.is_empty()) else { return Err(findings) };
    let runners = plan.runners;
    let army = match found.checkpoint.take() {
        Some(checkpoint) => Army::restore(&namespace, &name, plan, checkpoint),
        None => Army::new(&namespace, &name, &spec, plan),
    };
    armies.insert(uid.to_owned(), army);
    Ok(accepted(job, runners, spec))
}

fn accepted(job: Option<&Job>, runners: u32, spec: BotRunSpec) -> Accepted {
    Accepted { has_job: job.is_some(), runners, template: Value::Object(spec.template) }
}

/// The spec in the form that a file has after it was read.
pub fn canonical(spec: &BotRunSpec) -> BotRunSpec {
    let mut spec = spec.clone();
    for map in [&mut spec.trees, &mut spec.custom, &mut spec.template] {
        let mut value = Value::Object(std::mem::take(map));
        botarmy_tree::canonical::canonical(&mut value);
        if let Value::Object(canonical) = value {
            *map = canonical;
        }
    }
    spec
}

/// A pod has no files beside the spec.
fn relative_files(plan: &Run, path: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, scenario) in plan.scenarios.iter().enumerate() {
        let place = if scenario.name.is_some() { path.field("scenarios").index(i) } else { path.clone() };
        if let Some(Source::File(name)) = scenario.data.as_ref().map(|data| &data.source)
            && !name.starts_with('/')
        {
            findings
                .push(Finding::new(&place.field("data").field("file"), &Error::RelativeFile(name.clone())));
        }
    }
    findings
}

fn check_objects(run: &BotRun, uid: &str, spec: &BotRunSpec, job: Option<&Job>, path: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = run.name_any();
    if name.len() > MAX_RUN_NAME || name.contains('.') {
        findings.push(Finding::new(&Path::top().field("metadata").field("name"), &Error::Name));
    }
    if job.is_some_and(|job| !is_owned(job, uid)) {
        findings.push(Finding::new(&Path::top().field("metadata").field("name"), &Error::ForeignJob));
    }
    findings.extend(template::check(&spec.template, &path.field("template")));
    findings
}

/// A digest (SHA-256, base64 for URLs) of what may not change once it was accepted.
pub(super) fn digest(spec: &BotRunSpec) -> String {
    let live = LoadSpec { bots: None, arrival_rate: None, ..spec.load.clone() };
    let frozen = BotRunSpec { load: live, stop: false, ..spec.clone() };
    let json = serde_json::to_vec(&frozen).unwrap_or_default();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(json))
}
