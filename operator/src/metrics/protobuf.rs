//! What a scraper is told as messages of `io.prometheus.client`, each with its length before it. The text format knows
//! no native histograms; here each stands beside the classic one.

use botarmy_report::{Distribution, Exposition, Kind, Label, Native, Value};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    /// 0 for counters, 1 for gauges, 4 for histograms.
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A gauge or a counter.
#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    /// Classic buckets.
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    /// Where native buckets lie.
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    /// What each native bucket counts more than the one before it.
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    /// How many buckets lie between this span and the one before it; of the first one, its first index.
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// All families, one message after the other.
pub(super) fn delimited(exposition: &Exposition) -> Vec<u8> {
    let mut bytes = Vec::new();
    for family in exposition.families() {
        let metric = &family.metric;
        let message = MetricFamily {
            name: metric.name.to_owned(),
            help: metric.help.to_owned(),
            kind: match metric.kind {
                Kind::Counter => 0,
                Kind::Gauge => 1,
                Kind::Histogram => 4,
            },
            metric: family.samples.iter().map(|(labels, value)| sample(metric.kind, labels, value)).collect(),
        };
        bytes.extend(message.encode_length_delimited_to_vec());
    }
    bytes
}

fn sample(kind: Kind, labels: &[Label], value: &Value) -> Metric {
    let pair = |(name, value): &Label| LabelPair { name: (*name).to_owned(), value: value.clone() };
    let told = Metric { label: labels.iter().map(pair).collect(), ..Metric::default() };
    match value {
        Value::Distribution(distribution) => Metric { histogram: Some(histogram(distribution)), ..told },
        Value::Number(number) => {
            let number = Some(Number { value: number.nearest() });
            if kind == Kind::Counter {
                Metric { counter: number, ..told }
            } else {
                Metric { gauge: number, ..told }
            }
        }
    }
}

fn histogram(distribution: &Distribution) -> Histogram {
    let classic = distribution.buckets.iter();
    let classic =
        classic.map(|(bound, below)| Bucket { cumulative_count: *below, upper_bound: *bound }).collect();
    let told = Histogram {
        sample_count: distribution.count,
        sample_sum: distribution.sum.nearest(),
        bucket: classic,
        ..Histogram::default()
    };
    let Some(native) = &distribution.native else { return told };
    let (positive_span, positive_delta) = (spans(native), deltas(native));
    Histogram {
        schema: native.schema,
        zero_threshold: Native::ZERO_THRESHOLD,
        zero_count: native.zero,
        positive_span,
        positive_delta,
        ..told
    }
}

/// Buckets that follow each other are one span.
fn spans(native: &Native) -> Vec<BucketSpan> {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut next = 0;
    for (index, _) in &native.buckets {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    spans
}

fn deltas(native: &Native) -> Vec<i64> {
    let mut before = 0_u64;
    let counts = native.buckets.iter().map(|(_, count)| *count);
    // The difference of two numbers of 64 bits wraps to the right one, as long as neither exceeds 63.
    counts.map(|count| count.wrapping_sub(std::mem::replace(&mut before, count)).cast_signed()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_report::{Histogram as Values, Metric as Described, Number as Told, Unit};

    #[test]
    fn spans_and_deltas_say_where_the_buckets_lie() {
        let native = Native { schema: 5, zero: 0, buckets: vec![(-3, 5), (-2, 2), (-1, 2), (4, 9), (6, 1)] };
        let span = |offset, length| BucketSpan { offset, length };
        assert_eq!(spans(&native), [span(-3, 3), span(4, 1), span(1, 1)]);
        assert_eq!(deltas(&native), [5, -3, 0, 7, -8]);
        let one = Native { schema: 5, zero: 0, buckets: vec![(0, 1)] };
        assert_eq!((spans(&one), deltas(&one)), (vec![span(0, 1)], vec![1]));
    }

    #[test]
    fn the_messages_hold_what_was_exposed() {
        let mut exposition = Exposition::with_native();
        let (counter, gauge) = (Described::counter("c_total", "A c."), Described::gauge("g_seconds", "A g."));
        exposition.add(&counter, vec![("x", "a\"\\\n".into())], Told::Whole(7));
        exposition.add(&gauge, Vec::new(), Told::Millis(1_500));
        let mut values = Values::default();
        for us in [0, 1_000, 2_500_000] {
            values.record(us);
        }
        let histogram = Described::histogram("h_seconds", "An h.");
        exposition.add_histogram(&histogram, Vec::new(), &values, Unit::Seconds);
        let bytes = delimited(&exposition);
        let mut rest = bytes.as_slice();
        let mut read = || MetricFamily::decode_length_delimited(&mut rest).unwrap();
        let (c, g, h) = (read(), read(), read());
        assert_eq!((c.name.as_str(), c.help.as_str(), c.kind), ("c_total", "A c.", 0));
        assert_eq!(
            (c.metric[0].label[0].name.as_str(), c.metric[0].label[0].value.as_str()),
            ("x", "a\"\\\n")
        );
        assert_eq!(c.metric[0].counter, Some(Number { value: 7.0 }));
        assert_eq!(
            (g.kind, &g.metric[0].gauge, &g.metric[0].counter),
            (1, &Some(Number { value: 1.5 }), &None)
        );
        let told = h.metric[0].histogram.as_ref().unwrap();
        assert_eq!((h.kind, told.sample_count, told.schema, told.zero_count), (4, 3, 5, 1));
        assert!((told.sample_sum - 2.501).abs() < 1e-9);
        assert_eq!(told.bucket[0], Bucket { cumulative_count: 2, upper_bound: 0.001 });
        // 2.5 s shares its counter with a little more, so that it counts above the bound.
        assert_eq!(told.bucket[11], Bucket { cumulative_count: 3, upper_bound: 5.0 });
        assert_eq!((told.positive_span.len(), &told.positive_delta), (2, &vec![1, 0]));
        assert!(rest.is_empty());
    }

    /// As `io.prometheus.client` numbers its fields; a reader that knows them by other numbers would find nothing.
    #[test]
    fn the_fields_have_their_numbers() {
        let histogram = Histogram {
            sample_count: 1,
            sample_sum: 0.5,
            bucket: vec![Bucket { cumulative_count: 1, upper_bound: 1.0 }],
            schema: 5,
            zero_threshold: 0.25,
            zero_count: 2,
            positive_span: vec![BucketSpan { offset: -3, length: 1 }],
            positive_delta: vec![-1, 1],
        };
        let half = 0.5_f64.to_le_bytes();
        let quarter = 0.25_f64.to_le_bytes();
        let one = 1.0_f64.to_le_bytes();
        let expected: [&[u8]; 7] = [
            &[0x08, 1, 0x11],
            &half,
            &[0x1a, 11, 0x08, 1, 0x11],
            &one,
            // sint32: 5 is written as 10, and -3 as 5.
            &[0x28, 10, 0x31],
            &quarter,
            &[0x38, 2, 0x62, 4, 0x08, 5, 0x10, 1, 0x6a, 2, 1, 2],
        ];
        assert_eq!(histogram.encode_to_vec(), expected.concat());
        let label = LabelPair { name: "n".into(), value: "v".into() };
        let metric = Metric {
            label: vec![label],
            gauge: Some(Number { value: 0.5 }),
            counter: Some(Number { value: 0.5 }),
            histogram: Some(Histogram::default()),
        };
        let number = [9, 0x09].into_iter().chain(half).collect::<Vec<u8>>();
        let expected: [&[u8]; 5] =
            [&[0x0a, 6, 0x0a, 1, b'n', 0x12, 1, b'v', 0x12], &number, &[0x1a], &number, &[0x3a, 0]];
        assert_eq!(metric.encode_to_vec(), expected.concat());
        let family =
            MetricFamily { name: "n".into(), help: "h".into(), kind: 4, metric: vec![Metric::default()] };
        assert_eq!(
            family.encode_length_delimited_to_vec(),
            [10, 0x0a, 1, b'n', 0x12, 1, b'h', 0x18, 4, 0x22, 0].as_slice()
        );
    }
}
