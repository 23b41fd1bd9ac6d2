//! `kubectl botarmy completion`.

use super::Cli;
use botarmy_console::output::say;
use botarmy_report::Exit;
use clap::CommandFactory;
use clap_complete::aot::{Shell, generate};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell; for bash, `source <(kubectl-botarmy completion bash)` in ~/.bashrc makes use of it.
    shell: Shell,
}

pub(super) fn completion(args: &Args) -> Exit {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "kubectl-botarmy", &mut script);
    say(&String::from_utf8_lossy(&script).trim_end())
}
