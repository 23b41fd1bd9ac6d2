//! The program `runner`.

use std::process::ExitCode;

/// The C library of the image holds on to an arena for each thread; this one takes less memory, and less time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    botarmy_runner::command::main()
}
