//! How slow and how unreliable the shop is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The shop's faults.
#[derive(Debug, Default)]
pub struct Knobs {
    /// How long each answer takes at least.
    pub latency: Duration,
    /// How many of a thousand answers are 500 instead, spread evenly.
    pub failures_per_thousand: u32,
    answered: AtomicU64,
}

impl Knobs {
    /// A shop with these faults.
    pub fn new(latency: Duration, failures_per_thousand: u32) -> Self {
        Self { latency, failures_per_thousand: failures_per_thousand.min(1000), answered: AtomicU64::new(0) }
    }

    /// Whether the next answer is a failure: exactly so many of each thousand.
    pub(super) fn fails(&self) -> bool {
        let n = self.answered.fetch_add(1, Ordering::Relaxed) % 1000;
        let part = |n: u64| n * u64::from(self.failures_per_thousand) / 1000;
        part(n + 1) > part(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_thousand_fail() {
        for failures in [0, 1, 10, 333, 1000] {
            let knobs = Knobs::new(Duration::ZERO, failures);
            let failed = (0..2000).filter(|_| knobs.fails()).count();
            assert_eq!(failed, failures as usize * 2);
        }
    }
}
