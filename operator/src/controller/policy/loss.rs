//! What becomes of a run that loses runners: how often the Job replaces one, and which are gone for good.

use botarmy_spec::LossPolicy;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How often one runner may be lost before the run is given up.
const LOSSES: i32 = 3;

/// The fields of a Job's spec that say what is done about a pod that is lost.
pub(in crate::controller) fn job_fields(policy: LossPolicy, runners: u32) -> Value {
    match policy {
        LossPolicy::Replace => json!({
            "backoffLimitPerIndex": LOSSES,
            // Without it the Job would go on with the others, which wait for the lost one for ever.
            "maxFailedIndexes": 0,
            // A pod that is taken from its node has not failed.
            "podFailurePolicy": {"rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]},
        }),
        LossPolicy::Ignore | LossPolicy::Redistribute => {
            json!({"backoffLimitPerIndex": 0, "maxFailedIndexes": runners})
        }
        LossPolicy::Fail => json!({"backoffLimitPerIndex": 0, "maxFailedIndexes": 0}),
    }
}

/// The runners that are gone for good, of a run that goes on without them.
pub(in crate::controller) fn gone(policy: LossPolicy, job: Option<&Job>) -> BTreeSet<u32> {
    match policy {
        LossPolicy::Ignore | LossPolicy::Redistribute => failed(job),
        LossPolicy::Replace | LossPolicy::Fail => BTreeSet::new(),
    }
}

/// The runners for which the Job makes no pods any more.
pub(in crate::controller) fn failed(job: Option<&Job>) -> BTreeSet<u32> {
    let failed = job.and_then(|job| job.status.as_ref()?.failed_indexes.as_deref());
    failed.map(indexes).unwrap_or_default()
}

/// Reads indexes as a Job tells them: `0,3-5`.
fn indexes(text: &str) -> BTreeSet<u32> {
    let part = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse().ok()?..=to.trim().parse::<u32>().ok()?)
    };
    text.split(',').filter_map(part).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_is_read_from_the_job() {
        for (text, expected) in [
            ("", vec![]),
            ("0", vec![0]),
            ("1,3-5,7", vec![1, 3, 4, 5, 7]),
            ("2-2", vec![2]),
            ("x,4", vec![4]),
        ] {
            let job: Job = serde_json::from_value(
                json!({"metadata": {}, "spec": {"template": {}}, "status": {"failedIndexes": text}}),
            )
            .unwrap();
            let of = |policy| gone(policy, Some(&job)).into_iter().collect::<Vec<_>>();
            assert_eq!(of(LossPolicy::Ignore), expected, "{text:?}");
            assert_eq!(of(LossPolicy::Redistribute), expected, "{text:?}");
            // A Job replaces the lost ones, or has failed as a whole.
            assert_eq!((of(LossPolicy::Replace), of(LossPolicy::Fail)), (vec![], vec![]));
            assert_eq!(failed(Some(&job)).into_iter().collect::<Vec<_>>(), expected);
        }
        assert!(gone(LossPolicy::Ignore, None).is_empty());
    }

    #[test]
    fn each_policy_has_its_job() {
        for (policy, again, failed, ignores) in [
            (LossPolicy::Replace, 3, 0, true),
            (LossPolicy::Ignore, 0, 7, false),
            (LossPolicy::Redistribute, 0, 7, false),
            (LossPolicy::Fail, 0, 0, false),
        ] {
            let fields = job_fields(policy, 7);
            assert_eq!(
                (&fields["backoffLimitPerIndex"], &fields["maxFailedIndexes"]),
                (&json!(again), &json!(failed))
            );
            assert_eq!(fields.get("podFailurePolicy").is_some(), ignores, "{policy:?}");
        }
    }
}
