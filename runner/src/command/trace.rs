//! `runner trace`.

use super::input::Input;
use super::output::{complain, one_line, say};
use super::{Exit, FileArg};
use botarmy_tree::editor::Options;
use botarmy_tree::{LeafId, literal, trace as walk};

/// A trace follows the first bot of an army.
const BOT: u64 = 1;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
    /// The tree to walk. Default: the one the file names, else the only one, else the one called root.
    #[arg(long)]
    tree: Option<String>,
    /// What comes of each leaf: S for succeed, F for fail; may be empty.
    #[arg(long)]
    outcomes: String,
    /// The seed of all draws. Default: the file's, else 0.
    #[arg(long)]
    seed: Option<u64>,
    /// Values for an editor project, merged over the properties of its tree: a map or a keyword list, such as
    /// [level: 3].
    #[arg(long, value_name = "LITERAL")]
    context: Option<String>,
    /// A module that is put before those of an editor project's actions.
    #[arg(long, value_name = "NAME")]
    module_base: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("--outcomes: {0}")]
    Outcomes(#[from] walk::Error),
    #[error("--context: {0}")]
    Context(#[from] literal::Error),
    #[error("--context: write a map or a keyword list, such as [level: 3]")]
    ContextKind,
    #[error("--context and --module-base are for editor projects; leave them out")]
    NoProject,
    #[error("{0}")]
    Refused(String),
}

pub(super) fn trace(args: &Args) -> Exit {
    match lines(args) {
        Ok(lines) => say(&lines.join("\n")),
        Err(error) => {
            complain(&error);
            Exit::Invalid
        }
    }
}

fn lines(args: &Args) -> Result<Vec<String>, Error> {
    let outcomes = walk::outcomes(&args.outcomes)?;
    let context = match &args.context {
        Some(text) => literal::parse(text)?.pairs().ok_or(Error::ContextKind)?,
        None => Vec::new(),
    };
    let input = Input::read(&args.file.file).map_err(|r| Error::Refused(r.to_string()))?;
    let options = Options { context, module_base: args.module_base.clone() };
    if !input.is_project() && (args.context.is_some() || args.module_base.is_some()) {
        return Err(Error::NoProject);
    }
    let mut plan = input.plan(args.tree.clone(), &options).map_err(|r| Error::Refused(r.to_string()))?;
    if let Some(seed) = args.seed {
        plan = plan.with_seed(seed);
    }
    let names = |leaves: &[LeafId]| leaves.iter().map(|l| one_line(&plan.leaf(*l).name)).collect::<Vec<_>>();
    let lines = walk::trace(&plan, BOT, &outcomes)?;
    Ok(lines.iter().map(|leaves| names(leaves).join(" | ")).collect())
}
