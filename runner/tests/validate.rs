//! `runner validate`: what is right passes in silence; what is wrong is told for each of several files.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::refusal::refused;
use common::{Ended, Folder, runner, text};
use serde_json::json;

const HEAD: &str = "apiVersion: botarmy.dev/v1alpha1\nkind: BotRun\nmetadata: {name: a}\n";

fn validate(name: &str, content: impl AsRef<[u8]>, flags: &[&str]) -> Ended {
    let folder = Folder::new();
    let file = folder.file(name, content);
    runner(&[&["validate", &file], flags].concat())
}

fn accepted(name: &str, content: &str) {
    let ended = validate(name, content, &[]).expect(0);
    assert!(ended.stdout.is_empty() && ended.stderr.is_empty(), "{content}: {ended:?}");
}

#[test]
fn all_forms_of_a_file_are_read() {
    let run = format!("{HEAD}spec: {{trees: {{T: done}}}}\n");
    let other = "apiVersion: v1\nkind: Service\nmode: 0755\nflag: no\n";
    for (name, content) in [
        ("run.yaml", run.clone()),
        ("bare.yaml", "trees: {T: done}\n".into()),
        ("bare.json", r#"{"trees": {"T": "done"}, "bots": 2.0, "seed": null}"#.into()),
        ("marked.yaml", format!("\u{feff}{run}")),
        ("windows.yaml", run.replace('\n', "\r\n")),
        ("among_others.yaml", format!("{other}---\n{run}---\n{other}---\n")),
        ("flow.yaml", "{trees: {T: done}}".into()),
        ("quoted.yaml", "trees: {'on': {log: 'no'}, \"0755\": {log: \"0755\"}}\ntree: 'on'\n".into()),
        ("alias.yaml", "trees: {A: &a {wait: 1}, B: *a}\ntree: B\n".into()),
    ] {
        accepted(name, &content);
    }
    let nodes = json!({"n": {"name": "wait", "title": "wait(1)"}});
    let project = json!({"trees": [{"id": "r", "title": "Root", "root": "n", "nodes": nodes}]});
    accepted("project.json", &project.to_string());
    accepted("saved.json", &json!({"name": "p", "data": project}).to_string());
}

#[test]
fn the_example_is_right() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/checkout.yaml");
    let ended = runner(&["validate", example]).expect(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn each_of_several_files_is_looked_at() {
    let folder = Folder::new();
    let good = folder.file("good.yaml", "trees: {T: done}");
    let bad = folder.file("bad.yaml", "trees: {T: {wait: -1}}");
    let missing = text(&folder.path("missing.yaml"));
    let worse = folder.file("worse.yaml", "trees: {T: {sequence: [{wiat: 1}, {wait: x}]}}");
    let ended = runner(&["validate", &missing, &good, &bad, &worse, &good]).expect(1);
    let files: Vec<&str> = ended.stderr_lines().iter().filter_map(|l| l.split(": ").next()).collect();
    assert_eq!(files, [&missing, &bad, &worse, &worse]);
    runner(&["validate", &good, &good]).expect(0);
}

#[test]
fn unknown_actions_can_be_taken_on_trust() {
    let content = "trees: {T: {sequence: [{action: Shop.buy}, {action: {name: Shop.pay, args: [1]}}]}}";
    refused(
        "own.yaml",
        content,
        &[
            "trees.T.sequence[0].action: the action \"Shop.buy\" does not exist",
            "trees.T.sequence[1].action: the action \"Shop.pay\" does not exist",
        ],
    );
    let ended = validate("own.yaml", content, &["--allow-unknown-actions"]);
    assert_eq!(ended.expect(0).stderr, "");
    // What is built in is known all the same.
    let ended = validate("built_in.yaml", "trees: {T: {action: log}}", &["--allow-unknown-actions"]);
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("trees.T.action: log takes one argument, not 0"), "{}", ended.stderr);
}

#[test]
fn a_wrong_command_line_is_told() {
    for args in [&[][..], &["--allow"], &["--strict", "a.yaml"]] {
        let ended = runner(&[&["validate"], args].concat()).expect(2);
        assert!(ended.stderr.starts_with("error: "), "{args:?}: {ended:?}");
    }
}
