//! How many connections there are, and from where: nobody can take up all of them.
//!
//! A connection is a stranger's until its caller has shown who it is. Strangers are few: when there are too many, the
//! oldest one goes of the address that has the most of them, so that whoever opens thousands only gets in his own way.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most connections of one pod: a runner has one, and one or two that broke without its operator's knowing.
const MAX_OF_POD: usize = 8;

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) all: usize,
    /// From one address.
    pub(crate) each: usize,
    /// Of strangers.
    pub(crate) strangers: usize,
}

/// The connections that there are.
#[derive(Debug)]
pub(crate) struct Callers {
    bounds: Bounds,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    each: HashMap<IpAddr, usize>,
    /// By address, each with what tells it to go; the oldest first.
    strangers: HashMap<IpAddr, VecDeque<Arc<Notify>>>,
    pods: HashMap<String, usize>,
}

impl Counts {
    fn forget_stranger(&mut self, address: IpAddr, leave: &Arc<Notify>) {
        if let Some(of_address) = self.strangers.get_mut(&address) {
            of_address.retain(|other| !Arc::ptr_eq(other, leave));
            if of_address.is_empty() {
                self.strangers.remove(&address);
            }
        }
    }

    /// Tells the oldest stranger of the address that has the most of them to go.
    fn make_room(&mut self) {
        let most = self.strangers.iter().max_by_key(|(_, of_address)| of_address.len());
        let oldest = most.and_then(|(address, of_address)| Some((*address, of_address.front()?.clone())));
        if let Some((address, leave)) = oldest {
            self.forget_stranger(address, &leave);
            leave.notify_one();
        }
    }
}

/// The place of a connection, free again when the last copy of this is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    callers: Arc<Callers>,
    address: IpAddr,
    leave: Arc<Notify>,
    /// Whose it is, by UID, once that is known.
    pod: Mutex<Option<String>>,
}

impl Callers {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, counts: Mutex::default() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for another connection, if there is one; a stranger's at first.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let (leave, mut counts) = (Arc::new(Notify::new()), self.counts());
        let of_address = counts.each.get(&address).copied().unwrap_or_default();
        if counts.all >= self.bounds.all || of_address >= self.bounds.each {
            return None;
        }
        counts.all += 1;
        *counts.each.entry(address).or_default() += 1;
        counts.strangers.entry(address).or_default().push_back(leave.clone());
        if counts.strangers.values().map(VecDeque::len).sum::<usize>() > self.bounds.strangers {
            counts.make_room();
        }
        drop(counts);
        Some(Place(Arc::new(Held { callers: self.clone(), address, leave, pod: Mutex::default() })))
    }
}

impl Place {
    /// Where it comes from.
    pub(crate) fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Comes when it has to make room for others.
    pub(crate) async fn is_sent_away(&self) {
        self.0.leave.notified().await;
    }

    /// Its caller has shown that it is this pod: it is no stranger any more, unless the pod has too many already.
    pub(crate) fn is_of(&self, pod_uid: &str) -> bool {
        let mut known = self.0.pod.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            return known.as_deref() == Some(pod_uid);
        }
        let mut counts = self.0.callers.counts();
        if counts.pods.get(pod_uid).is_some_and(|n| *n >= MAX_OF_POD) {
            return false;
        }
        *counts.pods.entry(pod_uid.to_owned()).or_default() += 1;
        counts.forget_stranger(self.0.address, &self.0.leave);
        *known = Some(pod_uid.to_owned());
        true
    }
}

/// One less; an entry that comes to nothing goes.
fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let known = self.pod.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let mut counts = self.callers.counts();
        counts.all = counts.all.saturating_sub(1);
        count_down(&mut counts.each, &self.address);
        match known {
            Some(pod) => count_down(&mut counts.pods, &pod),
            None => counts.forget_stranger(self.address, &self.leave),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const BOUNDS: Bounds = Bounds { all: 60, each: 20, strangers: 10 };

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn is_sent_away(place: &Place) -> bool {
        place.is_sent_away().now_or_never().is_some()
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let callers = Callers::new(BOUNDS);
        let mut places: Vec<_> = (0..20).map(|_| callers.admit(address(1)).unwrap()).collect();
        assert!(callers.admit(address(1)).is_none());
        assert!(callers.admit(address(2)).is_some(), "others are served");
        places.pop();
        let again = callers.admit(address(1)).unwrap();
        for n in 2..7 {
            places.extend((0..20).map_while(|_| callers.admit(address(n))));
        }
        assert!(callers.admit(address(9)).is_none(), "there is an end to all");
        drop((places, again));
        let counts = callers.counts();
        assert_eq!((counts.all, counts.each.len(), counts.strangers.len()), (0, 0, 0));
    }

    #[test]
    fn whoever_has_the_most_strangers_makes_room_for_others() {
        let callers = Callers::new(BOUNDS);
        let honest = callers.admit(address(1)).unwrap();
        let many: Vec<_> = (0..15).map(|_| callers.admit(address(2)).unwrap()).collect();
        let gone: Vec<bool> = many.iter().map(is_sent_away).collect();
        assert_eq!(gone, (0..15).map(|n| n < 6).collect::<Vec<_>>(), "the oldest ones");
        let other = callers.admit(address(3)).unwrap();
        assert!(is_sent_away(&many[6]) && !is_sent_away(&honest) && !is_sent_away(&other));
    }

    #[test]
    fn who_is_known_is_no_stranger_and_no_pod_has_more_than_it_needs() {
        let callers = Callers::new(BOUNDS);
        let known: Vec<_> = (0..10).map(|_| callers.admit(address(1)).unwrap()).collect();
        let counted: Vec<bool> = known.iter().map(|place| place.is_of("pod")).collect();
        assert_eq!(counted, (0..10).map(|n| n < MAX_OF_POD).collect::<Vec<_>>());
        assert!(known[0].is_of("pod") && !known[0].is_of("another"), "a connection is one pod's");
        let strangers: Vec<_> = (0..12).map(|_| callers.admit(address(2)).unwrap()).collect();
        assert!(!known[..MAX_OF_POD].iter().any(is_sent_away) && is_sent_away(&strangers[0]));
        drop((known, strangers));
        let counts = callers.counts();
        assert_eq!((counts.all, counts.pods.len(), counts.strangers.len()), (0, 0, 0));
    }
}
