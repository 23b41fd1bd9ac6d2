//! What a runner has measured and the coordinator might still lose, and how a check-in carries what is new of it.

use crate::measures::{BOTS, Measures};
use botarmy_protocol::CheckIn;
use std::collections::VecDeque;

/// Most deltas of one check-in, as of a real runner.
const MAX_SENT: usize = 30;
/// Where the deltas stand in a check-in that has none. In a text each quote would have a backslash before it.
const NONE: &str = r#""deltas":[]"#;

/// A delta that is not durable yet.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    sequence: u64,
    second: u64,
}

/// Deltas in the order of their numbers, from 1.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Waiting>,
    last: u64,
    /// The highest number that the coordinator has: what it has is sent again only if it was lost with it.
    applied: u64,
}

impl Outbox {
    /// Adds what was measured in a second since the start.
    pub(crate) fn add(&mut self, second: u64) {
        self.last += 1;
        self.waiting.push_back(Waiting { sequence: self.last, second });
    }

    /// Forgets what is safe, and takes note of what the coordinator has.
    pub(crate) fn settle(&mut self, applied: u64, durable: u64) {
        self.applied = applied;
        while self.waiting.front().is_some_and(|delta| delta.sequence <= durable) {
            self.waiting.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nobody has answered: another coordinator may have less.
    pub(crate) fn doubt(&mut self) {
        self.applied = 0;
    }

    /// What the next check-in carries.
    fn unsent(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(|delta| delta.sequence > self.applied).take(MAX_SENT)
    }

    /// How many deltas the next check-in has.
    pub(crate) fn pending(&self) -> usize {
        self.unsent().count()
    }

    /// A check-in that has none as JSON, with what is new, oldest first.
    pub(crate) fn body(&self, said: &CheckIn, measures: &Measures) -> serde_json::Result<Vec<u8>> {
        let text = serde_json::to_string(said)?;
        let Some((head, tail)) = text.split_once(NONE) else { return Ok(text.into_bytes()) };
        let deltas: Vec<String> = self.unsent().map(|delta| {
            let Waiting { sequence, second } = delta;
            let totals = measures.json(said.index, *sequence);
            format!(
                r#"{{"sequence":{sequence},"slices":[{{"second":{second},"totals":{totals}}}],"alive":{BOTS}}}"#
            )
        }).collect();
        Ok(format!(r#"{head}"deltas":[{}]{tail}"#, deltas.join(",")).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_protocol::{RunRef, Stage, Together, VERSION};

    fn said() -> CheckIn {
        CheckIn {
            protocol: VERSION,
            run: RunRef { namespace: NONE.into(), name: r#"a","deltas":[]"#.into(), uid: "u".into() },
            index: 3,
            pod_uid: "p".into(),
            stage: Stage::Running,
            alive: BOTS,
            round_trip_ms: Some(4),
            deltas: Vec::new(),
            left: false,
            refusal: None,
            sources: None,
            performed: None,
            together: Together::default(),
            trusts: None,
            began_late_ms: None,
            standing: botarmy_protocol::Standing::default(),
        }
    }

    #[test]
    fn a_body_is_what_a_real_runner_writes() {
        let (measures, mut outbox) = (Measures::new().unwrap(), Outbox::default());
        assert_eq!(outbox.body(&said(), &measures).unwrap(), serde_json::to_vec(&said()).unwrap());
        for second in 0..40 {
            outbox.add(second);
        }
        outbox.settle(2, 2);
        let deltas: Vec<_> = (3..33).map(|sequence| measures.delta(3, sequence, sequence - 1)).collect();
        assert_eq!((outbox.pending(), deltas.len()), (30, 30));
        let whole = CheckIn { deltas, ..said() };
        let body = outbox.body(&said(), &measures).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), serde_json::to_string(&whole).unwrap());
    }

    #[test]
    fn what_is_safe_is_not_sent_again() {
        let mut outbox = Outbox::default();
        outbox.add(0);
        outbox.add(1);
        outbox.settle(1, 1);
        assert_eq!((outbox.pending(), outbox.is_empty()), (1, false));
        outbox.settle(2, 1);
        assert_eq!((outbox.pending(), outbox.is_empty()), (0, false), "it is there, and not safe");
        outbox.doubt();
        assert_eq!(outbox.pending(), 1);
        outbox.settle(7, 7);
        assert!(outbox.is_empty());
    }
}
