//! How long a run waits for its runners, and for those that are lost: never for ever, and never for less than it may.

use crate::fake::{Effect, Fake, Fault, NAMESPACE, Seen};
use crate::operator::{
    Operator, apply, at_work, bots_begin, condition, eventually, phase, run, said, scheduled, seconds, told,
    uid as uid_of,
};
use botarmy_crds::RUN_UID_LABEL;
use botarmy_operator::armies::Unkept;
use botarmy_operator::clock::now_ms;
use botarmy_operator::controller::Limits;
use botarmy_operator::election::Standing;
use botarmy_protocol::{CheckIn, Stage};
use botarmy_spec::Part;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Longer than any run waits for its runners here, in milliseconds.
const HOUR_MS: u64 = 3_600_000;

fn an_hour_ago() -> String {
    (Timestamp::now() - SignedDuration::from_hours(1)).to_string()
}

/// A run that was applied an hour ago.
fn old(name: &str, fields: &Value) -> Value {
    let mut old = run(name, fields);
    old["metadata"]["creationTimestamp"] = an_hour_ago().into();
    old
}

/// The Job of a run was made an hour ago.
fn age_job(fake: &Fake, name: &str) {
    fake.change("jobs", name, &json!({"metadata": {"creationTimestamp": an_hour_ago()}}));
}

/// Whether it is given the time to begin, and begins.
async fn begins(fake: &Fake, operator: &Operator, name: &str, uid: &str) {
    scheduled(fake, name).await;
    seconds(20).await;
    assert_eq!(phase(fake, name), "Scheduled", "{name}: {:?}", condition(fake, name, "Failed"));
    bots_begin(fake, operator, name, uid).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_queued_for_long_has_all_of_its_time_once_it_is_let_in() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let target = json!({"target": "http://target:8080"});
    let first = apply(&fake, run("a", &target));
    scheduled(&fake, "a").await;
    let second = apply(&fake, old("b", &target));
    eventually("it waits", || (condition(&fake, "b", "Running") == told("False", "Queued")).then_some(()))
        .await;
    operator.has_lived(HOUR_MS);
    operator.finish(&first).await;
    begins(&fake, &operator, "b", &second).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_suspended_for_long_has_all_of_its_time_once_it_goes_on() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, old("a", &json!({"suspend": true})));
    eventually("it waits", || (condition(&fake, "a", "Running") == told("False", "Suspended")).then_some(()))
        .await;
    operator.has_lived(HOUR_MS);
    fake.change("botruns", "a", &json!({"spec": {"suspend": false}}));
    begins(&fake, &operator, "a", &uid).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_still_before_its_start_has_all_of_its_time_once_it_goes_on() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    fake.change("botruns", "a", &json!({"spec": {"suspend": true}}));
    eventually("it waits", || (condition(&fake, "a", "Running") == told("False", "Suspended")).then_some(()))
        .await;
    age_job(&fake, "a");
    operator.has_lived(HOUR_MS);
    seconds(20).await;
    assert_eq!(condition(&fake, "a", "Running"), told("False", "Suspended"));
    fake.change("botruns", "a", &json!({"spec": {"suspend": false}}));
    begins(&fake, &operator, "a", &uid).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_looked_at_for_long_has_all_of_its_time() {
    let fake = Fake::new();
    let uid = apply(&fake, old("a", &json!({})));
    let operator = Operator::start(&fake);
    begins(&fake, &operator, "a", &uid).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_operators_were_away_for_long_has_all_of_its_time() {
    let fake = Fake::new();
    let before = Operator::start(&fake);
    let uid = apply(&fake, old("a", &json!({})));
    scheduled(&fake, "a").await;
    before.kill().await;
    age_job(&fake, "a");
    let after = Operator::start_as(&fake, Standing::Leads(2), Limits::default());
    eventually("it knows the run", || after.knows(&uid).then_some(())).await;
    begins(&fake, &after, "a", &uid).await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_met_late_does_not_end_a_run_at_once() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    fake.inject(Fault::new("create", "jobs", Effect::Code(403)));
    let uid = apply(&fake, old("a", &json!({})));
    let is_kept = || (condition(&fake, "a", "Running") == told("False", "Forbidden")).then_some(());
    eventually("it waits", is_kept).await;
    seconds(20).await;
    assert_eq!(phase(&fake, "a"), "Scheduled");
    // Its time is over when the Job is made at last: that has had none yet.
    {
        let mut armies = operator.armies.lock();
        let army = armies.get_mut(&uid).expect("an army");
        army.is_kept_out();
        army.let_in(now_ms() - HOUR_MS);
    }
    operator.has_lived(HOUR_MS);
    fake.mend();
    begins(&fake, &operator, "a", &uid).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_runners_had_the_time_is_given_up_and_so_is_one_without_a_job() {
    for has_job in [true, false] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        if !has_job {
            fake.inject(Fault::new("create", "jobs", Effect::Code(403)));
        }
        let uid = apply(&fake, run("a", &json!({})));
        let (told_before, reason) =
            if has_job { ("Scheduled", "NoCheckIn") } else { ("Forbidden", "Forbidden") };
        eventually("it waits", || {
            (condition(&fake, "a", "Running") == told("False", told_before)).then_some(())
        })
        .await;
        if has_job {
            scheduled(&fake, "a").await;
            age_job(&fake, "a");
        } else {
            let mut armies = operator.armies.lock();
            let army = armies.get_mut(&uid).expect("an army");
            army.is_kept_out();
            army.let_in(now_ms() - HOUR_MS);
        }
        operator.has_lived(HOUR_MS);
        eventually("it is given up", || {
            (condition(&fake, "a", "Failed") == told("True", reason)).then_some(())
        })
        .await;
        eventually("its Job is gone", || fake.all("jobs").is_empty().then_some(())).await;
        operator.kill().await;
    }
}

/// What shall take the place of the first runner finds no node.
fn add_unplaced(fake: &Fake, uid: &str) {
    let unplaced = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node fits"});
    let metadata = json!({
        "name": "a-0-again", "namespace": NAMESPACE, "labels": {RUN_UID_LABEL: uid},
        "annotations": {"batch.kubernetes.io/job-completion-index": "0"},
    });
    fake.add("pods", json!({"metadata": metadata, "status": {"phase": "Pending", "conditions": [unplaced]}}));
}

/// The one runner of a run was told to set up, and was heard last so long ago.
async fn setting_up(fake: &Fake, operator: &Operator, timeout: &str, ago_ms: u64) -> String {
    let setup = json!({"tree": "T", "timeout": timeout});
    let uid = apply(fake, run("a", &json!({"setup": setup, "startDeadline": "1m"})));
    scheduled(fake, "a").await;
    age_job(fake, "a");
    eventually("setup is told", || {
        operator
            .hear_ago(&said(&uid, 0, Stage::Ready, &[]), ago_ms)
            .perform
            .filter(|part| *part == Part::Setup)
    })
    .await;
    eventually("setup is shown", || {
        (condition(fake, "a", "Running") == told("False", "SettingUp")).then_some(())
    })
    .await;
    uid
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_is_lost_while_it_sets_up_is_missed() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    // Two and a half minutes later it has stopped by itself for certain.
    let uid = setting_up(&fake, &operator, "1h", 200_000).await;
    add_unplaced(&fake, &uid);
    seconds(5).await;
    assert_eq!(condition(&fake, "a", "Running"), told("False", "SettingUp"), "it may be heard again");
    operator.has_lived(200_000);
    eventually("what keeps the other", || {
        (condition(&fake, "a", "Running") == told("False", "Unschedulable")).then_some(())
    })
    .await;
    assert_eq!(condition(&fake, "a", "Stalled"), told("True", "Unschedulable"));
    assert_eq!(phase(&fake, "a"), "Scheduled");
    // Heard again, it goes on.
    operator.hear(&said(&uid, 0, Stage::Ready, &[]));
    eventually("setup goes on", || {
        (condition(&fake, "a", "Running") == told("False", "SettingUp")).then_some(())
    })
    .await;
    assert_eq!(condition(&fake, "a", "Stalled").expect("a condition").0, "False");
}

#[tokio::test(start_paused = true)]
async fn a_setup_whose_runner_is_lost_comes_to_an_end_though_nobody_checks_in() {
    for (timeout, is_replaced, reason) in
        [("1h", true, "Unschedulable"), ("1h", false, "RunnerLost"), ("10s", false, "SetupFailed")]
    {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = setting_up(&fake, &operator, timeout, 300_000).await;
        if is_replaced {
            add_unplaced(&fake, &uid);
        }
        operator.has_lived(300_000);
        eventually("it is over", || (condition(&fake, "a", "Failed") == told("True", reason)).then_some(()))
            .await;
        assert_eq!(condition(&fake, "a", "Complete"), told("True", "Errored"), "{reason}");
        eventually("its Job is gone", || fake.all("jobs").is_empty().then_some(())).await;
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_teardown_whose_runner_is_lost_comes_to_an_end_though_nobody_checks_in() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({"teardown": {"tree": "T"}})));
    scheduled(&fake, "a").await;
    let hear = |stage, deltas: &[u64]| operator.hear_ago(&said(&uid, 0, stage, deltas), 600_000);
    eventually("the start is told", || hear(Stage::Ready, &[]).start_at_ms.map(drop)).await;
    hear(Stage::Running, &[]);
    eventually("teardown is told", || {
        hear(Stage::Finished, &[1]).perform.filter(|part| *part == Part::Teardown)
    })
    .await;
    eventually("teardown is shown", || {
        (condition(&fake, "a", "Running") == told("True", "TearingDown")).then_some(())
    })
    .await;
    seconds(20).await;
    assert_eq!(phase(&fake, "a"), "Running");
    operator.has_lived(600_000);
    eventually("it is over", || {
        (condition(&fake, "a", "Failed") == told("True", "TeardownFailed")).then_some(())
    })
    .await;
    let status = &fake.get("botruns", "a").expect("a run")["status"];
    assert_eq!((&status["outcome"], &status["result"]["requests"]), (&json!("Errored"), &json!(10)));
}

/// As if all writes of the army's checkpoint had failed for so long.
fn has_failed_for(operator: &Operator, uid: &str, ms: u64) {
    let mut armies = operator.armies.lock();
    let army = armies.get_mut(uid).expect("an army");
    army.unkept = None;
    army.cannot_be_kept("a webhook fails", Unkept::Elsewhere, now_ms() - ms);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_end_cannot_be_written_ends_all_the_same_unless_nothing_could_be() {
    const NINE_MINUTES_MS: u64 = 540_000;
    const TEN_MINUTES_MS: u64 = 600_000;
    for effect in [Effect::Code(500), Effect::Hang] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = at_work(&fake, &operator, "a").await;
        fake.inject(Fault::new("patch", "configmaps", effect).about("a-checkpoint"));
        // Its bots ended long ago, and its runner is heard all the while.
        let ago_ms = 2 * TEN_MINUTES_MS;
        assert_eq!(operator.hear_ago(&said(&uid, 0, Stage::Finished, &[1]), ago_ms).durable, 0);
        operator.has_lived(ago_ms);
        operator.hear(&said(&uid, 0, Stage::Finished, &[1]));
        has_failed_for(&operator, &uid, NINE_MINUTES_MS);
        seconds(30).await;
        assert_eq!(phase(&fake, "a"), "Running", "{effect:?}");
        // The API server was away, and so was whoever leads.
        has_failed_for(&operator, &uid, TEN_MINUTES_MS);
        operator.standing.send_replace(Standing::InDoubt(1));
        seconds(2).await;
        operator.standing.send_replace(Standing::Leads(1));
        seconds(30).await;
        assert_eq!(phase(&fake, "a"), "Running", "{effect:?}");
        has_failed_for(&operator, &uid, TEN_MINUTES_MS);
        eventually("it is over", || {
            (condition(&fake, "a", "Failed") == told("True", "CheckpointFailed")).then_some(())
        })
        .await;
        eventually("its Job is gone", || fake.all("jobs").is_empty().then_some(())).await;
        operator.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_cannot_start_in_mid_run_is_told_once_and_stalls_the_run() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = at_work(&fake, &operator, "a").await;
    operator.hear_ago(&said(&uid, 0, Stage::Running, &[]), 60_000);
    operator.has_lived(60_000);
    add_unplaced(&fake, &uid);
    eventually("it is told", || {
        (condition(&fake, "a", "Running") == told("True", "Unschedulable")).then_some(())
    })
    .await;
    assert_eq!(condition(&fake, "a", "Stalled"), told("True", "Unschedulable"));
    seconds(30).await;
    let reasons = || -> Vec<Value> {
        let events = fake.calls().to("create", "events").0;
        events.into_iter().map(|seen| seen.call.body["reason"].clone()).collect()
    };
    let kept = reasons().iter().filter(|reason| **reason == "Unschedulable").count();
    assert_eq!((kept, fake.calls().to("patch", "events").count()), (1, 0), "{:?}", reasons());
    operator.hear(&said(&uid, 0, Stage::Running, &[]));
    eventually("it is well again", || {
        (condition(&fake, "a", "Running") == told("True", "BotsAtWork")).then_some(())
    })
    .await;
    assert_eq!(condition(&fake, "a", "Stalled").expect("a condition").0, "False");
}

/// Notes of the events about a loss that were told.
fn losses(fake: &Fake) -> Vec<Value> {
    let events = fake.calls().to("create", "events").0.into_iter().map(|seen| seen.call.body);
    events.filter(|told| told["reason"] == "RunnerLost").map(|told| told["note"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_is_cut_off_for_a_while_is_silent_and_lost_only_when_it_has_stopped() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = at_work(&fake, &operator, "a").await;
    let lost = || fake.get("botruns", "a").expect("a run")["status"]["runners"]["lost"].clone();
    let running = |reason: &str| (condition(&fake, "a", "Running") == told("True", reason)).then_some(());
    operator.hear_ago(&said(&uid, 0, Stage::Running, &[]), 60_000);
    operator.has_lived(60_000);
    eventually("it is silent", || running("RunnerSilent")).await;
    seconds(10).await;
    assert_eq!((lost(), losses(&fake)), (json!(0), vec![]), "it may be at work");
    operator.hear(&said(&uid, 0, Stage::Running, &[]));
    eventually("it is well again", || running("BotsAtWork")).await;
    assert_eq!((lost(), losses(&fake)), (json!(0), vec![]), "nothing is taken back");
    // Two and a half minutes, and nobody has come.
    operator.hear_ago(&said(&uid, 0, Stage::Running, &[]), 160_000);
    operator.has_lived(160_000);
    eventually("it is lost", || running("RunnerLost")).await;
    seconds(10).await;
    assert_eq!(
        (lost(), losses(&fake)),
        (json!(1), vec![json!("1 runner was lost so far; its pod was lost")])
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_on_a_dead_node_is_taken_away_though_its_runner_has_not_begun() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({"startDeadline": "1h"})));
    scheduled(&fake, "a").await;
    let metadata = json!({"name": "a-0", "namespace": NAMESPACE, "labels": {RUN_UID_LABEL: uid}});
    let pod = fake.add("pods", json!({"metadata": metadata, "status": {"phase": "Running"}}));
    let preparing = |ago_ms| {
        let pod_uid = pod["metadata"]["uid"].as_str().expect("a UID").to_owned();
        operator.hear_ago(&CheckIn { pod_uid, ..said(&uid, 0, Stage::Preparing, &[]) }, ago_ms);
    };
    preparing(140_000);
    operator.has_lived(140_000);
    seconds(5).await;
    assert!(fake.get("pods", "a-0").is_some(), "it may be at work yet");
    preparing(160_000);
    operator.has_lived(160_000);
    eventually("its pod is gone", || fake.get("pods", "a-0").is_none().then_some(())).await;
    let failed = fake.calls().to("patch", "pods/status").0.pop().expect("it was taken for failed");
    assert_eq!(failed.call.body["status"]["phase"], "Failed", "its Job makes no other before");
    assert!(losses(&fake)[0].as_str().is_some_and(|note| note.contains("its node may be dead")));
    // It is gone, and not looked for again.
    let lists = || fake.calls().to("list", "pods").0.iter().filter(|l| is_for_silent(l)).count();
    let before = lists();
    seconds(10).await;
    assert_eq!((lists(), losses(&fake).len()), (before, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_never_heard_of_is_taken_away_when_it_does_not_end() {
    for phase in ["Running", "Pending"] {
        let fake = Fake::new();
        let operator = Operator::start(&fake);
        let uid = apply(&fake, run("a", &json!({"startDeadline": "1h"})));
        scheduled(&fake, "a").await;
        operator.has_lived(HOUR_MS);
        let ending = |name: &str, ago: i64| {
            let until = (Timestamp::now() - SignedDuration::from_secs(ago)).to_string();
            let labels = json!({RUN_UID_LABEL: uid});
            let metadata =
                json!({"name": name, "namespace": NAMESPACE, "labels": labels, "deletionTimestamp": until});
            fake.add("pods", json!({"metadata": metadata, "status": {"phase": phase}}));
        };
        ending("a-0-slow", 100);
        ending("a-0-dead", 200);
        fake.change("jobs", "a", &json!({"status": {"terminating": 2}}));
        eventually("it is told", || {
            (condition(&fake, "a", "Running") == told("False", "RunnerSilent")).then_some(())
        })
        .await;
        eventually("it is gone", || fake.get("pods", "a-0-dead").is_none().then_some(())).await;
        seconds(10).await;
        assert!(fake.get("pods", "a-0-slow").is_some(), "{phase}: it may end yet");
        assert_eq!(losses(&fake).len(), 1, "{phase}");
        operator.kill().await;
    }
}

/// Whether pods were listed to find those that are silent.
fn is_for_silent(list: &Seen) -> bool {
    list.call.parameter("fieldSelector").contains("status.phase!=Failed")
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_explained_and_what_keeps_the_next_one_told_however_many_pods_have_failed() {
    let fake = Fake::new();
    let operator = Operator::start(&fake);
    let uid = apply(&fake, run("a", &json!({})));
    scheduled(&fake, "a").await;
    let add = |name: &str, phase: &str| {
        let metadata = json!({
            "name": name, "namespace": NAMESPACE, "labels": {RUN_UID_LABEL: uid},
            "annotations": {"batch.kubernetes.io/job-completion-index": "0"},
            "creationTimestamp": "2020-01-01T00:00:00Z",
        });
        fake.add("pods", json!({"metadata": metadata, "status": {"phase": phase, "reason": "NodeShutdown"}}))
    };
    let pod_uid = uid_of(&add("a-0-lost", "Running"));
    let said = |stage| CheckIn { pod_uid: pod_uid.clone(), ..said(&uid, 0, stage, &[]) };
    eventually("the start is told", || operator.hear(&said(Stage::Ready)).start_at_ms.map(drop)).await;
    operator.hear(&said(Stage::Running));
    eventually("bots at work", || (phase(&fake, "a") == "Running").then_some(())).await;
    // Those names come first that are not asked about, more than are read at once.
    (0..1_100).for_each(|n| drop(add(&format!("a-0-{n:04}"), "Failed")));
    fake.change(
        "pods",
        "a-0-lost",
        &json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "no memory"}}),
    );
    add("a-0-next", "Failed");
    add_unplaced(&fake, &uid);
    operator.hear_ago(&said(Stage::Running), 20_000);
    operator.has_lived(20_000);
    eventually("what keeps the next one", || {
        (condition(&fake, "a", "Running") == told("True", "Unschedulable")).then_some(())
    })
    .await;
    let told = eventually("the loss is told", || losses(&fake).pop()).await;
    assert_eq!(told, "1 runner was lost so far; Evicted: pod a-0-lost: Evicted: no memory");
}
