//! `runner completions`: a script for each shell, with every command in it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::{Folder, runner};
use std::process::Command;

const COMMANDS: [&str; 7] = ["validate", "trace", "run", "summary", "target", "schema", "completions"];

#[test]
fn each_shell_is_told_of_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = runner(&["completions", shell]).expect(0);
        assert_eq!(ended.stderr, "", "{shell}");
        for command in COMMANDS.iter().chain(&["outcomes", "demo-target"]) {
            assert!(ended.stdout.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn bash_can_read_its_script() {
    let folder = Folder::new();
    let script = folder.file("runner.bash", runner(&["completions", "bash"]).expect(0).stdout);
    let read = Command::new("bash").args(["-n", &script]).output().expect("bash");
    assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
    // What a shell offers after `runner sch` and the tabulator key.
    let offer = format!(
        "source {script}; COMP_WORDS=(runner sch) COMP_CWORD=1; _runner runner sch runner; echo \"${{COMPREPLY[@]}}\""
    );
    let offered = Command::new("bash").args(["-c", &offer]).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), "schema", "{offered:?}");
}

#[test]
fn other_shells_are_refused() {
    let ended = runner(&["completions", "tcsh"]).expect(2);
    assert!(ended.stderr.contains("[possible values: bash, zsh, fish]"), "{}", ended.stderr);
}
