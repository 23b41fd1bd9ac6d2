use super::*;
use crate::fake::{Effect, Fake};
use serde_json::{Value, json};
use tokio::sync::watch::{Sender, channel};
use tokio::time::Instant;

fn interrupts() -> (Sender<u32>, Interrupts) {
    let (count, counted) = channel(0);
    (count, Interrupts::from(counted))
}

fn ended(outcome: &str) -> Value {
    json!({"status": {"phase": "Finished", "outcome": outcome}})
}

/// A run at work, whose spec was changed once.
fn at_work() -> Fake {
    let fake = Fake::new();
    fake.add("a", &json!({"bots": 4}), &json!({"phase": "Running", "observedGeneration": 1}));
    fake.change("a", &json!({"spec": {"duration": "5m"}}));
    fake
}

/// What the operator says of a spec of this generation.
fn told(generation: i64, holds: &str, reason: &str) -> Value {
    json!({"status": {"observedGeneration": generation, "conditions": [{
        "type": "SpecChanged", "status": holds, "reason": reason, "message": "because of it",
        "observedGeneration": generation, "lastTransitionTime": "2030-01-01T00:00:00Z",
    }]}})
}

/// Follows the run as `run` does, while something happens to it each second.
async fn followed(
    fake: &Fake,
    wanted: Option<i64>,
    interrupts: &Interrupts,
    happens: Vec<Value>,
) -> Result<Exit, Error> {
    let cluster = fake.cluster();
    let run = cluster.run("a").await.unwrap();
    let other = fake.clone();
    tokio::spawn(async move {
        for patch in happens {
            tokio::time::sleep(Duration::from_secs(1)).await;
            other.change("a", &patch);
        }
    });
    let how = How { on_interrupt: OnInterrupt::Stop, timeout: Some(Duration::from_secs(600)), wanted };
    to_the_end(&cluster, run, how, interrupts, Vec::new()).await
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_told_to_end_is_told_again_until_it_can() {
    for (what, effect, times, longest) in [
        ("nothing fails", Effect::Break, 0, 1),
        ("connections break", Effect::Break, 5, 10),
        ("the API server is not itself", Effect::Code(500), 5, 10),
        ("somebody has to allow it first", Effect::Code(403), 5, 10),
        ("no answer comes", Effect::Lost, 2, 70),
    ] {
        let fake = at_work();
        fake.fail("merge", times, effect);
        let (count, interrupts) = interrupts();
        count.send_replace(1);
        let begun = Instant::now();
        let operator = fake.clone();
        tokio::spawn(async move {
            while operator.count("merge") <= times {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            operator.change("a", &ended("Passed"));
        });
        let exit = followed(&fake, None, &interrupts, Vec::new()).await.unwrap();
        assert_eq!((exit, fake.count("merge")), (Exit::Passed, times + 1), "{what}");
        assert_eq!(fake.get("a")["spec"]["stop"], true, "{what}");
        assert!(begun.elapsed() <= Duration::from_secs(longest), "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_interrupt_leaves_at_once_though_the_run_could_not_be_told_to_end() {
    for effect in [Effect::Lost, Effect::Code(500)] {
        let fake = at_work();
        fake.fail("merge", usize::MAX, effect);
        let (count, interrupts) = interrupts();
        let begun = Instant::now();
        tokio::spawn(async move {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                count.send_modify(|count| *count += 1);
            }
            std::future::pending::<()>().await;
        });
        let exit = followed(&fake, None, &interrupts, Vec::new()).await.unwrap();
        assert_eq!(exit, Exit::Interrupted, "{effect:?}");
        assert!(begun.elapsed() < Duration::from_secs(11), "{effect:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn no_verdict_of_another_plan_is_taken_for_that_of_what_was_applied() {
    let kept = |generation| told(generation, "True", "Kept");
    let over_with = |mut told: Value| {
        told["status"]["phase"] = "Finished".into();
        told["status"]["outcome"] = "Passed".into();
        told
    };
    let performed = json!({"status": {"observedGeneration": 2}});
    let by_another = json!({"spec": {"duration": "7m"}});
    for (what, wanted, happens, exit) in [
        ("it is ignored", Some(2), vec![kept(2), ended("Passed")], None),
        ("it is ignored, and the run ends", Some(2), vec![over_with(kept(2))], None),
        ("its rate is", Some(2), vec![told(2, "True", "InvalidRate"), ended("Passed")], None),
        ("it is performed", Some(2), vec![performed.clone(), ended("Failed")], Some(Exit::ThresholdsFailed)),
        (
            "somebody else's change is ignored later",
            Some(2),
            vec![performed, by_another, kept(3), ended("Passed")],
            Some(Exit::Passed),
        ),
        ("any verdict is wanted", None, vec![kept(2), ended("Passed")], Some(Exit::Passed)),
    ] {
        let fake = at_work();
        let (_count, interrupts) = interrupts();
        let followed = followed(&fake, wanted, &interrupts, happens).await;
        match (followed, exit) {
            (Ok(found), Some(exit)) => assert_eq!(found, exit, "{what}"),
            (Err(error), None) => {
                let said = error.to_string();
                let cure = "another name with --name; or wait for the end of that one, or end it (kubectl botarmy stop a -n ns)";
                assert!(said.contains("because of it") && said.contains(cure), "{what}: {said}");
                assert!(!error.leaves_the_end_unknown(), "{what}");
            }
            (found, exit) => panic!("{what}: {found:?}, and not {exit:?}"),
        }
        assert_eq!(fake.count("merge"), 0, "{what}: the run is another's, and goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_run_that_is_lost_from_sight_the_end_is_not_known() {
    let fake = at_work();
    let (_count, interrupts) = interrupts();
    let deleting = fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        deleting.remove();
    });
    let gone = followed(&fake, None, &interrupts, Vec::new()).await.unwrap_err();
    assert!(matches!(gone, Error::Gone(_)) && gone.leaves_the_end_unknown(), "{gone}");

    let fake = at_work();
    // Who may not list runs cannot watch them either.
    fake.fail("list", usize::MAX, Effect::Code(403));
    let lost = followed(&fake, None, &interrupts, Vec::new()).await.unwrap_err();
    let said = lost.to_string();
    assert!(lost.leaves_the_end_unknown(), "{lost}");
    let cure = "may go on all the while; watch it: kubectl botarmy watch a -n ns; end it: kubectl botarmy stop a -n ns";
    assert!(said.starts_with("the cluster does not allow it: ") && said.contains(cure), "{said}");
}
