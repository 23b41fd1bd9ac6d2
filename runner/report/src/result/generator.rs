//! How the generator itself did, as a result states it.

use crate::health::Health;
use crate::quantity;
use serde::{Deserialize, Serialize};

/// How the generator did. When it was saturated, the figures are about it as much as about the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorResult {
    /// Whether the figures are suspect.
    pub saturated: bool,
    /// Seconds in which it could not keep up, of all runners together.
    pub saturated_seconds: u64,
    /// Seconds that were looked at.
    pub seconds: u64,
    /// The percentage of the processors that its workers had which it took.
    pub cpu_percent: u64,
    /// How late workers got to their timers: the 99th percentile, in microseconds.
    pub lag_p99_us: u64,
    /// The latest of all, in microseconds.
    pub lag_max_us: u64,
    /// For how long a limit of the cgroup stopped it, in milliseconds.
    pub throttled_ms: u64,
}

impl GeneratorResult {
    /// What was seen; none when nobody looked.
    pub(super) fn of(health: &Health) -> Option<Self> {
        let percent = health.cpu_us.saturating_mul(100).checked_div(health.capacity_us);
        (!health.is_empty()).then(|| Self {
            saturated: health.is_saturated(),
            saturated_seconds: health.saturated,
            seconds: health.seconds,
            cpu_percent: percent.unwrap_or(0),
            lag_p99_us: health.lag.quantile(0.99).unwrap_or(0),
            lag_max_us: health.lag.max().unwrap_or(0),
            throttled_ms: health.throttled_us / 1000,
        })
    }

    /// What there is to say of a saturated one: what is suspect, and why, with a cure.
    pub fn warning(&self) -> Option<[String; 2]> {
        let Self { saturated_seconds, seconds, cpu_percent, lag_p99_us, throttled_ms, .. } = self;
        let what = format!(
            "the generator could not keep up in {saturated_seconds} of {seconds} s: the figures are suspect"
        );
        let late = quantity::latency(*lag_p99_us);
        let mut why = format!("CPU {cpu_percent}%, workers late by {late} at p99");
        if *throttled_ms > 0 {
            why += &format!(", stopped for {} by its limit", quantity::span(*throttled_ms));
        }
        self.saturated.then(|| [what, why + "; take more runners"])
    }
}
