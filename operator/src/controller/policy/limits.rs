//! What the one who installs the operator allows in a namespace: targets, and how much.

use super::queue::host_and_port;
use botarmy_spec::{Run, Targets};
use botarmy_tree::{Finding, Path};
use serde::Deserialize;
use wildmatch::WildMatch;

/// Limits by namespace. The first rule that names a run's namespace holds for it; without one there is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Limits(Vec<Rule>);

/// What is allowed in some namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::controller) struct Rule {
    /// Names of namespaces, in which `*` stands for any characters.
    namespaces: Vec<String>,
    /// What may be loaded, as [`Targets`] writes it. Without it, anything.
    #[serde(default)]
    targets: Option<Vec<String>>,
    /// Bots of a run, at most.
    #[serde(default)]
    max_bots: Option<u32>,
    /// Runners of a run, at most.
    #[serde(default)]
    max_runners: Option<u32>,
    /// Runs at work at the same time; others wait.
    #[serde(default)]
    max_runs: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0} may not be loaded from the namespace {1}, only {2}; ask whoever has installed the operator")]
    Target(String, String, Targets),
    #[error(
        "{0} bots are more than the {1} that a run of the namespace {2} may have; take fewer, or ask whoever has installed the operator"
    )]
    Bots(u64, u32, String),
    #[error(
        "{0} runners are more than the {1} that a run of the namespace {2} may have; take fewer, or ask whoever has installed the operator"
    )]
    Runners(u32, u32, String),
}

impl Limits {
    /// Reads the rules of a file.
    pub fn read(text: &str) -> Result<Self, serde_yaml::Error> {
        // An empty file has no rules.
        serde_yaml::from_str::<Option<Self>>(text).map(Option::unwrap_or_default)
    }

    fn rule(&self, namespace: &str) -> Option<&Rule> {
        let names = |rule: &Rule| rule.namespaces.iter().any(|name| WildMatch::new(name).matches(namespace));
        self.0.iter().find(|rule| names(rule))
    }

    /// Whom the runners of a namespace may talk to; none if to anybody.
    pub(in crate::controller) fn targets(&self, namespace: &str) -> Option<Targets> {
        let patterns = self.rule(namespace)?.targets.as_ref()?;
        Some(Targets::new(patterns, namespace))
    }

    /// How many runs of a namespace may be at work.
    pub(in crate::controller) fn most_runs(&self, namespace: &str) -> Option<u32> {
        self.rule(namespace)?.max_runs
    }

    /// How many bots of a run there may be.
    pub(in crate::controller) fn most_bots(&self, namespace: &str) -> Option<u32> {
        self.rule(namespace)?.max_bots
    }

    /// What of a run is not allowed. Requests to elsewhere are refused by the runners: their addresses may be known
    /// only then.
    pub(in crate::controller) fn check(&self, run: &Run, namespace: &str, path: &Path) -> Vec<Finding> {
        let Some(rule) = self.rule(namespace) else { return Vec::new() };
        let mut findings = Vec::new();
        let target = run.scenarios.iter().find_map(|scenario| scenario.scope.target.as_deref());
        if let (Some(target), Some(allowed)) = (target, self.targets(namespace)) {
            let (host, port) = host_and_port(target);
            if !port.parse().is_ok_and(|port| allowed.allow(host, port)) {
                let error = Error::Target(target.to_owned(), namespace.to_owned(), allowed);
                findings.push(Finding::new(&path.field("target"), &error));
            }
        }
        if let Some(allowed) = self.targets(namespace) {
            // A name that may be called must not lead to where nobody may go.
            for (name, addresses) in &run.hosts {
                if let Some(address) = addresses.iter().find(|address| !allowed.allow_address(**address)) {
                    let told = format!("{address}, which hosts gives the name {name},");
                    let error = Error::Target(told, namespace.to_owned(), allowed.clone());
                    findings.push(Finding::new(&path.field("hosts"), &error));
                }
            }
        }
        let bots: u64 = run.scenarios.iter().map(|scenario| u64::from(scenario.load.peak())).sum();
        if let Some(most) = rule.max_bots.filter(|most| bots > u64::from(*most)) {
            let field = if run.scenarios.len() > 1 { "scenarios" } else { "bots" };
            findings.push(Finding::new(&path.field(field), &Error::Bots(bots, most, namespace.to_owned())));
        }
        if let Some(most) = rule.max_runners.filter(|most| run.runners > *most) {
            let error = Error::Runners(run.runners, most, namespace.to_owned());
            findings.push(Finding::new(&path.field("runners"), &error));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_tree::Actions;
    use serde_json::json;

    const RULES: &str = r#"
- namespaces: ["team-*", shop]
  targets: ["*.shop", "10.0.0.1:8080"]
  maxBots: 10
  maxRunners: 2
  maxRuns: 3
- namespaces: ["*"]
  maxBots: 100
"#;

    #[test]
    fn the_first_rule_that_names_a_namespace_holds() {
        let limits = Limits::read(RULES).unwrap();
        let found = |namespace: &str, fields: &serde_json::Value| -> Vec<String> {
            let mut spec = json!({"trees": {"T": "done"}});
            spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let spec = serde_json::from_value(spec).unwrap();
            let path = Path::top().field("spec");
            let run = Run::check(&spec, "r", &path, &Actions::built_in()).unwrap();
            limits.check(&run, namespace, &path).iter().map(ToString::to_string).collect()
        };
        for (namespace, fields, wrong) in [
            ("team-a", json!({"target": "http://target.shop", "bots": 10, "runners": {"count": 2}}), vec![]),
            ("shop", json!({"target": "http://target"}), vec![]),
            (
                "shop",
                json!({"target": "http://target", "hosts": [{"ip": "10.9.9.9", "hostnames": ["target.shop"]}]}),
                vec![
                    "spec.hosts: 10.9.9.9, which hosts gives the name target.shop, may not be loaded from the namespace shop, only *.shop, 10.0.0.1:8080; ask whoever has installed the operator",
                ],
            ),
            ("team-a", json!({"target": "http://10.0.0.1:8080/x"}), vec![]),
            (
                "team-a",
                json!({"target": "http://10.0.0.1"}),
                vec!["spec.target: http://10.0.0.1 may not be loaded"],
            ),
            (
                "team-a",
                json!({"target": "http://target"}),
                vec!["spec.target: http://target may not be loaded"],
            ),
            (
                "team-a",
                json!({"bots": 11, "runners": {"count": 3}}),
                vec![
                    "spec.bots: 11 bots are more than the 10",
                    "spec.runners: 3 runners are more than the 2",
                ],
            ),
            (
                "team-a",
                json!({"scenarios": [{"name": "a", "bots": 6}, {"name": "b", "bots": 5}]}),
                vec!["spec.scenarios: 11 bots are more than the 10"],
            ),
            ("other", json!({"target": "http://anything", "bots": 100}), vec![]),
            ("other", json!({"bots": 101}), vec!["spec.bots: 101 bots are more than the 100"]),
        ] {
            let told = found(namespace, &fields);
            assert_eq!(told.len(), wrong.len(), "{fields}: {told:?}");
            for (told, wrong) in told.iter().zip(wrong) {
                assert!(told.starts_with(wrong), "{told}");
            }
        }
        assert_eq!((limits.most_runs("shop"), limits.most_runs("other")), (Some(3), None));
        assert_eq!((limits.most_bots("shop"), limits.most_bots("other")), (Some(10), Some(100)));
        assert!(limits.targets("other").is_none());
    }

    #[test]
    fn a_file_is_read_as_it_is_meant() {
        assert_eq!(Limits::read("").unwrap(), Limits::default());
        assert_eq!(Limits::read("[]").unwrap(), Limits::default());
        for wrong in
            ["- {}", "- {namespaces: [a], maxBot: 1}", "- {namespaces: [a], maxBots: -1}", "maxBots: 1"]
        {
            assert!(Limits::read(wrong).is_err(), "{wrong}");
        }
    }
}
