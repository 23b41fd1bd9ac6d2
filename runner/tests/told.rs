//! The page on this program tells of each of its commands and options.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

mod common;

use common::runner;
use std::path::Path;

/// What the help of a command says.
fn help(command: &[&str]) -> String {
    runner(&[command, &["--help"]].concat()).expect(0).stdout
}

/// The first words of the lines of a part of a help, which are the names of its commands.
fn commands(help: &str) -> Vec<&str> {
    let lines =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

/// The long names of the options of a command.
fn options(help: &str) -> Vec<&str> {
    let begins = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = begins.filter_map(|line| line.split([' ', ',', '=']).find(|word| word.starts_with("--")));
    names.filter(|name| !["--help", "--version"].contains(name)).collect()
}

#[test]
fn every_command_and_every_option_is_on_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runner.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (run, others) = page.split_once("## Of the other commands").expect("two tables");
    let whole = help(&[]);
    let commands = commands(&whole);
    assert!(commands.contains(&"run") && commands.contains(&"completions"), "{commands:?}");
    let mut missing = Vec::new();
    for command in commands {
        if !run.contains(&format!("`runner {command}")) {
            missing.push(command.to_owned());
        }
        let help = help(&[command]);
        let options = options(&help);
        assert!(command != "run" || options.len() > 10, "{help}");
        for option in options {
            let is_told = |line: &str| {
                let begins =
                    line.starts_with(&format!("| `{option}`")) || line.starts_with(&format!("| `{option} "));
                begins && (command == "run" || line.contains(&format!("| `{command}` |")))
            };
            if !if command == "run" { run } else { others }.lines().any(is_told) {
                missing.push(format!("{command} {option}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/runner.md: {missing:?}");
}
