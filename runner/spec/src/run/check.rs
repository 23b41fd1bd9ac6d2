//! What must hold of a spec beside its trees; everything that does not is noted.

use super::once::{DEFAULT_TIMEOUT, Once, Part};
use super::{
    DEFAULT_LEASE, Error, MAX_BOTS, MAX_LEASE_SECONDS, MAX_RUNNERS, MIN_LEASE_SECONDS, Scenario, seed,
};
use crate::data::{Data, RowsFor};
use crate::load::{self, Model, Open};
use crate::rate;
use crate::types::{BotRunSpec, EnvVar, LoadSpec, ScenarioSpec, Time};
use botarmy_tree::http::address;
use botarmy_tree::template::RunScope;
use botarmy_tree::{Finding, Findings, Path, Plan, duration};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// The bits that tell the draws of one scenario from those of another.
const SCENARIO_SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// What stands for a value that is known only where the run is.
const UNKNOWN_VALUE: &str = "unknown";

pub(super) struct Check<'p> {
    pub(super) path: &'p Path,
    pub(super) findings: Findings,
}

impl Check<'_> {
    pub(super) fn target(&mut self, spec: &BotRunSpec) {
        let Some(target) = &spec.target else { return };
        let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
        let host = rest.map(|r| r.split(['/', '?', '#']).next().unwrap_or_default());
        if target.contains(['?', '#']) {
            self.findings.note(&self.path.field("target"), &Error::TargetTail(address::hidden(target)));
        } else if host.is_some_and(|host| host.contains('@')) {
            self.findings.note(&self.path.field("target"), &Error::TargetUser);
        }
        let fits = host.is_some_and(is_place) && !target.chars().any(|c| c.is_whitespace() || c.is_control());
        if !fits {
            self.findings.note(&self.path.field("target"), &Error::Target(address::hidden(target)));
        }
    }

    /// The populations: those of `scenarios`, or the one that the spec's own fields say.
    pub(super) fn scenarios(
        &mut self,
        spec: &BotRunSpec,
        scope: &RunScope,
        plan_of: impl Fn(Option<&str>, &Path) -> Result<Option<Plan>, Vec<Finding>>,
    ) -> Vec<Scenario> {
        if spec.scenarios.is_empty() {
            let load = load::check(&spec.load, self.path, &mut self.findings);
            let data = self.data(&spec.load, self.path);
            let plan = self.plan(plan_of(spec.tree.as_deref(), self.path));
            let start_delay = Duration::ZERO;
            let plan = plan.with_seed(seed(spec)).fold(scope);
            return vec![Scenario { name: None, plan, scope: scope.clone(), load, start_delay, data }];
        }
        self.only_scenarios(spec);
        let mut names = BTreeSet::new();
        let mut scenarios = Vec::new();
        for (i, scenario) in (0_u64..).zip(&spec.scenarios) {
            let place = self.path.field("scenarios").index(scenarios.len());
            if !names.insert(&scenario.name) {
                self.findings.note(&place.field("name"), &Error::Twice(scenario.name.clone()));
            }
            let plan = self.plan(plan_of(scenario.tree.as_deref(), &place));
            let plan = plan.with_seed(seed(spec) ^ SCENARIO_SEED.wrapping_mul(i));
            scenarios.push(self.scenario(scenario, &place, scope, plan));
        }
        let bots: u64 = scenarios.iter().map(|s| u64::from(s.load.peak())).sum();
        if bots > u64::from(MAX_BOTS) {
            self.findings.note(&self.path.field("scenarios"), &Error::TooManyBots(bots));
        }
        scenarios
    }

    fn plan(&mut self, plan: Result<Option<Plan>, Vec<Finding>>) -> Plan {
        let plan = plan.map_err(|f| self.findings.later(f)).ok().flatten();
        plan.unwrap_or_default()
    }

    fn scenario(&mut self, spec: &ScenarioSpec, place: &Path, scope: &RunScope, plan: Plan) -> Scenario {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if spec.name.is_empty() || spec.name.len() > 63 || !spec.name.chars().all(plain) {
            self.findings.note(&place.field("name"), &Error::ScenarioName(spec.name.clone()));
        }
        let mut scope = scope.clone();
        scope.env.extend(self.env(&spec.env, place));
        let delay = spec.start_delay.as_ref().map(|d| duration::from_value(&d.to_value()));
        let delay = delay.and_then(|d| self.findings.ok(&place.field("startDelay"), d));
        let load = load::check(&spec.load, place, &mut self.findings);
        let data = self.data(&spec.load, place);
        let plan = plan.fold(&scope);
        let start_delay = delay.unwrap_or_default();
        Scenario { name: Some(spec.name.clone()), plan, scope, load, start_delay, data }
    }

    fn data(&mut self, load: &LoadSpec, place: &Path) -> Option<Data> {
        load.data.as_ref().map(|data| Data::check(data, &place.field("data"), &mut self.findings))
    }

    /// What is walked once.
    pub(super) fn once(
        &mut self,
        part: Part,
        spec: &BotRunSpec,
        scope: &RunScope,
        plan_of: &impl Fn(Option<&str>, &Path) -> Result<Option<Plan>, Vec<Finding>>,
    ) -> Option<Once> {
        let (field, once) = match part {
            Part::Setup => ("setup", spec.setup.as_ref()?),
            Part::Teardown => ("teardown", spec.teardown.as_ref()?),
        };
        let place = self.path.field(field);
        let timeout = once.timeout.as_ref().map(|t| duration::from_value(&t.to_value()));
        let timeout = timeout.and_then(|t| self.findings.ok(&place.field("timeout"), t));
        if timeout == Some(Duration::ZERO) {
            self.findings.note(&place.field("timeout"), &Error::NoTime);
        }
        let plan = self.plan(plan_of(Some(&once.tree), &place));
        let plan = plan.with_seed(seed(spec)).fold(scope);
        let unknown = crate::data::unknown_columns(&RowsFor::Once, plan.leaves(), plan.frames(), self.path);
        self.findings.later(unknown);
        Some(Once { plan, scope: scope.clone(), timeout: timeout.unwrap_or(DEFAULT_TIMEOUT) })
    }

    /// The addresses of names.
    pub(super) fn hosts(&mut self, spec: &BotRunSpec) -> BTreeMap<String, Vec<IpAddr>> {
        let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for (i, host) in spec.hosts.iter().enumerate() {
            let place = self.path.field("hosts").index(i);
            let ip = host.ip.parse().map_err(|_| Error::Ip(host.ip.clone()));
            let Some(ip) = self.findings.ok(&place.field("ip"), ip) else { continue };
            if host.hostnames.is_empty() {
                self.findings.note(&place.field("hostnames"), &Error::NoHostNames);
            }
            for (n, name) in host.hostnames.iter().enumerate() {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                if name.trim_matches('.').is_empty()
                    || !name.chars().all(plain)
                    || name.parse::<IpAddr>().is_ok()
                {
                    self.findings.note(&place.field("hostnames").index(n), &Error::HostName(name.clone()));
                }
                hosts.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default().push(ip);
            }
        }
        hosts
    }

    /// What the scenarios say each for themselves cannot be said for all as well.
    fn only_scenarios(&mut self, spec: &BotRunSpec) {
        if spec.tree.is_some() {
            self.findings.note(&self.path.field("tree"), &Error::WithScenarios("tree".into()));
        }
        if spec.load == LoadSpec::default() {
            return;
        }
        let given = serde_json::to_value(&spec.load).unwrap_or_default();
        for field in given.as_object().into_iter().flat_map(|fields| fields.keys()) {
            self.findings.note(&self.path.field(field), &Error::WithScenarios(field.clone()));
        }
    }

    pub(super) fn time(&mut self, field: &str, time: Option<&Time>) -> Option<Duration> {
        self.findings.ok(&self.path.field(field), duration::from_value(&time?.to_value()))
    }

    pub(super) fn time_above_zero(&mut self, field: &str, time: Option<&Time>) -> Option<Duration> {
        let time = self.time(field, time)?;
        if time.is_zero() {
            self.findings.note(&self.path.field(field), &Error::NoTime);
        }
        Some(time)
    }

    /// How long a runner goes on without its coordinator; the schema bounds it too.
    pub(super) fn lease(&mut self, spec: &BotRunSpec) -> Duration {
        let Some(seconds) = spec.operation.lease_seconds else { return DEFAULT_LEASE };
        if !(MIN_LEASE_SECONDS..=MAX_LEASE_SECONDS).contains(&seconds) {
            self.findings.note(&self.path.field("leaseSeconds"), &Error::Lease(seconds));
        }
        u64::try_from(seconds).map_or(DEFAULT_LEASE, Duration::from_secs)
    }

    pub(super) fn warmup(&mut self, spec: &BotRunSpec, scenarios: &[Scenario]) -> Duration {
        let warmup = self.time("warmup", spec.warmup.as_ref()).unwrap_or_default();
        let ends = scenarios.iter().map(|s| s.load.duration.map(|d| s.start_delay + d));
        let end = ends.collect::<Option<Vec<Duration>>>().and_then(|ends| ends.into_iter().max());
        if let Some(end) = end.filter(|end| !warmup.is_zero() && warmup >= *end) {
            self.findings.note(&self.path.field("warmup"), &Error::AllWarmup(warmup, end));
        }
        warmup
    }

    pub(super) fn max_rate(&mut self, spec: &BotRunSpec) -> Option<f64> {
        let place = self.path.field("maxRate");
        let rate = rate::from_value(&spec.max_rate.as_ref()?.to_value());
        let rate = self.findings.ok(&place, rate.map_err(Error::from))?;
        if rate == 0.0 {
            self.findings.note(&place, &Error::NoRate);
        }
        Some(rate)
    }

    pub(super) fn runners(&mut self, spec: &BotRunSpec, scenarios: &[Scenario]) -> u32 {
        let place = self.path.field("runners");
        let Some(runners) = &spec.runners else { return 1 };
        let bots = scenarios.iter().fold(0_u32, |sum, s| sum.saturating_add(s.load.peak()));
        let number = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        let count = match (number(runners.count), number(runners.bots_per_runner)) {
            (Some(_), Some(_)) => {
                self.findings.note(&place, &Error::Runners);
                1
            }
            (Some(count), None) => count,
            (None, Some(each)) => bots.div_ceil(each),
            (None, None) => 1,
        };
        if count > MAX_RUNNERS || count > bots {
            self.findings.note(&place, &Error::TooManyRunners(count, bots));
            return count;
        }
        // What arrives at a runner finds a place there or none.
        for scenario in scenarios {
            if let Model::Open(Open { max_bots, .. }) = scenario.load.model
                && max_bots < count
            {
                self.findings.note(&place, &Error::NoPlace(count, max_bots));
            }
        }
        count
    }

    pub(super) fn env(&mut self, variables: &[EnvVar], path: &Path) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for (i, variable) in variables.iter().enumerate() {
            let place = path.field("env").index(i).field("name");
            let name = &variable.name;
            let fits = !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !fits {
                self.findings.note(&place, &Error::EnvName(name.clone()));
            }
            if let Some(source) = &variable.value_from {
                let place = path.field("env").index(i).field("valueFrom");
                if !variable.value.is_empty() {
                    self.findings.note(&place, &Error::TwoValues);
                }
                if source.count() != 1 {
                    self.findings.note(&place, &Error::ValueSource);
                }
            }
            // A value that is elsewhere is not known here, and may be anything.
            let value = if variable.value_from.is_some() { UNKNOWN_VALUE } else { &variable.value };
            if env.insert(name.clone(), value.to_owned()).is_some() {
                self.findings.note(&place, &Error::Twice(name.clone()));
            }
        }
        env
    }
}

/// Whether this is a host, with a port or without, after what a user may write before an `@`.
fn is_place(place: &str) -> bool {
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    !host.is_empty() && port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use crate::run::Run;
    use botarmy_tree::{Actions, Path};
    use serde_json::{Value, json};

    fn check(value: &Value) -> Result<Run, Vec<String>> {
        let spec = serde_json::from_value(value.clone()).expect("a spec");
        let run = Run::check(&spec, "demo", &Path::top().field("spec"), &Actions::built_in());
        run.map_err(|f| f.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn no_mistake_tells_the_password_of_a_target() {
        for target in ["http://us:pw@h", "http://us:pw@h/?a", "http://us:p/w@h", "us:pw@h", "http://us:pw@:x"]
        {
            let told = check(&json!({"trees": {"T": "done"}, "target": target})).expect_err("a mistake");
            assert!(!told.join("").contains("us:p"), "{told:?}");
        }
    }
}
