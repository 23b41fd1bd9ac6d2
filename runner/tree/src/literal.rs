//! The literals that the editor writes between parentheses: the data part of Elixir's syntax.
//!
//! Integers (`1_000`, `0x1F`, `0b11`, `0o17`, `?a`), floats, strings and charlists with escapes
//! and heredocs, atoms, lists, keyword lists, tuples and maps, nested at will; `#` comments.
//! Variables, calls, operators, sigils, structs and interpolation are refused.

mod number;
mod term;
mod text;

pub use term::Term;
pub(crate) use text::escaped;

/// Longest literal, in bytes.
pub const MAX_BYTES: usize = 256 << 10;
/// Deepest nesting.
pub const MAX_NESTING: usize = 64;

/// Why a text is not a literal. Columns count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Ends too early, or something stands where it cannot.
    #[error("cannot be read at character {at}: {expected}")]
    Syntax {
        /// Where.
        at: usize,
        /// What would be right there.
        expected: &'static str,
    },
    /// Understood, but not plain data.
    #[error(
        "{what} at character {at} is not a plain value; write numbers, \"text\", :atoms, lists, tuples or maps"
    )]
    NonLiteral {
        /// Where.
        at: usize,
        /// What stands there.
        what: &'static str,
    },
    /// Outside of what JSON holds.
    #[error("the number at character {at} does not fit; whole numbers need 64 bits, floats must be finite")]
    Number {
        /// Where.
        at: usize,
    },
    /// Too long or too deep.
    #[error("longer than {MAX_BYTES} bytes or nested deeper than {MAX_NESTING} levels; make it smaller")]
    TooLarge,
}

/// Reads one literal.
pub fn parse(source: &str) -> Result<Term, Error> {
    if source.len() > MAX_BYTES {
        return Err(Error::TooLarge);
    }
    let mut parser = Parser { chars: source.chars().collect(), at: 0, depth: 0 };
    parser.skip_blank();
    if parser.peek().is_none() {
        return Err(parser.non_literal("nothing"));
    }
    let term = parser.term()?;
    parser.skip_blank();
    match parser.peek() {
        None => Ok(term),
        Some(_) => Err(parser.unexpected_after_value()),
    }
}

/// Reads the arguments of a call: literals between commas.
pub fn parse_args(source: &str) -> Result<Vec<Term>, Error> {
    match parse(&format!("[{source}]"))? {
        Term::List(args) => Ok(args),
        other => Ok(vec![other]),
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn looks_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(i, c)| self.peek_at(i) == Some(c))
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn syntax(&self, expected: &'static str) -> Error {
        Error::Syntax { at: self.at + 1, expected }
    }

    fn non_literal(&self, what: &'static str) -> Error {
        Error::NonLiteral { at: self.at + 1, what }
    }

    fn unexpected_after_value(&self) -> Error {
        match self.peek() {
            Some('+' | '-' | '*' | '/' | '.' | '<' | '>' | '=' | '|' | '&' | '^' | '!') => {
                self.non_literal("an operator")
            }
            _ => self.syntax("expected a comma, a closing bracket or the end"),
        }
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            } else if c.is_whitespace() {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn term(&mut self) -> Result<Term, Error> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(Error::TooLarge);
        }
        let term = self.term_here();
        self.depth -= 1;
        term
    }

    fn term_here(&mut self) -> Result<Term, Error> {
        match self.peek() {
            None => Err(self.syntax("expected a value")),
            Some('0'..='9' | '-' | '?') => self.number(),
            Some('"') => self.quoted('"').map(Term::Text),
            Some('\'') => Ok(Term::List(
                self.quoted('\'')?.chars().map(|c| Term::Int(i128::from(u32::from(c)))).collect(),
            )),
            Some(':') => self.atom(),
            Some('[') => self.list(),
            Some('{') => self.tuple(),
            Some('%') if self.peek_at(1) == Some('{') => self.map(),
            Some('%') => Err(self.non_literal("a struct")),
            Some('(') => self.parenthesised(),
            Some('~') => Err(self.non_literal("a sigil")),
            Some('<') if self.looks_at("<<") => Err(self.non_literal("a binary")),
            Some('+' | '*' | '/' | '!' | '&' | '@' | '^' | '<' | '>' | '=' | '|') => {
                Err(self.non_literal("an operator"))
            }
            Some(c) if c.is_alphabetic() || c == '_' => self.word(),
            Some(_) => Err(self.syntax("expected a value")),
        }
    }

    fn parenthesised(&mut self) -> Result<Term, Error> {
        self.at += 1;
        self.skip_blank();
        let term = self.term()?;
        self.skip_blank();
        if self.eat(')') { Ok(term) } else { Err(self.syntax("expected )")) }
    }

    fn word(&mut self) -> Result<Term, Error> {
        let start = self.at;
        let word = self.identifier();
        match word.as_str() {
            "true" => Ok(Term::Bool(true)),
            "false" => Ok(Term::Bool(false)),
            "nil" => Ok(Term::Nil),
            _ => {
                self.at = start;
                Err(self.non_literal(if word.starts_with(char::is_uppercase) {
                    "a module"
                } else {
                    "a variable or a call"
                }))
            }
        }
    }

    fn identifier(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '@')) {
            word.push(c);
            self.at += 1;
        }
        if let Some(c) = self.peek().filter(|c| !word.is_empty() && matches!(c, '?' | '!')) {
            word.push(c);
            self.at += 1;
        }
        word
    }

    fn atom(&mut self) -> Result<Term, Error> {
        self.at += 1;
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote).map(Term::atom),
            Some(c) if c.is_alphabetic() || c == '_' => Ok(Term::atom(self.identifier())),
            Some(c) if OPERATOR_ATOM.contains(c) => {
                let mut name = String::new();
                while let Some(c) = self.peek().filter(|c| OPERATOR_ATOM.contains(*c)) {
                    name.push(c);
                    self.at += 1;
                }
                Ok(Term::Atom(name))
            }
            _ => Err(self.syntax("expected the name of an atom")),
        }
    }

    /// `name: ` or `"name": ` before a value, if that is what stands here.
    fn keyword_key(&mut self) -> Result<Option<String>, Error> {
        let start = self.at;
        let key = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            Some(c) if c.is_alphabetic() || c == '_' => self.identifier(),
            _ => return Ok(None),
        };
        let followed = self.peek_at(1).is_none_or(|c| c.is_whitespace() || c == '#');
        if self.peek() == Some(':') && followed {
            self.at += 1;
            return Ok(Some(key));
        }
        self.at = start;
        Ok(None)
    }

    /// Items up to `close`: plain ones first, then pairs. A trailing comma is allowed.
    fn items(&mut self, close: char) -> Result<(Vec<Term>, Vec<Term>), Error> {
        self.at += 1;
        let (mut plain, mut pairs) = (Vec::new(), Vec::new());
        loop {
            self.skip_blank();
            if self.eat(close) {
                return Ok((plain, pairs));
            }
            if let Some(key) = self.keyword_key()? {
                self.skip_blank();
                pairs.push(Term::Tuple(vec![Term::Atom(key), self.term()?]));
            } else if pairs.is_empty() {
                plain.push(self.term()?);
            } else {
                return Err(self.syntax("expected name: value, as before it"));
            }
            self.skip_blank();
            if !self.eat(',') && self.peek() != Some(close) {
                return Err(self.unexpected_after_value());
            }
        }
    }

    fn list(&mut self) -> Result<Term, Error> {
        let (mut items, pairs) = self.items(']')?;
        items.extend(pairs);
        Ok(Term::List(items))
    }

    fn tuple(&mut self) -> Result<Term, Error> {
        let start = self.at;
        let (mut items, pairs) = self.items('}')?;
        if !pairs.is_empty() {
            if items.is_empty() {
                self.at = start;
                return Err(self
                    .syntax("a tuple cannot begin with name: value; write [name: value] or %{name: value}"));
            }
            items.push(Term::List(pairs));
        }
        Ok(Term::Tuple(items))
    }

    fn map(&mut self) -> Result<Term, Error> {
        self.at += 2;
        let mut entries = Vec::new();
        let mut keywords = false;
        loop {
            self.skip_blank();
            if self.eat('}') {
                return Ok(Term::map(entries));
            }
            let key = if let Some(key) = self.keyword_key()? {
                keywords = true;
                Term::Atom(key)
            } else if keywords {
                return Err(self.syntax("expected name: value, as before it"));
            } else {
                let key = self.term()?;
                self.skip_blank();
                if !(self.eat('=') && self.eat('>')) {
                    return Err(self.syntax("expected =>"));
                }
                key
            };
            self.skip_blank();
            entries.push((key, self.term()?));
            self.skip_blank();
            if !self.eat(',') && self.peek() != Some('}') {
                return Err(self.unexpected_after_value());
            }
        }
    }
}

const OPERATOR_ATOM: &str = "+-*/=<>!&|^~@.%";

#[cfg(test)]
mod tests {
    use super::*;

    fn json(source: &str) -> String {
        parse(source).map_or_else(|e| e.to_string(), |t| t.to_json().to_string())
    }

    #[test]
    fn reads_all_kinds_of_data() {
        for (source, expected) in [
            ("0xfF", "255"),
            ("007", "7"),
            ("?\\n", "10"),
            ("- 5", "-5"),
            ("(-5)", "-5"),
            ("-1.5e-2", "-0.015"),
            ("9223372036854775807", "9223372036854775807"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            (r#""a\tb\x41\u00e9\u{1F600}\s\e""#, r#""a\tbAé😀 \u001b""#),
            ("\"\"\"\n  in\n    dented\n  \"\"\"", r#""in\n  dented\n""#),
            ("'a\\'b'", "[97,39,98]"),
            (":ok?", r#""ok?""#),
            ("[:nil, :true, :\"false\"]", "[null,true,false]"),
            (":\"a b\"", r#""a b""#),
            (":+", r#""+""#),
            ("[1, [2, {3}], ]", "[1,[2,[3]]]"),
            (r#"["a b": 1, c: 2,]"#, r#"[["a b",1],["c",2]]"#),
            ("{1, a: 2}", r#"[1,[["a",2]]]"#),
            (r#"%{"k" => 1, 2 => [3], c: nil}"#, r#"{"2":[3],"c":null,"k":1}"#),
            ("%{a: 1, a: 2}", r#"{"a":2}"#),
            ("[1, # one\n 2]", "[1,2]"),
        ] {
            assert_eq!(json(source), expected, "{source}");
        }
    }

    #[test]
    fn refuses_what_is_no_plain_data() {
        for source in [
            "",
            "1..3",
            "1 + 2",
            "--1",
            "1__0",
            "_1",
            "1_",
            "0x",
            "0xg",
            "1.",
            ".5",
            "1.e3",
            "1e3",
            "\"#{x}\"",
            "\"\\xZZ\"",
            "\"\\u{110000}\"",
            "foo",
            "Foo",
            "~s(a)",
            "%Foo{}",
            "[a:1]",
            "{a: 1}",
            "[a: 1, 2]",
            "%{1}",
            "%{a: 1, 2 => 3}",
            "1 2",
            "[1 2]",
            "()",
            "(1",
            "[1,,2]",
            "[,]",
            ":",
            "1; 2",
            "&1",
            "18446744073709551616",
            "-9223372036854775809",
            "1.0e999",
            "\"a\" <> \"b\"",
            "?",
            "-",
            "-x",
            "- -1",
            "-\"a\"",
            "12abc",
            "\u{0}",
        ] {
            assert!(parse(source).is_err(), "{source}: {:?}", parse(source));
        }
        assert_eq!(parse(&"[".repeat(100_000)), Err(Error::TooLarge));
        assert_eq!(parse(&"1".repeat(MAX_BYTES + 1)), Err(Error::TooLarge));
    }

    #[test]
    fn arguments_stand_between_commas() {
        let args = parse_args("1, a: 2, b: 3").unwrap();
        assert_eq!(args.len(), 3);
        assert_eq!(parse_args(" ").unwrap(), []);
        assert!(parse_args("1], [2").is_err());
        assert!(parse_args("1 # swallows the bracket").is_err());
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        for source in ["nil", "-7", "1.0e30", "0.1", "\"a\\\"#\\\\{b\\n\"", "[{1, :\"x y\"}, %{\"k\" => []}]"]
        {
            let term = parse(source).unwrap();
            assert_eq!(parse(&term.to_source()), Ok(term.clone()), "{source} -> {}", term.to_source());
        }
    }
}
