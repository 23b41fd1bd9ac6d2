//! `kubectl botarmy watch`.

use super::Error;
use crate::cluster::{Cluster, Where};
use crate::follow::{How, OnInterrupt, to_the_end};
use crate::names;
use botarmy_console::interrupts::Interrupts;
use botarmy_console::result_file::{OutArgs, ResultFile};
use botarmy_report::Exit;
use botarmy_tree::duration;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the run.
    #[arg(value_parser = names::of_run)]
    name: String,
    #[command(flatten)]
    results: OutArgs,
    /// How long its end is waited for, such as 30m.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

pub(super) async fn watch(args: &Args, place: &Where) -> Result<Exit, Error> {
    let files = ResultFile::check_all(&args.results, None)?;
    let cluster = Cluster::find(place).await?;
    let run = cluster.run(&args.name).await?;
    let interrupts = Interrupts::listen()?;
    let how = How { on_interrupt: OnInterrupt::Leave, timeout: args.timeout, wanted: None };
    Ok(to_the_end(&cluster, run, how, &interrupts, files).await?)
}
