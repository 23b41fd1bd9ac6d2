//! What was counted so far, as a request of OTLP. Pure.

use botarmy_report::{Exported, Histogram, OTHER_STATUSES, Outcome, PROMETHEUS_BUCKETS, Totals, exported};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram as Buckets, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The attribute that tells one sender from all others.
pub(super) const INSTANCE: &str = "service.instance.id";

/// From when on was counted, and until when; nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) start: u64,
    pub(super) now: u64,
}

/// Everything counted since the start, and how many bots are alive, as told by a sender with these
/// attributes.
pub(super) fn request(
    totals: &Totals,
    alive: u32,
    about: &[(&'static str, String)],
    times: Times,
) -> ExportMetricsServiceRequest {
    let rows = exported(totals);
    let details = totals.total_details();
    let mut metrics: Vec<Metric> = [
        ("botarmy.requests", "{request}", "Requests sent, each redirect one.", totals.requests),
        ("botarmy.iterations", "{iteration}", "Passes of the root that ended.", totals.iterations),
        ("botarmy.bots.started", "{bot}", "Bots started.", totals.bots_started),
        ("botarmy.starts.dropped", "{start}", "Arrivals for which no bot was started.", totals.dropped),
        (
            "botarmy.actions.cut_off",
            "{action}",
            "Measured actions for whose end there was no time; no percentile has them.",
            totals.cut_off(),
        ),
        ("botarmy.received", "By", "Bytes received.", details.bytes_in()),
        ("botarmy.sent", "By", "Bytes sent.", details.bytes_out()),
    ]
    .into_iter()
    .map(|(name, unit, what, count)| sum(name, unit, what, vec![times.point(Vec::new(), count)]))
    .collect();
    let alive = NumberDataPoint { start_time_unix_nano: 0, ..times.point(Vec::new(), alive.into()) };
    let alive = Data::Gauge(Gauge { data_points: vec![alive] });
    metrics.push(metric("botarmy.bots.alive", "{bot}", "Bots alive.", alive));
    metrics.extend(by_row(&rows, times));
    metrics.retain(|metric| !is_empty(metric));
    let scope = InstrumentationScope {
        name: "botarmy".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: about.iter().map(|(key, value)| text(key, value)).collect(),
        ..Resource::default()
    };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
    let resource_metrics =
        ResourceMetrics { resource: Some(resource), scope_metrics, schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

/// What is told of each action.
fn by_row(rows: &[Exported], times: Times) -> [Metric; 4] {
    let mut outcomes = Vec::new();
    let mut failures = Vec::new();
    let mut statuses = Vec::new();
    for row in rows {
        let with = |key: &str, value: &str| {
            let mut attributes = attributes(row);
            attributes.push(text(key, value));
            attributes
        };
        for outcome in Outcome::ALL {
            outcomes.push(times.point(with("outcome", outcome.name()), row.series.count(outcome)));
        }
        for (class, samples) in row.details.failures() {
            failures.push(times.point(with("class", class.name()), samples.total()));
        }
        for (status, count) in row.details.statuses().counts() {
            statuses.push(times.point(with("status", &status.to_string()), *count));
        }
        if row.details.statuses().rest() > 0 {
            statuses.push(times.point(with("status", OTHER_STATUSES), row.details.statuses().rest()));
        }
    }
    let bounds = Bounds::new();
    let durations =
        rows.iter().map(|row| bounds.point(attributes(row), &row.series.latency(), times)).collect();
    let durations =
        Data::Histogram(Buckets { data_points: durations, aggregation_temporality: cumulative() });
    [
        sum("botarmy.actions", "{action}", "Executions of an action, by outcome.", outcomes),
        sum("botarmy.action.failures", "{failure}", "Failures of an action, by class.", failures),
        sum("botarmy.action.responses", "{response}", "Answers to an action, by status code.", statuses),
        metric(
            "botarmy.action.duration",
            "s",
            "Times of an action, cancelled executions left out.",
            durations,
        ),
    ]
}

impl Times {
    fn point(self, attributes: Vec<KeyValue>, count: u64) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            value: Some(Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        }
    }
}

/// The bounds of the buckets of times: where counters end, next to those of the text for Prometheus, so
/// that no value is counted in a bucket to which it does not belong.
struct Bounds {
    us: Vec<u64>,
    seconds: Vec<f64>,
}

impl Bounds {
    fn new() -> Self {
        let us: Vec<u64> = PROMETHEUS_BUCKETS.iter().map(|us| Histogram::highest_equivalent(*us)).collect();
        Self { seconds: us.iter().copied().map(seconds).collect(), us }
    }

    fn point(&self, attributes: Vec<KeyValue>, latency: &Histogram, times: Times) -> HistogramDataPoint {
        let mut counts = vec![0_u64; self.us.len() + 1];
        for (value, count) in latency.counts_by_value() {
            // As many bounds lie below the value.
            let bucket = &mut counts[self.us.partition_point(|bound| *bound < value)];
            *bucket = bucket.saturating_add(count);
        }
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: times.start,
            time_unix_nano: times.now,
            count: latency.count(),
            sum: Some(seconds(latency.sum())),
            bucket_counts: counts,
            explicit_bounds: self.seconds.clone(),
            min: latency.min().map(seconds),
            max: latency.max().map(seconds),
            ..HistogramDataPoint::default()
        }
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn attributes(row: &Exported) -> Vec<KeyValue> {
    let named = [("action", &row.name), ("scenario", &row.scenario), ("group", &row.group)];
    named.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, value)).collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn sum(name: &str, unit: &str, what: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let sum = Sum { data_points, aggregation_temporality: cumulative(), is_monotonic: true };
    metric(name, unit, what, Data::Sum(sum))
}

fn metric(name: &str, unit: &str, what: &str, data: Data) -> Metric {
    let [name, unit, description] = [name, unit, what].map(str::to_owned);
    Metric { name, description, unit, data: Some(data), ..Metric::default() }
}

fn cumulative() -> i32 {
    AggregationTemporality::Cumulative.into()
}

/// A metric without figures is not allowed.
fn is_empty(metric: &Metric) -> bool {
    match &metric.data {
        Some(Data::Sum(sum)) => sum.data_points.is_empty(),
        Some(Data::Histogram(buckets)) => buckets.data_points.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
