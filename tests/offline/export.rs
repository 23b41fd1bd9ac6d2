//! The result of a run is taken to where it shall be by one Job, and the run is kept until that has ended.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, condition, eventually, phase, run, scheduled, seconds, told};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use botarmy_operator::controller::Limits;
use botarmy_operator::election::Standing;
use botarmy_report::RunResult;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// A run that is deleted as soon as it may be.
fn exported() -> Value {
    let export = json!([{"http": {"url": "http://store:8080/"}, "formats": ["json", "junit"]}]);
    run("a", &json!({"export": export, "ttlSecondsAfterFinished": {"passed": 0, "errored": 0}}))
}

/// The Jobs of exports.
fn exports(fake: &Fake) -> Vec<String> {
    let names =
        fake.all("jobs").into_iter().map(|job| job["metadata"]["name"].as_str().expect("a name").to_owned());
    names.filter(|name| name.starts_with("a-export-")).collect()
}

/// The run has come to its end, and its runners are gone.
async fn end(fake: &Fake, operator: &Operator, uid: &str) {
    scheduled(fake, "a").await;
    operator.finish(uid).await;
    eventually("the end", || (phase(fake, "a") == "Finished").then_some(())).await;
    conclude(fake, "a", "Complete");
}

/// The Job of this name has come to its end.
fn conclude(fake: &Fake, job: &str, how: &str) {
    let ended =
        json!({"type": how, "status": "True", "reason": "BackoffLimitExceeded", "message": "so it is"});
    fake.change("jobs", job, &json!({"status": {"conditions": [ended]}}));
}

async fn export_is(fake: &Fake, status: &str, reason: &str) {
    eventually("the export is told", || {
        (condition(fake, "a", "Exported") == told(status, reason)).then_some(())
    })
    .await;
}

/// What the condition says.
fn said(fake: &Fake) -> String {
    let run = fake.get("botruns", "a").expect("a run");
    let conditions = run["status"]["conditions"].as_array().expect("conditions");
    let told = conditions.iter().find(|condition| condition["type"] == "Exported").expect("Exported");
    told["message"].as_str().expect("a message").to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_job_is_made_once_by_whoever_leads_and_the_run_is_kept_until_it_has_ended() {
    let fake = Fake::new();
    let first = Operator::start(&fake);
    let second = Operator::start_as(&fake, Standing::Follows, Limits::default());
    let uid = apply(&fake, exported());
    end(&fake, &first, &uid).await;
    export_is(&fake, "Unknown", "ExportPending").await;
    assert_eq!(condition(&fake, "a", "Complete"), told("True", "Passed"), "the end does not wait for it");
    let [name] = &*exports(&fake) else { panic!("{:?}", exports(&fake)) };
    seconds(60).await;
    first.kill().await;
    second.standing.send_replace(Standing::Leads(2));
    seconds(60).await;
    let third = Operator::start_as(&fake, Standing::Leads(3), Limits::default());
    seconds(60).await;
    assert_eq!((exports(&fake), fake.calls().to("create", "jobs").count()), (vec![name.clone()], 2));
    assert!(fake.get("botruns", "a").is_some(), "its time is over, and it is still there");

    let job = fake.get("jobs", name).expect("a Job");
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], json!(uid));
    let volume = &job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
    let kept = fake.get("configmaps", volume.as_str().expect("a name")).expect("the result");
    assert_eq!(kept["metadata"]["ownerReferences"][0]["uid"], json!(uid));
    let packed = kept["binaryData"]["result.json.gz"].as_str().expect("bytes");
    let packed = STANDARD.decode(packed).expect("base64");
    let result: RunResult = serde_json::from_reader(GzDecoder::new(&*packed)).expect("a result");
    assert_eq!((result.outcome.name(), result.requests), ("Passed", 10));

    conclude(&fake, name, "Complete");
    eventually("it is deleted", || fake.get("botruns", "a").is_none().then_some(())).await;
    let events = fake.all("events");
    assert!(events.iter().any(|event| event["reason"] == "Delivered"), "{events:#?}");
    assert_eq!(fake.owned_by(&uid), 0);
    drop((second, third));
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_answer_there_is_one_job() {
    for (what, effect) in [
        ("lost", Effect::Lost),
        ("broken", Effect::Break),
        ("forbidden", Effect::Code(403)),
        ("failed", Effect::Code(500)),
    ] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = apply(&fake, exported());
        scheduled(&fake, "a").await;
        fake.inject(Fault::new("create", "jobs", effect).times(3));
        end(&fake, &operator, &uid).await;
        eventually("a Job", || (exports(&fake).len() == 1).then_some(())).await;
        export_is(&fake, "Unknown", "ExportPending").await;
        seconds(60).await;
        assert_eq!(exports(&fake).len(), 1, "{what}");
        conclude(&fake, &exports(&fake)[0], "Complete");
        eventually("it is deleted", || fake.get("botruns", "a").is_none().then_some(())).await;
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_keeps_it_is_told_and_what_the_pod_said_at_the_end() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let mut wanted = exported();
    wanted["spec"].as_object_mut().expect("a spec").remove("ttlSecondsAfterFinished");
    let uid = apply(&fake, wanted);
    scheduled(&fake, "a").await;
    fake.inject(Fault::new("create", "jobs", Effect::Code(403)));
    end(&fake, &operator, &uid).await;
    eventually("why it waits", || {
        condition(&fake, "a", "Exported")?;
        said(&fake).starts_with("Forbidden: ").then_some(())
    })
    .await;
    fake.mend();
    eventually("a Job", || (exports(&fake).len() == 1).then_some(())).await;
    let name = exports(&fake).remove(0);
    let pod = |status: Value| json!({"metadata": {"name": "p", "labels": {"batch.kubernetes.io/job-name": name}}, "status": status});
    let unplaced = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "claim \"c\" not found"});
    fake.add("pods", pod(json!({"phase": "Pending", "conditions": [unplaced]})));
    eventually("why it waits", || said(&fake).contains("Unschedulable: claim \"c\" not found").then_some(()))
        .await;
    assert_eq!(condition(&fake, "a", "Exported"), told("Unknown", "ExportPending"));
    let ended =
        json!({"terminated": {"exitCode": 4, "reason": "Error", "message": "export[0]: the answer is 403"}});
    let container = json!({"name": "deliver", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended});
    fake.change(
        "pods",
        "p",
        &pod(json!({"phase": "Failed", "conditions": [], "containerStatuses": [container]})),
    );
    conclude(&fake, &name, "Failed");
    export_is(&fake, "False", "ExportFailed").await;
    let told_then = said(&fake);
    assert!(
        told_then.starts_with("pod p: container deliver: exit code 4: export[0]: the answer is 403"),
        "{told_then}"
    );
    let warned = |event: &Value| event["reason"] == "ExportFailed" && event["type"] == "Warning";
    eventually("an event", || fake.all("events").iter().any(warned).then_some(())).await;
    seconds(60).await;
    assert_eq!((exports(&fake).len(), said(&fake)), (1, told_then), "it is over");

    // Whoever has mended the cause says so by another spec.
    let elsewhere = json!([{"http": {"url": "http://store:8080/again/"}}]);
    fake.change("botruns", "a", &json!({"spec": {"export": elsewhere}}));
    export_is(&fake, "Unknown", "ExportPending").await;
    eventually("another Job", || (exports(&fake).len() == 2).then_some(())).await;
    conclude(&fake, exports(&fake).iter().find(|other| **other != name).expect("it"), "Complete");
    export_is(&fake, "True", "Delivered").await;
    fake.change("botruns", "a", &json!({"spec": {"export": null}}));
    eventually("nothing is told any more", || condition(&fake, "a", "Exported").is_none().then_some(()))
        .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_end_is_given_up() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, exported());
    end(&fake, &operator, &uid).await;
    export_is(&fake, "Unknown", "ExportPending").await;
    seconds(30).await;
    let mut conditions = fake.get("botruns", "a").expect("a run")["status"]["conditions"].clone();
    let told = conditions.as_array_mut().expect("conditions").iter_mut().find(|c| c["type"] == "Exported");
    told.expect("Exported")["lastTransitionTime"] = "2001-01-01T00:00:00Z".into();
    fake.change("botruns", "a", &json!({"status": {"conditions": conditions}}));
    eventually("it is deleted", || fake.get("botruns", "a").is_none().then_some(())).await;
    let events = fake.all("events");
    let given_up = events.iter().find(|event| event["reason"] == "ExportFailed").expect("an event");
    assert!(
        given_up["note"].as_str().expect("a note").starts_with("it was not over within 1200s"),
        "{given_up}"
    );
    assert_eq!(exports(&fake), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn names_of_others_are_left_alone() {
    for kind in ["jobs", "configmaps"] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        // The names of its objects are those of a run with this UID: that of a first one says them.
        let first = apply(&fake, exported());
        end(&fake, &operator, &first).await;
        let name = eventually("a Job", || exports(&fake).pop()).await;
        let job = fake.get("jobs", &name).expect("a Job");
        let result = &job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
        let result = result.as_str().expect("a name").to_owned();
        operator.kill().await;

        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let name = if kind == "jobs" { name } else { result };
        let uid = apply(&fake, exported());
        assert_eq!(uid, first, "UIDs are counted");
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        let theirs =
            fake.add(kind, json!({"metadata": metadata, "spec": {"template": {}}, "data": {"theirs": "1"}}));
        end(&fake, &operator, &uid).await;
        eventually("it is deleted", || fake.get("botruns", "a").is_none().then_some(())).await;
        let told = fake.all("events").iter().any(|event| {
            event["reason"] == "ExportFailed"
                && event["note"].to_string().contains("belongs to something else")
        });
        assert!(told, "{kind}: {:#?}", fake.all("events"));
        assert_eq!(fake.get(kind, &name), Some(theirs), "{kind}");
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_run_has_nothing_to_take_anywhere() {
    let fake = Fake::new();
    let _operator = Operator::start(&fake);
    let mut wrong = exported();
    wrong["spec"]["bots"] = 0.into();
    wrong["spec"].as_object_mut().expect("a spec").remove("ttlSecondsAfterFinished");
    apply(&fake, wrong);
    export_is(&fake, "False", "ExportFailed").await;
    seconds(30).await;
    assert_eq!((fake.all("jobs").len(), fake.all("configmaps").len()), (0, 0));
    assert_eq!(condition(&fake, "a", "Complete"), told("True", "Errored"));
}
