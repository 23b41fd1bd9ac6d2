//! The snippets of the documentation say what is so.
//!
//! A block of `yaml` is a whole file, right, and run against the demo shop; `yaml tree` is one node; with `wrong` behind it, what
//! the next block of `text` shows is all that we say of it. The last whole file is `run.yaml` in the
//! commands of a block of `console`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[path = "docs/links.rs"]
mod links;

use botarmy_spec::Run;
use botarmy_spec::file::{self, File, Reading};
use botarmy_tree::{Actions, Findings};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILE: &str = "run.yaml";
/// Commands that are done at once.
const CHEAP: [&str; 2] = ["validate", "trace"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Block {
    /// Where it begins, as `FILE:LINE`.
    place: String,
    info: String,
    text: String,
}

fn blocks(file: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(file).expect("text");
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(info) = line.strip_prefix("```") {
            if !inside {
                let place = format!("{}:{number}", file.display());
                blocks.push(Block { place, info: info.to_owned(), text: String::new() });
            }
            inside = !inside;
        } else if let Some(block) = blocks.last_mut().filter(|_| inside) {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    assert!(!inside, "{}: a block has no end", file.display());
    blocks
}

/// A file around a node.
fn file_of(node: &str) -> String {
    format!("trees:\n  T:\n    {}\n", node.trim_end().replace('\n', "\n    "))
}

/// What `runner validate` says of a file.
fn said(text: &str) -> String {
    let check = || {
        let Reading { file, mut findings } = file::read(text)?;
        let File::Run { spec, path, .. } = file else { panic!("no run: {text}") };
        let meaning = Run::check(&spec, "run", &path, &Actions::built_in().allow_unknown());
        findings.later(meaning.err().unwrap_or_default());
        Findings::or(findings, ())
    };
    let mut lines = String::new();
    for finding in check().err().unwrap_or_default() {
        lines.push_str(&format!("{FILE}: {finding}\n"));
    }
    lines
}

fn check_commands(block: &Block, file: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE), file).expect("the file is written");
    let mut shown = String::new();
    for line in block.text.lines() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["runner", command, ..] if CHEAP.contains(command) => {}
            _ => return,
        }
        let ran = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--manifest-path"])
            .arg(root().join("Cargo.toml"))
            .args(["-p", "botarmy-runner", "--"])
            .args(&words[1..])
            .current_dir(folder.path())
            .output()
            .expect("the runner");
        let said = [ran.stdout, ran.stderr].concat();
        shown.push_str(&format!("{line}\n{}", String::from_utf8_lossy(&said)));
    }
    assert_eq!(shown, block.text, "{}", block.place);
}

/// All blocks of all documents, each with the next one of its document.
fn documents() -> Vec<Vec<Block>> {
    let files =
        std::fs::read_dir(root().join("docs")).expect("docs").map(|file| file.expect("a file").path());
    files.filter(|file| file.extension().is_some_and(|e| e == "md")).map(|file| blocks(&file)).collect()
}

/// The program, built.
fn runner() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .args(["-p", "botarmy-runner"])
        .status();
    assert!(built.expect("cargo").success());
    let test = std::env::current_exe().expect("this program");
    test.ancestors().nth(2).expect("the folder of programs").join("runner")
}

/// Runs a file against the demo shop until its bots have been at work for a while, and interrupts it then.
fn run_for_a_while(program: &Path, block: &Block) {
    let place = &block.place;
    // Requests go to the shop alone, whatever a document calls its target.
    let requests = |line: &&str| [" get:", "{get:", " post:", "{post:"].iter().any(|key| line.contains(key));
    for line in block.text.lines().filter(requests) {
        assert!(line.contains("{{ target }}"), "{place}: {line}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE), &block.text).expect("the file is written");
    let mut running = Command::new(program)
        .args(["run", FILE, "--demo-target", "--out", "result.json"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the runner");
    let begun = Instant::now();
    let mut interrupted = false;
    let status = loop {
        if let Some(status) = running.try_wait().expect("the runner's end") {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{place} goes on and on");
        if !interrupted && begun.elapsed() > Duration::from_secs(2) {
            interrupted = true;
            let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status();
            assert!(killed.expect("kill").success());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    let mut said = String::new();
    running.stderr.take().expect("its words").read_to_string(&mut said).expect("text");
    // Thresholds may be too strict for what a document is run on.
    assert!(matches!(status.code(), Some(0 | 99)), "{place}: {status:?}: {said}");
    let result = std::fs::read_to_string(folder.path().join("result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
    assert!(result["bots"]["started"].as_u64() > Some(0), "{place}: {result:#}");
    for action in result["actions"].as_array().expect("actions") {
        assert_eq!((&action["error"], &action["crash"]), (&0.into(), &0.into()), "{place}: {action:#}");
    }
}

#[test]
fn every_whole_file_runs() {
    let program = runner();
    let documents = documents();
    let files: Vec<&Block> = documents.iter().flatten().filter(|block| block.info == "yaml").collect();
    assert!(files.len() > 5);
    for together in files.chunks(4) {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                together.iter().map(|block| scope.spawn(|| run_for_a_while(&program, block))).collect();
            for one in running {
                one.join().expect("it runs");
            }
        });
    }
}

#[test]
fn every_snippet_is_what_it_says() {
    let mut checked = 0;
    for blocks in documents() {
        let mut last = String::new();
        for (block, next) in blocks.iter().zip(blocks.iter().skip(1).map(Some).chain([None])) {
            let words: Vec<&str> = block.info.split(' ').collect();
            checked += usize::from(matches!(words[0], "yaml" | "console"));
            let text = if words.contains(&"tree") { file_of(&block.text) } else { block.text.clone() };
            match words.as_slice() {
                ["yaml", .., "wrong"] => {
                    let shown = next.filter(|n| n.info == "text").map_or("", |n| n.text.as_str());
                    assert_eq!(said(&text), shown, "{}", block.place);
                    last = text;
                }
                ["yaml"] | ["yaml", "tree"] => {
                    assert_eq!(said(&text), "", "{}", block.place);
                    last = text;
                }
                ["console"] => check_commands(block, &last),
                _ => {}
            }
        }
    }
    assert!(checked > 5, "{checked}");
}
