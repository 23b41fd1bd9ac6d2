//! `runner completions`.

use super::{Cli, Exit, output};
use clap::CommandFactory;
use clap_complete::aot::{Shell, generate};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell; for bash, `source <(runner completions bash)` in ~/.bashrc makes use of it.
    shell: SupportedShell,
}

/// The shells whose scripts are tested.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SupportedShell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn completions(args: &Args) -> Exit {
    let shell = match args.shell {
        SupportedShell::Bash => Shell::Bash,
        SupportedShell::Zsh => Shell::Zsh,
        SupportedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "runner", &mut script);
    output::say(&String::from_utf8_lossy(&script).trim_end())
}
