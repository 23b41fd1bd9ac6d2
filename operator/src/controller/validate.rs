//! Step 2: what the spec says, checked; no client needed.

use super::Context;
use super::dereference::Found;
use super::template;
use crate::armies::Army;
use crate::clock::now_ms;
use botarmy_crds::BotRun;
use botarmy_spec::data::Source;
use botarmy_spec::file::MAX_RUN_NAME;
use botarmy_spec::{BotRunSpec, LossPolicy, Run, rate};
use botarmy_tree::yaml::MAX_NESTING;
use botarmy_tree::{Actions, Finding, Path};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::{Map, Value};

/// A run that can be scheduled.
pub(super) struct Accepted {
    /// The runners, as it was accepted.
    pub(super) runners: u32,
    /// What is done about a lost runner.
    pub(super) loss_policy: LossPolicy,
    /// What a Job of it is made by; none if it has one already.
    pub(super) plan: Option<BotRunSpec>,
}

impl Accepted {
    /// Whether its Job was made already.
    pub(super) fn has_job(&self) -> bool {
        self.plan.is_none()
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "{0} exists under a name that the run needs, and belongs to something else; give the run another name"
    )]
    Foreign(String),
    #[error(
        "a run's name becomes part of its pods' names; keep it to {MAX_RUN_NAME} characters without dots"
    )]
    Name,
    #[error(
        "{0:?} lies beside the run's file, where a pod finds nothing; put the rows into a ConfigMap and write configMap: {{name: NAME, key: KEY}}, or mount a volume by the template and write the absolute path"
    )]
    RelativeFile(String),
    #[error(
        "nested deeper than {MAX_NESTING} levels; make it flatter, a tree by moving its inner part into one of its own and calling it with subtree"
    )]
    TooDeep,
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
    context.armies.beat(now_ms());
    if let Some(known) = known(context, uid, job, &spec) {
        return Ok(known);
    }
    let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
    let mut findings = check_objects(run, found.name_is_taken);
    let plan = match &found.checkpoint {
        Some(checkpoint) => check_accepted(&checkpoint.spec, &name, &path),
        None => check_spec(&spec, &name, &path),
    };
    let plan = plan.map_err(|f| findings.extend(f)).ok();
    // What has begun goes on, though others were not let in any more.
    if found.checkpoint.is_none() {
        findings.extend(plan.iter().flat_map(|plan| context.limits.check(plan, &namespace, &path)));
    }
    let Some(mut plan) = plan.filter(|_| findings.is_empty()) else { return Err(findings) };
    plan.allowed = context.limits.targets(&namespace);
    let epoch = context.leadership.now().epoch().unwrap_or_default();
    let mut army = match found.checkpoint.take() {
        Some(checkpoint) => Army::restore(&namespace, &name, plan, checkpoint, epoch, now_ms()),
        None => Army::new(&namespace, &name, &spec, plan, epoch, now_ms()),
    };
    army.draws_on(context.armies.budget());
    // Before a runner is answered: what was changed while nobody led, or was not written yet, holds from the first word.
    obey(context, &mut army, &spec, job);
    let accepted = accepted(job, &army);
    context.armies.lock().insert(uid.to_owned(), army);
    Ok(accepted)
}

/// What is known of a run that was looked at before, after what may change has been taken over from its spec.
fn known(context: &Context, uid: &str, job: Option<&Job>, spec: &BotRunSpec) -> Option<Accepted> {
    let mut armies = context.armies.lock();
    // As long as it waits nothing of it is frozen.
    if armies.get(uid).is_some_and(|army| !army.admitted && job.is_none() && !army.is_of(spec)) {
        armies.remove(uid);
    }
    let army = armies.get_mut(uid)?;
    army.look(now_ms());
    obey(context, army, spec, job);
    Some(accepted(job, army))
}

/// The plan is frozen; live are the number of bots, the rate of arrivals, the stop, and whether it stands still.
fn obey(context: &Context, army: &mut Army, spec: &BotRunSpec, job: Option<&Job>) {
    let bots = spec.load.bots.and_then(|b| u32::try_from(b).ok()).unwrap_or(1);
    army.bots = bots.min(context.limits.most_bots(&army.namespace).unwrap_or(u32::MAX));
    let rate = spec.load.arrival_rate.as_ref().map(|rate| rate::from_value(&rate.to_value()));
    match rate {
        Some(Ok(rate)) => army.set_rate(rate, now_ms()),
        Some(Err(error)) => tracing::warn!("{}: spec.arrivalRate: {error}", army.name),
        None => {}
    }
    army.stop |= spec.stop;
    let job_is_suspended = job.and_then(|job| job.spec.as_ref()?.suspend).unwrap_or_default();
    // What is stopped has nothing to stand still for before it begins.
    let stands_still = spec.operation.suspend && !(army.stop && army.start_at_ms().is_none());
    army.suspend(stands_still, job_is_suspended, now_ms());
}

/// By the spec as it was accepted: a Job that is made anew in mid-run is that of the same plan.
fn accepted(job: Option<&Job>, army: &Army) -> Accepted {
    Accepted {
        runners: army.run.runners,
        loss_policy: army.loss_policy(),
        plan: job.is_none().then(|| army.spec().clone()),
    }
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

/// What a spec that lies at `path` says, or all that is wrong with it on a cluster.
pub fn check_spec(spec: &BotRunSpec, name: &str, path: &Path) -> Result<Run, Vec<Finding>> {
    check(spec, name, path, Run::lacking)
}

/// The same of a spec that was accepted before, maybe by an older version: what its bots lack is theirs to tell.
fn check_accepted(spec: &BotRunSpec, name: &str, path: &Path) -> Result<Run, Vec<Finding>> {
    check(spec, name, path, |_, _| Vec::new())
}

fn check(
    spec: &BotRunSpec,
    name: &str,
    path: &Path,
    lacking: impl Fn(&Run, &Path) -> Vec<Finding>,
) -> Result<Run, Vec<Finding>> {
    let mut findings = too_deep(spec, path);
    if !findings.is_empty() {
        // What lies deepest may have been cut off when it was read, so that nothing more can be said.
        return Err(findings);
    }
    findings.extend(template::check(&spec.template, &path.field("template")));
    let plan = Run::check(spec, name, path, &Actions::built_in()).map_err(|f| findings.extend(f)).ok();
    findings.extend(plan.iter().flat_map(|plan| lacking(plan, path)));
    findings.extend(plan.iter().flat_map(|plan| relative_files(plan, path)));
    plan.filter(|_| findings.is_empty()).ok_or(findings)
}

/// What is open may be as deep as in a file: whoever reads it further goes no deeper.
fn too_deep(spec: &BotRunSpec, path: &Path) -> Vec<Finding> {
    // Around an entry lie its field, the spec and the object.
    let deepest = |map: &Map<String, Value>| 3 + map.values().map(levels).max().unwrap_or_default();
    let open = [("trees", &spec.trees), ("custom", &spec.custom), ("template", &spec.template)];
    let deep = open.into_iter().filter(|(_, map)| deepest(map) > MAX_NESTING);
    deep.map(|(field, _)| Finding::new(&path.field(field), &Error::TooDeep)).collect()
}

fn levels(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Object(fields) => fields.values().map(levels).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or_default()
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

fn check_objects(run: &BotRun, name_is_taken: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = run.name_any();
    if name.len() > MAX_RUN_NAME || name.contains('.') {
        findings.push(Finding::new(&Path::top().field("metadata").field("name"), &Error::Name));
    }
    if name_is_taken {
        findings.push(foreign("a Job"));
    }
    findings
}

/// What is wrong with a run when somebody else's object has a name that it needs.
pub(super) fn foreign(object: &str) -> Finding {
    Finding::new(&Path::top().field("metadata").field("name"), &Error::Foreign(object.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_bots_lack_is_asked_of_new_runs_alone() {
        let path = Path::top().field("spec");
        let spec = json!({"trees": {"T": {"log": "{{ env.REGION }}"}}});
        let spec: BotRunSpec = serde_json::from_value(spec).unwrap();
        assert!(check_spec(&spec, "a", &path).unwrap_err()[0].to_string().contains("env.REGION"));
        check_accepted(&spec, "a", &path).unwrap();
        let spec: BotRunSpec =
            serde_json::from_value(json!({"trees": {"T": {"log": 1, "wait": 1}}})).unwrap();
        check_accepted(&spec, "a", &path).unwrap_err();
    }
}
