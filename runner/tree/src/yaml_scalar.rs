//! What a plain YAML scalar means, and whether everyone agrees on it.
//!
//! kubectl reads YAML 1.1, this crate the core schema of YAML 1.2. A scalar on which the two
//! disagree is refused, so that a file means the same here and behind the API server.
//! Sources: the YAML 1.2.2 core schema (§10.3.2) and the YAML 1.1 type repository
//! (bool, int, float, timestamp, value, merge).

use serde_json::Value;

/// Largest integer that a double holds exactly, and with it every JSON reader.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a plain scalar has no single meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScalarError {
    /// YAML 1.1 (kubectl) and YAML 1.2 disagree.
    #[error(
        "YAML 1.1 and YAML 1.2 read the bare word {0} differently; quote it if it is text, or write it out"
    )]
    Ambiguous(String),
    /// JSON has no such number, or not exactly.
    #[error(
        "{0} is not a number that JSON can hold; write one between -9223372036854775808 and 9223372036854775807, or quote it"
    )]
    NotJson(String),
}

/// The value of a plain (unquoted) scalar.
pub(crate) fn resolve(text: &str) -> Result<Value, ScalarError> {
    if differs_in_yaml_1_1(text) {
        return Err(ScalarError::Ambiguous(text.to_owned()));
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let not_json = || ScalarError::NotJson(text.to_owned());
    if let Some(hex) = text.strip_prefix("0x").filter(|h| some_of(h, |c| c.is_ascii_hexdigit())) {
        return i64::from_str_radix(hex, 16).map(Value::from).map_err(|_| not_json());
    }
    let digits = unsigned(text);
    if some_of(digits, |c| c.is_ascii_digit()) {
        return text.parse::<i64>().map(Value::from).map_err(|_| not_json());
    }
    if is_special_float(digits) {
        return Err(not_json());
    }
    if is_float(digits) {
        let number: f64 = text.parse().map_err(|_| not_json())?;
        return number_value(number).ok_or_else(not_json);
    }
    Ok(Value::from(text))
}

/// A float as JSON, written as an integer when it is one: `1.0` and `1` must not differ, because
/// the API server does not keep them apart.
pub(crate) fn number_value(number: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Some(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn differs_in_yaml_1_1(text: &str) -> bool {
    let digits = unsigned(text);
    is_old_boolean(text)
        || matches!(text, "=" | "<<")
        || is_leading_zero(digits)
        || is_based_integer(text)
        || is_grouped_number(digits)
        || is_sexagesimal(digits)
        || is_timestamp(text)
        || is_exponent_that_1_1_reads_as_text(digits)
}

/// `yes`, `No`, `ON`, `y`, …: booleans in 1.1, text in 1.2.
fn is_old_boolean(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let known = matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off");
    let tail_is_lower = text.chars().skip(1).all(|c| c.is_ascii_lowercase());
    known && (tail_is_lower || text == lower.to_ascii_uppercase())
}

/// `0755`: octal in 1.1, decimal in 1.2.
fn is_leading_zero(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0') && some_of(&digits[1..], |c| c.is_ascii_digit() || c == '_')
}

/// `0b11`, `0o17`, `0X1F`, `-0x1F`: all of them but a plain `0x1f` are read by one side only.
fn is_based_integer(text: &str) -> bool {
    let digits = unsigned(text);
    let Some((prefix, rest)) = digits.split_at_checked(2) else {
        return false;
    };
    let of_base = |base| some_of(rest, |c: char| c.is_digit(base) || c == '_');
    match prefix {
        "0x" => of_base(16) && (digits.len() != text.len() || rest.contains('_')),
        "0X" => of_base(16),
        "0b" | "0B" => of_base(2),
        "0o" | "0O" => of_base(8),
        _ => false,
    }
}

/// `1_000`, `1_0.5`: numbers in 1.1, text in 1.2.
fn is_grouped_number(digits: &str) -> bool {
    let bare = digits.replace('_', "");
    digits.contains('_')
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (some_of(&bare, |c| c.is_ascii_digit()) || is_float(&bare))
}

/// `1:30`, `12:30:45.5`: base 60 in 1.1, text in 1.2.
fn is_sexagesimal(digits: &str) -> bool {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(':');
    let first = groups.next().is_some_and(|g| some_of(g, |c| c.is_ascii_digit() || c == '_'));
    let rest: Vec<&str> = groups.collect();
    let sixty =
        |g: &&str| some_of(g, |c| c.is_ascii_digit()) && g.len() <= 2 && g.parse().is_ok_and(|n: u8| n < 60);
    first
        && !rest.is_empty()
        && rest.iter().all(sixty)
        && fraction.chars().all(|c| c.is_ascii_digit() || c == '_')
}

/// `2001-12-14`, `2001-12-14t21:59:43Z`: points in time in 1.1, text in 1.2.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let day: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let after = &rest[day.len()..];
    let number = |s: &str, longest: usize| some_of(s, |c| c.is_ascii_digit()) && s.len() <= longest;
    let time_follows = after
        .strip_prefix(['T', 't', ' ', '\t'])
        .is_some_and(|t| t.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    year.len() == 4
        && number(year, 4)
        && number(month, 2)
        && number(&day, 2)
        && (after.is_empty() || time_follows)
}

/// `1e3`, `1.5e3`: numbers in 1.2; 1.1 wants a dot and a sign in the exponent.
fn is_exponent_that_1_1_reads_as_text(digits: &str) -> bool {
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else {
        return false;
    };
    is_float(digits) && !(mantissa.contains('.') && exponent.starts_with(['-', '+']))
}

fn is_special_float(digits: &str) -> bool {
    matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}

/// The float pattern of the core schema, without its sign.
fn is_float(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(unsigned(e))),
        None => (digits, None),
    };
    let is_digits = |s: &str| some_of(s, |c| c.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(is_digits)
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn some_of(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn agreed_scalars_have_their_value() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("FALSE", json!(false)),
            ("42", json!(42)),
            ("+7", json!(7)),
            ("-0", json!(0)),
            ("0x1f", json!(31)),
            ("1.5", json!(1.5)),
            ("1.0", json!(1)),
            (".5", json!(0.5)),
            ("1.5e+3", json!(1500)),
            ("abc", json!("abc")),
            ("1.2.3", json!("1.2.3")),
            ("5s", json!("5s")),
            ("127.0.0.1:8080", json!("127.0.0.1:8080")),
            ("nope", json!("nope")),
            ("oN", json!("oN")),
            (".", json!(".")),
            ("_", json!("_")),
            ("a_1", json!("a_1")),
            ("0x", json!("0x")),
            ("2001-12", json!("2001-12")),
            ("é", json!("é")),
        ] {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn disputed_scalars_are_refused() {
        for text in [
            "no",
            "No",
            "NO",
            "yes",
            "on",
            "Off",
            "y",
            "N",
            "0755",
            "00",
            "-012",
            "0b11",
            "0o17",
            "0X1F",
            "-0x1F",
            "1_000",
            "1_0.5",
            "0x1_F",
            "1:30",
            "12:30:45",
            "1:30.5",
            "2001-12-14",
            "2001-12-14t21:59:43.10-05:00",
            "2001-1-1 10:00:00",
            "=",
            "<<",
            "1e3",
            "1.5e3",
            "1E+3",
        ] {
            assert!(matches!(resolve(text), Err(ScalarError::Ambiguous(_))), "{text}: {:?}", resolve(text));
        }
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused() {
        for text in [".inf", "-.INF", ".nan", "9223372036854775808", "1.0e+999"] {
            assert!(matches!(resolve(text), Err(ScalarError::NotJson(_))), "{text}: {:?}", resolve(text));
        }
    }
}
