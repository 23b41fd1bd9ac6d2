//! What a run lacks to begin, though what it says makes sense.

use super::{Error, Run};
use botarmy_tree::action::Call;
use botarmy_tree::finding::{listed, quoted};
use botarmy_tree::plan::{LeafRecord, Unset};
use botarmy_tree::template::RunScope;
use botarmy_tree::{Finding, Path, Plan};

impl Run {
    /// What is not there that its bots need, of a run whose spec lies at `path`. Not part of [`Run::check`]: a file may leave
    /// the target to the command line, and a run that has begun lacks nothing.
    pub fn lacking(&self, path: &Path) -> Vec<Finding> {
        let mut findings = self.unset(path);
        findings.extend(self.missing_target(path));
        findings
    }

    /// The run, unless it lacks something.
    pub fn complete(self, path: &Path) -> Result<Self, Vec<Finding>> {
        let lacking = self.lacking(path);
        if lacking.is_empty() { Ok(self) } else { Err(lacking) }
    }

    fn missing_target(&self, path: &Path) -> Option<Finding> {
        let needs = |leaf: &LeafRecord| matches!(&leaf.call, Call::Http(http) if http.url.mentions("target"));
        let without = self.scenarios.iter().filter(|s| s.scope.target.is_none());
        let once = [&self.setup, &self.teardown].into_iter().flatten();
        let once = once.filter(|o| o.scope.target.is_none()).map(|o| &o.plan);
        let plans = without.map(|s| &s.plan).chain(once);
        let leaf = plans.flat_map(Plan::leaves).find(|leaf| needs(leaf))?;
        Some(Finding::new(&path.field("target"), &Error::NoTarget(leaf.path.to_string())))
    }

    /// Each name of `env` and `custom` that nobody has set, and of which bots would die.
    fn unset(&self, path: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut look = |plan: &Plan, scope: &RunScope, seen_by: &str| {
            findings.extend(plan.unset().into_iter().map(|unset| told(unset, scope, seen_by, path)));
        };
        for scenario in &self.scenarios {
            let name = scenario.name.as_ref();
            let seen_by =
                name.map_or_else(|| "the run".to_owned(), |n| format!("the scenario {}", quoted(n)));
            look(&scenario.plan, &scenario.scope, &seen_by);
        }
        for (once, seen_by) in [(&self.setup, "setup"), (&self.teardown, "teardown")] {
            if let Some(once) = once {
                look(&once.plan, &once.scope, seen_by);
            }
        }
        findings
    }
}

fn told(unset: Unset, scope: &RunScope, seen_by: &str, path: &Path) -> Finding {
    let Unset { leaf, subtree, name } = unset;
    let trees = path.field("trees");
    let place = leaf.unwrap_or_else(|| subtree.map_or(trees.clone(), |tree| trees.field(&tree)));
    let (field, known) = if name.starts_with("env") {
        ("env", listed(scope.env.keys().map(|known| format!("env.{known}"))))
    } else {
        ("custom", listed(scope.custom.keys().map(|known| format!("custom.{known}"))))
    };
    // Of what is not there nothing below can be asked for, with a default or without one.
    let is_direct = name.matches(['.', '[']).count() == 1;
    let or = if is_direct { format!(", or write {{{{ {name} | default('') }}}}") } else { String::new() };
    Finding::new(&place, &Error::Unset { name, seen_by: seen_by.to_owned(), known, field, or })
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_tree::Actions;
    use serde_json::{Value, json};

    fn check(value: &Value) -> Result<(), Vec<String>> {
        let spec = serde_json::from_value(value.clone()).expect("a spec");
        let path = Path::top().field("spec");
        let run = Run::check(&spec, "demo", &path, &Actions::built_in()).expect("a run");
        let told: Vec<String> = run.unset(&path).iter().map(ToString::to_string).collect();
        if told.is_empty() { Ok(()) } else { Err(told) }
    }

    #[test]
    fn a_name_that_nobody_has_set_is_told() {
        let uses = json!({"log": "{{ env.REGION }} {{ custom.shop.id }}"});
        let found = check(&json!({"trees": {"T": uses}, "env": [{"name": "ZONE"}], "custom": {"shop": {}}}));
        assert_eq!(
            found.expect_err("mistakes"),
            [
                "spec.trees.T: {{ env.REGION }} has no value in the run, where there is env.ZONE; add it to env, or write {{ env.REGION | default('') }}",
                "spec.trees.T: {{ custom.shop.id }} has no value in the run, where there is custom.shop; add it to custom",
            ]
        );
        let elsewhere = json!([{"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": true}}}]);
        check(&json!({"trees": {"T": uses}, "env": elsewhere, "custom": {"shop": {"id": 1}}}))
            .expect("a run");
        let scenarios = json!([{"name": "a", "env": [{"name": "REGION"}]}, {"name": "b"}]);
        let of = |setup: &Value| {
            let mut spec =
                json!({"trees": {"T": uses}, "scenarios": scenarios, "custom": {"shop": {"id": 1}}});
            spec["setup"] = setup.clone();
            check(&spec).expect_err("a mistake")
        };
        let told = of(&Value::Null);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(
            told[0].contains("{{ env.REGION }} has no value in the scenario \"b\", where there is none;"),
            "{told:#?}"
        );
        let told = of(&json!({"tree": "T"}));
        assert!(told.iter().any(|told| told.contains("has no value in setup, where")), "{told:#?}");
    }
}
