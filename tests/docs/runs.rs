//! Runs that a document shows: against the demo shop, until their bots have been at work for a while.

use super::FILE;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A run that is not over by then will not be.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long bots are at work.
const A_WHILE: Duration = Duration::from_secs(2);
const RESULT: &str = "result.json";
/// What is told on stderr while the run goes on.
const SAID: &str = "said.txt";

/// What a run has come to.
pub(super) struct Ran {
    /// On stderr.
    pub(super) said: String,
    /// What a scraper was told at last, if one could come.
    pub(super) scraped: Option<String>,
}

/// What makes any run one that is tried here.
pub(super) const OPTIONS: &str = "--demo-target --out result.json";

/// Runs a file.
pub(super) fn run_file(program: &Path, place: &str, text: &str) {
    // Requests go to the shop alone, whatever a document calls its target.
    let requests = |line: &&str| [" get:", "{get:", " post:", "{post:"].iter().any(|key| line.contains(key));
    for line in text.lines().filter(requests) {
        assert!(line.contains("{{ target }}"), "{place}: {line}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE), text).expect("the file is written");
    let mut command = Command::new(program);
    command.args(["run", FILE]).args(OPTIONS.split(' '));
    // What belongs to a warm-up is in no result, and the document's is longer than it is let run here.
    let measured = if text.contains("\nwarmup:") { Measured::Nothing } else { Measured::Something };
    run_for_a_while(command, folder.path(), place, measured);
}

/// What the result of a run has to tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measured {
    Something,
    Nothing,
    /// Bots die, and are meant to.
    Deaths,
}

/// Runs a command in a folder, and interrupts it when its bots have been at work for a while.
pub(super) fn run_for_a_while(mut command: Command, folder: &Path, place: &str, measured: Measured) -> Ran {
    let said = std::fs::File::create(folder.join(SAID)).expect("a file");
    let running = command.current_dir(folder).stdout(Stdio::null()).stderr(said).spawn().expect("the runner");
    let (status, scraped) = ended(running, folder, place);
    let said = said_in(folder);
    // Thresholds may be too strict for what a document is run on.
    assert!(matches!(status.code(), Some(0 | 99)), "{place}: {status:?}: {said}");
    let result = std::fs::read_to_string(folder.join(RESULT)).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
    assert!(result["bots"]["started"].as_u64() > Some(0), "{place}: {result:#}");
    let actions = result["actions"].as_array().expect("actions");
    for action in actions.iter().filter(|_| measured != Measured::Deaths) {
        assert_eq!((&action["error"], &action["crash"]), (&0.into(), &0.into()), "{place}: {action:#}");
    }
    let done = |action: &serde_json::Value| {
        action["succeed"].as_u64() > Some(0) || action["fail"].as_u64() > Some(0)
    };
    let has_done = measured == Measured::Nothing || actions.iter().any(done);
    assert!(has_done, "{place}: no bot has done anything: {result:#}");
    Ran { said, scraped }
}

fn said_in(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(SAID)).expect("text")
}

fn ended(mut running: Child, folder: &Path, place: &str) -> (ExitStatus, Option<String>) {
    let begun = Instant::now();
    let (mut interrupted, mut scraped) = (false, None);
    loop {
        if let Some(status) = running.try_wait().expect("the runner's end") {
            return (status, scraped);
        }
        if begun.elapsed() > PATIENCE {
            // What is looked at here does not outlive it.
            running.kill().expect("the runner is killed");
            panic!("{place} goes on and on: {}", said_in(folder));
        }
        if !interrupted && begun.elapsed() > A_WHILE {
            interrupted = true;
            scraped = said_in(folder)
                .lines()
                .find_map(|line| Some(scrape(line.strip_prefix("metrics at http://")?)));
            let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status();
            assert!(killed.expect("kill").success());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What is told at an address with its path.
fn scrape(address: &str) -> String {
    let (host, path) = address.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
