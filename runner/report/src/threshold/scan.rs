//! Reading the words, numbers and signs of a threshold, with the column of each.

use super::ParseError;
use std::fmt;

/// A decimal number as written: `mantissa` / 10^`scale`, without trailing zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) mantissa: u64,
    pub(super) scale: u32,
}

impl Decimal {
    /// The number times `factor`, if that is whole and fits.
    pub(super) fn times(self, factor: u64) -> Option<u64> {
        let product = u128::from(self.mantissa) * u128::from(factor);
        // At most 19 decimals are read, so the power fits.
        let divisor = 10_u128.pow(self.scale);
        (product % divisor == 0).then(|| u64::try_from(product / divisor).ok()).flatten()
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divisor = 10_u128.pow(self.scale);
        let (whole, fraction) = (u128::from(self.mantissa) / divisor, u128::from(self.mantissa) % divisor);
        match self.scale {
            0 => write!(f, "{whole}"),
            scale => write!(f, "{whole}.{fraction:0width$}", width = scale as usize),
        }
    }
}

/// A place in the text; white space is skipped before whatever is read.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, rest: text }
    }

    /// Column of what is read next, in characters from 1.
    pub(super) fn column(&mut self) -> usize {
        self.rest = self.rest.trim_start();
        let read = self.text.len() - self.rest.len();
        self.text[..read].chars().count() + 1
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.column();
        self.rest.is_empty()
    }

    /// Letters and underscores; may be empty.
    pub(super) fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_alphabetic() || c == '_')
    }

    /// Signs that compare; may be empty.
    pub(super) fn sign(&mut self) -> &'a str {
        self.take_while(|c| "<>=!".contains(c))
    }

    /// Steps over `c` if it comes next.
    pub(super) fn skip(&mut self, c: char) -> bool {
        self.column();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Whether a digit comes next.
    pub(super) fn is_at_digit(&mut self) -> bool {
        self.column();
        self.rest.starts_with(|c: char| c.is_ascii_digit())
    }

    /// Digits, with a point and more digits if need be.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<Decimal, ParseError> {
        let column = self.column();
        if !self.is_at_digit() {
            return Err(self.unexpected(expected));
        }
        let whole = self.take_while(|c| c.is_ascii_digit());
        let mut fraction = "";
        if let Some(rest) = self.rest.strip_prefix('.') {
            let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if length == 0 {
                self.rest = rest;
                return Err(self.unexpected("a digit after the point"));
            }
            (fraction, self.rest) = rest.split_at(length);
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = whole.chars().chain(fraction.chars()).filter_map(|c| c.to_digit(10));
        let mantissa = digits
            .into_iter()
            .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit)));
        let scale = u32::try_from(fraction.len()).ok().filter(|scale| *scale <= 19);
        match (mantissa, scale) {
            (Some(mantissa), Some(scale)) => Ok(Decimal { mantissa, scale }),
            _ => Err(ParseError::Digits { column }),
        }
    }

    /// The error that something else comes next than what is `expected`.
    pub(super) fn unexpected(&mut self, expected: &'static str) -> ParseError {
        let column = self.column();
        let mut found: String = self.rest.chars().take(20).flat_map(char::escape_debug).collect();
        if self.rest.chars().nth(20).is_some() {
            found.push('…');
        }
        let found = if found.is_empty() { "the end".to_owned() } else { format!("\"{found}\"") };
        ParseError::Unexpected { column, expected, found }
    }

    fn take_while(&mut self, belongs: fn(char) -> bool) -> &'a str {
        self.column();
        let end = self.rest.find(|c: char| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}
