//! The program `kubectl-botarmy`.

use std::process::ExitCode;

fn main() -> ExitCode {
    botarmy_kubectl::command::main()
}
