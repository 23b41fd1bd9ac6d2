//! How much one check-in may say: all runs wait while one is taken, so none is read that would take long.

#![allow(clippy::expect_used, reason = "a test ends with a panic")]

use botarmy_protocol::shared::MAX_CHANGES;
use botarmy_protocol::{CheckIn, MAX_DELTAS};
use serde_json::{Value, json};

/// What a runner says, with these fields beside what it has to say.
fn read(field: &str, value: &Value) -> Result<CheckIn, String> {
    let mut said = json!({
        "protocol": 1, "run": {"namespace": "n", "name": "r", "uid": "u"}, "index": 0, "podUid": "p",
        "stage": "running", "alive": 1, "roundTripMs": 1, "deltas": [],
    });
    said[field] = value.clone();
    // As it comes over the network.
    serde_json::from_str(&said.to_string()).map_err(|error| error.to_string())
}

fn times(n: usize, item: &Value) -> Value {
    vec![item.clone(); n].into()
}

fn names(n: usize, name: &str) -> Value {
    (0..n).map(|n| (format!("{name}{n}"), Value::from(1))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn lists_are_read_to_their_bound_and_refused_beyond_it() {
    let delta = json!({"sequence": 1, "slices": [], "alive": 0});
    let change = json!([1, {"pop": "k"}]);
    for (field, wrapped, item, most) in
        [("deltas", None, delta, MAX_DELTAS), ("together", Some("changes"), change, MAX_CHANGES)]
    {
        let wrap = |list: Value| wrapped.map_or(list.clone(), |key| json!({key: list}));
        let full = read(field, &wrap(times(most, &item))).expect("a check-in");
        assert_eq!(full.deltas.len().max(full.together.changes.len()), most);
        for more in [most + 1, 100_000] {
            let refused = read(field, &wrap(times(more, &item))).expect_err("too many");
            assert!(refused.contains(&format!("at most {most} items")), "{refused}");
        }
    }
}

#[test]
fn what_is_told_by_scenario_is_bounded() {
    for key in ["rows", "owed"] {
        assert!(read("standing", &json!({key: names(100, "s")})).is_ok());
        let refused = read("standing", &json!({key: names(101, "s")})).expect_err("too many");
        assert!(refused.contains("at most 100 entries"), "{refused}");
        let refused = read("standing", &json!({key: names(1, &"s".repeat(1 << 10))})).expect_err("too long");
        assert!(refused.contains("at most 1024"), "{refused}");
    }
}

#[test]
fn a_runner_with_many_mistakes_is_heard_and_they_are_cut() {
    let mistake = json!({"place": "spec", "message": "no"});
    let said = read("refusal", &json!({"invalid": true, "mistakes": times(50_000, &mistake)}));
    let refusal = said.expect("a check-in").refusal.expect("a refusal");
    assert_eq!((refusal.invalid, refusal.mistakes.len()), (true, 1_000));
}
