//! Which decisions survive the operator: only those may be told to runners. Pure.

use super::Checkpoint;

/// What was written of them last.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that hold each by itself")]
pub(super) struct Written {
    pub(super) plan: bool,
    pub(super) setup: bool,
    pub(super) teardown: bool,
    pub(super) aborted: bool,
    pub(super) ended: bool,
    pub(super) losses: usize,
    /// The last change of the rate of arrivals, and of standing still.
    pub(super) rate: Option<(u64, f64)>,
    pub(super) pause: Option<(u64, Option<u64>)>,
}

impl Written {
    /// What this checkpoint holds.
    pub(super) fn of(state: &Checkpoint) -> Self {
        let (setup, teardown) = (state.setup.has_begun(), state.teardown.has_begun());
        let (ended, losses) = (state.ended_at_ms.is_some(), state.losses.len());
        let (rate, pause) = (state.rates.last().copied(), state.pauses.last().copied());
        Self { plan: true, setup, teardown, aborted: state.aborted, ended, losses, rate, pause }
    }

    /// This checkpoint was written as well.
    pub(super) fn add(&mut self, checkpoint: &Checkpoint) {
        let newer = Self::of(checkpoint);
        *self = Self {
            setup: self.setup || newer.setup,
            teardown: self.teardown || newer.teardown,
            aborted: self.aborted || newer.aborted,
            ended: self.ended || newer.ended,
            losses: self.losses.max(newer.losses),
            ..newer
        };
    }
}
