//! `runner run`: the result, where it goes, and the exit code.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::army::{GET, Given, SHOPPER, run};
use common::{Shop, ask, runner, text, unread, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_result_has_its_form() {
    let content =
        format!("{SHOPPER}thresholds: [{{expect: count == 9}}, {{expect: p(95) < 1m, action: Put}}]\n");
    let done = run(&content, &["--demo-target", "--iterations", "3"]);
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("a mapping").keys().cloned().collect()
    };
    let named = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    let top = named(&[
        "outcome",
        "bots",
        "requests",
        "iterations",
        "durationMs",
        "actions",
        "total",
        "thresholds",
        "gaps",
    ]);
    assert!(top.is_subset(&keys(&done.result)), "{:#}", done.result);
    assert_eq!(keys(&done.result["bots"]), named(&["started", "alive"]));
    let figures =
        ["count", "succeed", "fail", "error", "crash", "cancelled", "p50Us", "p95Us", "p99Us", "maxUs"];
    assert!(named(&figures).is_subset(&keys(&done.result["total"])), "{:#}", done.result);
    for action in ["POST /login", "Put", "GET /cart"] {
        assert!(named(&figures).is_subset(&keys(done.action(action))), "{:#}", done.result);
    }
    let thresholds = &done.result["thresholds"];
    assert_eq!(thresholds[0], json!({"expect": "count == 9", "value": "9", "passed": true}));
    assert_eq!(keys(&thresholds[1]), named(&["expect", "action", "value", "passed"]));
    assert_eq!((&thresholds[1]["action"], &thresholds[1]["passed"]), (&json!("Put"), &json!(true)));
    assert_eq!(done.result["gaps"], json!([]));
    for part in ["Passed", "POST /login", "Put", "GET /cart"] {
        assert!(done.ended.stdout.contains(part), "{part} is not in {}", done.ended.stdout);
    }
}

#[test]
fn a_threshold_that_does_not_hold_fails_the_run() {
    let content = "trees: {T: {sequence: [{always_succeed: {http: {get: '{{ target }}/nowhere'}}}, {http: {get: '{{ target }}/catalogue'}}]}}
thresholds:
  - {expect: fail_rate < 1%, action: GET /catalogue}
  - {expect: fail_rate < 1%}
  - {expect: count > 1000}
  - {expect: p(95) < 1m}
  - {expect: fail_rate == 100%, action: GET /nowhere}
";
    let done = Given::new(content).run(&["--demo-target", "--iterations", "10"]);
    assert_eq!((done.ended.code(), &done.result["outcome"]), (99, &json!("Failed")));
    let told = done.result["thresholds"].as_array().expect("thresholds");
    let told: Vec<(&Value, &Value)> = told.iter().map(|t| (&t["value"], &t["passed"])).collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(told[0], (&json!("0.00%"), &yes));
    assert_eq!(told[1], (&json!("50.00%"), &no));
    assert_eq!(told[2], (&json!("20"), &no));
    assert_eq!(told[3].1, &yes);
    assert_eq!(told[4], (&json!("100.00%"), &yes));
    assert!(
        done.ended.stdout.contains("Failed") && done.ended.stdout.contains("50.00%"),
        "{}",
        done.ended.stdout
    );
    // A run that did nothing proves nothing.
    let done =
        Given::new("trees: {T: done}\nthresholds: [{expect: fail_rate < 1%}]").run(&["--iterations", "1"]);
    assert_eq!((done.ended.code(), &done.result["thresholds"][0]["value"]), (99, &json!("no samples")));
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_the_run() {
    let shop = Shop::open(&[]);
    let given = Given::new(GET);
    let place = |name: &str| text(&given.folder.path(name));
    let long = place(&"x".repeat(300));
    for out in [
        place("nowhere/out.json"),
        place("army.yaml/out.json"),
        place("nothing/"),
        place(""),
        long,
        "/proc/out.json".to_owned(),
    ] {
        let args = ["run", &given.file, "--target", &shop.url(), "--iterations", "1", "--out", &out];
        let ended = runner(&args).expect(1);
        let stderr = &ended.stderr;
        assert!(stderr.starts_with(&format!("the result cannot be written to {out}: ")), "{stderr}");
        assert!(stderr.trim_end().ends_with("; name another file with --out"), "{stderr}");
        assert_eq!((ended.stdout.as_str(), given.names()), ("", vec!["army.yaml".to_owned()]), "{out}");
    }
    assert_eq!(shop.requests(), 0);
}

#[test]
fn an_output_that_is_there_is_replaced() {
    let given = Given::new(GET);
    std::fs::write(&given.out, "x".repeat(100_000)).expect("an old output");
    let done = given.run(&["--demo-target", "--iterations", "1"]);
    assert_eq!(done.number("/iterations"), 1);
    assert_eq!(given.names(), ["army.yaml", "out.json"]);
}

#[test]
fn an_output_is_never_half_there() {
    let given = Given::new("trees: {T: done}\niterations: 1\n");
    std::fs::write(&given.out, "old").expect("an old output");
    let mut before = std::fs::File::open(&given.out).expect("the old output");
    given.run(&[]);
    let mut old = String::new();
    before.read_to_string(&mut old).expect("the old output");
    assert_eq!(old, "old", "who reads the old one reads it to its end");
    let mode = std::fs::metadata(&given.out).expect("the new output").permissions().mode();
    let file = std::fs::metadata(&given.file).expect("any new file").permissions().mode();
    assert_eq!(mode, file, "others may read it as they may any new file");
}

#[test]
fn a_link_stays_a_link() {
    let given = Given::new("trees: {T: done}\niterations: 1\n");
    let real = given.folder.file("real.json", "old");
    std::os::unix::fs::symlink(&real, &given.out).expect("a link");
    assert_eq!(given.run(&[]).number("/iterations"), 1);
    assert!(std::fs::symlink_metadata(&given.out).expect("the link").is_symlink());
    assert!(std::fs::read_to_string(&real).expect("the file").contains("iterations"));
}

#[test]
fn an_output_may_be_a_pipe() {
    let given = Given::new("trees: {T: done}\niterations: 1\n");
    let made = std::process::Command::new("mkfifo").arg(&given.out).status().expect("mkfifo");
    assert!(made.success());
    let program = given.start(&[]);
    let result = std::fs::read_to_string(&given.out).expect("what comes out of the pipe");
    program.end().expect(0);
    let result: Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!(result["iterations"], 1);
    runner(&["run", &given.file, "--out", "/dev/null"]).expect(0);
    let ended = runner(&["run", &given.file, "--out", "/dev/full"]).expect(4);
    assert!(
        ended.stderr.starts_with("the result cannot be written to /dev/full: No space left"),
        "{ended:?}"
    );
}

#[test]
fn the_result_is_kept_although_nobody_reads_the_summary() {
    let given = Given::new("trees: {T: done}\n");
    unread(&given.args(&["--iterations", "2"])).expect(0);
    let result = std::fs::read_to_string(&given.out).expect("a result");
    let result: Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!(result["iterations"], 2);
}

#[test]
fn a_wrong_command_line_is_told() {
    let given = Given::new("trees: {T: done}\niterations: 1");
    let file = given.file.as_str();
    for args in [
        &[][..],
        &[file, "more.yaml"],
        &[file, "--bots", "x"],
        &[file, "--bots", "99999999999"],
        &[file, "--iterations", "0"],
        &[file, "--iterations=-1"],
        &[file, "--seed=-1"],
        &[file, "--duration"],
        &[file, "--demo-target", "--target", "http://127.0.0.1:1"],
        &[file, "--outt", "x"],
    ] {
        let ended = runner(&[&["run"], args].concat()).expect(2);
        assert!(ended.stderr.starts_with("error: ") && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
    assert_eq!(runner(&[]).code(), 2);
    assert_eq!(runner(&["march"]).code(), 2);
}

#[test]
fn each_file_has_the_form_of_its_suffix() {
    let content = format!("{GET}thresholds: [{{expect: count == 9}}]\n");
    let given = Given::new(&content);
    let [html, csv, xml, txt] =
        ["r.html", "r.csv", "r.xml", "r.txt"].map(|name| text(&given.folder.path(name)));
    let more = ["--out", &html, "--out", &csv, "--out", &xml, "--out", &txt];
    let done = given.run(&[&["--demo-target", "--iterations", "9"][..], &more].concat());
    for (file, begin, part) in [
        (&html, "<!DOCTYPE html>", "GET /catalogue"),
        (&csv, "kind,name,", "action,GET /catalogue,,,,9,9,0"),
        (&xml, "<?xml", "count == 9 of all measured actions"),
        (&txt, "outcome     Passed", "GET /catalogue"),
    ] {
        let written = std::fs::read_to_string(file).expect("a file");
        assert!(written.starts_with(begin) && written.contains(part), "{file}: {written}");
    }
    // The same from the result that was kept.
    for (format, file) in
        [("html", &html), ("csv", &csv), ("junit", &xml), ("text", &txt), ("json", &given.out)]
    {
        let shown = runner(&["summary", &given.out, "--format", format]).expect(0);
        let written = std::fs::read_to_string(file).expect("a file");
        assert_eq!(shown.stdout.trim_end(), written.trim_end(), "{format}");
    }
    assert_eq!(done.number("/total/count"), 9);
    let forced = text(&given.folder.path("forced.json"));
    runner(&["run", &given.file, "--demo-target", "--iterations", "1", "--out", &forced, "--format", "csv"])
        .code();
    assert!(std::fs::read_to_string(&forced).expect("a file").starts_with("kind,"));
    // Whatever it is called, a file has one thing in it.
    let other = text(&given.folder.path("./r.html"));
    let link = given.folder.path("link.html");
    std::os::unix::fs::symlink(&html, &link).expect("a link");
    for again in [&html, &other, &text(&link)] {
        let twice = runner(&["run", &given.file, "--demo-target", "--out", &html, "--out", again]).expect(1);
        assert!(twice.stderr.contains("is named twice"), "{twice:?}");
        let log = ["run", &given.file, "--demo-target", "--out", &html, "--log-file", again];
        let log = runner(&log).expect(1);
        assert!(log.stderr.contains("place of the result and of the bot log"), "{log:?}");
    }
    let both = ["--iterations", "9", "--out", "/dev/null", "--log-file", "/dev/null"];
    runner(&[&["run", &given.file, "--demo-target"], &both[..]].concat()).expect(0);
}

/// What a scraper gets while a run goes on; the last of it is what the result says.
#[test]
fn measures_can_be_scraped_while_a_run_goes_on() {
    let shop = Shop::open(&[]);
    let given = Given::new("trees: {T: {sequence: [{http: {get: '{{ target }}/catalogue'}}, {wait: 5ms}]}}");
    let port =
        std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address");
    let address = port.to_string();
    let run = given.start(&[
        "--target",
        &shop.url(),
        "--duration",
        "3s",
        "--bots",
        "3",
        "--metrics-listen",
        &address,
    ]);
    let mut requests = 0;
    until("the metrics count", || {
        if run.is_over() || std::net::TcpStream::connect(port).is_err() {
            return run.is_over();
        }
        let (status, text) = ask(port, "GET", "/metrics", &[], "");
        assert_eq!(status, 200);
        let line = text.lines().find_map(|l| l.strip_prefix("botarmy_requests_total ")).expect("a count");
        requests = line.parse::<u64>().expect("a number");
        requests > 100
            && text.contains("botarmy_actions_total{action=\"GET /catalogue\",outcome=\"succeed\"}")
    });
    let done = given.done(run.end());
    assert!(requests > 0 && requests <= done.number("/requests"), "{requests}");
    assert!(done.ended.stderr.contains(&format!("metrics at http://{address}/metrics")), "{:?}", done.ended);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused =
        runner(&["run", &given.file, "--target", &shop.url(), "--metrics-listen", &address]).expect(1);
    assert!(refused.stderr.contains("choose another address"), "{refused:?}");
}
