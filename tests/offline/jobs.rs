//! A run has one Job, made once, and never somebody else's.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, condition, eventually, run, scheduled, seconds, told};
use serde_json::{Value, json};
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

fn foreign_job() -> Value {
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
        assert_eq!(fake.calls().after(settled).count(), 0, "{what}: nothing more is done");
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
