use super::*;
use serde_json::{Value, json};

/// A status in this phase, of a run that has its Job, with these conditions: type, status, reason.
fn status(phase: &str, told: &[(&str, &str, &str)]) -> BotRunStatus {
    let condition = |(kind, status, reason): &(&str, &str, &str)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": format!("about {reason}"),
            "lastTransitionTime": "2030-01-01T00:00:00Z",
        })
    };
    let conditions: Value = told.iter().map(condition).collect();
    serde_json::from_value(json!({"phase": phase, "conditions": conditions})).unwrap()
}

/// One whose `Running` is so.
fn running(phase: &str, holds: &str, reason: &str) -> BotRunStatus {
    status(phase, &[("Scheduled", "True", "JobCreated"), ("Running", holds, reason)])
}

fn told(before: &BotRunStatus, status: &BotRunStatus) -> Vec<(EventType, String)> {
    of(before, status, None).into_iter().map(|happened| (happened.type_, happened.reason)).collect()
}

const GOOD: EventType = EventType::Normal;
const BAD: EventType = EventType::Warning;

/// What is told of the way from one status to another: what it is about, both, and the event.
type Turn = (&'static str, BotRunStatus, BotRunStatus, Option<(EventType, &'static str)>);

fn at_work() -> BotRunStatus {
    running("Running", "True", "BotsAtWork")
}

fn starting() -> BotRunStatus {
    running("Scheduled", "False", "Scheduled")
}

fn waiting(reason: &str) -> BotRunStatus {
    running("Scheduled", "False", reason)
}

/// Each turn is told once.
fn tell(turns: Vec<Turn>) {
    for (what, before, after, expected) in turns {
        let expected: Vec<_> = expected.into_iter().map(|(kind, reason)| (kind, reason.to_owned())).collect();
        assert_eq!(told(&before, &after), expected, "{what}");
        assert_eq!(told(&after, &after), [], "{what}: it is not told again");
    }
}

#[test]
fn the_way_to_the_start_is_told() {
    let queued = |reason| status("Pending", &[("Scheduled", "False", reason), ("Running", "False", reason)]);
    let no_job =
        |reason| status("Scheduled", &[("Scheduled", "False", "Quota"), ("Running", "False", reason)]);
    tell(vec![
        ("it waits for others", BotRunStatus::default(), queued("Queued"), Some((GOOD, "Queued"))),
        ("for a person instead", queued("Queued"), queued("Suspended"), Some((GOOD, "Suspended"))),
        ("its Job is made, which is told there", queued("Queued"), no_job("Scheduled"), None),
        ("a quota is in its way", queued("Queued"), no_job("Quota"), Some((BAD, "Quota"))),
        ("there is room again, and a Job", no_job("Quota"), no_job("Scheduled"), None),
        ("the Job is seen", no_job("Scheduled"), starting(), None),
        ("no image", starting(), waiting("ImagePull"), Some((BAD, "ImagePull"))),
        ("there is one", waiting("ImagePull"), starting(), Some((GOOD, "Scheduled"))),
        ("setup begins", starting(), waiting("SettingUp"), Some((GOOD, "SettingUp"))),
        ("its runner is lost", waiting("SettingUp"), waiting("RunnerLost"), Some((BAD, "RunnerLost"))),
    ]);
}

#[test]
fn what_becomes_of_bots_at_work_is_told() {
    tell(vec![
        ("the bots begin", waiting("SettingUp"), at_work(), Some((GOOD, "BotsAtWork"))),
        (
            "a replacement cannot start",
            at_work(),
            running("Running", "True", "Unschedulable"),
            Some((BAD, "Unschedulable")),
        ),
        (
            "another reason",
            running("Running", "True", "Unschedulable"),
            running("Running", "True", "Quota"),
            Some((BAD, "Quota")),
        ),
        (
            "one is not heard",
            at_work(),
            running("Running", "True", "RunnerSilent"),
            Some((BAD, "RunnerSilent")),
        ),
        ("it was cut off", running("Running", "True", "RunnerSilent"), at_work(), Some((GOOD, "BotsAtWork"))),
        ("it has come", running("Running", "True", "Quota"), at_work(), Some((GOOD, "BotsAtWork"))),
        ("suspended", at_work(), running("Running", "False", "Suspended"), Some((GOOD, "Suspended"))),
        ("resumed", running("Running", "False", "Suspended"), at_work(), Some((GOOD, "BotsAtWork"))),
        (
            "once too often",
            at_work(),
            running("Running", "True", "SuspendIgnored"),
            Some((BAD, "SuspendIgnored")),
        ),
    ]);
}

#[test]
fn the_end_is_told() {
    let ended = |told: &[(&str, &str, &str)]| status("Finished", told);
    tell(vec![
        ("teardown", at_work(), running("Running", "True", "TearingDown"), Some((GOOD, "TearingDown"))),
        ("it passes", at_work(), ended(&[("Complete", "True", "Passed")]), Some((GOOD, "Passed"))),
        (
            "it fails",
            at_work(),
            ended(&[
                ("Running", "False", "Evicted"),
                ("Complete", "True", "Errored"),
                ("Failed", "True", "Evicted"),
            ]),
            Some((BAD, "Evicted")),
        ),
    ]);
}

#[test]
fn other_conditions_are_told_when_they_become_true() {
    let with = |mut status: BotRunStatus, kind, holds, reason| {
        status.conditions.extend(self::status("Running", &[(kind, holds, reason)]).conditions);
        status
    };
    tell(vec![
        (
            "what cannot be changed",
            at_work(),
            with(at_work(), "SpecChanged", "True", "Kept"),
            Some((BAD, "SpecChanged")),
        ),
        (
            "changed back",
            with(at_work(), "SpecChanged", "True", "Kept"),
            with(at_work(), "SpecChanged", "False", "Same"),
            None,
        ),
        (
            "changed anew",
            with(at_work(), "SpecChanged", "False", "Same"),
            with(at_work(), "SpecChanged", "True", "InvalidRate"),
            Some((BAD, "SpecChanged")),
        ),
        (
            "changed in another way",
            with(at_work(), "SpecChanged", "True", "Kept"),
            with(at_work(), "SpecChanged", "True", "InvalidRate"),
            Some((BAD, "SpecChanged")),
        ),
        (
            "nothing can be written down",
            at_work(),
            with(at_work(), "MeasuresUnsafe", "True", "CheckpointFailed"),
            Some((BAD, "MeasuresUnsafe")),
        ),
        (
            "the generator cannot keep up",
            at_work(),
            with(at_work(), "GeneratorSaturated", "True", "CannotKeepUp"),
            Some((BAD, "GeneratorSaturated")),
        ),
        (
            "rows are summed",
            at_work(),
            with(at_work(), "MeasuresSummed", "True", "TooManyRows"),
            Some((BAD, "MeasuresSummed")),
        ),
    ]);
}

#[test]
fn words_that_change_are_no_news() {
    let before = running("Running", "True", "Unschedulable");
    let mut after = before.clone();
    after.conditions[1].message = "0/7 nodes are available".into();
    assert_eq!(told(&before, &after), []);
}

#[test]
fn a_lost_runner_and_the_end_of_an_export_are_told_beside() {
    let lost = |lost: i32| json!({"desired": 2, "ready": 2, "finished": 0, "lost": lost, "replaced": 0});
    let with = |runners: Value| -> BotRunStatus {
        serde_json::from_value(json!({"phase": "Running", "runners": runners})).unwrap()
    };
    assert_eq!(told(&with(lost(0)), &with(lost(1))), [(BAD, "RunnerLost".to_owned())]);
    assert_eq!(told(&with(lost(1)), &with(lost(1))), []);
    for (holds, reason, kind) in [("True", "Delivered", GOOD), ("False", "ExportFailed", BAD)] {
        let before = status("Finished", &[("Exported", "Unknown", "ExportPending")]);
        let mut after = status("Finished", &[("Exported", holds, reason)]);
        after.export =
            serde_json::from_value(json!({"job": "j", "completionTime": "2030-01-01T00:00:00Z"})).unwrap();
        assert_eq!(told(&before, &after), [(kind, reason.to_owned())]);
        assert_eq!(told(&after, &after), []);
    }
    let mut begun = status("Finished", &[("Exported", "Unknown", "ExportPending")]);
    begun.export = serde_json::from_value(json!({"job": "j"})).unwrap();
    assert_eq!(told(&status("Finished", &[]), &begun), [], "its Job tells of itself");
}

#[test]
fn the_reason_of_a_loss_is_its_own() {
    let status = |lost: i32, gaps: &[(&str, &str)]| -> BotRunStatus {
        let gap = |(uid, reason): &(&str, &str)| json!({"index": 0, "podUID": uid, "from": 1, "until": 2, "bots": 1, "reason": reason});
        let gaps: Vec<Value> = gaps.iter().map(gap).collect();
        let runners = json!({"desired": 3, "ready": 2, "finished": 0, "lost": lost, "replaced": 0});
        let mut result = crate::armies::tests::army(1).result(1);
        result.gaps = serde_json::from_value(gaps.into()).unwrap();
        let status = json!({"phase": "Running", "runners": runners});
        BotRunStatus { result: Some(result), ..serde_json::from_value(status).unwrap() }
    };
    let (a, b, c) = (("a", "killed"), ("b", "evicted"), ("c", "silent"));
    for (what, before, after, loss, expected) in [
        ("nothing is known", status(0, &[]), status(1, &[]), None, "1 runner was lost so far"),
        (
            "its place is empty",
            status(0, &[]),
            status(1, &[]),
            Some("full"),
            "1 runner was lost so far; full",
        ),
        ("an earlier gap", status(1, &[a]), status(2, &[a]), None, "2 runners were lost so far"),
        ("its gap", status(1, &[a]), status(2, &[a, b]), None, "2 runners were lost so far; evicted"),
        ("the newest", status(0, &[]), status(2, &[a, b]), Some("no"), "2 runners were lost so far; evicted"),
        ("not the last", status(1, &[b]), status(2, &[a, b]), None, "2 runners were lost so far; killed"),
        ("open", status(1, &[a]), status(3, &[a]), Some(c.1), "3 runners were lost so far; silent"),
    ] {
        let notes: Vec<String> = of(&before, &after, loss).into_iter().map(|told| told.note).collect();
        assert_eq!(notes, [expected], "{what}");
    }
}

#[test]
fn what_is_told_is_documented() {
    let page = include_str!("../../../../docs/reasons.md");
    let (_, events) = page.split_once("## Events").unwrap();
    for kind in WARNINGS {
        assert!(events.contains(&format!("`{kind}`")), "{kind} is not among the events of docs/reasons.md");
    }
    for reason in WELL {
        let is_told =
            |line: &str| line.starts_with("| `Running` | ") && line.contains(&format!("`{reason}`"));
        assert!(page.lines().any(is_told), "{reason} has no row in docs/reasons.md");
    }
}
