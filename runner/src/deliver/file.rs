//! A result as a file of a volume: whole, or as it was before.

use botarmy_console::result_file::{self, OutArgs, ResultFile};
use botarmy_report::RunResult;
use std::io;
use std::path::{Component, Path};

/// Why it is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0:?} leads out of the claim; write a folder inside of it")]
    Outside(String),
    #[error(
        "the folder {0:?} cannot be made in the claim: {1}; give the pod the right by securityContext (fsGroup, runAsUser) in spec.template.spec, or make it"
    )]
    Folder(String, io::Error),
    #[error(
        "{0} cannot be written into the claim: {1}; see that it has room, and that the pod may write there by securityContext (fsGroup, runAsUser) in spec.template.spec"
    )]
    Write(String, String),
}

/// Writes a result into a folder of what is mounted, which is made if need be. The suffix of the name says its form.
pub(super) fn write(mount: &Path, folder: &str, name: &str, result: &RunResult) -> Result<(), Error> {
    // What leads out by a link leads nowhere: there is nothing else in the pod that can be written.
    if !Path::new(folder).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(Error::Outside(folder.to_owned()));
    }
    let place = mount.join(folder);
    std::fs::create_dir_all(&place).map_err(|error| Error::Folder(folder.to_owned(), error))?;
    let to = OutArgs { out: vec![place.join(name)], format: None };
    let unwritten = |error: result_file::Error| {
        let cause = match error {
            result_file::Error::Unwritable(_, cause) | result_file::Error::Kept(_, cause, _) => {
                cause.to_string()
            }
            other => other.to_string(),
        };
        Error::Write(name.to_owned(), cause)
    };
    for file in ResultFile::check_all(&to, None).map_err(unwritten)? {
        file.write(result).map_err(unwritten)?;
    }
    Ok(())
}
