//! What survives the operator of an army: its plan, its sums, and its pods. Pure.

use super::{Changes, Progress};
use botarmy_protocol::shared::Store;
use botarmy_protocol::{Loss, Refusal as Refused, Stage, Standing};
use botarmy_report::{Gap, Presence, Timeline, Totals};
use botarmy_spec::BotRunSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// One runner pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts that hold each by itself")]
pub struct Pod {
    /// The runner's index.
    pub index: u32,
    /// How far it is.
    pub stage: Stage,
    /// Its last delta that is part of the sum.
    pub applied: u64,
    /// Its last delta that survives the operator.
    pub durable: u64,
    /// Bots alive at its last report.
    pub alive: u32,
    /// How long its check-ins take, in milliseconds.
    pub round_trip_ms: u64,
    /// Until when the timeline knows how many bots were alive.
    #[serde(default)]
    pub presence: Presence,
    /// What its bots have changed of what all share.
    #[serde(default)]
    pub changes: Changes,
    /// When it was last heard, in milliseconds since 1970.
    #[serde(default)]
    pub heard_ms: u64,
    /// How far its measures reach, in seconds since the start.
    #[serde(default)]
    pub measured_until: u64,
    /// Requests that it has reported, those of the warm-up, of setup and of teardown included.
    #[serde(default)]
    pub requests: u64,
    /// Passes of the tree that ended, by scenario, the warm-up included.
    #[serde(default)]
    pub passes: BTreeMap<String, u64>,
    /// Bots that it had when it last had any.
    #[serde(default)]
    pub bots: u32,
    /// Its pod was told to end before its part was done.
    #[serde(default)]
    pub left: bool,
    /// When that was heard first, in milliseconds since 1970.
    #[serde(skip)]
    pub left_ms: Option<u64>,
    /// Since when it says that it has finished, whether or not there is more for it to do that it does not know of, in
    /// milliseconds since 1970.
    #[serde(skip)]
    pub finished_ms: Option<u64>,
    /// Another pod has taken its place, or others its part.
    #[serde(default)]
    pub replaced: bool,
    /// It was told to end because the run was suspended.
    #[serde(default)]
    pub excused: bool,
    /// It is known to whoever comes after this operator: only then it is told when to begin.
    #[serde(skip)]
    pub written: bool,
    /// The name of the certificates that it was told to check the coordinator with.
    #[serde(skip)]
    pub trusts: Option<String>,
    /// How far it is beside what its measures tell.
    #[serde(default)]
    pub standing: Standing,
    /// How late its first bots began, in milliseconds, if it began with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_late_ms: Option<i64>,
    /// Why it was lost, in the cluster's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was known to have ended, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
}

/// What survives the operator of an army.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The spec as it was accepted.
    pub spec: BotRunSpec,
    /// The sum of all applied deltas but those of the warm-up.
    pub totals: Totals,
    /// The sum of those of the warm-up.
    #[serde(default)]
    pub warmup: Totals,
    /// How it went over time, the warm-up apart.
    #[serde(default)]
    pub timeline: Timeline,
    /// The pods, by UID.
    pub pods: BTreeMap<String, Pod>,
    /// When the bots began.
    pub start_at_ms: Option<u64>,
    /// A threshold has ended the run.
    #[serde(default)]
    pub aborted: bool,
    /// How far setup is.
    #[serde(default)]
    pub setup: Progress,
    /// How far teardown is.
    #[serde(default)]
    pub teardown: Progress,
    /// When the last bot had ended.
    #[serde(default)]
    pub ended_at_ms: Option<u64>,
    /// The values that setup has left.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// Why a runner could not do its part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refused>,
    /// The digest of the sources that the first runner has read; all have to read the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<String>,
    /// Changes of the rate of arrivals: milliseconds since the start, bots a second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<(u64, f64)>,
    /// What the bots share.
    #[serde(default)]
    pub shared: Store,
    /// What is not known of runners whose place was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Runners that were lost and whose part the others have taken over, in the order of their losses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// The epoch of whoever wrote this.
    #[serde(default)]
    pub epoch: u64,
    /// Times in which the load stands still: milliseconds since the start, from and until.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<(u64, Option<u64>)>,
    /// Rows that are summed, since not all could be kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub summed: BTreeSet<String>,
    /// The thresholds, by their places, that such rows belong to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unjudged: BTreeSet<usize>,
}

impl Checkpoint {
    /// Rows of their own.
    pub fn rows(&self) -> usize {
        self.totals.rows.len().max(self.warmup.rows.len())
    }

    /// The least that it comes to when rows are summed.
    #[must_use]
    pub fn without_rows(&self) -> Self {
        let mut least = self.clone();
        for totals in [&mut least.totals, &mut least.warmup] {
            let rows = totals.smallest(0, &BTreeSet::new());
            totals.sum_up(&rows);
        }
        least
    }

    /// Drops what is large: the rest tells which decisions and which deltas are in it.
    pub fn lighten(&mut self) {
        (self.totals, self.warmup, self.timeline) = Default::default();
        (self.shared, self.context) = Default::default();
        self.pods.values_mut().for_each(|pod| pod.changes.answers.clear());
    }
}
