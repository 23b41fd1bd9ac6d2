//! What minijinja would do without bounds, bounded: its fuel does not reach into lists that are worked
//! out only when they are looked at, so that `[1] * 100000000` would take gigabytes at the first look.

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use std::borrow::Cow;

/// Most numbers of a `range`.
pub(super) const MAX_RANGE: usize = 1_000;
/// The filter that stands behind each factor of a product.
const FACTOR: &str = "|_factor";

/// Puts the bounded functions in the place of those that have no bounds.
pub(super) fn bound(environment: &mut Environment<'_>) {
    environment.add_filter(&FACTOR[1..], factor);
    // It panics on some texts that are not ASCII; `~` puts texts together.
    environment.remove_filter("format");
    environment.add_filter("tojson", to_json);
    environment.add_function("range", range);
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

fn factor(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            Err(refused("a list cannot be multiplied; only numbers and texts can".into()))
        }
        _ => Ok(value),
    }
}

/// On one line: an indentation of any width would be one of any size.
fn to_json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| refused(e.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that minijinja calls")]
fn range(lower: isize, rest: Rest<isize>) -> Result<Value, Error> {
    let upper = rest.first().copied();
    let bounded = minijinja::functions::range(lower, upper, rest.get(1).copied())?;
    if bounded.len().is_some_and(|len| len <= MAX_RANGE) && rest.len() <= 2 {
        Ok(bounded)
    } else {
        Err(refused(format!("range takes up to three numbers and gives at most {MAX_RANGE}")))
    }
}

/// The expression with every factor of a product checked when it is worked out: `a * b` becomes
/// `a|_factor * b|_factor`. Filters bind closer than any operator but the dot, so that nothing else changes.
pub(super) fn guarded(source: &str) -> Cow<'_, str> {
    let pieces = pieces(source);
    let mut marks: Vec<usize> = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        // After a bracket or a comma it hands a list over as arguments.
        if piece.text == "*" && at > 0 && !matches!(pieces[at - 1].text, "(" | ",") {
            marks.extend([pieces[at - 1].end, end_of_factor(&pieces, at + 1)]);
        }
    }
    if marks.is_empty() {
        return Cow::Borrowed(source);
    }
    marks.sort_unstable();
    marks.dedup();
    let mut guarded = String::with_capacity(source.len() + marks.len() * FACTOR.len());
    let mut from = 0;
    for mark in marks {
        guarded.push_str(&source[from..mark]);
        guarded.push_str(FACTOR);
        from = mark;
    }
    Cow::Owned(guarded + &source[from..])
}

/// A word, a number, a text in quotes, `**`, or one other character, and where it ends.
struct Piece<'s> {
    text: &'s str,
    end: usize,
}

fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(first) = source[start..].chars().next() {
        let rest = &source[start..];
        let len = match first {
            '"' | '\'' => quoted(rest, first),
            '*' if rest.starts_with("**") => 2,
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let end = start + len;
        if !first.is_whitespace() {
            pieces.push(Piece { text: &source[start..end], end });
        }
        start = end;
    }
    pieces
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Where the operand ends whose first piece is at `at`: it goes on as long as brackets, dots, filters
/// and powers do.
fn end_of_factor(pieces: &[Piece<'_>], mut at: usize) -> usize {
    let text = |at: usize| pieces.get(at).map_or("", |p| p.text);
    loop {
        while text(at) == "-" {
            at += 1;
        }
        at = behind(pieces, at);
        loop {
            match text(at) {
                "." | "|" => at = behind(pieces, at + 1),
                "[" | "(" => at = behind(pieces, at),
                _ => break,
            }
        }
        if text(at) != "**" {
            break;
        }
        at += 1;
    }
    pieces.get(at.saturating_sub(1)).or(pieces.last()).map_or(0, |p| p.end)
}

/// The place behind a piece, or behind the bracket that closes it.
fn behind(pieces: &[Piece<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (i, piece) in pieces.iter().enumerate().skip(at) {
        match piece.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    pieces.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Context, RunScope, Scope, Template};

    fn rendered(expression: &str) -> Result<serde_json::Value, String> {
        let context: Context = [("l".to_owned(), serde_json::json!([1, 2]))].into();
        let run = RunScope::default();
        let scope = Scope::new(&run, 3, &context);
        let template = Template::expression(expression).map_err(|e| e.to_string())?;
        template.render(scope).map_err(|e| e.to_string())
    }

    #[test]
    fn products_are_what_they_were() {
        for (expression, value) in [
            ("2 * 3 + 4 * -5", serde_json::json!(-14)),
            ("-l[1] * bot.id ** 2 * 2", serde_json::json!(-36)),
            ("(1 + 2) * (l|length * 2)", serde_json::json!(12)),
            ("1.5 * 2 if l[0] * 1 == 1 else 0", serde_json::json!(3.0)),
            ("'ab' * 2 ~ 3 * 'c'", serde_json::json!("ababccc")),
            ("range(5, 0, -2)|join(',')", serde_json::json!("5,3,1")),
            ("range(1000)|length", serde_json::json!(1000)),
            ("{'a': l}|tojson", serde_json::json!("{\"a\":[1,2]}")),
        ] {
            assert_eq!(rendered(expression), Ok(value), "{expression}");
        }
    }

    /// Each of these would take gigabytes or minutes.
    #[test]
    fn nothing_grows_without_bounds() {
        for (expression, part) in [
            ("[1] * 100000000", "a list cannot be multiplied"),
            ("100000000 * l", "a list cannot be multiplied"),
            ("(l * 100000000) ~ ''", "a list cannot be multiplied"),
            ("([1] * 100000000) < ([1] * 100000000)", "a list cannot be multiplied"),
            ("2 * -3 ** 2 * l|list", "a list cannot be multiplied"),
            ("l|tojson(indent=1000000000)", "too many arguments"),
            ("range(1001)", "at most 1000"),
            ("'a' * 100000000", "fuel"),
            ("'%1000000000d'|format(1)", "format is unknown"),
            ("l|batch(1000000000, 0)|list", "fuel"),
        ] {
            let error = rendered(expression).unwrap_err();
            assert!(error.contains(part), "{expression}: {error}");
        }
    }

    #[test]
    fn every_factor_is_guarded() {
        for (source, expected) in [
            ("a + 1", "a + 1"),
            ("a ** 2", "a ** 2"),
            ("'a * b' ~ \"*\\\"*\"", "'a * b' ~ \"*\\\"*\""),
            ("f(*l, **m)", "f(*l, **m)"),
            ("a * b", "a|_factor * b|_factor"),
            ("a*b*c", "a|_factor*b|_factor*c|_factor"),
            ("-a.b[1](2) * -c|d(e, f)|g + h", "-a.b[1](2)|_factor * -c|d(e, f)|g|_factor + h"),
            ("(a + b) * (c * d)", "(a + b)|_factor * (c|_factor * d|_factor)|_factor"),
            ("2 * a ** -b.c if x else y", "2|_factor * a ** -b.c|_factor if x else y"),
            ("[1] * 2.5", "[1]|_factor * 2.5|_factor"),
            ("{'a': [1] * 3}", "{'a': [1]|_factor * 3|_factor}"),
            ("1.0e3 * 'ä}*'", "1.0e3|_factor * 'ä}*'|_factor"),
        ] {
            assert_eq!(guarded(source), expected);
        }
    }
}
