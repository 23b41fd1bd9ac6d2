//! Quoted text: strings, charlists and heredocs with their escapes.

use super::{Error, Parser};

impl Parser {
    /// What stands between two quotes, or between two lines of three.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String, Error> {
        let fence: String = [quote; 3].iter().collect();
        if self.looks_at(&fence) {
            return self.heredoc(&fence);
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(self.syntax("the text is not closed; add the quote")),
                Some(c) if c == quote => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(_) => self.text_character(&mut text)?,
            }
        }
    }

    fn text_character(&mut self, text: &mut String) -> Result<(), Error> {
        match self.peek() {
            Some('\\') => text.extend(self.escape()?),
            Some('#') if self.peek_at(1) == Some('{') => return Err(self.non_literal("an interpolation")),
            Some(c) => {
                text.push(c);
                self.at += 1;
            }
            None => {}
        }
        Ok(())
    }

    /// `"""`, lines, and `"""` whose indentation is taken off every line.
    fn heredoc(&mut self, fence: &str) -> Result<String, Error> {
        self.at += 3;
        if !self.eat('\n') {
            return Err(self.syntax("expected a line break after the three quotes"));
        }
        let mut lines: Vec<(usize, String)> = Vec::new();
        loop {
            let mut indent = 0;
            while matches!(self.peek(), Some(' ' | '\t')) {
                indent += 1;
                self.at += 1;
            }
            if self.looks_at(fence) {
                self.at += 3;
                let strip = indent;
                let unindented =
                    |(indent, line): &(usize, String)| " ".repeat(indent.saturating_sub(strip)) + line;
                return Ok(lines.iter().map(unindented).collect());
            }
            let mut line = String::new();
            while self.peek().is_some_and(|c| c != '\n') {
                self.text_character(&mut line)?;
            }
            if !self.eat('\n') {
                return Err(
                    self.syntax("the text is not closed; add the three quotes on a line of their own")
                );
            }
            line.push('\n');
            lines.push((indent, line));
        }
    }

    /// What an escape stands for; none for a line break that is escaped away.
    pub(super) fn escape(&mut self) -> Result<Option<char>, Error> {
        self.at += 1;
        let c = self.peek().ok_or_else(|| self.syntax("expected a character after the backslash"))?;
        self.at += 1;
        Ok(Some(match c {
            '\n' => return Ok(None),
            '0' => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'd' => '\u{7f}',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            's' => ' ',
            't' => '\t',
            'v' => '\u{b}',
            'x' => return self.code_point(2).map(Some),
            'u' => return self.code_point(4).map(Some),
            other => other,
        }))
    }

    /// So many hexadecimal digits, or one to six in braces.
    fn code_point(&mut self, digits: usize) -> Result<char, Error> {
        let braces = self.eat('{');
        let (fewest, most) = if braces { (1, 6) } else { (digits, digits) };
        let mut code = 0;
        let mut read = 0;
        while let Some(digit) = self.peek().filter(|_| read < most).and_then(|c| c.to_digit(16)) {
            code = code * 16 + digit;
            read += 1;
            self.at += 1;
        }
        if read < fewest || (braces && !self.eat('}')) {
            return Err(self.syntax("expected hexadecimal digits"));
        }
        char::from_u32(code).ok_or_else(|| self.syntax("expected the code of a character"))
    }
}

/// Text with everything escaped that means something between quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' | '#' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
