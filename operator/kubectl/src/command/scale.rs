//! `kubectl botarmy scale`.

use super::Error;
use crate::cluster::{Cluster, Where};
use crate::{ending, names};
use botarmy_console::output::say;
use botarmy_report::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the run.
    #[arg(value_parser = names::of_run)]
    name: String,
    /// How many bots are to be alive at once, over all runners.
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..=1_000_000))]
    bots: i32,
}

pub(super) async fn scale(args: &Args, place: &Where) -> Result<Exit, Error> {
    let Args { name, bots } = args;
    let cluster = Cluster::find(place).await?;
    if let Some(outcome) = ending::outcome(&cluster.run(name).await?) {
        return Err(Error::Over { name: name.clone(), outcome: outcome.name() });
    }
    cluster.scale(name, *bots).await?;
    Ok(say(&format_args!("botrun/{name} is scaled to {bots} bots")))
}
