//! Numbers and character codes.

use super::{Error, Parser, Term};

impl Parser {
    /// A number, a character code or a minus before a number.
    pub(super) fn number(&mut self) -> Result<Term, Error> {
        let start = self.at;
        let negative = self.eat('-');
        if negative {
            while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
                self.at += 1;
            }
        }
        let term = match self.peek() {
            Some('?') => self.character_code()?,
            Some('0'..='9') => self.unsigned(negative)?,
            Some('(') if negative => self.term()?,
            _ if negative => return Err(self.non_literal("an operator")),
            _ => return Err(self.syntax("expected a number")),
        };
        // `12abc`: a word cannot follow directly.
        if self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return Err(self.syntax("expected the number to end"));
        }
        match (negative, term) {
            (false, term) => Ok(term),
            (true, Term::Int(n)) => n.checked_neg().map(Term::Int).ok_or(Error::Number { at: start + 1 }),
            (true, Term::Float(x)) => Ok(Term::Float(-x)),
            (true, _) => {
                self.at = start;
                Err(self.non_literal("an operator"))
            }
        }
    }

    fn character_code(&mut self) -> Result<Term, Error> {
        self.at += 1;
        let c = if self.peek() == Some('\\') {
            self.escape()?.unwrap_or('\n')
        } else {
            self.peek().inspect(|_| self.at += 1).ok_or_else(|| self.syntax("expected a character"))?
        };
        Ok(Term::Int(i128::from(u32::from(c))))
    }

    fn unsigned(&mut self, negative: bool) -> Result<Term, Error> {
        let start = self.at;
        let base = match (self.peek(), self.peek_at(1)) {
            (Some('0'), Some('x')) => 16,
            (Some('0'), Some('o')) => 8,
            (Some('0'), Some('b')) => 2,
            _ => 10,
        };
        if base != 10 {
            self.at += 2;
        }
        let mut digits = self.digits(base)?;
        let has_fraction =
            base == 10 && self.peek() == Some('.') && self.peek_at(1).is_some_and(|c| c.is_ascii_digit());
        if !has_fraction {
            let most = if negative { 1 << 63 } else { i128::from(u64::MAX) };
            let number = i128::from_str_radix(&digits, base).ok().filter(|n| *n <= most);
            return number.map(Term::Int).ok_or(Error::Number { at: start + 1 });
        }
        self.at += 1;
        digits.push('.');
        digits += &self.digits(10)?;
        if matches!(self.peek(), Some('e' | 'E')) {
            digits.push('e');
            self.at += 1;
            if let Some(sign @ ('-' | '+')) = self.peek() {
                digits.push(sign);
                self.at += 1;
            }
            digits += &self.digits(10)?;
        }
        digits
            .parse()
            .ok()
            .filter(|x: &f64| x.is_finite())
            .map(Term::Float)
            .ok_or(Error::Number { at: start + 1 })
    }

    /// Digits with single underscores between them.
    fn digits(&mut self, base: u32) -> Result<String, Error> {
        let mut digits = String::new();
        loop {
            match self.peek() {
                Some(c) if c.is_digit(base) => digits.push(c),
                Some('_') if !digits.is_empty() && self.peek_at(1).is_some_and(|c| c.is_digit(base)) => {}
                _ => break,
            }
            self.at += 1;
        }
        if digits.is_empty() { Err(self.syntax("expected a digit")) } else { Ok(digits) }
    }
}

/// A float with a dot in it, as the grammar wants it.
pub(super) fn float_source(x: f64) -> String {
    let shown = format!("{x:?}");
    match shown.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => shown,
    }
}
