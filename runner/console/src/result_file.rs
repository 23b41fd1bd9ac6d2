//! Where a result goes at the end of a run: the terminal, and files that keep it, each whole or as it was before.

use crate::output::{complain, say};
use crate::pipe;
use botarmy_report::{Exit, Format, RunOutcome, RunResult, render, summary};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Why a result cannot be kept where it shall be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place cannot be written to.
    #[error("the result cannot be written to {0}: {1}; name another file with --out")]
    Unwritable(String, io::Error),
    /// Two results would go to one place.
    #[error("{0} is named twice as a place of the result; name another file with one --out")]
    Twice(String),
    /// The bot log goes there too.
    #[error("{0} is the place of the result and of the bot log; name another file with --log-file")]
    IsLog(String),
    /// It was written beside its place, and could not be moved there.
    #[error("the result cannot take the place of {0}: {1}; it is kept in {2}")]
    Kept(String, io::Error, String),
}

/// The options that say where a result goes.
#[derive(Debug, clap::Args)]
pub struct OutArgs {
    /// Write the result into this file, in the form that its suffix stands for: .json, .html, .csv, .xml
    /// (JUnit) or .txt, else JSON. May be given several times. A run that is cut short leaves it as it was.
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
    /// The form of what is written, whatever the suffix.
    #[arg(long, requires = "out")]
    pub format: Option<FormatArg>,
}

/// Prints the summary of a run that is over and writes its files; the exit code is that of its outcome, unless it
/// passed and something could not be written.
pub fn deliver(result: &RunResult, files: Vec<ResultFile>) -> Exit {
    let said = say(&summary(result));
    // One that cannot be written after all keeps none of the others from being written.
    let unwritten: Vec<_> = files.into_iter().filter_map(|file| file.write(result).err()).collect();
    unwritten.iter().for_each(complain);
    match result.outcome {
        RunOutcome::Passed if unwritten.is_empty() => said,
        RunOutcome::Passed => Exit::Unwritten,
        outcome => outcome.into(),
    }
}

/// A file that a result goes to.
#[derive(Debug)]
pub struct ResultFile {
    shown: String,
    place: Place,
    format: Format,
}

/// The forms as words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the command line would show them beside each word, which says it all")]
pub enum FormatArg {
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
    /// Finds out whether a result can be written to each place. None may be another's, nor that of the bot log.
    pub fn check_all(args: &OutArgs, log: Option<&Path>) -> Result<Vec<Self>, Error> {
        let log = log.map(real);
        let mut taken = Vec::new();
        for path in &args.out {
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
        args.out.iter().map(|path| Self::check(path, args.format)).collect()
    }

    /// The same of one place. Nothing is left behind, and what is there
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
    pub fn write(self, result: &RunResult) -> Result<(), Error> {
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
