use super::*;
use crate::fake::Fake;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A run at work with 4 bots.
fn at_work() -> Value {
    json!({"phase": "Running", "observedGeneration": 1, "botsTarget": 4})
}

fn limited() -> Value {
    json!([{
        "type": "SpecChanged", "status": "True", "reason": "BotsLimited", "message": "no more\nthan 100",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    }])
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_makes_of_it_is_waited_for_a_while_and_told() {
    let late = "the operator has not taken it up yet, so that 4 bots stay for now; kubectl get botrun shows when it has";
    for (what, before, after, within_ms, told) in [
        ("as it shall be", at_work(), Some(json!({"observedGeneration": 2, "botsTarget": 500})), 1_500, None),
        (
            "fewer are let in",
            at_work(),
            Some(json!({"observedGeneration": 2, "botsTarget": 100, "conditions": limited()})),
            1_500,
            Some("100 bots are to be alive, and not 500: no more\\nthan 100"),
        ),
        (
            "fewer, for another reason",
            at_work(),
            Some(json!({"observedGeneration": 2, "botsTarget": 100})),
            1_500,
            Some(
                "100 bots are to be alive, and not 500: the namespace allows no more, or somebody else has scaled it",
            ),
        ),
        ("nobody looks", at_work(), None, 3_000, Some(late)),
        ("it waits", json!({"phase": "Pending"}), None, 0, None),
        ("nobody has ever looked", json!({}), None, 0, None),
        ("it has ended meanwhile", at_work(), Some(json!({"phase": "Finished"})), 1_500, None),
    ] {
        let fake = Fake::new();
        fake.add("a", &json!({"bots": 4}), &before);
        let cluster = fake.cluster();
        cluster.scale("a", 500).await.unwrap();
        if let Some(after) = after {
            let fake = fake.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                fake.change("a", &json!({"status": after}));
            });
        }
        let begun = Instant::now();
        assert_eq!(shortfall(&cluster, "a", 500).await.as_deref(), told, "{what}");
        let took = begun.elapsed();
        assert!(took <= Duration::from_millis(within_ms), "{what}: {took:?}");
        assert_eq!(fake.get("a")["spec"]["bots"], 500, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_scaled_whatever_comes_of_the_look_and_not_when_it_is_over() {
    let fake = Fake::new();
    fake.add("a", &json!({"bots": 4}), &at_work());
    assert_eq!(change(&fake.cluster(), "a", 500).await.unwrap(), Exit::Passed);
    fake.change("a", &json!({"status": {"phase": "Finished", "outcome": "Passed"}}));
    let refused = change(&fake.cluster(), "a", 3).await.unwrap_err().to_string();
    assert!(refused.starts_with("botrun/a is over (Passed)"), "{refused}");
    assert_eq!(fake.get("a")["spec"]["bots"], 500);
}
