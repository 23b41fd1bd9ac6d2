//! Runs that are created by the clock: one for each time, whatever becomes of the answers.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{eventually, seconds, uid};
use botarmy_operator::election::{Leadership, Standing};
use botarmy_operator::metrics::{self, Metrics};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch::{Sender, channel};
use tower::ServiceExt;

/// A schedule that was due last at the beginning of the year, when it had been there for long.
fn add_schedule(fake: &Fake) -> String {
    add_schedule_with(fake, &json!({}))
}

/// The same, with these fields.
fn add_schedule_with(fake: &Fake, fields: &Value) -> String {
    let mut schedule = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule",
        "metadata": {"name": "yearly", "namespace": NAMESPACE, "creationTimestamp": "2020-06-01T00:00:00Z"},
        "spec": {"schedule": "@yearly", "template": {"spec": {"trees": {"T": {"wait": 1}}}}},
    });
    schedule["spec"].as_object_mut().expect("a spec").extend(fields.as_object().cloned().expect("fields"));
    uid(&fake.add("botrunschedules", schedule))
}

fn start(fake: &Fake) -> Sender<Standing> {
    start_counted(fake, Arc::default())
}

fn start_counted(fake: &Fake, metrics: Arc<Metrics>) -> Sender<Standing> {
    let (standing, told) = channel(Standing::Leads(1));
    let leads = Leadership::from(told);
    let forever = std::future::pending();
    tokio::spawn(botarmy_operator::schedules::run(fake.client("operator"), leads, metrics, forever));
    standing
}

fn ready(fake: &Fake) -> Option<(Value, Value)> {
    let schedule = fake.get("botrunschedules", "yearly")?;
    let told = schedule["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")?.clone();
    Some((told["status"].clone(), told["reason"].clone()))
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_due_is_created_once_whatever_becomes_of_the_answer() {
    for (what, effect, tries) in [
        ("all is well", None, 1),
        ("the answer was lost", Some(Effect::Lost), 1),
        ("the call was lost", Some(Effect::Hang), 2),
        ("the connection broke", Some(Effect::Break), 2),
        ("an error", Some(Effect::Code(500)), 2),
    ] {
        let fake = Fake::new();
        let _standing = start(&fake);
        if let Some(effect) = effect {
            fake.inject(Fault::new("create", "botruns", effect).times(1));
        }
        let owner = add_schedule(&fake);
        eventually(what, || (ready(&fake) == Some((json!("True"), json!("Scheduling")))).then_some(())).await;
        seconds(30).await;
        let runs = fake.all("botruns");
        assert_eq!(
            (runs.len(), &runs[0]["metadata"]["ownerReferences"][0]["uid"]),
            (1, &json!(owner)),
            "{what}"
        );
        assert_eq!(fake.calls().to("create", "botruns").count(), tries, "{what}");
        assert_eq!(fake.get("botrunschedules", "yearly").expect("one")["status"]["activeCount"], 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_may_not_be_created_is_told_and_tried_again_slowly() {
    let fake = Fake::new();
    let _standing = start(&fake);
    fake.inject(Fault::new("create", "botruns", Effect::Code(403)));
    add_schedule(&fake);
    seconds(61).await;
    assert_eq!(ready(&fake), Some((json!("False"), json!("Forbidden"))));
    let tries = fake.calls().to("create", "botruns").count();
    assert!((6..=8).contains(&tries), "each ten seconds: {tries}");
    fake.mend();
    eventually("it is created", || (fake.all("botruns").len() == 1).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_only_over_the_one_that_was_read() {
    let fake = Fake::new();
    let standing = start(&fake);
    fake.inject(Fault::new("patch", "botrunschedules/status", Effect::Code(409)).times(1));
    add_schedule(&fake);
    eventually("it looks again", || {
        (ready(&fake) == Some((json!("True"), json!("Scheduling")))).then_some(())
    })
    .await;
    seconds(5).await;
    let events = fake.all("events");
    assert_eq!(events.iter().filter(|event| event["reason"] == "RunCreated").count(), 1, "{events:#?}");
    let writes = fake.calls().to("patch", "botrunschedules/status");
    assert_eq!(writes.codes()[..2], [Some(409), Some(200)]);
    assert!(
        writes.0.iter().all(|seen| seen.call.body["metadata"]["resourceVersion"].is_string()),
        "{writes:#?}"
    );
    // Another one leads for a while, and starts a run.
    standing.send_replace(Standing::Follows);
    let later = Timestamp::from_second(Timestamp::now().as_second() - 60).expect("a time");
    let later = json!(later.to_string());
    fake.change("botrunschedules", "yearly", &json!({"status": {"lastScheduleTime": later}}));
    seconds(5).await;
    standing.send_replace(Standing::Leads(3));
    // A change of it has it looked at.
    fake.change("botrunschedules", "yearly", &json!({"spec": {"successfulRunsHistoryLimit": 7}}));
    let seen = || fake.get("botrunschedules", "yearly").expect("one")["status"].clone();
    eventually("it is looked at", || (seen()["observedGeneration"] == 2).then_some(())).await;
    seconds(61).await;
    assert_eq!(seen()["lastScheduleTime"], later);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_read_is_told() {
    let fake = Fake::new();
    let _standing = start(&fake);
    let metadata = json!({"name": "odd", "namespace": NAMESPACE});
    let odd = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule", "metadata": metadata, "spec": {"schedule": 5}});
    fake.add("botrunschedules", odd);
    let told = |event: &Value| event["reason"] == "Unreadable" && event["regarding"]["name"] == "odd";
    let event = eventually("an event", || fake.all("events").into_iter().find(told)).await;
    assert_eq!((&event["type"], &event["regarding"]["kind"]), (&json!("Warning"), &json!("BotRunSchedule")));
}

/// The value of a line of the operator's metrics.
async fn counted(metrics: &Arc<Metrics>, line: &str) -> u64 {
    let request = Request::get("/metrics").body(Empty::<Bytes>::new()).expect("a request");
    let answer = metrics::routes(metrics.clone(), Arc::default()).oneshot(request).await.expect("an answer");
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let value = text.lines().find_map(|told| told.strip_prefix(line)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{line} is not in {text}"))
}

#[tokio::test(start_paused = true)]
async fn what_is_done_about_schedules_is_counted() {
    let of = |result: &str| {
        format!("botarmy_operator_reconciles_total{{kind=\"BotRunSchedule\",result=\"{result}\"}} ")
    };
    let backing_off = "botarmy_operator_schedules_backing_off ";
    let (fake, metrics) = (Fake::new(), Arc::new(Metrics::default()));
    let _standing = start_counted(&fake, metrics.clone());
    fake.inject(Fault::new("create", "botruns", Effect::Code(500)));
    add_schedule(&fake);
    seconds(30).await;
    assert!(counted(&metrics, &of("api")).await >= 3, "each try is counted");
    assert_eq!(counted(&metrics, backing_off).await, 1);
    fake.mend();
    eventually("it is created", || (fake.all("botruns").len() == 1).then_some(())).await;
    seconds(61).await;
    assert!(counted(&metrics, &of("ok")).await >= 1);
    assert_eq!(counted(&metrics, backing_off).await, 0);
    // One that is deleted while it fails is waited for no more.
    fake.inject(Fault::new("patch", "botrunschedules/status", Effect::Code(500)));
    fake.change("botrunschedules", "yearly", &json!({"spec": {"successfulRunsHistoryLimit": 7}}));
    seconds(5).await;
    assert_eq!(counted(&metrics, backing_off).await, 1);
    fake.remove("botrunschedules", "yearly");
    seconds(5).await;
    assert_eq!(counted(&metrics, backing_off).await, 0);
}

/// A run of the schedule, which was due at some other time.
fn add_run(fake: &Fake, name: &str, schedule_uid: &str, status: &Value) -> String {
    let owner = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule", "name": "yearly", "uid": schedule_uid, "controller": true});
    let labels = json!({"botarmy.dev/schedule": "yearly"});
    uid(&fake.add("botruns", json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "spec": {"trees": {"T": {"wait": 1}}}, "status": status,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": [owner]},
    })))
}

fn names(fake: &Fake) -> Vec<String> {
    fake.all("botruns")
        .iter()
        .map(|run| run["metadata"]["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn no_run_begins_before_it_is_known_which_are_at_work() {
    let fake = Fake::new();
    fake.inject(Fault::new("list", "botruns", Effect::Code(500)));
    let _standing = start(&fake);
    add_schedule(&fake);
    seconds(30).await;
    assert_eq!(names(&fake), [""; 0]);
    fake.mend();
    eventually("it is created", || (fake.all("botruns").len() == 1).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_is_about_something_else_is_no_run() {
    let fake = Fake::new();
    let _standing = start(&fake);
    fake.inject(Fault::new("create", "botruns", Effect::Code(409)).times(2));
    add_schedule(&fake);
    eventually("it is created", || (fake.all("botruns").len() == 1).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_at_work_makes_room_and_no_other_does() {
    for is_gone in [false, true] {
        let fake = Fake::new();
        // One that leads begins only when all is as it shall be.
        let standing = start(&fake);
        standing.send_replace(Standing::Follows);
        let owner = add_schedule_with(
            &fake,
            &json!({"concurrencyPolicy": "Replace", "successfulRunsHistoryLimit": 9}),
        );
        let active = add_run(&fake, "yearly-1", &owner, &json!({"phase": "Running"}));
        let passed =
            json!({"phase": "Finished", "outcome": "Passed", "completionTime": "2020-07-01T00:00:00Z"});
        add_run(&fake, "yearly-2", &owner, &passed);
        if is_gone {
            fake.inject(Fault::new("delete", "botruns", Effect::Code(404)));
        }
        seconds(5).await;
        standing.send_replace(Standing::Leads(2));
        eventually("it is created", || (names(&fake).len() == if is_gone { 3 } else { 2 }).then_some(()))
            .await;
        seconds(5).await;
        assert_eq!(names(&fake).contains(&"yearly-1".to_owned()), is_gone);
        let deletions = fake.calls().to("delete", "botruns").0;
        let which: Vec<_> = deletions
            .iter()
            .map(|seen| (&*seen.call.name, &seen.call.body["preconditions"]["uid"]))
            .collect();
        assert_eq!(which, [("yearly-1", &json!(active))], "this one, and no other");
        let written = fake.calls().to("patch", "botrunschedules/status").0;
        assert_eq!(written[0].call.body["status"]["activeCount"], 1, "one has taken the place of the other");
        let replaced = fake.all("events").iter().filter(|event| event["reason"] == "RunReplaced").count();
        assert_eq!(replaced, usize::from(!is_gone));
    }
}

#[tokio::test(start_paused = true)]
async fn that_many_runs_were_missed_is_told_with_the_one_that_is_made() {
    let fake = Fake::new();
    let _standing = start(&fake);
    fake.inject(Fault::new("create", "botruns", Effect::Code(403)));
    add_schedule_with(&fake, &json!({"schedule": "@hourly"}));
    seconds(61).await;
    let is_told = || fake.all("events").iter().filter(|event| event["reason"] == "TooManyMissed").count();
    assert_eq!(is_told(), 0);
    fake.mend();
    eventually("it is created", || (fake.all("botruns").len() == 1).then_some(())).await;
    eventually("it is told", || (is_told() == 1).then_some(())).await;
}
