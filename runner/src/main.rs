//! The program `runner`.

use std::process::ExitCode;

fn main() -> ExitCode {
    botarmy_runner::command::main()
}
