//! What was changed since a run was accepted, and has no effect. Pure.

use super::conditions::{self, clear, set};
use super::policy::limits::Limits;
use super::standing::Standing;
use super::validate::canonical;
use crate::armies::Army;
use base64::Engine;
use botarmy_crds::{BotRun, BotRunStatus};
use botarmy_spec::{BotRunSpec, LoadSpec, OperationSpec, rate};
use sha2::{Digest, Sha256};

/// What a change comes to that no rule of the API server refuses.
const KEPT: &str = "what was changed has no effect: the run keeps the plan with which it was accepted; apply it anew under another name";
/// The same of a run that is over. What is done with it then may be changed.
const KEPT_AT_THE_END: &str = "the run is over, and is not run again: its result is not about what was changed since; apply that under another name, or delete the run and apply it again";

/// A digest (SHA-256, base64 for URLs) of what may not change once it was accepted.
pub(super) fn digest(spec: &BotRunSpec) -> String {
    let spec = canonical(spec);
    let live = LoadSpec { bots: None, arrival_rate: None, ..spec.load };
    let operation = OperationSpec {
        suspend: false,
        target_policy: None,
        ttl_seconds_after_finished: None,
        export: Vec::new(),
        ..spec.operation
    };
    let frozen = BotRunSpec { load: live, operation, stop: false, ..spec };
    let json = serde_json::to_vec(&frozen).unwrap_or_default();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(json))
}

/// Tells of a run that is not over what was changed since it was accepted. The digest of a spec, which may be large, is
/// made once for each generation of it: all armies wait meanwhile.
pub(super) fn while_it_goes_on(limits: &Limits, status: &mut BotRunStatus, run: &BotRun, army: &Army) {
    let rate = run.spec.run.load.arrival_rate.as_ref().map(|rate| rate::from_value(&rate.to_value()));
    // What was accepted may have been changed before anything could be told of it.
    let accepted = status.plan_digest.get_or_insert_with(|| digest(army.spec()));
    let changed = army.differs_in(run.metadata.generation, || *accepted != digest(&run.spec.run));
    let bots = run.spec.run.load.bots.unwrap_or_default();
    let most = limits.most_bots(&army.namespace).filter(|most| i64::from(bots) > i64::from(*most));
    if let Some(Err(error)) = rate {
        let told = format!("spec.arrivalRate: {error}; the run goes on at the rate it had");
        set(status, run, conditions::SPEC_CHANGED, true, Standing::InvalidRate, &told);
    } else if changed {
        set(status, run, conditions::SPEC_CHANGED, true, Standing::Kept, KEPT);
    } else if let Some(most) = most {
        let told = format!(
            "spec.bots is {bots}, and a run of this namespace may have {most}, which it goes on with; whoever installs the operator sets limits.maxBots"
        );
        set(status, run, conditions::SPEC_CHANGED, true, Standing::BotsLimited, &told);
    } else {
        clear(status, run, conditions::SPEC_CHANGED, Standing::Same, "the run is as it was accepted");
    }
}

/// Tells of a run that is over that what was changed since has no effect. One that was refused has no plan that a change
/// could be like.
pub(super) fn at_the_end(status: &mut BotRunStatus, run: &BotRun) {
    let told = run.status.as_ref().and_then(|status| status.observed_generation);
    if told == run.metadata.generation {
        return;
    }
    if status.plan_digest.as_ref().is_none_or(|accepted| *accepted != digest(&run.spec.run)) {
        set(status, run, conditions::SPEC_CHANGED, true, Standing::Kept, KEPT_AT_THE_END);
    } else {
        clear(status, run, conditions::SPEC_CHANGED, Standing::Same, "the run is as it was accepted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A run that is over, of generation 2, of which the first was told.
    fn over(spec: &Value, accepted: Option<&Value>) -> BotRun {
        let mut run: BotRun = serde_json::from_value(json!({
            "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun",
            "metadata": {"name": "r", "generation": 2}, "spec": spec,
            "status": {"phase": "Finished", "observedGeneration": 1},
        }))
        .unwrap();
        let digest_of = |spec: &Value| digest(&serde_json::from_value(spec.clone()).unwrap());
        run.status.as_mut().unwrap().plan_digest = accepted.map(digest_of);
        run
    }

    #[test]
    fn a_change_of_a_run_that_is_over_is_told() {
        let spec = |bots: u32, tree: &Value, rest: &Value| {
            let mut spec = json!({"trees": {"T": tree}, "bots": bots, "iterations": 3});
            spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            spec
        };
        let (tree, none) = (json!({"wait": "1s"}), json!({}));
        let accepted = spec(1, &tree, &none);
        let kept = Some(("True", "Kept"));
        for (what, now, before, told) in [
            ("live", spec(5, &tree, &none), Some(&accepted), None),
            (
                "its end",
                spec(1, &tree, &json!({"ttlSecondsAfterFinished": {"passed": 1}})),
                Some(&accepted),
                None,
            ),
            ("a tree", spec(1, &json!({"wait": "2s"}), &none), Some(&accepted), kept),
            (
                "a threshold",
                spec(1, &tree, &json!({"thresholds": [{"expect": "count > 1"}]})),
                Some(&accepted),
                kept,
            ),
            ("what was refused", accepted.clone(), None, kept),
        ] {
            let run = over(&now, before);
            let mut status = run.status.clone().unwrap();
            at_the_end(&mut status, &run);
            let found = conditions::find(&status, conditions::SPEC_CHANGED);
            assert_eq!(found.map(|c| (&*c.status, &*c.reason)), told, "{what}");
            // The next look has nothing to add.
            let mut later = BotRun { status: Some(status.clone()), ..run };
            later.status.as_mut().unwrap().observed_generation = Some(2);
            at_the_end(&mut status, &later);
            assert_eq!(Some(&status.conditions), later.status.as_ref().map(|s| &s.conditions), "{what}");
        }
    }
}
