//! Runs that are deleted, wherever they stand: they are forgotten, and nothing of them is made anew.

use crate::fake::{Effect, Fake, Fault};
use crate::operator::{Operator, apply, eventually, phase, run, scheduled, seconds, uid};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Brings the run `a` into a phase; its UID.
async fn bring(fake: &Fake, operator: &Operator, to: &str) -> String {
    let target = json!({"target": "http://target:8080"});
    if to == "Pending" {
        apply(fake, run("0", &target));
        scheduled(fake, "0").await;
    }
    let uid = apply(fake, run("a", &target));
    if to != "Pending" {
        scheduled(fake, "a").await;
    }
    match to {
        "Running" => operator.begin(&uid).await,
        "Finished" => operator.finish(&uid).await,
        _ => {}
    }
    eventually(to, || (phase(fake, "a") == to).then_some(())).await;
    uid
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_deleted_is_forgotten_in_each_phase() {
    for to in ["Pending", "Scheduled", "Running", "Finished"] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = bring(&fake, &operator, to).await;
        seconds(1).await;
        assert!(operator.knows(&uid), "{to}");
        fake.remove("botruns", "a");
        let removed = Instant::now();
        eventually("it is forgotten", || (!operator.knows(&uid)).then_some(())).await;
        assert!(removed.elapsed() < Duration::from_secs(1), "{to}: the watch tells it");
        seconds(30).await;
        assert_eq!(fake.calls().after(removed).writes().names(), [""; 0], "{to}");
        assert_eq!(fake.calls().after(removed).to("get", "jobs").about("a").count(), 0, "{to}");
        assert_eq!(
            (fake.owned_by(&uid), fake.get("jobs", "a"), operator.knows(&uid)),
            (0, None, false),
            "{to}"
        );
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_while_it_is_looked_at_leaves_nothing_behind() {
    let slow = Effect::Slow(Duration::from_secs(2));
    for (verb, resource) in [
        ("get", "jobs"),
        ("patch", "configmaps"),
        ("create", "jobs"),
        ("create", "events"),
        ("patch", "botruns/status"),
    ] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        fake.inject(Fault::new(verb, resource, slow));
        let uid = apply(&fake, run("a", &json!({})));
        eventually("the slow call", || (fake.calls().to(verb, resource).count() > 0).then_some(())).await;
        fake.remove("botruns", "a");
        fake.mend();
        seconds(10).await;
        assert!(!operator.knows(&uid), "{verb} {resource}");
        let settled = Instant::now();
        seconds(120).await;
        assert_eq!(
            fake.calls().after(settled).but_watches().count(),
            0,
            "{verb} {resource}: it is looked at no more"
        );
        if (verb, resource) == ("get", "jobs") {
            assert_eq!(fake.calls().writes().names(), [""; 0], "nothing is made for who is gone");
        }
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_the_name_of_one_that_is_gone_is_another_one() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    fake.inject(Fault::new("get", "jobs", Effect::Slow(Duration::from_secs(2))).times(1));
    let first = apply(&fake, run("a", &json!({})));
    seconds(1).await;
    fake.remove("botruns", "a");
    let second = apply(&fake, run("a", &json!({"bots": 7})));
    scheduled(&fake, "a").await;
    seconds(10).await;
    assert_eq!((operator.knows(&first), operator.knows(&second)), (false, true));
    let job = fake.get("jobs", "a").expect("a Job");
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], second);
    assert_eq!(fake.calls().to("create", "jobs").count(), 1);
    assert_eq!(uid(&fake.get("botruns", "a").expect("a run")), second);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_being_deleted_is_let_go() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let leaving = json!({"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]});
    fake.change("botruns", "a", &json!({"metadata": leaving}));
    eventually("it is forgotten", || (!operator.knows(&uid)).then_some(())).await;
    seconds(2).await;
    let settled = Instant::now();
    seconds(60).await;
    assert_eq!(fake.calls().after(settled).but_watches().count(), 0);
    assert!(!operator.knows(&uid));
}
