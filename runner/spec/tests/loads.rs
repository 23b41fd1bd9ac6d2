//! Loads of every kind, and what is wrong with impossible ones.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_spec::load::{Between, Model};
use botarmy_spec::types::Spacing;
use botarmy_spec::{Run, shape};
use botarmy_tree::{Actions, Path};
use serde_json::{Value, json};
use std::time::Duration;

fn check(fields: &Value) -> Result<Run, Vec<String>> {
    let mut value = json!({"trees": {"T": {"wait": 1}, "U": "done"}, "tree": "T"});
    if fields.get("scenarios").is_some() {
        value.as_object_mut().expect("fields").remove("tree");
    }
    value.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
    let path = Path::top().field("spec");
    let (spec, mut findings) = shape::read(&value, &path);
    let run = Run::check(&spec, "demo", &path, &Actions::built_in());
    let run = run.map_err(|f| findings.later(f)).ok();
    match run {
        Some(run) if findings.is_empty() => Ok(run),
        _ => Err(findings.into_vec().iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn loads_are_read() {
    let run = check(&json!({"stages": [{"duration": "10s", "bots": 100}, {"duration": 20, "bots": 0}]}))
        .expect("a run");
    let Model::Closed(closed) = &run.scenarios[0].load.model else { panic!("{run:?}") };
    assert!((closed.bots.at(Duration::from_secs(5)) - 50.0).abs() < 1e-9);
    assert_eq!((run.duration(), run.live_bots()), (Some(Duration::from_secs(30)), None));
    assert_eq!(run.scenarios[0].load.stages, ["1", "2"]);

    let fields = json!({"arrivalRate": "300/m", "spacing": "Poisson", "maxBots": 7, "duration": "1m", "runners": {"count": 2}});
    let run = check(&fields).expect("a run");
    let Model::Open(open) = &run.scenarios[0].load.model else { panic!("{run:?}") };
    assert_eq!((open.spacing, open.max_bots, run.runners), (Spacing::Poisson, 7, 2));
    assert_eq!(open.rate.time_of(10.0), Some(Duration::from_secs(2)));

    let fields = json!({"stages": [{"duration": "10s", "arrivalRate": 5, "name": "up"}, {"duration": "1s", "arrivalRate": 0}]});
    let run = check(&fields).expect("a run");
    assert_eq!(run.scenarios[0].load.stages, ["up", "2"]);

    for (fields, between) in [
        (json!({"pace": "2s"}), Between::Pace(Duration::from_secs(2))),
        (
            json!({"thinkTime": {"from": 1, "to": "3s"}}),
            Between::Even(Duration::from_secs(1), Duration::from_secs(3)),
        ),
        (
            json!({"thinkTime": {"mean": "2s"}}),
            Between::Exponential { mean: Duration::from_secs(2), max: Duration::from_secs(20) },
        ),
    ] {
        let run = check(&fields).expect("a run");
        let Model::Closed(closed) = &run.scenarios[0].load.model else { panic!("{run:?}") };
        assert_eq!(closed.between, between, "{fields}");
    }
}

#[test]
fn scenarios_have_loads_of_their_own() {
    let run = check(&json!({
        "env": [{"name": "A", "value": "all"}, {"name": "B", "value": "all"}], "warmup": "5s", "gracePeriod": 0, "maxRate": "100/s",
        "scenarios": [
            {"name": "buyers", "tree": "T", "bots": 5, "duration": "20s", "env": [{"name": "A", "value": "own"}]},
            {"name": "visitors", "tree": "U", "arrivalRate": 3, "maxBots": 2, "startDelay": "10s", "duration": "1m"},
        ],
    }))
    .expect("a run");
    assert_eq!(
        run.scenarios.iter().filter_map(|s| s.name.as_deref()).collect::<Vec<_>>(),
        ["buyers", "visitors"]
    );
    assert_eq!(run.scenarios[0].scope.env["A"], "own");
    assert_eq!(run.scenarios[1].scope.env["A"], "all");
    assert_eq!(run.duration(), Some(Duration::from_secs(70)));
    assert_eq!(
        (run.warmup, run.grace_period, run.max_rate),
        (Duration::from_secs(5), Duration::ZERO, Some(100.0))
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn impossible_loads_are_refused_with_their_place() {
    for (fields, part) in [
        (json!({"bots": 0}), "spec.bots: a run starts with at least one bot"),
        (json!({"bots": 1, "arrivalRate": 1}), "spec.arrivalRate: bots and arrivalRate exclude each other"),
        (json!({"bots": 1, "stages": [{"duration": 1, "bots": 1}]}), "spec.stages: bots and stages exclude"),
        (
            json!({"arrivalRate": 1, "stages": [{"duration": 1, "arrivalRate": 1}]}),
            "spec.stages: arrivalRate and stages exclude",
        ),
        (
            json!({"stages": [{"duration": 1}]}),
            "spec.stages[0]: a stage goes to a number of bots or to an arrivalRate",
        ),
        (json!({"stages": [{"bots": 1}]}), "spec.stages[0]: the field duration is missing"),
        (
            json!({"stages": [{"duration": "1s", "bots": 1, "arrivalRate": 1}]}),
            "spec.stages[0]: a stage goes to",
        ),
        (
            json!({"stages": [{"duration": 1, "bots": 1}, {"duration": 1, "arrivalRate": 1}]}),
            "spec.stages: the stages go to numbers of bots and to arrivalRates",
        ),
        (json!({"stages": [{"duration": 1, "bots": 0}]}), "spec.stages: the stages never start a bot"),
        (json!({"stages": [{"duration": 0, "bots": 5}]}), "spec.stages: the stages never start a bot"),
        (json!({"stages": [{"duration": "-1s", "bots": 5}]}), "spec.stages[0].duration: \"-1s\" is negative"),
        (
            json!({"stages": [{"duration": "1m", "bots": 5}], "duration": "30s"}),
            "spec.stages: the stages take 60s, longer than",
        ),
        (json!({"stages": [{"duration": 1, "bots": -1}]}), "spec.stages[0].bots: must be at least 0"),
        (json!({"arrivalRate": 0}), "spec.arrivalRate: the rate must be above zero"),
        (json!({"arrivalRate": "fast"}), "spec.arrivalRate: \"fast\" is not a rate"),
        (json!({"arrivalRate": "9999999/s"}), "spec.arrivalRate: a rate is at least 0 and at most"),
        (json!({"arrivalRate": 1.5}), "spec.arrivalRate: expected text such as"),
        (json!({"arrivalRate": 1, "pace": 1}), "spec.pace: arrivalRate and pace exclude each other"),
        (
            json!({"arrivalRate": 1, "refill": {"max": 1, "every": 1}}),
            "spec.refill: arrivalRate and refill exclude",
        ),
        (
            json!({"arrivalRate": 1, "iterationsPerBot": 1}),
            "spec.iterationsPerBot: arrivalRate and iterationsPerBot",
        ),
        (json!({"arrivalRate": 1, "spacing": "Odd"}), "spec.spacing: "),
        (json!({"maxBots": 5}), "spec.maxBots: maxBots is for an arrivalRate"),
        (json!({"spacing": "Even"}), "spec.spacing: spacing is for an arrivalRate"),
        (
            json!({"iterationsPerBot": 2, "stages": [{"duration": 1, "bots": 1}]}),
            "spec.iterationsPerBot: iterationsPerBot is for a fixed number",
        ),
        (
            json!({"pace": 1, "thinkTime": {"mean": 1}}),
            "spec.thinkTime: pace and thinkTime exclude each other",
        ),
        (json!({"pace": 0}), "spec.pace: the time must be above zero"),
        (json!({"thinkTime": {"from": 1}}), "spec.thinkTime: give from and to"),
        (json!({"thinkTime": {"mean": 1, "to": 2}}), "spec.thinkTime: give from and to"),
        (json!({"thinkTime": {"from": 3, "to": 2}}), "spec.thinkTime: from is longer than to"),
        (json!({"maxRate": 0}), "spec.maxRate: the rate must be above zero"),
        (json!({"warmup": "1m", "duration": "1m"}), "spec.warmup: the warm-up of 60s leaves nothing"),
        (
            json!({"bots": 5, "scenarios": [{"name": "a", "tree": "T"}]}),
            "spec.bots: bots and scenarios exclude each other",
        ),
        (
            json!({"tree": "T", "scenarios": [{"name": "a", "tree": "T"}]}),
            "spec.tree: tree and scenarios exclude",
        ),
        (
            json!({"scenarios": [{"name": "a", "tree": "T"}, {"name": "a", "tree": "U"}]}),
            "spec.scenarios[1].name: the name \"a\" is given twice",
        ),
        (
            json!({"scenarios": [{"name": "a b", "tree": "T"}]}),
            "spec.scenarios[0].name: \"a b\" is not a name",
        ),
        (json!({"scenarios": [{"tree": "T"}]}), "spec.scenarios[0]: the field name is missing"),
        (
            json!({"scenarios": [{"name": "a", "tree": "Z"}]}),
            "spec.scenarios[0].tree: there is no tree named \"Z\"",
        ),
        (
            json!({"scenarios": [{"name": "a", "tree": "T", "startDelay": "-1s"}]}),
            "spec.scenarios[0].startDelay: \"-1s\" is negative",
        ),
        (
            json!({"scenarios": [{"name": "a", "tree": "T", "bots": 0}]}),
            "spec.scenarios[0].bots: a run starts",
        ),
        (
            json!({"scenarios": [{"name": "a", "tree": "T", "bots": 600_000}, {"name": "b", "tree": "T", "bots": 600_000}]}),
            "spec.scenarios: at most 1000000 bots are allowed over all scenarios, not 1200000",
        ),
    ] {
        let findings = check(&fields).expect_err("a mistake");
        assert!(findings.iter().any(|f| f.starts_with(part)), "{fields}: {part} is not in {findings:#?}");
    }
}
