//! Finding the rows in a text, and what is wrong with them.

use super::{Error, MAX_COLUMNS, MAX_ROW, MAX_ROWS};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::ops::Range;

/// Most bad rows that are told.
const MAX_TOLD: usize = 10;
/// What a line ends with.
const END: [char; 2] = ['\r', '\n'];

/// A reader of one row of CSV after another.
pub(super) fn csv(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes())
}

/// How many lines end in a part of a text: at a line feed, at a carriage return, or at both together.
fn ends_of_lines(text: &[u8], part: Range<usize>) -> u64 {
    let ends = |at: &usize| match text[*at] {
        b'\n' => *at == 0 || text[*at - 1] != b'\r',
        byte => byte == b'\r',
    };
    part.filter(ends).count() as u64
}

/// Where a reader stands in a row of CSV.
#[derive(Clone, Copy)]
enum At {
    Begin,
    Plain,
    Quoted,
    /// Behind a quote in a quoted value, which is its end unless another quote follows.
    Closed,
}

/// What is wrong with the quotes of a row. RFC 4180 has them around all of a value and doubled in it; the reader takes
/// others too, and makes of some of them another text than was meant.
fn misquoted(row: &str, line: u64) -> Option<Error> {
    if !row.contains('"') {
        return None;
    }
    let mut at = At::Begin;
    for byte in row.trim_end_matches(END).bytes() {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Begin | At::Closed, b'"') | (At::Quoted, _) => At::Quoted,
            (At::Begin | At::Plain | At::Closed, b',') => At::Begin,
            (At::Plain, b'"') | (At::Closed, _) => return Some(Error::QuoteInside(line)),
            (At::Begin | At::Plain, _) => At::Plain,
        };
    }
    matches!(at, At::Quoted).then_some(Error::Quote(line))
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Range<u32>>,
    pub(super) errors: Vec<Error>,
    /// How many more bad rows there are.
    pub(super) more: usize,
}

impl Reading {
    fn note(&mut self, error: Error) {
        if self.errors.len() < MAX_TOLD {
            self.errors.push(error);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn csv(&mut self, text: &str) {
        let mut reader = csv(text);
        let mut record = csv::StringRecord::new();
        let mut header = true;
        // The reader's own number is that of the empty lines before a row.
        let (mut line, mut counted) = (1, 0);
        while !self.is_full() {
            match reader.read_record(&mut record) {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => return self.note(Error::Csv(error.to_string())),
            }
            let begin = record.position().and_then(|begin| usize::try_from(begin.byte()).ok());
            let Some((begin, end)) = begin.zip(usize::try_from(reader.position().byte()).ok()) else {
                return;
            };
            let raw = text.get(begin..end).unwrap_or_default().trim_start_matches(END);
            let begin = end - raw.len();
            line += ends_of_lines(text.as_bytes(), counted..begin);
            counted = begin;
            if raw.trim().is_empty() {
                continue;
            }
            let (misquoted, width) = (misquoted(raw, line), self.columns.len());
            if let Some(error) = misquoted {
                self.note(error);
                // Without the names of the columns no other row can be judged.
                if header {
                    return;
                }
            } else if std::mem::take(&mut header) {
                self.header(&record);
            } else if record.len() == width {
                self.row(line, begin..end);
            } else {
                self.note(Error::Width(line, record.len(), width));
            }
        }
    }

    fn header(&mut self, record: &csv::StringRecord) {
        if record.len() > MAX_COLUMNS {
            self.note(Error::TooManyColumns(record.len()));
        }
        let mut names = BTreeSet::new();
        for (n, name) in (1..).zip(record.iter().map(str::trim)) {
            if name.is_empty() {
                self.note(Error::NoName(n));
            } else if !names.insert(name) {
                self.note(Error::Twice(name.to_owned()));
            }
        }
        self.columns = record.iter().map(|name| name.trim().to_owned()).collect();
    }

    pub(super) fn json_lines(&mut self, text: &str) {
        let mut columns = BTreeSet::new();
        let mut begin = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            if self.is_full() {
                break;
            }
            let end = begin + line.len();
            if !line.trim().is_empty() {
                match serde_json::from_str::<Map<String, Value>>(line) {
                    Ok(row) => {
                        match row.values().find_map(botarmy_tree::json::beyond_64_bits) {
                            Some(value) => self.note(Error::Digits(number, value)),
                            None => self.row(number, begin..end),
                        }
                        for name in row.into_iter().map(|(name, _)| name) {
                            if columns.len() < MAX_COLUMNS || columns.contains(&name) {
                                columns.insert(name);
                            }
                        }
                    }
                    Err(error) => {
                        let told = error.to_string();
                        let (what, at) = told.split_once(" at line 1 ").unwrap_or((&told, ""));
                        self.note(Error::Json(number, format!("{what} {at}").trim_end().to_owned()));
                    }
                }
            }
            begin = end;
        }
        self.columns = columns.into_iter().collect();
    }

    /// Whether there are more rows than may be; what follows them is not looked at.
    fn is_full(&self) -> bool {
        self.rows.len() > MAX_ROWS
    }

    fn row(&mut self, line: u64, row: Range<usize>) {
        if row.len() > MAX_ROW {
            return self.note(Error::TooLong(line));
        }
        // A text has at most 256 MiB.
        let place = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
        self.rows.push(place(row.start)..place(row.end));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;
    use crate::types::DataFormat;
    use serde_json::json;

    fn csv(text: &str) -> Result<Table, Vec<String>> {
        Table::read(text.into(), DataFormat::Csv).map_err(|e| e.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_line_is_counted_as_an_editor_does() {
        for (text, line) in [
            ("a,b\n1,2\n\n\n3\n", 5),
            ("a,b\r\n1,2\r\n\r\n\r\n3\r\n", 5),
            ("a,b\r1,2\r\r3", 4),
            ("\n\r\na,b\n\n3", 5),
            ("\u{feff}\n\na,b\n  \n3", 5),
            ("a,b\n\"x\n\n\r\ny\",2\n\n3\n", 7),
            ("\"a\n\",b\n\n\"1\n\",2\n3", 6),
        ] {
            let told = csv(text).expect_err(text);
            let said = format!("line {line}: 1 values, where");
            assert!(told.len() == 1 && told[0].starts_with(&said), "{text:?}: {told:?}");
        }
        // Empty lines before a row are no part of it.
        let table = csv(&format!("a\n{}x\n", "\n".repeat(2 * MAX_ROW))).expect("a row");
        assert_eq!((table.len(), table.row(0)), (1, Some(json!({"a": "x"}))));
    }

    #[test]
    fn quotes_are_around_a_value_or_doubled_in_it() {
        let inside = "a quote is neither the first nor the last of a value; quote all of the value";
        for row in [
            "\"x\"y,2",
            "\"x\" ,2",
            " \"x\",2",
            "5\" x 3\",4",
            "x\",2",
            "1,x\"\"",
            "\"x\"\"y\"z,2",
            "\"\"x,2",
        ] {
            let told = csv(&format!("a,b\n1,2\n\n{row}\n3,4\n")).expect_err(row);
            let said = format!("line 4: {inside}");
            assert!(told.len() == 1 && told[0].starts_with(&said), "{row}: {told:?}");
            let told = csv(&format!("{row}\n3,4\n")).expect_err(row);
            assert!(told.len() == 1 && told[0].starts_with("line 1: a quote is"), "{row}: {told:?}");
        }
        for (row, value) in [
            ("\"5\"\" x 3\"\"\",4", "5\" x 3\""),
            ("\"\",4", ""),
            ("\"\"\"\",4", "\""),
            ("\"a\"\",\"\"b\",\"4\"", "a\",\"b"),
            ("\"a\r\n\",4\r", "a\r\n"),
        ] {
            let table = csv(&format!("a,b\n{row}\n")).expect(row);
            assert_eq!(table.row(0), Some(json!({"a": value, "b": "4"})), "{row}");
        }
    }
}
