//! What the fuzz targets do (`fuzz/entries.rs`), with their corpus and with what random changes make of it.

#![allow(clippy::expect_used, reason = "a test ends with a panic")]

#[path = "../fuzz/entries.rs"]
mod entries;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::PathBuf;

/// Changed inputs. As many again, and far more, run in `tests/tools/fuzz`.
const CHANGED: u32 = 20_000;

fn corpus() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http1");
    let entries = std::fs::read_dir(folder).expect("the corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("an input")).collect()
}

#[test]
fn answers_are_read_alike_whole_and_in_pieces() {
    let corpus = corpus();
    assert!(corpus.len() >= 6, "{} inputs", corpus.len());
    for input in &corpus {
        entries::http1(input);
    }
    let inputs = prop::sample::select(corpus);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
    let mut runner =
        TestRunner::new(Config { cases: CHANGED, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&(inputs, changes), |(mut input, changes)| {
        for (place, byte, how) in changes {
            let at = place.index(input.len());
            match how {
                0 => input[at] = byte,
                1 => input.insert(at, byte),
                _ => drop(input.remove(at)),
            }
            if input.is_empty() {
                break;
            }
        }
        entries::http1(&input);
        Ok(())
    });
    ran.expect("no input breaks it");
}
