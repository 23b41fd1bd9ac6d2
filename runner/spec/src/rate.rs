//! Rates: so many in a time.

use serde_json::Value;

/// Highest rate, a second.
pub const MAX_PER_SECOND: f64 = 1_000_000.0;

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Not of that form.
    #[error("{0} is not a rate; write 50/s, 300/m, 10/h, or a whole number for so many a second")]
    Form(String),
    /// Out of bounds.
    #[error("a rate is at least 0 and at most 1000000/s, unlike {0}")]
    Bounds(String),
}

/// Reads a rate, in units a second.
pub fn from_value(value: &Value) -> Result<f64, Error> {
    let rate = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => parse(text),
        _ => None,
    };
    let rate = rate.ok_or_else(|| Error::Form(value.to_string()))?;
    if (0.0..=MAX_PER_SECOND).contains(&rate) { Ok(rate) } else { Err(Error::Bounds(value.to_string())) }
}

fn parse(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number = number.trim();
    let plain = !number.is_empty()
        && number.len() <= 20
        && number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
    let number: f64 = if plain { number.parse().ok()? } else { return None };
    Some(number / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rates_are_read_a_second() {
        for (value, rate) in [
            (json!(50), 50.0),
            (json!("50"), 50.0),
            (json!("50/s"), 50.0),
            (json!("300/m"), 5.0),
            (json!("36 / h"), 0.01),
            (json!("0.5/s"), 0.5),
            (json!(0), 0.0),
        ] {
            let read = from_value(&value).unwrap();
            assert!((read - rate).abs() < 1e-12, "{value}: {read}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for value in [
            json!(""),
            json!("fast"),
            json!("5/d"),
            json!("/s"),
            json!("1e3/s"),
            json!("nan"),
            json!("inf"),
            json!(true),
            json!("1/2/s"),
            json!("1.2.3"),
            json!("--1"),
        ] {
            assert!(matches!(from_value(&value), Err(Error::Form(_))), "{value}");
        }
        for value in [json!(-1), json!("-0.5/s"), json!(1_000_001), json!("99999999/s")] {
            assert!(matches!(from_value(&value), Err(Error::Bounds(_))), "{value}");
        }
    }
}
