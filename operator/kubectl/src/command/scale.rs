//! `kubectl botarmy scale`.

use super::Error;
use crate::cluster::{Cluster, Where};
use crate::{ending, names};
use botarmy_console::output::{complain, say};
use botarmy_crds::BotRun;
use botarmy_report::Exit;
use botarmy_report::terminal::escape;
use std::time::Duration;

/// How long it is waited for what the operator makes of it.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks at that.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
    change(&Cluster::find(place).await?, &args.name, args.bots).await
}

async fn change(cluster: &Cluster, name: &str, bots: i32) -> Result<Exit, Error> {
    if let Some(outcome) = ending::outcome(&cluster.run(name).await?) {
        return Err(Error::Over { name: name.to_owned(), outcome: outcome.name() });
    }
    cluster.scale(name, bots).await?;
    let said = say(&format_args!("botrun/{name} is scaled to {bots} bots"));
    if let Some(why) = shortfall(cluster, name, bots).await {
        complain(&format_args!("botrun/{name}: {why}"));
    }
    Ok(said)
}

/// What the operator has made of it, if that is something else. The run is scaled whatever comes of this look.
async fn shortfall(cluster: &Cluster, name: &str, bots: i32) -> Option<String> {
    let mut told = None;
    let look = async {
        while let Ok(run) = cluster.run(name).await {
            let (settled, why) = heard(&run, bots);
            told = why;
            if settled {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // What is not heard by then may come later, or never: the last word is told.
    let _ = tokio::time::timeout(HEARD_WITHIN, look).await;
    told
}

/// Whether the operator has heard of it, and what is not as it shall be. A run that is not at work has no say yet.
fn heard(run: &BotRun, bots: i32) -> (bool, Option<String>) {
    let status = run.status.as_ref().filter(|_| ending::outcome(run).is_none());
    let Some((status, target)) = status.and_then(|status| Some((status, status.bots_target?))) else {
        return (true, None);
    };
    if target == bots {
        return (true, None);
    }
    if status.observed_generation < run.metadata.generation {
        let why = format!(
            "the operator has not taken it up yet, so that {target} bots stay for now; kubectl get botrun shows when it has"
        );
        return (false, Some(why));
    }
    let limited = status.condition("SpecChanged").filter(|c| c.status == "True" && c.reason == "BotsLimited");
    let why = limited.map_or_else(
        || "the namespace allows no more, or somebody else has scaled it".to_owned(),
        |limited| escape(&limited.message),
    );
    (true, Some(format!("{target} bots are to be alive, and not {bots}: {why}")))
}

#[cfg(test)]
mod tests;
