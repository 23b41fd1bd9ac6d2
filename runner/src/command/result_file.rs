//! The file that keeps a result: whole, or as it was before.

use botarmy_report::RunResult;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the result cannot be written to {0}: {1}; name another file with --out")]
    Unwritable(String, io::Error),
    #[error("the result cannot take the place of {0}: {1}; it is kept in {2}")]
    Kept(String, io::Error, String),
}

/// Where a result goes.
#[derive(Debug)]
pub(super) struct ResultFile {
    shown: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A file, there or to be: it is replaced in one step.
    File(PathBuf),
    /// A device or a pipe, in whose place no file may come.
    Stream(File),
}

impl ResultFile {
    /// Finds out whether a result can be written there. Nothing is left behind, and what is there
    /// stays as it is.
    pub(super) fn check(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        match place(path) {
            Ok(place) => Ok(Self { shown, place }),
            Err(error) => Err(Error::Unwritable(shown, error)),
        }
    }

    /// Writes a result.
    pub(super) fn write(self, result: &RunResult) -> Result<(), Error> {
        let Self { shown, place } = self;
        let unwritable = |e| Error::Unwritable(shown.clone(), e);
        let text = serde_json::to_string_pretty(result).map_err(|e| unwritable(e.into()))? + "\n";
        let path = match place {
            Place::Stream(mut stream) => return stream.write_all(text.as_bytes()).map_err(unwritable),
            Place::File(path) => path,
        };
        let mut fresh = beside(&path).map_err(unwritable)?;
        // A machine that goes down must not leave an empty file under the new name.
        let written = fresh.write_all(text.as_bytes()).and_then(|()| fresh.as_file().sync_all());
        written.map_err(unwritable)?;
        fresh.persist(&path).map(drop).map_err(|e| keep(&shown, e))
    }
}

fn place(path: &Path) -> io::Result<Place> {
    let no_file = path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match path.metadata() {
        Ok(there) if there.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(there) => {
            let opened = OpenOptions::new().append(true).open(path)?;
            if !there.is_file() {
                return Ok(Place::Stream(opened));
            }
            // The file that a link leads to is meant, not the link.
            let path = path.canonicalize()?;
            beside(&path).map(|_| Place::File(path))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !no_file => {
            beside(path).map(|_| Place::File(path.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// A file without content in the same folder, since only there can it take the other's place. It is
/// removed when it is dropped.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any new file; the umask takes away from it.
    let permissions = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".runner-").suffix(".tmp").permissions(permissions).tempfile_in(folder)
}

/// A measured result is not thrown away because of its name.
fn keep(shown: &str, error: tempfile::PersistError) -> Error {
    match error.file.keep() {
        Ok((_, kept)) => Error::Kept(shown.to_owned(), error.error, kept.display().to_string()),
        Err(_) => Error::Unwritable(shown.to_owned(), error.error),
    }
}
