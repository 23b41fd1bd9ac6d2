//! What the cluster says, as it says it, and the reason that is told.

use super::*;
use serde_json::{Value, json};

fn evidence(job: &Value, pods: &[Value], events: &[Value]) -> Evidence {
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let event = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    Evidence {
        job: serde_json::from_value(job.clone()).unwrap(),
        pods: pods.iter().map(read).collect(),
        events: events.iter().map(event).collect(),
        ending: Vec::new(),
    }
}

/// A Job of two pods, both made.
fn job() -> Value {
    json!({"metadata": {"name": "r", "uid": "j"}, "spec": {"parallelism": 2, "template": {}}, "status": {"active": 2}})
}

fn pod(index: u32, status: &Value) -> Value {
    let annotations = json!({"batch.kubernetes.io/job-completion-index": index.to_string()});
    let name = format!("r-{index}");
    json!({"metadata": {"name": name, "uid": name, "annotations": annotations, "creationTimestamp": "2030-01-01T00:00:00Z"}, "status": status})
}

fn waiting(reason: &str, message: &str) -> Value {
    let state = json!({"waiting": {"reason": reason, "message": message}});
    json!({"phase": "Pending", "containerStatuses": [container(&state)]})
}

fn ended(reason: &str, code: i32, message: &str) -> Value {
    let state = json!({"terminated": {"reason": reason, "exitCode": code, "message": message}});
    json!({"phase": "Failed", "containerStatuses": [container(&state)]})
}

fn container(state: &Value) -> Value {
    json!({"name": "runner", "state": state, "image": "i", "imageID": "", "ready": false, "restartCount": 0})
}

fn event(kind: &str, uid: &str, reason: &str, note: &str, at: &str) -> Value {
    let at = format!("2030-01-01T00:00:{at}Z");
    json!({"metadata": {}, "regarding": {"kind": kind, "uid": uid}, "reason": reason, "note": note, "deprecatedLastTimestamp": at})
}

#[test]
fn each_state_of_a_pod_has_its_reason() {
    let unplaced = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]});
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory",
        "containerStatuses": ended("Error", 137, "")["containerStatuses"]});
    let disrupted = json!({"phase": "Failed", "conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "gone"}]});
    let mut sidecar = waiting("CrashLoopBackOff", "back-off 10s restarting");
    sidecar["containerStatuses"][0]["lastState"] =
        json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
    for (status, wanted) in [
        (
            waiting("ImagePullBackOff", "Back-off"),
            "ImagePull: pod r-0: container runner: ImagePullBackOff: Back-off",
        ),
        (
            waiting("ErrImageNeverPull", "not present"),
            "ImagePull: pod r-0: container runner: ErrImageNeverPull: not present",
        ),
        (waiting("InvalidImageName", "x"), "ImagePull: pod r-0: container runner: InvalidImageName: x"),
        (
            waiting("CreateContainerConfigError", "secret \"s\" not found"),
            "ConfigError: pod r-0: container runner: CreateContainerConfigError: secret \"s\" not found",
        ),
        (waiting("RunContainerError", "x"), "StartError: pod r-0: container runner: RunContainerError: x"),
        (
            ended("StartError", 128, "no such file"),
            "StartError: pod r-0: container runner: exit code 128: no such file",
        ),
        (
            ended("Error", 2, "cannot be run\n"),
            "CrashLoop: pod r-0: container runner: exit code 2: cannot be run",
        ),
        (
            ended("Error", 5, "no coordinator"),
            "CoordinatorUnreachable: pod r-0: container runner: exit code 5: no coordinator",
        ),
        (
            ended("Error", 7, "no orders, but refusals"),
            "CheckInRefused: pod r-0: container runner: exit code 7: no orders, but refusals",
        ),
        (ended("Error", 1, ""), "CrashLoop: pod r-0: container runner: exit code 1: Error"),
        (ended("OOMKilled", 137, ""), "OOMKilled: pod r-0: container runner: exit code 137: OOMKilled"),
        (sidecar, "OOMKilled: pod r-0: container runner: exit code 137: OOMKilled"),
        (evicted, "Evicted: pod r-0: Evicted: The node was low on memory"),
        (disrupted, "Evicted: pod r-0: DeletionByTaintManager: gone"),
        (
            json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough"}),
            "PodFailed: pod r-0: OutOfcpu: Node didn't have enough",
        ),
        (unplaced, "Unschedulable: pod r-0: Unschedulable: 0/1 nodes are available"),
        (waiting("ContainerCreating", ""), ""),
        (json!({"phase": "Pending"}), ""),
    ] {
        let cause = of_waiting(&evidence(&job(), &[pod(0, &status)], &[]), |_| false);
        let told = cause.map(|c| format!("{}: {}", c.reason, c.message)).unwrap_or_default();
        assert_eq!(told, wanted, "{status}");
    }
}

#[test]
fn events_tell_what_no_status_does() {
    let mut lacking = job();
    lacking["status"]["active"] = 1.into();
    let quota = "Error creating: pods \"r-1\" is forbidden: exceeded quota: q, requested: pods=1";
    let security = "Error creating: pods \"r-1\" is forbidden: violates PodSecurity \"restricted:latest\"";
    let volume = "MountVolume.SetUp failed for volume \"data\" : configmap \"absent\" not found";
    for (job, event, wanted) in [
        (&lacking, event("Job", "j", "FailedCreate", quota, "01"), Some(Reason::Quota)),
        (&lacking, event("Job", "j", "FailedCreate", security, "01"), Some(Reason::Forbidden)),
        (
            &lacking,
            event("Job", "j", "FailedCreate", "the webhook timed out", "01"),
            Some(Reason::FailedCreate),
        ),
        (&lacking, event("Job", "other", "FailedCreate", quota, "01"), None),
        (&job(), event("Job", "j", "FailedCreate", quota, "01"), None),
        (&job(), event("Pod", "r-0", "FailedMount", volume, "01"), Some(Reason::FailedMount)),
        (
            &job(),
            event("Pod", "r-0", "FailedCreatePodSandBox", "no address", "01"),
            Some(Reason::FailedSandbox),
        ),
        (&job(), event("Pod", "r-0", "Unhealthy", "probe", "01"), None),
        (&job(), event("Pod", "r-9", "FailedMount", volume, "01"), None),
    ] {
        let creating = pod(0, &waiting("ContainerCreating", ""));
        let cause = of_waiting(&evidence(job, &[creating], std::slice::from_ref(&event)), |_| false);
        assert_eq!(cause.as_ref().map(|c| c.reason), wanted, "{event}");
        assert!(cause.is_none_or(|c| c.message.contains(event["note"].as_str().unwrap())));
    }
    let events =
        [event("Job", "j", "FailedCreate", security, "02"), event("Job", "j", "FailedCreate", quota, "01")];
    let cause = of_waiting(&evidence(&lacking, &[], &events), |_| false);
    assert_eq!(cause.map(|c| c.reason), Some(Reason::Forbidden), "the latest");
}

#[test]
fn of_several_pods_what_a_person_has_to_mend_is_told() {
    let pending = pod(0, &ended("Error", 1, "a"));
    let image = pod(1, &waiting("ErrImagePull", "b"));
    let both = evidence(&job(), &[pending.clone(), image.clone()], &[]);
    let reason =
        |evidence: &Evidence, well: &[u32]| of_waiting(evidence, |i| well.contains(&i)).map(|c| c.reason);
    assert_eq!(reason(&both, &[]), Some(Reason::ImagePull));
    assert_eq!(reason(&both, &[1]), Some(Reason::CrashLoop), "1 has checked in");
    assert_eq!(reason(&both, &[0, 1]), None);
    let mut replacement = pod(0, &waiting("ContainerCreating", ""));
    replacement["metadata"]["creationTimestamp"] = "2030-01-01T00:00:09Z".into();
    for pods in [[pending.clone(), replacement.clone()], [replacement, pending]] {
        assert_eq!(reason(&evidence(&job(), &pods, &[]), &[]), None, "the newer pod of an index counts");
    }
    let mut leaving = image;
    leaving["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:09Z".into();
    assert_eq!(reason(&evidence(&job(), &[leaving], &[]), &[]), None);
}

#[test]
fn a_job_that_was_given_up_says_why() {
    let mut failed = job();
    assert_eq!(of_failure(&evidence(&failed, &[], &[])), None);
    failed["status"]["conditions"] = json!([{"type": "Failed", "status": "True", "reason": "MaxFailedIndexesExceeded", "message": "too many"}]);
    let alone = of_failure(&evidence(&failed, &[], &[])).unwrap();
    assert_eq!(
        (alone.reason, alone.message.as_str()),
        (Reason::JobFailed, "MaxFailedIndexesExceeded: too many")
    );
    let lost = evidence(&failed, &[pod(0, &ended("OOMKilled", 137, ""))], &[]);
    let cause = of_failure(&lost).unwrap();
    assert_eq!(cause.reason, Reason::OOMKilled);
    assert_eq!(
        cause.message,
        "pod r-0: container runner: exit code 137: OOMKilled; MaxFailedIndexesExceeded: too many"
    );
    assert!(has_ended(lost.job.as_ref().unwrap()));
    let talkative = evidence(&failed, &[pod(0, &ended("Error", 1, &"x".repeat(5000)))], &[]);
    let message = of_failure(&talkative).unwrap().message;
    assert!(
        message.len() <= MAX_MESSAGE && message.ends_with("x…; MaxFailedIndexesExceeded: too many"),
        "{message}"
    );
    // It says so at once, while its other pods are yet to end.
    failed["status"]["conditions"][0]["type"] = "FailureTarget".into();
    let ending = evidence(&failed, &[], &[]);
    assert_eq!(of_failure(&ending), Some(alone));
    assert!(!has_ended(ending.job.as_ref().unwrap()));
}

#[test]
fn of_many_pods_that_have_failed_those_are_kept_that_tell_something() {
    let pod = |name: &str, index: u32, minute: u32, status: &Value| -> Pod {
        let mut pod = pod(index, status);
        (pod["metadata"]["name"], pod["metadata"]["uid"]) = (name.into(), name.into());
        pod["metadata"]["creationTimestamp"] = format!("2030-01-01T00:{minute:02}:00Z").into();
        serde_json::from_value(pod).unwrap()
    };
    let (failed, pulling) = (ended("Error", 1, ""), waiting("ErrImagePull", "b"));
    let asked = ["old".to_owned(), "nowhere".to_owned()].into();
    let mut evidence = Evidence::default();
    for page in [
        vec![pod("a", 0, 1, &failed), pod("b", 0, 9, &failed), pod("old", 1, 2, &failed)],
        vec![pod("c", 0, 5, &failed), pod("d", 1, 3, &failed), pod("e", 0, 0, &pulling)],
        vec![pod("f", 0, 1, &pulling), pod("g", 2, 1, &failed)],
    ] {
        evidence.take(page, &asked);
    }
    let kept: Vec<String> = evidence.pods.iter().map(ResourceExt::name_any).collect();
    assert_eq!(kept, ["b", "old", "d", "e", "f", "g"]);
}

#[test]
fn a_pod_that_does_not_end_is_told_until_it_is_gone() {
    let now: Timestamp = "2030-01-01T00:05:00Z".parse().unwrap();
    let leaving = |name: &str, index: u32, until: &str, status: &Value| {
        let mut pod = pod(index, status);
        (pod["metadata"]["name"], pod["metadata"]["uid"]) = (name.into(), name.into());
        pod["metadata"]["deletionTimestamp"] = format!("2030-01-01T00:{until}Z").into();
        pod
    };
    let (pending, failed) = (json!({"phase": "Pending"}), ended("Error", 1, ""));
    let mut found = evidence(
        &job(),
        &[
            leaving("a", 0, "04:59", &pending),
            leaving("b", 1, "05:01", &pending),
            leaving("c", 2, "04:00", &failed),
        ],
        &[],
    );
    found.ending = vec![serde_json::from_value(leaving("d", 3, "04:30", &json!({}))).unwrap()];
    assert_eq!(of_overdue(&found, now), ["a".to_owned(), "d".to_owned()].into());
    let told = |well: &[u32]| of_stuck(&found, now, |index| well.contains(&index));
    let first = told(&[]).unwrap();
    assert_eq!(first.reason, Reason::RunnerSilent);
    assert!(first.message.starts_with("pod a: ") && first.message.contains("node may be dead"), "{first:?}");
    assert!(told(&[0]).unwrap().message.starts_with("pod d: "));
    assert_eq!(told(&[0, 3]), None, "others have taken their places");
}

#[test]
fn messages_have_an_end() {
    let cause = Cause::new(Reason::Quota, &"ä".repeat(1000));
    assert!(cause.message.len() <= MAX_MESSAGE && cause.message.ends_with("ä…"), "{}", cause.message.len());
}

/// Whoever adds a reason says in the documentation what it means and what to do about it.
#[test]
fn every_reason_is_documented() {
    let (_, variants) = include_str!("../cause.rs").split_once("enum Reason {").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    let names: Vec<&str> = variants.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert!(names.len() > 10 && names.contains(&"OOMKilled"), "{names:?}");
    let page = include_str!("../../../../docs/reasons.md");
    for name in names {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` | ")));
        let cells = row.map_or(0, |row| row.split(" | ").filter(|cell| cell.len() > 10).count());
        assert!(cells >= 2, "{name} has no meaning and cure in docs/reasons.md");
    }
}
