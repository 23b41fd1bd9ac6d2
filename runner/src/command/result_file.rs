//! The files that keep a result: each whole, or as it was before.

use crate::pipe;
use botarmy_report::{Format, RunResult, render};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the result cannot be written to {0}: {1}; name another file with --out")]
    Unwritable(String, io::Error),
    #[error("{0} is named twice as a place of the result; name another file with one --out")]
    Twice(String),
    #[error("{0} is the place of the result and of the bot log; name another file with --log-file")]
    IsLog(String),
    #[error("the result cannot take the place of {0}: {1}; it is kept in {2}")]
    Kept(String, io::Error, String),
}

/// Where a result goes.
#[derive(Debug)]
pub(super) struct ResultFile {
    shown: String,
    place: Place,
    format: Format,
}

/// The forms as words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FormatArg {
    Text,
    Json,
    Junit,
    Csv,
    Html,
}

impl From<FormatArg> for Format {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Text => Self::Text,
            FormatArg::Json => Self::Json,
            FormatArg::Junit => Self::Junit,
            FormatArg::Csv => Self::Csv,
            FormatArg::Html => Self::Html,
        }
    }
}

#[derive(Debug)]
enum Place {
    /// A file, there or to be: it is replaced in one step.
    File(PathBuf),
    /// A device or a pipe, in whose place no file may come.
    Stream(File),
}

impl ResultFile {
    /// [`ResultFile::check`] of each place. None may be another's, nor that of the bot log.
    pub(super) fn check_all(
        paths: &[PathBuf],
        format: Option<FormatArg>,
        log: Option<&Path>,
    ) -> Result<Vec<Self>, Error> {
        let log = log.map(real);
        let mut taken = Vec::new();
        for path in paths {
            let (real, shown) = (real(path), path.display().to_string());
            if taken.contains(&real) {
                return Err(Error::Twice(shown));
            }
            // Into a device both can go.
            let is_device = real.exists() && !real.is_file();
            if log.as_ref() == Some(&real) && !is_device {
                return Err(Error::IsLog(shown));
            }
            taken.push(real);
        }
        paths.iter().map(|path| Self::check(path, format)).collect()
    }

    /// Finds out whether a result can be written there. Nothing is left behind, and what is there
    /// stays as it is. The form is that of the suffix unless it is given; without either it is JSON.
    fn check(path: &Path, format: Option<FormatArg>) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let of_suffix = path.extension().and_then(|suffix| Format::of_suffix(suffix.to_str()?));
        let format = format.map(Format::from).or(of_suffix).unwrap_or(Format::Json);
        match place(path) {
            Ok(place) => Ok(Self { shown, place, format }),
            Err(error) => Err(Error::Unwritable(shown, error)),
        }
    }

    /// Writes a result.
    pub(super) fn write(self, result: &RunResult) -> Result<(), Error> {
        let Self { shown, place, format } = self;
        let unwritable = |e| Error::Unwritable(shown.clone(), e);
        let text = render(result, format);
        let path = match place {
            Place::Stream(mut stream) => {
                return pipe::write(&mut stream, text.as_bytes()).map_err(unwritable);
            }
            Place::File(path) => path,
        };
        let mut fresh = beside(&path).map_err(unwritable)?;
        // A machine that goes down must not leave an empty file under the new name.
        let written = fresh.write_all(text.as_bytes()).and_then(|()| fresh.as_file().sync_all());
        written.map_err(unwritable)?;
        fresh.persist(&path).map(drop).map_err(|e| keep(&shown, e))
    }
}

/// The file that is meant, however it is called; one that is not there yet by its folder.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| match (folder(path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    })
}

/// Where a file lies, or would.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn place(path: &Path) -> io::Result<Place> {
    let no_file = path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match path.metadata() {
        Ok(there) if there.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(there) => {
            let opened = pipe::open(path)?;
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
    // As any new file; the umask takes away from it.
    let permissions = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".runner-")
        .suffix(".tmp")
        .permissions(permissions)
        .tempfile_in(folder(path))
}

/// A measured result is not thrown away because of its name.
fn keep(shown: &str, error: tempfile::PersistError) -> Error {
    match error.file.keep() {
        Ok((_, kept)) => Error::Kept(shown.to_owned(), error.error, kept.display().to_string()),
        Err(_) => Error::Unwritable(shown.to_owned(), error.error),
    }
}
