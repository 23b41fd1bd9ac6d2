//! A literal as data: to and from JSON, and back to text.

use super::{number, text};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number from -2⁶³ to below 2⁶⁴. Elixir knows no bounds here; JSON does.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// `:name`.
    Atom(String),
    /// A list; charlists are lists of code points, keyword lists are lists of pairs.
    List(Vec<Term>),
    /// A tuple.
    Tuple(Vec<Term>),
    /// A map, sorted by key.
    Map(Vec<(Term, Term)>),
}

impl Term {
    /// The value as JSON: atoms become strings, tuples arrays, keys of maps text.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Nil => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => i64::try_from(*n)
                .map_or_else(|_| Value::from(u64::try_from(*n).unwrap_or(u64::MAX)), Value::from),
            Self::Float(x) => Value::from(*x),
            Self::Text(s) | Self::Atom(s) => Value::from(s.as_str()),
            Self::List(items) | Self::Tuple(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(k, v)| (k.to_text(), v.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// The value of JSON as a literal.
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nil,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => {
                let whole = n.as_i64().map(i128::from).or(n.as_u64().map(i128::from));
                whole.map_or_else(|| Self::Float(n.as_f64().unwrap_or(f64::MAX)), Self::Int)
            }
            Value::String(s) => Self::Text(s.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Value::Object(entries) => {
                Self::map(entries.iter().map(|(k, v)| (Self::Text(k.clone()), Self::from_json(v))).collect())
            }
        }
    }

    /// The value as text: texts and atoms as they stand, all else as JSON.
    pub fn to_text(&self) -> String {
        match self.to_json() {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// The value written as a literal, so that reading it gives it back.
    pub fn to_source(&self) -> String {
        let list = |items: &[Self]| items.iter().map(Self::to_source).collect::<Vec<_>>().join(", ");
        match self {
            Self::Nil => "nil".into(),
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Float(x) => number::float_source(*x),
            Self::Text(s) => format!("\"{}\"", text::escaped(s)),
            Self::Atom(s) => format!(":\"{}\"", text::escaped(s)),
            Self::List(items) => format!("[{}]", list(items)),
            Self::Tuple(items) => format!("{{{}}}", list(items)),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(k, v)| format!("{} => {}", k.to_source(), v.to_source()));
                format!("%{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The pairs of a map or a keyword list, keys as text; none if it is neither.
    pub fn pairs(&self) -> Option<Vec<(String, Self)>> {
        match self {
            Self::Map(entries) => Some(entries.iter().map(|(k, v)| (k.to_text(), v.clone())).collect()),
            Self::List(items) => items
                .iter()
                .map(|item| match item {
                    Self::Tuple(pair) => match pair.as_slice() {
                        [key @ (Self::Atom(_) | Self::Text(_)), value] => {
                            Some((key.to_text(), value.clone()))
                        }
                        _ => None,
                    },
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }

    /// The atom of a name: `nil`, `true` and `false` are atoms in Elixir.
    pub(super) fn atom(name: String) -> Self {
        match name.as_str() {
            "nil" => Self::Nil,
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => Self::Atom(name),
        }
    }

    /// A map of entries in any order; the last of equal keys wins.
    pub(super) fn map(entries: Vec<(Self, Self)>) -> Self {
        let by_source: BTreeMap<String, (Self, Self)> =
            entries.into_iter().map(|(key, value)| (key.to_source(), (key, value))).collect();
        Self::Map(by_source.into_values().collect())
    }
}
