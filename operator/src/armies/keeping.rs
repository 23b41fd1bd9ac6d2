//! Whether what an army has measured survives the operator. Pure.

use super::Army;

/// For how long writing fails before it is told, in milliseconds: one failure means little.
const TOLD_AFTER_MS: u64 = 10_000;
/// For how long a run whose bots have ended waits to be written, in milliseconds.
const GIVEN_UP_AFTER_MS: u64 = 120_000;

/// Why an army cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unkept {
    /// Somebody has deleted what it is written to.
    Missing,
    /// The API server does not answer, or not now.
    Elsewhere,
    /// The API server does not take it.
    Refused,
    /// It is too large, or what was written is broken.
    ByItself,
}

/// Writes that fail, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    since_ms: u64,
    /// Since when it is not only the API server that does not answer.
    hopeless_since_ms: Option<u64>,
    why: String,
    kind: Unkept,
}

impl Army {
    /// Takes note of a write that has failed.
    pub fn cannot_be_kept(&mut self, why: &str, kind: Unkept, now_ms: u64) {
        let last = self.unkept.as_ref();
        let since_ms = last.map_or(now_ms, |failing| failing.since_ms);
        let hopeless_since_ms = match kind {
            Unkept::Elsewhere => None,
            _ => Some(last.and_then(|failing| failing.hopeless_since_ms).unwrap_or(now_ms)),
        };
        self.unkept = Some(Failing { since_ms, hopeless_since_ms, why: why.to_owned(), kind });
    }

    /// Whether the object that it is written to has to be made anew.
    pub fn lacks_its_object(&self) -> bool {
        self.unkept.as_ref().is_some_and(|failing| failing.kind == Unkept::Missing)
    }

    /// Why it cannot be written, once that is worth a word.
    pub fn unsafe_because(&self, now_ms: u64) -> Option<&str> {
        let failing = self.unkept.as_ref()?;
        (now_ms >= failing.since_ms.saturating_add(TOLD_AFTER_MS)).then_some(&*failing.why)
    }

    /// Why its runners wait in vain for what they have handed over to be safe. As long as the API server only does not
    /// answer, it may yet.
    pub fn cannot_end_because(&self, now_ms: u64) -> Option<&str> {
        let failing = self.unkept.as_ref()?;
        let since = failing.hopeless_since_ms?.max(self.state.ended_at_ms?);
        (now_ms >= since.saturating_add(GIVEN_UP_AFTER_MS)).then_some(&*failing.why)
    }

    /// Its Job was made: from now on its plan must not be forgotten.
    pub fn is_scheduled(&mut self) {
        self.scheduled = true;
    }

    /// Whether its plan is to be written down.
    pub fn is_to_be_known(&self) -> bool {
        self.scheduled && !self.written.plan
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::army;
    use super::*;

    #[test]
    fn writes_that_fail_are_told_in_time_and_not_waited_for_for_ever() {
        let mut army = army(1);
        assert!(!army.is_to_be_known());
        army.is_scheduled();
        assert!(army.is_to_be_known());
        army.cannot_be_kept("no answer", Unkept::Elsewhere, 1_000);
        army.cannot_be_kept("too large", Unkept::ByItself, 9_000);
        assert_eq!((army.unsafe_because(10_999), army.unsafe_because(11_000)), (None, Some("too large")));
        assert_eq!(army.cannot_end_because(200_000), None, "its bots are at work");
        army.state.ended_at_ms = Some(100_000);
        assert_eq!(army.cannot_end_because(219_999), None, "so long after the end");
        assert_eq!(army.cannot_end_because(220_000), Some("too large"));
        army.cannot_be_kept("no answer", Unkept::Elsewhere, 230_000);
        assert_eq!(army.cannot_end_because(600_000), None, "it may answer yet");
        for (kind, at) in [(Unkept::Refused, 700_000), (Unkept::Missing, 730_000)] {
            army.cannot_be_kept("forbidden", kind, at);
            assert_eq!(army.lacks_its_object(), kind == Unkept::Missing);
        }
        assert_eq!(army.cannot_end_because(819_999), None, "it is so for less than two minutes");
        assert_eq!(army.cannot_end_because(820_000), Some("forbidden"));
        let checkpoint = army.checkpoint();
        army.written(&checkpoint);
        assert!(!army.is_to_be_known());
    }
}
