//! Runs that wait for others or for a person, and runs whose time is over.

use crate::fake::{Effect, Fake, Fault};
use crate::operator::{Operator, apply, condition, eventually, phase, run, scheduled, seconds, told};
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
        seconds(30).await;
        assert_eq!((phase(&fake, "b"), fake.get("jobs", "b")), (json!("Pending"), None), "{what}");
        assert_eq!(fake.calls().to("patch", "botruns/status").about("b").count(), 1, "{what}: told once");
        operator.finish(&first).await;
        scheduled(&fake, "b").await;
        assert_eq!(phase(&fake, "a"), "Finished", "{what}");
        assert_eq!(fake.all("jobs").len(), 2, "{what}");
        assert!(operator.knows(&second), "{what}");
        operator.kill().await;
    }
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
