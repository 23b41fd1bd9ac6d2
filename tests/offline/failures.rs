//! Calls that fail: who waits, for how long, and who does not.

use crate::fake::{Effect, Fake, Fault};
use crate::operator::{Operator, apply, condition, eventually, in_force, run, scheduled, seconds, told};
use botarmy_operator::election::Standing;
use botarmy_operator::readiness::Error;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Timers have milliseconds, and a reconcile has several.
const TOLERANCE: Duration = Duration::from_millis(50);

fn assert_distances(what: &str, found: &[Duration], expected_ms: &[u64]) {
    let expected: Vec<Duration> = expected_ms.iter().copied().map(Duration::from_millis).collect();
    let is_near = |(found, expected): (&Duration, &Duration)| found.abs_diff(*expected) < TOLERANCE;
    let near = found.len() == expected.len() && found.iter().zip(&expected).all(is_near);
    assert!(near, "{what}: {found:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_tried_again_later_and_later_and_others_do_not_wait() {
    for (what, verb, resource, name, effect) in [
        ("a ConfigMap, an error", "patch", "configmaps", "a-trust", Effect::Code(500)),
        ("a ConfigMap, a conflict", "patch", "configmaps", "a-checkpoint", Effect::Code(409)),
        ("the Job, an error", "create", "jobs", "a", Effect::Code(500)),
        ("the Job, a conflict with something else", "create", "jobs", "a", Effect::Code(409)),
        ("the Job, a broken connection", "create", "jobs", "a", Effect::Break),
    ] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        fake.inject(Fault::new(verb, resource, effect).about(name));
        apply(&fake, run("a", &json!({})));
        apply(&fake, run("b", &json!({})));
        seconds(100).await;
        let half = Instant::now();
        seconds(100).await;
        let tries = fake.calls().to(verb, resource).about(name).distances();
        assert_distances(what, &tries, &[500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(condition(&fake, "b", "Scheduled"), told("True", "JobCreated"), "{what}");
        for (kind, status) in [("Scheduled", "False"), ("Running", "False"), ("Stalled", "True")] {
            assert_eq!(condition(&fake, "a", kind), told(status, "FailedCreate"), "{what}: {kind}");
        }
        let looks = fake.calls().after(half).to("get", "jobs").about("b").count();
        assert!((95..=105).contains(&looks), "{what}: the other is looked at {looks} times");
        fake.mend();
        scheduled(&fake, "a").await;
        assert_eq!(condition(&fake, "a", "Stalled").expect("a condition").0, "False", "{what}");
        assert_eq!(fake.all("jobs").len(), 2, "{what}");
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_once_or_twice_is_no_event() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    fake.inject(Fault::new("create", "jobs", Effect::Code(500)).times(3));
    apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let events = fake.calls().to("create", "events").0;
    let reasons: Vec<&str> = events.iter().filter_map(|seen| seen.call.body["reason"].as_str()).collect();
    assert_eq!(reasons, ["Scheduled"]);
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_the_cluster_that_refuses_a_config_map_is_told() {
    for code in [400, 403, 422] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        fake.inject(Fault::new("patch", "configmaps", Effect::Code(code)).about("a-checkpoint"));
        apply(&fake, run("a", &json!({})));
        // At once, and not as what fails time and again.
        seconds(1).await;
        assert_eq!(condition(&fake, "a", "Scheduled").expect("a condition").0, "False", "{code}");
        fake.mend();
        scheduled(&fake, "a").await;
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_cannot_be_written_is_written_later_and_a_success_ends_the_waiting() {
    for code in [409, 500] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        apply(&fake, run("a", &json!({})));
        scheduled(&fake, "a").await;
        seconds(2).await;
        for generation in [2, 3] {
            let changed = Instant::now();
            fake.inject(Fault::new("patch", "botruns/status", Effect::Code(code)));
            fake.change("botruns", "a", &json!({"spec": {"bots": 4 + generation}}));
            seconds(10).await;
            let tries = fake.calls().after(changed - TOLERANCE).to("patch", "botruns/status").distances();
            assert_distances("a status", &tries, &[500, 1_000, 2_000, 4_000]);
            fake.mend();
            eventually("it is written", || {
                let told = fake.get("botruns", "a")?["status"]["observedGeneration"].as_i64()?;
                (told == generation).then_some(())
            })
            .await;
            seconds(2).await;
        }
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_asks_for_patience_is_given_it_within_one_call() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    fake.inject(Fault::new("create", "jobs", Effect::Code(429)));
    apply(&fake, run("a", &json!({})));
    seconds(3).await;
    let tries = fake.calls().to("create", "jobs").count();
    assert!((4..=12).contains(&tries), "{tries} tries");
    fake.mend();
    scheduled(&fake, "a").await;
    assert_eq!(
        fake.calls().to("patch", "configmaps").about("a-trust").count(),
        1,
        "nothing had to begin anew"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_comes_to_an_end_and_keeps_nobody_else() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    fake.inject(Fault::new("get", "jobs", Effect::Hang).about("a"));
    apply(&fake, run("a", &json!({})));
    apply(&fake, run("b", &json!({})));
    seconds(2).await;
    assert_eq!(condition(&fake, "b", "Scheduled"), told("True", "JobCreated"));
    seconds(60).await;
    let tries = fake.calls().to("get", "jobs").about("a").distances();
    assert_distances("calls without an answer", &tries, &[20_500, 21_000]);
    fake.mend();
    scheduled(&fake, "a").await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_list_runs_asks_each_five_seconds_and_says_that_it_is_not_ready() {
    const HOST: &str = "coordinator.botarmy.svc";
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    operator.readiness.listening(nowhere, HOST, in_force(HOST)).expect("set");
    fake.inject(Fault::new("list", "botruns", Effect::Code(403)));
    apply(&fake, run("a", &json!({})));
    seconds(600).await;
    let lists = fake.calls().to("list", "botruns").count();
    assert!((110..=130).contains(&lists), "{lists} times in ten minutes");
    let leads = Standing::Leads(1);
    assert!(matches!(operator.readiness.check(leads).await, Err(Error::Unlisted)));
    fake.mend();
    scheduled(&fake, "a").await;
    // Nobody listens there; but the runs are listed.
    assert!(!matches!(operator.readiness.check(leads).await, Err(Error::Unlisted)));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_watch_jobs_works_on_runs_all_the_same() {
    for verb in ["list", "watch"] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        fake.inject(Fault::new(verb, "jobs", Effect::Code(403)));
        apply(&fake, run("a", &json!({})));
        scheduled(&fake, "a").await;
        seconds(300).await;
        apply(&fake, run("b", &json!({})));
        seconds(120).await;
        assert_eq!(condition(&fake, "b", "Scheduled"), told("True", "JobCreated"), "{verb}");
        let tries = fake.calls().to(verb, "jobs").count();
        assert!((80..=95).contains(&tries), "{verb}: {tries} times");
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_may_not_be_made_is_told_once_and_tried_again_slowly() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    fake.inject(Fault::new("create", "jobs", Effect::Code(403)));
    apply(&fake, run("a", &json!({})));
    seconds(61).await;
    for (kind, status) in
        [("Accepted", "True"), ("Scheduled", "False"), ("Running", "False"), ("Stalled", "True")]
    {
        let reason = if kind == "Accepted" { "Valid" } else { "Forbidden" };
        assert_eq!(condition(&fake, "a", kind), told(status, reason), "{kind}");
    }
    let tries = fake.calls().to("create", "jobs").count();
    assert!((12..=14).contains(&tries), "each five seconds: {tries}");
    let events = fake.calls().to("create", "events").0;
    let reasons: Vec<&str> = events.iter().filter_map(|seen| seen.call.body["reason"].as_str()).collect();
    assert_eq!(reasons, ["Forbidden"]);
    assert_eq!(fake.calls().to("patch", "botruns/status").count(), 1, "nothing new is to be told");
    fake.mend();
    scheduled(&fake, "a").await;
    assert_eq!(condition(&fake, "a", "Stalled").expect("a condition").0, "False");
}
