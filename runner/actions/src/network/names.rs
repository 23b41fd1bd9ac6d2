//! Names of targets, and which of its addresses the next connection goes to.
//!
//! An IP address is taken as it is. A name is looked for in the settings of the run, then in `/etc/hosts`
//! as it was at the worker's first name; `localhost` is this machine. All others are asked of DNS, A and
//! AAAA together, and the answer is used for as long as its TTL says. When it has run out, DNS is asked
//! again, and if nobody answers the name cannot be resolved: an old answer is never used, because it
//! would send the load to where the target is no more. Whoever wants a name that is being asked for
//! waits for the same answer, even for one with a TTL of 0, which is not used again: bots that all begin
//! at once send one question.
//!
//! All addresses are used in turn, over the whole life of a worker; workers begin at different ones.

use super::hosts::{Hosts, plain};
use super::resolver::{Answer, ResolveError, Resolver};
use crate::seen::Seen;
use botarmy_report::Part;
use futures::FutureExt;
use futures::future::{self, LocalBoxFuture, Shared};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Instant;

/// Most names that a worker remembers.
const MAX_NAMES: usize = 10_000;
/// Most addresses that are tried for one connection.
const MAX_TRIES: usize = 3;

/// What is known of a name, or will be.
type Lookup = Shared<LocalBoxFuture<'static, Rc<Answer>>>;

/// The names of one worker.
pub(super) struct Names {
    /// Of the run.
    hosts: Hosts,
    /// Of this machine; read for the first name.
    machine: OnceCell<Hosts>,
    /// Made for the first name that is asked of DNS.
    resolver: RefCell<Option<Resolver>>,
    known: RefCell<HashMap<String, Name>>,
}

struct Name {
    lookup: Lookup,
    /// Which address is next.
    turn: usize,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("known", &self.known.borrow().len()).finish_non_exhaustive()
    }
}

impl Names {
    /// Names of this machine, `hosts` before all others.
    pub(super) fn new(hosts: &Hosts) -> Self {
        Self {
            hosts: hosts.clone(),
            machine: OnceCell::new(),
            resolver: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// Names that only this resolver and `hosts` know.
    #[cfg(test)]
    pub(super) fn only(hosts: &Hosts, resolver: Resolver) -> Self {
        let machine = OnceCell::from(Hosts::default());
        Self { machine, resolver: RefCell::new(Some(resolver)), ..Self::new(hosts) }
    }

    /// The addresses that the next connection tries, one after the other: at least one, at most
    /// [`MAX_TRIES`].
    pub(super) async fn addresses(&self, name: &str, seen: &Seen) -> Result<Vec<IpAddr>, ResolveError> {
        let began = Instant::now();
        // An answer that was asked for after the beginning is good, so that this ends.
        loop {
            let lookup = self.lookup(name);
            let answer = match lookup.peek() {
                Some(answer) => answer.clone(),
                None => {
                    let answer = lookup.clone().await;
                    seen.took(Part::Dns, began.elapsed());
                    answer
                }
            };
            if answer.is_good_for(began) {
                let addresses = answer.found.as_ref().map_err(Clone::clone)?;
                return Ok(in_turn(addresses, self.take_turn(name)));
            }
            self.renew(name, &lookup);
        }
    }

    fn lookup(&self, name: &str) -> Lookup {
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.get(name) {
            return known.lookup.clone();
        }
        if known.len() >= MAX_NAMES {
            known.clear();
        }
        let lookup = self.begin(name);
        // Other than the name, the hash depends on chance: workers begin at different addresses.
        let turn = known.hasher().hash_one(name) >> 1;
        let turn = usize::try_from(turn).unwrap_or_default();
        known.insert(name.to_owned(), Name { lookup: lookup.clone(), turn });
        lookup
    }

    /// Asks again, unless somebody did already.
    fn renew(&self, name: &str, old: &Lookup) {
        if let Some(known) = self.known.borrow_mut().get_mut(name)
            && known.lookup.ptr_eq(old)
        {
            known.lookup = self.begin(name);
        }
    }

    fn take_turn(&self, name: &str) -> usize {
        // Who was pushed out while it waited takes the first.
        self.known.borrow_mut().get_mut(name).map_or(0, |known| {
            known.turn = known.turn.wrapping_add(1);
            known.turn
        })
    }

    fn begin(&self, name: &str) -> Lookup {
        if let Some(addresses) = self.written_down(name) {
            return at_once(Answer::lasting(addresses));
        }
        match self.resolver() {
            // A task of its own: it goes on whoever gives up, and wakes those who wait only once.
            Ok(resolver) => tokio::spawn(resolver.ask(name.to_owned()))
                .map(|done| {
                    let broken =
                        |e| Answer::failed(ResolveError::Other(format!("the lookup broke off: {e}")));
                    Rc::new(done.unwrap_or_else(broken))
                })
                .boxed_local()
                .shared(),
            Err(error) => at_once(Answer::failed(error)),
        }
    }

    fn written_down(&self, name: &str) -> Option<Vec<IpAddr>> {
        let machine = || self.machine.get_or_init(Hosts::of_machine).get(name);
        if let Some(addresses) = self.hosts.get(name).or_else(machine) {
            return Some(addresses.to_vec());
        }
        // RFC 6761, 6.3: no server is asked for these.
        let name = plain(name);
        (name == "localhost" || name.ends_with(".localhost"))
            .then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
    }

    fn resolver(&self) -> Result<Resolver, ResolveError> {
        let mut resolver = self.resolver.borrow_mut();
        match resolver.as_ref() {
            Some(resolver) => Ok(resolver.clone()),
            None => Ok(resolver.insert(Resolver::of_machine()?).clone()),
        }
    }
}

/// An answer that is there already.
fn at_once(answer: Answer) -> Lookup {
    future::ready(Rc::new(answer)).boxed_local().shared()
}

/// The addresses from this turn on, at most [`MAX_TRIES`]. The second one is of the other family if
/// there is one: often it is a family as a whole that leads nowhere.
fn in_turn(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
    let (before, from) = addresses.split_at(turn % addresses.len().max(1));
    let all = from.iter().chain(before).copied();
    let mut order: Vec<_> = all.clone().take(MAX_TRIES).collect();
    let first = order.first().copied();
    let other = all.skip(1).find(|a| first.is_some_and(|first| first.is_ipv4() != a.is_ipv4()));
    if let Some(other) = other {
        order.retain(|a| *a != other);
        order.insert(1, other);
        order.truncate(MAX_TRIES);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_begins_with_the_turn_and_knows_both_families() {
        let addresses =
            |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().expect(text)).collect() };
        for (all, turn, order) in [
            (&["10.0.0.1"][..], 7, &["10.0.0.1"][..]),
            (&["10.0.0.1", "10.0.0.2"], 1, &["10.0.0.2", "10.0.0.1"]),
            (&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], 6, &["10.0.0.3", "10.0.0.4", "10.0.0.1"]),
            (&["10.0.0.1", "::1", "::2", "::3", "::4"], 1, &["::1", "10.0.0.1", "::2"]),
            (&["10.0.0.1", "10.0.0.2", "::1", "::2"], 0, &["10.0.0.1", "::1", "10.0.0.2"]),
            (&["10.0.0.1", "::1"], 1, &["::1", "10.0.0.1"]),
            (&["10.0.0.1", "10.0.0.2", "::1"], 1, &["10.0.0.2", "::1", "10.0.0.1"]),
        ] {
            assert_eq!(in_turn(&addresses(all), turn), addresses(order), "{all:?} {turn}");
        }
        assert_eq!(in_turn(&[], 3), addresses(&[]));
    }

    #[tokio::test]
    async fn a_worker_remembers_so_many_names() {
        let names = Names::new(&Hosts::default());
        for n in 0..=MAX_NAMES {
            let found = names.addresses(&format!("{n}.localhost"), &Seen::default()).await;
            assert!(found.is_ok_and(|addresses| addresses[0].is_loopback()), "{n}");
        }
        assert_eq!(names.known.borrow().len(), 1);
        assert!(names.resolver.borrow().is_none(), "nothing was asked");
    }
}
