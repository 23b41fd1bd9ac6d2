//! The command line.

mod completion;
mod logs;
mod report;
mod result;
mod run;
mod scale;
mod stop;
mod watch;

use crate::cluster::{self, Cluster, Where};
use crate::{ending, follow, manifest};
use botarmy_console::output::complain;
use botarmy_console::result_file;
use botarmy_crds::BotRun;
use botarmy_report::Exit;
use clap::{Parser, Subcommand};
use kube::ResourceExt;
use std::process::ExitCode;
use tokio::runtime::Builder;

const EXIT_CODES: &str = "Exit codes: 0 passed, 1 refused, not allowed, not there or not reached, 2 wrong command line, \
     3 the run is Errored, 4 passed but the result could not be written, 8 begun but lost from sight, 99 thresholds failed, \
     124 the time of --timeout is over, 130 left by an interrupt (SIGINT or SIGTERM).";

/// Runs, watches and stops armies of bots on a cluster.
#[derive(Debug, Parser)]
#[command(name = "kubectl-botarmy", bin_name = "kubectl botarmy", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply the run of a file, follow it to its end, and print its result.
    #[command(after_help = EXIT_CODES)]
    Run(run::Args),
    /// Follow a run to its end, and print its result.
    #[command(after_help = EXIT_CODES)]
    Watch(watch::Args),
    /// Print the result of a run, or its figures so far.
    Result(result::Args),
    /// Write the result of a run as a page with charts, which stands alone.
    Report(report::Args),
    /// Print what the runners of a run say, each line after the name of its pod.
    Logs(logs::Args),
    /// Change how many bots of a run are alive at once.
    Scale(scale::Args),
    /// End a run early; what it has measured is kept and judged.
    #[command(after_help = EXIT_CODES)]
    Stop(stop::Args),
    /// Print a script that lets a shell complete the commands and options of kubectl-botarmy.
    Completion(completion::Args),
}

/// Why a command cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Cluster(#[from] cluster::Error),
    #[error("{0}")]
    Follow(#[from] follow::Error),
    #[error("{0}")]
    Manifest(#[from] manifest::Error),
    #[error("{0}")]
    Logs(#[from] logs::Error),
    #[error("{0}")]
    Out(#[from] result_file::Error),
    /// What is wrong with a file, one line for each mistake.
    #[error("{0}")]
    File(String),
    #[error("botarmy cannot be run here: {0}; check the limits of processes and open files")]
    Runtime(#[from] std::io::Error),
    #[error(
        "botrun/{name} is over already ({outcome}); delete it first, or give this one another name with --name"
    )]
    OverBefore { name: String, outcome: &'static str },
    #[error(
        "{0}; the run may have been applied all the same: look with kubectl get botruns before you try again"
    )]
    PerhapsApplied(cluster::Error),
    #[error("botrun/{name} is over ({outcome}): there are no bots left to be scaled")]
    Over { name: String, outcome: &'static str },
    #[error("botrun/{name} has no result yet: it is {phase}; wait for its bots, or for its end: {command}")]
    NoResult { name: String, phase: String, command: String },
}

impl Error {
    /// The exit code: whether the same command can simply be tried again.
    fn exit(&self) -> Exit {
        match self {
            Self::PerhapsApplied(_) => Exit::EndUnknown,
            Self::Follow(error) if error.leaves_the_end_unknown() => Exit::EndUnknown,
            _ => Exit::Invalid,
        }
    }
}

/// Reads the command line and does what it says. A wrong command line ends with exit code 2.
pub fn main() -> ExitCode {
    let Cli { place, command } = Cli::parse();
    let exit = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(perform(command, &place));
            // What still goes on is left behind.
            runtime.shutdown_background();
            exit
        }
        Err(error) => Err(Error::Runtime(error)),
    };
    let exit = exit.unwrap_or_else(|error| {
        complain(&error);
        error.exit()
    });
    exit.into()
}

async fn perform(command: Command, place: &Where) -> Result<Exit, Error> {
    match command {
        Command::Run(args) => run::run(&args, place).await,
        Command::Watch(args) => watch::watch(&args, place).await,
        Command::Result(args) => result::result(&args, place).await,
        Command::Report(args) => report::report(args, place).await,
        Command::Logs(args) => logs::logs(&args, place).await,
        Command::Scale(args) => scale::scale(&args, place).await,
        Command::Stop(args) => stop::stop(&args, place).await,
        Command::Completion(args) => Ok(completion::completion(&args)),
    }
}

/// The result of a run so far, with a word of warning if the run goes on.
fn known_result(cluster: &Cluster, run: &BotRun) -> Result<botarmy_report::RunResult, Error> {
    let name = run.name_any();
    let phase = format!("{:?}", run.status.as_ref().map(|status| status.phase).unwrap_or_default());
    let Some(result) = ending::result(run) else {
        return Err(Error::NoResult { command: cluster.command("watch", &name), name, phase });
    };
    if ending::outcome(run).is_none() {
        complain(&format_args!("botrun/{name} is still {phase}: these are its figures so far"));
    }
    Ok(result)
}

#[cfg(test)]
mod tests;
