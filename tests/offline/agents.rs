//! Runners as they are in pods, with an operator by the real clock: what they come to together when one of them is lost,
//! or the operator is away for a while.

use crate::fake::{Effect, Fault, NAMESPACE};
use crate::operator::{eventually, seconds};
use crate::scene::Scene;
use botarmy_operator::armies::Army;
use botarmy_operator::checkpoint;
use serde_json::{Value, json};

#[tokio::test]
async fn the_others_do_what_two_lost_runners_leave() {
    let fields = json!({
        "trees": {"T": {"wait": "50ms"}}, "bots": 8, "runners": {"count": 4}, "iterations": 2_000,
        "lossPolicy": "Redistribute",
    });
    let mut scene = Scene::begin(4, &fields).await;
    scene.until_passes(200).await;
    // The second one before the others have taken over what the first one had.
    let lost = [scene.lose(1, "1"), scene.lose(0, "0,1")];
    let status = scene.end().await;
    let result = &status["result"];
    assert_eq!((&status["outcome"], &result["iterations"]), (&json!("Passed"), &json!(2_000)), "{status:#}");
    let gaps: Vec<&str> =
        result["gaps"].as_array().expect("gaps").iter().filter_map(|gap| gap["podUID"].as_str()).collect();
    assert!(gaps.len() == 2 && lost.iter().all(|uid| gaps.contains(&&**uid)), "{result:#}");
    assert_eq!(
        (&status["runners"]["lost"], &status["runners"]["replaced"], &status["runners"]["finished"]),
        (&json!(2), &json!(2), &json!(2))
    );
    assert!(status["startSkewMs"].as_u64().expect("a number") < 1_000, "{status:#}");
}

#[tokio::test]
async fn who_has_done_its_part_is_still_there_for_what_a_lost_runner_leaves() {
    // Each bot makes as many passes, and those of the first runner have the longer ones.
    let slow =
        json!({"if": {"when": "bot.id % 2 == 1", "then": {"wait": "400ms"}, "else": {"wait": "50ms"}}});
    let fields = json!({
        "trees": {"T": slow}, "bots": 4, "runners": {"count": 2}, "iterationsPerBot": 20,
        "lossPolicy": "Redistribute",
    });
    let mut scene = Scene::begin(2, &fields).await;
    // The second one has made all of its forty.
    scene.until_passes(44).await;
    let lost = scene.lose(0, "0");
    let status = scene.end().await;
    let result = &status["result"];
    assert_eq!((&status["outcome"], &result["iterations"]), (&json!("Passed"), &json!(80)), "{status:#}");
    assert_eq!((&result["gaps"][0]["podUID"], &result["bots"]["started"]), (&json!(lost), &json!(6)));
}

#[tokio::test]
async fn each_second_has_its_own_counts_though_the_coordinator_does_not_answer() {
    // Eighty a second, for ten seconds.
    let fields = json!({"trees": {"T": {"wait": "50ms"}}, "bots": 4, "iterations": 800});
    let scene = Scene::begin(1, &fields).await;
    scene.until_passes(100).await;
    scene.goes_silent();
    seconds(5).await;
    scene.speaks();
    let status = scene.end().await;
    let result = &status["result"];
    assert_eq!((&status["outcome"], &result["iterations"]), (&json!("Passed"), &json!(800)), "{status:#}");
    assert_eq!(result["series"]["stepSeconds"], 1, "{result:#}");
    let points = result["series"]["points"].as_array().expect("points");
    let passes: Vec<u64> = points.iter().filter_map(|point| point["iterations"].as_u64()).collect();
    assert_eq!(passes.iter().sum::<u64>(), 800, "{passes:?}");
    // The last one is no whole second.
    let whole = passes.split_last().expect("seconds").1;
    assert!(whole.len() >= 8 && whole.iter().all(|passes| (30..=140).contains(passes)), "{passes:?}");
}

/// How often a row of a result has succeeded, and how often it has failed or ended otherwise.
fn ended(result: &Value, name: &str) -> (u64, u64) {
    let rows = result["actions"].as_array().expect("actions");
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {result:#}"));
    let number = |field: &str| row[field].as_u64().expect("a number");
    (number("succeed"), number("count") + number("cancelled") - number("succeed"))
}

#[tokio::test]
async fn who_waits_for_others_does_so_beyond_the_operator_and_is_counted_once() {
    let alone = json!({"negate": {"barrier": {"name": "alone", "parties": 2, "timeout": "1s"}}});
    let only = |bot: u32, steps: Value| json!({"if": {"when": format!("bot.id == {bot}"), "then": steps}});
    let tree = json!({"sequence": [
        {"wait": 1},
        only(1, json!({"sequence": [alone, {"signal": "given"}]})),
        only(3, json!({"await": "late"})),
        only(4, json!({"sequence": [
            {"wait": 10}, alone, {"await": {"signal": "given", "timeout": "5s"}},
            {"shared": {"add": "last"}}, {"signal": "late"},
        ]})),
        {"barrier": {"name": "all", "parties": 4}},
        {"check": {"name": "the last one has come", "when": "shared.last == 1"}},
    ]});
    let fields = json!({"trees": {"T": tree}, "bots": 4, "iterationsPerBot": 1, "runners": {"count": 2}});
    let mut scene = Scene::begin(2, &fields).await;
    eventually("they begin", || scene.army(Army::start_at_ms).map(drop)).await;
    // What is written from now on is lost.
    scene.fake.inject(Fault::new("patch", "configmaps", Effect::Code(500)).about("a-checkpoint"));
    let (at_barrier, given) = ("\u{1}barrier/all", "\u{1}signal/given");
    let shared = |scene: &Scene, key: &str| scene.army(|army| Some(army.checkpoint().shared.get(key).0));
    eventually("two are at the barrier, one has left another one and given a signal", || {
        let is_there = shared(&scene, at_barrier)? == 2 && shared(&scene, given)? == true;
        is_there.then_some(())
    })
    .await;
    scene.is_taken_over().await;
    let of = checkpoint::Of { namespace: NAMESPACE, run: "a", uid: &scene.run_uid };
    let written = checkpoint::read(scene.fake.client("reader"), of).await.expect("a checkpoint");
    let written = written.expect("a checkpoint").shared;
    assert_eq!((written.get(at_barrier).0, written.get(given).0), (Value::Null, Value::Null), "it is lost");
    eventually("it is known again", || (shared(&scene, at_barrier)? == 2).then_some(())).await;
    let status = scene.end().await;
    let result = &status["result"];
    assert_eq!((&result["iterations"], &result["gaps"]), (&json!(4), &json!([])), "{status:#}");
    assert_eq!(ended(result, "the last one has come"), (4, 0), "{result:#}");
    assert_eq!(ended(result, "barrier(\"all\")"), (4, 0), "{result:#}");
    assert_eq!(ended(result, "barrier(\"alone\")"), (0, 2), "nobody stands there any more: {result:#}");
    assert_eq!(ended(result, "await(\"late\")"), (1, 0), "{result:#}");
}
