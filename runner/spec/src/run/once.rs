//! What one bot walks once: before all others begin, and after they have ended.

use super::{Run, Scenario};
use crate::load::{Between, Closed, Load, Model};
use crate::profile::Profile;
use botarmy_tree::Plan;
use botarmy_tree::template::RunScope;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long it may take, unless it is said.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A tree that is walked once.
#[derive(Debug, Clone)]
pub struct Once {
    /// The compiled tree.
    pub plan: Plan,
    /// What templates see of the run.
    pub scope: RunScope,
    /// How long it may take.
    pub timeout: Duration,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Before all others begin.
    Setup,
    /// After all others have ended.
    Teardown,
}

impl Part {
    /// Its name in reports; no scenario of a user's can be called so.
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "(setup)",
            Self::Teardown => "(teardown)",
        }
    }
}

impl Run {
    /// The tree of a part, if the run has it.
    pub fn once(&self, part: Part) -> Option<&Once> {
        match part {
            Part::Setup => self.setup.as_ref(),
            Part::Teardown => self.teardown.as_ref(),
        }
    }

    /// A run of nothing but this part: one bot, one pass.
    pub fn only(&self, part: Part) -> Option<Self> {
        let once = self.once(part)?;
        let closed = Closed {
            bots: Profile::constant(1.0),
            refill: None,
            iterations_per_bot: Some(1),
            between: Between::Nothing,
        };
        let load = Load {
            model: Model::Closed(closed),
            duration: Some(once.timeout),
            iterations: Some(1),
            stages: Vec::new(),
        };
        let scenario = Scenario {
            name: Some(part.name().to_owned()),
            plan: once.plan.clone(),
            scope: once.scope.clone(),
            load,
            start_delay: Duration::ZERO,
            data: None,
        };
        Some(Self {
            scenarios: vec![scenario],
            runners: 1,
            thresholds: Vec::new(),
            warmup: Duration::ZERO,
            // Its time is over once: what it does then is given up.
            grace_period: Duration::ZERO,
            max_rate: None,
            setup: None,
            teardown: None,
            ..self.clone()
        })
    }
}
