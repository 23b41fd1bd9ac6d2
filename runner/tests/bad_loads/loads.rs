//! Loads that are impossible, too large for any machine, or without an end.

use crate::common::army::{Done, Given};
use crate::common::refusal::{COMMANDS, findings};
use crate::common::{Folder, text, until};
use crate::watched;
use serde_json::json;

const LOG: &str = "trees: {T: {log: a}}\n";

/// Each of these fields is refused with these words, whatever else is said.
fn refused(cases: &[(&str, &str)]) {
    let folder = Folder::new();
    for (fields, said) in cases {
        let file = folder.file("army.yaml", format!("{LOG}{fields}\n"));
        for command in COMMANDS {
            let told = findings(command, &file);
            assert!(
                told.iter().any(|f| f.starts_with(said)),
                "{command} {fields}: {said} is not in {told:#?}"
            );
        }
    }
}

#[test]
fn loads_that_make_no_sense_are_refused() {
    refused(&[
        ("bots: 0", "bots: a run starts with at least one bot; write bots: 1 or more"),
        ("bots: 1000001", "bots: must be at most 1000000, found 1000001"),
        ("iterations: 0", "iterations: must be at least 1, found 0"),
        ("iterations: 1000000000001", "iterations: must be at most 1000000000000"),
        ("iterationsPerBot: 0", "iterationsPerBot: must be at least 1, found 0"),
        ("arrivalRate: 0", "arrivalRate: the rate must be above zero"),
        ("arrivalRate: -5", "arrivalRate: a rate is at least 0 and at most 1000000/s, unlike -5"),
        ("arrivalRate: 1000001/s", "arrivalRate: a rate is at least 0 and at most 1000000/s"),
        ("arrivalRate: 99999999999999999999", "arrivalRate: "),
        ("arrivalRate: 5/fortnight", "arrivalRate: \"5/fortnight\" is not a rate; write 50/s, 300/m, 10/h"),
        ("arrivalRate: 5\nmaxBots: 0", "maxBots: must be at least 1, found 0"),
        ("arrivalRate: 5\nmaxBots: 1000001", "maxBots: must be at most 1000000"),
        ("maxBots: 5", "maxBots: maxBots is for an arrivalRate"),
        ("arrivalRate: 5\nbots: 5", "arrivalRate: bots and arrivalRate exclude each other; keep one"),
        ("arrivalRate: 5\npace: 1s", "pace: arrivalRate and pace exclude each other; keep one"),
        ("arrivalRate: 5\nthinkTime: {mean: 1s}", "thinkTime: arrivalRate and thinkTime exclude each other"),
        ("arrivalRate: 5\niterationsPerBot: 5", "iterationsPerBot: arrivalRate and iterationsPerBot exclude"),
        ("arrivalRate: 5\nrefill: {max: 1, every: 1s}", "refill: arrivalRate and refill exclude each other"),
        ("pace: 0", "pace: the time must be above zero"),
        ("pace: 1s\nthinkTime: {mean: 1s}", "thinkTime: pace and thinkTime exclude each other; keep one"),
        ("thinkTime: {}", "thinkTime: give from and to for an even range, or mean"),
        ("thinkTime: {from: 2s, to: 1s}", "thinkTime: from is longer than to; exchange them"),
        ("thinkTime: {mean: 0}", "thinkTime.mean: the time must be above zero"),
        ("maxRate: 0", "maxRate: the rate must be above zero"),
        ("maxRate: -1", "maxRate: a rate is at least 0"),
        ("refill: {max: 0, every: 1s}", "refill.max: must be at least 1, found 0"),
        ("refill: {max: 1, every: 0}", "refill.every: the time must be above zero"),
        ("bots: 2\nrunners: {count: 3}", "runners: 3 runners for 2 bots; at most one runner for each bot"),
        ("bots: 5000\nrunners: {botsPerRunner: 1}", "runners: 5000 runners for 5000 bots"),
        ("warmup: 1s\nduration: 1s", "warmup: the warm-up of 1s leaves nothing of a run of 1s"),
        ("warmup: 2s\nstages: [{duration: 1s, bots: 3}]", "warmup: the warm-up of 2s leaves nothing"),
        ("setup: {tree: Gone}", "setup.tree: there is no tree named \"Gone\"; the document has \"T\""),
        ("setup: {tree: T, timeout: 0}", "setup.timeout: the time must be above zero"),
        ("teardown: {tree: Gone}", "teardown.tree: there is no tree named \"Gone\""),
        ("hosts: [{ip: '', hostnames: [a]}]", "hosts[0].ip: must be 1 to 45 characters long, found 0"),
        ("hosts: [{hostnames: [a]}]", "hosts[0]: the field ip is missing; add it"),
        ("hosts: [{ip: shop.example, hostnames: [a]}]", "hosts[0].ip: \"shop.example\" is not an address"),
        ("hosts: [{ip: 127.0.0.1, hostnames: ['']}]", "hosts[0].hostnames[0]: must be 1 to 253 characters"),
        ("hosts: [{ip: 127.0.0.1, hostnames: ['a b']}]", "hosts[0].hostnames[0]: "),
        ("scenarios: [{name: a}, {name: a}]", "scenarios[1].name: "),
        ("scenarios: [{name: a, startDelay: -1s}]", "scenarios[0].startDelay: \"-1s\" is negative"),
        ("scenarios: [{name: a, bots: 0}]", "scenarios[0].bots: a run starts with at least one bot"),
        ("scenarios: [{name: a, tree: Gone}]", "scenarios[0].tree: there is no tree named \"Gone\""),
        (
            "scenarios: [{name: a, bots: 600000}, {name: b, bots: 600000}]",
            "scenarios: at most 1000000 bots are allowed over all scenarios, not 1200000",
        ),
        ("scenarios: [{name: a}]\nbots: 3", "bots: "),
        ("thresholds: [{expect: count > 1, action: x}]", "thresholds[0].action: no action of the tree has"),
        ("thresholds: [{expect: count > 1, group: x}]", "thresholds[0].group: there is no group \"x\""),
        (
            "thresholds: [{expect: count > 1, scenario: x}]",
            "thresholds[0].scenario: there is no scenario \"x\"",
        ),
        ("thresholds: [{expect: count > 1, stage: x}]", "thresholds[0].stage: there is no stage \"x\""),
        ("thresholds: [{expect: p(101) < 1s}]", "thresholds[0].expect: column 3: "),
    ]);
}

#[test]
fn times_and_stages_without_end_are_refused() {
    let stages = |stage: &str, said: &'static str| refused(&[(&format!("stages: [{{{stage}}}]"), said)]);
    for (duration, said) in [
        (".inf", ".inf is not a number that JSON can hold"),
        ("inf", "\"inf\" is not a duration; write 5s, 250ms, 1m30s or a number of seconds"),
        ("forever", "\"forever\" is not a duration"),
        ("9000h", "\"9000h\" is longer than a year; check its unit"),
        ("99999999999999999999999999s", "\"99999999999999999999999999s\" is longer than a year"),
        ("9223372036854775807", "9223372036854775807 is longer than a year"),
        ("-1s", "\"-1s\" is negative; a duration is zero or more"),
        ("-1", "-1 is negative"),
        ("''", "\"\" is not a duration"),
    ] {
        refused(&[
            (&format!("duration: {duration}"), &format!("duration: {said}")),
            (&format!("stages: [{{duration: {duration}, bots: 1}}]"), &format!("stages[0].duration: {said}")),
            (
                &format!("stages: [{{duration: {duration}, arrivalRate: 1}}]"),
                &format!("stages[0].duration: {said}"),
            ),
            (&format!("gracePeriod: {duration}"), &format!("gracePeriod: {said}")),
            (&format!("warmup: {duration}"), &format!("warmup: {said}")),
        ]);
    }
    stages("bots: 3", "stages[0]: the field duration is missing; add it");
    stages("duration: 1s", "stages[0]: a stage goes to a number of bots or to an arrivalRate; give one");
    stages("duration: 1s, bots: 3, arrivalRate: 3", "stages[0]: a stage goes to a number of bots or to");
    stages("duration: 1s, bots: -3", "stages[0].bots: must be at least 0, found -3");
    stages("duration: 1s, bots: 1000001", "stages[0].bots: must be at most 1000000, found 1000001");
    stages("duration: 1s, arrivalRate: 1000001", "stages[0].arrivalRate: a rate is at least 0 and at most");
    stages("duration: 0, bots: 3", "stages: the stages never start a bot; give one of them a number above 0");
    stages("duration: 0, arrivalRate: 3", "stages: the stages never start a bot");
    stages("duration: 1h, bots: 0", "stages: the stages never start a bot");
    let many = vec!["{duration: 1s, bots: 1}"; 101].join(", ");
    refused(&[
        (&format!("stages: [{many}]"), "stages: "),
        (
            "stages: [{duration: 0, bots: 3}, {duration: 0, bots: 0}]\nduration: 1s",
            "stages: the stages never",
        ),
        (
            "stages: [{duration: 1s, bots: 3}, {duration: 1s, arrivalRate: 3}]",
            "stages: the stages go to numbers",
        ),
        (
            "stages: [{duration: 1s, bots: 3}]\nbots: 3",
            "stages: bots and stages exclude each other; keep one",
        ),
        ("stages: [{duration: 1s, bots: 3}]\nduration: 500ms", "stages: the stages take 1s, longer than"),
        ("stages: forever", "stages: expected a list, found the text \"forever\""),
    ]);
    // What a request, a wait and a node may take.
    for (node, said) in [
        ("{http: {get: 'http://h/', timeout: 0}}", "trees.T.http.timeout: the timeout must be above zero"),
        (
            "{http: {get: 'http://h/', timeout: 2h}}",
            "trees.T.http.timeout: the timeout must be above zero and at",
        ),
        ("{wait: 9000h}", "trees.T.wait: \"9000h\" is longer than a year"),
        ("{timeout: {after: 9000h, child: done}}", "trees.T.timeout.after: \"9000h\" is longer than a year"),
        ("{retry: {attempts: 0, child: done}}", "trees.T.retry.attempts: "),
    ] {
        let folder = Folder::new();
        let file = folder.file("army.yaml", format!("trees: {{T: {node}}}"));
        let told = findings("validate", &file);
        assert!(told.iter().any(|f| f.starts_with(said)), "{node}: {told:#?}");
    }
}

/// Loads that no machine can keep up with: they end in time, and what was not done is told.
#[test]
fn loads_that_are_too_large_end_in_time() {
    let run = |fields: &str| -> Done { watched::run(&format!("{LOG}{fields}\n"), &[], &[]) };
    for spacing in ["Even", "Poisson"] {
        let done = run(&format!("arrivalRate: 1000000/s\nmaxBots: 10\nduration: 1s\nspacing: {spacing}"));
        let (started, dropped) = (done.number("/bots/started"), done.number("/dropped"));
        assert!(dropped > 0 && started + dropped <= 1_010_000, "{started} started, {dropped} dropped");
        let told = format!(
            "dropped     {dropped} starts: no bot or row was free, or it was too late; percentiles are incomplete"
        );
        assert!(done.ended.stdout.contains(&told), "{}", done.ended.stdout);
    }
    let done = run("bots: 50000\niterations: 1000");
    assert_eq!(done.number("/iterations"), 1000);
    let done = run("bots: 50000\nstages: []\nduration: 1s\ngracePeriod: 0");
    assert_eq!(done.number("/bots/alive"), 0, "{:#}", done.result);
    let done = run("bots: 3\npace: 1us\nduration: 500ms");
    assert_eq!(done.number("/bots/started"), 3);
    // More than the whole of the iterations is asked of each bot.
    let done = run("bots: 3\niterations: 5\niterationsPerBot: 1000000000");
    assert_eq!(done.number("/iterations"), 5);
}

#[test]
fn trees_without_end_end_with_the_run() {
    for tree in [
        "{repeat_until_fail: {log: a}}",
        "{repeat_until_succeed: {negate: {log: a}}}",
        "{repeat_n: {times: 1000000000, child: {set: {x: 1}}}}",
        "{repeat_until_fail: {parallel: {children: [{log: a}, {set: {x: 1}}]}}}",
        "{repeat_until_succeed: {retry: {attempts: 1000, child: {negate: {log: a}}}}}",
        "{retry: {attempts: 1000, delay: 8760h, child: {negate: {log: a}}}}",
        "{wait: 8760h}",
        "{timeout: {after: 8760h, child: {wait: 8760h}}}",
        "{await: {signal: never, timeout: 24h}}",
        "{barrier: {name: never, parties: 4, timeout: 24h}}",
    ] {
        let spec = format!("trees: {{T: {tree}}}\nbots: 3\nduration: 1s\ngracePeriod: 100ms\n");
        let done = watched::run(&spec, &[], &[]);
        assert_eq!((done.number("/bots/started"), done.number("/bots/alive")), (3, 0), "{tree}");
        assert_eq!(done.number("/iterations"), 0, "{tree}: {:#}", done.result);
    }
}

/// Leaves that could take a while and are over at once: the others have their turn all the same, those that end the
/// run among them.
#[test]
fn what_is_over_at_once_keeps_nobody_from_having_a_turn() {
    let get = |url: &str| format!("{{http: {{get: \"{url}\"}}}}");
    for (tree, more) in [
        (get("http://127.0.0.1:1/{{ 'a b' }}"), ""),
        ("{sequence: [{signal: go}, {await: go}]}".into(), ""),
        ("{barrier: {name: alone, parties: 1}}".into(), ""),
        ("{sequence: [{shared: {add: sum}}, {shared: {add: sum}}]}".into(), ""),
        ("{log: a}".into(), "thinkTime: {from: 0, to: 1us}"),
        ("{log: a}".into(), "pace: 1us"),
        (get("http://127.0.0.1:1/"), "maxRate: 1000000"),
        (
            format!(
                "{{parallel: {{children: [{}, {{signal: go}}]}}}}",
                get("http://127.0.0.1:1/{{ 'a b' }}")
            ),
            "",
        ),
    ] {
        let spec = format!("trees: {{T: {tree}}}\nbots: 3\nduration: 1s\ngracePeriod: 100ms\n{more}\n");
        let done = watched::run(&spec, &[], &[]);
        assert_eq!((done.number("/bots/alive"), done.ended.code()), (0, 0), "{tree}");
        // More than one turn.
        assert!(done.number("/iterations") > 64, "{tree} {more}: {:#}", done.result);
    }
}

/// Loads that would go on for a year or a hundred years: they end when they are told to.
#[test]
fn loads_that_last_for_years_can_be_ended() {
    let years = |stage: &str| vec![format!("{{duration: 8760h, {stage}}}"); 99].join(", ");
    let cases = [
        (LOG, format!("stages: [{{duration: 0, bots: 2}}, {}]", years("bots: 2"))),
        (LOG, format!("stages: [{}]", years("bots: 1000000"))),
        (LOG, format!("stages: [{{duration: 0, arrivalRate: 5}}, {}]", years("arrivalRate: 5"))),
        (LOG, format!("stages: [{}]", years("arrivalRate: 1/h"))),
        (LOG, "duration: 8760h\npace: 8760h".to_owned()),
        (LOG, "iterations: 1000000000000\nthinkTime: {mean: 8760h}".to_owned()),
        (LOG, "scenarios: [{name: a, startDelay: 8760h, duration: 8760h}]".to_owned()),
        (LOG, "warmup: 8760h\npace: 1h".to_owned()),
        (LOG, "arrivalRate: 1/h\ngracePeriod: 8760h".to_owned()),
        ("trees: {T: done}\n", "refill: {max: 1, every: 8760h}".to_owned()),
        ("trees: {T: {http: {get: 'http://127.0.0.1:1/'}}}\n", "maxRate: 1/h\nbots: 3".to_owned()),
        ("trees: {T: {wait: 8760h}}\n", "gracePeriod: 8760h".to_owned()),
    ];
    let going: Vec<_> = cases
        .iter()
        .map(|(tree, fields)| {
            let given = Given::new(&format!("{tree}{fields}\n"));
            let log = text(&given.folder.path("bots.log"));
            let running = given.start(&["--log-file", &log]);
            (fields, given, log, running)
        })
        .collect();
    for (fields, given, log, mut running) in going {
        let begun = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Starting up"));
        until("the run goes on", || begun() || running.ended_within(std::time::Duration::ZERO).is_some());
        assert!(!running.is_over(), "{fields}: it has ended by itself");
        running.signal("INT");
        let done = given.done(running.end().expect(0));
        assert_eq!((&done.result["outcome"], done.number("/bots/alive")), (&json!("Passed"), 0), "{fields}");
    }
}
