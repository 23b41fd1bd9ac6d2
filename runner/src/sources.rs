//! The trees of a run that lie elsewhere, read from where they are mounted or given.

use botarmy_console::pipe;
use botarmy_protocol::path;
use botarmy_spec::BotRunSpec;
use botarmy_spec::sources::{self, MAX_BYTES, MAX_FILES, Origins, SourceFile};
use botarmy_tree::{Finding, Path};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

/// Where sources are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// On a machine: each where the command line says.
    Here(&'a BTreeMap<String, PathBuf>),
    /// In a pod: mounted, each under its name.
    Pod,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0} cannot be read: {1}; check its path, and that it may be read")]
    Read(String, std::io::Error),
    #[error("{0} is not text in UTF-8; save it in that encoding")]
    NoText(String),
    #[error("there are more than {MAX_FILES} files in it; name one of them, or a folder, as path")]
    TooMany,
    #[error("the files of all sources have more than {MAX_BYTES} bytes; name those that are needed as path")]
    TooLarge,
    #[error("this source is there on a cluster only; give its place here by --source {0}=PATH")]
    NotHere(String),
}

/// Puts the trees of all sources into a spec that lies at `path`. Tells where each is from, and a digest of all that was
/// read.
pub(crate) fn load(
    spec: &mut BotRunSpec,
    path: &Path,
    place: Place<'_>,
) -> Result<(Origins, Option<String>), Vec<Finding>> {
    if spec.sources.is_empty() {
        return Ok((Origins::default(), None));
    }
    let (mut files, mut findings, mut room) = (Vec::new(), Vec::new(), MAX_BYTES);
    for (number, source) in spec.sources.iter().enumerate() {
        let root = match place {
            Place::Pod => Ok(FilePath::new(path::SOURCES_FOLDER).join(&source.name)),
            Place::Here(given) => {
                given.get(&source.name).cloned().ok_or_else(|| Error::NotHere(source.name.clone()))
            }
        };
        // What the command line names is the place itself.
        let inside = source.path.as_deref().filter(|_| matches!(place, Place::Pod));
        let read = root.and_then(|root| {
            let place = inside.map_or_else(|| root.clone(), |inside| root.join(inside));
            read(number, &place, &mut room)
        });
        match read {
            Ok(read) => files.extend(read),
            Err(error) => findings.push(Finding::new(&path.field("sources").index(number), &error)),
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let digest = digest(&files);
    Ok((sources::merge(spec, path, &files)?, Some(digest)))
}

/// The files of a source, in the order of their names: it is one file, or those of a folder.
fn read(source: usize, root: &FilePath, room: &mut usize) -> Result<Vec<SourceFile>, Error> {
    let unreadable = |path: &FilePath, error| Error::Read(path.display().to_string(), error);
    let mut paths = Vec::new();
    if std::fs::metadata(root).map_err(|e| unreadable(root, e))?.is_dir() {
        for entry in std::fs::read_dir(root).map_err(|e| unreadable(root, e))? {
            let path = entry.map_err(|e| unreadable(root, e))?.path();
            if path.is_file()
                && path.file_name().is_some_and(|name| sources::is_read(&name.to_string_lossy()))
            {
                paths.push(path);
            }
            if paths.len() > MAX_FILES {
                return Err(Error::TooMany);
            }
        }
        paths.sort();
    } else {
        paths.push(root.to_owned());
    }
    let mut files = Vec::new();
    for path in paths {
        let bytes = pipe::read(&path, *room + 1).map_err(|e| unreadable(&path, e))?;
        *room = room.checked_sub(bytes.len()).ok_or(Error::TooLarge)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::NoText(path.display().to_string()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push(SourceFile { source, name, text });
    }
    Ok(files)
}

/// The same for the same files, in every runner.
fn digest(files: &[SourceFile]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        for part in [&file.source.to_string(), &file.name, &file.text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.finalize().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn spec() -> BotRunSpec {
        let spec = json!({"sources": [{"name": "a", "path": "x", "configMap": {"name": "m"}}, {"name": "b", "secret": {"name": "s"}}]});
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn files_and_folders_are_read_and_have_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        let many = folder.path().join("many");
        fs::create_dir_all(many.join("..data")).unwrap();
        fs::write(many.join("b.yaml"), "trees: {B: done}").unwrap();
        fs::write(many.join("a.json"), r#"{"trees": {"A": "done"}}"#).unwrap();
        fs::write(many.join("notes.txt"), "no trees").unwrap();
        let one = folder.path().join("one.yaml");
        fs::write(&one, "trees: {C: done}").unwrap();
        let given =
            |b: &FilePath| BTreeMap::from([("a".to_owned(), many.clone()), ("b".to_owned(), b.to_owned())]);
        let load = |places: &BTreeMap<String, PathBuf>| {
            let mut merged = spec();
            load(&mut merged, &Path::top(), Place::Here(places)).map(|(_, digest)| (merged, digest))
        };
        let (merged, digest) = load(&given(&one)).unwrap();
        assert_eq!(merged.trees.keys().collect::<Vec<_>>(), ["A", "B", "C"]);
        assert_eq!(load(&given(&one)).unwrap().1, digest, "the same files");
        fs::write(&one, "trees: {C:  done}").unwrap();
        assert_ne!(load(&given(&one)).unwrap().1, digest, "other bytes");
        let told = |places: &BTreeMap<String, PathBuf>| {
            load(places).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(told(&BTreeMap::new()).starts_with("sources[0]: this source is there on a cluster only"));
        let absent = given(&folder.path().join("absent"));
        assert!(told(&absent).starts_with("sources[1]: ") && told(&absent).contains("absent cannot be read"));
        fs::write(&one, [0xff]).unwrap();
        assert!(told(&given(&one)).contains("is not text in UTF-8"));
        fs::write(&one, vec![b' '; MAX_BYTES + 1]).unwrap();
        assert!(told(&given(&one)).contains("have more than"));
    }

    #[test]
    fn a_run_without_sources_reads_nothing() {
        let mut spec = BotRunSpec::default();
        assert_eq!(load(&mut spec, &Path::top(), Place::Pod).unwrap(), (Origins::default(), None));
    }
}
