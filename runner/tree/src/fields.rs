//! Reading the fields of an object of a document, with every complaint noted in its place.

use crate::finding::{Finding, Path, listed, quoted};
use serde_json::{Map, Value};

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
}

/// What a value is, in words, with a short look at it.
pub(crate) fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(b) => format!("the boolean {b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) => format!("the text {}", quoted(s)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}

/// Collects findings while a document is read, so that all of them are told at once.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn note(&mut self, path: &Path, error: &impl std::fmt::Display) {
        self.0.push(Finding::new(path, error));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }

    /// The result, or what the error says, noted at `path`.
    pub(crate) fn ok<T, E: std::fmt::Display>(&mut self, path: &Path, result: Result<T, E>) -> Option<T> {
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
