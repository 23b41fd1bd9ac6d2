//! Runs that are over or were deleted, and whose pods may load their target still: the cluster takes a while to end pods, and
//! one that it cannot reach goes on until its lease is over. Pure.

use super::Place;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked at one whether its pods are gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// At how many at most for one run that waits.
const AT_ONCE: usize = 8;

/// These runs, by UID.
#[derive(Debug, Default)]
pub(super) struct Leaving(HashMap<String, Left>);

#[derive(Debug)]
struct Left {
    place: Place,
    /// When its runners have stopped by themselves, whatever is seen of their pods.
    until: Instant,
    looked: Option<Instant>,
}

impl Leaving {
    /// A run is no more; nobody has to wait for it if it loads nothing that is known.
    pub(super) fn enter(&mut self, place: Place, until: Instant) {
        if place.target.is_some() {
            self.0.entry(place.uid.clone()).or_insert(Left { place, until, looked: None });
        }
    }

    /// Those whose pods may still be there.
    pub(super) fn places(&mut self, now: Instant) -> impl Iterator<Item = &Place> {
        self.0.retain(|_, left| left.until > now);
        self.0.values().map(|left| &left.place)
    }

    /// Those of a target that are to be looked at now.
    pub(super) fn due(&mut self, target: &str, now: Instant) -> Vec<Place> {
        let is_due = |left: &Left| left.looked.is_none_or(|looked| now >= looked + LOOK_EVERY);
        let of_target = self.0.values_mut().filter(|left| left.place.target.as_deref() == Some(target));
        let due = of_target.filter(|left| left.until > now && is_due(left)).take(AT_ONCE);
        due.map(|left| {
            left.looked = Some(now);
            left.place.clone()
        })
        .collect()
    }

    /// Its pods are gone.
    pub(super) fn has_left(&mut self, uid: &str) {
        self.0.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_spec::TargetPolicy;

    fn place(uid: &str, target: Option<&str>) -> Place {
        Place {
            uid: uid.to_owned(),
            namespace: "ns".to_owned(),
            name: uid.to_owned(),
            target: target.map(str::to_owned),
            policy: TargetPolicy::default(),
            created: None,
            at_work: true,
            leaves: true,
        }
    }

    #[test]
    fn a_run_leaves_when_its_pods_are_gone_or_have_stopped_by_themselves() {
        let (mut leaving, now) = (Leaving::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        leaving.enter(place("none", None), after(100));
        leaving.enter(place("a", Some("t:80")), after(100));
        leaving.enter(place("b", Some("t:80")), after(50));
        leaving.enter(place("b", Some("t:80")), after(500));
        let uids = |leaving: &mut Leaving, now| {
            let mut uids: Vec<String> = leaving.places(now).map(|place| place.uid.clone()).collect();
            uids.sort();
            uids
        };
        assert_eq!(uids(&mut leaving, now), ["a", "b"]);
        assert_eq!(leaving.due("u:80", now).len(), 0);
        assert_eq!(leaving.due("t:80", now).len(), 2);
        assert_eq!(leaving.due("t:80", now).len(), 0, "not so often");
        assert_eq!(leaving.due("t:80", after(1)).len(), 2);
        assert_eq!(uids(&mut leaving, after(50)), ["a"], "it was told once when it left");
        leaving.has_left("a");
        assert_eq!(uids(&mut leaving, after(50)), <[String; 0]>::default());
    }

    #[test]
    fn of_many_that_leave_a_few_are_looked_at_each_time() {
        let (mut leaving, now) = (Leaving::default(), Instant::now());
        for n in 0..AT_ONCE + 2 {
            leaving.enter(place(&n.to_string(), Some("t:80")), now + Duration::from_secs(100));
        }
        let due = [(); 3].map(|()| leaving.due("t:80", now).len());
        assert_eq!(due, [AT_ONCE, 2, 0]);
    }
}
