//! What a histogram that was pushed says about a quantile.

use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;

/// The bounds of the bucket in which a quantile lies.
pub(crate) fn bucket_of(point: &HistogramDataPoint, share: f64) -> (f64, f64) {
    let rank = share * point.count as f64;
    let mut seen = 0;
    let place = point.bucket_counts.iter().position(|count| {
        seen += count;
        seen as f64 >= rank
    });
    let place = place.expect("the last bucket at the latest");
    let bound = |n: usize| point.explicit_bounds.get(n).copied().unwrap_or(f64::INFINITY);
    (if place == 0 { 0.0 } else { bound(place - 1) }, bound(place))
}
