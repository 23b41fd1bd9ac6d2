//! The status and the events after each kind of look.

use super::super::runs::End;
use super::*;
use crate::schedules::accept::accept;
use serde_json::{Value, json};

fn time(text: &str) -> Timestamp {
    format!("2030-01-01T{text}Z").parse().unwrap()
}

fn schedule() -> BotRunSchedule {
    serde_json::from_value(json!({
        "apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule",
        "metadata": {"name": "s", "namespace": "n", "uid": "u", "generation": 7, "creationTimestamp": time("00:00:10")},
        "spec": {"schedule": "0 * * * *", "template": {"spec": {"trees": {"T": {"wait": 1}}}}},
    }))
    .unwrap()
}

fn run(at: &str, end: Option<bool>) -> ScheduledRun {
    let at = time(at);
    let name = super::super::runs::name_of("s", at);
    let end = end.map(|passed| End { at: at + jiff::SignedDuration::from_mins(5), passed });
    ScheduledRun { uid: name.clone(), name, at: Some(at), end, is_exporting: false, is_leaving: false }
}

fn followed(decision: Decision) -> Verdict {
    let cron = accept(&schedule(), time("00:00:10")).unwrap();
    Verdict::Followed { cron, decision, failure: None }
}

fn start(at: &str) -> Verdict {
    followed(Decision::Start { at: time(at), replace: false, many: false })
}

fn failed(at: &str, said: &str) -> Verdict {
    let Verdict::Followed { cron, decision, .. } = start(at) else { panic!("it is followed") };
    Verdict::Followed { cron, decision, failure: Some(Cause::of_refusal(said)) }
}

fn refused() -> Verdict {
    let mut schedule = schedule();
    schedule.spec.time_zone = "Mars".into();
    Verdict::Refused(accept(&schedule, time("00:00:10")).unwrap_err())
}

/// The conditions as `TYPE STATUS REASON`.
fn told(status: &BotRunScheduleStatus) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
}

fn field(status: &BotRunScheduleStatus, name: &str) -> Value {
    serde_json::to_value(status).unwrap()[name].clone()
}

#[test]
fn each_verdict_has_its_conditions() {
    let accepted = "Accepted True Valid";
    for (verdict, wanted) in [
        (followed(Decision::Wait), vec![accepted, "Ready True Scheduling"]),
        (start("01:00:00"), vec![accepted, "Ready True Scheduling"]),
        (followed(Decision::Suspended), vec![accepted, "Ready True Suspended"]),
        (followed(Decision::Blocked(time("01:00:00"))), vec![accepted, "Ready True RunAlreadyActive"]),
        (followed(Decision::Late(time("01:00:00"))), vec![accepted, "Ready True MissedDeadline"]),
        (failed("01:00:00", "exceeded quota: q"), vec![accepted, "Ready False Quota"]),
        (failed("01:00:00", "spec.bots: Invalid value"), vec![accepted, "Ready False FailedCreate"]),
        (refused(), vec!["Accepted False Invalid", "Ready False Invalid", "Stalled True Invalid"]),
    ] {
        let before = BotRunScheduleStatus::default();
        let status = fold(&schedule(), &before, &[], &verdict, time("01:00:01"));
        assert_eq!(told(&status), wanted);
        assert_eq!(status.observed_generation, Some(7));
        assert!(status.conditions.iter().all(|c| c.observed_generation == Some(7)));
        let suspended = matches!(verdict, Verdict::Followed { decision: Decision::Suspended, .. });
        let idle = suspended || matches!(verdict, Verdict::Refused(_));
        let next = if idle { Value::Null } else { json!("2030-01-01T02:00:00Z") };
        assert_eq!(field(&status, "nextScheduleTime"), next, "{wanted:?}");
    }
    let stalled = fold(&schedule(), &BotRunScheduleStatus::default(), &[], &refused(), time("01:00:00"));
    let mended = fold(&schedule(), &stalled, &[], &followed(Decision::Wait), time("01:00:09"));
    assert_eq!(told(&mended), [accepted, "Ready True Scheduling"], "no longer stalled");
    assert_eq!(mended.conditions[0].last_transition_time.0, time("01:00:09"));
    let again = fold(&schedule(), &mended, &[], &followed(Decision::Wait), time("01:00:30"));
    assert_eq!(again, mended, "what says nothing new is not written again");
}

#[test]
fn starts_are_remembered_and_what_was_missed_is_counted() {
    let nothing = BotRunScheduleStatus::default();
    let since = |last: &str, missed: i64| BotRunScheduleStatus {
        last_schedule_time: Some(Time(time(last))),
        missed_runs: missed,
        ..BotRunScheduleStatus::default()
    };
    let unwritten = [run("04:00:00", None)];
    for (what, before, runs, verdict, now, last, missed) in [
        ("the first", &nothing, &[][..], start("01:00:00"), "01:00:00", Some("01:00:00"), 0),
        ("the first, late", &nothing, &[], start("03:00:00"), "03:30:00", Some("03:00:00"), 2),
        ("the next", &since("01:00:00", 5), &[], start("02:00:00"), "02:00:00", Some("02:00:00"), 5),
        ("after a gap", &since("01:00:00", 5), &[], start("04:00:00"), "04:00:00", Some("04:00:00"), 7),
        (
            "a status was not written",
            &since("01:00:00", 5),
            &unwritten,
            followed(Decision::Wait),
            "04:00:05",
            Some("04:00:00"),
            7,
        ),
        (
            "nothing is due",
            &since("01:00:00", 5),
            &[],
            followed(Decision::Wait),
            "01:30:00",
            Some("01:00:00"),
            5,
        ),
        ("it failed", &since("01:00:00", 5), &[], failed("02:00:00", "no"), "02:00:00", Some("01:00:00"), 5),
        ("nothing at all", &nothing, &[], followed(Decision::Wait), "00:30:00", None, 0),
    ] {
        let status = fold(&schedule(), before, runs, &verdict, time(now));
        assert_eq!(status.last_schedule_time.map(|t| t.0), last.map(time), "{what}");
        assert_eq!(status.missed_runs, missed, "{what}");
    }
    let mut old = schedule();
    old.metadata.creation_timestamp = Some(Time("2020-01-01T00:00:00Z".parse().unwrap()));
    let status = fold(&old, &nothing, &[], &start("01:00:00"), time("01:00:00"));
    assert_eq!(status.missed_runs, 100, "counting has an end");
}

#[test]
fn active_and_successful_runs_are_told() {
    let runs = [
        run("01:00:00", Some(true)),
        run("02:00:00", Some(false)),
        run("03:00:00", None),
        run("04:00:00", None),
    ];
    let wait = followed(Decision::Wait);
    let status = fold(&schedule(), &BotRunScheduleStatus::default(), &runs, &wait, time("04:00:00"));
    let named: Vec<&str> = status.active.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(named, [&runs[2].name, &runs[3].name]);
    assert_eq!(status.active_count, 2);
    assert_eq!(field(&status, "lastSuccessfulTime"), "2030-01-01T01:05:00Z");
    let later = fold(&schedule(), &status, &[], &wait, time("04:30:00"));
    assert_eq!((later.active_count, later.active.len()), (0, 0));
    assert_eq!(field(&later, "lastSuccessfulTime"), "2030-01-01T01:05:00Z", "it outlives the run");
    let many: Vec<ScheduledRun> = (0..150).map(|_| run("03:00:00", None)).collect();
    let status = fold(&schedule(), &later, &many, &wait, time("04:30:00"));
    assert_eq!((status.active_count, status.active.len()), (150, MOST_NAMED));
}

#[test]
fn what_keeps_runs_from_being_created_is_told_once() {
    let runs = [run("01:00:00", None)];
    let at = |verdict: &Verdict, before: &BotRunScheduleStatus| {
        fold(&schedule(), before, &runs, verdict, time("03:00:01"))
    };
    let quiet = at(&followed(Decision::Wait), &BotRunScheduleStatus::default());
    assert_eq!(news(&BotRunScheduleStatus::default(), &quiet), None);
    let blocked = followed(Decision::Blocked(time("02:00:00")));
    for (verdict, type_, reason, part) in [
        (&blocked, EventType::Normal, "RunAlreadyActive", "02:00:00Z waits for the end of s-31557660"),
        (
            &followed(Decision::Late(time("02:00:00"))),
            EventType::Warning,
            "MissedDeadline",
            "was not started",
        ),
        (&failed("02:00:00", "exceeded quota: q"), EventType::Warning, "Quota", "exceeded quota: q"),
        (&refused(), EventType::Warning, "Invalid", "spec.timeZone: there is no time zone"),
    ] {
        let after = at(verdict, &quiet);
        let event = news(&quiet, &after).unwrap();
        assert_eq!((event.type_, event.reason.as_str()), (type_, reason));
        assert!(event.note.contains(part), "{}", event.note);
        assert_eq!(news(&after, &at(verdict, &after)), None, "{reason}");
    }
    let first = at(&blocked, &quiet);
    let second = at(&followed(Decision::Blocked(time("03:00:00"))), &first);
    assert!(news(&first, &second).is_some(), "another run waits now");
}

/// Whoever adds a reason says in the documentation what it means and what to do about it.
#[test]
fn every_reason_is_documented() {
    let (_, variants) = include_str!("../status.rs").split_once("enum Reason {").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    let names: Vec<&str> = variants.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert!(names.len() > 8 && names.contains(&"MissedDeadline"), "{names:?}");
    let page = include_str!("../../../../docs/reasons.md");
    let (_, section) = page.split_once("## Schedules").unwrap();
    for name in names.into_iter().chain([crate::events::UNREADABLE]) {
        let row = section.lines().find(|line| line.contains(&format!("`{name}`")));
        let cells: Vec<&str> = row.unwrap_or_default().split(" | ").collect();
        assert!(
            cells.len() == 3 && cells.iter().all(|cell| cell.len() >= "event".len()),
            "{name} has no row of its own in docs/reasons.md: {cells:?}"
        );
    }
}
