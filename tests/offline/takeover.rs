//! Who leads writes, and nobody else; and whoever comes next goes on from what was written.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, at_work, eventually, phase, run, said, scheduled, seconds};
use botarmy_operator::controller::Limits;
use botarmy_operator::election::Standing;
use botarmy_protocol::Stage;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn who_follows_knows_the_runs_and_writes_nothing() {
    let fake = Fake::new();
    let operator = Operator::start_as(&fake, Standing::Follows, Limits::default());
    let uid = apply(&fake, run("a", &json!({})));
    seconds(30).await;
    assert_eq!(fake.calls().to("list", "botruns").count(), 1);
    assert_eq!((fake.calls().writes().names(), operator.knows(&uid)), (vec![], false));
    operator.standing.send_replace(Standing::Leads(1));
    scheduled(&fake, "a").await;
    assert!(operator.knows(&uid));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_any_more_when_its_call_is_answered_writes_nothing() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    fake.inject(Fault::new("get", "jobs", Effect::Slow(Duration::from_secs(5))).times(1));
    apply(&fake, run("a", &json!({})));
    eventually("it is asked for", || (fake.calls().to("get", "jobs").count() > 0).then_some(())).await;
    operator.standing.send_replace(Standing::InDoubt(1));
    seconds(60).await;
    assert_eq!(fake.calls().writes().names(), Vec::<String>::new());
    operator.standing.send_replace(Standing::Leads(1));
    scheduled(&fake, "a").await;
}

#[tokio::test(start_paused = true)]
async fn runners_are_not_taken_for_silent_by_who_has_just_come() {
    let fake = Fake::new();
    let before = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    before.begin(&uid).await;
    before.hear(&said(&uid, 0, Stage::Running, &[1]));
    eventually("it is written that bots are at work", || {
        (before.hear(&said(&uid, 0, Stage::Running, &[])).durable == 1).then_some(())
    })
    .await;
    before.kill().await;
    let of_run = json!({"botarmy.dev/run-uid": uid});
    fake.add(
        "pods",
        json!({"metadata": {"name": "a-0", "namespace": NAMESPACE, "uid": "pod-0", "labels": of_run}}),
    );
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&uid).then_some(())).await;
    seconds(60).await;
    assert_eq!(fake.calls().to("delete", "pods").count(), 0);
    assert!(fake.get("pods", "a-0").is_some());
}

/// What an operator left of a run whose bots are at work, and the name of the object that it was written to.
async fn left_at_work(fake: &Fake) -> (String, &'static str) {
    let before = Operator::start(fake);
    let uid = apply(fake, run("a", &json!({})));
    scheduled(fake, "a").await;
    before.begin(&uid).await;
    before.hear(&said(&uid, 0, Stage::Running, &[1]));
    eventually("it is told that bots are at work, and what they did", || {
        let status = &fake.get("botruns", "a")?["status"];
        (status["startTime"].is_string() && status["result"]["requests"] == 10).then_some(())
    })
    .await;
    before.kill().await;
    (uid, "a-checkpoint")
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_checkpoint_is_lost_ends_says_why_and_begins_no_second_time() {
    for (damage, says) in [
        ("deleted", "the checkpoint was deleted"),
        ("spoiled", "the checkpoint is broken"),
        ("without its part", "its part a-checkpoint-3 is missing"),
    ] {
        let fake = Fake::new();
        let (uid, map) = left_at_work(&fake).await;
        let mut object = fake.get("configmaps", map).expect("a checkpoint");
        fake.remove("configmaps", map);
        match damage {
            "deleted" => {}
            "spoiled" => {
                object["binaryData"]["checkpoint.json.gz"] = json!("AAAA");
                fake.add("configmaps", object);
            }
            _ => {
                object["metadata"]["annotations"]["botarmy.dev/parts"] = json!("3");
                fake.add("configmaps", object);
            }
        }
        let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
        eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
        let status = fake.get("botruns", "a").expect("a run")["status"].clone();
        assert_eq!(status["outcome"], "Errored", "{damage}");
        assert_eq!(status["result"]["requests"], 10, "{damage}: what was told stands");
        let conditions = status["conditions"].as_array().expect("conditions");
        let failed = conditions.iter().find(|c| c["type"] == "Failed").expect("Failed");
        assert_eq!(failed["reason"], "CheckpointFailed", "{damage}");
        assert!(failed["message"].as_str().is_some_and(|m| m.contains(says)), "{damage}: {failed}");
        eventually("its Job is gone", || fake.all("jobs").is_empty().then_some(())).await;
        seconds(30).await;
        assert!(!after.knows(&uid), "{damage}");
        assert_eq!(fake.calls().to("create", "jobs").count(), 1, "{damage}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_in_doubt_answers_runners_and_writes_nothing() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = at_work(&fake, &operator, "a").await;
    seconds(20).await;
    operator.standing.send_replace(Standing::InDoubt(1));
    seconds(2).await;
    let doubt = Instant::now();
    let done = said(&uid, 0, Stage::Finished, &[1]);
    assert_eq!(operator.hear(&done).applied, 1);
    seconds(60).await;
    let orders = operator.hear(&done);
    assert_eq!((orders.applied, orders.durable), (1, 0), "it is counted, and not safe");
    let calls = fake.calls().after(doubt).but_watches();
    assert_eq!(calls.count(), 0, "{:?}", calls.names());
    operator.standing.send_replace(Standing::Leads(1));
    eventually("its measures are safe", || (operator.hear(&done).durable == 1).then_some(())).await;
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_crash_goes_on_and_counts_nothing_twice() {
    let fake = Fake::new();
    let before = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    before.begin(&uid).await;
    before.hear(&said(&uid, 0, Stage::Running, &[1, 2]));
    eventually("two deltas are safe", || {
        (before.hear(&said(&uid, 0, Stage::Running, &[])).durable == 2).then_some(())
    })
    .await;
    assert_eq!(
        before.hear(&said(&uid, 0, Stage::Running, &[3])).applied,
        3,
        "this one is not written any more"
    );
    before.kill().await;

    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&uid).then_some(())).await;
    let orders = after.hear(&said(&uid, 0, Stage::Running, &[2, 3, 4]));
    assert_eq!((orders.epoch, orders.applied, orders.durable), (2, 4, 2));
    after.hear(&said(&uid, 0, Stage::Finished, &[5]));
    eventually("it is over", || (phase(&fake, "a") == "Finished").then_some(())).await;
    let status = &fake.get("botruns", "a").expect("a run")["status"];
    assert_eq!((&status["outcome"], &status["result"]["requests"]), (&json!("Passed"), &json!(50)));
    assert_eq!((fake.all("jobs").len(), fake.calls().to("create", "jobs").count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_runners_of_a_run_that_is_lost_are_let_go_though_that_cannot_be_told() {
    let fake = Fake::new();
    let (uid, map) = left_at_work(&fake).await;
    fake.remove("configmaps", map);
    fake.inject(Fault::new("patch", "botruns/status", Effect::Code(500)));
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("they may leave", || after.armies.has_left(&uid).then_some(())).await;
    assert_eq!(phase(&fake, "a"), "Running");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_somebody_deletes_is_made_anew_while_the_run_is_at_work() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = at_work(&fake, &operator, "a").await;
    fake.remove("configmaps", "a-checkpoint");
    eventually("it is there again, with all that is known", || {
        fake.get("configmaps", "a-checkpoint").filter(|map| map["binaryData"].is_object())
    })
    .await;
    operator.kill().await;
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&uid).then_some(())).await;
    assert_eq!(phase(&fake, "a"), "Running");
}

#[tokio::test(start_paused = true)]
async fn who_comes_next_obeys_the_spec_as_it_is_by_now_from_its_first_word() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = at_work(&fake, &operator, "a").await;
    operator.kill().await;
    fake.change("botruns", "a", &json!({"spec": {"bots": 7}}));
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&uid).then_some(())).await;
    assert_eq!(after.hear(&said(&uid, 0, Stage::Running, &[])).bots, 7);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_still_before_its_bots_begin_does_so_under_the_next_one_too() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    fake.change("botruns", "a", &json!({"spec": {"suspend": true}}));
    seconds(3).await;
    operator.kill().await;
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&uid).then_some(())).await;
    for _ in 0..5 {
        after.hear(&said(&uid, 0, Stage::Ready, &[]));
        assert!(!after.armies.lock()[&uid].has_begun(), "no start is set");
        seconds(1).await;
    }
    fake.change("botruns", "a", &json!({"spec": {"suspend": false}}));
    after.begin(&uid).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_run_is_not_taken_for_that_of_another_one_of_its_name() {
    let fake = Fake::new();
    let (_, map) = left_at_work(&fake).await;
    fake.remove("botruns", "a");
    let second = apply(&fake, run("a", &json!({})));
    // An operator that has died since was about to make its objects, and waited until the names are free.
    fake.change("botruns", "a", &json!({"status": {"phase": "Scheduled"}}));
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&second).then_some(())).await;
    let known = |operator: &Operator| {
        let armies = operator.armies.lock();
        let army = &armies[&second];
        (army.totals().requests, army.has_begun())
    };
    assert_eq!(known(&after), (0, false));
    // What was left is collected in the end.
    fake.remove("configmaps", map);
    fake.remove("configmaps", "a-trust");
    fake.remove("jobs", "a");
    let is_its_own = |job: &Value| job["metadata"]["ownerReferences"][0]["uid"] == second;
    eventually("its own Job", || fake.get("jobs", "a").filter(is_its_own)).await;
    assert_eq!(known(&after), (0, false));
}
