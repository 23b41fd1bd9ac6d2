//! Who may load a target, and when it is free again: whatever keeps a run from its target has pods, or may get some.

use crate::fake::{Effect, Fake, Fault};
use crate::operator::{
    Operator, apply, at_work, condition, eventually, phase, run, said, scheduled, seconds, told,
};
use botarmy_operator::armies::Army;
use botarmy_operator::controller::Limits;
use botarmy_operator::election::Standing;
use botarmy_protocol::{CheckIn, Mistake, Refusal, Stage};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

fn target() -> Value {
    json!({"target": "http://target:8080"})
}

/// A run that was made before all others.
fn oldest(name: &str, fields: &Value) -> Value {
    let mut run = run(name, fields);
    run["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    run
}

/// What marks an object that is being deleted, and waits for something.
fn leaves() -> Value {
    json!({"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]})
}

async fn waits(fake: &Fake, name: &str) {
    let is_queued = || (condition(fake, name, "Scheduled") == told("False", "Queued")).then_some(());
    eventually("it waits", is_queued).await;
}

#[tokio::test(start_paused = true)]
async fn who_has_no_pods_and_gets_none_keeps_nobody_from_a_target() {
    let mut suspended = target();
    suspended["suspend"] = json!(true);
    let mut deleted = oldest("a", &target());
    deleted["metadata"]
        .as_object_mut()
        .expect("metadata")
        .extend(leaves().as_object().cloned().expect("fields"));
    for (what, first) in [("suspended", oldest("a", &suspended)), ("being deleted", deleted)] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        apply(&fake, first);
        seconds(2).await;
        apply(&fake, run("b", &target()));
        scheduled(&fake, "b").await;
        assert_eq!(fake.get("jobs", "a"), None, "{what}");
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_next_knows_who_is_at_work_before_it_has_looked_at_it() {
    let fake = Fake::new();
    let before = Operator::start(&fake);
    let mut suspended = target();
    suspended["suspend"] = json!(true);
    apply(&fake, oldest("b", &suspended));
    apply(&fake, run("a", &target()));
    scheduled(&fake, "a").await;
    before.kill().await;
    fake.inject(Fault::new("get", "jobs", Effect::Code(500)).about("a"));
    let _after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    fake.change("botruns", "b", &json!({"spec": {"suspend": false}}));
    waits(&fake, "b").await;
    seconds(30).await;
    assert_eq!(fake.get("jobs", "b"), None);
}

#[tokio::test(start_paused = true)]
async fn a_target_is_not_free_while_a_job_may_make_pods_for_it() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    apply(&fake, run("a", &target()));
    scheduled(&fake, "a").await;
    apply(&fake, run("b", &target()));
    waits(&fake, "b").await;
    fake.change("botruns", "a", &json!({"metadata": leaves()}));
    seconds(30).await;
    assert_eq!(fake.get("jobs", "b"), None);
    fake.remove("jobs", "a");
    let gone = Instant::now();
    scheduled(&fake, "b").await;
    assert!(gone.elapsed() < Duration::from_secs(10), "its pods are looked for");
    operator.kill().await;
}

#[tokio::test(start_paused = true)]
async fn the_job_of_another_run_of_the_name_keeps_nobody_from_the_target() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    apply(&fake, run("a", &target()));
    scheduled(&fake, "a").await;
    apply(&fake, run("b", &target()));
    waits(&fake, "b").await;
    // The API server does not tell of pods before the other one has its Job.
    fake.inject(Fault::new("list", "pods", Effect::Code(500)));
    fake.remove("botruns", "a");
    let gone = Instant::now();
    apply(&fake, run("a", &json!({})));
    eventually("it has its Job", || fake.get("jobs", "a").map(drop)).await;
    fake.mend();
    scheduled(&fake, "b").await;
    assert!(gone.elapsed() < Duration::from_secs(60), "{:?}", gone.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_taken_away_keeps_its_target_and_not_the_result() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let mut exported = target();
    exported["export"] = json!([{"http": {"url": "http://store:8080/"}}]);
    let uid = apply(&fake, run("a", &exported));
    scheduled(&fake, "a").await;
    apply(&fake, run("b", &target()));
    waits(&fake, "b").await;
    fake.inject(Fault::new("delete", "jobs", Effect::Code(500)));
    let mistake = Mistake { place: "spec.data".into(), message: "no row is left".into() };
    let refusal = Some(Refusal { invalid: false, mistakes: vec![mistake] });
    operator.hear(&CheckIn { refusal, ..said(&uid, 0, Stage::Preparing, &[]) });
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
    let exports = || fake.all("jobs").iter().filter(|job| job["metadata"]["name"] != "a").count();
    eventually("its result is taken away", || (exports() == 1).then_some(())).await;
    seconds(30).await;
    assert_eq!((operator.knows(&uid), fake.get("jobs", "b")), (true, None), "bots of it may be at work");
    fake.mend();
    // Somebody else has taken it away meanwhile.
    fake.inject(Fault::new("delete", "jobs", Effect::Code(404)));
    let job = fake.get("jobs", "a").expect("its Job")["metadata"]["uid"].clone();
    eventually("nobody waits for it", || (!operator.knows(&uid)).then_some(())).await;
    fake.remove("jobs", "a");
    scheduled(&fake, "b").await;
    let deletions = fake.calls().to("delete", "jobs").about("a");
    let which: Vec<&Value> = deletions.0.iter().map(|seen| &seen.call.body["preconditions"]["uid"]).collect();
    assert!(which.iter().all(|uid| **uid == job), "this one, and no other: {which:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_given_up_stays_to_be_looked_at() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let given_up = json!({"type": "FailureTarget", "status": "True", "reason": "MaxFailedIndexesExceeded"});
    fake.change("jobs", "a", &json!({"status": {"conditions": [given_up]}}));
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
    seconds(30).await;
    assert!(fake.get("jobs", "a").is_some(), "it takes its pods away by itself");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_let_in_and_is_suspended_before_its_job_is_let_in_anew() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    fake.inject(Fault::new("create", "jobs", Effect::Code(403)));
    let uid = apply(&fake, run("a", &json!({})));
    let let_in = || operator.armies.lock().get(&uid).and_then(Army::let_in_ms);
    eventually("it is let in", let_in).await;
    fake.change("botruns", "a", &json!({"spec": {"suspend": true}}));
    eventually("it is kept out", || let_in().is_none().then_some(())).await;
    fake.mend();
    fake.change("botruns", "a", &json!({"spec": {"suspend": false}}));
    scheduled(&fake, "a").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_deleted_while_its_export_is_looked_at_is_forgotten() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let export = json!({"export": [{"http": {"url": "http://store:8080/"}}]});
    let uid = apply(&fake, run("a", &export));
    scheduled(&fake, "a").await;
    operator.finish(&uid).await;
    eventually("its export", || {
        (condition(&fake, "a", "Exported") == told("Unknown", "ExportPending")).then_some(())
    })
    .await;
    seconds(5).await;
    fake.inject(Fault::new("list", "pods", Effect::Slow(Duration::from_secs(2))));
    let looks = fake.calls().to("list", "pods").count();
    eventually("a slow call", || (fake.calls().to("list", "pods").count() > looks).then_some(())).await;
    assert!(operator.knows(&uid), "its runner may be answered yet");
    fake.remove("botruns", "a");
    fake.mend();
    seconds(10).await;
    assert!(!operator.knows(&uid));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_lacks_pods_is_taken_away_with_its_namespace() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    at_work(&fake, &operator, "a").await;
    fake.add_namespace(&json!({"deletionTimestamp": "2030-01-01T00:00:00Z"}));
    eventually("its Job is gone", || fake.get("jobs", "a").is_none().then_some(())).await;
    seconds(30).await;
    assert_eq!(fake.calls().to("create", "jobs").count(), 1, "it gets no other");
}
