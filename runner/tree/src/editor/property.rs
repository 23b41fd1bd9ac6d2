//! Properties and the `{{key}}` templates that stand for them.

use super::Error;
use super::title::Quotes;
use crate::finding::{listed, quoted};
use crate::literal::{self, Term};
use serde_json::Value;
use std::collections::BTreeMap;

/// The properties that a tree sees, by name.
pub(super) type Properties = BTreeMap<String, Term>;

/// Puts the values of properties in the place of their templates. The text is Elixir source:
/// outside of quotes a value becomes a literal, inside it becomes part of the text. Keys are
/// taken as they stand, without trimming.
pub(super) fn resolve(source: &str, properties: &Properties) -> Result<String, Error> {
    let mut out = String::with_capacity(source.len());
    let mut quotes = Quotes::default();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let Some((key, after)) = template(rest) else {
            quotes.inside_after(c);
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let value = properties
            .get(key)
            .ok_or_else(|| Error::NoProperty(quoted(key), listed(properties.keys().map(|k| quoted(k)))))?;
        match (quotes.open(), value) {
            (_, Term::Map(_)) => return Err(Error::Object(quoted(key))),
            (Some(_), value) => out.push_str(&literal::escaped(&value.to_text())),
            // An atom reaches the action as text, as in the original.
            (None, Term::Atom(name)) => out.push_str(&Term::Text(name.clone()).to_source()),
            (None, value) => out.push_str(&value.to_source()),
        }
        rest = after;
    }
    Ok(out)
}

/// `{{key}}` at the beginning, by the original's pattern `{{([^}]+)}}`.
pub(super) fn template(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("{{")?;
    let end = inner.find('}').filter(|end| *end > 0)?;
    let after = inner[end..].strip_prefix("}}")?;
    Some((&inner[..end], after))
}

/// The value of a node's property: its text, templates put in, read as a literal.
pub(super) fn evaluate(value: &Value, properties: &Properties) -> Result<Term, Error> {
    let source = match value {
        Value::String(text) => text.clone(),
        // As Elixir writes it: JSON's `1e20` is none of its literals.
        Value::Number(_) | Value::Bool(_) => Term::from_json(value).to_source(),
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(Error::PropertyKind),
    };
    let resolved = resolve(&source, properties)?;
    literal::parse(&resolved).map_err(|e| Error::PropertyText(quoted(&source), e))
}

/// A whole number, or text that is one.
pub(super) fn whole_number(term: &Term) -> Option<i64> {
    match term {
        Term::Int(n) => i64::try_from(*n).ok(),
        Term::Text(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn properties() -> Properties {
        [
            ("x", Term::Int(5)),
            ("s", Term::Text("a\"b)#{c}".into())),
            ("f", Term::Float(-0.5)),
            ("a", Term::Atom("foo".into())),
            ("l", Term::List(vec![Term::Int(1), Term::Nil])),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into()
    }

    fn args(source: &str) -> String {
        let resolved = resolve(source, &properties()).unwrap();
        let args = literal::parse_args(&resolved).unwrap();
        serde_json::to_string(&args.iter().map(Term::to_json).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn values_are_put_in_as_values() {
        assert_eq!(args("{{x}}, {{s}}, {{f}}, {{a}}, {{l}}"), r##"[5,"a\"b)#{c}",-0.5,"foo",[1,null]]"##);
        assert_eq!(args(r#""pre {{x}} {{s}} {{a}}""#), r##"["pre 5 a\"b)#{c} foo"]"##);
        assert_eq!(args("1{{x}}"), "[15]");
    }

    #[test]
    fn keys_are_taken_as_they_stand() {
        let error = resolve("{{ x }}", &properties()).unwrap_err().to_string();
        assert!(error.contains("\" x \"") && error.contains("\"x\""), "{error}");
        assert_eq!(resolve("{{}} {{x} {x}}", &properties()).unwrap(), "{{}} {{x} {x}}");
    }

    #[test]
    fn node_properties_are_literals() {
        let evaluate = |value| evaluate(&value, &properties());
        assert_eq!(evaluate(json!(2)).unwrap(), Term::Int(2));
        assert_eq!(evaluate(json!("{{x}}")).unwrap(), Term::Int(5));
        assert_eq!(evaluate(json!("\"hello\"")).unwrap(), Term::Text("hello".into()));
        for wrong in [json!("hello"), json!(""), json!(null), json!([1]), json!({})] {
            assert!(evaluate(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!(
            [json!(3), json!("\"4\""), json!(2.5), json!("\"x\"")]
                .map(|v| whole_number(&evaluate(v).unwrap())),
            [Some(3), Some(4), None, None]
        );
    }
}
