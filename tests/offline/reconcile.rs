//! Runs through the loop while all is well: what is asked and written, and how often.

use crate::fake::{Effect, Fake, Fault};
use crate::operator::{Operator, apply, condition, eventually, phase, run, scheduled, seconds, told};
use botarmy_operator::controller::Limits;
use botarmy_operator::election::Standing;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Once;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_new_run_gets_its_objects_its_job_and_its_status_and_then_nothing_more() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    seconds(2).await;
    let written = [
        "patch configmaps",
        "patch configmaps",
        "create jobs",
        "create events",
        "patch botruns/status",
        "patch botruns/status",
        // The plan, so that it is not forgotten.
        "patch configmaps",
    ];
    assert_eq!(fake.calls().writes().names(), written);
    let maps: Vec<String> =
        fake.calls().to("patch", "configmaps").0.into_iter().map(|c| c.call.name).collect();
    assert_eq!(maps, ["a-trust", "a-checkpoint", "a-checkpoint"]);
    assert_eq!(fake.owned_by(&uid), 3);
    let first = &fake.calls().to("patch", "botruns/status").0[0].call.body["status"];
    assert_eq!((&first["phase"], &first["conditions"][0]["type"]), (&json!("Scheduled"), &json!("Accepted")));
    assert_eq!(condition(&fake, "a", "Accepted"), told("True", "Valid"));
    let statuses = fake.calls().to("patch", "botruns/status").0;
    let is_of_what_was_read = |body: &Value| body["metadata"]["resourceVersion"].is_string();
    assert!(statuses.iter().all(|seen| is_of_what_was_read(&seen.call.body)), "{statuses:#?}");

    let settled = Instant::now();
    seconds(10).await;
    let looks = fake.calls().after(settled).to("get", "jobs").count();
    assert!((9..=11).contains(&looks), "it is looked at each second: {looks}");
    assert_eq!(fake.calls().after(settled).writes().names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_beside_the_spec_causes_no_reconcile() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    seconds(2).await;
    let settled = Instant::now();
    for n in 0..50 {
        fake.change(
            "botruns",
            "a",
            &json!({"metadata": {"annotations": {"n": n.to_string()}}, "status": {"bots": n}}),
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let looks = fake.calls().after(settled).to("get", "jobs").count();
    assert!((4..=6).contains(&looks), "it is looked at each second, whatever is told of it: {looks}");
    assert_eq!(fake.calls().after(settled).writes().names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_over_is_left_alone_until_its_spec_changes() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let mut over = run("a", &json!({}));
    over["status"] = json!({"phase": "Finished", "outcome": "Passed", "observedGeneration": 1});
    apply(&fake, over);
    seconds(600).await;
    assert_eq!(fake.calls().to("get", "jobs").count(), 1);
    assert_eq!(fake.calls().writes().names(), [""; 0]);
    fake.change("botruns", "a", &json!({"spec": {"trees": {"T": "done"}}}));
    seconds(1).await;
    let status = fake.get("botruns", "a").expect("a run")["status"].clone();
    assert_eq!((&status["observedGeneration"], &status["phase"]), (&json!(2), &json!("Finished")));
    assert_eq!(condition(&fake, "a", "SpecChanged"), told("True", "Kept"), "what it has passed is not that");
    assert_eq!(fake.calls().writes().names(), ["patch botruns/status", "create events"]);
    assert!(fake.all("jobs").is_empty(), "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_makes_no_sense_is_refused_and_left_alone() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({"trees": {"T": {"wit": 1}}})));
    eventually("it is refused", || (phase(&fake, "a") == "Finished").then_some(())).await;
    assert_eq!(condition(&fake, "a", "Complete"), told("True", "Errored"));
    assert_eq!(condition(&fake, "a", "Accepted").expect("a condition").0, "False");
    seconds(5).await;
    let settled = Instant::now();
    seconds(60).await;
    let calls = fake.calls().after(settled).but_watches();
    assert_eq!(calls.count(), 0, "{:?}", calls.names());
    assert!(!operator.knows(&uid) && fake.owned_by(&uid) == 0);
}

thread_local! {
    /// What the operator of this thread's test has said since the first test that reads it has begun.
    static SAID: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Log;

impl Log {
    /// From now on what is said is kept. For all tests of this process: a subscriber of one thread alone misses what another
    /// thread has said first, while it came.
    fn read() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Self).init());
    }

    fn text() -> String {
        SAID.with_borrow(|said| String::from_utf8_lossy(said).into_owned())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SAID.with_borrow_mut(|said| said.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_reported_and_keeps_nobody() {
    Log::read();
    let fake = Fake::new();
    let first = Operator::start(&fake);
    let mut broken = run("broken", &json!({"trees": "no mapping"}));
    let theirs = json!({
        "type": "Approved", "status": "True", "reason": "ByHand", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z",
    });
    broken["status"] = json!({"conditions": [theirs]});
    apply(&fake, broken);
    apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    apply(&fake, run("later", &json!({"trees": "no mapping"})));
    for name in ["broken", "later"] {
        eventually("it is told", || {
            (condition(&fake, name, "Accepted") == told("False", "Unreadable")).then_some(())
        })
        .await;
        assert!(Log::text().contains(&format!("{name} cannot be read")), "{}", Log::text());
        assert_eq!(phase(&fake, name), Value::Null, "it is left alone");
    }
    assert_eq!(condition(&fake, "broken", "Approved"), told("True", "ByHand"), "it is not ours to write");
    assert!(first.armies.are_all_known(), "nobody waits for runners of theirs");
    seconds(30).await;
    first.kill().await;
    let _second = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    seconds(30).await;
    assert_eq!(fake.calls().about("broken").names(), ["patch botruns/status"], "it is told once");
    let events = || fake.all("events").iter().filter(|event| event["reason"] == "Unreadable").count();
    assert_eq!(events(), 2);
    fake.change("botruns", "broken", &json!({"spec": {"trees": {"T": {"wait": 1}}}}));
    scheduled(&fake, "broken").await;
    assert_eq!(condition(&fake, "broken", "Accepted"), told("True", "Valid"));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_would_take_all_memory_is_told_and_keeps_nobody() {
    let fake = Fake::new();
    // Less than an object may have, and more than 16 MiB once it is read.
    let costly = json!({"custom": {"a": vec![json!({"": 0}); 75_000]}});
    apply(&fake, run("m-costly", &costly));
    // So many that they are listed in several parts.
    let others: Vec<String> =
        ["a", "z"].iter().flat_map(|of| (0..6).map(move |n| format!("{of}{n}"))).collect();
    for other in &others {
        apply(&fake, run(other, &json!({})));
    }
    let _operator = Operator::start(&fake);
    for other in &others {
        scheduled(&fake, other).await;
    }
    apply(&fake, run("later", &costly));
    for name in ["m-costly", "later"] {
        eventually("it is told", || {
            (condition(&fake, name, "Accepted") == told("False", "Unreadable")).then_some(())
        })
        .await;
        assert_eq!(phase(&fake, name), Value::Null, "it is left alone");
    }
    let notes = || fake.all("events").into_iter().filter(|event| event["reason"] == "Unreadable");
    eventually("both are told", || (notes().count() == 2).then_some(())).await;
    for event in notes() {
        let note = event["note"].as_str().expect("a note");
        assert!(
            note.contains("more than 16 MiB of the operator's memory; make them fewer or shorter"),
            "{note}"
        );
    }
    // Cured, it is a run like any other.
    fake.change("botruns", "m-costly", &json!({"spec": {"custom": {"a": []}}}));
    scheduled(&fake, "m-costly").await;
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_status_cannot_be_written_either_is_told_by_an_event() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    fake.inject(Fault::new("patch", "botruns/status", Effect::Code(422)).about("broken"));
    apply(&fake, run("broken", &json!({"trees": "no mapping"})));
    let is_told = || fake.all("events").iter().any(|event| event["reason"] == "Unreadable").then_some(());
    eventually("an event", is_told).await;
    seconds(30).await;
    assert_eq!(fake.calls().about("broken").names(), ["patch botruns/status"], "it is tried once");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_is_left_alone_once_it_is_being_deleted() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let mut broken = run("broken", &json!({"trees": "no mapping"}));
    let leaving = json!({"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]});
    broken["metadata"]
        .as_object_mut()
        .expect("metadata")
        .extend(leaving.as_object().cloned().expect("fields"));
    apply(&fake, broken);
    seconds(30).await;
    assert_eq!(fake.calls().writes().names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn conditions_that_others_have_written_are_left_to_them() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    seconds(5).await;
    let theirs = json!({
        "type": "Approved", "status": "True", "reason": "ByHand", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z",
    });
    let mut conditions = fake.get("botruns", "a").expect("a run")["status"]["conditions"].clone();
    conditions.as_array_mut().expect("conditions").push(theirs);
    fake.change("botruns", "a", &json!({"status": {"conditions": conditions}}));
    let moment = Instant::now();
    seconds(30).await;
    assert_eq!(fake.calls().after(moment).writes().names(), Vec::<String>::new(), "it is not ours to write");
}

#[tokio::test(start_paused = true)]
async fn of_many_runs_at_once_each_costs_what_one_costs() {
    const RUNS: usize = 200;
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let began = Instant::now();
    for n in 0..RUNS {
        apply(&fake, run(&format!("r{n}"), &json!({"target": format!("http://target-{n}:8080")})));
    }
    let is_told = |run: &Value| {
        let conditions = run["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Scheduled" && c["status"] == "True"))
    };
    eventually("all are scheduled", || fake.all("botruns").iter().all(is_told).then_some(())).await;
    assert_eq!((fake.all("jobs").len(), operator.armies.lock().len()), (RUNS, RUNS));
    seconds(3).await;
    let looks = usize::try_from(began.elapsed().as_secs()).expect("seconds") + 3;
    let owner = |job: &Value| job["metadata"]["ownerReferences"][0]["uid"].to_string();
    assert_eq!(fake.all("jobs").iter().map(owner).collect::<BTreeSet<_>>().len(), RUNS);
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for seen in fake.calls().0 {
        *counts.entry((format!("{} {}", seen.call.verb, seen.call.resource), seen.call.name)).or_default() +=
            1;
    }
    for ((what, name), count) in counts {
        let most = match what.as_str() {
            "create jobs" | "create events" => 1,
            // Looked whether its name is free, made; read, and the plan written into it.
            "get configmaps" | "patch configmaps" => 2,
            "patch botruns/status" => 2,
            "get jobs" => looks,
            "list pods" | "list events" => RUNS * looks,
            // Each of the two watches begins with a list, that of runs in parts of five.
            "list botruns" => RUNS / 5,
            "watch botruns" | "list jobs" | "watch jobs" => 1,
            _ => 0,
        };
        assert!(count <= most, "{what} {name}: {count} times, and {most} are enough");
    }
}
