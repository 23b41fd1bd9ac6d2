//! `runner run --log-file`: a line for each action, and for each bot that comes and goes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Done, GET, Given};
use common::{Shop, command, ended, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All that an action can come to but a crash, in an order that is drawn; texts that would break a line.
const MIXED: &str = r#"
trees:
  T:
    sequence:
      - http: {get: "{{ target }}/catalogue"}
      - always_succeed: {http: {get: "{{ target }}/nowhere"}, label: 'a "b" [info] = 1'}
      - log: "bot {{ bot.id }}\nsays outcome=fail [error] "
      - wait: 1ms
      - random:
          - succeed_rate: 0.5
          - done
          - error: "no luck\n2027-01-01T00:00:00.000 bot_id=1 outcome=succeed [info] "
"#;

/// A line of the log, taken apart.
#[derive(Debug)]
struct Line {
    keys: Vec<String>,
    values: BTreeMap<String, String>,
    level: String,
    message: String,
}

impl Line {
    /// Reads `TIME key=value key="value" [level] message`.
    fn read(line: &str) -> Self {
        let wrong = || -> ! { panic!("no line of the log: {line:?}") };
        let (time, mut rest) = line.split_once(' ').unwrap_or_else(|| wrong());
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000", "{line:?}");
        let (mut keys, mut values) = (Vec::new(), BTreeMap::new());
        while !rest.starts_with('[') {
            let (key, after) = rest.split_once('=').unwrap_or_else(|| wrong());
            let mut values_of = serde_json::Deserializer::from_str(after).into_iter::<String>();
            let (value, length) = if after.starts_with('"') {
                let value = values_of.next().and_then(Result::ok).unwrap_or_else(|| wrong());
                (value, values_of.byte_offset())
            } else {
                let length = after.find(' ').unwrap_or_else(|| wrong());
                (after[..length].to_owned(), length)
            };
            keys.push(key.to_owned());
            values.insert(key.to_owned(), value);
            rest = after[length..].strip_prefix(' ').unwrap_or_else(|| wrong());
        }
        let (level, message) = rest[1..].split_once("] ").unwrap_or_else(|| wrong());
        assert!(["info", "warn", "error"].contains(&level), "{line:?}");
        Self { keys, values, level: level.to_owned(), message: message.to_owned() }
    }

    fn get(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }
}

fn read(path: &str) -> Vec<String> {
    let content = std::fs::read_to_string(path).expect("a log");
    assert!(content.ends_with('\n'), "{content}");
    content.lines().map(ToOwned::to_owned).collect()
}

/// How often each outcome is in the result, over all actions. Those that are never have no entry.
fn counted(done: &Done) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let actions = done.result["actions"].as_array().expect("actions").iter();
    for action in actions.filter(|a| !a["name"].as_str().is_some_and(|n| n.starts_with('('))) {
        for outcome in ["succeed", "fail", "error", "crash", "cancelled"] {
            *sums.entry(outcome.to_owned()).or_default() += action[outcome].as_u64().expect("a number");
        }
    }
    sums.retain(|_, n| *n > 0);
    sums
}

/// How often each outcome is in the lines of a log; done is a success.
fn told<'a>(outcomes: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for outcome in outcomes {
        let outcome = if outcome == "done" { "succeed" } else { outcome };
        *sums.entry(outcome.to_owned()).or_default() += 1;
    }
    sums
}

#[test]
fn each_action_and_each_bot_has_its_line() {
    let shop = Shop::open(&[]);
    let given = Given::new(MIXED);
    let log = text(&given.folder.path("log"));
    let done = given.run(&["--target", &shop.url(), "--iterations", "90", "--bots", "3", "--log-file", &log]);
    let lines: Vec<Line> = read(&log).iter().map(|l| Line::read(l)).collect();
    let actions: Vec<&Line> = lines.iter().filter(|l| l.values.contains_key("action")).collect();
    for line in &actions {
        let keys = ["bot_id", "bot_run_id", "action", "outcome", "duration"];
        assert_eq!(
            (line.keys.as_slice(), line.message.as_str()),
            (&keys.map(str::to_owned)[..], ""),
            "{line:?}"
        );
        let level = match line.get("outcome") {
            "fail" => "warn",
            "error" => "error",
            _ => "info",
        };
        assert_eq!(line.level, level, "{line:?}");
        assert!(["bot_id", "duration"].iter().all(|key| line.get(key).parse::<u64>().is_ok()), "{line:?}");
    }
    assert_eq!(told(actions.iter().map(|l| l.get("outcome"))), counted(&done), "{:#}", done.result);
    assert!(["fail", "error", "done"].iter().all(|o| actions.iter().any(|l| l.get("outcome") == *o)));
    let names = ["GET /catalogue", "a \"b\" [info] = 1", "log", "wait", "succeed_rate", "done", "error"];
    assert!(names.iter().all(|name| actions.iter().any(|l| l.get("action") == *name)), "{actions:#?}");
    assert!(lines.iter().all(|l| l.get("bot_run_id") == "army"));

    let messages = |message: &str| lines.iter().filter(|l| l.message == message).collect::<Vec<_>>();
    assert_eq!(messages("Starting up 3 bots...").len(), 1);
    assert_eq!(lines[0].message, "Starting up 3 bots...");
    assert_eq!(messages("All bots have finished").len(), 1);
    assert_eq!(messages("A new baby bot is born").len() as u64, done.number("/bots/started"));
    let (died, finished) = (messages("Bot died!"), messages("Bot finished work"));
    assert_eq!((died.len() + finished.len()) as u64, done.number("/bots/started"));
    assert_eq!(died.len() as u64, counted(&done)["error"]);
    for line in died {
        let reason = "no luck\n2027-01-01T00:00:00.000 bot_id=1 outcome=succeed [info] ";
        assert_eq!((line.get("error"), line.level.as_str()), (reason, "error"));
        assert!(line.get("uptime").contains("second"), "{line:?}");
    }
    let said: Vec<&Line> = lines.iter().filter(|l| l.message.starts_with("bot ")).collect();
    assert_eq!(said.len(), 90);
    for line in said {
        let expected = format!("bot {}\\nsays outcome=fail [error] ", line.get("bot_id"));
        assert_eq!((line.message.as_str(), line.level.as_str()), (expected.as_str(), "info"));
    }
}

#[test]
fn json_has_the_same_with_its_types() {
    let shop = Shop::open(&[]);
    let given = Given::new(&format!("{MIXED}custom: {{bot_run_id: nightly 7}}\n"));
    let log = text(&given.folder.path("log"));
    let args = ["--target", &shop.url(), "--iterations", "30", "--log-file", &log, "--format-json-logs"];
    let done = given.run(&args);
    let lines: Vec<Value> =
        read(&log).iter().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
    for line in &lines {
        let age = now - u128::from(line["timestamp"].as_u64().expect("a time"));
        assert!(age < 120_000, "{line}");
        assert!(line["msg"].is_string() && line["level"].is_string(), "{line}");
        assert_eq!(line["bot_run_id"], "nightly 7", "{line}");
    }
    let actions: Vec<&Value> = lines.iter().filter(|l| l["action"].is_string()).collect();
    assert!(actions.iter().all(|l| l["bot_id"].is_u64() && l["duration"].is_u64() && l["msg"] == ""));
    assert_eq!(
        told(actions.iter().filter_map(|l| l["outcome"].as_str())),
        counted(&done),
        "{:#}",
        done.result
    );
    let died = lines.iter().find(|l| l["msg"] == "Bot died!").expect("one of thirty dies");
    assert_eq!(died["error"], "no luck\n2027-01-01T00:00:00.000 bot_id=1 outcome=succeed [info] ");
    assert!(died["bot_count"].is_u64() && died["uptime"].is_string(), "{died}");
}

#[test]
fn what_a_run_cuts_short_is_told() {
    let given = Given::new(
        "trees: {T: {parallel: {children: [{wait: 1h}, {wait: 2h}]}}}\nbots: 2\nduration: 300ms\n",
    );
    let log = text(&given.folder.path("log"));
    let done = given.run(&["--log-file", &log]);
    let lines: Vec<Line> = read(&log).iter().map(|l| Line::read(l)).collect();
    let outcomes = lines.iter().filter(|l| l.values.contains_key("outcome")).map(|l| l.get("outcome"));
    assert_eq!(told(outcomes), counted(&done));
    assert_eq!(counted(&done), [("cancelled".to_owned(), 4)].into());
    let stopped: Vec<&str> =
        lines.iter().filter(|l| l.message == "Bot stopped").map(|l| l.get("bot_count")).collect();
    assert_eq!(stopped.len(), 2);
    assert!(stopped.contains(&"0"), "{lines:#?}");
}

#[test]
fn bots_of_several_populations_are_told_apart_and_runs_append() {
    let spec = "
trees: {T: {log: hello}, U: done}
scenarios:
  - {name: day, tree: T, bots: 2, iterations: 30}
  - {name: night, tree: U, arrivalRate: 100/s, iterations: 7}
";
    let given = Given::new(spec);
    let log = given.folder.file("log", "what was there before\n");
    for runs in 1..=2 {
        given.run(&["--log-file", &log]);
        let content = read(&log);
        assert_eq!(content[0], "what was there before");
        let lines: Vec<Line> = content[1..].iter().map(|l| Line::read(l)).collect();
        for (scenario, action, count) in [("day", "log", 30), ("night", "done", 7)] {
            let own = |l: &&Line| l.get("scenario") == scenario && l.get("action") == action;
            assert_eq!(lines.iter().filter(own).count(), count * runs, "{scenario} {lines:#?}");
        }
        let finished =
            lines.iter().filter(|l| l.message == "Bot finished work" && l.get("scenario") == "night");
        assert_eq!(finished.count(), 7 * runs);
        assert_eq!(lines.iter().filter(|l| l.message == "Starting up 2 bots...").count(), runs);
    }
}

#[test]
fn the_load_begins_and_ends_between_setup_and_teardown() {
    let trees =
        "trees: {T: {log: buys}, Before: {log: opens}, After: {log: closes}, Fails: {error: no way}}\n";
    let once = "setup: {tree: Before}\nteardown: {tree: After}\n";
    let messages = |fields: &str| {
        let given = Given::new(&format!("{trees}{fields}"));
        let log = text(&given.folder.path("log"));
        given.start(&["--log-file", &log]).end();
        let lines = read(&log).into_iter().map(|line| Line::read(&line));
        let told = lines.filter(|line| !line.message.is_empty());
        told.map(|line| (line.get("scenario").to_owned(), line.message)).collect::<Vec<_>>()
    };
    let of = |scenario: &str, said: &str| {
        ["A new baby bot is born", said, "Bot finished work"]
            .map(|told| (scenario.to_owned(), told.to_owned()))
    };
    let load = |told: &str| [(String::new(), told.to_owned())];
    let between =
        [&load("Starting up 1 bots...")[..], &of("", "buys"), &load("All bots have finished")].concat();
    let whole = [&of("(setup)", "opens")[..], &between, &of("(teardown)", "closes")].concat();
    assert_eq!(messages(&format!("tree: T\niterations: 1\n{once}")), whole);

    let told = messages("tree: T\niterations: 1\nsetup: {tree: Fails}\nteardown: {tree: After}\n");
    assert!(
        told.iter().all(|(scenario, _)| ["(setup)", "(teardown)"].contains(&scenario.as_str())),
        "{told:?}"
    );
    assert!(told.ends_with(&of("(teardown)", "closes")), "{told:?}");

    let scenarios =
        "scenarios: [{name: a, tree: T, iterations: 1}, {name: b, tree: T, bots: 2, iterations: 2}]\n";
    let told = messages(&format!("{scenarios}{once}"));
    for said in ["Starting up 3 bots...", "All bots have finished"] {
        let places = told.iter().enumerate().filter(|(_, (_, message))| message == said);
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        assert!(matches!(places[..], [place] if (3..told.len() - 3).contains(&place)), "{said}: {told:#?}");
    }
}

#[test]
fn no_log_is_kept_unless_it_is_asked_for() {
    let folder = common::Folder::new();
    let file = folder.file("army.yaml", "trees: {T: {log: hello}}\niterations: 5\n");
    let mut program = command(&["run", &file]);
    program.current_dir(folder.path(""));
    ended(program).expect(0);
    let entries = std::fs::read_dir(folder.path("")).expect("the folder").count();
    assert_eq!(entries, 1, "only the file that was run");
}

#[test]
fn a_place_that_cannot_be_written_to_is_told_before_anything_starts() {
    let shop = Shop::open(&[]);
    let given = Given::new(GET);
    for path in ["/no/such/folder/log", "/"] {
        let args = ["--target", &shop.url(), "--iterations", "1", "--log-file", path];
        let ended = given.start(&args).end().expect(1);
        assert!(
            ended.stderr.starts_with(&format!("the bot log cannot be written to {path}: ")),
            "{ended:#?}"
        );
        assert_eq!((ended.stdout.as_str(), shop.requests()), ("", 0));
        assert_eq!(given.names(), ["army.yaml"]);
    }
    given.start(&["--demo-target", "--format-json-logs"]).end().expect(2);
}

#[test]
fn a_full_disk_ends_no_run() {
    let given = Given::new("trees: {T: {sequence: [{log: hello}, {wait: 1ms}]}}\n");
    let done = given.run(&["--log-file", "/dev/full", "--iterations", "50", "--bots", "2"]);
    assert_eq!((done.ended.code(), &done.result["outcome"]), (0, &json!("Passed")));
    assert_eq!(done.number("/iterations"), 50);
    let stderr = &done.ended.stderr;
    assert_eq!(stderr.matches("the bot log cannot be written: No space left").count(), 1, "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "what goes to no terminal has no colours: {stderr:?}");
    // 2 lines of the run, 2 of each bot and 3 of each pass; more if it takes longer than five seconds.
    let dropped = stderr.lines().find(|l| l.contains(" lines of the bot log were dropped: No space left"));
    let numbers = dropped.map(|l| l.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<u64>>());
    let [dropped, all] = numbers.as_deref().expect("it is told")[..] else { panic!("{stderr}") };
    assert!(dropped == all && all >= 2 + 2 * 2 + 50 * 3, "{stderr}");
}

#[test]
fn a_runner_of_the_cluster_reads_it_from_its_environment() {
    for (file, format, said) in [
        ("/no/such/folder/log", "json", "the bot log cannot be written to /no/such/folder/log: "),
        ("/dev/null", "xml", "the environment variable BOTARMY_LOG_FORMAT is neither line nor json"),
    ] {
        let mut program = command(&["agent"]);
        program.envs([
            ("BOTARMY_COORDINATOR", "https://127.0.0.1:1"),
            ("BOTARMY_RUN_NAMESPACE", "shop"),
            ("BOTARMY_RUN_NAME", "army"),
            ("BOTARMY_RUN_UID", "u1"),
            ("BOTARMY_POD_UID", "p1"),
            ("JOB_COMPLETION_INDEX", "0"),
            ("BOTARMY_LOG_FILE", file),
            ("BOTARMY_LOG_FORMAT", format),
        ]);
        let ended = ended(program).expect(1);
        assert!(ended.stderr.starts_with(said), "{ended:#?}");
    }
}
