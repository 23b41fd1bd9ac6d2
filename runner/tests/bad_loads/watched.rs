//! A run whose memory is looked at while it goes on.

use crate::common::army::{Done, Given};
use crate::common::{Ended, PATIENCE, Running, command};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// More than any run of these tests may take, in KiB.
pub(crate) const MOST_MEMORY: u64 = 256 << 10;

/// Runs a program to its end, and tells the most memory that it has taken, in KiB.
pub(crate) fn watched(mut program: Command) -> (Ended, u64) {
    let child = program.spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut running = Running::new(child);
    let (mut peak, begun) = (0, Instant::now());
    loop {
        // It never falls, so that the last that is seen is about the highest.
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        peak = line.and_then(|number| number.trim().parse().ok()).unwrap_or(peak);
        if let Some(ended) = running.ended_within(Duration::from_millis(2)) {
            return (ended, peak);
        }
        assert!(begun.elapsed() < PATIENCE, "the program goes on and on");
    }
}

/// Runs a file to the end, which is no failure of the run itself, in bounded memory.
pub(crate) fn run(content: &str, args: &[&str], environment: &[(&str, &str)]) -> Done {
    let given = Given::new(content);
    let mut program = command(&given.args(args));
    program.env_remove("SSL_CERT_FILE").envs(environment.iter().copied());
    let (ended, peak) = watched(program);
    let ended = ended.expect(0);
    assert!(peak < MOST_MEMORY, "{peak} KiB: {ended:#?}");
    given.done(ended)
}

/// The class, the count and the first text of each kind of failure of an action.
pub(crate) fn failures(done: &Done, name: &str) -> Vec<(String, u64, String)> {
    let failures = done.action(name)["failures"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let of = |f: &Value| {
        let count = f["count"].as_u64().expect("a count");
        (text(&f["class"]), count, text(&f["samples"][0]["text"]))
    };
    failures.iter().map(of).collect()
}
