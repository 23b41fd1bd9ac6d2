//! Writes the definitions of the kinds into the folder given, or to standard output.

use std::error::Error;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match write(std::env::args_os().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the definitions cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: Option<&OsStr>) -> Result<(), Box<dyn Error>> {
    for definition in botarmy_crds::definitions()? {
        let yaml = definition.to_yaml()?;
        match folder {
            Some(folder) => std::fs::write(Path::new(folder).join(definition.file), yaml)?,
            // What stands before each makes one stream of documents of them.
            None => print!("---\n{yaml}"),
        }
    }
    Ok(())
}
