//! The reasons of a run's conditions. Nothing else can be the reason of one, and each is in docs/reasons.md. Pure.

use super::cause::Reason;
use crate::conditions::Documented;
use botarmy_report::RunOutcome;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use std::fmt;

/// How a run stands, where that is neither what keeps it nor an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The trees and the settings make sense.
    Valid,
    /// A runner reads the trees.
    ReadingSources,
    /// The object is none of its kind.
    Unreadable,
    /// A tree is wrong.
    InvalidTree,
    /// A tree calls an action that does not exist.
    ActionUnknown,
    /// Something else is wrong.
    Invalid,
    /// The Job of the runners is there.
    JobCreated,
    /// Runners are being started, and nothing keeps them.
    Scheduled,
    /// Setup is being performed.
    SettingUp,
    /// Bots are at work.
    BotsAtWork,
    /// They have ended, and teardown is being performed.
    TearingDown,
    /// All measures are handed over.
    Finished,
    /// It was stopped before the bots had begun.
    Stopped,
    /// It goes on though it is to stand still.
    SuspendIgnored,
    /// All thresholds hold.
    AllHold,
    /// One does not.
    Crossed,
    /// The result is where it shall be.
    Delivered,
    /// It is on its way.
    ExportPending,
    /// It could not be taken to some place.
    ExportFailed,
    /// Not all rows could be kept.
    TooManyRows,
    /// What was measured survives the operator again.
    Written,
    /// The run is on its way to its end.
    UnderWay,
    /// It is there.
    Over,
    /// Nothing keeps it any more.
    GoesOn,
    /// What was changed has no effect.
    Kept,
    /// A changed rate cannot be read.
    InvalidRate,
    /// More bots are wanted than are allowed.
    BotsLimited,
    /// The run is as it was accepted.
    Same,
    /// The figures are about the generator.
    CannotKeepUp,
    /// They are about the target again.
    KeepsUp,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The reason of a condition: any of those that are documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// How the run stands.
    Standing(Standing),
    /// What keeps it, or has ended it.
    Cause(Reason),
    /// How it has ended.
    Outcome(RunOutcome),
    /// That of another condition, which was told.
    Told(String),
}

impl From<Standing> for Word {
    fn from(standing: Standing) -> Self {
        Self::Standing(standing)
    }
}

impl From<Reason> for Word {
    fn from(reason: Reason) -> Self {
        Self::Cause(reason)
    }
}

impl From<RunOutcome> for Word {
    fn from(outcome: RunOutcome) -> Self {
        Self::Outcome(outcome)
    }
}

impl From<&Condition> for Word {
    fn from(told: &Condition) -> Self {
        Self::Told(told.reason.clone())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standing(standing) => standing.fmt(f),
            Self::Cause(reason) => reason.fmt(f),
            Self::Outcome(outcome) => f.write_str(outcome.name()),
            Self::Told(reason) => f.write_str(reason),
        }
    }
}

impl Documented for Standing {}
impl Documented for Word {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever adds a reason says in the documentation what it means.
    #[test]
    fn every_reason_of_a_condition_is_documented() {
        let (_, variants) = include_str!("standing.rs").split_once("enum Standing {").unwrap();
        let (variants, _) = variants.split_once("\n}").unwrap();
        let mut names: Vec<String> =
            variants.lines().filter_map(|line| line.trim().strip_suffix(',')).map(str::to_owned).collect();
        assert!(names.len() > 25 && names.contains(&Standing::CannotKeepUp.to_string()), "{names:?}");
        let outcomes = [RunOutcome::Passed, RunOutcome::Failed, RunOutcome::Aborted, RunOutcome::Errored];
        names.extend(outcomes.map(|outcome| Word::from(outcome).to_string()));
        let page = include_str!("../../../docs/reasons.md");
        let (_, section) = page.split_once("## Where a run stands").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        for name in names {
            // A condition, its reasons, and what they mean.
            let is_told = |line: &&str| {
                let cells: Vec<&str> = line.split(" | ").collect();
                cells.len() == 3 && cells[1].contains(&format!("`{name}`")) && cells[2].len() > 10
            };
            assert!(section.lines().any(|line| is_told(&line)), "{name} has no row in docs/reasons.md");
        }
    }
}
