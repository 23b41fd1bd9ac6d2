use super::*;
use crate::fake::{Effect, Fake};
use serde_json::json;
use tokio::sync::watch::channel;

fn manifest() -> Manifest {
    let body = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": "a"},
        "spec": {"trees": {"T": "done"}, "bots": 4, "thresholds": [{"expect": "count < 1"}]},
    });
    Manifest::new(body, None).unwrap()
}

/// Looks and applies, as the command does.
async fn ran(fake: &Fake, detach: bool) -> Result<Exit, Error> {
    let args = Args {
        file: "-".into(),
        name: None,
        results: OutArgs { out: Vec::new(), format: None },
        timeout: Some(Duration::from_secs(600)),
        detach,
    };
    let (cluster, manifest) = (fake.cluster(), manifest());
    let (_count, counted) = channel(0);
    look_before(&cluster, &manifest).await?;
    apply(&args, &cluster, &manifest, &Interrupts::from(counted), Vec::new()).await
}

/// A run of another spec that is at work under the same name.
fn another() -> Fake {
    let fake = Fake::new();
    fake.add("a", &json!({"bots": 4}), &json!({"phase": "Running", "observedGeneration": 1}));
    fake
}

fn passed() -> serde_json::Value {
    json!({"status": {"phase": "Finished", "outcome": "Passed"}})
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_made_is_followed_to_its_own_end() {
    let fake = Fake::new();
    fake.after("list", passed());
    assert_eq!(ran(&fake, false).await.unwrap(), Exit::Passed);
    assert_eq!(ran(&Fake::new(), true).await.unwrap(), Exit::Passed);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_that_was_over_before_is_not_that_of_the_file() {
    for when in ["before it is looked at", "between the look and the apply"] {
        for detach in [false, true] {
            let fake = another();
            if when.starts_with("before") {
                fake.change("a", &passed());
            } else {
                fake.after("get", passed());
            }
            let refused = ran(&fake, detach).await.unwrap_err();
            let said = refused.to_string();
            assert!(said.starts_with("botrun/a is over already (Passed); "), "{when}: {said}");
            assert_eq!(refused.exit(), Exit::Invalid, "{when}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_keeps_its_plan_has_no_verdict_on_the_file() {
    let kept = json!({"status": {"observedGeneration": 2, "conditions": [{
        "type": "SpecChanged", "status": "True", "reason": "Kept", "message": "no effect", "observedGeneration": 2,
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    }]}});
    let fake = another();
    fake.after("apply", kept);
    let refused = ran(&fake, false).await.unwrap_err();
    assert!(refused.to_string().contains("Kept: no effect") && refused.exit() == Exit::Invalid, "{refused}");
    // The same again: that the file is ignored is known at once, also to who does not wait for the end.
    for detach in [false, true] {
        let refused = ran(&fake, detach).await.unwrap_err();
        assert!(refused.to_string().contains("Kept: no effect"), "{refused}");
    }
    assert_eq!(fake.count("merge"), 0, "nobody has stopped it");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_begun_has_another_code_than_what_was_not() {
    for (what, effect, exit, told) in [
        ("it is refused", Effect::Code(403), Exit::Invalid, "the cluster does not allow it: "),
        ("no answer comes", Effect::Lost, Exit::EndUnknown, "the cluster has not answered within 30s"),
        ("it is cut off", Effect::Break, Exit::EndUnknown, "the connection to the cluster broke: "),
    ] {
        let fake = Fake::new();
        fake.fail("apply", 1, effect);
        let error = ran(&fake, false).await.unwrap_err();
        assert!(error.to_string().starts_with(told), "{what}: {error}");
        let warned = error.to_string().contains("may have been applied all the same");
        assert_eq!((error.exit(), warned), (exit, exit == Exit::EndUnknown), "{what}");
    }
    let fake = another();
    fake.fail("list", 1, Effect::Code(403));
    let unseen = ran(&fake, false).await.unwrap_err();
    assert_eq!(unseen.exit(), Exit::EndUnknown, "it was begun, and cannot be watched");
}
