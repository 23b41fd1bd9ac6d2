//! Durations as people write them: `5s`, `250ms`, `1m30s`, or a bare number of seconds.

use serde_json::Value;
use std::time::Duration;

/// Longest duration: a year. Longer ones are taken for a mistake of unit.
pub const MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The text of a duration as a regular expression, for schemas; it takes the empty text as well.
pub(crate) fn pattern() -> String {
    "(N|(Nh)?(Nm)?(Ns)?(Nms)?(N(us|µs))?)".replace('N', r"([0-9]+\.?[0-9]*|\.[0-9]+)")
}

/// Why something is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a number with a unit.
    #[error("{0} is not a duration; write 5s, 250ms, 1m30s or a number of seconds")]
    Form(String),
    /// Below zero.
    #[error("{0} is negative; a duration is zero or more")]
    Negative(String),
    /// Above [`MAX`].
    #[error("{0} is longer than a year; check its unit")]
    TooLong(String),
}

/// A duration from a document: text with units, or a bare number of seconds.
pub fn from_value(value: &Value) -> Result<Duration, Error> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => {
            let shown = number.to_string();
            let seconds = number.as_f64().ok_or_else(|| Error::Form(shown.clone()))?;
            from_seconds(seconds, shown)
        }
        other => Err(Error::Form(crate::finding::quoted(&other.to_string()))),
    }
}

/// A duration from text: groups of a number and a unit (`h`, `m`, `s`, `ms`, `us`), from the
/// largest unit to the smallest, or a bare number of seconds.
pub fn parse(text: &str) -> Result<Duration, Error> {
    let shown = crate::finding::quoted(text);
    if text.starts_with('-') {
        return Err(Error::Negative(shown));
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && let Ok(seconds) = text.parse::<f64>()
    {
        return from_seconds(seconds, shown);
    }
    let form = || Error::Form(shown.clone());
    let (mut rest, mut total, mut last) = (text, 0.0, f64::INFINITY);
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(form)?;
        let unit_end =
            rest[number_end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| n + number_end);
        let number: f64 = rest[..number_end].parse().map_err(|_| form())?;
        let unit = match &rest[number_end..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 0.000_001,
            _ => return Err(form()),
        };
        if unit >= last {
            return Err(form());
        }
        last = unit;
        total += number * unit;
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(form()) } else { from_seconds(total, shown) }
}

fn from_seconds(seconds: f64, shown: String) -> Result<Duration, Error> {
    if seconds < 0.0 {
        return Err(Error::Negative(shown));
    }
    if !seconds.is_finite() || seconds > MAX.as_secs_f64() {
        return Err(Error::TooLong(shown));
    }
    // Microseconds are the finest unit; rounding there hides the binary fractions of a decimal.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a year")]
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_people_write() {
        for (value, millis) in [
            (json!("5s"), 5_000),
            (json!("250ms"), 250),
            (json!("1m30s"), 90_000),
            (json!("1h"), 3_600_000),
            (json!("0.1s"), 100),
            (json!("2"), 2_000),
            (json!(2), 2_000),
            (json!(0.25), 250),
            (json!(0), 0),
            (json!("0s"), 0),
        ] {
            assert_eq!(from_value(&value), Ok(Duration::from_millis(millis)), "{value}");
        }
        assert_eq!(parse("1500us"), Ok(Duration::from_micros(1500)));
    }

    #[test]
    fn refuses_the_rest_with_a_cure() {
        for value in [
            json!(""),
            json!("5 s"),
            json!("s"),
            json!("5x"),
            json!("1s1m"),
            json!("1s1s"),
            json!(true),
            json!([1]),
            json!("1.2.3s"),
            json!("."),
        ] {
            assert!(matches!(from_value(&value), Err(Error::Form(_))), "{value}: {:?}", from_value(&value));
        }
        assert!(matches!(from_value(&json!(-1)), Err(Error::Negative(_))));
        assert!(matches!(parse("-5s"), Err(Error::Negative(_))));
        assert!(matches!(parse("9000h"), Err(Error::TooLong(_))));
    }
}
