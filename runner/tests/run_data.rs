//! `runner run`: rows of data, each of them one bot's at a time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{Given, run};
use common::refusal::findings;
use common::{Folder, Shop, runner};
use std::collections::BTreeMap;

const USE: &str = "trees: {T: {sequence: [{log: '{{ bot.id }} {{ data.user }}'}, {wait: 20ms}]}}\n";

/// How often each row was used, as the log tells it: `ID USER`.
fn used(content: &str, args: &[&str]) -> Vec<(String, String)> {
    let given = Given::new(content);
    let log = common::text(&given.folder.path("bots.log"));
    let done = given.run(&[&["--log-file", &log], args].concat());
    assert_eq!(done.ended.code(), 0, "{:#?}", done.ended);
    let text = std::fs::read_to_string(&log).expect("a log");
    // The line of the action itself ends with its level, that of the text with the text.
    let lines = text.lines().filter_map(|line| line.split_once("[info] ").map(|(_, text)| text.trim()));
    let pairs = lines.filter_map(|text| text.split_once(' ')).filter(|(id, _)| id.parse::<u64>().is_ok());
    pairs.map(|(id, user)| (id.to_owned(), user.to_owned())).collect()
}

#[test]
fn the_first_bots_have_the_rows_of_their_ids() {
    let rows = "u1,p\nu2,p\nu3,p\nu4,p\nu5,p\n";
    let folder = Folder::new();
    folder.file("users.csv", format!("user,pass\n{rows}"));
    let file =
        folder.file("army.yaml", format!("{USE}data: {{file: users.csv}}\nbots: 5\niterationsPerBot: 1\n"));
    let log = common::text(&folder.path("log"));
    runner(&["run", &file, "--log-file", &log]).expect(0);
    let text = std::fs::read_to_string(&log).expect("a log");
    for n in 1..=5 {
        assert!(text.contains(&format!("{n} u{n}")), "{text}");
    }
}

#[test]
fn rows_of_bots_that_ended_are_used_again() {
    let tree = "trees: {T: {sequence: [{log: '{{ bot.id }} {{ data.user }}'}, done]}}\n";
    let pairs =
        used(&format!("{tree}data: {{inline: \"user\\na\\nb\\nc\\n\"}}\nbots: 2\niterations: 9\n"), &[]);
    let mut counts = BTreeMap::new();
    for (_, user) in &pairs {
        *counts.entry(user.as_str()).or_insert(0) += 1;
    }
    assert_eq!(pairs.len(), 9);
    assert_eq!(counts.len(), 3, "the row that was given back first comes first: {counts:?}");
}

#[test]
fn no_two_bots_have_a_row_at_once_though_some_wait() {
    // Each bot takes its row's flag, which must be free, and gives it back.
    let tree = r#"
trees:
  T:
    sequence:
      - shared: {add: "{{ data.user }}", save: users}
      - check: "users == 1"
      - wait: 10ms
      - shared: {add: "{{ data.user }}", by: -1}
      - done
"#;
    let done = run(
        &format!("{tree}data: {{inline: \"user\\na\\nb\\n\", exhausted: Wait}}\nbots: 6\niterations: 30\n"),
        &[],
    );
    assert_eq!(done.counts("check(\"users == 1\")"), [30, 0, 0, 0]);
    assert_eq!(done.number("/bots/started"), 30);
}

#[test]
fn each_row_is_used_once_where_that_is_wanted() {
    let tree = "trees: {T: {sequence: [{log: '{{ bot.id }} {{ data.user }}'}, done]}}\n";
    let users: Vec<String> = (0..7).map(|n| format!("{{\\\"user\\\": {n}}}")).collect();
    let users = users.join("\\n");
    let data = format!("data: {{inline: \"{users}\", format: JsonLines, exhausted: Stop}}");
    let mut pairs = used(&format!("{tree}{data}\nbots: 3\n"), &[]);
    pairs.sort();
    let users: Vec<&str> = pairs.iter().map(|(_, user)| user.as_str()).collect();
    assert_eq!(users, ["0", "1", "2", "3", "4", "5", "6"], "and then the run is over");
    let arriving = used(&format!("{tree}{data}\narrivalRate: 100\n"), &[]);
    assert_eq!(arriving.len(), 7);
    let done = run(&format!("{tree}{data}\narrivalRate: 20/s\n"), &[]);
    assert_eq!(done.result.get("dropped"), None, "nobody is expected after the last row: {:#}", done.result);
}

#[test]
fn an_arrival_without_a_row_is_dropped_and_counted() {
    let shop = Shop::open(&["--latency", "10s"]);
    let tree = "trees: {T: {http: {get: '{{ target }}/{{ data.user }}'}}}\n";
    let data = "data: {inline: \"user\\na\\nb\\n\"}\narrivalRate: 50\nduration: 1s\ngracePeriod: 0\n";
    let done = run(&format!("{tree}target: {}\n{data}", shop.url()), &[]);
    assert_eq!((done.number("/bots/started"), done.number("/dropped")), (2, 48));
}

#[test]
fn scenarios_have_rows_of_their_own_and_values_keep_their_types() {
    let content = r#"
trees:
  A: {check: "data.n == 5 and data.name == 'x'"}
  B: {check: "data.n == '7'"}
scenarios:
  - {name: a, tree: A, iterations: 1, data: {inline: '{"n": 5, "name": "x"}', format: JsonLines}}
  - {name: b, tree: B, iterations: 1, data: {inline: "\uFEFFn\r\n7\r\n"}}
"#;
    let done = run(content, &[]);
    assert_eq!(done.counts("check(\"data.n == 5 and data.name == 'x'\")"), [1, 0, 0, 0]);
    assert_eq!(done.counts("check(\"data.n == '7'\")"), [1, 0, 0, 0]);
}

#[test]
fn what_is_wrong_with_rows_is_told_before_anything_starts() {
    let folder = Folder::new();
    folder.file("bad.csv", "user,pass\na\nb,c\nd,e,f\n");
    folder.file("bad.jsonl", "{\"user\": 1}\nnonsense\n");
    folder.file("latin.csv", b"user\n\xe9\n".as_slice());
    folder.file("good.csv", "user,pass\na,b\n");
    for (fields, told) in [
        ("data: {file: none.csv}", vec!["data.file: ", "none.csv cannot be read: "]),
        ("data: {file: /proc/self/mem}", vec!["data.file: ", "cannot be read: "]),
        ("data: {file: /dev/zero}", vec!["data.file: ", "has more than 268435456 bytes"]),
        ("data: {file: latin.csv}", vec!["data.file: ", "not text in UTF-8"]),
        (
            "data: {file: bad.csv}",
            vec!["bad.csv: line 2: 1 values, where", "bad.csv: line 4: 3 values, where"],
        ),
        ("data: {file: bad.jsonl}", vec!["bad.jsonl: line 2: not a mapping in JSON"]),
        (
            "data: {file: good.csv}\nbots: 2",
            vec!["data: 1 rows for 2 bots: a row belongs to one bot at a time"],
        ),
        (
            "data: {file: good.csv, inline: x}",
            vec!["data: the rows come from a file, from inline or from a configMap"],
        ),
        ("data: {}", vec!["data: the rows come from a file, from inline or from a configMap"]),
        ("data: {inline: ''}", vec!["data.inline: there is no row"]),
        ("data: {file: good.csv, exhausted: Never}", vec!["data.exhausted: expected Recycle, Wait, Stop"]),
        (
            "data: {configMap: {name: a, key: b}}",
            vec!["data.configMap: rows from a ConfigMap are there on a cluster only"],
        ),
        ("bots: 1", vec!["trees.T.sequence[0]: {{ data.user }} needs rows; add data"]),
    ] {
        let file = folder.file("army.yaml", format!("{USE}{fields}\niterations: 1\n"));
        let ended = runner(&["run", &file]).expect(1);
        for part in told {
            assert!(ended.stderr.contains(part), "{fields}: {part} is not in {}", ended.stderr);
        }
        assert_eq!(ended.stdout, "", "{fields}");
    }
    let file = folder.file("army.yaml", "trees: {T: {log: '{{ data.nmae }}'}}\ndata: {file: good.csv}\n");
    for command in ["validate", "run"] {
        let told = findings(command, &file);
        assert_eq!(told, ["trees.T: the rows have no column \"nmae\"; they have user, pass"]);
    }
}

#[test]
fn rows_can_be_given_on_the_command_line() {
    let folder = Folder::new();
    let rows = folder.file("rows.csv", "user\nzed\n");
    let file =
        folder.file("army.yaml", format!("{USE}data: {{configMap: {{name: a, key: b}}}}\niterations: 1\n"));
    runner(&["validate", &file]).expect(0);
    runner(&["run", &file, "--data", &rows]).expect(0);
}
