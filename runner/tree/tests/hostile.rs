//! What the fuzz targets do (`fuzz/entries.rs`), with their corpus and with what random changes make of
//! it: the same changes in every run, so many and no more.

#![allow(clippy::expect_used, reason = "a test ends with a panic")]

#[path = "../fuzz/entries.rs"]
mod entries;

use botarmy_tree::draw::Draw;
use std::path::PathBuf;

/// Changed inputs of each target. As many again, and far more, run in `tests/tools/fuzz`.
const CHANGED: u32 = 4_000;
/// Longest changed input.
const LONGEST: usize = 4_096;

/// What the grammars are made of.
const TOKENS: [&str; 40] = [
    "{{",
    "}}",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ": ",
    ", ",
    "- ",
    "\n",
    "\n  ",
    "\"",
    "'",
    "\\",
    "&a ",
    "*a",
    "<<: ",
    "~",
    "null",
    "0x",
    "1e9",
    "-1",
    "99999999999999999999",
    "0.5",
    "5ms",
    "1h",
    "$..",
    "[?@",
    " * ",
    "|",
    "**",
    "..",
    "%{",
    "=> ",
    "?a",
    "\u{feff}",
    "ä\u{301}",
    "sequence: ",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a corpus").map(|f| f.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("an input")).collect()
}

fn below(draw: &mut Draw, bound: usize) -> usize {
    usize::try_from(draw.below(bound as u64)).expect("as small as the bound")
}

/// A piece of an input.
fn piece<'i>(draw: &mut Draw, input: &'i [u8]) -> &'i [u8] {
    let start = below(draw, input.len() + 1);
    let longest = (input.len() - start).min(64);
    &input[start..start + below(draw, longest + 1)]
}

fn change(draw: &mut Draw, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = below(draw, input.len() + 1);
    let new = match below(draw, 5) {
        0 => TOKENS[below(draw, TOKENS.len())].as_bytes().to_vec(),
        1 => {
            let other = below(draw, corpus.len());
            piece(draw, &corpus[other]).to_vec()
        }
        2 => piece(draw, input).repeat(1 + below(draw, 20)),
        3 => vec![u8::try_from(below(draw, 128)).expect("an ASCII character")],
        _ => Vec::new(),
    };
    let gone = if below(draw, 2) == 0 { 0 } else { piece(draw, &input[at..]).len() };
    input.splice(at..at + gone, new);
    input.truncate(LONGEST);
}

/// Runs the corpus, and so many inputs that come of it by up to six changes each.
fn run(target: &str, number: u64, entry: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty());
    for input in &corpus {
        entry(input);
    }
    for visit in 0..CHANGED {
        let mut draw = Draw::new(1, number, 0, visit);
        let mut input = corpus[below(&mut draw, corpus.len())].clone();
        for _ in 0..=below(&mut draw, 6) {
            change(&mut draw, &mut input, &corpus);
        }
        entry(&input);
    }
}

#[test]
fn yaml_does_no_harm() {
    run("yaml", 1, entries::yaml);
}

#[test]
fn editor_projects_do_no_harm() {
    run("editor", 2, entries::editor);
}

#[test]
fn small_texts_do_no_harm() {
    run("literal", 3, entries::literal);
}

#[test]
fn templates_do_no_harm() {
    run("template", 4, entries::template);
}
