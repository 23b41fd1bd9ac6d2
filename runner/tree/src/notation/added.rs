//! The nodes that the original does not have: `parallel`, `retry`, `timeout`, `if`, `check`, and
//! `subtree` with arguments.

use super::{MAX_NAME, Reader};
use crate::action::{self, Call};
use crate::ast::{Kind, Leaf, Quorum};
use crate::duration;
use crate::fields::kind_of;
use crate::finding::{Path, quoted};
use crate::http;
use crate::template::Template;
use serde_json::{Map, Value};
use std::time::Duration;

/// Most attempts of a `retry`.
pub const MAX_ATTEMPTS: u32 = 1_000_000;
/// Most arguments of a `subtree`.
pub const MAX_ARGUMENTS: usize = 64;

/// The words of `succeed_on` and `fail_on`.
pub(crate) const QUORUM_WORDS: [&str; 2] = ["all", "any"];

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("expected all, any or a whole number from 1 to {0} (the number of children), found {1}")]
    Quorum(usize, String),
    #[error("attempts must be a whole number from 1 to {MAX_ATTEMPTS}, found {0}")]
    Attempts(String),
    #[error("the time must be above zero")]
    NoTime,
    #[error("{0} is a condition as it stands between braces: write it without them, such as {1}")]
    Braces(String, String),
    #[error("a condition is an expression as text, such as \"id > 3\", found {0}")]
    NoCondition(String),
    #[error("at most {MAX_ARGUMENTS} arguments are allowed, not {0}")]
    TooManyArguments(usize),
}

impl Reader<'_> {
    /// `{succeed_on: all, fail_on: any, children: [NODE…]}`; `all` and `any` are the defaults.
    pub(super) fn parallel(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let what = "a mapping such as {succeed_on: all, fail_on: any, children: [NODE]}";
        let fields = self.findings.object(path, value, what)?;
        self.findings.only(path, fields, &["succeed_on", "fail_on", "children"]);
        let children = self.findings.required(path, fields, "children")?;
        let children = self.children(&path.field("children"), children)?;
        let count = children.len();
        let succeed_on = self.quorum(path, fields, "succeed_on", Quorum::All, count);
        let fail_on = self.quorum(path, fields, "fail_on", Quorum::Any, count);
        Some(Kind::Parallel { succeed_on, fail_on, children })
    }

    fn quorum(
        &mut self,
        path: &Path,
        fields: &Map<String, Value>,
        name: &str,
        default: Quorum,
        children: usize,
    ) -> Quorum {
        let count = |value: &Value| {
            let count = value.as_u64().and_then(|n| u32::try_from(n).ok())?;
            (1..=children).contains(&(count as usize)).then_some(Quorum::Count(count))
        };
        let read = match fields.get(name) {
            None => return default,
            Some(Value::String(word)) if word == QUORUM_WORDS[0] => return Quorum::All,
            Some(Value::String(word)) if word == QUORUM_WORDS[1] => return Quorum::Any,
            Some(value) => count(value).ok_or_else(|| Error::Quorum(children, kind_of(value))),
        };
        self.findings.ok(&path.field(name), read).unwrap_or(default)
    }

    /// `{attempts: 3, delay: 1s, child: NODE}`; without `delay` the next attempt follows at once.
    pub(super) fn retry(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let what = "a mapping such as {attempts: 3, delay: 1s, child: NODE}";
        let fields = self.findings.object(path, value, what)?;
        self.findings.only(path, fields, &["attempts", "delay", "child"]);
        let attempts = self.findings.required(path, fields, "attempts").and_then(|value| {
            let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
            let number = number.filter(|n| (1..=MAX_ATTEMPTS).contains(n));
            self.findings.ok(&path.field("attempts"), number.ok_or_else(|| Error::Attempts(kind_of(value))))
        });
        let delay = fields
            .get("delay")
            .and_then(|value| self.findings.ok(&path.field("delay"), duration::from_value(value)));
        let child = Box::new(self.child(path, fields)?);
        Some(Kind::Retry { attempts: attempts.unwrap_or(1), delay: delay.unwrap_or_default(), child })
    }

    /// `{after: 5s, child: NODE}`.
    pub(super) fn timeout(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let fields = self.findings.object(path, value, "a mapping such as {after: 5s, child: NODE}")?;
        self.findings.only(path, fields, &["after", "child"]);
        let place = path.field("after");
        let after = self.findings.required(path, fields, "after");
        let after = after.and_then(|value| self.findings.ok(&place, duration::from_value(value)));
        if after == Some(Duration::ZERO) {
            self.findings.note(&place, &Error::NoTime);
        }
        let child = Box::new(self.child(path, fields)?);
        Some(Kind::Timeout { after: after.unwrap_or_default(), child })
    }

    /// `{when: "EXPR", then: NODE, else: NODE}`; without `else` a false condition succeeds.
    pub(super) fn condition(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let what = "a mapping such as {when: \"id > 3\", then: NODE, else: NODE}";
        let fields = self.findings.object(path, value, what)?;
        self.findings.only(path, fields, &["when", "then", "else"]);
        let when = self.findings.required(path, fields, "when");
        let when = when.and_then(|value| {
            let condition = self.expression(&path.field("when"), value)?;
            let name = action::row_name("if", std::slice::from_ref(value));
            Some(Leaf { name, base: "if".to_owned(), call: Call::If(condition) })
        });
        let then = self.findings.required(path, fields, "then");
        let then = then.map(|node| Box::new(self.node(&path.field("then"), node)));
        let otherwise = fields.get("else").map(|node| Box::new(self.node(&path.field("else"), node)));
        Some(Kind::If { when: when?, then: then?, otherwise })
    }

    /// A condition, or `{name: TEXT, when: CONDITION}`.
    pub(super) fn check(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let base = "check".to_owned();
        let Value::Object(fields) = value else {
            let condition = self.expression(path, value)?;
            let name = action::row_name(&base, std::slice::from_ref(value));
            return Some(Kind::Leaf(Leaf { name, base, call: Call::Check(condition) }));
        };
        self.findings.only(path, fields, &["name", "when"]);
        let name = self.findings.required(path, fields, "name");
        let name = name.and_then(|n| http::read_name(&path.field("name"), n, &mut self.findings));
        let when = self.findings.required(path, fields, "when");
        let when = when.and_then(|value| self.expression(&path.field("when"), value));
        Some(Kind::Leaf(Leaf { name: name?, base, call: Call::Check(when?) }))
    }

    /// A condition as it stands between braces.
    fn expression(&mut self, path: &Path, value: &Value) -> Option<Template> {
        match value {
            // What is meant is as clear as `"true"`.
            Value::Bool(_) => Some(Template::Literal(value.clone())),
            Value::String(text) if text.trim_start().starts_with("{{") => {
                let inner = text.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
                self.findings.note(path, &Error::Braces(quoted(text), quoted(inner)));
                None
            }
            Value::String(text) => self.findings.ok(path, Template::expression(text)),
            other => {
                self.findings.note(path, &Error::NoCondition(kind_of(other)));
                None
            }
        }
    }

    /// The name of a tree, or `{name: T, with: {ARGUMENT: VALUE}}`.
    pub(super) fn subtree(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let (name, with) = match value {
            Value::Object(fields) => {
                self.findings.only(path, fields, &["name", "with"]);
                let with = fields.get("with").map(|with| self.arguments(&path.field("with"), with));
                (self.findings.required(path, fields, "name")?, with.unwrap_or_default())
            }
            other => (other, Vec::new()),
        };
        let name = self.findings.text(path, name, "the name of a tree", MAX_NAME)?;
        Some(Kind::Subtree { name: name.to_owned(), with })
    }

    fn arguments(&mut self, path: &Path, value: &Value) -> Vec<(String, Template)> {
        let what = "a mapping of arguments, such as {level: 3}";
        let fields = self.findings.object(path, value, what);
        if let Some(count) = fields.map(Map::len).filter(|count| *count > MAX_ARGUMENTS) {
            self.findings.note(path, &Error::TooManyArguments(count));
            return Vec::new();
        }
        let mut arguments = Vec::new();
        for (name, value) in fields.into_iter().flatten() {
            let place = path.field(name);
            self.findings.ok(&place, action::check_context_name(name));
            let template = self.findings.ok(&place, Template::value(value));
            arguments.extend(template.map(|t| (name.clone(), t)));
        }
        arguments
    }
}
