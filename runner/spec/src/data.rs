//! Rows that bots are given: read, checked, and found again by their number.

mod read;

use crate::types::{ConfigMapKey, DataFormat, DataSpec, Exhausted};
use botarmy_tree::{Finding, Findings, Path};
use read::Reading;
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// Most bytes of all rows of a source.
pub const MAX_BYTES: usize = 256 << 20;
/// Most rows of a source.
pub const MAX_ROWS: usize = 10_000_000;
/// Largest row, in bytes.
pub const MAX_ROW: usize = 64 << 10;
/// Most columns.
pub const MAX_COLUMNS: usize = 1_000;

/// Where rows come from, and what follows the last one.
#[derive(Debug, Clone)]
pub struct Data {
    /// Where they come from.
    pub source: Source,
    /// How they are written.
    pub format: DataFormat,
    /// What follows the last one.
    pub exhausted: Exhausted,
    /// The rows, once they are read.
    pub table: Option<Arc<Table>>,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The spec itself.
    Inline,
    /// A file of this name.
    File(String),
    /// A key of a `ConfigMap`.
    ConfigMap(ConfigMapKey),
}

/// Why rows cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No source, or several.
    #[error("the rows come from a file, from inline or from a configMap; give one of them")]
    Source,
    /// Nothing in it.
    #[error("there is no row; write one on each line, in CSV below a line with the names of the columns")]
    Empty,
    /// More than [`MAX_BYTES`].
    #[error("the rows take more than {MAX_BYTES} bytes; split them over several runs")]
    TooLarge,
    /// More than [`MAX_ROWS`].
    #[error("there are more than {MAX_ROWS} rows; split them over several runs")]
    TooMany,
    /// A row is too large.
    #[error("line {0}: the row has more than {MAX_ROW} bytes; keep less in it")]
    TooLong(u64),
    /// Too many columns.
    #[error("there are {0} columns; at most {MAX_COLUMNS} are allowed")]
    TooManyColumns(usize),
    /// A column has no name.
    #[error("column {0} has no name in the first line; give it one")]
    NoName(usize),
    /// Two columns have the same name.
    #[error("two columns are called {0:?} in the first line; rename one")]
    Twice(String),
    /// A row has too few or too many values.
    #[error("line {0}: {1} values, where the first line names {2} columns; quote values that have commas")]
    Width(u64, usize, usize),
    /// A quote is open to the end of the rows.
    #[error("line {0}: a quote is not closed; close it, and write \"\" for one inside of a quoted value")]
    Quote(u64),
    /// A quote stands inside of a value.
    #[error(
        "line {0}: a quote is neither the first nor the last of a value; quote all of the value, and write \"\" for each quote in it"
    )]
    QuoteInside(u64),
    /// A line is no JSON.
    #[error("line {0}: not a mapping in JSON: {1}")]
    Json(u64, String),
    /// A number is not what was written.
    #[error("line {0}: the number {1} is beyond 64 bits and would lose digits; write it in quotes")]
    Digits(u64, String),
    /// Not readable as CSV.
    #[error("not readable as CSV: {0}")]
    Csv(String),
    /// More bad rows.
    #[error("and {0} more rows like these")]
    More(usize),
    /// Fewer rows than bots.
    #[error(
        "{rows} rows for {bots} bots: a row belongs to one bot at a time; add rows, take fewer bots, or write exhausted: Wait"
    )]
    TooFew {
        /// Rows.
        rows: usize,
        /// Bots alive at once.
        bots: u32,
    },
    /// A runner would have none.
    #[error("{0} rows for {1} runners, each of which needs one of its own; add rows, or take fewer runners")]
    NoRow(usize, u32),
    /// `{{ data }}` where no bot has a row.
    #[error("{{{{ data.{0} }}}} is the row of a bot of the load; setup and teardown have none")]
    NoRowOnce(String),
    /// A column that no row has.
    #[error("the rows have no column {0:?}; they have {1}")]
    NoColumn(String, String),
    /// `{{ data }}` without data.
    #[error("{{{{ data.{0} }}}} needs rows; add data: {{file: FILE}}")]
    NoData(String),
}

impl Data {
    /// Notes what is wrong with a source that lies at `path`, and reads rows that stand in the spec itself.
    pub(crate) fn check(spec: &DataSpec, path: &Path, findings: &mut Findings) -> Self {
        let sources = [
            spec.inline.as_ref().map(|_| Source::Inline),
            spec.file.clone().map(Source::File),
            spec.config_map.clone().map(Source::ConfigMap),
        ];
        let mut sources = sources.into_iter().flatten();
        let source = sources.next();
        if source.is_none() || sources.next().is_some() {
            findings.note(path, &Error::Source);
        }
        let source = source.unwrap_or(Source::Inline);
        let name = match &source {
            Source::Inline => "",
            Source::File(name) => name,
            Source::ConfigMap(map) => &map.key,
        };
        let lines = [".jsonl", ".ndjson"].iter().any(|suffix| name.to_ascii_lowercase().ends_with(suffix));
        let usual = if lines { DataFormat::JsonLines } else { DataFormat::Csv };
        let format = spec.format.unwrap_or(usual);
        let mut table = None;
        if let (Source::Inline, Some(text)) = (&source, &spec.inline) {
            match Table::read(text.clone(), format) {
                Ok(read) => table = Some(Arc::new(read)),
                Err(errors) => errors.iter().for_each(|e| findings.note(&path.field("inline"), e)),
            }
        }
        Self { source, format, exhausted: spec.exhausted.unwrap_or_default(), table }
    }

    /// The name of the field that says where the rows come from.
    pub fn field(&self) -> &'static str {
        match self.source {
            Source::Inline => "inline",
            Source::File(_) => "file",
            Source::ConfigMap(_) => "configMap",
        }
    }

    /// What is wrong with rows for so many bots; nothing while they are not read.
    pub fn too_few(&self, bots: Option<u32>, runners: u32) -> Option<Error> {
        let rows = self.table.as_ref()?.len();
        // Who has no bots needs no row.
        let runners = bots.map_or(runners, |bots| runners.min(bots));
        if self.exhausted != Exhausted::Stop && rows < runners as usize {
            return Some(Error::NoRow(rows, runners));
        }
        let bots = bots?;
        // Bots and rows are dealt out alike, so that no runner has too few when all have enough together.
        let short = self.exhausted == Exhausted::Recycle && bots as usize > rows;
        short.then_some(Error::TooFew { rows, bots })
    }
}

/// Rows as text, of which each is taken apart only when it is needed.
#[derive(Debug)]
pub struct Table {
    text: String,
    format: DataFormat,
    columns: Vec<String>,
    rows: Vec<Range<u32>>,
}

impl Table {
    /// Reads rows; all bad ones are told, up to ten.
    pub fn read(text: String, format: DataFormat) -> Result<Self, Vec<Error>> {
        if text.len() > MAX_BYTES {
            return Err(vec![Error::TooLarge]);
        }
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        let mut reading = Reading::default();
        match format {
            DataFormat::Csv => reading.csv(&text),
            DataFormat::JsonLines => reading.json_lines(&text),
        }
        let Reading { columns, mut rows, mut errors, more } = reading;
        rows.shrink_to_fit();
        if rows.len() > MAX_ROWS {
            errors.push(Error::TooMany);
        } else if rows.is_empty() && errors.is_empty() {
            errors.push(Error::Empty);
        }
        if more > 0 {
            errors.push(Error::More(more));
        }
        if errors.is_empty() { Ok(Self { text, format, columns, rows }) } else { Err(errors) }
    }

    /// How many rows there are; at least one.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never: a table without rows is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The names of the columns; of lines of JSON those of all lines together.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A row as a mapping: values of CSV are text, those of JSON what they are.
    pub fn row(&self, number: usize) -> Option<Value> {
        let range = self.rows.get(number)?;
        let text = self.text.get(range.start as usize..range.end as usize)?;
        match self.format {
            DataFormat::JsonLines => serde_json::from_str(text).ok(),
            DataFormat::Csv => {
                let mut record = csv::StringRecord::new();
                read::csv(text).read_record(&mut record).ok()?;
                let values = self.columns.iter().cloned().zip(record.iter().map(Value::from));
                Some(Value::Object(values.collect()))
            }
        }
    }
}

/// Whose tree it is that may use rows.
pub(crate) enum RowsFor<'a> {
    /// That of bots which are given these.
    Bots(Option<&'a Data>),
    /// Setup or teardown.
    Once,
}

/// Notes each column that a tree uses and the rows do not have.
pub(crate) fn unknown_columns(
    data: &RowsFor<'_>,
    leaves: &[botarmy_tree::plan::LeafRecord],
    frames: &[botarmy_tree::plan::FrameRecord],
    spec: &Path,
) -> Vec<Finding> {
    let of_leaves = leaves.iter().flat_map(|leaf| {
        let columns = leaf.call.templates().into_iter().flat_map(|t| t.parts_of("data"));
        columns.map(|column| (leaf.path.clone(), column))
    });
    let of_frames = frames.iter().flat_map(|frame| {
        let columns = frame.with.iter().flat_map(|(_, t)| t.parts_of("data"));
        columns.map(|column| (spec.field("trees").field(&frame.subtree), column))
    });
    let mut findings = Vec::new();
    for (path, column) in of_leaves.chain(of_frames) {
        let error = match data {
            RowsFor::Once => Error::NoRowOnce(column.to_owned()),
            RowsFor::Bots(None) => Error::NoData(column.to_owned()),
            RowsFor::Bots(Some(data)) => match &data.table {
                Some(table) if !table.columns.iter().any(|c| c == column) => {
                    Error::NoColumn(column.to_owned(), botarmy_tree::finding::listed(&table.columns))
                }
                Some(_) | None => continue,
            },
        };
        let finding = Finding::new(&path, &error);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn csv(text: &str) -> Result<Table, Vec<String>> {
        Table::read(text.into(), DataFormat::Csv).map_err(|e| e.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rows_of_csv_are_text_by_column() {
        let table =
            csv("\u{feff}user, pass\r\nann,\"a,\"\"b\"\"\nc\"\r\n\r\nbob,\u{fc}\r\neve,last").expect("rows");
        assert_eq!((table.len(), table.columns()), (3, &["user".to_owned(), "pass".to_owned()][..]));
        let rows: Vec<Option<Value>> = (0..4).map(|n| table.row(n)).collect();
        assert_eq!(rows[0], Some(json!({"user": "ann", "pass": "a,\"b\"\nc"})));
        assert_eq!(rows[1], Some(json!({"user": "bob", "pass": "\u{fc}"})));
        assert_eq!(rows[2], Some(json!({"user": "eve", "pass": "last"})));
        assert_eq!(rows[3], None);
    }

    #[test]
    fn rows_of_json_keep_their_types() {
        let text = "{\"id\": 1, \"tags\": [\"a\"]}\n\n{\"id\": 2.5}\n";
        let table = Table::read(text.into(), DataFormat::JsonLines).expect("rows");
        assert_eq!((table.len(), table.columns()), (2, &["id".to_owned(), "tags".to_owned()][..]));
        assert_eq!(table.row(0), Some(json!({"id": 1, "tags": ["a"]})));
        assert_eq!(table.row(1), Some(json!({"id": 2.5})));
    }

    #[test]
    fn bad_rows_are_told_with_their_line() {
        for (text, told) in [
            (
                "",
                vec![
                    "there is no row; write one on each line, in CSV below a line with the names of the columns",
                ],
            ),
            (
                "a,b\n",
                vec![
                    "there is no row; write one on each line, in CSV below a line with the names of the columns",
                ],
            ),
            (
                "a,b\n1,2\n3\n\"x\ny\",5\n6,7,8\n",
                vec![
                    "line 3: 1 values, where the first line names 2 columns; quote values that have commas",
                    "line 6: 3 values, where the first line names 2 columns; quote values that have commas",
                ],
            ),
            ("user\n\"ann\nbob\n", vec!["line 2: a quote is not closed"]),
            ("\nuser,\"pass\nann,1\n", vec!["line 2: a quote is not closed"]),
            ("a,,a\n1,2,3\n", vec!["column 2 has no name", "two columns are called \"a\""]),
        ] {
            let errors = csv(text).expect_err(text);
            let fits = errors.len() == told.len() && errors.iter().zip(&told).all(|(e, t)| e.starts_with(t));
            assert!(fits, "{text:?}: {errors:#?}");
        }
        let lines = "{\"a\": 1}\n[1]\n{\n".to_owned() + &"x\n".repeat(20);
        let errors = Table::read(lines, DataFormat::JsonLines).expect_err("bad lines");
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            told[0].starts_with("line 2: not a mapping in JSON") && told[1].starts_with("line 3: "),
            "{told:#?}"
        );
        assert_eq!((told.len(), told[10].as_str()), (11, "and 12 more rows like these"));
        let long = format!("a\n{}\n", "x".repeat(MAX_ROW));
        assert!(csv(&long).expect_err("too long")[0].starts_with("line 2: the row has more than"));
    }

    #[test]
    fn there_must_be_rows_for_all_bots() {
        let data = |rows: usize, exhausted| {
            let text = format!("a\n{}", "1\n".repeat(rows));
            let table = Some(Arc::new(Table::read(text, DataFormat::Csv).expect("rows")));
            Data { source: Source::Inline, format: DataFormat::Csv, exhausted, table }
        };
        for (rows, bots, fits) in [(5, 5, true), (4, 5, false), (5, 4, true)] {
            let error = data(rows, Exhausted::Recycle).too_few(Some(bots), 1);
            assert_eq!(error.is_none(), fits, "{rows} rows, {bots} bots: {error:?}");
            assert_eq!(data(rows, Exhausted::Wait).too_few(Some(bots), 1), None);
            assert!(data(rows, Exhausted::Wait).too_few(None, 9).is_some(), "a runner without a row");
            assert_eq!(data(rows, Exhausted::Wait).too_few(Some(1), 9), None, "only one has a bot");
        }
    }
}
