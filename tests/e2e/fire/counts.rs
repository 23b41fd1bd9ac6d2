//! What the target has counted of each pod, against what the run tells.

use crate::cluster::Namespace;
use base64::Engine;
use botarmy_operator::checkpoint;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Holds the count of each pod against the target's: equal for those that lived, not more for those in a gap, and all of
/// them together as the result has it.
pub(crate) fn hold_against_the_target(namespace: &Namespace, run: &str) {
    let status = namespace.get(&format!("botrun/{run}"))["status"].clone();
    let stored = namespace.get(&format!("configmap/{run}-checkpoint"));
    let packed = stored["binaryData"]["checkpoint.json.gz"].as_str().expect("a checkpoint");
    let packed = base64::engine::general_purpose::STANDARD.decode(packed).expect("base64");
    let pods = checkpoint::unpack(&packed).expect("a checkpoint").pods;
    let counted: BTreeMap<&str, u64> = pods.iter().map(|(uid, pod)| (uid.as_str(), pod.requests)).collect();
    let gaps = status["result"]["gaps"].as_array().cloned().unwrap_or_default();
    let in_gap: BTreeSet<&str> = gaps.iter().filter_map(|gap| gap["podUID"].as_str()).collect();
    let stats = namespace.shop_stats();
    let seen: BTreeMap<&str, u64> = stats["senders"]
        .as_object()
        .expect("senders")
        .iter()
        .map(|(uid, count)| (uid.as_str(), count.as_u64().expect("a count")))
        .collect();
    for (uid, seen) in &seen {
        let counted = counted.get(uid).copied().unwrap_or_default();
        if in_gap.contains(uid) {
            assert!(counted <= *seen, "pod {uid} is in a gap: {counted} of {seen}");
            println!("pod {uid}: {counted} of {seen}, in a gap");
        } else {
            assert_eq!(counted, *seen, "pod {uid} has lived; gaps: {gaps:#?}");
        }
    }
    for (uid, counted) in &counted {
        assert!(
            *counted == 0 || seen.contains_key(uid),
            "pod {uid}: {counted} requests that nobody has seen"
        );
    }
    let sum: u64 = counted.values().sum();
    assert_eq!(status["result"]["requests"], Value::from(sum), "the result is the sum of the pods");
}
