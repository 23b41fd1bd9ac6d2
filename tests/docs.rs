//! The snippets of the documentation say what is so.
//!
//! A block of `yaml` is a whole file, right, and run against the demo shop; `yaml tree` is one node, and run in a bot
//! that keeps some values; with `wrong` behind it, what the next block of `text` shows is all that we say of it. The
//! last whole file is `run.yaml` in the commands of a block of `console`; each of these is run, and says what is shown.
//! Any other `text`, and `json`, is of a bot log, and such lines are written; `sh` is what a shell reads when it starts.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/fields.rs"]
mod fields;
#[path = "docs/kubectl.rs"]
mod kubectl;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/runs.rs"]
mod runs;
#[path = "docs/shown.rs"]
mod shown;

use botarmy_spec::Run;
use botarmy_spec::file::{self, File, Reading};
use botarmy_tree::{Actions, Findings};
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE: &str = "run.yaml";
/// The run of a command before which its document shows none.
const ANY_FILE: &str = "trees: {Shopper: {http: {get: '{{ target }}/catalogue'}}}";
/// What a bot keeps when it comes to a node that stands alone: names that a document uses and does not set.
const VALUES: &str = "set: {stock: 3, user: ann, item: 2, order: 7, token: abc}";

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

/// A text whose lines but the first begin with so many blanks.
fn indented(text: &str, blanks: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(blanks)))
}

/// A file around a node.
fn file_of(node: &str) -> String {
    format!("trees:\n  T:\n    {}\n", indented(node, 4))
}

/// What `runner validate` says of a file.
fn said(text: &str) -> String {
    let check = || {
        let Reading { file, mut findings } = file::read(text)?;
        let File::Run { mut spec, path, .. } = file else { panic!("no run: {text}") };
        // The command line may give it.
        spec.target.get_or_insert_with(|| "http://127.0.0.1:8080".to_owned());
        let meaning = Run::check(&spec, "run", &path, &Actions::built_in().allow_unknown());
        findings.later(meaning.and_then(|run| run.complete(&path)).err().unwrap_or_default());
        Findings::or(findings, ())
    };
    let mut lines = String::new();
    for finding in check().err().unwrap_or_default() {
        lines.push_str(&format!("{FILE}: {finding}\n"));
    }
    lines
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

/// The file of a block that is run: a whole one, or one around a node.
fn run_of(block: &Block) -> Option<String> {
    match block.info.as_str() {
        "yaml" => Some(block.text.clone()),
        "yaml tree" => Some(file_of(&format!("sequence:\n  - {VALUES}\n  - {}", indented(&block.text, 4)))),
        _ => None,
    }
}

#[test]
fn every_file_and_every_tree_runs() {
    let program = runner();
    let documents = documents();
    let files = documents.iter().flatten().filter_map(|block| Some((block, run_of(block)?)));
    let files: Vec<(&Block, String)> = files.collect();
    let trees = files.iter().filter(|(block, _)| block.info == "yaml tree").count();
    assert!(trees > 3 && files.len() - trees > 5, "{trees} of {}", files.len());
    for together in files.chunks(4) {
        std::thread::scope(|scope| {
            let running: Vec<_> = together
                .iter()
                .map(|(block, text)| scope.spawn(|| runs::run_file(&program, &block.place, text)))
                .collect();
            for one in running {
                one.join().expect("it runs");
            }
        });
    }
}

#[test]
fn every_snippet_is_what_it_says() {
    let (mut checked, mut commands) = (0, 0);
    let program = runner();
    for blocks in documents() {
        let mut last = ANY_FILE.to_owned();
        let mut said_of_a_mistake = false;
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
                ["console"] => commands += commands::check(&program, block, &last),
                ["text"] if said_of_a_mistake => {}
                ["text"] => shown::log_lines(&program, block, &[]),
                ["json"] => shown::log_lines(&program, block, &["--format-json-logs"]),
                ["sh"] => shown::start_of_a_shell(&program, block),
                // The operator's own tests read these.
                ["yaml", "schedule"] => {}
                _ => panic!("{}: no test knows what {:?} is", block.place, block.info),
            }
            said_of_a_mistake = words.contains(&"wrong");
        }
    }
    assert!(checked > 5 && commands > 5, "{checked}, {commands}");
}

/// What is indented is a block too, of which no test would know.
#[test]
fn every_command_of_the_runner_stands_in_a_block_of_console() {
    for file in std::fs::read_dir(root().join("docs")).expect("docs").map(|file| file.expect("a file").path())
    {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            assert!(!line.starts_with("    runner "), "{}:{number}: {line}", file.display());
        }
    }
}
