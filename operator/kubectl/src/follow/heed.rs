//! Whether a run performs what was applied: one that is at work keeps the plan with which it was accepted. Pure.

use botarmy_crds::BotRun;
use botarmy_report::terminal::escape;

/// What the operator makes of a spec.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// It has not looked at it yet.
    Unknown,
    /// The run performs it.
    Performed,
    /// The run goes on without it, or without some of it, for this reason: one that is made of it would be refused, or be
    /// another one.
    Ignored(String),
}

/// What the status of a run says of its spec of this generation. When the spec was changed again since, nobody can tell
/// whose change is the one that is ignored; then it is taken for this one, so that no verdict is of another plan.
pub(super) fn of(run: &BotRun, generation: i64) -> Heed {
    let is_seen = |seen: Option<i64>| seen.is_some_and(|seen| seen >= generation);
    let Some(status) = run.status.as_ref().filter(|status| is_seen(status.observed_generation)) else {
        return Heed::Unknown;
    };
    match status.condition("SpecChanged") {
        Some(c) if c.status == "True" && is_seen(c.observed_generation) => {
            Heed::Ignored(format!("{}: {}", escape(&c.reason), escape(&c.message)))
        }
        _ => Heed::Performed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn run(status: &Value) -> BotRun {
        let run = json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "a", "generation": 3},
            "spec": {"trees": {"T": "done"}}, "status": status,
        });
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn what_was_applied_is_performed_unless_the_run_says_that_it_keeps_its_plan() {
        let told = |seen: i64, holds: &str, reason: &str| {
            json!([{
                "type": "SpecChanged", "status": holds, "reason": reason, "message": "because\nof it",
                "observedGeneration": seen, "lastTransitionTime": "2030-01-01T00:00:00Z",
            }])
        };
        let ignored = |reason: &str| Heed::Ignored(format!("{reason}: because\\nof it"));
        for (what, status, heed) in [
            ("nothing is told yet", json!({}), Heed::Unknown),
            ("of the spec before", json!({"observedGeneration": 2}), Heed::Unknown),
            (
                "another change was ignored before",
                json!({"observedGeneration": 2, "conditions": told(2, "True", "Kept")}),
                Heed::Unknown,
            ),
            ("it waits", json!({"observedGeneration": 3}), Heed::Performed),
            (
                "its change is ignored",
                json!({"observedGeneration": 3, "conditions": told(3, "True", "Kept")}),
                ignored("Kept"),
            ),
            (
                "its rate makes no sense",
                json!({"observedGeneration": 3, "conditions": told(3, "True", "InvalidRate")}),
                ignored("InvalidRate"),
            ),
            (
                "fewer bots are let in",
                json!({"observedGeneration": 3, "conditions": told(3, "True", "BotsLimited")}),
                ignored("BotsLimited"),
            ),
            (
                "it was changed back",
                json!({"observedGeneration": 3, "conditions": told(3, "False", "Same")}),
                Heed::Performed,
            ),
            (
                "it was changed again since",
                json!({"observedGeneration": 4, "conditions": told(4, "True", "Kept")}),
                ignored("Kept"),
            ),
            (
                "what is told is older",
                json!({"observedGeneration": 3, "conditions": told(2, "True", "Kept")}),
                Heed::Performed,
            ),
        ] {
            assert_eq!(of(&run(&status), 3), heed, "{what}");
        }
        let mut fresh = run(&json!({}));
        fresh.status = None;
        assert_eq!(of(&fresh, 3), Heed::Unknown);
    }
}
