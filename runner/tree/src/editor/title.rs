//! Titles of actions, which are calls: `Shop.Cart.buy(42, {{what}}) a remark`.

use super::Error;
use super::property::template;
use crate::finding::quoted;

/// A title taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Title<'t> {
    /// What stands before the parenthesis.
    pub(super) call: &'t str,
    /// What stands between the parentheses.
    pub(super) args: &'t str,
}

/// The call of a custom action, by the original's pattern `^([^(]+)\((.*)\)(?:\s.+|$)`: the
/// arguments end at the last parenthesis after which a remark or the end can follow.
pub(super) fn call(title: &str) -> Result<Title<'_>, Error> {
    let wrong = || Error::Title(quoted(title));
    let open = title.find('(').filter(|at| *at > 0).ok_or_else(wrong)?;
    let rest = &title[open + 1..];
    let line_end = rest.find('\n').unwrap_or(rest.len());
    let ends = |at: &usize| {
        let mut after = rest[at + 1..].chars();
        match (after.next(), after.next()) {
            (None, _) | (Some('\n'), None) => true,
            (Some(space), Some(remark)) => space.is_whitespace() && remark != '\n',
            (Some(_), None) => false,
        }
    };
    let close = rest[..line_end].match_indices(')').map(|(at, _)| at).rfind(ends).ok_or_else(wrong)?;
    Ok(Title { call: &title[..open], args: &rest[..close] })
}

/// The arguments of a built-in action: up to the first parenthesis that is not inside of a text.
/// What follows is ignored.
pub(super) fn built_in_args(title: &str) -> Result<&str, Error> {
    let wrong = || Error::BuiltInTitle(quoted(title));
    let open = title.find('(').filter(|at| *at > 0).ok_or_else(wrong)?;
    let rest = &title[open + 1..];
    Ok(&rest[..end_of_args(rest).ok_or_else(wrong)?])
}

/// Where the parenthesis stands that closes arguments: outside of texts, of remarks and of templates,
/// whose keys are taken as they stand.
fn end_of_args(args: &str) -> Option<usize> {
    let mut quotes = Quotes::default();
    let mut rest = args;
    while let Some(c) = rest.chars().next() {
        if let Some((_, after)) = template(rest) {
            rest = after;
        } else if let Some(quote) =
            ["\"\"\"", "'''"].into_iter().find(|q| quotes.is_plain() && rest.starts_with(q))
        {
            let inner = &rest[quote.len()..];
            rest = &inner[inner.find(quote)? + quote.len()..];
        } else if quotes.is_plain() && c == '#' {
            rest = &rest[rest.find('\n')?..];
        } else if !quotes.inside_after(c) && c == ')' {
            return Some(args.len() - rest.len());
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    None
}

/// The function with its module: a dotted name with a capital for each part of the module.
pub(super) fn function(call: &str, module_base: Option<&str>) -> Result<String, Error> {
    let wrong = || Error::Function(quoted(call));
    let (module, function) = call.rsplit_once('.').ok_or_else(wrong)?;
    if !is_module(module) || !is_function(function) {
        return Err(wrong());
    }
    match module_base {
        Some(base) if !is_module(base) => Err(Error::ModuleBase(quoted(base))),
        Some(base) => Ok(format!("{base}.{module}.{function}")),
        None => Ok(call.to_owned()),
    }
}

fn is_module(name: &str) -> bool {
    name.split('.').all(|part| {
        part.starts_with(char::is_uppercase) && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

fn is_function(name: &str) -> bool {
    let stem = name.strip_suffix(['?', '!']).unwrap_or(name);
    stem.starts_with(|c: char| c.is_lowercase() || c == '_')
        && stem.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Follows a literal character by character: is this place inside of a text?
#[derive(Debug, Default)]
pub(super) struct Quotes {
    open: Option<char>,
    escaped: bool,
    /// The character before was `?`, so that this one is only a code.
    code: bool,
}

impl Quotes {
    /// Whether the character that is passed over belongs to a text (its quotes included).
    pub(super) fn inside_after(&mut self, c: char) -> bool {
        if self.escaped {
            self.escaped = false;
            return true;
        }
        if std::mem::take(&mut self.code) {
            self.escaped = c == '\\';
            return true;
        }
        match self.open {
            Some(quote) => {
                self.escaped = c == '\\';
                if c == quote {
                    self.open = None;
                }
                true
            }
            None => {
                self.code = c == '?';
                self.open = Some(c).filter(|c| matches!(c, '"' | '\''));
                self.open.is_some()
            }
        }
    }

    /// Whether the next character stands for itself.
    fn is_plain(&self) -> bool {
        self.open.is_none() && !self.escaped && !self.code
    }

    /// The quote of the text in which the next character stands.
    pub(super) fn open(&self) -> Option<char> {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_end_where_the_original_ends_them() {
        for (title, args) in [
            ("A.one(1)", Some("1")),
            ("A.one(1) some note <w>", Some("1")),
            ("A.one(\"(x)\")", Some("\"(x)\"")),
            ("A.one(1) (note) x", Some("1) (note")),
            ("A.one(1)x", None),
            ("A.one(1) ", None),
            ("A.one(1)  ", Some("1")),
            ("A.one", None),
            ("(1)", None),
            ("A.one(1\n)", None),
            ("A.one(1)\n", Some("1")),
        ] {
            assert_eq!(call(title).ok().map(|t| t.args), args, "{title:?}");
        }
    }

    #[test]
    fn built_ins_end_at_the_first_parenthesis_outside_of_texts() {
        for (title, args) in [
            ("wait(1) and (more)", Some("1")),
            ("error(\"oh (no)\")", Some("\"oh (no)\"")),
            ("error(?\") x", Some("?\"")),
            ("error({{it's}})", Some("{{it's}}")),
            ("error({{a)b}})", Some("{{a)b}}")),
            ("log(\"a\" # it's (\n)", Some("\"a\" # it's (\n")),
            ("log(\"\"\"\n a \" ) b\n\"\"\")", Some("\"\"\"\n a \" ) b\n\"\"\"")),
            ("log(?#) x", Some("?#")),
            ("wait(1)x", Some("1")),
            ("wait", None),
            ("(1)", None),
            ("wait(1", None),
        ] {
            assert_eq!(built_in_args(title).ok(), args, "{title:?}");
        }
    }

    #[test]
    fn functions_are_elixir_names() {
        assert_eq!(function("A.B.go?", None).unwrap(), "A.B.go?");
        assert_eq!(function("A.go", Some("X.Y")).unwrap(), "X.Y.A.go");
        for call in
            ["go", "a.go", "A.Go", " A.go", "A.go ", "A..go", ".go", "A.", "A.{{x}}", "A.g-o", "A.go?!"]
        {
            assert!(function(call, None).is_err(), "{call:?}");
        }
        assert!(function("A.go", Some("X.")).is_err());
    }
}
