//! Projects of the editor, as trees that are compiled and walked.

#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::editor(data));
