//! The points of a run over time, as a result states them.

use crate::timeline::{Point, Timeline};
use serde::{Deserialize, Serialize};

/// How the measured actions went over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeriesResult {
    /// How many seconds a point covers.
    pub step_seconds: u64,
    /// One after another since T0.
    pub points: Vec<PointResult>,
}

/// One step of the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointResult {
    /// Its beginning, in seconds since T0.
    pub second: u64,
    /// Bots alive, on average.
    pub bots: u64,
    /// Passes of the root that ended.
    pub iterations: u64,
    /// Measured actions that ended by themselves.
    pub actions: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Requests sent.
    pub requests: u64,
    /// Bytes received.
    #[serde(default)]
    pub bytes_in: u64,
    /// Bytes sent.
    #[serde(default)]
    pub bytes_out: u64,
    /// Median in microseconds, at most a thirty-second part too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// 95th percentile in microseconds, at most a thirty-second part too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_us: Option<u64>,
    /// 99th percentile in microseconds, at most a thirty-second part too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
}

impl SeriesResult {
    /// The points of a timeline; none of an empty one.
    pub fn of(timeline: &Timeline) -> Option<Self> {
        let step = timeline.step_seconds();
        let point = |(place, point): (u64, &Point)| PointResult {
            second: place * step,
            bots: (point.bot_seconds.saturating_add(step / 2)) / step,
            iterations: point.iterations,
            actions: point.actions,
            failures: point.failures,
            requests: point.requests,
            bytes_in: point.bytes_in,
            bytes_out: point.bytes_out,
            p50_us: point.latency.quantile_per_mille(500),
            p95_us: point.latency.quantile_per_mille(950),
            p99_us: point.latency.quantile_per_mille(990),
        };
        let points = (0_u64..).zip(timeline.points()).map(point).collect();
        (!timeline.is_empty()).then_some(Self { step_seconds: step, points })
    }
}
