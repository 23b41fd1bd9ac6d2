//! What the fuzz target does (`fuzz/entries.rs`), with its corpus and with what random changes make of it: the same
//! changes in every run.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends with a panic")]

#[path = "../fuzz/changes.rs"]
mod changes;
#[path = "../fuzz/entries.rs"]
mod entries;

use changes::{Draw, change};
use serde_json::Value;
use std::path::PathBuf;

/// Changed inputs. Far more run in `tests/tools/fuzz`.
const CHANGED: usize = 10_000;

fn corpus() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/check_in");
    let entries = std::fs::read_dir(folder).expect("the corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).expect("an input")).collect()
}

#[test]
fn check_ins_are_read_within_bounds_and_none_comes_to_more_than_it_says() {
    let corpus = corpus();
    assert!(corpus.len() >= 5, "{} inputs", corpus.len());
    for input in &corpus {
        assert!(entries::check_in(input.as_bytes()), "{input}");
    }
    let corpus: Vec<Value> = corpus.iter().map(|input| serde_json::from_str(input).expect("JSON")).collect();
    let (mut draw, mut read) = (Draw(2026), 0);
    for n in 0..CHANGED {
        let mut said = corpus[n % corpus.len()].clone();
        for _ in 0..=draw.below(3) {
            change(&mut said, &mut draw);
        }
        read += usize::from(entries::check_in(said.to_string().as_bytes()));
    }
    assert!(read > CHANGED / 4, "{read} of {CHANGED} are still check-ins");
}
