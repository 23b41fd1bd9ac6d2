//! The snippets of the documentation say what is so.
//!
//! A block of `yaml` is a whole file and right; `yaml tree` is one node; with `wrong` behind it, what
//! the next block of `text` shows is all that we say of it. The last whole file is `run.yaml` in the
//! commands of a block of `console`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

use botarmy_spec::Run;
use botarmy_spec::file::{self, File, Reading};
use botarmy_tree::{Actions, Findings};
use std::path::{Path, PathBuf};
use std::process::Command;

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

#[test]
fn every_snippet_is_what_it_says() {
    let mut checked = 0;
    for file in std::fs::read_dir(root().join("docs")).expect("docs") {
        let file = file.expect("a file").path();
        if file.extension().is_none_or(|e| e != "md") {
            continue;
        }
        let blocks = blocks(&file);
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
