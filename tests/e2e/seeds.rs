//! Bots of a number have the same walk everywhere: what is drawn on two pods is what one process draws here.

use super::cluster::Namespace;
use super::row;
use botarmy_report::{Outcome, Totals};
use botarmy_runner::engine::{Army, Start};
use botarmy_spec::{BotRunSpec, Run};
use botarmy_tree::{Actions, Path};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The rows that say what was drawn.
const DRAWN: [&str; 5] = ["often", "seldom", "left", "right", "luck"];

const LOOK: &str = "each has its number";
/// An expression has an end.
const AT_ONCE: u64 = 50;

/// Each pass of a bot is counted by the bot's number; then it draws by weight, evenly, and its luck.
fn spec(seed: u64, fields: &Value) -> Value {
    let leaf = |label: &str| json!({"log": "{{ bot.id }} was here", "label": label});
    let tree = json!({"sequence": [
        {"shared": {"add": "id {{ bot.id }}"}},
        {"random_weighted": [
            {"weight": 3, "child": leaf("often")}, {"weight": 1, "child": leaf("seldom")}, {"weight": 0, "child": {"error": "no"}},
        ]},
        {"random": [leaf("left"), leaf("right")]},
        {"label": "luck", "succeed_rate": 0.6},
    ]});
    let mut spec = json!({"trees": {"T": tree}, "tree": "T", "seed": seed, "runners": {"count": 2}});
    for (key, value) in fields.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    spec
}

/// The loads, each with how often each of its bots makes a pass.
fn loads() -> [(&'static str, Value, u64); 4] {
    let stages = json!([
        {"duration": 0, "arrivalRate": 40}, {"duration": "3s", "arrivalRate": 40},
        {"duration": 0, "arrivalRate": 0}, {"duration": "1s", "arrivalRate": 0},
    ]);
    [
        ("numbered", json!({"bots": 12, "iterationsPerBot": 3}), 3),
        ("arriving", json!({"arrivalRate": "20/s", "iterations": 24}), 1),
        // The last of them has the time to come to its end.
        ("strangers", json!({"spacing": "Poisson", "stages": stages}), 1),
        (
            "thinking",
            json!({"bots": 6, "iterationsPerBot": 3, "thinkTime": {"mean": "800ms", "max": "3s"}}),
            3,
        ),
    ]
}

/// Looks whether each number from 1 to the last was that of one bot, which has made its passes, and none was beyond.
fn look(bots: u64, passes: u64) -> Value {
    let numbers: Vec<u64> = (1..=bots).collect();
    let each = numbers.chunks(usize::try_from(AT_ONCE).expect("a few")).map(|numbers| {
        let each: Vec<String> = numbers.iter().map(|id| format!("shared['id {id}'] == {passes}")).collect();
        each.join(" and ")
    });
    let beyond = format!("shared['id {}'] is not defined", bots + 1);
    let checks = each.chain([beyond]).map(|when| json!({"check": {"name": LOOK, "when": when}}));
    json!({"sequence": checks.collect::<Vec<_>>()})
}

/// What a load comes to in this process, and how long it takes.
fn here(spec: &Value) -> (Totals, Duration) {
    let spec: BotRunSpec = serde_json::from_value(spec.clone()).expect("a spec");
    let run = Run::check(&spec, "here", &Path::top().field("spec"), &Actions::built_in());
    let start = Start::here(Arc::new(run.expect("a valid run")));
    let begun = start.at;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let army = Army::start(start).await.expect("an army");
        let mut totals = Totals::default();
        loop {
            tokio::select! {
                () = army.worker_finished() => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            let snapshot = army.drain().await;
            totals.merge(&snapshot.totals).expect("measures");
            if snapshot.finished {
                army.join();
                return (totals, begun.elapsed());
            }
        }
    })
}

/// How often each row that is drawn succeeded and failed here.
fn drawn(totals: &Totals) -> [(u64, u64); 5] {
    DRAWN.map(|name| {
        let row = totals.rows.get(name);
        let count = |outcome| row.map_or(0, |row| row.count(outcome));
        (count(Outcome::Succeed), count(Outcome::Fail))
    })
}

/// The same, as a result tells it.
fn told(result: &Value) -> [(u64, u64); 5] {
    DRAWN.map(|name| {
        let row = row(result, name);
        let count = |outcome: &str| row[outcome].as_u64().expect("a count");
        (count("succeed"), count("fail"))
    })
}

#[test]
fn bots_of_two_pods_have_their_numbers_and_the_walks_that_they_have_here() {
    let namespace = Namespace::new("seeds");
    let here: Vec<(Totals, Duration)> = std::thread::scope(|scope| {
        let runs = loads().map(|(_, fields, _)| scope.spawn(move || here(&spec(7, &fields))));
        runs.map(|run| run.join().expect("a run")).into()
    });
    for ((name, fields, passes), (totals, _)) in loads().iter().zip(&here) {
        let mut spec = spec(7, fields);
        spec["trees"]["Look"] = look(totals.bots_started, *passes);
        spec["teardown"] = json!({"tree": "Look"});
        let run = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRun", "metadata": {"name": name}, "spec": spec});
        namespace.apply(&run.to_string());
    }
    for ((name, _, _), (totals, took)) in loads().iter().zip(&here) {
        let ended = namespace.wait_complete(name);
        let result = &ended["status"]["result"];
        assert_eq!(ended["status"]["outcome"], "Passed", "{name}: {ended:#}");
        assert_eq!(result["bots"]["started"], totals.bots_started, "{name}: {result:#}");
        assert_eq!(told(result), drawn(totals), "{name}: {result:#}");
        let looks = totals.bots_started.div_ceil(AT_ONCE) + 1;
        let found = row(result, LOOK);
        assert_eq!((&found["succeed"], &found["fail"]), (&json!(looks), &json!(0)), "{name}: {found:#}");
        // What was drawn takes its time; here some of it may have gone by with a machine that has much to do.
        if !["strangers", "thinking"].contains(name) {
            continue;
        }
        let least = u64::try_from(took.mul_f64(0.7).as_millis()).expect("a time");
        assert!(result["durationMs"].as_u64() >= Some(least), "{name}: not {least} ms: {result:#}");
    }
    let [numbered, _, strangers, thinking] = here.as_slice() else { panic!("four loads") };
    assert!(drawn(&numbered.0).iter().all(|(succeed, _)| *succeed > 0), "{:?}", drawn(&numbered.0));
    assert_ne!(
        drawn(&numbered.0),
        drawn(&self::here(&spec(8, &loads()[0].1)).0),
        "another seed is another walk"
    );
    assert_ne!(strangers.0.bots_started, 120, "as many as come evenly");
    assert!(thinking.1 > Duration::from_secs(1), "{:?}", thinking.1);
}
