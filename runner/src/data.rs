//! The rows of a run, read from where they lie.

use botarmy_console::pipe;
use botarmy_protocol::path;
use botarmy_spec::data::{MAX_BYTES, Source};
use botarmy_spec::{Run, Table};
use botarmy_tree::{Finding, Path};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

/// Where the run goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// On a machine, with the file of the run in this folder.
    Here(&'a FilePath),
    /// The same, only to look at what is here.
    Check(&'a FilePath),
    /// In a pod.
    Pod,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0} cannot be read: {1}; check the name, and that it is a file that you may read")]
    Read(String, std::io::Error),
    #[error("{0} has more than {MAX_BYTES} bytes; split it over several runs")]
    TooLarge(String),
    #[error("{0} is not text in UTF-8; save it in that encoding")]
    NoText(String),
    #[error("{0}: {1}")]
    Row(String, botarmy_spec::data::Error),
    #[error("rows from a ConfigMap are there on a cluster only; give them here by --data FILE")]
    ConfigMap,
}

/// Reads the rows of all scenarios of a run whose spec lies at `path`, and checks them against its trees.
pub(crate) fn load(run: &mut Run, path: &Path, place: Place<'_>) -> Result<(), Vec<Finding>> {
    let mut findings = Vec::new();
    for (i, scenario) in run.scenarios.iter_mut().enumerate() {
        let at = if scenario.name.is_some() { path.field("scenarios").index(i) } else { path.clone() };
        let Some(data) = scenario.data.as_mut().filter(|data| data.table.is_none()) else { continue };
        let file = match (&data.source, place) {
            (Source::Inline, _) => continue,
            (Source::ConfigMap(_), Place::Check(_)) => continue,
            (Source::File(name), Place::Here(folder) | Place::Check(folder)) => Ok(folder.join(name)),
            (Source::File(name), Place::Pod) => Ok(PathBuf::from(name)),
            (Source::ConfigMap(_), Place::Pod) => {
                Ok(FilePath::new(path::DATA_FOLDER).join(i.to_string()).join(path::DATA_FILE))
            }
            (Source::ConfigMap(_), Place::Here(_)) => Err(vec![Error::ConfigMap]),
        };
        let table = file.and_then(|file| {
            let shown = file.display().to_string();
            let text = read(&file, &shown).map_err(|error| vec![error])?;
            let table = Table::read(text, data.format);
            table.map_err(|errors| errors.into_iter().map(|e| Error::Row(shown.clone(), e)).collect())
        });
        match table {
            Ok(table) => data.table = Some(Arc::new(table)),
            Err(errors) => {
                let at = at.field("data").field(data.field());
                findings.extend(errors.iter().map(|error| Finding::new(&at, error)));
            }
        }
    }
    findings.extend(run.lacking_data(path));
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

fn read(file: &FilePath, shown: &str) -> Result<String, Error> {
    let unreadable = |e| Error::Read(shown.to_owned(), e);
    let bytes = pipe::read(file, MAX_BYTES + 1).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge(shown.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| Error::NoText(shown.to_owned()))
}
