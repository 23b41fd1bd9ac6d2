//! A spec that makes sense: its tree compiled, its times and thresholds read.

use crate::types::{BotRunSpec, Time};
use botarmy_report::{Facts, RunOutcome, RunResult, Threshold, ThresholdResult, Totals};
use botarmy_tree::notation;
use botarmy_tree::template::RunScope;
use botarmy_tree::{Actions, Finding, Path, Plan, compile, duration};
use serde_json::Value;
use std::time::Duration;

/// A run that can be started.
#[derive(Debug, Clone)]
pub struct Run {
    /// The name of the run.
    pub name: String,
    /// The compiled tree, with what is the same for all bots put in.
    pub plan: Plan,
    /// What templates see of the run.
    pub scope: RunScope,
    /// How many bots are alive at once.
    pub bots: u32,
    /// How long the run goes on.
    pub duration: Option<Duration>,
    /// How many iterations there are over all bots.
    pub iterations: Option<u64>,
    /// How fast bots that ended are replaced; none: at once.
    pub refill: Option<Refill>,
    /// Over how many pods the bots are spread.
    pub runners: u32,
    /// What must hold.
    pub thresholds: Vec<RunThreshold>,
}

/// How fast bots that ended are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refill {
    /// At most so many in an interval.
    pub max: u32,
    /// The interval.
    pub every: Duration,
}

/// A threshold and what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct RunThreshold {
    /// As it is written.
    pub expect: String,
    /// The action it is about; none: all measured ones.
    pub action: Option<String>,
    /// As it is computed.
    pub threshold: Threshold,
}

/// What the command line may say in the place of a file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The tree to run.
    pub tree: Option<String>,
    /// The address of what is tested.
    pub target: Option<String>,
    /// Bots alive at once.
    pub bots: Option<i32>,
    /// How long.
    pub duration: Option<String>,
    /// How many iterations.
    pub iterations: Option<i64>,
    /// The seed.
    pub seed: Option<i64>,
}

impl Overrides {
    /// Puts what is given in the place of the spec's own.
    pub fn apply(self, spec: &mut BotRunSpec) {
        let Self { tree, target, bots, duration, iterations, seed } = self;
        spec.tree = tree.or(spec.tree.take());
        spec.target = target.or(spec.target.take());
        spec.bots = bots.or(spec.bots);
        spec.duration = duration.map(Time::Text).or(spec.duration.take());
        spec.iterations = iterations.or(spec.iterations);
        spec.seed = seed.or(spec.seed);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a run starts with at least one bot; write bots: 1 or more")]
    NoBots,
    #[error("at most {MAX_BOTS} bots are allowed, not {0}")]
    TooManyBots(u32),
    #[error("{0:?} is not an address; write http://HOST:PORT or https://HOST:PORT")]
    Target(String),
    #[error("{0}")]
    Duration(#[from] duration::Error),
    #[error("the time must be above zero")]
    NoTime,
    #[error("count and botsPerRunner exclude each other; keep one")]
    Runners,
    #[error("{0} runners for {1} bots; at most one runner for each bot and 1000 in all are allowed")]
    TooManyRunners(u32, u32),
    #[error("the name {0:?} is given twice; keep one")]
    EnvTwice(String),
    #[error("the name {0:?} is not one of letters, digits and _, beginning with no digit")]
    EnvName(String),
    #[error("{0}")]
    Threshold(botarmy_report::ParseError),
    #[error("no action of the tree has the row {0:?}; there are {1}")]
    NoRow(String, String),
}

/// Most bots of a run.
pub const MAX_BOTS: u32 = 1_000_000;
/// Most runners of a run.
pub const MAX_RUNNERS: u32 = 1000;

impl Run {
    /// Checks a spec that lies at `path` of its document. All mistakes are told at once.
    pub fn check(
        spec: &BotRunSpec,
        name: &str,
        path: &Path,
        actions: &Actions,
    ) -> Result<Self, Vec<Finding>> {
        Self::with_plan(spec, name, path, plan(spec, path, actions))
    }

    /// Checks all but the trees, for a plan that comes from elsewhere (an editor project).
    pub fn with_plan(
        spec: &BotRunSpec,
        name: &str,
        path: &Path,
        plan: Result<Plan, Vec<Finding>>,
    ) -> Result<Self, Vec<Finding>> {
        let mut findings = Vec::new();
        let plan = plan.map_err(|f| findings.extend(f)).ok();
        let mut check = Check { path, findings };
        check.target(spec);
        let bots = check.bots(spec);
        let duration = check.time("duration", spec.duration.as_ref());
        let refill = check.refill(spec);
        let runners = check.runners(spec, bots);
        let env = check.env(spec);
        let thresholds = check.thresholds(spec, plan.as_ref());
        let scope =
            RunScope { run: name.to_owned(), target: spec.target.clone(), env, custom: spec.custom.clone() };
        match plan {
            Some(plan) if check.findings.is_empty() => Ok(Self {
                name: name.to_owned(),
                plan: plan.with_seed(seed(spec)).fold(&scope),
                scope,
                bots,
                duration,
                iterations: spec.iterations.and_then(|n| u64::try_from(n).ok()),
                refill,
                runners,
                thresholds,
            }),
            _ => Err(check.findings),
        }
    }
}

impl Run {
    /// The result of what was measured, judged by the thresholds; the same here and on a cluster.
    pub fn judge(&self, totals: &Totals, alive: u32, duration_ms: u64) -> RunResult {
        let judge = |t: &RunThreshold| {
            let selected = t.action.as_ref().map(|action| totals.select(action).unwrap_or_default());
            let judgement = t.threshold.evaluate(&selected.unwrap_or_else(|| totals.total()));
            ThresholdResult {
                expect: t.expect.clone(),
                action: t.action.clone(),
                value: judgement.value,
                passed: judgement.passed,
            }
        };
        let thresholds: Vec<ThresholdResult> = self.thresholds.iter().map(judge).collect();
        let passed = thresholds.iter().all(|t| t.passed);
        let outcome = if passed { RunOutcome::Passed } else { RunOutcome::Failed };
        RunResult::build(totals, Facts { outcome, alive, duration_ms, thresholds, gaps: Vec::new() })
    }
}

/// Compiles the tree that a spec at `path` of its document starts with.
pub fn plan(spec: &BotRunSpec, path: &Path, actions: &Actions) -> Result<Plan, Vec<Finding>> {
    let trees = notation::read(&Value::Object(spec.trees.clone()), &path.field("trees"), actions);
    // The names are known even of trees that are wrong inside.
    let entry = compile::entry(spec.trees.keys(), spec.tree.as_deref());
    let entry = entry.map_err(|f| f.within(&path.field("tree")));
    match (trees, entry) {
        (Ok(trees), Ok(entry)) => Ok(Plan::compile_entry(&trees, entry)?.with_seed(seed(spec))),
        (trees, entry) => {
            let entry = entry.err().filter(|_| !spec.trees.is_empty());
            Err(trees.err().into_iter().flatten().chain(entry).collect())
        }
    }
}

fn seed(spec: &BotRunSpec) -> u64 {
    spec.seed.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)
}

struct Check<'p> {
    path: &'p Path,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn note(&mut self, path: &Path, error: &Error) {
        self.findings.push(Finding::new(path, error));
    }

    fn target(&mut self, spec: &BotRunSpec) {
        let Some(target) = &spec.target else { return };
        let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
        let host = rest.map(|r| r.split(['/', '?', '#']).next().unwrap_or_default());
        let fits = host.is_some_and(|h| !h.is_empty() && !h.starts_with(':'))
            && !target.chars().any(|c| c.is_whitespace() || c.is_control());
        if !fits {
            self.note(&self.path.field("target"), &Error::Target(target.clone()));
        }
    }

    fn bots(&mut self, spec: &BotRunSpec) -> u32 {
        let bots = spec.bots.map_or(Some(1), |b| u32::try_from(b).ok()).filter(|b| *b > 0);
        let place = self.path.field("bots");
        match bots {
            None => self.note(&place, &Error::NoBots),
            // The schema says so too; the command line does not pass through it.
            Some(bots) if bots > MAX_BOTS => self.note(&place, &Error::TooManyBots(bots)),
            Some(bots) => return bots,
        }
        1
    }

    fn time(&mut self, field: &str, time: Option<&Time>) -> Option<Duration> {
        let place = self.path.field(field);
        self.time_at(&place, time?)
    }

    fn time_at(&mut self, place: &Path, time: &Time) -> Option<Duration> {
        match duration::from_value(&time.to_value()) {
            Ok(Duration::ZERO) => self.note(place, &Error::NoTime),
            Ok(duration) => return Some(duration),
            Err(error) => self.note(place, &Error::Duration(error)),
        }
        None
    }

    fn refill(&mut self, spec: &BotRunSpec) -> Option<Refill> {
        let refill = spec.refill.as_ref()?;
        let every = self.time_at(&self.path.field("refill").field("every"), &refill.every)?;
        Some(Refill { max: u32::try_from(refill.max).unwrap_or(1), every })
    }

    fn runners(&mut self, spec: &BotRunSpec, bots: u32) -> u32 {
        let place = self.path.field("runners");
        let Some(runners) = &spec.runners else { return 1 };
        let number = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        let count = match (number(runners.count), number(runners.bots_per_runner)) {
            (Some(_), Some(_)) => {
                self.note(&place, &Error::Runners);
                1
            }
            (Some(count), None) => count,
            (None, Some(each)) => bots.div_ceil(each),
            (None, None) => 1,
        };
        if count > MAX_RUNNERS || count > bots {
            self.note(&place, &Error::TooManyRunners(count, bots));
        }
        count
    }

    fn env(&mut self, spec: &BotRunSpec) -> std::collections::BTreeMap<String, String> {
        let mut env = std::collections::BTreeMap::new();
        for (i, variable) in spec.env.iter().enumerate() {
            let place = self.path.field("env").index(i).field("name");
            let name = &variable.name;
            let fits = !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !fits {
                self.note(&place, &Error::EnvName(name.clone()));
            }
            if env.insert(name.clone(), variable.value.clone()).is_some() {
                self.note(&place, &Error::EnvTwice(name.clone()));
            }
        }
        env
    }

    fn thresholds(&mut self, spec: &BotRunSpec, plan: Option<&Plan>) -> Vec<RunThreshold> {
        let mut thresholds = Vec::new();
        for (i, threshold) in spec.thresholds.iter().enumerate() {
            let place = self.path.field("thresholds").index(i);
            if let (Some(action), Some(plan)) = (&threshold.action, plan)
                && !plan.leaves().iter().any(|l| l.name == *action || l.base == *action)
            {
                let rows =
                    plan.leaves().iter().map(|l| l.name.as_str()).collect::<std::collections::BTreeSet<_>>();
                let rows = rows.into_iter().take(20).collect::<Vec<_>>().join(", ");
                self.note(&place.field("action"), &Error::NoRow(action.clone(), rows));
            }
            match Threshold::parse(&threshold.expect) {
                Ok(parsed) => thresholds.push(RunThreshold {
                    expect: threshold.expect.clone(),
                    action: threshold.action.clone(),
                    threshold: parsed,
                }),
                Err(error) => self.note(&place.field("expect"), &Error::Threshold(error)),
            }
        }
        thresholds
    }
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
        assert_eq!(
            (run.bots, run.runners, run.duration, run.iterations, run.refill),
            (1, 1, None, None, None)
        );
        let run = check(&json!({
            "trees": {"A": {"log": "{{ env.REGION }}"}, "B": "done"}, "tree": "A", "bots": 500, "runners": {"botsPerRunner": 200},
            "duration": "5m", "iterations": 9, "refill": {"max": 50, "every": 5}, "env": [{"name": "REGION", "value": "eu"}],
            "thresholds": [{"expect": "p(95) < 500ms", "action": "log"}],
        }))
        .expect("a run");
        assert_eq!((run.runners, run.duration), (3, Some(Duration::from_secs(300))));
        assert_eq!(run.refill, Some(Refill { max: 50, every: Duration::from_secs(5) }));
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
    fn the_tree_the_rows_and_the_runners_must_exist() {
        for (value, part) in [
            (json!({"trees": {"A": "done", "B": "done"}}), "spec.tree: the document has several trees"),
            (json!({"trees": {"A": "done"}, "tree": "C"}), "spec.tree: there is no tree named \"C\""),
            (
                json!({"trees": {"A": "done"}, "thresholds": [{"expect": "count > 1", "action": "x"}]}),
                "spec.thresholds[0].action: no action",
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
}
