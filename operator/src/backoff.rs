//! How long an object waits after a failure: each on its own, twice as long after each failure in a row.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// How often each object, known by its UID, has failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Notes a failure; how long to wait now.
    pub(crate) fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        let wait = FIRST.saturating_mul(1 << (*count).min(10)).min(LONGEST);
        *count = count.saturating_add(1);
        wait
    }

    /// How often an object has failed in a row.
    pub(crate) fn failures(&self, uid: &str) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uid).copied().unwrap_or_default()
    }

    /// How many objects have failed and wait for another try.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets the failures of an object that does well, or is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Forgets the failures of all objects but these.
    pub(crate) fn forget_all_but(&self, known: &HashSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| known.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_waits_on_its_own_and_never_for_longer_than_a_minute() {
        let backoff = Backoff::default();
        let waits: Vec<u128> = (0..9).map(|_| backoff.failed("a").as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!((backoff.failures("a"), backoff.failures("b")), (9, 0));
        assert_eq!(backoff.failed("b"), FIRST);
        backoff.forget("a");
        assert_eq!(backoff.failed("a"), FIRST);
        backoff.forget_all_but(&HashSet::from(["b".to_owned()]));
        assert_eq!((backoff.len(), backoff.failed("b")), (1, FIRST * 2));
    }
}
