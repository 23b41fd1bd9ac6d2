//! What the target has counted of each pod, second by second, against what the run tells.

use crate::cluster::Namespace;
use botarmy_protocol::Stage;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How much of what a pod has sent last may be unknown when it is lost, in milliseconds: what it has done since its last
/// check-in, and that one if it was on its way.
const CHECK_IN_MS: u64 = 2_000;
/// How far the clocks of runners and the operator may be apart, and a report be late, in milliseconds.
const LATE_MS: u64 = 500;

/// A time in which what runners say does not arrive, or does not outlive the operator: milliseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Blind {
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// The UID of the pod of which alone this is so.
    pub(crate) pod: Option<String>,
}

/// A request to a page of the shop that says which run and which pod has sent it.
pub(crate) fn get(run: &str, page: &str) -> Value {
    json!({"http": {"get": format!("{{{{ target }}}}/{page}"), "headers": headers(run)}})
}

/// The headers by which the shop tells the pods of a run apart.
pub(crate) fn headers(run: &str) -> Value {
    json!({"x-sender": format!("{run}/{{{{ env.POD }}}}")})
}

/// A run of two runners whose requests say who has sent them.
pub(crate) fn army(name: &str, fields: &Value) -> String {
    let pod = json!({"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}});
    let mut run = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name},
        "spec": {
            "target": "http://target:8080", "trees": {"T": get(name, "catalogue")}, "bots": 4,
            "runners": {"count": 2}, "pace": "100ms", "env": [pod],
        },
    });
    for (key, value) in fields.as_object().expect("fields") {
        run["spec"][key] = value.clone();
    }
    run.to_string()
}

/// What the target has seen of one pod: requests by the second since 1970.
#[derive(Debug, Default)]
struct Seen(BTreeMap<u64, u64>);

impl Seen {
    fn sum(&self, which: impl Fn(u64) -> bool) -> u64 {
        self.0.iter().filter(|(second, _)| which(**second)).map(|(_, count)| count).sum()
    }

    fn all(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Those of the seconds that were over by then.
    fn before(&self, ms: u64) -> u64 {
        self.sum(|second| (second + 1) * 1000 <= ms)
    }

    /// Those of the second in which this moment lies, and later ones.
    fn since(&self, ms: u64) -> u64 {
        self.sum(|second| second >= ms / 1000)
    }

    /// The second of the last one.
    fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(second, _)| *second)
    }
}

/// What the target has seen of the pods of a run, by their UIDs.
fn seen(namespace: &Namespace, run: &str) -> BTreeMap<String, Seen> {
    let stats = namespace.shop_senders();
    assert_eq!(stats["untimed"], 0, "there was no room to count by the second");
    let prefix = format!("{run}/");
    let senders = stats["senders"].as_object().expect("senders").iter();
    let of_run = senders.filter_map(|(name, seconds)| Some((name.strip_prefix(&prefix)?, seconds)));
    let seconds = |seconds: &Value| {
        let seconds = seconds.as_object().expect("seconds").iter();
        Seen(seconds.map(|(at, n)| (at.parse().expect("a second"), n.as_u64().expect("a count"))).collect())
    };
    of_run.map(|(uid, of_pod)| (uid.to_owned(), seconds(of_pod))).collect()
}

/// From when on what a pod has sent may be unknown that was last seen in this second: a check-in before it, and for as
/// long before that as nothing that it said was kept, and a check-in before that.
fn unknown_from(uid: &str, last: u64, blind: &[Blind]) -> u64 {
    let (mut from, until) = ((last * 1000).saturating_sub(CHECK_IN_MS), (last + 1) * 1000);
    let of_pod = |time: &&Blind| time.pod.as_deref().is_none_or(|pod| pod == uid);
    let times: Vec<&Blind> = blind.iter().filter(of_pod).collect();
    // One time leads to the one before it.
    while let Some(earlier) = times.iter().find(|t| t.from < from && t.until >= from && t.from <= until) {
        from = earlier.from.saturating_sub(CHECK_IN_MS);
    }
    from
}

/// Holds a pod that is named in a gap against the target: it falls short only inside of it, and by no more than could not
/// be known.
fn hold_lost(uid: &str, counted: u64, seen: &Seen, gap: &Value, start_ms: u64, blind: &[Blind]) {
    let at = |field: &str| start_ms + 1000 * gap[field].as_u64().expect("a second");
    let (from, until) = (at("from"), at("until"));
    let lacking = seen.all().checked_sub(counted);
    let lacking = lacking.unwrap_or_else(|| panic!("pod {uid}: {counted} counted of {seen:?}"));
    let last = seen.last().unwrap_or_default();
    let unknown = seen.since(unknown_from(uid, last, blind));
    println!("pod {uid}: {counted} of {}, in a gap; up to {unknown} may be lacking", seen.all());
    let told = format!("pod {uid}: {counted} of {seen:?}; blind: {blind:?}; {gap:#}");
    // What it measures last may be told as that of a second which is not over.
    assert!(counted >= seen.before(from.saturating_sub(1000 + LATE_MS)), "lacking before the gap: {told}");
    assert!(last * 1000 <= until + LATE_MS, "seen after the gap: {told}");
    assert!(lacking <= unknown, "{lacking} lacking, of which {unknown} could not be known: {told}");
}

/// Holds the count of each pod against the target's: equal for those that lived or have handed over, in a gap as much as
/// could be known; and all of them together as the result has it.
pub(crate) fn hold(namespace: &Namespace, run: &str, blind: &[Blind]) {
    let status = namespace.get(&format!("botrun/{run}"))["status"].clone();
    let kept = namespace.checkpoint(run);
    let gaps = status["result"]["gaps"].as_array().cloned().unwrap_or_default();
    let mut seen = seen(namespace, run);
    let uids: BTreeSet<String> = seen.keys().chain(kept.pods.keys()).cloned().collect();
    for uid in &uids {
        let (seen, pod) = (seen.remove(uid).unwrap_or_default(), kept.pods.get(uid));
        let counted = pod.map_or(0, |pod| pod.requests);
        let handed_over = pod.is_some_and(|pod| pod.left && pod.stage == Stage::Finished);
        let gap = gaps.iter().find(|gap| gap["podUID"] == **uid).filter(|_| !handed_over);
        match (gap, kept.start_at_ms) {
            (Some(gap), Some(start_ms)) => hold_lost(uid, counted, &seen, gap, start_ms, blind),
            _ => assert_eq!(counted, seen.all(), "pod {uid} has lived or handed over; gaps: {gaps:#?}"),
        }
    }
    let sum: u64 = kept.pods.values().map(|pod| pod.requests).sum();
    assert_eq!(status["result"]["requests"], sum, "the result is the sum of the pods");
    assert!(sum > 0, "nothing was counted");
}
