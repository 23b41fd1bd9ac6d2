//! `runner validate`.

use super::Exit;
use super::input::Input;
use super::output::complain;
use botarmy_tree::Actions;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// BotRuns, fields of a spec, or editor projects; YAML or JSON.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Take actions that are not built in on trust.
    #[arg(long)]
    allow_unknown_actions: bool,
}

pub(super) fn validate(args: &Args) -> Exit {
    let actions =
        if args.allow_unknown_actions { Actions::built_in().allow_unknown() } else { Actions::built_in() };
    let mut exit = Exit::Passed;
    for file in &args.files {
        if let Err(refusal) = Input::read(file).and_then(|input| input.check(&actions)) {
            complain(&refusal);
            exit = Exit::Invalid;
        }
    }
    exit
}
