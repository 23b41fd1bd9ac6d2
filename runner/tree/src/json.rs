//! JSON text to values, with the strictness of the YAML reader.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Why a text is not JSON.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, nested deeper than 128 levels, or with a key given twice.
    #[error("not valid JSON: {0}; check the file with a JSON formatter")]
    Syntax(#[from] serde_json::Error),
}

/// Reads one JSON document. A key that stands twice in one object is an error, where common
/// readers silently take the last.
pub fn read(text: &str) -> Result<Value, Error> {
    Ok(serde_json::from_str::<Strict>(text)?.0)
}

/// The first number in a value that is read as a fraction because no whole number is so large: it would
/// name another customer or card than the file does.
pub fn beyond_64_bits(value: &Value) -> Option<String> {
    /// 2^63, below which whole numbers are read as such, whatever their sign.
    const LEAST: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            number.as_f64().filter(|n| n.abs() >= LEAST).map(|_| number.to_string())
        }
        Value::Array(items) => items.iter().find_map(beyond_64_bits),
        Value::Object(fields) => fields.values().find_map(beyond_64_bits),
        _ => None,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("the key {key:?} is given twice")));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_every_kind_of_value() {
        let text = r#"{"a": [1, -2, 0.5, "x", true, null], "b": {}}"#;
        assert_eq!(read(text).unwrap(), json!({"a": [1, -2, 0.5, "x", true, null], "b": {}}));
    }

    #[test]
    fn refuses_a_key_given_twice_and_says_where() {
        let error = read("{\"a\": 1,\n \"a\": 2}").unwrap_err().to_string();
        assert!(error.contains("\"a\" is given twice") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_number_that_has_lost_digits_is_found() {
        for (text, found) in [
            ("[18446744073709551615, -9223372036854775808, 1.5, 1e18]", None),
            ("[{\"a\": 18446744073709551616}]", Some("1.8446744073709552e+19")),
            ("-9223372036854775809", Some("-9.223372036854776e+18")),
            ("\"123456789012345678901234567890\"", None),
        ] {
            assert_eq!(beyond_64_bits(&read(text).unwrap()).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_json_or_too_deep() {
        assert!(read("{").is_err());
        assert!(read(&"[".repeat(100_000)).is_err());
    }
}
