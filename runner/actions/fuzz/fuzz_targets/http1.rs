//! Answers as HTTP/1.1 has them, whole and in pieces.

#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::http1(data));
