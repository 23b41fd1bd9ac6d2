//! Writes the definition of the kinds into the folder given, or to standard output.

use std::process::ExitCode;

fn main() -> ExitCode {
    let written = botarmy_crds::to_yaml().and_then(|yaml| match std::env::args_os().nth(1) {
        Some(folder) => {
            Ok(std::fs::write(std::path::Path::new(&folder).join(botarmy_crds::YAML_FILE), yaml)?)
        }
        None => {
            print!("{yaml}");
            Ok(())
        }
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the definition cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
