//! What a runner has measured in a second: true totals, made once and then reported again and again.

use botarmy_report::{
    DEFAULT_HIGHEST_US, Delta, Failure, FailureClass, Health, ITERATION, Observed, Outcome, Part, Recorder,
    RowInfo, Slice, Totals,
};
use std::sync::Arc;
use std::time::Duration;

/// Bots that each runner says it has.
pub(crate) const BOTS: u32 = 10;
/// Requests that are in every second.
pub(crate) const REQUESTS: u64 = 200;

/// Actions that a runner tells of.
const ACTIONS: usize = 10;
/// How often each is done in a second.
const EACH: u64 = 20;
/// Seconds that differ from one another; they are reported in turn.
const DIFFERENT: u64 = 16;
/// How often a worker looks how late it is, in a second.
const LOOKS: u64 = 20;

/// A second: its totals, and the same as JSON, since thousands of runners would compute little else.
#[derive(Debug)]
struct Second {
    totals: Totals,
    json: String,
}

/// Seconds to report.
#[derive(Debug)]
pub(crate) struct Measures(Vec<Second>);

impl Measures {
    /// Makes them, the same every time.
    pub(crate) fn new() -> serde_json::Result<Self> {
        let action = |number: usize| RowInfo {
            name: format!("GET /page/{number}"),
            base: "http".to_owned(),
            measured: true,
            ..RowInfo::default()
        };
        let passes = RowInfo { name: ITERATION.to_owned(), base: ITERATION.to_owned(), ..RowInfo::default() };
        let rows: Arc<[RowInfo]> = (0..ACTIONS).map(action).chain([passes]).collect();
        let mut recorder = Recorder::new(rows, DEFAULT_HIGHEST_US);
        let seconds = (0..DIFFERENT).map(|number| {
            let totals = second(&mut recorder, number);
            Ok(Second { json: serde_json::to_string(&totals)?, totals })
        });
        seconds.collect::<serde_json::Result<_>>().map(Self)
    }

    /// The totals of a delta as JSON.
    pub(crate) fn json(&self, index: u32, sequence: u64) -> &str {
        &self.second(index, sequence).json
    }

    /// A delta as a runner makes it.
    pub(crate) fn delta(&self, index: u32, sequence: u64, second: u64) -> Delta {
        let totals = self.second(index, sequence).totals.clone();
        Delta { sequence, slices: vec![Slice { second, totals, warmup: false, apart: false }], alive: BOTS }
    }

    fn second(&self, index: u32, sequence: u64) -> &Second {
        let place = usize::try_from((u64::from(index) + sequence) % DIFFERENT);
        &self.0[place.unwrap_or_default()]
    }
}

/// One second of ten actions, each done by several bots.
fn second(recorder: &mut Recorder, number: u64) -> Totals {
    for (action, first) in (0..ACTIONS).zip((0_u64..).step_by(100)) {
        for place in 0..EACH {
            let us = latency(number * 10_000 + first + place);
            let (outcome, observed) = seen(us, number == place && action == 0);
            recorder.record_observed(action, outcome, us, &observed);
        }
    }
    for place in 0..EACH {
        recorder.record(ACTIONS, Outcome::Succeed, latency(number * 10_000 + 9_000 + place) * 10);
        recorder.iteration();
    }
    recorder.count_requests(REQUESTS);
    let mut totals = recorder.drain();
    totals.health = health(number);
    totals
}

/// Between 1 and 200 ms, spread so that each lies in a bucket of its own, which is the most that it can take.
fn latency(number: u64) -> u64 {
    1_000 + (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 199_000
}

/// What an HTTP request over a kept connection tells; some fail.
fn seen(us: u64, fails: bool) -> (Outcome, Observed) {
    let mut observed = Observed { bytes_in: 1_500, bytes_out: 300, ..Observed::default() };
    observed.took(Part::FirstByte, Duration::from_micros(us.saturating_sub(100)));
    observed.status = Some(if fails { 503 } else { 200 });
    if !fails {
        return (Outcome::Succeed, observed);
    }
    let message = "503 Service Unavailable, 200 was expected".to_owned();
    observed.failure = Some(Box::new(Failure { class: FailureClass::Status, message }));
    (Outcome::Fail, observed)
}

fn health(number: u64) -> Health {
    let mut lag = Health::no_lag();
    (0..LOOKS).for_each(|place| lag.record(latency(number * 100 + place) / 100));
    let second = Duration::from_secs(1);
    Health::of_second(lag, second / 4, second, Duration::ZERO, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_what_it_says() {
        let measures = Measures::new().unwrap();
        assert_eq!(measures.0.len(), 16);
        for Second { totals, json } in &measures.0 {
            assert_eq!((totals.rows.len(), totals.requests, totals.iterations), (11, REQUESTS, EACH));
            assert_eq!(totals.total().measured_count(), REQUESTS);
            assert_eq!(totals.total().failure_count(), 1);
            assert_eq!(totals.health.seconds, 1);
            assert_eq!(serde_json::from_str::<Totals>(json).unwrap(), *totals);
        }
        assert_ne!(measures.0[0].totals, measures.0[1].totals);
    }

    #[test]
    fn the_coordinator_can_add_them_up() {
        let measures = Measures::new().unwrap();
        let (mut sum, mut warmup) = (Totals::default(), Totals::default());
        for sequence in 1..=20 {
            measures.delta(7, sequence, sequence - 1).merge_into(&mut sum, &mut warmup).unwrap();
        }
        assert_eq!((sum.requests, warmup), (20 * REQUESTS, Totals::default()));
    }
}
