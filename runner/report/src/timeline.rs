//! How a run went over time: a point for each second, bounded by merging neighbours.
//!
//! A point covers one step. The step is the least power of two, in seconds, with which the whole run
//! fits into [`MAX_POINTS`]; it follows from what was added alone, so that sums are the same whatever
//! the split and the order. Percentiles of a point come from a coarse histogram and are at most a
//! thirty-second part above the true ones; counts are exact.

mod coarse;
mod wire;

use crate::totals::Totals;
pub(crate) use coarse::Coarse;

/// Most points of a timeline.
pub const MAX_POINTS: usize = 600;

/// The longest step, in seconds: with that any second of 64 bits has its point.
const MAX_STEP: u64 = 1 << 55;

/// What happened in one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) iterations: u64,
    pub(crate) actions: u64,
    pub(crate) failures: u64,
    pub(crate) requests: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// The bots alive in each second, summed.
    pub(crate) bot_seconds: u64,
    pub(crate) latency: Coarse,
}

impl Point {
    fn absorb(&mut self, other: &Self) {
        let Self { iterations, actions, failures, requests, bytes_in, bytes_out, bot_seconds, latency } =
            other;
        for (own, their) in [
            (&mut self.iterations, iterations),
            (&mut self.actions, actions),
            (&mut self.failures, failures),
            (&mut self.requests, requests),
            (&mut self.bytes_in, bytes_in),
            (&mut self.bytes_out, bytes_out),
            (&mut self.bot_seconds, bot_seconds),
        ] {
            *own = own.saturating_add(*their);
        }
        self.latency.absorb(latency);
    }
}

/// How a run went over time, since T0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Seconds that a point covers; a power of two.
    step: u64,
    /// One after another, the last of which is not empty.
    points: Vec<Point>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { step: 1, points: Vec::new() }
    }
}

impl Timeline {
    /// Adds what was counted in a second since T0.
    pub fn add(&mut self, second: u64, totals: &Totals) {
        let (series, details) = (totals.total(), totals.total_details());
        let point = Point {
            iterations: totals.iterations,
            actions: series.measured_count(),
            failures: series.failure_count(),
            requests: totals.requests,
            bytes_in: details.bytes_in(),
            bytes_out: details.bytes_out(),
            bot_seconds: 0,
            latency: Coarse::of(&series.latency()),
        };
        self.absorb_point(second, &point);
    }

    /// Adds bots that were alive in a second since T0.
    pub fn alive(&mut self, second: u64, bots: u32) {
        self.absorb_point(second, &Point { bot_seconds: u64::from(bots), ..Point::default() });
    }

    /// Adds everything in `other`, exactly.
    pub fn merge(&mut self, other: &Self) {
        self.widen(other.step);
        for (place, point) in (0_u64..).zip(&other.points) {
            self.absorb_point(place.saturating_mul(other.step), point);
        }
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Merges neighbours until there are no more than so many points, at least one; or until a step is as long as it may be,
    /// which takes a second that somebody has made up. What is added later is the same whether this was done before or is
    /// done after it.
    pub fn keep_at_most(&mut self, points: usize) {
        while self.points.len() > points.max(1) && self.step < MAX_STEP {
            self.widen(self.step * 2);
        }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// What it takes beside itself, in bytes, about.
    pub fn weight(&self) -> usize {
        self.points.iter().map(|point| size_of::<Point>() + point.latency.weight()).sum()
    }

    /// Seconds that a point covers.
    pub fn step_seconds(&self) -> u64 {
        self.step
    }

    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }

    fn absorb_point(&mut self, second: u64, point: &Point) {
        if *point == Point::default() {
            return;
        }
        while second / self.step >= MAX_POINTS as u64 {
            self.widen(self.step * 2);
        }
        let place = usize::try_from(second / self.step).unwrap_or(MAX_POINTS - 1);
        if place >= self.points.len() {
            self.points.resize_with(place + 1, Point::default);
        }
        self.points[place].absorb(point);
    }

    /// Makes the step at least so long, a power of two.
    fn widen(&mut self, step: u64) {
        while self.step < step {
            self.step *= 2;
            let pairs = self.points.chunks(2).map(|pair| {
                let mut sum = pair[0].clone();
                pair[1..].iter().for_each(|second| sum.absorb(second));
                sum
            });
            self.points = pairs.collect();
        }
    }
}

/// Tells a timeline how many bots of one runner are alive: once for each second, whether or not it
/// was asked in that second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Presence {
    /// The first second that nothing was told of.
    next: u64,
}

impl Presence {
    /// Bots are alive in a second, and were in those before that nothing was told of.
    pub fn tell(&mut self, timeline: &mut Timeline, second: u64, bots: u32) {
        // What comes over the network decides nothing about how long this takes.
        let first = self.next.max(second.saturating_sub(MAX_POINTS as u64));
        for past in first..=second {
            timeline.alive(past, bots);
        }
        self.next = self.next.max(second.saturating_add(1));
    }
}

#[cfg(test)]
mod tests;
