//! How many connections there are, and from where: nobody can take up all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most connections: each runner has one.
const MAX: usize = 12_000;
/// Most of them from one address: pods have addresses of their own, unless their node speaks for them.
const MAX_EACH: usize = 2_000;

/// The connections that there are, by address.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// The place of a connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    callers: Arc<Callers>,
    address: IpAddr,
}

impl Callers {
    /// A place for another connection, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= MAX || counts.each.get(&address).is_some_and(|n| *n >= MAX_EACH) {
            return None;
        }
        counts.all += 1;
        *counts.each.entry(address).or_default() += 1;
        Some(Place { callers: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.callers.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.each.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.each.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places() {
        let callers = Arc::new(Callers::default());
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut places: Vec<_> = (0..MAX_EACH).map(|_| callers.admit(address(1)).unwrap()).collect();
        assert!(callers.admit(address(1)).is_none());
        assert!(callers.admit(address(2)).is_some(), "others are served");
        places.pop();
        let again = callers.admit(address(1)).unwrap();
        for n in 2..7 {
            places.extend((0..MAX_EACH).map_while(|_| callers.admit(address(n))));
        }
        assert!(callers.admit(address(9)).is_none(), "there is an end to all");
        drop((places, again));
        let counts = callers.0.lock().unwrap();
        assert_eq!((counts.all, counts.each.len()), (0, 0));
    }
}
