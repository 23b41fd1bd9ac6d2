//! A histogram as JSON: the counters above zero, gap-coded, beside the exact figures.
//!
//! `{"highest", "count", "sum", "min", "max", "overflow", "buckets": [[gap, count], …]}`, where `gap`
//! is how many counters at zero lie before this one, since the one before it or the start. `min` and
//! `max` are absent while nothing is counted. Reading refuses whatever recording could not have made.

use super::{Histogram, layout};
use crate::bounded;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            highest: self.highest,
            count: self.count,
            sum: self.sum,
            min: self.min(),
            max: self.max(),
            overflow: self.overflow,
            buckets: Buckets(self),
        };
        written.serialize(to)
    }
}

#[derive(serde::Serialize)]
struct Written<'a> {
    highest: u64,
    count: u64,
    sum: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
    overflow: u64,
    buckets: Buckets<'a>,
}

struct Buckets<'a>(&'a Histogram);

impl Serialize for Buckets<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut next = 0;
        to.collect_seq(self.0.buckets().map(|(slot, count)| {
            let gap = slot - next;
            next = slot + 1;
            (gap, count)
        }))
    }
}

#[derive(serde::Deserialize)]
struct Read {
    highest: u64,
    count: u64,
    sum: u64,
    #[serde(default)]
    min: Option<u64>,
    #[serde(default)]
    max: Option<u64>,
    overflow: u64,
    #[serde(deserialize_with = "bounded::list::<_, _, { layout::SLOTS }>")]
    buckets: Vec<(usize, u64)>,
}

/// Why a text is no histogram. Its sender is broken or hostile; there is nothing to repair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum FormatError {
    /// The range is empty.
    #[error("histogram: highest is 0; it is at least 1 us")]
    Range,
    /// A counter lies above the range.
    #[error("histogram: buckets[{place}] lies beyond highest {highest}; such values are overflow")]
    Slot { place: usize, highest: u64 },
    /// A counter at zero is written.
    #[error("histogram: buckets[{place}] counts 0; only counters above zero are written")]
    Zero { place: usize },
    /// The counters do not add up.
    #[error("histogram: count is {count} but buckets and overflow sum to {sum}")]
    Count { count: u64, sum: u128 },
    /// Min or max contradict the counters, or are absent.
    #[error("histogram: min {min:?} and max {max:?} do not fit the buckets")]
    Extremes { min: Option<u64>, max: Option<u64> },
    /// The sum of values lies outside what count, min and max allow.
    #[error("histogram: sum {sum} does not fit count, min and max")]
    Sum { sum: u64 },
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Read::deserialize(from)?.check().map_err(D::Error::custom)
    }
}

impl Read {
    fn check(self) -> Result<Histogram, FormatError> {
        if self.highest == 0 {
            return Err(FormatError::Range);
        }
        let slots = self.slots()?;
        self.check_count()?;
        self.check_extremes(slots.first().copied(), slots.last().copied())?;
        self.check_sum()?;
        let mut histogram = Histogram::new(self.highest);
        // Only now, so that a refused text has allocated no page.
        for (slot, (_, count)) in slots.into_iter().zip(&self.buckets) {
            histogram.counters.add(slot, *count);
        }
        let (min, max) = (self.min.unwrap_or(u64::MAX), self.max.unwrap_or(0));
        Ok(Histogram { count: self.count, sum: self.sum, min, max, overflow: self.overflow, ..histogram })
    }

    fn slots(&self) -> Result<Vec<usize>, FormatError> {
        let last = layout::slot(self.highest);
        let mut slots = Vec::with_capacity(self.buckets.len());
        let mut next = 0_usize;
        for (place, (gap, count)) in self.buckets.iter().enumerate() {
            let slot = next.saturating_add(*gap);
            if slot > last {
                return Err(FormatError::Slot { place, highest: self.highest });
            }
            if *count == 0 {
                return Err(FormatError::Zero { place });
            }
            slots.push(slot);
            next = slot + 1;
        }
        Ok(slots)
    }

    fn check_count(&self) -> Result<(), FormatError> {
        let counts = self.buckets.iter().map(|(_, count)| u128::from(*count));
        let sum = counts.sum::<u128>() + u128::from(self.overflow);
        if sum == u128::from(self.count) {
            Ok(())
        } else {
            Err(FormatError::Count { count: self.count, sum })
        }
    }

    /// The smallest value lies in the first counter, the greatest in the last or in overflow.
    fn check_extremes(&self, first: Option<usize>, last: Option<usize>) -> Result<(), FormatError> {
        let fits = match (self.min, self.max) {
            (None, None) => self.count == 0,
            (Some(min), Some(max)) => {
                let in_range = |value: u64, slot| value <= self.highest && layout::slot(value) == slot;
                let min_fits = first.map_or(min > self.highest, |slot| in_range(min, slot));
                let max_fits = match last {
                    Some(slot) if self.overflow == 0 => in_range(max, slot),
                    _ => max > self.highest,
                };
                self.count > 0 && min <= max && min_fits && max_fits
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(FormatError::Extremes { min: self.min, max: self.max }) }
    }

    fn check_sum(&self) -> Result<(), FormatError> {
        let times = |value: Option<u64>| u128::from(value.unwrap_or(0)) * u128::from(self.count);
        let sum = u128::from(self.sum);
        // A sum at its greatest value has stopped there and may stand for more.
        let enough = sum >= times(self.min) || self.sum == u64::MAX;
        if enough && sum <= times(self.max) { Ok(()) } else { Err(FormatError::Sum { sum: self.sum }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sample() -> Histogram {
        let mut histogram = Histogram::new(10_000);
        for us in [3, 3, 5, 4097, 20_000] {
            histogram.record(us);
        }
        histogram
    }

    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        let mut value = serde_json::to_value(sample()).unwrap();
        change(&mut value);
        serde_json::from_value::<Histogram>(value).unwrap_err().to_string()
    }

    #[test]
    fn the_form_is_fixed() {
        let text = r#"{"highest":10000,"count":5,"sum":24108,"min":3,"max":20000,"overflow":1,"buckets":[[3,2],[1,1],[3066,1]]}"#;
        assert_eq!(serde_json::to_string(&sample()).unwrap(), text);
        assert_eq!(serde_json::from_str::<Histogram>(text).unwrap(), sample());
        let empty = r#"{"highest":7,"count":0,"sum":0,"overflow":0,"buckets":[]}"#;
        assert_eq!(serde_json::to_string(&Histogram::new(7)).unwrap(), empty);
        assert_eq!(serde_json::from_str::<Histogram>(empty).unwrap(), Histogram::new(7));
    }

    #[test]
    fn greatest_numbers_survive() {
        let mut histogram = Histogram::new(u64::MAX);
        histogram.record_n(u64::MAX, 2);
        histogram.record_n(0, u64::MAX - 2);
        let text = serde_json::to_string(&histogram).unwrap();
        assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), histogram);
    }

    #[test]
    fn refuses_what_recording_could_not_have_made() {
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 16] = [
            (|v| v["highest"] = json!(0), "highest is 0"),
            (|v| v["highest"] = json!(4000), "beyond highest"),
            (|v| v["buckets"][2][0] = json!(100_000), "beyond highest"),
            (|v| v["buckets"][2][0] = json!(u64::MAX), "beyond highest"),
            (|v| v["buckets"][1][1] = json!(0), "counts 0"),
            (|v| v["buckets"][1][1] = json!(2), "count is 5"),
            (|v| v["buckets"][1][1] = json!(u64::MAX), "count is 5"),
            (|v| v["overflow"] = json!(2), "count is 5"),
            (|v| v["count"] = json!(4), "count is 4"),
            (|v| v["min"] = json!(4), "min Some(4)"),
            (|v| v["min"] = json!(30_000), "min Some(30000)"),
            (|v| v["min"] = Value::Null, "min None"),
            (|v| v["max"] = json!(10_000), "max Some(10000)"),
            (|v| v["sum"] = json!(14), "sum 14"),
            (|v| v["sum"] = json!(100_001), "sum 100001"),
            (|v| v["count"] = json!(-1), "invalid value"),
        ];
        for (change, expected) in changes {
            let error = refusal(change);
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }

    #[test]
    fn refuses_figures_of_nothing() {
        let text = r#"{"highest":7,"count":0,"sum":0,"min":0,"max":0,"overflow":0,"buckets":[]}"#;
        assert!(serde_json::from_str::<Histogram>(text).is_err());
        let text = r#"{"highest":7,"count":0,"sum":1,"overflow":0,"buckets":[]}"#;
        assert!(serde_json::from_str::<Histogram>(text).is_err());
    }

    #[test]
    fn a_list_longer_than_the_layout_is_not_read_to_its_end() {
        let buckets = "[0,1],".repeat(layout::SLOTS + 1);
        let text = format!(r#"{{"highest":7,"count":1,"sum":1,"overflow":0,"buckets":[{buckets}oops"#);
        let error = serde_json::from_str::<Histogram>(&text).unwrap_err().to_string();
        assert!(error.contains("at most 56320"), "{error}");
    }
}
