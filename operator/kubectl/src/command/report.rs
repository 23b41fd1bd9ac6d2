//! `kubectl botarmy report`.

use super::{Error, known_result};
use crate::cluster::{Cluster, Where};
use crate::names;
use botarmy_console::output::{complain, one_line, say};
use botarmy_console::result_file::{FormatArg, OutArgs, ResultFile};
use botarmy_report::{Exit, Format, render};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the run.
    #[arg(value_parser = names::of_run)]
    name: String,
    /// The file that the page goes to; - is standard output.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
}

pub(super) async fn report(args: Args, place: &Where) -> Result<Exit, Error> {
    let cluster = Cluster::find(place).await?;
    let result = known_result(&cluster, &cluster.run(&args.name).await?)?;
    if args.out.as_os_str() == "-" {
        return Ok(say(&render(&result, Format::Html).trim_end()));
    }
    let shown = one_line(&args.out.display().to_string());
    let page = OutArgs { out: vec![args.out], format: Some(FormatArg::Html) };
    for file in ResultFile::check_all(&page, None)? {
        file.write(&result)?;
    }
    complain(&format_args!("the report is in {shown}"));
    Ok(Exit::Passed)
}
