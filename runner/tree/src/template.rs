//! Text with `{{ }}` in it: compiled once, rendered for each bot.
//!
//! Inside the braces stands a minijinja expression over `bot.id`, `run`, `target`, `env`, `custom`,
//! `data` and `shared`, which are reserved names, and the bot's context by bare name. Plain paths are
//! looked up without minijinja; what is the same for the whole run is put in once
//! ([`Template::fold`]). A text that is exactly one `{{ x }}` keeps the type of `x`.

mod bounds;
mod hole;
mod shared;

pub use hole::Hole;
pub use shared::Shared;

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Longest template, in bytes.
pub const MAX_BYTES: usize = 256 << 10;
/// Longest expression between braces, in bytes: it is read and run recursively, on the stack of
/// whoever does so.
pub const MAX_EXPRESSION: usize = 2 << 10;
/// Longest text that a template is rendered to, in bytes.
pub const MAX_RENDERED: usize = 8 << 20;

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
    /// `bot` has only an id.
    #[error("{0} does not exist; of the bot only bot.id can be used")]
    NoSuchPartOfBot(String),
    /// More than [`MAX_EXPRESSION`].
    #[error("an expression is at most {MAX_EXPRESSION} bytes long; work it out in steps, with set")]
    ExpressionTooLong,
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
    /// More than [`MAX_RENDERED`].
    #[error("the text becomes longer than {MAX_RENDERED} bytes; put less into it")]
    TooLong,
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
    /// The arguments of the subtree; they hide the bot's values of the same names.
    pub arguments: Option<&'a Context>,
    /// `data`: the bot's row of the data file, if there is one.
    pub data: Option<&'a Value>,
    /// `shared`: what all bots of the run share, if there is such a thing.
    pub shared: Option<&'a Shared>,
}

impl<'a> Scope<'a> {
    /// What a bot sees that has no arguments, no data and shares nothing.
    pub fn new(run: &'a RunScope, bot: u64, context: &'a Context) -> Self {
        Self { run, bot, context, arguments: None, data: None, shared: None }
    }
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

    /// Compiles an expression, as it would stand between braces.
    pub fn expression(source: &str) -> Result<Self, Error> {
        match source.trim() {
            "" => Err(Error::Empty(1)),
            long if long.len() > MAX_BYTES => Err(Error::TooLong),
            source => Ok(Self::Hole(Hole::parse(source)?)),
        }
    }

    /// Whether a name is used in it.
    pub fn mentions(&self, name: &str) -> bool {
        self.holes().into_iter().any(|hole| hole.mentions(name))
    }

    /// The parts of a name that are used by plain paths: of `data`, say, the columns.
    pub fn parts_of<'t>(&'t self, name: &str) -> Vec<&'t str> {
        self.holes().into_iter().filter_map(|hole| hole.part_of(name)).collect()
    }

    /// The plain paths below a name, as they are written.
    pub fn paths_of<'t>(&'t self, name: &str) -> Vec<&'t str> {
        self.holes().into_iter().filter_map(|hole| hole.path_of(name)).collect()
    }

    fn holes(&self) -> Vec<&Hole> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Hole(hole) => vec![hole],
            Self::Text(parts) => parts
                .iter()
                .filter_map(|part| if let Part::Hole(hole) = part { Some(hole) } else { None })
                .collect(),
            Self::List(items) => items.iter().flat_map(Self::holes).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, value)| value.holes()).collect(),
        }
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
        let scope = Scope::new(run, 0, &nobody);
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
            Self::Hole(hole) => hole.render_text(scope, out)?,
            Self::Text(parts) => {
                for part in parts {
                    match part {
                        Part::Plain(plain) => out.push_str(plain),
                        Part::Hole(hole) => hole.render_text(scope, out)?,
                    }
                }
            }
            Self::List(_) | Self::Map(_) => push_text(out, &self.render(scope)?),
        }
        Ok(())
    }
}

/// Whether a value counts as true in a condition, as in minijinja: all but `false`, `null`, zero and
/// what is empty.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64().is_some_and(|n| n != 0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
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
        other => {
            // Writing to a text does not fail.
            let _ = write!(out, "{other}");
        }
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
pub(crate) fn closing_braces(inner: &str) -> Option<usize> {
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
        let (data, shared) = (json!({"user": "ann", "age": "7"}), Shared::default());
        shared.set("stock", Some(json!({"left": 3})));
        let scope = Scope { data: Some(&data), shared: Some(&shared), ..Scope::new(&run, 3, &context) };
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
            ("{{ data.user }}/{{ data['age'] }}", json!("ann/7")),
            ("{{ data.age | int + id }}", json!(14)),
            ("{{ shared.stock }}", json!({"left": 3})),
            ("{{ shared.stock.left }} {{ shared.nope | default(0) }}", json!("3 0")),
            ("{{ shared.stock.left - 1 }}", json!(2)),
            ("{{ shared.nope is undefined }}", json!(true)),
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
            "{{ data.nope }}",
            "{{ shared.nope }}",
            "{{ shared }}",
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
        assert!(matches!(Template::text("{{ bot.name }}"), Err(Error::NoSuchPartOfBot(_))));
        assert_eq!(Template::text(&"a".repeat(MAX_BYTES + 1)), Err(Error::TooLong));
    }

    #[test]
    fn the_columns_in_use_are_known() {
        let value = json!(["{{ data.user }} {{ id }}", {"a": "{{ data['pass word'] }}", "b": "{{ data.x | upper }}"}]);
        assert_eq!(Template::value(&value).unwrap().parts_of("data"), ["user", "pass word"]);
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
