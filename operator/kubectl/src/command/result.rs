//! `kubectl botarmy result`.

use super::{Error, known_result};
use crate::cluster::{Cluster, Where};
use crate::{ending, names};
use botarmy_console::output::say;
use botarmy_console::result_file::FormatArg;
use botarmy_report::{Exit, render};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the run.
    #[arg(value_parser = names::of_run)]
    name: String,
    /// The form of what is printed.
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = FormatArg::Text)]
    output: FormatArg,
}

pub(super) async fn result(args: &Args, place: &Where) -> Result<Exit, Error> {
    let cluster = Cluster::find(place).await?;
    let run = cluster.run(&args.name).await?;
    let result = known_result(&cluster, &run)?;
    let rendered = render(&result, args.output.into());
    let skew = run.status.as_ref().and_then(ending::start_skew);
    Ok(match skew.filter(|_| args.output == FormatArg::Text) {
        Some(skew) => say(&format_args!("{}\n\n{skew}", rendered.trim_end())),
        None => say(&rendered.trim_end()),
    })
}
