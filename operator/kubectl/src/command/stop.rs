//! `kubectl botarmy stop`.

use super::Error;
use crate::cluster::{Cluster, Where};
use crate::follow::{How, OnInterrupt, to_the_end};
use crate::{ending, names};
use botarmy_console::interrupts::Interrupts;
use botarmy_console::output::complain;
use botarmy_report::Exit;
use botarmy_tree::duration;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the run.
    #[arg(value_parser = names::of_run)]
    name: String,
    /// Follow it to its end, and print its result.
    #[arg(long)]
    wait: bool,
    /// How long its end is waited for, such as 5m.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "wait")]
    timeout: Option<Duration>,
}

pub(super) async fn stop(args: &Args, place: &Where) -> Result<Exit, Error> {
    let name = &args.name;
    let cluster = Cluster::find(place).await?;
    let run = cluster.run(name).await?;
    // What is over needs nobody to end it: whoever cleans up need not know.
    match ending::outcome(&run) {
        Some(outcome) => complain(&format_args!("botrun/{name} is over already ({})", outcome.name())),
        None => {
            cluster.stop(name).await?;
            complain(&format_args!("botrun/{name} is told to end"));
        }
    }
    if !args.wait {
        return Ok(Exit::Passed);
    }
    let interrupts = Interrupts::listen()?;
    let how = How { on_interrupt: OnInterrupt::Leave, timeout: args.timeout, wanted: None };
    Ok(to_the_end(&cluster, run, how, &interrupts, Vec::new()).await?)
}
