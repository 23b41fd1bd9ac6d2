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
    /// Where a source of trees is here: a file or a folder. May be given several times. Sources whose place is not given
    /// are not looked at.
    #[arg(long, value_name = "NAME=PATH", value_parser = super::input::source)]
    source: Vec<(String, PathBuf)>,
}

pub(super) fn validate(args: &Args) -> Exit {
    let actions =
        if args.allow_unknown_actions { Actions::built_in().allow_unknown() } else { Actions::built_in() };
    let given = args.source.iter().cloned().collect();
    let mut exit = Exit::Passed;
    for file in &args.files {
        if let Err(refusal) = Input::read(file).and_then(|input| input.check(&actions, &given)) {
            complain(&refusal);
            exit = Exit::Invalid;
        }
    }
    exit
}
