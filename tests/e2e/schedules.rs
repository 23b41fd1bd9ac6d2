//! Schedules: runs are created by the clock, and a schedule that makes no sense says so at once.

use crate::cluster::{Namespace, condition, reason};
use crate::startup::events;
use serde_json::{Value, json};

/// A schedule of short runs, each minute.
fn schedule(name: &str, fields: &Value) -> Value {
    let mut schedule = json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule", "metadata": {"name": name},
        "spec": {
            "schedule": "* * * * *",
            "template": {"spec": {"trees": {"T": {"wait": "100ms"}}, "bots": 1, "iterations": 5}},
        },
    });
    for (key, value) in fields.as_object().expect("fields") {
        schedule["spec"][key] = value.clone();
    }
    schedule
}

/// A run that goes on until it is stopped.
fn endless() -> Value {
    json!({"spec": {"trees": {"T": {"wait": "100ms"}}, "bots": 1}})
}

fn get(namespace: &Namespace, name: &str) -> Value {
    namespace.get(&format!("botrunschedule/{name}"))
}

/// The runs of a schedule, by name, the oldest first.
fn runs(namespace: &Namespace, schedule: &str) -> Vec<String> {
    let label = format!("botarmy.dev/schedule={schedule}");
    let names = namespace.kubectl(&["get", "botruns", "-l", &label, "-o", "name"]);
    let mut names: Vec<String> =
        names.lines().map(|name| name.rsplit('/').next().expect("a name").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn runs_are_created_by_the_clock_and_wait_make_room_and_go_as_the_schedule_says() {
    let namespace = Namespace::new("schedules");
    let brief = json!({"successfulRunsHistoryLimit": 0, "timeZone": "Europe/Berlin"});
    for (name, fields) in [
        ("brief", brief),
        ("patient", json!({"template": endless()})),
        ("hasty", json!({"template": endless(), "concurrencyPolicy": "Replace"})),
    ] {
        namespace.apply(&schedule(name, &fields).to_string());
    }
    let first = namespace.eventually("each has its first run", |n| {
        let [patient, hasty] = ["patient", "hasty"].map(|name| runs(n, name).first().cloned());
        Some([patient?, hasty?])
    });
    is_the_schedules_own(&namespace, &first[0]);
    // A run that has passed is gone, and what it has left behind is in the status.
    namespace.eventually("it has passed, and is not kept", |n| {
        let status = &get(n, "brief")["status"];
        let passed = status["lastSuccessfulTime"].is_string() && status["activeCount"] == 0;
        (passed && runs(n, "brief").is_empty()).then_some(())
    });
    are_told(&namespace, "brief", &["RunCreated", "RunDeleted"]);

    // The next minute: one waits, one makes room.
    let waiting = namespace.eventually("the next run waits", |n| {
        let schedule = get(n, "patient");
        (reason(&schedule, "Ready")? == "RunAlreadyActive").then_some(schedule)
    });
    let message = condition(&waiting, "Ready").expect("Ready").1;
    assert!(message.ends_with(&format!("waits for the end of {}", first[0])), "{message}");
    assert_eq!(runs(&namespace, "patient"), [first[0].clone()]);
    are_told(&namespace, "patient", &["RunAlreadyActive"]);
    namespace.eventually("the run was replaced", |n| {
        let hasty = runs(n, "hasty");
        (hasty.len() == 1 && hasty[0] > first[1]).then_some(())
    });
    are_told(&namespace, "hasty", &["RunReplaced"]);

    // What waits is started when it may.
    let run = format!("botrun/{}", first[0]);
    namespace.kubectl(&["patch", &run, "--type=merge", "--patch", r#"{"spec":{"stop":true}}"#]);
    let status = namespace.eventually("the run that waited is started", |n| {
        let status = get(n, "patient")["status"].clone();
        let passed = status["lastSuccessfulTime"].is_string();
        (passed && runs(n, "patient").len() == 2).then_some(status)
    });
    let times = ["lastScheduleTime", "nextScheduleTime"].map(|field| status[field].as_str());
    assert!(times[0].is_some() && times[0] < times[1], "{status:#}");

    // Runs go with their schedule.
    namespace.kubectl(&["delete", "botrunschedules", "--all"]);
    namespace.eventually("no run is left", |n| {
        n.kubectl(&["get", "botruns", "-o", "name"]).is_empty().then_some(())
    });
}

/// Events with these reasons come.
fn are_told(namespace: &Namespace, schedule: &str, reasons: &[&str]) {
    for reason in reasons {
        namespace.eventually(reason, |n| (events(n, schedule, reason) > 0).then_some(()));
    }
}

/// A run's name, labels, owner and time are those of the schedule.
fn is_the_schedules_own(namespace: &Namespace, run: &str) {
    let schedule = namespace.eventually("the run is told", |n| {
        let schedule = get(n, "patient");
        (schedule["status"]["active"][0]["name"] == run).then_some(schedule)
    });
    let (run, status) = (namespace.get(&format!("botrun/{run}")), &schedule["status"]);
    let metadata = &run["metadata"];
    assert_eq!(metadata["labels"]["botarmy.dev/schedule"], "patient");
    assert_eq!(metadata["annotations"]["botarmy.dev/scheduled-at"], status["lastScheduleTime"]);
    assert_eq!(metadata["ownerReferences"][0]["uid"], schedule["metadata"]["uid"]);
    assert_eq!(metadata["ownerReferences"][0]["controller"], true);
    assert_eq!(status["active"], json!([{"name": metadata["name"], "uid": metadata["uid"]}]));
    assert_eq!(status["activeCount"], 1);
    let minutes = metadata["name"].as_str().and_then(|name| name.strip_prefix("patient-"));
    let minutes: u64 = minutes.expect("its name").parse().expect("minutes");
    let since = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs() / 60 - minutes;
    assert!(since < 3, "{since} minutes ago");
    assert_eq!(run["spec"]["bots"], 1);
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused() {
    let namespace = Namespace::new("senseless");
    for (fields, part) in [
        (json!({"schedule": "* * * *"}), "write five fields"),
        (json!({"schedule": "TZ=UTC * * * * *"}), "a time zone belongs into timeZone"),
        (json!({"concurrencyPolicy": "Wait"}), "spec.concurrencyPolicy: Unsupported value"),
        (json!({"startingDeadlineSeconds": 1}), "spec.startingDeadlineSeconds in body should be greater"),
        (json!({"failedRunsHistoryLimit": -1}), "spec.failedRunsHistoryLimit in body should be greater"),
        (json!({"template": {"spec": {}}}), "there is no tree; give trees, or sources that hold them"),
        (
            json!({"template": {"spec": {"trees": {}, "bost": 1}}}),
            "unknown field \"spec.template.spec.bost\"",
        ),
        (
            json!({"template": {"metadata": {"labels": {"botarmy.dev/x": "y"}}, "spec": {"trees": {}}}}),
            "keys that begin with botarmy.dev/ are the operator's",
        ),
        (
            json!({"template": {"spec": {"trees": {}, "bots": 1, "arrivalRate": 1}}}),
            "bots and arrivalRate exclude each other; keep one",
        ),
    ] {
        let refused =
            namespace.try_kubectl(&["create", "-f", "-"], Some(&schedule("bad", &fields).to_string()));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(part), "{fields}: {said}");
    }
    let long = schedule(&"n".repeat(42), &json!({})).to_string();
    let refused = namespace.try_kubectl(&["create", "-f", "-"], Some(&long));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("keep it to 41 characters"));
}

#[test]
fn a_schedule_that_cannot_be_followed_says_so_at_once_and_can_be_mended() {
    let namespace = Namespace::new("unfollowed");
    let broken = json!({"spec": {"trees": {"T": {"wait": -1}}}});
    for (name, fields, part) in [
        (
            "zone",
            json!({"timeZone": "Europe/Berlim"}),
            "spec.timeZone: there is no time zone \"Europe/Berlim\"",
        ),
        ("time", json!({"schedule": "61 * * * *"}), "spec.schedule: the minute \"61\" cannot be read"),
        ("never", json!({"schedule": "0 0 31 2 *"}), "spec.schedule: it is not due within"),
        ("tree", json!({"template": broken}), "spec.template.spec.trees.T.wait: -1 is negative"),
    ] {
        namespace.apply(&schedule(name, &fields).to_string());
        let told = namespace.eventually("it is refused", |n| {
            let schedule = get(n, name);
            (reason(&schedule, "Accepted")? == "Invalid").then_some(schedule)
        });
        let (state, message) = condition(&told, "Accepted").expect("Accepted");
        assert!(state == "False" && message.contains(part), "{name}: {message}");
        assert_eq!(condition(&told, "Ready").expect("Ready").0, "False");
        assert_eq!(condition(&told, "Stalled").expect("Stalled").0, "True");
        assert!(told["status"].get("nextScheduleTime").is_none(), "{told}");
        are_told(&namespace, name, &["Invalid"]);
    }
    assert!(runs(&namespace, "tree").is_empty(), "nothing was created");

    // Far from being due, so that it has no run whatever the time is.
    let mended = schedule("tree", &json!({"schedule": "0 0 29 2 *"}));
    namespace.apply(&mended.to_string());
    let told = namespace.eventually("it is accepted", |n| {
        let schedule = get(n, "tree");
        (reason(&schedule, "Accepted")? == "Valid").then_some(schedule)
    });
    assert_eq!(condition(&told, "Ready").expect("Ready").0, "True");
    assert!(condition(&told, "Stalled").is_none(), "{told}");
    assert_eq!(told["status"]["observedGeneration"], told["metadata"]["generation"]);
    let next = told["status"]["nextScheduleTime"].as_str().expect("a time");
    assert!(next.ends_with("-02-29T00:00:00Z"), "{next}");

    let suspend = |how: &str| {
        namespace.kubectl(&["patch", "botrunschedule/tree", "--type=merge", "--patch", how]);
    };
    suspend(r#"{"spec":{"suspend":true}}"#);
    namespace.eventually("it is suspended", |n| {
        let schedule = get(n, "tree");
        let idle = schedule["status"].get("nextScheduleTime").is_none();
        (reason(&schedule, "Ready")? == "Suspended" && idle).then_some(())
    });
    suspend(r#"{"spec":{"suspend":false}}"#);
    namespace.eventually("it goes on", |n| {
        let schedule = get(n, "tree");
        (reason(&schedule, "Ready")? == "Scheduling" && schedule["status"]["nextScheduleTime"] == next)
            .then_some(())
    });
    let columns = namespace.kubectl(&["get", "brs", "tree"]);
    for part in
        ["SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST SCHEDULE", "NEXT", "0 0 29 2 *", "UTC", "false"]
    {
        assert!(columns.contains(part), "{part}: {columns}");
    }
}
