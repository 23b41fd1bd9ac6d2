//! Text with `{{ }}` in it: compiled once, rendered for each bot.
//!
//! Inside the braces stands a minijinja expression over `bot.id`, `run`, `target`, `env` and
//! `custom`, which are reserved names, and the bot's context by bare name. Plain paths are looked
//! up without minijinja; what is the same for the whole run is put in once ([`Template::fold`]).
//! A text that is exactly one `{{ x }}` keeps the type of `x`.

use crate::finding::quoted;
use minijinja::{Environment, Expression, UndefinedBehavior};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// Longest template, in bytes.
pub const MAX_BYTES: usize = 256 << 10;
/// Steps that one expression may take before it is stopped.
const FUEL: u64 = 100_000;
/// Names whose value is the same for the whole run.
const RUN_NAMES: [&str; 4] = ["run", "target", "env", "custom"];
/// Names that are taken for what this version does not have yet.
const RESERVED: [&str; 2] = ["data", "shared"];
const KEYWORDS: [&str; 13] =
    ["true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"];

static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
});

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `{{` without its end.
    #[error("{{{{ at character {0} is not closed; add }}}} or write {{{{ '{{{{' }}}} for plain braces")]
    Unclosed(usize),
    /// Nothing between the braces.
    #[error("nothing stands between the braces at character {0}; write a name or an expression")]
    Empty(usize),
    /// Not an expression.
    #[error("{0} is not an expression: {1}")]
    Syntax(String, String),
    /// A reserved name whose value this version cannot give.
    #[error("the name {0} is reserved; use a name of your own")]
    Reserved(String),
    /// `bot` has only an id.
    #[error("{0} does not exist; of the bot only bot.id can be used")]
    NoSuchPartOfBot(String),
    /// More than [`MAX_BYTES`].
    #[error("the text is longer than {MAX_BYTES} bytes; shorten it")]
    TooLong,
}

/// Why a template has no value for this bot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A name without a value.
    #[error("{0} is undefined; set it before it is used, or write {{{{ {0} | default(...) }}}}")]
    Undefined(String),
    /// The expression failed.
    #[error("the expression {0} failed: {1}")]
    Failed(String, String),
}

/// What is the same for all bots of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunScope {
    /// `run`: the run's name.
    pub run: String,
    /// `target`: the address of what is tested, if one is given.
    pub target: Option<String>,
    /// `env`: named texts.
    pub env: BTreeMap<String, String>,
    /// `custom`: anything.
    pub custom: Map<String, Value>,
}

/// What a bot knows: values by name.
pub type Context = BTreeMap<String, Value>;

/// All that a template can see when it is rendered.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// What is the same for all bots.
    pub run: &'a RunScope,
    /// `bot.id`.
    pub bot: u64,
    /// The bot's own values.
    pub context: &'a Context,
}

/// A compiled template: a value with holes.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// A value without holes.
    Literal(Value),
    /// Exactly one hole, which keeps its type.
    Hole(Hole),
    /// Text with holes.
    Text(Vec<Part>),
    /// A list of templates.
    List(Vec<Template>),
    /// A mapping with templates as values; keys are never rendered.
    Map(Vec<(String, Template)>),
}

/// A piece of a text template.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text as it stands.
    Plain(String),
    /// A hole.
    Hole(Hole),
}

/// What stands between the braces.
#[derive(Clone)]
pub struct Hole {
    source: String,
    look: Look,
}

#[derive(Clone)]
enum Look {
    Path(Vec<Segment>),
    Expression { compiled: Arc<Expression<'static, 'static>>, names: Vec<String> },
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

impl Template {
    /// Compiles a text.
    pub fn text(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_BYTES {
            return Err(Error::TooLong);
        }
        let mut parts = parts_of(text)?;
        Ok(match parts.len() {
            0 => Self::Literal(Value::from("")),
            1 => match parts.remove(0) {
                Part::Plain(plain) => Self::Literal(Value::from(plain)),
                Part::Hole(hole) => Self::Hole(hole),
            },
            _ => Self::Text(parts),
        })
    }

    /// Compiles every text inside of a value.
    pub fn value(value: &Value) -> Result<Self, Error> {
        Ok(match value {
            Value::String(text) => Self::text(text)?,
            Value::Array(items) => {
                let items = items.iter().map(Self::value).collect::<Result<Vec<_>, _>>()?;
                if items.iter().all(Self::is_literal) {
                    Self::Literal(value.clone())
                } else {
                    Self::List(items)
                }
            }
            Value::Object(entries) => {
                let compiled = entries.iter().map(|(k, v)| Ok((k.clone(), Self::value(v)?)));
                let entries = compiled.collect::<Result<Vec<_>, _>>()?;
                if entries.iter().all(|(_, v)| v.is_literal()) {
                    Self::Literal(value.clone())
                } else {
                    Self::Map(entries)
                }
            }
            other => Self::Literal(other.clone()),
        })
    }

    /// Whether there is nothing to render.
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// Puts in what is the same for the whole run. What is undefined there stays, and is an error
    /// of the leaf that meets it.
    #[must_use]
    pub fn fold(self, run: &RunScope) -> Self {
        let nobody = Context::new();
        let scope = Scope { run, bot: 0, context: &nobody };
        match self {
            Self::Hole(hole) if hole.is_of_run() => {
                hole.value(scope).map_or(Self::Hole(hole.clone()), |v| Self::Literal(v.into_owned()))
            }
            Self::Text(parts) => Self::Text(fold_parts(parts, scope)).simplified(),
            Self::List(items) => Self::List(items.into_iter().map(|i| i.fold(run)).collect()).simplified(),
            Self::Map(entries) => {
                Self::Map(entries.into_iter().map(|(k, v)| (k, v.fold(run))).collect()).simplified()
            }
            other => other,
        }
    }

    fn simplified(self) -> Self {
        let literal = |t: &Self| {
            if let Self::Literal(v) = t { Some(v.clone()) } else { None }
        };
        match &self {
            Self::Text(parts) => match parts.as_slice() {
                [] => Self::Literal(Value::from("")),
                [Part::Plain(plain)] => Self::Literal(Value::from(plain.as_str())),
                _ => self,
            },
            Self::List(items) => items
                .iter()
                .map(literal)
                .collect::<Option<Vec<_>>>()
                .map_or(self, |v| Self::Literal(v.into())),
            Self::Map(entries) => {
                let values = entries.iter().map(|(k, v)| Some((k.clone(), literal(v)?)));
                values.collect::<Option<Map<_, _>>>().map_or(self, |v| Self::Literal(v.into()))
            }
            Self::Literal(_) | Self::Hole(_) => self,
        }
    }

    /// The value for one bot.
    pub fn render(&self, scope: Scope<'_>) -> Result<Value, RenderError> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Hole(hole) => hole.value(scope)?.into_owned(),
            Self::Text(_) => {
                let mut text = String::new();
                self.render_text(scope, &mut text)?;
                Value::from(text)
            }
            Self::List(items) => items.iter().map(|i| i.render(scope)).collect::<Result<Vec<_>, _>>()?.into(),
            Self::Map(entries) => {
                let rendered = entries.iter().map(|(k, v)| Ok((k.clone(), v.render(scope)?)));
                Value::Object(rendered.collect::<Result<Map<_, _>, _>>()?)
            }
        })
    }

    /// The text for one bot, appended to `out`. Texts stand as they are, all else as JSON.
    pub fn render_text(&self, scope: Scope<'_>, out: &mut String) -> Result<(), RenderError> {
        match self {
            Self::Literal(value) => push_text(out, value),
            Self::Hole(hole) => push_text(out, &*hole.value(scope)?),
            Self::Text(parts) => {
                for part in parts {
                    match part {
                        Part::Plain(plain) => out.push_str(plain),
                        Part::Hole(hole) => push_text(out, &*hole.value(scope)?),
                    }
                }
            }
            Self::List(_) | Self::Map(_) => push_text(out, &self.render(scope)?),
        }
        Ok(())
    }
}

fn fold_parts(parts: Vec<Part>, scope: Scope<'_>) -> Vec<Part> {
    let mut folded: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        let plain = match part {
            Part::Plain(plain) => plain,
            Part::Hole(hole) => match hole.is_of_run().then(|| hole.value(scope)) {
                Some(Ok(value)) => {
                    let mut text = String::new();
                    push_text(&mut text, &value);
                    text
                }
                Some(Err(_)) | None => {
                    folded.push(Part::Hole(hole));
                    continue;
                }
            },
        };
        match folded.last_mut() {
            Some(Part::Plain(before)) => before.push_str(&plain),
            _ => folded.push(Part::Plain(plain)),
        }
    }
    folded
}

fn push_text(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(text),
        other => out.push_str(&other.to_string()),
    }
}

/// Cuts a text into plain pieces and holes.
fn parts_of(text: &str) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            parts.push(Part::Plain(rest[..open].to_owned()));
        }
        let at = text[..text.len() - rest.len() + open].chars().count() + 1;
        let inner = &rest[open + 2..];
        let close = closing_braces(inner).ok_or(Error::Unclosed(at))?;
        let source = inner[..close].trim();
        if source.is_empty() {
            return Err(Error::Empty(at));
        }
        parts.push(Part::Hole(Hole::parse(source)?));
        rest = &inner[close + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Plain(rest.to_owned()));
    }
    Ok(parts)
}

/// Where `}}` stands that closes an expression: outside of quotes and of inner braces.
fn closing_braces(inner: &str) -> Option<usize> {
    let bytes = inner.as_bytes();
    let (mut quote, mut depth, mut i) = (None, 0_usize, 0);
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(q), b) if b == q => quote = None,
            (Some(_), _) => {}
            (None, b @ (b'"' | b'\'')) => quote = Some(b),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(i + 1) == Some(&b'}') => return Some(i),
            (None, _) => {}
        }
        i += 1;
    }
    None
}

impl Hole {
    fn parse(source: &str) -> Result<Self, Error> {
        let look = if let Some(path) = plain_path(source) {
            check_names(std::iter::once(path_head(&path)), Some(&path))?;
            Look::Path(path)
        } else {
            let syntax = |e: minijinja::Error| Error::Syntax(quoted(source), e.to_string());
            let compiled = EXPRESSIONS.compile_expression_owned(source.to_owned()).map_err(syntax)?;
            let mut names: Vec<String> = compiled.undeclared_variables(false).into_iter().collect();
            names.retain(|name| !is_function(name));
            names.sort();
            check_names(names.iter().map(String::as_str), None)?;
            Look::Expression { compiled: Arc::new(compiled), names }
        };
        Ok(Self { source: source.to_owned(), look })
    }

    /// Whether the value depends on nothing but the run.
    fn is_of_run(&self) -> bool {
        match &self.look {
            Look::Path(path) => RUN_NAMES.contains(&path_head(path)),
            Look::Expression { names, .. } => names.iter().all(|n| RUN_NAMES.contains(&n.as_str())),
        }
    }

    fn value<'a>(&self, scope: Scope<'a>) -> Result<Cow<'a, Value>, RenderError> {
        match &self.look {
            Look::Path(path) => {
                look_up(path, scope).ok_or_else(|| RenderError::Undefined(self.source.clone()))
            }
            Look::Expression { compiled, names } => {
                let visible: BTreeMap<&str, Cow<'_, Value>> =
                    names.iter().filter_map(|n| Some((n.as_str(), head(n, scope)?))).collect();
                let failed = |e: String| RenderError::Failed(quoted(&self.source), e);
                let visible = minijinja::Value::from(minijinja::value::Serde(&visible));
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
        if RESERVED.contains(&name) {
            return Err(Error::Reserved(name.to_owned()));
        }
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

/// The value of a top-level name.
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
        name => Cow::Borrowed(scope.context.get(name)?),
    })
}

fn look_up<'a>(path: &[Segment], scope: Scope<'a>) -> Option<Cow<'a, Value>> {
    let (first, rest) = path.split_first()?;
    let Segment::Name(first) = first else { return None };
    if first == "bot" {
        return Some(Cow::Owned(Value::from(scope.bot)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run() -> RunScope {
        RunScope {
            run: "checkout".into(),
            target: Some("http://shop:8080".into()),
            env: [("REGION".to_owned(), "eu".to_owned())].into(),
            custom: json!({"n": 2, "list": [1, 2]}).as_object().unwrap().clone(),
        }
    }

    fn render(text: &str) -> Result<Value, RenderError> {
        let context: Context =
            [("id".to_owned(), json!(7)), ("cart".to_owned(), json!({"items": ["a", {"b c": true}]}))].into();
        let (run, template) = (run(), Template::text(text).unwrap());
        let scope = Scope { run: &run, bot: 3, context: &context };
        let value = template.render(scope);
        assert_eq!(value, template.fold(&run).render(scope), "folding changes nothing: {text}");
        value
    }

    #[test]
    fn one_hole_keeps_its_type_and_text_does_not() {
        for (text, value) in [
            ("plain", json!("plain")),
            ("", json!("")),
            ("{{ id }}", json!(7)),
            ("{{id}}{{id}}", json!("77")),
            ("{{ target }}/cart/{{ id }}", json!("http://shop:8080/cart/7")),
            ("{{ bot.id }}", json!(3)),
            ("{{ run }} {{ env.REGION }} {{ custom.list[1] }}", json!("checkout eu 2")),
            ("{{ cart.items[1][\"b c\"] }}", json!(true)),
            ("{{ cart.items }}!", json!("[\"a\",{\"b c\":true}]!")),
            ("{{ id + custom.n }}", json!(9)),
            ("{{ custom.n * 2 }}", json!(4)),
            ("{{ '}}' ~ id }}", json!("}}7")),
            ("{{ {'a': {'b': 1}}.a.b }}", json!(1)),
            ("{{ nothing | default('x') }}", json!("x")),
            ("{{ id > 5 and true }}", json!(true)),
            ("{{ '{{' }}", json!("{{")),
        ] {
            assert_eq!(render(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn the_undefined_is_an_error() {
        for text in [
            "{{ nope }}",
            "{{ cart.nope }}",
            "a {{ nope.x }}",
            "{{ env.NOPE }}",
            "{{ nope + 1 }}",
            "{{ cart.nope ~ 'x' }}",
        ] {
            assert!(render(text).is_err(), "{text}: {:?}", render(text));
        }
    }

    #[test]
    fn broken_templates_say_what_is_wrong() {
        assert_eq!(Template::text("ab {{ x"), Err(Error::Unclosed(4)));
        assert_eq!(Template::text("{{ }}"), Err(Error::Empty(1)));
        assert!(matches!(Template::text("{{ a + }}"), Err(Error::Syntax(..))));
        assert_eq!(Template::text("{{ data.user }}"), Err(Error::Reserved("data".into())));
        assert!(matches!(Template::text("{{ bot.name }}"), Err(Error::NoSuchPartOfBot(_))));
        assert_eq!(Template::text(&"a".repeat(MAX_BYTES + 1)), Err(Error::TooLong));
    }

    #[test]
    fn what_the_run_knows_is_put_in_once() {
        let folded = Template::text("{{ target }}/cart/{{ id }}").unwrap().fold(&run());
        assert_eq!(
            folded,
            Template::Text(vec![
                Part::Plain("http://shop:8080/cart/".into()),
                Part::Hole(Hole::parse("id").unwrap())
            ])
        );
        let body =
            Template::value(&json!({"a": ["{{ run }}", 1], "b": "{{ env.REGION }}"})).unwrap().fold(&run());
        assert_eq!(body, Template::Literal(json!({"a": ["checkout", 1], "b": "eu"})));
    }
}
