//! A run has one Job, made once, and never somebody else's.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, condition, eventually, phase, run, said, scheduled, seconds, told};
use botarmy_crds::RUN_UID_LABEL;
use botarmy_operator::clock::now_ms;
use botarmy_protocol::{CheckIn, Performed, Stage};
use botarmy_spec::Part;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_job_is_made_once_whatever_becomes_of_the_answer() {
    for (what, faults, codes) in [
        (
            "it was made, and the next look sees it",
            vec![Fault::new("create", "jobs", Effect::Lost).times(1)],
            vec![None],
        ),
        (
            "it was made, and the next look is too early to see it",
            vec![
                Fault::new("create", "jobs", Effect::Lost).times(1),
                Fault::new("get", "jobs", Effect::Code(404)).times(2),
            ],
            vec![None, Some(409)],
        ),
        ("it was not made", vec![Fault::new("create", "jobs", Effect::Hang).times(1)], vec![None, Some(200)]),
        (
            "the connection broke",
            vec![Fault::new("create", "jobs", Effect::Break).times(2)],
            vec![None, None, Some(200)],
        ),
    ] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        for fault in faults {
            fake.inject(fault);
        }
        let uid = apply(&fake, run("a", &json!({})));
        scheduled(&fake, "a").await;
        seconds(30).await;
        assert_eq!(fake.calls().to("create", "jobs").codes(), codes, "{what}");
        let jobs = fake.all("jobs");
        assert_eq!(
            (jobs.len(), &jobs[0]["metadata"]["ownerReferences"][0]["uid"]),
            (1, &json!(uid)),
            "{what}"
        );
        assert!(operator.knows(&uid), "{what}");
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_pods_have_ended_before_their_part_was_done_ends_the_run() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    operator.begin(&uid).await;
    let mut left = said(&uid, 0, Stage::Finished, &[1]);
    left.left = true;
    eventually("its measures are safe", || (operator.hear(&left).durable == 1).then_some(())).await;
    fake.change("jobs", "a", &json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}));
    eventually("it is over", || {
        (condition(&fake, "a", "Failed") == told("True", "RunnerLost")).then_some(())
    })
    .await;
    let status = &fake.get("botruns", "a").expect("a run")["status"];
    assert_eq!((&status["outcome"], &status["result"]["requests"]), (&json!("Errored"), &json!(10)));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_given_up_is_cleaned_up_after_before_it_ends() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({"runners": {"count": 2}, "teardown": {"tree": "T"}})));
    scheduled(&fake, "a").await;
    let begins = |index| operator.hear(&said(&uid, index, Stage::Ready, &[])).start_at_ms.is_some();
    eventually("the start is told", || ([begins(0), begins(1)] == [true, true]).then_some(())).await;
    let [_, mut left] = [0, 1].map(|index| {
        operator.hear(&said(&uid, index, Stage::Running, &[]));
        let mut left = said(&uid, index, Stage::Finished, &[1]);
        left.left = true;
        assert!(operator.hear(&left).stay, "it may be needed");
        left
    });
    // One of them was lost once too often. That is told while the pod of the other one ends.
    let given_up = json!({"type": "FailureTarget", "status": "True", "reason": "MaxFailedIndexesExceeded"});
    fake.change("jobs", "a", &json!({"status": {"failedIndexes": "0", "conditions": [given_up]}}));
    eventually("it is told to clean up", || {
        (operator.hear(&left).perform == Some(Part::Teardown)).then_some(())
    })
    .await;
    seconds(30).await;
    assert_eq!(phase(&fake, "a"), "Running", "it is waited for");
    left.performed = Some(Performed { part: Part::Teardown, failure: None, context: Map::new() });
    assert!(!operator.hear(&left).stay);
    eventually("it is over", || (condition(&fake, "a", "Failed") == told("True", "JobFailed")).then_some(()))
        .await;
    let status = &fake.get("botruns", "a").expect("a run")["status"];
    assert_eq!((&status["outcome"], &status["result"]["requests"]), (&json!("Errored"), &json!(20)));
    assert!(!status["conditions"].to_string().contains("teardown"), "{status:#}");
}

#[tokio::test(start_paused = true)]
async fn who_takes_the_name_of_a_run_that_was_deleted_waits_until_it_is_free() {
    let before =
        json!([{"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "name": "a", "uid": "before"}]);
    for (kind, name) in [("jobs", "a"), ("configmaps", "a-trust"), ("configmaps", "a-checkpoint")] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let metadata = json!({"name": name, "namespace": NAMESPACE, "ownerReferences": before});
        fake.add(kind, json!({"metadata": metadata, "spec": {"template": {}}}));
        let uid = apply(&fake, run("a", &json!({})));
        eventually("it waits", || {
            (condition(&fake, "a", "Scheduled") == told("False", "FailedCreate")).then_some(())
        })
        .await;
        assert_eq!(condition(&fake, "a", "Accepted"), told("True", "Valid"), "{kind} {name}");
        fake.remove(kind, name);
        scheduled(&fake, "a").await;
        let jobs = fake.all("jobs");
        assert_eq!((jobs.len(), &jobs[0]["metadata"]["ownerReferences"][0]["uid"]), (1, &json!(uid)));
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_config_map_of_somebody_else_is_left_alone() {
    for name in ["a-trust", "a-checkpoint"] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let theirs = json!({"metadata": {"name": name, "namespace": NAMESPACE}, "data": {"theirs": "1"}});
        let added = fake.add("configmaps", theirs);
        apply(&fake, run("a", &json!({})));
        eventually("it is refused", || {
            (condition(&fake, "a", "Accepted") == told("False", "Invalid")).then_some(())
        })
        .await;
        seconds(30).await;
        assert_eq!(fake.get("configmaps", name), Some(added), "{name}");
        assert!(fake.all("jobs").is_empty());
        operator.kill().await;
    }
}

/// A Job called `a` that belongs to somebody else.
pub(crate) fn foreign_job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "a", "namespace": NAMESPACE}, "spec": {"template": {}},
    })
}

#[tokio::test(start_paused = true)]
async fn a_job_of_somebody_else_is_not_taken_for_the_runs_own() {
    for (what, faults) in [
        ("it was there before", vec![]),
        ("it was made in between", vec![Fault::new("get", "jobs", Effect::Code(404)).times(1)]),
    ] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let job = fake.add("jobs", foreign_job());
        for fault in faults {
            fake.inject(fault);
        }
        let uid = apply(&fake, run("a", &json!({})));
        eventually("it is refused", || {
            (condition(&fake, "a", "Accepted") == told("False", "Invalid")).then_some(())
        })
        .await;
        assert_eq!(condition(&fake, "a", "Complete"), told("True", "Errored"), "{what}");
        let told = fake.get("botruns", "a").expect("a run")["status"]["conditions"].to_string();
        assert!(told.contains("belongs to something else"), "{what}: {told}");
        seconds(5).await;
        let settled = Instant::now();
        seconds(60).await;
        assert_eq!(fake.calls().after(settled).but_watches().count(), 0, "{what}: nothing more is done");
        assert_eq!((fake.get("jobs", "a"), operator.knows(&uid)), (Some(job), false), "{what}");
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_refused_for_a_job_of_somebody_else_is_deleted_in_time() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let job = fake.add("jobs", foreign_job());
    apply(&fake, run("a", &json!({"ttlSecondsAfterFinished": {"errored": 0}})));
    eventually("it is gone", || fake.get("botruns", "a").is_none().then_some(())).await;
    assert_eq!(fake.get("jobs", "a"), Some(job));
}

#[tokio::test(start_paused = true)]
async fn only_pods_that_were_silent_for_long_and_have_not_ended_are_taken_away() {
    const AGO_MS: u64 = 300_000;
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({"runners": {"count": 4}})));
    scheduled(&fake, "a").await;
    let pod = |index: u32, (name, phase): (&str, &str)| {
        let metadata = json!({"name": name, "namespace": NAMESPACE, "labels": {RUN_UID_LABEL: uid}});
        let pod = fake.add("pods", json!({"metadata": metadata, "status": {"phase": phase}}));
        CheckIn { pod_uid: super::operator::uid(&pod), ..said(&uid, index, Stage::Ready, &[]) }
    };
    // Of the first one the node is gone, and somebody takes it away before.
    let pods = [("gone", "Running"), ("ended", "Failed"), ("heard", "Running"), ("silent", "Running")];
    let pods: Vec<CheckIn> = (0..).zip(pods).map(|(index, told)| pod(index, told)).collect();
    operator.has_lived(AGO_MS);
    let hear = |said: &CheckIn| operator.hear(said).start_at_ms;
    let are_told = || pods.iter().map(hear).collect::<Vec<_>>().iter().all(Option::is_some);
    eventually("the start is told", || are_told().then_some(())).await;
    let running = |said: &CheckIn| CheckIn { stage: Stage::Running, ..said.clone() };
    fake.inject(Fault::new("patch", "pods/status", Effect::Code(404)).about("gone"));
    for said in &pods {
        operator.hear_ago(&running(said), AGO_MS);
    }
    operator.hear(&running(&pods[2]));
    operator.has_lived(AGO_MS);
    eventually("it is taken away", || fake.get("pods", "silent").is_none().then_some(())).await;
    let left: Vec<Value> = fake.all("pods").iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(left, ["ended", "gone", "heard"]);
    let gaps = operator.armies.lock()[&uid].final_result(now_ms()).gaps;
    let of_silent = gaps.iter().find(|gap| gap.pod_uid == pods[3].pod_uid).expect("a gap");
    assert!(of_silent.reason.starts_with("CoordinatorUnreachable: "), "{of_silent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_is_about_something_else_is_no_job() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    fake.inject(Fault::new("create", "jobs", Effect::Code(409)));
    apply(&fake, run("a", &json!({})));
    seconds(30).await;
    let is_told = || fake.all("events").iter().filter(|event| event["reason"] == "Scheduled").count();
    assert_eq!((is_told(), condition(&fake, "a", "Scheduled") == told("True", "JobCreated")), (0, false));
    fake.mend();
    scheduled(&fake, "a").await;
    assert_eq!(is_told(), 1);
}
