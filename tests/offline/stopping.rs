//! Runs that are stopped before they begin, and runs whose Job is taken from them while they stand still.

use crate::fake::Fake;
use crate::jobs::foreign_job;
use crate::operator::{
    Operator, apply, at_work, bots_begin, condition, eventually, phase, run, said, scheduled, seconds, told,
};
use botarmy_operator::controller::Limits;
use botarmy_operator::election::Standing;
use botarmy_protocol::Stage;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// What a run waits for that is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For another run of its target.
    Another,
    /// `suspend` is true from the beginning.
    Spec,
    /// `suspend` is true, and its runner is there.
    SpecOnly,
    /// Somebody has suspended its Job.
    JobHeld,
    /// For its pods.
    Pods,
    /// It is stopped from the beginning.
    Nothing,
}

/// A run called `a` that waits for this; its UID.
async fn waiting(fake: &Fake, operator: &Operator, waits: Waits) -> String {
    let target = json!({"target": "http://target:8080"});
    if waits == Waits::Another {
        apply(fake, run("before", &target));
        scheduled(fake, "before").await;
    }
    let mut wanted = run("a", &target);
    wanted["spec"]["suspend"] = json!(waits == Waits::Spec);
    wanted["spec"]["stop"] = json!(waits == Waits::Nothing);
    let uid = apply(fake, wanted);
    let reason = match waits {
        Waits::Another => "Queued",
        Waits::Spec => "Suspended",
        Waits::Nothing => return uid,
        _ => {
            scheduled(fake, "a").await;
            match waits {
                Waits::JobHeld => {
                    fake.change("jobs", "a", &json!({"spec": {"suspend": true}}));
                }
                Waits::SpecOnly => {
                    fake.change("botruns", "a", &json!({"spec": {"suspend": true}}));
                    let still =
                        || (condition(fake, "a", "Running") == told("False", "Suspended")).then_some(());
                    eventually("it stands still", still).await;
                    operator.hear(&said(&uid, 0, Stage::Ready, &[]));
                }
                _ => {}
            }
            return uid;
        }
    };
    eventually(reason, || (condition(fake, "a", "Scheduled") == told("False", reason)).then_some(())).await;
    uid
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_before_it_began_is_over_at_once_whatever_it_waits_for() {
    use Waits::{Another, JobHeld, Nothing, Pods, Spec, SpecOnly};
    for waits in [Another, Spec, JobHeld, SpecOnly, Pods, Nothing] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = waiting(&fake, &operator, waits).await;
        let stopped = Instant::now();
        fake.change("botruns", "a", &json!({"spec": {"stop": true}}));
        eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
        assert!(stopped.elapsed() <= Duration::from_secs(5), "{waits:?}: {:?}", stopped.elapsed());
        assert_eq!(condition(&fake, "a", "Complete"), told("True", "Passed"), "{waits:?}");
        assert_eq!(condition(&fake, "a", "Running"), told("False", "Stopped"), "{waits:?}");
        let status = fake.get("botruns", "a").expect("a run")["status"].clone();
        assert_eq!(
            (&status["startTime"], &status["result"]["requests"]),
            (&Value::Null, &json!(0)),
            "{waits:?}"
        );
        eventually("its Job is taken away", || fake.get("jobs", "a").is_none().then_some(())).await;
        seconds(10).await;
        assert!(!operator.knows(&uid), "{waits:?}: nobody waits for it any more");
        let later = fake.get("botruns", "a").expect("a run")["status"].clone();
        assert_eq!(later["completionTime"], status["completionTime"], "{waits:?}: it stays so");
        assert_eq!(
            (phase(&fake, "a"), &later["outcome"]),
            (json!("Finished"), &json!("Passed")),
            "{waits:?}"
        );
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_turn_does_not_come_in_time_is_given_up() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let target = json!({"target": "http://target:8080"});
    let first = apply(&fake, run("first", &target));
    scheduled(&fake, "first").await;
    let mut wanted = run("a", &target);
    wanted["spec"]["queueDeadline"] = "1h".into();
    let uid = apply(&fake, wanted);
    let is_queued = || (condition(&fake, "a", "Scheduled") == told("False", "Queued")).then_some(());
    eventually("it waits", is_queued).await;
    seconds(60).await;
    assert_eq!(phase(&fake, "a"), "Pending");
    // The clock of deadlines is the real one.
    let long_ago = (Timestamp::now() - SignedDuration::from_secs(3_601)).to_string();
    fake.change("botruns", "a", &json!({"metadata": {"creationTimestamp": long_ago}}));
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
    assert_eq!(condition(&fake, "a", "Failed"), told("True", "Queued"));
    let status = fake.get("botruns", "a").expect("a run")["status"].to_string();
    assert!(status.contains("within its queueDeadline of 3600s: the BotRun ns/first"), "{status}");
    seconds(10).await;
    assert_eq!((operator.knows(&uid), operator.knows(&first)), (false, true));
    assert!(fake.get("jobs", "a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_at_work_hands_over_what_it_has() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = at_work(&fake, &operator, "a").await;
    fake.change("botruns", "a", &json!({"spec": {"stop": true, "suspend": true}}));
    eventually("its runner is told", || {
        operator.hear(&said(&uid, 0, Stage::Running, &[])).stop.then_some(())
    })
    .await;
    assert_eq!(phase(&fake, "a"), "Running");
    operator.hear(&said(&uid, 0, Stage::Finished, &[1]));
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
    assert_eq!(fake.get("botruns", "a").expect("a run")["status"]["result"]["requests"], 10);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_job_is_deleted_while_it_stands_still_keeps_what_it_has_measured() {
    let fake = Fake::new();
    let before = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    bots_begin(&fake, &before, "a", &uid).await;
    before.hear(&said(&uid, 0, Stage::Running, &[1]));
    let start = before.armies.lock()[&uid].start_at_ms();
    let requests = || fake.get("botruns", "a").map(|run| run["status"]["result"]["requests"].clone());
    eventually("it is told", || (requests() == Some(json!(10))).then_some(())).await;
    eventually("it is written", || {
        (before.hear(&said(&uid, 0, Stage::Running, &[])).durable == 1).then_some(())
    })
    .await;
    fake.change("botruns", "a", &json!({"spec": {"suspend": true}}));
    eventually("it stands still", || {
        (condition(&fake, "a", "Running") == told("False", "Suspended")).then_some(())
    })
    .await;
    fake.remove("jobs", "a");
    eventually("it has another Job", || fake.get("jobs", "a")).await;
    assert_eq!((phase(&fake, "a"), requests()), (json!("Running"), Some(json!(10))));
    before.kill().await;
    // The next one finds neither a Job nor what it knew by itself.
    fake.remove("jobs", "a");
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&uid).then_some(())).await;
    seconds(10).await;
    assert_eq!(after.armies.lock()[&uid].start_at_ms(), start, "it is the same run");
    assert_eq!((phase(&fake, "a"), requests()), (json!("Running"), Some(json!(10))));
}

/// Somebody makes a Job that is called like the run, and that fails.
fn add_foreign_job(fake: &Fake) -> Value {
    let failed = json!({"type": "Failed", "status": "True", "reason": "R", "message": "m"});
    let mut job = foreign_job();
    job["status"] = json!({"conditions": [failed]});
    fake.add("jobs", job)
}

#[tokio::test(start_paused = true)]
async fn a_job_of_somebody_else_that_takes_the_name_while_a_run_waits_is_told() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    waiting(&fake, &operator, Waits::Another).await;
    let foreign = add_foreign_job(&fake);
    seconds(60).await;
    assert_eq!(
        condition(&fake, "a", "Scheduled"),
        told("False", "Queued"),
        "it waits for its turn all the same"
    );
    fake.remove("botruns", "before");
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
    assert_eq!(condition(&fake, "a", "Accepted"), told("False", "Invalid"));
    let status = fake.get("botruns", "a").expect("a run")["status"].to_string();
    assert!(status.contains("belongs to something else"), "{status}");
    assert_eq!(fake.get("jobs", "a"), Some(foreign));
}

#[tokio::test(start_paused = true)]
async fn a_job_of_somebody_else_that_takes_the_name_in_mid_run_is_not_taken_for_the_runs_own() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = at_work(&fake, &operator, "a").await;
    operator.hear(&said(&uid, 0, Stage::Running, &[1]));
    fake.remove("jobs", "a");
    let foreign = add_foreign_job(&fake);
    for _ in 0..60 {
        operator.hear_ago(&said(&uid, 0, Stage::Running, &[]), 0);
        seconds(1).await;
    }
    assert_eq!(condition(&fake, "a", "Running"), told("True", "BotsAtWork"), "its runner is at work");
    operator.hear(&said(&uid, 0, Stage::Finished, &[]));
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
    assert_eq!(condition(&fake, "a", "Complete"), told("True", "Passed"));
    assert_eq!(fake.get("botruns", "a").expect("a run")["status"]["result"]["requests"], 10);
    seconds(60).await;
    assert_eq!(fake.get("jobs", "a"), Some(foreign));
}

#[tokio::test(start_paused = true)]
async fn more_bots_than_the_namespace_may_have_are_told() {
    let fake = Fake::new();
    let limits = Limits::read("- {namespaces: ['*'], maxBots: 10}").expect("limits");
    let operator = Operator::start_as(&fake, Standing::Leads(1), limits);
    let uid = at_work(&fake, &operator, "a").await;
    for (bots, status, reason, target) in
        [(50, "True", "BotsLimited", 10), (7, "False", "Same", 7), (10, "False", "Same", 10)]
    {
        fake.change("botruns", "a", &json!({"spec": {"bots": bots}}));
        let wanted = || operator.hear_ago(&said(&uid, 0, Stage::Running, &[]), 0).bots;
        eventually("it has an effect", || (wanted() == target).then_some(())).await;
        eventually("it is told", || {
            (condition(&fake, "a", "SpecChanged") == told(status, reason)).then_some(())
        })
        .await;
        assert_eq!(fake.get("botruns", "a").expect("a run")["status"]["botsTarget"], target);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_made_anew_is_of_the_plan_as_it_was_accepted() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({"template": {"metadata": {"labels": {"team": "before"}}}})));
    scheduled(&fake, "a").await;
    bots_begin(&fake, &operator, "a", &uid).await;
    let template = json!({"metadata": {"labels": {"team": "after"}}});
    fake.change("botruns", "a", &json!({"spec": {"suspend": true, "template": template}}));
    eventually("it is told to have no effect", || {
        (condition(&fake, "a", "SpecChanged") == told("True", "Kept")).then_some(())
    })
    .await;
    fake.remove("jobs", "a");
    let job = eventually("it has another Job", || fake.get("jobs", "a")).await;
    assert_eq!(job["spec"]["template"]["metadata"]["labels"]["team"], "before");
}
