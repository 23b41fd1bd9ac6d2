//! `runner summary`.

use super::Exit;
use super::output::{complain, say};
use super::result_file::FormatArg;
use botarmy_report::RunResult;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;

/// Largest result, in bytes.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The result as JSON, or - for standard input: kubectl get botrun NAME -o json | runner summary -
    file: PathBuf,
    /// The form of what is printed.
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    format: FormatArg,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("holds no result: {0}; give the JSON of a run's result or of a BotRun that has one")]
    Json(#[from] serde_json::Error),
}

pub(super) fn summary(args: &Args) -> Exit {
    match read(args) {
        Ok(result) => say(&botarmy_report::render(&result, args.format.into()).trim_end()),
        Err(error) => {
            complain(&format_args!("{}: {error}", args.file.display()));
            Exit::Invalid
        }
    }
}

fn read(args: &Args) -> Result<RunResult, Error> {
    let mut text = String::new();
    if args.file.as_os_str() == "-" {
        std::io::stdin().take(MAX_BYTES).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(&args.file)?.take(MAX_BYTES).read_to_string(&mut text)?;
    }
    let value: Value = serde_json::from_str(&text)?;
    let result = value.pointer("/status/result").unwrap_or(&value);
    Ok(serde_json::from_value(result.clone())?)
}
