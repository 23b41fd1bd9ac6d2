//! Who has sent requests, as they say themselves, and when. Pure.

use super::shop::OTHER;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most senders that are counted apart, and the longest name of one, in bytes.
const MAX_SENDERS: usize = 10_000;
pub(super) const MAX_SENDER: usize = 128;
/// Most seconds that are counted apart, those of all senders together.
const MAX_SECONDS: usize = 100_000;

/// What one of them has sent.
#[derive(Debug, Default)]
struct Sender {
    requests: u64,
    /// Requests by the second since 1970.
    seconds: BTreeMap<u64, u64>,
}

/// Requests by who has sent them.
#[derive(Debug, Default)]
pub(super) struct Senders {
    known: BTreeMap<String, Sender>,
    /// How many seconds are counted apart.
    seconds: usize,
    /// Requests whose second could not be kept.
    untimed: u64,
}

impl Senders {
    /// Counts a request that came in this second since 1970. Anybody can make up names, and each is kept for ever.
    pub(super) fn count(&mut self, name: &str, second: u64) {
        let is_known = self.known.contains_key(name);
        let has_room = self.known.len() < MAX_SENDERS && name.len() <= MAX_SENDER;
        let name = if is_known || has_room { name } else { OTHER };
        let sender = self.known.entry(name.to_owned()).or_default();
        sender.requests += 1;
        if let Some(count) = sender.seconds.get_mut(&second) {
            *count += 1;
        } else if self.seconds < MAX_SECONDS {
            sender.seconds.insert(second, 1);
            self.seconds += 1;
        } else {
            self.untimed += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many requests each has sent.
    pub(super) fn totals(&self) -> BTreeMap<&str, u64> {
        self.known.iter().map(|(name, sender)| (name.as_str(), sender.requests)).collect()
    }

    /// When each has sent them.
    pub(super) fn by_second(&self) -> Value {
        let senders: BTreeMap<&str, &BTreeMap<u64, u64>> =
            self.known.iter().map(|(name, sender)| (name.as_str(), &sender.seconds)).collect();
        json!({"senders": senders, "untimed": self.untimed})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_by_sender_and_second() {
        let mut senders = Senders::default();
        for (name, second) in [("a", 7), ("b", 7), ("a", 7), ("a", 9)] {
            senders.count(name, second);
        }
        assert_eq!(senders.totals(), BTreeMap::from([("a", 3), ("b", 1)]));
        let told = json!({"senders": {"a": {"7": 2, "9": 1}, "b": {"7": 1}}, "untimed": 0});
        assert_eq!(senders.by_second(), told);
    }

    #[test]
    fn whatever_is_made_up_takes_a_bounded_room_and_is_counted() {
        let mut senders = Senders::default();
        senders.count(&"x".repeat(MAX_SENDER + 1), 1);
        for n in 0..2 * MAX_SENDERS {
            senders.count(&n.to_string(), 1);
        }
        assert_eq!(senders.totals().len(), MAX_SENDERS);
        let others = u64::try_from(MAX_SENDERS).unwrap() + 2;
        assert_eq!(senders.totals()[OTHER], others);
        let most = u64::try_from(MAX_SECONDS).unwrap();
        for second in 2..most {
            senders.count("0", second);
        }
        assert_eq!(senders.seconds, MAX_SECONDS);
        // Each of the last ones beyond it has no second of its own, and is not forgotten.
        let untimed = u64::try_from(MAX_SENDERS).unwrap() - 2;
        assert_eq!(senders.by_second()["untimed"], untimed);
        assert_eq!(senders.totals()["0"], most - 1);
    }
}
