//! What stands between the braces of a template: a path or an expression, and its value.

use super::{Error, MAX_EXPRESSION, MAX_RENDERED, RenderError, Scope, bounds};
use crate::finding::quoted;
use minijinja::{Environment, Expression, UndefinedBehavior};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// Steps that one expression may take before it is stopped.
const FUEL: u64 = 100_000;
/// Names whose value is the same for the whole run.
const RUN_NAMES: [&str; 4] = ["run", "target", "env", "custom"];
const KEYWORDS: [&str; 13] =
    ["true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"];

static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    bounds::bound(&mut environment);
    environment
});

/// What stands between the braces.
#[derive(Clone)]
pub struct Hole {
    source: String,
    look: Look,
}

#[derive(Clone)]
enum Look {
    Path(Vec<Segment>),
    Expression { compiled: Arc<Expression<'static, 'static>>, names: Vec<Arc<str>> },
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Name(String),
    Index(usize),
}

impl fmt::Debug for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{ {} }}}}", self.source)
    }
}

impl PartialEq for Hole {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Hole {
    pub(super) fn parse(source: &str) -> Result<Self, Error> {
        if source.len() > MAX_EXPRESSION {
            return Err(Error::ExpressionTooLong);
        }
        let look = if let Some(path) = plain_path(source) {
            check_names(std::iter::once(path_head(&path)), Some(&path))?;
            Look::Path(path)
        } else {
            let syntax = |e: minijinja::Error| Error::Syntax(quoted(source), e.to_string());
            let compiled =
                EXPRESSIONS.compile_expression_owned(bounds::guarded(source).into_owned()).map_err(syntax)?;
            let mut names: Vec<Arc<str>> =
                compiled.undeclared_variables(false).into_iter().map(Arc::from).collect();
            names.retain(|name| !is_function(name));
            names.sort();
            check_names(names.iter().map(|name| &**name), None)?;
            Look::Expression { compiled: Arc::new(compiled), names }
        };
        Ok(Self { source: source.to_owned(), look })
    }

    pub(super) fn mentions(&self, name: &str) -> bool {
        match &self.look {
            Look::Path(path) => path_head(path) == name,
            Look::Expression { names, .. } => names.iter().any(|n| &**n == name),
        }
    }

    /// Which part of a name it looks up, if it is a plain path below that name.
    pub(super) fn part_of(&self, name: &str) -> Option<&str> {
        match &self.look {
            Look::Path(path) if path_head(path) == name => match path.get(1) {
                Some(Segment::Name(part)) => Some(part),
                Some(Segment::Index(_)) | None => None,
            },
            Look::Path(_) | Look::Expression { .. } => None,
        }
    }

    /// The path as it is written, if it is a plain one below a name.
    pub(super) fn path_of(&self, name: &str) -> Option<&str> {
        match &self.look {
            Look::Path(path) if path.len() > 1 && path_head(path) == name => Some(&self.source),
            Look::Path(_) | Look::Expression { .. } => None,
        }
    }

    /// Whether the value depends on nothing but the run.
    pub(super) fn is_of_run(&self) -> bool {
        match &self.look {
            Look::Path(path) => RUN_NAMES.contains(&path_head(path)),
            Look::Expression { names, .. } => names.iter().all(|n| RUN_NAMES.contains(&&**n)),
        }
    }

    /// The value's text for one bot, appended to `out`.
    pub fn render_text(&self, scope: Scope<'_>, out: &mut String) -> Result<(), RenderError> {
        super::push_text(out, &*self.value(scope)?);
        if out.len() > MAX_RENDERED { Err(RenderError::TooLong) } else { Ok(()) }
    }

    pub(super) fn value<'a>(&self, scope: Scope<'a>) -> Result<Cow<'a, Value>, RenderError> {
        match &self.look {
            Look::Path(path) => {
                look_up(path, scope).ok_or_else(|| RenderError::Undefined(self.source.clone()))
            }
            Look::Expression { compiled, names } => {
                let visible: BTreeMap<Arc<str>, minijinja::Value> =
                    names.iter().filter_map(|n| Some((n.clone(), visible(n, scope)?))).collect();
                let failed = |e: String| RenderError::Failed(quoted(&self.source), e);
                let visible = minijinja::Value::from(visible);
                let value = compiled.eval(visible).map_err(|e| failed(e.to_string()))?;
                if value.is_undefined() {
                    return Err(RenderError::Undefined(self.source.clone()));
                }
                serde_json::to_value(&value).map(Cow::Owned).map_err(|e| failed(e.to_string()))
            }
        }
    }
}

fn is_function(name: &str) -> bool {
    matches!(name, "range" | "dict" | "namespace" | "debug")
}

fn check_names<'n>(names: impl Iterator<Item = &'n str>, path: Option<&[Segment]>) -> Result<(), Error> {
    for name in names {
        let is_bot_id = |p: &[Segment]| matches!(p, [_, Segment::Name(part)] if part == "id");
        if name == "bot" && !path.is_none_or(is_bot_id) {
            return Err(Error::NoSuchPartOfBot("this part of bot".into()));
        }
    }
    Ok(())
}

fn path_head(path: &[Segment]) -> &str {
    match path.first() {
        Some(Segment::Name(name)) => name,
        Some(Segment::Index(_)) | None => "",
    }
}

/// `a`, `a.b`, `a[0]`, `a["b c"]` as segments; none if it is more than a path.
fn plain_path(source: &str) -> Option<Vec<Segment>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let word = |s: &str| -> Option<(String, usize)> {
        let end = s.find(|c| !is_word(c)).unwrap_or(s.len());
        let fits =
            s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !KEYWORDS.contains(&&s[..end]);
        fits.then(|| (s[..end].to_owned(), end))
    };
    let (first, end) = word(source)?;
    let mut path = vec![Segment::Name(first)];
    let mut rest = &source[end..];
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let (name, end) = word(tail)?;
            path.push(Segment::Name(name));
            rest = &tail[end..];
        } else {
            let (inner, tail) = rest.strip_prefix('[')?.split_once(']')?;
            let unquoted =
                |q: char| inner.strip_prefix(q)?.strip_suffix(q).filter(|s| !s.contains(['\\', q, '[']));
            path.push(match unquoted('"').or_else(|| unquoted('\'')) {
                Some(name) => Segment::Name(name.to_owned()),
                None => Segment::Index(inner.parse().ok()?),
            });
            rest = tail;
        }
    }
    Some(path)
}

/// What an expression sees under a name. Shared data is looked up part by part, never copied whole.
fn visible(name: &str, scope: Scope<'_>) -> Option<minijinja::Value> {
    if name == "shared" {
        return scope.shared.map(|shared| minijinja::Value::from_object(shared.clone()));
    }
    head(name, scope).map(|value| minijinja::Value::from(minijinja::value::Serde(&*value)))
}

/// The value of a top-level name, but for `shared`, which has only parts.
fn head<'a>(name: &str, scope: Scope<'a>) -> Option<Cow<'a, Value>> {
    Some(match name {
        "bot" => Cow::Owned(serde_json::json!({"id": scope.bot})),
        "run" => Cow::Owned(Value::from(scope.run.run.as_str())),
        "target" => Cow::Owned(Value::from(scope.run.target.as_deref()?)),
        "env" => Cow::Owned(
            scope
                .run
                .env
                .iter()
                .map(|(k, v)| (k.clone(), Value::from(v.as_str())))
                .collect::<Map<_, _>>()
                .into(),
        ),
        "custom" => Cow::Owned(Value::Object(scope.run.custom.clone())),
        "data" => Cow::Borrowed(scope.data?),
        "shared" => return None,
        name => {
            let argument = scope.arguments.and_then(|arguments| arguments.get(name));
            Cow::Borrowed(argument.or_else(|| scope.context.get(name))?)
        }
    })
}

fn look_up<'a>(path: &[Segment], scope: Scope<'a>) -> Option<Cow<'a, Value>> {
    let (first, rest) = path.split_first()?;
    let Segment::Name(first) = first else { return None };
    if first == "bot" {
        return Some(Cow::Owned(Value::from(scope.bot)));
    }
    if first == "shared" {
        let (key, rest) = rest.split_first()?;
        let Segment::Name(key) = key else { return None };
        let value = scope.shared?.get(key)?;
        return descend(&value, rest).cloned().map(Cow::Owned);
    }
    match head(first, scope)? {
        Cow::Borrowed(value) => descend(value, rest).map(Cow::Borrowed),
        Cow::Owned(value) => descend(&value, rest).cloned().map(Cow::Owned),
    }
}

fn descend<'v>(value: &'v Value, path: &[Segment]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Name(name) => value.get(name),
        Segment::Index(index) => value.get(index),
    })
}
