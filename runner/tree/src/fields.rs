//! Reading the fields of an object of a document, with every complaint noted in its place.

use crate::finding::{Finding, Path, listed, quoted};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What can be wrong with the fields of an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("unknown field {0}, expected one of {1}")]
    Unknown(String, String),
    #[error("the field {0} is missing; add it")]
    Missing(&'static str),
    #[error("expected {0}, found {1}")]
    Type(&'static str, String),
    #[error("the text is {0} bytes long; at most {1} are allowed")]
    TooLong(usize, usize),
    #[error("the list has {0} items; at most {1} are allowed")]
    TooMany(usize, usize),
    #[error("more than {MAX_FINDINGS} mistakes; mend these to see the others")]
    More,
}

/// What a value is, in words, with a short look at it.
pub fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) => format!("the text {}", quoted(s)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}

/// Most findings that are told of one document; of further ones only that there are some.
pub const MAX_FINDINGS: usize = 1_000;

/// Collects findings while a document is read, so that all of them are told at once: also over
/// several stages of reading, of which a later one must not complain about what an earlier one has
/// made of a mistake.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    told: Vec<Finding>,
    /// How many more there are.
    more: usize,
    /// Places without a value of their own, since what is written there cannot be read.
    unread: BTreeSet<Path>,
}

impl Findings {
    /// Notes an error at a place.
    pub fn note(&mut self, path: &Path, error: &impl std::fmt::Display) {
        self.push(|| Finding::new(path, error));
    }

    /// Notes an error that leaves a place without a value: what later stages find wrong at this
    /// very place is a consequence, and is not told.
    pub fn note_unread(&mut self, path: &Path, error: &impl std::fmt::Display) {
        self.note(path, error);
        self.unread(path);
    }

    /// Says that a place has no value of its own for a reason that is told elsewhere.
    pub fn unread(&mut self, path: &Path) {
        if self.unread.len() < MAX_FINDINGS {
            self.unread.insert(path.clone());
        }
    }

    /// Adds what a later stage has found.
    pub fn later(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            if !self.unread.contains(&finding.path) {
                self.push(|| finding);
            }
        }
    }

    /// Adds all of another collection.
    pub fn append(&mut self, other: Self) {
        self.later(other.told);
        self.more += other.more;
        self.unread.extend(other.unread);
    }

    fn push(&mut self, finding: impl FnOnce() -> Finding) {
        if self.told.len() < MAX_FINDINGS {
            self.told.push(finding());
        } else {
            self.more += 1;
        }
    }

    /// How many there are, told or not.
    pub fn len(&self) -> usize {
        self.told.len() + self.more
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// What is told, in the order in which it was found.
    pub fn into_vec(mut self) -> Vec<Finding> {
        if self.more > 0 {
            self.told.push(Finding::new(&Path::top(), &Error::More));
        }
        self.told
    }

    /// The value, unless something is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Vec<Finding>> {
        if self.is_empty() { Ok(value) } else { Err(self.into_vec()) }
    }

    /// The result, or what the error says, noted at `path`.
    pub fn ok<T, E: std::fmt::Display>(&mut self, path: &Path, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.note(path, &e)).ok()
    }

    pub(crate) fn object<'v>(
        &mut self,
        path: &Path,
        value: &'v Value,
        what: &'static str,
    ) -> Option<&'v Map<String, Value>> {
        self.ok(path, value.as_object().ok_or_else(|| Error::Type(what, kind_of(value))))
    }

    pub(crate) fn list<'v>(
        &mut self,
        path: &Path,
        value: &'v Value,
        what: &'static str,
        most: usize,
    ) -> Option<&'v [Value]> {
        let items = self.ok(path, value.as_array().ok_or_else(|| Error::Type(what, kind_of(value))))?;
        if items.len() > most {
            self.note(path, &Error::TooMany(items.len(), most));
            return None;
        }
        Some(items)
    }

    pub(crate) fn text<'v>(
        &mut self,
        path: &Path,
        value: &'v Value,
        what: &'static str,
        most: usize,
    ) -> Option<&'v str> {
        let text = self.ok(path, value.as_str().ok_or_else(|| Error::Type(what, kind_of(value))))?;
        if text.len() > most {
            self.note(path, &Error::TooLong(text.len(), most));
            return None;
        }
        Some(text)
    }

    /// Notes every field that is not among `known`.
    pub(crate) fn only(&mut self, path: &Path, fields: &Map<String, Value>, known: &[&str]) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            self.note(path, &Error::Unknown(quoted(name), listed(known)));
        }
    }

    /// A field that must be there.
    pub(crate) fn required<'v>(
        &mut self,
        path: &Path,
        fields: &'v Map<String, Value>,
        name: &'static str,
    ) -> Option<&'v Value> {
        self.ok(path, fields.get(name).ok_or(Error::Missing(name)))
    }
}
