//! The one form that a value has on both sides of the API server.

use crate::yaml_scalar::number_value;
use serde_json::Value;

/// Brings a value into the form in which the API server would hand it back: an entry that is null
/// is absent (patches drop it), and a whole float is an integer (`1.0` is `1`).
///
/// Items of lists keep their place, null or not.
pub fn canonical(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(number_value) {
                *value = whole;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(canonical),
        Value::Object(entries) => {
            entries.retain(|_, entry| !entry.is_null());
            entries.values_mut().for_each(canonical);
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_in_maps_and_whole_floats_go() {
        let mut value = json!({"a": null, "b": [null, 1.0, 1.5, {"c": null}], "d": {"e": -2.0}});
        canonical(&mut value);
        assert_eq!(value, json!({"b": [null, 1, 1.5, {}], "d": {"e": -2}}));
    }

    /// A mapping has the same text whatever the order it was written in. A dependency that turns on
    /// `serde_json`'s `preserve_order` would change that for the whole build.
    #[test]
    fn the_order_of_a_mapping_means_nothing() {
        assert_eq!(json!({"b": 1, "a": {"d": 2, "c": 3}}).to_string(), r#"{"a":{"c":3,"d":2},"b":1}"#);
    }
}
