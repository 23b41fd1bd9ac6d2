//! What a candidate does about a Lease. Pure.
//!
//! As in client-go, nobody compares its clock with that of another machine: a Lease is over when it was seen unchanged
//! for as long as it holds.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use std::time::Duration;
use tokio::time::Instant;

/// Between the name of a pod and that of a process in it; no pod's name has one.
const SEPARATOR: char = '_';

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is this one's: renew it.
    Renew,
    /// It is free: take it, with this number of transitions.
    Take(i32),
    /// It is somebody else's.
    Wait(String),
}

/// Who a candidate is: a container that was restarted is another one than before.
pub(super) fn identity(pod: &str, process: &str) -> String {
    format!("{pod}{SEPARATOR}{process}")
}

/// The epoch that belongs to a number of transitions: epochs begin with 1.
pub(super) fn epoch(transitions: Option<i32>) -> u64 {
    u64::try_from(transitions.unwrap_or_default()).unwrap_or_default().saturating_add(1)
}

/// The transitions that belong to an epoch.
pub(super) fn transitions(epoch: u64) -> i32 {
    i32::try_from(epoch.saturating_sub(1)).unwrap_or(i32::MAX)
}

pub(super) fn claim(spec: &LeaseSpec, identity: &str, unchanged_for: Duration, holds_for: Duration) -> Claim {
    let next = spec.lease_transitions.unwrap_or_default().saturating_add(1);
    let pod = |of: &str| of.split(SEPARATOR).next().map(str::to_owned);
    match spec.holder_identity.as_deref() {
        None | Some("") => Claim::Take(next),
        Some(holder) if holder == identity => Claim::Renew,
        // A pod has one operator at a time: this is the one before, which has died.
        Some(holder) if pod(holder) == pod(identity) => Claim::Take(next),
        Some(_) if unchanged_for > holds_for => Claim::Take(next),
        Some(holder) => Claim::Wait(holder.to_owned()),
    }
}

/// Since when a Lease was seen as it is, and how often it has changed hands.
#[derive(Debug, Default)]
pub(super) struct Seen {
    version: Option<(String, Instant)>,
    transitions: Option<i32>,
}

impl Seen {
    pub(super) fn look(&mut self, version: &str, transitions: Option<i32>, now: Instant) {
        self.transitions = self.transitions.max(transitions);
        if self.version.as_ref().is_none_or(|(known, _)| known != version) {
            self.version = Some((version.to_owned(), now));
        }
    }

    pub(super) fn unchanged_for(&self, now: Instant) -> Duration {
        self.version.as_ref().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since))
    }

    /// The transitions of a Lease that is made anew.
    pub(super) fn next(&self) -> i32 {
        self.transitions.map_or(0, |seen| seen.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_from_who_is_gone() {
        let lease = |holder: Option<&str>, transitions| LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_transitions: transitions,
            ..LeaseSpec::default()
        };
        let second = Duration::from_secs;
        for (what, spec, unchanged, claimed) in [
            ("never held", lease(None, None), 0, Claim::Take(1)),
            ("given back", lease(Some(""), Some(4)), 0, Claim::Take(5)),
            ("ours", lease(Some("a_1"), Some(4)), 99, Claim::Renew),
            ("ours, before the container was restarted", lease(Some("a_0"), Some(4)), 0, Claim::Take(5)),
            ("another's", lease(Some("b_1"), Some(4)), 8, Claim::Wait("b_1".to_owned())),
            ("another's, not renewed", lease(Some("b_1"), Some(4)), 9, Claim::Take(5)),
            (
                "of a pod whose name begins as ours",
                lease(Some("a-b_1"), None),
                0,
                Claim::Wait("a-b_1".to_owned()),
            ),
            ("no more can be counted", lease(None, Some(i32::MAX)), 0, Claim::Take(i32::MAX)),
        ] {
            assert_eq!(claim(&spec, "a_1", second(unchanged), second(8)), claimed, "{what}");
        }
        assert_eq!((epoch(None), epoch(Some(0)), epoch(Some(6)), epoch(Some(-3))), (1, 1, 7, 1));
        assert_eq!((transitions(1), transitions(7), transitions(0)), (0, 6, 0));
    }

    #[test]
    fn a_lease_ages_from_when_it_was_seen_first() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seen.unchanged_for(start), Duration::ZERO);
        assert_eq!(seen.next(), 0);
        seen.look("1", Some(4), start);
        seen.look("1", Some(4), at(3));
        assert_eq!(seen.unchanged_for(at(5)), Duration::from_secs(5));
        seen.look("2", None, at(6));
        assert_eq!(seen.next(), 5, "made anew, in a later epoch");
        assert_eq!(seen.unchanged_for(at(7)), Duration::from_secs(1));
    }
}
