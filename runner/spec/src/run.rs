//! A spec that makes sense: its tree compiled, its times and thresholds read.

mod check;
mod judge;
mod lacking;
mod once;
mod overrides;
mod threshold;

pub use once::{Once, Part};
pub use overrides::Overrides;
pub use threshold::RunThreshold;

use crate::data::{Data, Error as DataError, RowsFor};
use crate::env::Secrets;
use crate::export;
use crate::load::{Load, Model, whole};
use crate::rate;
use crate::sources;
use crate::targets::Targets;
use crate::types::BotRunSpec;
use botarmy_tree::notation::{self, Trees};
use botarmy_tree::template::RunScope;
use botarmy_tree::{Actions, Finding, Findings, Path, Plan, compile, duration, together};
use check::Check;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A run that can be started.
#[derive(Debug, Clone)]
pub struct Run {
    /// The name of the run.
    pub name: String,
    /// Its populations; at least one.
    pub scenarios: Vec<Scenario>,
    /// Over how many pods the bots are spread.
    pub runners: u32,
    /// What must hold.
    pub thresholds: Vec<RunThreshold>,
    /// A time at the beginning whose measures are left out.
    pub warmup: Duration,
    /// How long what is going on may take to end once the run is over.
    pub grace_period: Duration,
    /// How many measured actions a second are begun at most.
    pub max_rate: Option<f64>,
    /// What is walked once before all else.
    pub setup: Option<Once>,
    /// What is walked once after all else.
    pub teardown: Option<Once>,
    /// Addresses of names, in the place of what DNS says.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// How long it may wait for its turn.
    pub queue_deadline: Option<Duration>,
    /// How long it may wait for its runners, if it says so itself.
    pub start_deadline: Option<Duration>,
    /// How long it may take in all.
    pub deadline: Option<Duration>,
    /// How long a runner goes on by itself when it cannot reach its coordinator.
    pub lease: Duration,
    /// Whom its bots may talk to; anybody if it is not said. Not part of a spec: whoever runs it decides.
    pub allowed: Option<Targets>,
    /// What none of its logs and reports may show. Not part of a spec: whoever finds the values knows them.
    pub secrets: Secrets,
}

/// A population of bots.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name; none when it is the only one.
    pub name: Option<String>,
    /// The compiled tree, with what is the same for all bots put in.
    pub plan: Plan,
    /// What templates see of the run.
    pub scope: RunScope,
    /// How its bots come and go.
    pub load: Load,
    /// How long after the start of the run it begins.
    pub start_delay: Duration,
    /// The rows that its bots are given.
    pub data: Option<Data>,
}

/// How fast bots that ended are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refill {
    /// At most so many in an interval.
    pub max: u32,
    /// The interval.
    pub every: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0:?} is not an address; write http://HOST:PORT or https://HOST:PORT")]
    Target(String),
    #[error("{0} goes to {{{{ target }}}}, and no target is given; add it, or --target on the command line")]
    NoTarget(String),
    #[error("{0}")]
    Duration(#[from] duration::Error),
    #[error("{0}")]
    Rate(#[from] rate::Error),
    #[error("the rate must be above zero")]
    NoRate,
    #[error("the time must be above zero")]
    NoTime,
    #[error("a runner goes on by itself for {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS} seconds, not {0}")]
    Lease(i32),
    #[error("count and botsPerRunner exclude each other; keep one")]
    Runners,
    #[error("{0} runners for {1} bots; at most one runner for each bot and 1000 in all are allowed")]
    TooManyRunners(u32, u32),
    #[error(
        "maxBots is {1} for {0} runners, so that some could let nobody in; raise it, or take fewer runners"
    )]
    NoPlace(u32, u32),
    #[error("at most {MAX_BOTS} bots are allowed over all scenarios, not {0}")]
    TooManyBots(u64),
    #[error("the name {0:?} is given twice; keep one")]
    Twice(String),
    #[error("the name {0:?} is not one of letters, digits and _, beginning with no digit")]
    EnvName(String),
    #[error("value and valueFrom exclude each other; keep one")]
    TwoValues,
    #[error("a value comes from a secretKeyRef, a configMapKeyRef or a fieldRef; give one of them")]
    ValueSource,
    #[error("{0:?} is not a name of a scenario; write letters, digits, - and _")]
    ScenarioName(String),
    #[error("{0} and scenarios exclude each other; move it into the scenarios")]
    WithScenarios(String),
    #[error("{0}")]
    Threshold(botarmy_report::ParseError),
    #[error("no action of the tree has the row {0:?}; there are {1}")]
    NoRow(String, String),
    #[error("there is no {0} {1:?}; {2}")]
    NoSuch(&'static str, String, String),
    #[error("the stage {0:?} takes no time, so that nothing is measured in it; name the one after it, {1:?}")]
    NoTimeInStage(String, String),
    #[error(
        "the stage {0:?} is over after {1:?}, within the warm-up of {2:?}, so that nothing is measured in it; shorten the warm-up, or name a later stage"
    )]
    StageInWarmup(String, Duration, Duration),
    #[error("delayAbort is for a threshold with abortOnFail: true; add that, or leave it out")]
    DelayWithoutAbort,
    #[error("{0:?} is not an address; write one such as 10.0.0.1 or fd00::1")]
    Ip(String),
    #[error("there is no name for this address; give at least one")]
    NoHostNames,
    #[error(
        "{0:?} has a query or a fragment, where paths are added behind; leave it out, and write it into the requests"
    )]
    TargetTail(String),
    #[error(
        "a name or a password in the target would show wherever the target does; leave it out, and give the requests an Authorization header"
    )]
    TargetUser,
    #[error("{{{{ {name} }}}} has no value in {seen_by}, where there is {known}; add it to {field}{or}")]
    Unset { name: String, seen_by: String, known: String, field: &'static str, or: String },
    #[error("{0:?} is not a name of a host")]
    HostName(String),
    #[error("the warm-up of {0:?} leaves nothing of a run of {1:?}; make it shorter")]
    AllWarmup(Duration, Duration),
}

/// Most bots of a run.
pub const MAX_BOTS: u32 = 1_000_000;
/// Most runners of a run.
pub const MAX_RUNNERS: u32 = 1000;
/// How long a runner goes on without its coordinator, unless it is said.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(120);
/// A shorter one would end with every operator that is exchanged.
const MIN_LEASE_SECONDS: i32 = 30;
const MAX_LEASE_SECONDS: i32 = 3600;
/// How long what is going on may take to end, unless it is said.
pub const DEFAULT_GRACE_PERIOD: Duration = Duration::from_secs(30);

impl Run {
    /// Checks a spec that lies at `path` of its document. All mistakes are told at once.
    pub fn check(
        spec: &BotRunSpec,
        name: &str,
        path: &Path,
        actions: &Actions,
    ) -> Result<Self, Vec<Finding>> {
        if !spec.sources.is_empty() {
            // Their trees are not known here.
            let mut findings = Findings::default();
            findings.later(sources::check(&spec.sources, path));
            return Self::with_plans(spec, name, path, findings, false, |_, _| Ok(Some(Plan::default())));
        }
        let place = path.field("trees");
        let trees = notation::read(&Value::Object(spec.trees.clone()), &place, actions);
        let mut findings = Findings::default();
        let trees = trees.map_err(|f| findings.later(f)).ok();
        Self::with_plans(spec, name, path, findings, true, |tree, path| {
            plan_of(spec, trees.as_ref(), tree, path)
        })
    }

    /// Checks all but the trees, for a plan that comes from elsewhere (an editor project).
    pub fn with_plan(
        spec: &BotRunSpec,
        name: &str,
        path: &Path,
        plan: Result<Plan, Vec<Finding>>,
    ) -> Result<Self, Vec<Finding>> {
        let mut findings = Findings::default();
        let plan = plan.map_err(|f| findings.later(f)).ok();
        Self::with_plans(spec, name, path, findings, true, |_, _| Ok(plan.clone()))
    }

    /// `plan_of` compiles a tree of a name; none when what is wrong with it has been told. Thresholds are held against
    /// the rows of the plans, if these are `known`.
    fn with_plans(
        spec: &BotRunSpec,
        name: &str,
        path: &Path,
        findings: Findings,
        known: bool,
        plan_of: impl Fn(Option<&str>, &Path) -> Result<Option<Plan>, Vec<Finding>>,
    ) -> Result<Self, Vec<Finding>> {
        let mut check = Check { path, findings };
        check.target(spec);
        check.findings.later(export::check(&spec.operation.export, path));
        let scope = RunScope {
            run: name.to_owned(),
            // `{{ target }}/path` has one slash, however the target is written.
            target: spec.target.as_ref().map(|t| t.trim_end_matches('/').to_owned()),
            env: check.env(&spec.env, path),
            custom: spec.custom.clone(),
        };
        let setup = check.once(Part::Setup, spec, &scope, &plan_of);
        let teardown = check.once(Part::Teardown, spec, &scope, &plan_of);
        let scenarios = check.scenarios(spec, &scope, plan_of);
        let runners = check.runners(spec, &scenarios);
        let whole = check.findings.is_empty();
        let run = Self {
            name: name.to_owned(),
            runners,
            thresholds: check.thresholds(spec, whole.then_some(&*scenarios), known),
            warmup: check.warmup(spec, &scenarios),
            grace_period: check
                .time("gracePeriod", spec.grace_period.as_ref())
                .unwrap_or(DEFAULT_GRACE_PERIOD),
            max_rate: check.max_rate(spec),
            hosts: check.hosts(spec),
            queue_deadline: check.time_above_zero("queueDeadline", spec.operation.queue_deadline.as_ref()),
            start_deadline: check.time_above_zero("startDeadline", spec.operation.start_deadline.as_ref()),
            deadline: check.time_above_zero("deadline", spec.operation.deadline.as_ref()),
            lease: check.lease(spec),
            allowed: None,
            secrets: Secrets::default(),
            setup,
            teardown,
            scenarios,
        };
        // What a mistake leaves out must not be missed a second time.
        if whole {
            check.findings.later(run.lacking_data(path));
            check.findings.later(together::uneven_barriers(run.plans().flat_map(Plan::leaves)));
        }
        check.findings.or(run)
    }

    /// All that its bots walk.
    fn plans(&self) -> impl Iterator<Item = &Plan> {
        let once = [&self.setup, &self.teardown].into_iter().flatten();
        self.scenarios.iter().map(|s| &s.plan).chain(once.map(|o| &o.plan))
    }

    /// How many bots shall be alive at once, if that number is fixed and can be changed live.
    pub fn live_bots(&self) -> Option<u32> {
        match self.scenarios.as_slice() {
            [Scenario { name: None, load: Load { model: Model::Closed(closed), .. }, .. }]
                if closed.bots.is_constant() =>
            {
                Some(whole(closed.bots.peak()))
            }
            _ => None,
        }
    }

    /// The rate at which bots arrive, if it can be changed.
    pub fn live_rate(&self) -> Option<f64> {
        match self.scenarios.as_slice() {
            [Scenario { name: None, load: Load { model: Model::Open(open), .. }, .. }]
                if open.rate.is_constant() =>
            {
                Some(open.rate.peak())
            }
            _ => None,
        }
    }

    /// What the rows of a scenario lack, once they are read: enough of them, or a column that its tree
    /// uses. `path` is that of the spec.
    pub fn lacking_data(&self, path: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (i, scenario) in self.scenarios.iter().enumerate() {
            let place = if scenario.name.is_some() { path.field("scenarios").index(i) } else { path.clone() };
            if let Some(data) = &scenario.data {
                let too_few: Option<DataError> = data.too_few(scenario.load.least_rows(), self.runners);
                findings.extend(too_few.map(|e| Finding::new(&place.field("data"), &e)));
            }
            let plan = &scenario.plan;
            let rows = RowsFor::Bots(scenario.data.as_ref());
            findings.extend(crate::data::unknown_columns(&rows, plan.leaves(), plan.frames(), path));
        }
        findings
    }

    /// When all scenarios are over at the latest, if that is known.
    pub fn duration(&self) -> Option<Duration> {
        let ends = self.scenarios.iter().map(|s| s.load.duration.map(|d| s.start_delay + d));
        ends.collect::<Option<Vec<Duration>>>()?.into_iter().max()
    }
}

/// Compiles a tree; its mistakes have been told when there are no trees.
fn plan_of(
    spec: &BotRunSpec,
    trees: Option<&Trees>,
    named: Option<&str>,
    path: &Path,
) -> Result<Option<Plan>, Vec<Finding>> {
    // The names are known even of trees that are wrong inside.
    let entry = compile::entry(spec.trees.keys(), named).map_err(|f| vec![f.within(&path.field("tree"))]);
    match trees {
        Some(trees) => Ok(Some(Plan::compile_entry(trees, entry?)?.with_seed(seed(spec)))),
        None if spec.trees.is_empty() => Ok(None),
        None => entry.map(|_| None),
    }
}

/// Compiles the tree that a spec at `path` of its document starts with.
pub fn plan(spec: &BotRunSpec, path: &Path, actions: &Actions) -> Result<Plan, Vec<Finding>> {
    let mut findings = Findings::default();
    let trees = notation::read(&Value::Object(spec.trees.clone()), &path.field("trees"), actions);
    let trees = trees.map_err(|f| findings.later(f)).ok();
    let first = spec.scenarios.first().filter(|_| spec.tree.is_none());
    let named = spec.tree.as_deref().or(first.and_then(|s| s.tree.as_deref()));
    let plan = plan_of(spec, trees.as_ref(), named, path);
    let plan = plan.map_err(|f| findings.later(f)).ok().flatten();
    match plan {
        Some(plan) if findings.is_empty() => Ok(plan),
        _ => Err(findings.into_vec()),
    }
}

fn seed(spec: &BotRunSpec) -> u64 {
    spec.seed.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: &Value) -> Result<Run, Vec<String>> {
        let spec: BotRunSpec = serde_json::from_value(value.clone()).expect("a spec");
        let run = Run::check(&spec, "demo", &Path::top().field("spec"), &Actions::built_in());
        run.map_err(|f| f.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_and_all_that_is_given() {
        let run = check(&json!({"trees": {"T": {"wait": 1}}})).expect("a run");
        let load = &run.scenarios[0].load;
        assert_eq!((run.live_bots(), run.runners, run.duration(), load.iterations), (Some(1), 1, None, None));
        assert_eq!((run.warmup, run.grace_period), (Duration::ZERO, DEFAULT_GRACE_PERIOD));
        let run = check(&json!({
            "trees": {"A": {"log": "{{ env.REGION }}"}, "B": "done"}, "tree": "A", "bots": 500, "runners": {"botsPerRunner": 200},
            "duration": "5m", "iterations": 9, "refill": {"max": 50, "every": 5}, "env": [{"name": "REGION", "value": "eu"}],
            "thresholds": [{"expect": "p(95) < 500ms", "action": "log"}],
        }))
        .expect("a run");
        assert_eq!((run.runners, run.duration()), (3, Some(Duration::from_secs(300))));
        let Model::Closed(closed) = &run.scenarios[0].load.model else { panic!("{run:?}") };
        assert_eq!(closed.refill, Some(Refill { max: 50, every: Duration::from_secs(5) }));
    }

    #[test]
    fn every_mistake_is_told() {
        let findings = check(&json!({
            "trees": {"T": {"wait": -1}}, "target": "shop:80", "bots": 0, "duration": "0s", "refill": {"max": 1, "every": "x"},
            "runners": {"count": 1, "botsPerRunner": 1}, "env": [{"name": "A"}, {"name": "A"}, {"name": "1"}],
            "thresholds": [{"expect": "p(95) < many"}],
        }))
        .expect_err("mistakes");
        for part in [
            "spec.trees.T.wait: ",
            "spec.target: \"shop:80\" is not an address",
            "spec.bots: a run starts with at least one bot",
            "spec.duration: the time must be above zero",
            "spec.refill.every: ",
            "spec.runners: count and botsPerRunner exclude each other",
            "spec.env[1].name: the name \"A\" is given twice",
            "spec.env[2].name: the name \"1\" is not",
            "spec.thresholds[0].expect: ",
        ] {
            assert!(findings.iter().any(|f| f.starts_with(part)), "{part} is not in {findings:#?}");
        }
        assert_eq!(findings.len(), 9, "{findings:#?}");
    }

    #[test]
    fn a_lease_has_its_bounds() {
        let lease = |seconds: i32| check(&json!({"trees": {"T": "done"}, "leaseSeconds": seconds}));
        assert_eq!(check(&json!({"trees": {"T": "done"}})).expect("a run").lease, DEFAULT_LEASE);
        for seconds in [30, 3600] {
            let expected = Duration::from_secs(u64::try_from(seconds).expect("above zero"));
            assert_eq!(lease(seconds).expect("a run").lease, expected);
        }
        for seconds in [-1, 0, 29, 3601] {
            let told = format!(
                "spec.leaseSeconds: a runner goes on by itself for 30 to 3600 seconds, not {seconds}"
            );
            assert_eq!(lease(seconds).expect_err("a mistake"), [told]);
        }
    }

    #[test]
    fn the_tree_the_rows_and_the_runners_must_exist() {
        for (value, part) in [
            (json!({"trees": {"A": "done", "B": "done"}}), "spec.tree: the document has several trees"),
            (json!({"trees": {"A": "done"}, "tree": "C"}), "spec.tree: there is no tree named \"C\""),
            (
                json!({"trees": {"A": "done"}, "thresholds": [{"expect": "count > 1", "action": "x"}]}),
                "spec.thresholds[0].action: no action",
            ),
            (
                json!({"trees": {"A": {"sequence": ["done"], "label": "G"}}, "thresholds": [{"expect": "count > 1", "group": "H"}]}),
                "spec.thresholds[0].group: there is no group \"H\"; there are G",
            ),
            (
                json!({"trees": {"A": {"sequence": [{"sequence": ["done"], "label": "G"}, {"wait": 1}]}},
                       "thresholds": [{"expect": "count > 1", "group": "G", "action": "wait"}]}),
                "spec.thresholds[0].action: no action of the tree has the row \"wait\"; there are done",
            ),
            (
                json!({"trees": {"A": "done"}, "thresholds": [{"expect": "count > 1", "scenario": "H"}]}),
                "spec.thresholds[0].scenario: there is no scenario \"H\"; the run has no scenarios",
            ),
            (
                json!({"trees": {"A": "done"}, "stages": [{"bots": 2, "duration": 1}, {"bots": 2, "duration": 1, "name": "up"}],
                       "thresholds": [{"expect": "count > 1", "stage": "peak"}]}),
                "spec.thresholds[0].stage: there is no stage \"peak\"; there are 1, up",
            ),
            (
                json!({"trees": {"A": "done"}, "stages": [{"bots": 2, "duration": 0, "name": "jump"}, {"bots": 2, "duration": 1}],
                       "thresholds": [{"expect": "count > 1", "stage": "jump"}, {"expect": "count > 1", "stage": "2"}]}),
                "spec.thresholds[0].stage: the stage \"jump\" takes no time, so that nothing is measured in it; name the one after it, \"2\"",
            ),
            (
                json!({"trees": {"A": "done"}, "warmup": "3s",
                       "stages": [{"bots": 2, "duration": 2, "name": "up"}, {"bots": 2, "duration": 1}, {"bots": 2, "duration": 1}],
                       "thresholds": [{"expect": "count > 1", "stage": "2"}, {"expect": "count > 1", "stage": "3"}]}),
                "spec.thresholds[0].stage: the stage \"2\" is over after 3s, within the warm-up of 3s, so that nothing is measured in it; shorten",
            ),
            (
                json!({"trees": {"A": "done"}, "bots": 2, "runners": {"count": 3}}),
                "spec.runners: 3 runners for 2 bots",
            ),
        ] {
            let findings = check(&value).expect_err("a mistake");
            assert!(findings.len() == 1 && findings[0].starts_with(part), "{value}: {findings:?}");
        }
    }

    #[test]
    fn a_stage_is_measured_that_goes_on_after_the_warmup_in_any_scenario() {
        let stages = json!([{"bots": 2, "duration": 2, "name": "up"}, {"bots": 2, "duration": 9}]);
        let thresholds = json!([{"expect": "count > 1", "stage": "up"}]);
        let one = |warmup: &str| json!({"trees": {"A": "done"}, "warmup": warmup, "stages": stages, "thresholds": thresholds});
        assert!(check(&one("1s")).is_ok() && check(&one("2s")).is_err());
        let scenarios = |delay: u64| {
            json!({"trees": {"A": "done"}, "warmup": "2s", "thresholds": thresholds, "scenarios": [
                {"name": "a", "tree": "A", "stages": stages},
                {"name": "b", "tree": "A", "stages": stages, "startDelay": delay}]})
        };
        assert!(check(&scenarios(1)).is_ok() && check(&scenarios(0)).is_err());
    }
}
