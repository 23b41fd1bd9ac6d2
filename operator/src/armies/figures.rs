//! Where an army stands, for those who watch from outside. A copy, so that nobody waits while it is shown. Pure.

use super::{Army, Pod};
use botarmy_protocol::Stage;
use botarmy_report::{Counters, Totals};

/// Where an army stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The namespace of its run.
    pub namespace: String,
    /// The name of its run.
    pub name: String,
    /// What was measured since the start; of its rows the measured ones alone.
    pub totals: Totals,
    /// Bots alive at the last reports.
    pub alive: u32,
    /// Bots that shall be alive, where one number holds for the whole run.
    pub target: Option<u32>,
    /// Runners.
    pub runners: Runners,
    /// Stretches of time of which nothing is known, as runners were lost.
    pub gaps: usize,
    /// For how long nothing was heard of the runner at work that was heard of least lately, in milliseconds; none
    /// when no runner is at work.
    pub silence_ms: Option<u64>,
    /// How old what survives the operator is, in milliseconds; none when there is nothing to be kept yet.
    pub unkept_ms: Option<u64>,
}

/// Numbers of runners, each at most that of the run but for the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runners {
    /// As many as the run has.
    pub desired: u32,
    /// Those that have checked in and got ready.
    pub ready: u32,
    /// Those whose measures are all safe.
    pub finished: u32,
    /// Those that were lost while their bots were at work; one that is only silent is not.
    pub lost: u32,
    /// Those whose place another one has taken.
    pub replaced: u32,
}

impl Pod {
    /// Whether it is to check in each second.
    fn is_at_work(&self) -> bool {
        self.stage < Stage::Finished && !self.left && !self.replaced
    }
}

impl Army {
    /// Where it stands now.
    pub fn figures(&self, now_ms: u64) -> Figures {
        let totals = &self.state.totals;
        let measured = totals.rows.iter().filter(|(_, row)| row.measured);
        let rows = measured.map(|(key, row)| (key.clone(), row.clone())).collect();
        let since = |at_ms: u64| now_ms.saturating_sub(at_ms);
        let at_work = self.state.pods.values().filter(|pod| pod.is_at_work());
        Figures {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            totals: Totals {
                rows,
                requests: totals.requests,
                bots_started: totals.bots_started,
                iterations: totals.iterations,
                dropped: totals.dropped,
                health: totals.health.clone(),
            },
            alive: self.alive(now_ms),
            target: self.run.live_bots().map(|_| self.bots),
            runners: Runners {
                desired: self.run.runners,
                ready: self.ready(now_ms),
                finished: self.finished(),
                lost: self.lost(now_ms),
                replaced: self.replaced(),
            },
            gaps: self.gaps(now_ms).len(),
            silence_ms: at_work.map(|pod| since(pod.heard_ms)).max(),
            unkept_ms: self.kept_ms.map(since),
        }
    }

    /// What was measured, all actions together.
    pub fn counters(&self) -> Counters {
        Counters::of(&self.state.totals)
    }
}
