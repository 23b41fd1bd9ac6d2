//! Limits that a run is held to: `p(95) < 500ms`, `fail_rate < 1%`, `cut_off_rate < 1%`.
//!
//! They read like k6's (<https://grafana.com/docs/k6/latest/using-k6/thresholds/>), but a duration
//! has its unit. Verdicts are on whole numbers, never on the rounded text that is shown: latencies in
//! microseconds, rates as ratios of counts, the average as sum against count.

mod parse;
mod scan;

use crate::histogram::Histogram;
use crate::quantity;
use crate::series::Series;
use std::cmp::Ordering;

/// Longest text of a threshold, in bytes.
pub const MAX_EXPECT_BYTES: usize = 256;

/// Why a text is no threshold. Columns count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`MAX_EXPECT_BYTES`].
    #[error("a threshold of {bytes} bytes; write one comparison of at most 256, such as p(95) < 500ms")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Something else was expected at this place.
    #[error("column {column}: expected {expected}, found {found}")]
    Unexpected {
        /// Where.
        column: usize,
        /// What would be right.
        expected: &'static str,
        /// What is there, quoted and shortened.
        found: String,
    },
    /// A duration without its unit.
    #[error("column {column}: {number} has no unit; write {number}ms or {number}s")]
    NoUnit {
        /// Where the number starts.
        column: usize,
        /// The number.
        number: String,
    },
    /// A percentile above 100 or with more than 7 decimals.
    #[error("column {column}: a percentile is 0 to 100 with at most 7 decimals, such as p(99.9)")]
    Percentile {
        /// Where the number starts.
        column: usize,
    },
    /// A rate above 1, or with too many decimals.
    #[error("column {column}: a rate is 0% to 100%, or 0 to 1, with at most 9 decimals; write 5% or 0.05")]
    Rate {
        /// Where the number starts.
        column: usize,
    },
    /// A duration that is no whole number of microseconds, or does not fit 64 bits of them.
    #[error(
        "column {column}: a duration is a whole number of microseconds below 500000 years, such as 1.5ms"
    )]
    Duration {
        /// Where the number starts.
        column: usize,
    },
    /// A fraction of a count.
    #[error("column {column}: a count is a whole number; write 1000")]
    Count {
        /// Where the number starts.
        column: usize,
    },
    /// More digits than 64 bits hold.
    #[error("column {column}: the number has too many digits; write at most 19")]
    Digits {
        /// Where the number starts.
        column: usize,
    },
}

/// A limit on what was measured; see [`Threshold::parse`] for the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    limit: Limit,
    operator: Operator,
}

/// What is compared, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Latency {
        statistic: Statistic,
        us: u64,
    },
    /// A ratio: no binary fraction stands for 1%.
    Rate {
        rate: Rate,
        numerator: u64,
        denominator: u64,
    },
    Count(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    /// Of those that ended by themselves.
    Failed,
    /// Of those that ended by themselves and those that were cut off.
    CutOff,
}

impl Rate {
    /// How many it is about, of how many.
    fn of(self, series: &Series) -> (u64, u64) {
        let ended = series.measured_count();
        match self {
            Self::Failed => (series.failure_count(), ended),
            Self::CutOff => (series.cut_off_count(), ended.saturating_add(series.cut_off_count())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Min,
    Max,
    Average,
    /// In parts of [`crate::QUANTILE_ONE`].
    Quantile(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
}

impl Operator {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
        }
    }
}

/// What a threshold says of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The measured value with its unit, rounded for reading: `412.3ms` (see [`Threshold::evaluate`]).
    pub value: String,
    /// Whether the expectation holds.
    pub passed: bool,
}

impl Threshold {
    /// Reads `METRIC OPERATOR VALUE`, white space where you like, at most [`MAX_EXPECT_BYTES`].
    ///
    /// | metric | value |
    /// | --- | --- |
    /// | `p(N)`, N from 0 to 100, `min`, `max`, `avg`, `med` (= `p(50)`) | a duration: `500ms`, `1.5s`, `1m30s`; units `us` (or `µs`), `ms`, `s`, `m`, `h` |
    /// | `fail_rate`, `cut_off_rate` | `1%` or `0.01` |
    /// | `count` | a whole number |
    ///
    /// Operators are `<`, `<=`, `>`, `>=`, `==` and `!=`.
    pub fn parse(expect: &str) -> Result<Self, ParseError> {
        parse::threshold(expect)
    }

    /// Holds the threshold against what was measured, cancelled actions left aside: only `cut_off_rate` is about some.
    ///
    /// Latencies read as `850us` below a millisecond, `412.3ms` below ten seconds and `12.35s` from
    /// there; rates as `1.24%` (`<0.01%` when small but not zero); counts as `1024`. Percentiles are
    /// the highest value of their bucket, up to a thousandth above the true one, never below.
    ///
    /// Without samples, latencies and rates are "no samples" and not passed, whatever the operator: a
    /// run that did nothing proves nothing. `count` is then 0.
    pub fn evaluate(&self, series: &Series) -> Judgement {
        match self.limit {
            Limit::Latency { statistic, us } => self.judge(statistic.measure(&series.latency(), us)),
            Limit::Rate { rate, numerator, denominator } => {
                let (part, all) = rate.of(series);
                let order = cross(part, denominator).cmp(&cross(numerator, all));
                self.judge((all > 0).then(|| (quantity::share(part, all), order)))
            }
            Limit::Count(limit) => {
                let count = series.measured_count();
                self.judge(Some((count.to_string(), count.cmp(&limit))))
            }
        }
    }

    /// Whether anything was counted that it can be held against.
    pub fn has_samples(&self, series: &Series) -> bool {
        match self.limit {
            Limit::Rate { rate, .. } => rate.of(series).1 > 0,
            Limit::Latency { .. } | Limit::Count(_) => series.measured_count() > 0,
        }
    }

    fn judge(&self, measured: Option<(String, Ordering)>) -> Judgement {
        match measured {
            Some((value, order)) => Judgement { value, passed: self.operator.holds(order) },
            None => Judgement { value: "no samples".to_owned(), passed: false },
        }
    }
}

impl Statistic {
    /// The statistic as text, and how it compares with `us`; none without samples.
    fn measure(self, latency: &Histogram, us: u64) -> Option<(String, Ordering)> {
        let value = match self {
            Self::Min => latency.min()?,
            Self::Max => latency.max()?,
            Self::Quantile(parts) => latency.quantile_parts(parts)?,
            Self::Average => {
                let (sum, count) = (latency.sum(), latency.count());
                let rounded = sum.checked_div(count)? + u64::from(sum % count > (count - 1) / 2);
                return Some((quantity::latency(rounded), u128::from(sum).cmp(&cross(us, count))));
            }
        };
        Some((quantity::latency(value), value.cmp(&us)))
    }
}

fn cross(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[cfg(test)]
mod tests;
