//! Check-ins, as the coordinator reads them.

#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    entries::check_in(data);
});
