//! Runs that wait for others or for a person, and runs whose time is over.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{
    Operator, apply, at_work, condition, eventually, phase, run, scheduled, seconds, told,
};
use botarmy_crds::RUN_UID_LABEL;
use botarmy_operator::armies::{Army, Checkpoint, MAX_PAUSES};
use botarmy_operator::clock::now_ms;
use botarmy_operator::controller::Limits;
use botarmy_operator::election::Standing;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn runs_begin_one_after_another_where_only_one_may_be_at_work() {
    let limits = Limits::read("- {namespaces: ['*'], maxRuns: 1}").expect("limits");
    let target = json!({"target": "http://target:8080"});
    for (what, limits, fields) in
        [("one target", Limits::default(), target), ("one run in a namespace", limits, json!({}))]
    {
        let fake = Fake::new();
        let operator = Operator::start_as(&fake, Standing::Leads(1), limits);
        let first = apply(&fake, run("a", &fields));
        let second = apply(&fake, run("b", &fields));
        scheduled(&fake, "a").await;
        eventually("the second waits", || {
            (condition(&fake, "b", "Scheduled") == told("False", "Queued")).then_some(())
        })
        .await;
        operator.begin(&first).await;
        let waits = Instant::now();
        seconds(60).await;
        let looks = fake.calls().after(waits).to("get", "jobs").about("b").count();
        assert!((1..=2).contains(&looks), "{what}: it waits on, and is looked at {looks} times in a minute");
        assert_eq!((phase(&fake, "b"), fake.get("jobs", "b")), (json!("Pending"), None), "{what}");
        assert_eq!(fake.calls().to("patch", "botruns/status").about("b").count(), 1, "{what}: told once");
        operator.finish(&first).await;
        eventually("the first is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
        let over = Instant::now();
        scheduled(&fake, "b").await;
        assert!(over.elapsed() <= Duration::from_secs(5), "{what}: {:?}", over.elapsed());
        assert_eq!(phase(&fake, "a"), "Finished", "{what}");
        assert_eq!(fake.all("jobs").len(), 2, "{what}");
        assert!(operator.knows(&second), "{what}");
        operator.kill().await;
    }
}

/// A pod of a run that is at work, and that nobody takes away but the test.
fn add_pod(fake: &Fake, run_uid: &str) {
    let metadata = json!({"name": "pod", "namespace": NAMESPACE, "labels": {RUN_UID_LABEL: run_uid}});
    let status = json!({"phase": "Running"});
    fake.add("pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}));
}

/// Why a run waits, in words.
fn waits(fake: &Fake, name: &str) -> String {
    let run = fake.get("botruns", name).unwrap_or_default();
    let conditions = run["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let told = conditions.into_iter().find(|c| c["type"] == "Scheduled" && c["reason"] == "Queued");
    told.and_then(|c| c["message"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// Two runs of one target, the first of which is at work with a pod; then that one comes to this end.
async fn one_after_another(fake: &Fake, end: &str) -> Operator {
    let target = json!({"target": "http://target:8080"});
    let operator = Operator::start(fake);
    let first = apply(fake, run("a", &target));
    scheduled(fake, "a").await;
    add_pod(fake, &first);
    apply(fake, run("b", &target));
    eventually("the second waits", || waits(fake, "b").contains("loads the same target").then_some(())).await;
    match end {
        "deleted at work" => {
            operator.begin(&first).await;
            fake.remove("botruns", "a");
        }
        "deleted" => fake.remove("botruns", "a"),
        _ => {
            let failed = json!({"type": "Failed", "status": "True", "reason": "R", "message": "m"});
            fake.change("jobs", "a", &json!({"status": {"conditions": [failed]}}));
            eventually("it has failed", || (phase(fake, "a") == "Finished").then_some(())).await;
        }
    }
    operator
}

#[tokio::test(start_paused = true)]
async fn a_target_is_free_only_when_the_pods_are_gone_of_who_loaded_it() {
    for end in ["deleted at work", "deleted", "failed"] {
        let fake = Fake::new();
        let operator = one_after_another(&fake, end).await;
        let ended = Instant::now();
        eventually(end, || waits(&fake, "b").contains("until they have ended").then_some(())).await;
        assert!(ended.elapsed() <= Duration::from_secs(5), "{end}: {:?}", ended.elapsed());
        seconds(60).await;
        assert_eq!(fake.get("jobs", "b"), None, "{end}");
        let looks = fake.calls().to("list", "pods").count();
        assert!(looks < 120, "{end}: {looks} looks at the pods");
        fake.change("pods", "pod", &json!({"status": {"phase": "Succeeded"}}));
        scheduled(&fake, "b").await;
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_nobody_can_end_are_waited_for_until_they_have_stopped_by_themselves() {
    let fake = Fake::new();
    let operator = one_after_another(&fake, "deleted at work").await;
    let gone = Instant::now();
    fake.inject(Fault::new("list", "pods", Effect::Code(500)));
    eventually("the second begins", || fake.get("jobs", "b").map(drop)).await;
    let waited = gone.elapsed();
    let stopped = Duration::from_secs(120 + 30);
    assert!((stopped..stopped + Duration::from_secs(10)).contains(&waited), "{waited:?}");
    operator.kill().await;
}

#[tokio::test(start_paused = true)]
async fn of_runs_that_come_together_the_first_begins_however_slow_the_api_server_is() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    fake.inject(Fault::new("get", "jobs", Effect::Slow(Duration::from_secs(1))));
    for n in 0..8 {
        apply(&fake, run(&format!("r{n}"), &json!({"target": "http://target:8080"})));
    }
    seconds(60).await;
    let jobs: Vec<Value> = fake.all("jobs").iter().map(|job| job["metadata"]["name"].clone()).collect();
    assert_eq!(jobs, ["r0"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_suspended_from_the_start_has_no_job_until_it_goes_on() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    apply(&fake, run("a", &json!({"suspend": true})));
    seconds(30).await;
    assert_eq!(condition(&fake, "a", "Scheduled"), told("False", "Suspended"));
    assert_eq!((phase(&fake, "a"), fake.all("jobs").len()), (json!("Pending"), 0));
    fake.change("botruns", "a", &json!({"spec": {"suspend": false}}));
    scheduled(&fake, "a").await;
    assert_eq!(fake.all("jobs").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_still_for_a_while_is_the_same_run() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    for (suspend, reason) in [(true, "Suspended"), (false, "Scheduled")] {
        fake.change("botruns", "a", &json!({"spec": {"suspend": suspend}}));
        eventually(reason, || (condition(&fake, "a", "Running") == told("False", reason)).then_some(()))
            .await;
        seconds(2).await;
        assert_eq!(condition(&fake, "a", "SpecChanged"), None, "{reason}");
    }
    fake.change("botruns", "a", &json!({"spec": {"custom": {"other": true}}}));
    eventually("this has no effect", || {
        (condition(&fake, "a", "SpecChanged") == told("True", "Kept")).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_stands_still_has_done_so_since_it_was_told_to() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    at_work(&fake, &operator, "a").await;
    fake.change("botruns", "a", &json!({"spec": {"suspend": true}}));
    eventually("it stands still", || {
        (condition(&fake, "a", "Running") == told("False", "Suspended")).then_some(())
    })
    .await;
    let conditions = || fake.get("botruns", "a").expect("a run")["status"]["conditions"].clone();
    let is_running = |c: &&mut Value| c["type"] == "Running";
    let mut aged = conditions();
    let running = aged.as_array_mut().expect("conditions").iter_mut().find(is_running);
    running.expect("Running")["lastTransitionTime"] = "2001-01-01T00:00:00Z".into();
    fake.change("botruns", "a", &json!({"status": {"conditions": aged}}));
    seconds(20).await;
    assert_eq!(conditions(), aged, "nothing has changed since");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_stood_still_too_often_goes_on_and_says_so() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    operator.begin(&uid).await;
    {
        let mut armies = operator.armies.lock();
        let army = armies.get_mut(&uid).expect("an army");
        let most = u64::try_from(MAX_PAUSES).expect("a number");
        let pauses = (0..most).map(|n| (n, Some(n))).collect();
        let checkpoint = Checkpoint { pauses, ..army.checkpoint() };
        *army = Army::restore(NAMESPACE, "a", army.run.clone(), checkpoint, 1, now_ms());
    }
    fake.change("botruns", "a", &json!({"spec": {"suspend": true}}));
    eventually("it is told", || {
        (condition(&fake, "a", "Running") == told("True", "SuspendIgnored")).then_some(())
    })
    .await;
    assert_eq!(phase(&fake, "a"), "Running");
    fake.change("botruns", "a", &json!({"spec": {"suspend": false}}));
    eventually("nothing is to be told", || {
        (condition(&fake, "a", "Running") == told("True", "BotsAtWork")).then_some(())
    })
    .await;
}

/// A run that has passed so long ago, and is kept for so many seconds.
fn ended(name: &str, ago: SignedDuration, kept: u32) -> Value {
    let mut run = run(name, &json!({"ttlSecondsAfterFinished": {"passed": kept}}));
    let ended = Timestamp::now() - ago;
    run["status"] = json!({
        "phase": "Finished", "outcome": "Passed", "observedGeneration": 1, "completionTime": ended.to_string(),
    });
    run
}

#[tokio::test(start_paused = true)]
async fn a_run_is_deleted_once_its_time_is_over_and_not_looked_at_before() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let over = apply(&fake, ended("over", SignedDuration::from_hours(1), 60));
    apply(&fake, ended("kept", SignedDuration::from_hours(1), 7_200));
    seconds(600).await;
    let deleted = fake.calls().to("delete", "botruns").0;
    assert_eq!((deleted.len(), deleted[0].call.name.as_str(), deleted[0].code), (1, "over", Some(200)));
    assert_eq!(deleted[0].call.body["preconditions"], json!({"uid": over}), "this one, and no other");
    assert!(fake.get("botruns", "over").is_none() && fake.get("botruns", "kept").is_some());
    assert_eq!(fake.calls().to("get", "jobs").about("kept").count(), 1);
}

/// By the real clock, since that is what says how long ago a run has ended.
#[tokio::test]
async fn a_run_is_kept_for_as_long_as_it_says() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let began = Instant::now();
    apply(&fake, ended("a", SignedDuration::ZERO, 2));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(fake.get("botruns", "a").is_some(), "its time is not over");
    eventually("it is deleted", || fake.get("botruns", "a").is_none().then_some(())).await;
    let kept = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&kept), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_is_looked_at_again_when_somebody_changes_it() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let target = json!({"target": "http://target:8080"});
    apply(&fake, run("a", &target));
    scheduled(&fake, "a").await;
    apply(&fake, run("b", &target));
    eventually("the second waits", || waits(&fake, "b").contains("loads the same target").then_some(()))
        .await;
    let changed = Instant::now();
    // It would wait on.
    fake.change("botruns", "b", &json!({"spec": {"trees": {"T": {"wit": 1}}}}));
    eventually("it is refused", || (phase(&fake, "b") == "Finished").then_some(())).await;
    assert!(changed.elapsed() <= Duration::from_secs(3), "{:?}", changed.elapsed());
}
