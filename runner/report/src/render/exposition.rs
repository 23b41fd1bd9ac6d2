//! Figures for a scraper, whatever form they are written in: families of samples with labels.

use crate::histogram::{Histogram, Native};
use std::fmt::{self, Display, Write};

/// The content type of [`Exposition::text`].
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the classic buckets of times, in microseconds.
pub const PROMETHEUS_BUCKETS: [u64; 15] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];
/// Upper bounds of the classic buckets of sizes, in bytes: from a short message to what nobody sends.
const BUCKETS_OF_BYTES: [u64; 9] =
    [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 512 << 10, 1 << 20, 8 << 20];

/// How the samples of a metric are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, but for a restart.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values in buckets.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric: what all of its samples have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, of letters, digits and `_`.
    pub name: &'static str,
    /// How to read it.
    pub kind: Kind,
    /// What it tells, in a line without backslashes.
    pub help: &'static str,
}

impl Metric {
    /// A counter; its name ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help }
    }

    /// A histogram.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, help }
    }
}

/// A name and a value, which tell a sample from the others of its metric.
pub type Label = (&'static str, String);

/// A number, written without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// Seconds, given in microseconds.
    Micros(u64),
    /// Seconds, given in milliseconds.
    Millis(u64),
}

impl Number {
    /// The nearest number that formats without exact ones can hold.
    pub fn nearest(self) -> f64 {
        match self {
            Self::Whole(n) => n as f64,
            Self::Micros(us) => us as f64 / 1e6,
            Self::Millis(ms) => ms as f64 / 1e3,
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(n) => n.fmt(f),
            Self::Micros(us) => write!(f, "{}.{:06}", us / 1_000_000, us % 1_000_000),
            Self::Millis(ms) => write!(f, "{}.{:03}", ms / 1_000, ms % 1_000),
        }
    }
}

/// What the values of a histogram are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, shown in seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    const fn bounds(self) -> &'static [u64] {
        match self {
            Self::Seconds => &PROMETHEUS_BUCKETS,
            Self::Bytes => &BUCKETS_OF_BYTES,
        }
    }

    /// How many of the histogram's own units are one of those that are shown.
    const fn per_unit(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000,
            Self::Bytes => 1,
        }
    }

    const fn number(self, value: u64) -> Number {
        match self {
            Self::Seconds => Number::Micros(value),
            Self::Bytes => Number::Whole(value),
        }
    }
}

/// The values of a histogram, as a scraper is told them.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: Number,
    /// The classic buckets: upper bounds, ascending, and how many values do not exceed them. Exact but for
    /// values less than a thousandth below a bound, which may be counted in the next one. The last bucket, that
    /// of all values, is left out.
    pub buckets: Vec<(f64, u64)>,
    /// The native buckets, if they are wanted.
    pub native: Option<Native>,
}

impl Distribution {
    fn of(histogram: &Histogram, unit: Unit, with_native: bool) -> Self {
        let mut counts = histogram.counts_by_value().peekable();
        let mut below = 0_u64;
        let buckets = unit.bounds().iter().map(|bound| {
            while let Some((_, count)) = counts.next_if(|(value, _)| value <= bound) {
                below = below.saturating_add(count);
            }
            (*bound as f64 / unit.per_unit() as f64, below)
        });
        Self {
            buckets: buckets.collect(),
            count: histogram.count(),
            sum: unit.number(histogram.sum()),
            native: with_native.then(|| histogram.native(unit.per_unit())),
        }
    }
}

/// What a sample tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(Number),
    /// Of a histogram.
    Distribution(Distribution),
}

/// A metric with its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The metric.
    pub metric: Metric,
    /// Its samples, each with labels of its own.
    pub samples: Vec<(Vec<Label>, Value)>,
}

/// All that a scraper is told at a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition {
    families: Vec<Family>,
    with_native: bool,
}

impl Exposition {
    /// Nothing yet, and histograms in classic buckets only: the text format knows no others.
    pub fn classic() -> Self {
        Self::default()
    }

    /// Nothing yet, and histograms in native buckets too.
    pub fn with_native() -> Self {
        Self { with_native: true, ..Self::default() }
    }

    /// The families in the order in which they were mentioned first, none without samples.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// Adds a sample of a counter or a gauge.
    pub fn add(&mut self, metric: &Metric, labels: Vec<Label>, number: Number) {
        self.push(metric, labels, Value::Number(number));
    }

    /// Adds a count of what these labels alone stand for.
    pub fn add_count(&mut self, metric: &Metric, labels: &[Label], count: u64) {
        self.add(metric, labels.to_vec(), Number::Whole(count));
    }

    /// Adds a sample of a histogram.
    pub fn add_histogram(&mut self, metric: &Metric, labels: Vec<Label>, histogram: &Histogram, unit: Unit) {
        let distribution = Distribution::of(histogram, unit, self.with_native);
        self.push(metric, labels, Value::Distribution(distribution));
    }

    fn push(&mut self, metric: &Metric, labels: Vec<Label>, value: Value) {
        let place = self.families.iter().position(|family| family.metric.name == metric.name);
        let place = place.unwrap_or_else(|| {
            self.families.push(Family { metric: *metric, samples: Vec::new() });
            self.families.len() - 1
        });
        self.families[place].samples.push((labels, value));
    }

    /// In Prometheus' text format 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Family { metric: Metric { name, kind, help }, samples } in &self.families {
            // Writing into a text cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
            for (labels, value) in samples {
                let labels = written(labels);
                match value {
                    Value::Number(number) => line(&mut text, name, &labels, number),
                    Value::Distribution(distribution) => lines(&mut text, name, &labels, distribution),
                }
            }
        }
        text
    }
}

/// The labels as they stand between braces.
fn written(labels: &[Label]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    labels.join(",")
}

fn lines(text: &mut String, name: &str, labels: &str, distribution: &Distribution) {
    let Distribution { count, sum, buckets, native: _ } = distribution;
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, below) in buckets {
        line(text, &format!("{name}_bucket"), &format!("{labels}{comma}le=\"{bound}\""), below);
    }
    line(text, &format!("{name}_bucket"), &format!("{labels}{comma}le=\"+Inf\""), count);
    line(text, &format!("{name}_sum"), labels, sum);
    line(text, &format!("{name}_count"), labels, count);
}

fn line(text: &mut String, name: &str, labels: &str, value: impl Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Metric = Metric::histogram("sizes_bytes", "Sizes.");

    #[test]
    fn families_stand_together_in_the_order_of_their_first_samples() {
        let (a, b) = (Metric::counter("a_total", "As."), Metric::gauge("b_seconds", "Bs."));
        let mut exposition = Exposition::classic();
        exposition.add(&a, vec![("x", "1".into())], Number::Whole(u64::MAX));
        exposition.add(&b, Vec::new(), Number::Millis(1_005));
        exposition.add(&a, vec![("x", "2".into()), ("y", "q\"\\\n".into())], Number::Micros(2_000_030));
        assert_eq!(
            exposition.text(),
            "# HELP a_total As.\n# TYPE a_total counter\na_total{x=\"1\"} 18446744073709551615\n\
             a_total{x=\"2\",y=\"q\\\"\\\\\\n\"} 2.000030\n\
             # HELP b_seconds Bs.\n# TYPE b_seconds gauge\nb_seconds 1.005\n"
        );
        assert_eq!(exposition.families().iter().map(|f| f.samples.len()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn buckets_hold_what_does_not_exceed_their_bounds() {
        let mut histogram = Histogram::new(u64::MAX);
        for bytes in [0, 256, 257, 1 << 30] {
            histogram.record(bytes);
        }
        let mut exposition = Exposition::with_native();
        exposition.add_histogram(&SIZES, vec![("of", "a".into())], &histogram, Unit::Bytes);
        let text = exposition.text();
        for line in [
            "sizes_bytes_bucket{of=\"a\",le=\"256\"} 2",
            "sizes_bytes_bucket{of=\"a\",le=\"1024\"} 3",
            "sizes_bytes_bucket{of=\"a\",le=\"8388608\"} 3",
            "sizes_bytes_bucket{of=\"a\",le=\"+Inf\"} 4",
            "sizes_bytes_sum{of=\"a\"} 1073742337",
            "sizes_bytes_count{of=\"a\"} 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let Value::Distribution(distribution) = &exposition.families()[0].samples[0].1 else {
            panic!("{text}")
        };
        let native = distribution.native.as_ref().expect("native buckets");
        assert_eq!((native.zero, native.buckets.len()), (1, 3));
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let mut histogram = Histogram::default();
        histogram.record(2_500);
        let mut exposition = Exposition::classic();
        exposition.add_histogram(
            &Metric::histogram("t_seconds", "Times."),
            Vec::new(),
            &histogram,
            Unit::Seconds,
        );
        let text = exposition.text();
        let bounds: Vec<&str> = text
            .lines()
            .filter_map(|l| l.strip_prefix("t_seconds_bucket{le=\"")?.split('"').next())
            .collect();
        let expected = "0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 +Inf";
        assert_eq!(bounds.join(" "), expected);
        assert!(text.ends_with("t_seconds_sum 0.002500\nt_seconds_count 1\n"), "{text}");
    }
}
