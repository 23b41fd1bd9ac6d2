//! How one execution of an action ended.

use serde::{Deserialize, Serialize};

/// How one execution of an action ended. The tree's `done` counts as [`Outcome::Succeed`];
/// its `continue` is no end, and its time belongs to the outcome that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Succeed,
    /// It ran and did not get what it wanted.
    Fail,
    /// It reported an error with a reason.
    Error,
    /// It panicked; its bot ended.
    Crash,
    /// It was stopped before its end; in no percentile, and in no rate but that of those that were cut off.
    Cancelled,
}

impl Outcome {
    /// All outcomes, in the order of [`Outcome::index`].
    pub const ALL: [Self; 5] = [Self::Succeed, Self::Fail, Self::Error, Self::Crash, Self::Cancelled];

    /// Place in [`Outcome::ALL`], 0 to 4.
    pub const fn index(self) -> usize {
        match self {
            Self::Succeed => 0,
            Self::Fail => 1,
            Self::Error => 2,
            Self::Crash => 3,
            Self::Cancelled => 4,
        }
    }

    /// The word used in JSON and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Crash => "crash",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it counts towards `count`, `fail_rate` and percentiles: all but cancelled.
    pub const fn is_measured(self) -> bool {
        !matches!(self, Self::Cancelled)
    }

    /// Whether `fail_rate` counts it as failed: fail, error and crash.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Fail | Self::Error | Self::Crash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_order_and_names_agree() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), place);
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
        assert!(Outcome::ALL.is_sorted());
    }

    #[test]
    fn rates_leave_out_cancelled() {
        let failures: Vec<_> = Outcome::ALL.into_iter().filter(|o| o.is_failure()).collect();
        assert_eq!(failures, [Outcome::Fail, Outcome::Error, Outcome::Crash]);
        let measured: Vec<_> = Outcome::ALL.into_iter().filter(|o| o.is_measured()).collect();
        assert_eq!(measured, Outcome::ALL[..4]);
    }
}
