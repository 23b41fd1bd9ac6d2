//! `kubectl botarmy run`.

use super::Error;
use crate::cluster::{Cluster, Where};
use crate::ending;
use crate::follow::{How, OnInterrupt, is_performed, to_the_end};
use crate::manifest::Manifest;
use botarmy_console::interrupts::Interrupts;
use botarmy_console::output::{complain, one_line, say};
use botarmy_console::result_file::{OutArgs, ResultFile};
use botarmy_console::text;
use botarmy_crds::BotRun;
use botarmy_report::Exit;
use botarmy_spec::file;
use botarmy_tree::{duration, yaml};
use kube::ResourceExt;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file of one BotRun, YAML or JSON; - is standard input.
    file: PathBuf,
    /// The run's name, in the place of that of the file.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    results: OutArgs,
    /// How long its end is waited for, such as 30m. The run goes on all the same when that is over.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Only apply it, and print its name.
    #[arg(long, conflicts_with_all = ["timeout", "out", "format"])]
    detach: bool,
}

pub(super) async fn run(args: &Args, place: &Where) -> Result<Exit, Error> {
    let manifest = Manifest::new(read(&args.file)?, args.name.as_deref())?;
    // An output that cannot be written is told before anything starts, not after the run.
    let files = ResultFile::check_all(&args.results, None)?;
    let cluster = Cluster::find(place).await?.in_namespace(manifest.namespace.as_deref())?;
    look_before(&cluster, &manifest).await?;
    // Before there is something to be stopped, an interrupt ends the program.
    let interrupts = Interrupts::listen()?;
    apply(args, &cluster, &manifest, &interrupts, files).await
}

/// Applies the run, and follows it to its end if that is wanted.
async fn apply(
    args: &Args,
    cluster: &Cluster,
    manifest: &Manifest,
    interrupts: &Interrupts,
    files: Vec<ResultFile>,
) -> Result<Exit, Error> {
    let applied = match &manifest.name {
        Some(name) => cluster.apply(name, &manifest.body).await,
        None => cluster.create(&manifest.body).await,
    };
    let run = applied.map_err(|error| match error {
        error if error.leaves_it_open() => Error::PerhapsApplied(error),
        error => error.into(),
    })?;
    let name = run.name_any();
    // It may have come to its end since it was looked at.
    refuse_over(&run)?;
    // One that was made just now performs what was applied, whatever is changed of it later.
    let wanted = run.metadata.generation.filter(|generation| *generation > 1);
    is_performed(cluster, &run, wanted)?;
    complain(&format_args!("botrun/{name} is applied"));
    if args.detach {
        complain(&format_args!("watch it: {}", cluster.command("watch", &name)));
        return Ok(say(&name));
    }
    let how = How { on_interrupt: OnInterrupt::Stop, timeout: args.timeout, wanted };
    Ok(to_the_end(cluster, run, how, interrupts, files).await?)
}

/// What the file says, or all that is wrong with it.
fn read(path: &Path) -> Result<Value, Error> {
    let is_input = path.as_os_str() == "-";
    let shown = if is_input { "standard input".to_owned() } else { one_line(&path.display().to_string()) };
    let text = if is_input { text::read_input(yaml::MAX_BYTES) } else { text::read(path, yaml::MAX_BYTES) };
    let text = text.map_err(|error| Error::File(format!("{shown}: {error}")))?;
    file::read_manifest(&text).map_err(|findings| {
        let lines = findings.iter().map(|finding| format!("{shown}: {finding}\n"));
        Error::File(lines.collect())
    })
}

/// Refuses a run whose name one has that is over.
async fn look_before(cluster: &Cluster, manifest: &Manifest) -> Result<(), Error> {
    let Some(name) = &manifest.name else { return Ok(()) };
    let Some(known) = cluster.known_run(name).await? else { return Ok(()) };
    refuse_over(&known)?;
    complain(&format_args!("botrun/{name} goes on already: what can be changed of it is changed"));
    Ok(())
}

/// Refuses a run that is over: its outcome would be taken for that of what is applied.
fn refuse_over(run: &BotRun) -> Result<(), Error> {
    match ending::outcome(run) {
        Some(outcome) => Err(Error::OverBefore { name: run.name_any(), outcome: outcome.name() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
