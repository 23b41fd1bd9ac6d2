//! How runs are operated: they wait for one another, stand still, end in time, and go when they are over.

use super::cluster::{Namespace, condition, reason};
use super::counts::{army, get as get_by, headers};
use super::loads::run;
use super::{hold_against_the_target, waiting};
use serde_json::json;
use std::time::{Duration, Instant};

fn is_running(n: &Namespace, run: &str) -> Option<()> {
    (reason(&n.get(&format!("botrun/{run}")), "Running")? == "BotsAtWork").then_some(())
}

#[test]
fn runs_of_one_target_wait_for_one_another() {
    let namespace = Namespace::new("queue");
    namespace.open_shop();
    namespace.apply(&run("first", &json!({"bots": 2, "pace": "200ms"})));
    namespace.eventually("the first one is at work", |n| is_running(n, "first"));
    // However the target is written.
    let same = json!({"target": "http://target.e2e-queue.svc:8080", "bots": 2, "iterations": 4});
    namespace.apply(&run("second", &same));
    namespace.eventually("the second one waits", |n| {
        let run = n.get("botrun/second");
        let (_, message) = condition(&run, "Running")?;
        (reason(&run, "Running")? == "Queued" && message.contains("e2e-queue/first")).then_some(())
    });
    assert!(!namespace.try_kubectl(&["get", "job/second"], None).status.success(), "it has no pods");
    namespace.kubectl(&["patch", "botrun/first", "--type=merge", "-p", r#"{"spec":{"stop":true}}"#]);
    assert_eq!(namespace.wait_complete("first")["status"]["outcome"], "Passed");
    let second = namespace.wait_complete("second");
    assert_eq!(
        (&second["status"]["outcome"], &second["status"]["result"]["iterations"]),
        (&json!("Passed"), &json!(4))
    );
    // Both may share it.
    for name in ["third", "fourth"] {
        namespace.apply(&run(name, &json!({"bots": 2, "pace": "200ms", "targetPolicy": "Shared"})));
    }
    for name in ["third", "fourth"] {
        namespace.eventually("they go together", |n| is_running(n, name));
    }
}

#[test]
fn a_run_stands_still_and_goes_on() {
    let namespace = Namespace::new("suspend");
    namespace.open_shop();
    // One whose bots arrive, and one whose bots have a pace.
    let arrivals = json!({"bots": null, "pace": null, "arrivalRate": "20/s"});
    for (name, mut fields) in [("still", arrivals), ("paced", json!({"pace": "250ms"}))] {
        for (field, value) in
            [("duration", json!("15s")), ("suspend", json!(true)), ("targetPolicy", json!("Shared"))]
        {
            fields[field] = value;
        }
        namespace.apply(&army(name, &fields));
    }
    let both = ["still", "paced"];
    namespace.eventually("they do not begin", |n| {
        let waits = |name| reason(&n.get(&format!("botrun/{name}")), "Running") == Some("Suspended");
        both.into_iter().all(waits).then_some(())
    });
    assert!(!namespace.try_kubectl(&["get", "job/still"], None).status.success());
    let suspend = |value: &str| {
        let patch = format!("{{\"spec\":{{\"suspend\":{value}}}}}");
        namespace.kubectl(&["patch", "botrun/still", "botrun/paced", "--type=merge", "-p", &patch]);
    };
    suspend("false");
    namespace.eventually("both are at work", |n| {
        let done = |name| n.get(&format!("botrun/{name}"))["status"]["result"]["iterations"].as_u64();
        (done("still")? > 20 && done("paced")? > 8).then_some(())
    });
    suspend("true");
    let asked = Instant::now();
    namespace.eventually("they stand still", |n| {
        let stands = |name| {
            let run = n.get(&format!("botrun/{name}"));
            Some(reason(&run, "Running")? == "Suspended" && condition(&run, "Running")?.0 == "False")
        };
        (stands("still")? && stands("paced")?).then_some(())
    });
    // The notice has passed when look after look sees the same.
    let (mut last, mut same) = (0, 0);
    namespace.eventually("no requests any more", |n| {
        let now = n.shop_stats()["requests"].as_u64()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same >= 8).then_some(())
    });
    let stood_still = asked.elapsed();
    suspend("false");
    let ended = both.map(|name| namespace.wait_complete(name));
    let results = ended.each_ref().map(|run| &run["status"]["result"]);
    for (run, result) in ended.iter().zip(results) {
        assert_eq!(run["status"]["outcome"], "Passed", "{run:#}");
        let took = result["durationMs"].as_u64().expect("a time");
        assert!((14_000..20_000).contains(&took), "{took} ms");
    }
    let [still, paced] = results;
    // Every arrival has come, in its time, as if it had never stood still.
    assert_eq!((&still["bots"]["started"], &still["iterations"]), (&json!(300), &json!(300)), "{still:#}");
    // A bot makes up for nothing that it has not done in the time in which all stood still.
    assert!(stood_still > Duration::from_secs(2), "{stood_still:?} cannot be told from no time");
    let passes = paced["iterations"].as_u64().expect("a number");
    assert!((160..=4 * (60 + 1)).contains(&passes), "{passes} passes in 15 s: {paced:#}");
    for name in both {
        hold_against_the_target(&namespace, name);
    }
}

#[test]
fn a_job_that_others_suspend_goes_on_with_what_is_left() {
    let namespace = Namespace::new("jobsuspend");
    namespace.open_shop();
    namespace.apply(&army("kept", &json!({"pace": "200ms", "iterations": 300})));
    namespace.eventually("bots are at work", |n| (n.shop_stats()["requests"].as_u64()? > 40).then_some(()));
    let suspend = |value: &str| {
        let patch = format!("{{\"spec\":{{\"suspend\":{value}}}}}");
        namespace.kubectl(&["patch", "job/kept", "--type=merge", "-p", &patch]);
    };
    suspend("true");
    namespace.eventually("its pods are gone", |n| {
        let pods = n.kubectl(&["get", "pods", "-l", "botarmy.dev/run=kept", "-o", "name"]);
        (pods.trim().is_empty() && reason(&n.get("botrun/kept"), "Running")? == "Suspended").then_some(())
    });
    suspend("false");
    let ended = namespace.wait_complete("kept");
    let status = &ended["status"];
    assert_eq!(
        (&status["outcome"], &status["result"]["iterations"]),
        (&json!("Passed"), &json!(300)),
        "{ended:#}"
    );
    assert_eq!(
        (&status["runners"]["lost"], &status["result"]["gaps"]),
        (&json!(0), &json!([])),
        "{status:#}"
    );
    hold_against_the_target(&namespace, "kept");
}

#[test]
fn a_run_that_is_not_over_in_time_is_ended() {
    let namespace = Namespace::new("deadline");
    namespace.open_shop();
    namespace.apply(&army("long", &json!({"pace": "200ms", "deadline": "15s", "gracePeriod": "2s"})));
    let ended = namespace.wait_complete("long");
    assert_eq!(ended["status"]["outcome"], "Errored", "{ended:#}");
    assert_eq!(reason(&ended, "Failed"), Some("DeadlineExceeded"), "{ended:#}");
    let counted = &ended["status"]["result"]["requests"];
    assert!(counted.as_u64().expect("requests") > 10, "{ended:#}");
    // What was measured is kept.
    hold_against_the_target(&namespace, "long");
    namespace.eventually("its pods are gone", |n| {
        let pods = n.kubectl(&[
            "get",
            "pods",
            "-l",
            "botarmy.dev/run=long",
            "--field-selector=status.phase=Running",
            "-o",
            "name",
        ]);
        pods.trim().is_empty().then_some(())
    });
}

#[test]
fn a_run_is_deleted_when_its_time_is_over() {
    let namespace = Namespace::new("ttl");
    let ttl = json!({"passed": 5, "failed": 600});
    let failing = json!([{"expect": "count < 1", "action": "wait"}]);
    namespace.apply(&waiting("passes", &json!({"iterations": 4, "ttlSecondsAfterFinished": ttl})));
    let fails = json!({"iterations": 4, "ttlSecondsAfterFinished": ttl, "thresholds": failing});
    namespace.apply(&waiting("fails", &fails));
    assert_eq!(
        namespace.wait_complete("passes")["status"]["outcome"],
        "Passed",
        "it can be read for a while"
    );
    assert_eq!(namespace.wait_complete("fails")["status"]["outcome"], "Failed");
    namespace.eventually("only the one that has passed is gone", |n| {
        let left = n.kubectl(&["get", "botruns,jobs", "-o", "name"]);
        (left.contains("botrun.botarmy.dev/fails") && !left.contains("passes")).then_some(())
    });
}

#[test]
fn the_others_go_on_without_a_lost_runner_or_the_run_ends() {
    let namespace = Namespace::new("policies");
    namespace.open_shop();
    let lose_one = |name: &str, policy: &str| {
        let clean = json!({"http": {"post": "{{ target }}/login", "headers": headers(name)}});
        let fields = json!({
            "pace": "200ms", "duration": "20s", "lossPolicy": policy,
            "trees": {"T": get_by(name, "catalogue"), "Clean": clean},
            "tree": "T", "teardown": {"tree": "Clean"},
        });
        namespace.apply(&army(name, &fields));
        namespace.eventually("it is at work", |n| {
            let requests = n.get(&format!("botrun/{name}"))["status"]["result"]["requests"].as_u64()?;
            (requests > 20).then_some(())
        });
        let which = format!("botarmy.dev/run={name},batch.kubernetes.io/job-completion-index=1");
        namespace.kubectl(&["delete", "pod", "-l", &which, "--grace-period=0", "--force", "--wait=false"]);
        let ended = namespace.wait_complete(name);
        hold_against_the_target(&namespace, name);
        ended
    };
    let ignored = lose_one("ignored", "Ignore");
    let status = &ignored["status"];
    assert_eq!(
        (&status["outcome"], &status["runners"]["lost"]),
        (&json!("Passed"), &json!(1)),
        "{ignored:#}"
    );
    assert_eq!(status["runners"]["replaced"], 0);
    let gap = &status["result"]["gaps"][0];
    assert_eq!((&gap["index"], &gap["bots"]), (&json!(1), &json!(2)), "{gap:#}");
    assert!(gap["until"].as_u64().expect("a second") >= 20, "to the end: {gap:#}");
    assert_eq!(namespace.shop_stats()["routes"]["POST /login"], 1, "who is left cleans up");
    let failed = lose_one("failed", "Fail");
    assert_eq!(namespace.shop_stats()["routes"]["POST /login"], 2, "that too, before it ends");
    assert_eq!(failed["status"]["outcome"], "Errored", "{failed:#}");
    assert_eq!(reason(&failed, "Failed"), Some("RunnerLost"), "{failed:#}");
    let gaps = failed["status"]["result"]["gaps"].as_array().expect("gaps");
    assert!(gaps.len() == 1 && gaps[0]["index"] == 1, "{failed:#}");
    assert!(failed["status"]["result"]["requests"].as_u64().expect("requests") > 20, "what is known is kept");
}

#[test]
fn a_namespace_that_is_deleted_with_a_run_at_work_goes() {
    let namespace = Namespace::new("going");
    namespace.apply(&waiting("at-work", &json!({})));
    namespace.eventually("bots are at work", |n| is_running(n, "at-work"));
    namespace.kubectl(&["delete", "namespace", namespace.name(), "--wait=false"]);
    namespace.eventually("it is gone", |n| {
        let found = n.try_kubectl(&["get", "namespace", n.name()], None);
        String::from_utf8_lossy(&found.stderr).contains("not found").then_some(())
    });
}
