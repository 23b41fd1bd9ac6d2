//! What a document shows beside files and their commands: lines of a bot log, and what a shell reads when it starts.

use super::runs::{self, Measured};
use super::{Block, FILE};
use std::path::Path;
use std::process::{Command, Output};

/// Bots that come to all that is shown of a log: one buys, cannot see a cart that it has no right to, and dies.
const LOGGED: &str = r#"
trees:
  Shopper:
    sequence:
      - {http: {get: "{{ target }}/catalogue"}, label: Shop.buy}
      - always_succeed: {http: {get: "{{ target }}/cart"}}
      - error: no stock
custom: {bot_run_id: checkout}
bots: 3
refill: {max: 1, every: 1s}
"#;
const LOG: &str = "bot.log";

/// Holds each line of a block against those of a log that a run has written.
pub(super) fn log_lines(program: &Path, block: &Block, more: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE), LOGGED).expect("the file is written");
    let mut command = Command::new(program);
    command.args(["run", FILE, "--log-file", LOG]).args(runs::OPTIONS.split(' ')).args(more);
    runs::run_for_a_while(command, folder.path(), &block.place, Measured::Deaths);
    let log = std::fs::read_to_string(folder.path().join(LOG)).expect("a log");
    let written: Vec<String> = log.lines().map(without_figures).collect();
    for line in block.text.lines() {
        assert!(written.contains(&without_figures(line)), "{}: {line:?} is not in\n{log}", block.place);
    }
}

/// A line of a log with 0 for each number, and no time in words.
fn without_figures(line: &str) -> String {
    let (before, after) = line.split_once("uptime=\"").unwrap_or((line, ""));
    let after = after.split_once('"').map_or("", |(_, after)| after);
    let mut shape = String::new();
    for c in format!("{before}{after}").chars() {
        match c {
            '0'..='9' if shape.ends_with('0') => {}
            '0'..='9' => shape.push('0'),
            c => shape.push(c),
        }
    }
    shape
}

/// Lets a shell read each line, after which it can complete commands of the runner.
pub(super) fn start_of_a_shell(program: &Path, block: &Block) {
    let has = |shell: &str| {
        Command::new(shell).args(["-c", "exit"]).output().is_ok_and(|ended| ended.status.success())
    };
    let folder = program.parent().expect("a folder").display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let run = |shell: &str, text: &str| -> Output {
        Command::new(shell).args(["-c", text]).env("PATH", &path).output().expect("a shell")
    };
    for line in block.text.lines() {
        let after = |word: &str| line.split_once(word).and_then(|(_, rest)| rest.split([' ', ')']).next());
        let ended = match after("runner completions ") {
            Some("bash") => run("bash", &format!("{line}\ncomplete -p runner")),
            Some("fish") if has("fish") => run("fish", &format!("{line}\ncomplete runner")),
            // Without a fish: what it would read.
            Some("fish") => {
                let script =
                    line.strip_suffix(" | source").unwrap_or_else(|| panic!("{}: {line}", block.place));
                run("bash", script)
            }
            _ => panic!("{}: no test runs {line}", block.place),
        };
        let said = String::from_utf8_lossy(&ended.stdout);
        let completes = said.contains("complete") && said.contains("runner");
        assert!(
            ended.status.success() && completes && ended.stderr.is_empty(),
            "{}: {line}: {ended:?}",
            block.place
        );
    }
}
