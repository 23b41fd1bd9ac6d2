//! The rows of a run, read from where they lie.

use botarmy_console::pipe;
use botarmy_protocol::path;
use botarmy_spec::data::{Data, MAX_BYTES, MAX_ROWS, Source};
use botarmy_spec::types::DataFormat;
use botarmy_spec::{Run, Table};
use botarmy_tree::{Finding, Path};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

/// What all files of a run may have: each of its runners keeps them to the end, and where each row is in them.
const TOGETHER: Room = Room { bytes: 512 << 20, rows: MAX_ROWS };

/// Bytes and rows of files.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: usize,
    rows: usize,
}

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
    #[error(
        "with {0} the files of rows that this run names have more than {1} {2} together; let scenarios share one, or split them over several runs"
    )]
    TooLargeTogether(String, usize, &'static str),
    #[error("{0} is not text in UTF-8; save it in that encoding")]
    NoText(String),
    #[error("{0}: {1}")]
    Row(String, botarmy_spec::data::Error),
    #[error("rows from a ConfigMap are there on a cluster only; give them here by --data FILE")]
    ConfigMap,
}

/// Reads the rows of all scenarios of a run whose spec lies at `path`, and checks them against its trees.
pub(crate) fn load(run: &mut Run, path: &Path, place: Place<'_>) -> Result<(), Vec<Finding>> {
    load_within(TOGETHER, run, path, place)
}

fn load_within(most: Room, run: &mut Run, path: &Path, place: Place<'_>) -> Result<(), Vec<Finding>> {
    let mut findings = Vec::new();
    let mut files = Files { place, most, room: most, known: Vec::new() };
    for (i, scenario) in run.scenarios.iter_mut().enumerate() {
        let at = if scenario.name.is_some() { path.field("scenarios").index(i) } else { path.clone() };
        let Some(data) = scenario.data.as_mut().filter(|data| data.table.is_none()) else { continue };
        match files.table(i, data) {
            Ok(table) => data.table = table,
            Err(errors) => {
                let at = at.field("data").field(data.field());
                findings.extend(errors.iter().map(|error| Finding::new(&at, error)));
            }
        }
    }
    findings.extend(run.lacking_data(path));
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// The files of a run. Scenarios that name the same one have its rows together, which are read and kept once.
struct Files<'a> {
    place: Place<'a>,
    /// What they may have together.
    most: Room,
    /// What is left of it.
    room: Room,
    /// What was read already, or could not be: that is told once.
    known: Vec<(Source, DataFormat, Option<Arc<Table>>)>,
}

impl Files<'_> {
    /// The rows of the scenario of this number, if they are to be read here.
    fn table(&mut self, scenario: usize, data: &Data) -> Result<Option<Arc<Table>>, Vec<Error>> {
        let is_same = |source: &Source, format: DataFormat| *source == data.source && format == data.format;
        if let Some((_, _, table)) = self.known.iter().find(|(source, format, _)| is_same(source, *format)) {
            return Ok(table.clone());
        }
        let read = self.read(scenario, data);
        let table = read.as_ref().ok().cloned().flatten();
        self.known.push((data.source.clone(), data.format, table));
        read
    }

    fn read(&mut self, scenario: usize, data: &Data) -> Result<Option<Arc<Table>>, Vec<Error>> {
        let file = match (&data.source, self.place) {
            (Source::Inline, _) | (Source::ConfigMap(_), Place::Check(_)) => return Ok(None),
            (Source::File(name), Place::Here(folder) | Place::Check(folder)) => folder.join(name),
            (Source::File(name), Place::Pod) => PathBuf::from(name),
            (Source::ConfigMap(_), Place::Pod) => {
                FilePath::new(path::DATA_FOLDER).join(scenario.to_string()).join(path::DATA_FILE)
            }
            (Source::ConfigMap(_), Place::Here(_)) => return Err(vec![Error::ConfigMap]),
        };
        let shown = file.display().to_string();
        let text = self.text(&file, &shown).map_err(|error| vec![error])?;
        let table = Table::read(text, data.format);
        let table = table
            .map_err(|errors| errors.into_iter().map(|e| Error::Row(shown.clone(), e)).collect::<Vec<_>>())?;
        let too_many = || vec![Error::TooLargeTogether(shown.clone(), self.most.rows, "rows")];
        self.room.rows = self.room.rows.checked_sub(table.len()).ok_or_else(too_many)?;
        Ok(Some(Arc::new(table)))
    }

    fn text(&mut self, file: &FilePath, shown: &str) -> Result<String, Error> {
        let unreadable = |e| Error::Read(shown.to_owned(), e);
        let bytes = pipe::read(file, MAX_BYTES.min(self.room.bytes) + 1).map_err(unreadable)?;
        if bytes.len() > MAX_BYTES {
            return Err(Error::TooLarge(shown.to_owned()));
        }
        let left = self.room.bytes.checked_sub(bytes.len());
        let too_large = || Error::TooLargeTogether(shown.to_owned(), self.most.bytes, "bytes");
        self.room.bytes = left.ok_or_else(too_large)?;
        String::from_utf8(bytes).map_err(|_| Error::NoText(shown.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_tree::Actions;
    use serde_json::{Value, json};
    use std::fs;

    /// A run of scenarios with these sources of rows.
    fn run(sources: &[Value]) -> Run {
        let scenarios: Vec<Value> = (0..)
            .zip(sources)
            .map(|(n, data)| json!({"name": format!("s{n}"), "tree": "T", "iterations": 1, "data": data}))
            .collect();
        let spec = json!({"trees": {"T": {"log": "{{ data.a }}"}}, "scenarios": scenarios});
        let spec = serde_json::from_value(spec).unwrap();
        Run::check(&spec, "army", &Path::top(), &Actions::built_in()).unwrap()
    }

    fn told(findings: Result<(), Vec<Finding>>) -> Vec<String> {
        findings.err().into_iter().flatten().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_file_of_several_scenarios_is_read_and_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), "a\n1\n").unwrap();
        fs::write(folder.path().join("b.csv"), "a\n2\n").unwrap();
        let (a, b) = (json!({"file": "a.csv"}), json!({"file": "b.csv"}));
        let mut run = run(&[a.clone(), b, json!({"inline": "a\n3\n"}), a]);
        // Four bytes each: the one that is read twice counts once.
        let room = Room { bytes: 8, rows: 2 };
        assert_eq!(told(load_within(room, &mut run, &Path::top(), Place::Here(folder.path()))), [""; 0]);
        let tables: Vec<&Arc<Table>> =
            run.scenarios.iter().map(|s| s.data.as_ref().unwrap().table.as_ref().unwrap()).collect();
        assert!(Arc::ptr_eq(tables[0], tables[3]));
        let rows: Vec<Option<Value>> = tables.iter().map(|table| table.row(0)).collect();
        assert_eq!(rows, ["1", "2", "3", "1"].map(|a| Some(json!({"a": a}))));
    }

    #[test]
    fn a_file_that_is_bad_is_told_where_it_is_named_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), "a\n1,2\n").unwrap();
        let source = json!({"file": "a.csv"});
        let mut run = run(&[source.clone(), source]);
        let told = told(load(&mut run, &Path::top(), Place::Here(folder.path())));
        let beginning =
            format!("scenarios[0].data.file: {}: line 2: ", folder.path().join("a.csv").display());
        assert!(told.len() == 1 && told[0].starts_with(&beginning), "{told:#?}");
    }

    #[test]
    fn the_files_of_a_run_have_a_bound_together() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.csv", "b.csv", "c.csv"] {
            fs::write(folder.path().join(name), "a\n1\n").unwrap();
        }
        let c = folder.path().join("c.csv");
        for (room, more) in
            [(Room { bytes: 11, rows: 3 }, "11 bytes"), (Room { bytes: 12, rows: 2 }, "2 rows")]
        {
            let mut run = run(&["a.csv", "b.csv", "c.csv"].map(|name| json!({"file": name})));
            let told = told(load_within(room, &mut run, &Path::top(), Place::Check(folder.path())));
            let beginning = format!(
                "scenarios[2].data.file: with {} the files of rows that this run names have more than {more} together; let",
                c.display()
            );
            assert!(told.len() == 1 && told[0].starts_with(&beginning), "{told:#?}");
        }
    }
}
