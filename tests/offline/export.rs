//! The result of a run is taken to where it shall be by one Job, and the run is kept until that has ended.

use crate::fake::{Effect, Fake, Fault, NAMESPACE};
use crate::operator::{Operator, apply, condition, eventually, phase, run, scheduled, seconds, told, uid};
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
    let uid = apply(&fake, kept_for_ever());
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
    go_to(&fake, "again");
    export_is(&fake, "Unknown", "ExportPending").await;
    eventually("another Job", || (exports(&fake).len() == 1 && exports(&fake)[0] != name).then_some(()))
        .await;
    conclude(&fake, &exports(&fake)[0], "Complete");
    export_is(&fake, "True", "Delivered").await;
    fake.change("botruns", "a", &json!({"spec": {"export": null}}));
    eventually("nothing is told any more", || condition(&fake, "a", "Exported").is_none().then_some(()))
        .await;
    assert_eq!(exports(&fake), [""; 0]);
}

/// Somebody changes where the result goes.
fn go_to(fake: &Fake, folder: &str) {
    let export = json!([{"http": {"url": format!("http://store:8080/{folder}/")}}]);
    fake.change("botruns", "a", &json!({"spec": {"export": export}}));
}

/// The one Job of an export that there is now, another one than that with this UID.
async fn another(fake: &Fake, before: &str) -> (String, String) {
    eventually("another Job, and it alone", || {
        let [name] = &*exports(fake) else { return None };
        let uid = uid(&fake.get("jobs", name)?);
        (uid != before).then(|| (name.clone(), uid))
    })
    .await
}

fn kept_for_ever() -> Value {
    let mut wanted = exported();
    wanted["spec"].as_object_mut().expect("a spec").remove("ttlSecondsAfterFinished");
    wanted
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_is_tried_again_whenever_it_is_asked_for_again() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let run = apply(&fake, kept_for_ever());
    go_to(&fake, "one");
    end(&fake, &operator, &run).await;
    let (first, one) = another(&fake, "").await;
    conclude(&fake, &first, "Failed");
    export_is(&fake, "False", "ExportFailed").await;
    go_to(&fake, "two");
    let (second, two) = another(&fake, &one).await;
    assert_ne!(first, second);
    // Back while the other one is at work.
    go_to(&fake, "one");
    let (third, three) = another(&fake, &two).await;
    assert_eq!(first, third, "the same name, and another Job");
    seconds(10).await;
    assert_eq!(condition(&fake, "a", "Exported"), told("Unknown", "ExportPending"));
    conclude(&fake, &third, "Failed");
    export_is(&fake, "False", "ExportFailed").await;
    assert!(
        said(&fake).contains("or of the annotation botarmy.dev/export-again, starts it anew"),
        "{}",
        said(&fake)
    );
    // Nothing else has changed.
    fake.change("botruns", "a", &json!({"metadata": {"annotations": {"botarmy.dev/export-again": "1"}}}));
    let (fourth, _) = another(&fake, &three).await;
    let is_under_way =
        || fake.get("botruns", "a").expect("a run")["status"]["export"] == json!({"job": fourth});
    eventually("it is told", || is_under_way().then_some(())).await;
    conclude(&fake, &fourth, "Complete");
    export_is(&fake, "True", "Delivered").await;
    assert_eq!(said(&fake), "the result was taken to 1 destination");
}

#[tokio::test(start_paused = true)]
async fn one_at_work_is_stopped_when_it_is_wanted_no_more_and_another_has_a_time_of_its_own() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let run = apply(&fake, kept_for_ever());
    end(&fake, &operator, &run).await;
    let (first, one) = another(&fake, "").await;
    export_is(&fake, "Unknown", "ExportPending").await;
    // It has been at work for ever, and its destination is changed.
    let elsewhere = json!([{"http": {"url": "http://store:8080/other/"}}]);
    let mut status = fake.get("botruns", "a").expect("a run")["status"].clone();
    for told in status["conditions"].as_array_mut().expect("conditions") {
        told["lastTransitionTime"] = "2001-01-01T00:00:00Z".into();
    }
    fake.change("botruns", "a", &json!({"spec": {"export": elsewhere}, "status": status}));
    let (second, _) = another(&fake, &one).await;
    assert_ne!(first, second);
    seconds(60).await;
    assert_eq!(
        (exports(&fake), condition(&fake, "a", "Exported")),
        (vec![second], told("Unknown", "ExportPending"))
    );
    fake.change("botruns", "a", &json!({"spec": {"export": null}}));
    eventually("it is stopped", || exports(&fake).is_empty().then_some(())).await;
    assert_eq!(fake.calls().to("delete", "jobs").count(), 2);
}

/// The name of the result of the run that is applied first.
async fn result_name() -> &'static str {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let run = apply(&fake, exported());
    end(&fake, &operator, &run).await;
    let (name, _) = another(&fake, "").await;
    let job = fake.get("jobs", &name).expect("a Job");
    operator.kill().await;
    let name = &job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
    name.as_str().expect("a name").to_owned().leak()
}

#[tokio::test(start_paused = true)]
async fn all_of_the_result_is_kept_as_soon_as_it_can_be_or_it_is_said_to_be_shortened() {
    let result = result_name().await;
    for is_started_anew in [false, true] {
        let fake = Fake::new();
        let mut operator = Operator::start(&fake);
        let uid = apply(&fake, kept_for_ever());
        fake.inject(Fault::new("patch", "configmaps", Effect::Code(500)).about(result));
        end(&fake, &operator, &uid).await;
        export_is(&fake, "Unknown", "ExportPending").await;
        seconds(60).await;
        assert!(said(&fake).starts_with("keeping the result failed: "), "{}", said(&fake));
        assert!(operator.knows(&uid), "nobody else has all of the result");
        if is_started_anew {
            operator.kill().await;
            operator = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
        }
        fake.mend();
        let (job, _) = another(&fake, "").await;
        let kept = fake.get("configmaps", result).expect("the result");
        let shortened = kept["metadata"]["annotations"].get("botarmy.dev/shortened").is_some();
        assert_eq!(shortened, is_started_anew, "{kept}");
        eventually("it is forgotten", || (!operator.knows(&uid)).then_some(())).await;
        conclude(&fake, &job, "Complete");
        export_is(&fake, "True", "Delivered").await;
        assert_eq!(
            said(&fake).contains(", shortened as the status has it"),
            is_started_anew,
            "{}",
            said(&fake)
        );
        operator.kill().await;
    }
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
    export_is(&fake, "False", "ExportFailed").await;
    let events = fake.all("events");
    let given_up = events.iter().find(|event| event["reason"] == "ExportFailed").expect("an event");
    assert!(
        given_up["note"].as_str().expect("a note").starts_with("it was not over within 1200s"),
        "{given_up}"
    );
    assert_eq!(exports(&fake), [""; 0]);
    // The result is nowhere else: somebody has an hour to mend the cause.
    seconds(3_500).await;
    assert!(fake.get("botruns", "a").is_some(), "its time is over, and it is still there");
    fake.change("botruns", "a", &json!({"status": {"export": {"completionTime": "2001-01-01T00:00:00Z"}}}));
    eventually("it is deleted", || fake.get("botruns", "a").is_none().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn runners_that_nobody_waits_for_are_taken_away_though_the_export_cannot_go_on() {
    let name = {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = apply(&fake, exported());
        end(&fake, &operator, &uid).await;
        eventually("a Job", || exports(&fake).pop()).await
    };
    let name: &'static str = name.leak();
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    apply(&fake, exported());
    scheduled(&fake, "a").await;
    fake.inject(Fault::new("get", "jobs", Effect::Code(500)).about(name));
    fake.change("jobs", "a", &json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}}));
    operator.has_lived(3_600_000);
    eventually("it is given up", || {
        (condition(&fake, "a", "Failed") == told("True", "NoCheckIn")).then_some(())
    })
    .await;
    eventually("its Job is gone", || fake.get("jobs", "a").is_none().then_some(())).await;
    let asked = || fake.calls().to("get", "jobs").about(name).codes();
    eventually("the export has failed", || asked().contains(&Some(500)).then_some(())).await;
    fake.mend();
    eventually("the export", || (exports(&fake) == [name]).then_some(())).await;
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
        export_is(&fake, "False", "ExportFailed").await;
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
