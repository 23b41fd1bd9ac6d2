//! What all workers of a runner share of one scenario: this runner's part of what is limited over the army.

use super::army::Done;
use super::losses::{Losses, Owed as ByLoss};
use super::refill::Gate;
use super::rows::{Next, Row, Rows};
use super::share::Share;
use botarmy_protocol::Loss;
use botarmy_spec::Scenario;
use botarmy_spec::load::{Closed, Model, whole};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What all workers of a runner share of one scenario.
#[derive(Debug)]
pub(super) struct Part {
    share: Share,
    bots_begun: AtomicU64,
    /// None: no end by iterations.
    iterations_left: Option<AtomicU64>,
    refill: Option<Mutex<Gate>>,
    rows: Option<Mutex<Rows>>,
    /// How many more bots may be alive that come by a rate: one worker's free places are all workers'.
    places: AtomicU32,
    passes: Option<Passes>,
}

/// How many passes bots may make where each makes so many.
#[derive(Debug)]
struct Passes {
    per_bot: u64,
    /// The number of bots can be changed.
    live: bool,
    /// Bots that take over from others may make so many: those that they have left.
    taken_over: Mutex<VecDeque<u64>>,
}

/// A bot that may begin.
pub(super) struct Recruit {
    pub(super) id: u64,
    pub(super) row: Option<Row>,
}

/// What the bots of a worker have yet to do, where each makes so many passes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Owed {
    /// Passes of those that are alive.
    pub(super) passes: u64,
    /// Bots that are yet to begin.
    pub(super) bots: u64,
}

impl Owed {
    pub(super) fn add(&mut self, other: Self) {
        self.passes = self.passes.saturating_add(other.passes);
        self.bots += other.bots;
    }
}

impl Part {
    /// This runner's part; `live` is a run whose number of bots can be changed.
    pub(super) fn new(scenario: &Scenario, live: bool, losses: &Losses, done: &Done) -> Self {
        let (name, share) = (name(scenario), losses.own());
        let (among, most) = (losses.share(), scenario.load.peak());
        let iterations = |total| {
            let done = done.part.iterations.get(name).copied().unwrap_or(0);
            losses.iterations(name, total, most).saturating_sub(done)
        };
        let (refill, places, passes) = match &scenario.load.model {
            Model::Closed(closed) => (closed.refill, 0, Passes::new(scenario, closed, live, losses, done)),
            Model::Open(open) => (None, among.bots(open.max_bots), None),
        };
        let rows = scenario.data.as_ref().map(|data| {
            let mut rows = Rows::new(data, share.with_bots(most));
            rows.take_over(losses.rows(name, rows.len(), most));
            rows.pass_over(done.part.rows.get(name).copied().unwrap_or(0));
            rows
        });
        // The first bots have the rows of their ids.
        let bots_begun = rows.as_ref().and_then(Rows::used_up).unwrap_or(0);
        Self {
            share,
            bots_begun: AtomicU64::new(bots_begun),
            iterations_left: scenario.load.iterations.map(|total| AtomicU64::new(iterations(total))),
            refill: refill.map(|refill| Mutex::new(Gate::new(refill, among.with_bots(most)))),
            rows: rows.map(Mutex::new),
            places: AtomicU32::new(places),
            passes,
        }
    }

    /// Takes over what is its of runners that were lost, of which it did not know `before`.
    pub(super) fn take_over(&self, scenario: &Scenario, before: &Losses, losses: &Losses) {
        let (name, most) = (name(scenario), scenario.load.peak());
        if let (Some(left), Some(total)) = (&self.iterations_left, scenario.load.iterations) {
            let part = |losses: &Losses| losses.iterations(name, total, most);
            left.fetch_add(part(losses).saturating_sub(part(before)), Ordering::Relaxed);
        }
        if let Some(gate) = &self.refill {
            locked(gate).share(losses.share().with_bots(most));
        }
        if let Some(rows) = &self.rows {
            let mut rows = locked(rows);
            let more = losses.rows(name, rows.len(), most);
            rows.take_over(more);
        }
        match &scenario.load.model {
            Model::Open(open) => {
                let bots = |losses: &Losses| losses.share().bots(open.max_bots);
                self.places.fetch_add(bots(losses).saturating_sub(bots(before)), Ordering::Relaxed);
            }
            Model::Closed(closed) => {
                self.passes.iter().for_each(|passes| passes.take_over(name, closed, before, losses));
            }
        }
    }

    /// The next bot that comes by a rate, with its row; none if there is no place or no row for it.
    pub(super) fn recruit_to_a_place(&self) -> Option<Recruit> {
        let places = &self.places;
        places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).ok()?;
        let recruit = self.recruit();
        if recruit.is_none() {
            self.give_place_back();
        }
        recruit
    }

    pub(super) fn give_place_back(&self) {
        self.places.fetch_add(1, Ordering::Relaxed);
    }

    /// The next bot, with its row; none if there is no row for it, now or any more.
    pub(super) fn recruit(&self) -> Option<Recruit> {
        let next_id = || self.share.bot_id(self.bots_begun.fetch_add(1, Ordering::Relaxed));
        let Some(rows) = &self.rows else { return Some(Recruit { id: next_id(), row: None }) };
        // Under one lock, so that ids and rows come in the same order.
        match locked(rows).take() {
            Next::Row(row) => Some(Recruit { id: next_id(), row: Some(row) }),
            Next::Later | Next::Never => None,
        }
    }

    pub(super) fn give_row_back(&self, row: u32) {
        if let Some(rows) = &self.rows {
            locked(rows).give_back(row);
        }
    }

    pub(super) fn rows_are_over(&self) -> bool {
        self.rows.as_ref().is_some_and(|rows| locked(rows).are_over())
    }

    /// How many of its rows are used up, where none is used twice.
    pub(super) fn rows_used_up(&self) -> Option<u64> {
        locked(self.rows.as_ref()?).used_up()
    }

    /// Takes one of the iterations that are left; false when there are none.
    pub(super) fn take_iteration(&self) -> bool {
        let Some(left) = &self.iterations_left else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// An iteration that was begun and not finished can be another bot's.
    pub(super) fn give_iteration_back(&self) {
        if let Some(left) = &self.iterations_left {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn no_iterations_left(&self) -> bool {
        self.iterations_left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0)
    }

    /// Takes the right to replace a bot, or tells how long to wait for it.
    pub(super) fn take_replacement(&self, since_start: Duration) -> Result<(), Duration> {
        let Some(gate) = &self.refill else { return Ok(()) };
        locked(gate).take(since_start).map_err(|next| next.saturating_sub(since_start))
    }

    /// How many passes a bot may make that begins now, where each makes so many.
    pub(super) fn passes_of_a_bot(&self) -> Option<u64> {
        let passes = self.passes.as_ref()?;
        Some(passes.take(|left| left > 0).unwrap_or(passes.per_bot))
    }

    /// Takes the place of a bot that has no passes left, if there is such a one.
    pub(super) fn take_place_of_one_that_is_done(&self) -> bool {
        self.passes.as_ref().is_some_and(|passes| passes.take(|left| left == 0).is_some())
    }

    /// A bot was told to end that had so many passes left.
    pub(super) fn give_passes_back(&self, left: u64) {
        if let Some(passes) = &self.passes {
            locked(&passes.taken_over).push_back(left);
        }
    }

    /// Passes that are yet to be made, where each bot makes so many.
    pub(super) fn owed(&self, Owed { passes: alive, bots }: Owed) -> Option<u64> {
        let passes = self.passes.as_ref()?;
        let taken_over = locked(&passes.taken_over);
        let of_those = taken_over.iter().fold(0, |sum: u64, left| sum.saturating_add(*left));
        let others = bots.saturating_sub(taken_over.len() as u64).saturating_mul(passes.per_bot);
        Some(alive.saturating_add(of_those).saturating_add(others))
    }
}

impl Passes {
    fn new(scenario: &Scenario, closed: &Closed, live: bool, losses: &Losses, done: &Done) -> Option<Self> {
        let per_bot = closed.iterations_per_bot?;
        let passes = Self { per_bot, live, taken_over: Mutex::default() };
        let mut by_loss = passes.of_others(name(scenario), closed, losses);
        if let Some(left) = done.part.owed.get(name(scenario)) {
            // What was left to the runner whose place it has taken is spread evenly over its bots.
            let knew = usize::try_from(done.part.knew).unwrap_or(usize::MAX).min(by_loss.len());
            let all = done.bots.filter(|_| live).unwrap_or_else(|| whole(closed.bots.peak()));
            let of = losses.share_after(knew).bots(all);
            let spread = (0..of).map(|index| Share { index, of }.part(*left)).collect();
            by_loss = std::iter::once(spread).chain(by_loss.split_off(knew)).collect();
        }
        *locked(&passes.taken_over) = by_loss.concat().into();
        Some(passes)
    }

    /// Takes the first of what was taken over that fits.
    fn take(&self, fits: impl Fn(u64) -> bool) -> Option<u64> {
        let mut taken_over = locked(&self.taken_over);
        let first = taken_over.iter().position(|left| fits(*left))?;
        taken_over.remove(first)
    }

    fn take_over(&self, name: &str, closed: &Closed, before: &Losses, losses: &Losses) {
        let more = self.of_others(name, closed, losses).split_off(before.all().len());
        locked(&self.taken_over).extend(more.concat());
    }

    fn of_others(&self, name: &str, closed: &Closed, losses: &Losses) -> ByLoss {
        let fixed = whole(closed.bots.peak());
        let bots = |loss: &Loss| if self.live { loss.bots } else { fixed };
        losses.owed(name, self.per_bot, bots)
    }
}

fn name(scenario: &Scenario) -> &str {
    scenario.name.as_deref().unwrap_or_default()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
