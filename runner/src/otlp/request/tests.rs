#[path = "../../../tests/common/bucket.rs"]
mod bucket;

use super::*;
use botarmy_report::{FailureClass, Observed, Recorder, RowInfo};
use bucket::bucket_of;
use prost::Message;
use std::collections::BTreeMap;

const TIMES: Times = Times { start: 5, now: 9 };

/// A control leaf and measured rows, so many in all, each with a thousand times from 1 us to beyond the
/// range, those of the bounds among them.
fn totals(rows: usize) -> (Totals, Vec<u64>) {
    let row = |n: usize| RowInfo {
        name: format!("GET /{n:04}"),
        base: "GET".into(),
        measured: n > 0,
        scenario: if n == 1 { "day".into() } else { String::new() },
        group: if n == 2 { "Shop / Pay".into() } else { String::new() },
    };
    let mut recorder = Recorder::new((0..rows).map(row).collect(), 3_600_000_000);
    let times = (0..1_000).map(|n: u64| 1 + n * n * n * 3 + n * 7).chain([3_700_000_000]);
    let times: Vec<u64> = times.chain(PROMETHEUS_BUCKETS).collect();
    for row in 0..rows {
        for (us, status) in times.iter().zip((200..300).cycle()) {
            let seen = Observed { status: Some(status), bytes_in: 10, bytes_out: 3, ..Observed::default() };
            recorder.record_observed(row, Outcome::Succeed, *us, &seen);
            recorder.count_request();
        }
        for class in [FailureClass::Timeout, FailureClass::Timeout, FailureClass::Dns] {
            recorder.record_observed(row, Outcome::Fail, 7, &Observed::failed(class, "late"));
        }
        recorder.record(row, Outcome::Cancelled, 1);
    }
    (recorder.drain(), times)
}

/// The metrics as a receiver reads them, by name.
fn received(totals: &Totals, alive: u32) -> BTreeMap<String, Metric> {
    let about = [("service.name", "botarmy-runner".to_owned()), (INSTANCE, "pod-1".to_owned())];
    let body = request(totals, alive, &about, TIMES).encode_to_vec();
    let request = ExportMetricsServiceRequest::decode(&*body).expect("the format");
    let [of_resource] = &*request.resource_metrics else { panic!("{request:?}") };
    let told = of_resource.resource.as_ref().expect("a resource").attributes.iter().map(pair);
    assert_eq!(told.collect::<Vec<_>>(), about.map(|(k, v)| (k.to_owned(), v)));
    let [of_scope] = &*of_resource.scope_metrics else { panic!("{request:?}") };
    assert_eq!(of_scope.scope.as_ref().expect("a scope").name, "botarmy");
    of_scope.metrics.iter().map(|m| (m.name.clone(), m.clone())).collect()
}

fn pair(attribute: &KeyValue) -> (String, String) {
    match attribute.value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(value)) => (attribute.key.clone(), value.clone()),
        other => panic!("{other:?} is no text"),
    }
}

fn labels(attributes: &[KeyValue]) -> Vec<String> {
    attributes.iter().map(pair).map(|(key, value)| format!("{key}={value}")).collect()
}

/// The points of a sum, which is cumulative and only grows.
fn points(metric: &Metric) -> Vec<(Vec<String>, i64)> {
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?} is no sum") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == AggregationTemporality::Cumulative as i32);
    let point = |p: &NumberDataPoint| {
        assert_eq!((p.start_time_unix_nano, p.time_unix_nano), (5, 9));
        let Some(Number::AsInt(count)) = p.value else { panic!("{p:?}") };
        (labels(&p.attributes), count)
    };
    sum.data_points.iter().map(point).collect()
}

fn histograms(metric: &Metric) -> Vec<HistogramDataPoint> {
    let Some(Data::Histogram(buckets)) = &metric.data else { panic!("{metric:?} is no histogram") };
    assert_eq!(buckets.aggregation_temporality, AggregationTemporality::Cumulative as i32);
    buckets.data_points.clone()
}

#[test]
fn sums_are_those_that_were_counted() {
    let (totals, times) = totals(3);
    let metrics = received(&totals, 7);
    let requests = 3 * i64::try_from(times.len()).expect("few");
    assert_eq!(points(&metrics["botarmy.requests"]), [(vec![], requests)]);
    assert_eq!(points(&metrics["botarmy.iterations"]), [(vec![], 0)]);
    assert_eq!(points(&metrics["botarmy.received"]), [(vec![], 20_320)], "of measured rows");
    assert_eq!(points(&metrics["botarmy.sent"]), [(vec![], 6_096)]);
    let Some(Data::Gauge(gauge)) = &metrics["botarmy.bots.alive"].data else { panic!("no gauge") };
    assert_eq!(gauge.data_points[0].value, Some(Number::AsInt(7)));
    let actions: BTreeMap<_, _> = points(&metrics["botarmy.actions"]).into_iter().collect();
    assert_eq!(actions.len(), 3 * 5, "no two points have the same attributes");
    let day = |outcome: &str| ["action=GET /0001", "scenario=day", outcome].map(str::to_owned).to_vec();
    for (outcome, count) in [("succeed", 1_016), ("fail", 3), ("error", 0), ("crash", 0), ("cancelled", 1)] {
        assert_eq!(actions[&day(&format!("outcome={outcome}"))], count, "{outcome}");
    }
    let failures: BTreeMap<_, _> = points(&metrics["botarmy.action.failures"]).into_iter().collect();
    assert_eq!((failures[&day("class=timeout")], failures[&day("class=dns")]), (2, 1));
    let statuses = points(&metrics["botarmy.action.responses"]);
    assert_eq!(statuses.len(), 3 * 65, "64 codes and the sum of the others");
    assert_eq!(statuses.iter().map(|(_, count)| count).sum::<i64>(), requests);
    assert!(statuses.iter().any(|(labels, _)| labels.last().is_some_and(|l| l == "status=other")));
    assert_eq!(metrics["botarmy.received"].unit, "By");
    assert_eq!(metrics["botarmy.action.duration"].unit, "s");
}

#[test]
fn histograms_add_up_and_no_value_is_in_a_wrong_bucket() {
    let (totals, times) = totals(3);
    let points = histograms(&received(&totals, 0)["botarmy.action.duration"]);
    assert_eq!(points.len(), 3);
    let latency = totals.rows.values().next().expect("a row").whole().latency();
    let all: Vec<u64> = times.iter().copied().chain([7, 7, 7]).collect();
    for point in &points {
        assert_eq!(
            (point.count, point.bucket_counts.iter().sum()),
            (1_019, 1_019),
            "cancelled ones are not in it"
        );
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert!(point.explicit_bounds.is_sorted());
        let exact = all.iter().sum::<u64>() as f64 / 1e6;
        assert!((point.sum.expect("a sum") - exact).abs() < 1e-6);
        assert_eq!((point.min, point.max), (Some(1e-6), Some(3_700.0)));
        let mut below = 0;
        for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            below += usize::try_from(*count).expect("few");
            let exact = all.iter().filter(|us| **us as f64 / 1e6 <= *bound).count();
            assert_eq!(below, exact, "up to {bound} s");
        }
        for share in [0.5, 0.95, 0.99] {
            let known = latency.quantile(share).expect("samples") as f64 / 1e6;
            let (from, to) = bucket_of(point, share);
            assert!(from < known && known <= to, "{share}: {known} is not in {from}..={to}");
        }
    }
}

#[test]
fn bounds_are_next_to_those_for_prometheus() {
    let bounds = Bounds::new();
    for (us, bound) in PROMETHEUS_BUCKETS.iter().zip(&bounds.seconds) {
        let nominal = *us as f64 / 1e6;
        assert!((nominal..nominal * 1.001).contains(bound), "{bound} instead of {nominal}");
    }
}

#[test]
fn the_number_of_points_is_bounded_and_nothing_is_left_out() {
    let (totals, times) = totals(900);
    let metrics = received(&totals, 0);
    let actions = points(&metrics["botarmy.actions"]);
    assert!(actions.len() <= 202 * 5, "{}", actions.len());
    let succeeded = actions.iter().filter(|(labels, _)| labels.contains(&"outcome=succeed".to_owned()));
    let succeeded: i64 = succeeded.map(|(_, count)| count).sum();
    assert_eq!(succeeded, 900 * i64::try_from(times.len()).expect("few"));
    let samples: u64 = histograms(&metrics["botarmy.action.duration"]).iter().map(|p| p.count).sum();
    assert_eq!(samples, 900 * 1_019);
}

#[test]
fn nothing_counted_is_zeroes_without_empty_metrics() {
    let names: Vec<String> = received(&Totals::default(), 0).into_keys().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "botarmy.actions.cut_off",
            "botarmy.bots.alive",
            "botarmy.bots.started",
            "botarmy.iterations",
            "botarmy.received",
            "botarmy.requests",
            "botarmy.sent",
            "botarmy.starts.dropped"
        ]
    );
    let huge = Totals { requests: u64::MAX, ..Totals::default() };
    assert_eq!(points(&received(&huge, 0)["botarmy.requests"]), [(vec![], i64::MAX)]);
}
