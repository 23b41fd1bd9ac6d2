//! The command line.

mod agent;
mod completions;
mod deliver;
mod input;
mod progress;
mod run;
mod runtime;
mod schema;
mod summary;
mod target;
mod trace;
mod validate;

use botarmy_console::{output, result_file, screen};
use botarmy_report::Exit;
use botarmy_spec::Secrets;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs behavior trees: in a pod of an army, or here and now.
#[derive(Debug, Parser)]
#[command(name = "runner", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check files without running them: exit 0, or 1 with one error a line on stderr.
    Validate(validate::Args),
    /// Print the leaf that a bot stands on at the start and after each outcome.
    Trace(trace::Args),
    /// Run an army here and now, without a cluster.
    #[command(after_help = run::EXIT_CODES)]
    Run(run::Args),
    /// Print a result as a table: one that `run --out` wrote, or that of a BotRun as JSON.
    Summary(summary::Args),
    /// Serve a small shop to try bots on.
    Target(target::Args),
    /// Print the JSON Schema of a run's file, for editors that complete and check YAML.
    Schema,
    /// Print a script that lets a shell complete this program's commands and options.
    Completions(completions::Args),
    /// Work for a run of the cluster; for the pods that the operator makes.
    Agent,
    /// Take the result of a run of the cluster to where its spec says; for the pods that the operator makes.
    Deliver,
}

/// Reads the command line and does what it says. A wrong command line ends with exit code 2.
pub fn main() -> ExitCode {
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    let log = tracing_subscriber::fmt().with_env_filter(level).with_writer(|| screen::Above);
    // A file or a collector that it goes to shows escapes as they are.
    log.with_ansi(screen::has_colours()).init();
    let exit = match Cli::parse().command {
        Command::Validate(args) => validate::validate(&args),
        Command::Trace(args) => trace::trace(&args),
        Command::Run(args) => run::run(args),
        Command::Summary(args) => summary::summary(&args),
        Command::Target(args) => target::target(&args),
        Command::Schema => schema::schema(),
        Command::Completions(args) => completions::completions(&args),
        Command::Agent => agent::agent(),
        Command::Deliver => deliver::deliver(),
    };
    exit.into()
}

/// Keeps texts out of all that this program says from now on.
pub(crate) fn hide(secrets: &Secrets) {
    screen::hide(secrets);
}

/// A file that is given on the command line.
#[derive(Debug, clap::Args)]
struct FileArg {
    /// A BotRun, the fields of its spec, or an editor project; YAML or JSON.
    file: PathBuf,
}
