//! How a command that makes or follows a run ended, as its exit code.

use crate::result::RunOutcome;
use std::process::ExitCode;

/// How a command ended, as its exit code. A wrong command line ends with 2, which the parser says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Passed = 0,
    /// The input is wrong; nothing was started.
    Invalid = 1,
    /// The run could not do what it was meant to: setup or teardown failed, or no bot could begin after setup.
    Errored = 3,
    /// All went well, but what came of it could not be written.
    Unwritten = 4,
    /// A runner's coordinator was away for too long.
    NoCoordinator = 5,
    /// A runner was told to end before the run was over.
    Left = 6,
    /// A runner's coordinator has refused it for too long.
    Refused = 7,
    /// A run was begun, and its end could not be seen: it may go on.
    EndUnknown = 8,
    /// The run was made, and a threshold does not hold.
    ThresholdsFailed = 99,
    /// The run did not come to its end in the time that it was given; the code that timeout(1) gives too.
    TimedOut = 124,
    /// An interrupt ended it at once: the second, where the first ends the run in order.
    Interrupted = 130,
}

impl From<RunOutcome> for Exit {
    fn from(outcome: RunOutcome) -> Self {
        match outcome {
            RunOutcome::Passed => Self::Passed,
            RunOutcome::Failed | RunOutcome::Aborted => Self::ThresholdsFailed,
            RunOutcome::Errored => Self::Errored,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_tells_verdicts_apart_by_their_codes() {
        for (outcome, code) in [
            (RunOutcome::Passed, 0),
            (RunOutcome::Failed, 99),
            (RunOutcome::Aborted, 99),
            (RunOutcome::Errored, 3),
        ] {
            assert_eq!(Exit::from(outcome) as u8, code, "{outcome:?}");
        }
    }
}
