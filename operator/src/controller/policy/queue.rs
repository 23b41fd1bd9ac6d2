//! Which run may begin: one target is loaded by one run at a time unless both may share it, and a namespace has no more
//! runs at work than it may.

use botarmy_spec::TargetPolicy;
use botarmy_spec::targets::{plain_host, split_port};
use jiff::Timestamp;
use std::collections::HashMap;

/// A run in the queue, or at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct Place {
    pub(in crate::controller) uid: String,
    pub(in crate::controller) namespace: String,
    pub(in crate::controller) name: String,
    /// What it loads, as [`target_key`] tells it; none if it says nothing of it.
    pub(in crate::controller) target: Option<String>,
    pub(in crate::controller) policy: TargetPolicy,
    pub(in crate::controller) created: Option<Timestamp>,
    /// It has pods, or is about to.
    pub(in crate::controller) at_work: bool,
    /// It is over or was deleted, and its pods may load the target still. In its namespace it counts no more.
    pub(in crate::controller) leaves: bool,
}

/// Why a run waits.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::controller) enum Wait<'p> {
    /// For another one, of the same target.
    Target(&'p Place),
    /// For any of those of its namespace, of which so many may be at work.
    Namespace(u32),
}

/// The runs that have to wait, by UID, and why; all others may begin at once, together. `most` is how many runs of a
/// namespace may be at work.
///
/// They begin in the order of their creation. One that waits for its target keeps later ones from it, so that whoever
/// wants a target alone is not kept waiting for ever by those who share it; one that its namespace keeps back holds
/// nobody else up.
pub(in crate::controller) fn waits(
    places: &[Place],
    most: impl Fn(&str) -> Option<u32>,
) -> HashMap<&str, Wait<'_>> {
    let (mut before, mut waiting): (Vec<&Place>, Vec<&Place>) =
        places.iter().partition(|place| place.at_work);
    waiting.sort_by_key(|place| order(place));
    let mut at_work: HashMap<&str, u32> = HashMap::new();
    for place in before.iter().filter(|place| !place.leaves) {
        *at_work.entry(&place.namespace).or_default() += 1;
    }
    let mut targets: HashMap<&str, Vec<&Place>> = HashMap::new();
    for place in before.drain(..) {
        targets.entry(place.target.as_deref().unwrap_or_default()).or_default().push(place);
    }
    let mut waits = HashMap::new();
    for place in waiting {
        let target = place.target.as_deref();
        let others = target.and_then(|target| targets.get(target)).map_or(&[][..], Vec::as_slice);
        let is_alone = |policy| policy == TargetPolicy::Exclusive;
        let other = others.iter().find(|other| is_alone(place.policy) || is_alone(other.policy));
        let (here, most) = (at_work.entry(&place.namespace).or_default(), most(&place.namespace));
        let wait = match (other, most) {
            (Some(other), _) => Some(Wait::Target(other)),
            (None, Some(most)) if *here >= most => Some(Wait::Namespace(most)),
            (None, _) => {
                *here += 1;
                None
            }
        };
        if !matches!(wait, Some(Wait::Namespace(_))) {
            targets.entry(target.unwrap_or_default()).or_default().push(place);
        }
        if let Some(wait) = wait {
            waits.insert(&*place.uid, wait);
        }
    }
    waits
}

fn order(place: &Place) -> (Option<Timestamp>, &str, &str) {
    (place.created, &place.namespace, &place.name)
}

/// The host and the port of a target, the same however it is written in the cluster: `target` in the namespace `shop`,
/// `target.shop` and `target.shop.svc.cluster.local` are one.
pub(in crate::controller) fn target_key(target: &str, namespace: &str) -> String {
    let (host, port) = host_and_port(target);
    format!("{}:{port}", plain_host(host, namespace))
}

/// The host and the port of an address, as they are written.
pub(super) fn host_and_port(target: &str) -> (&str, &str) {
    let (scheme, rest) = target.split_once("://").unwrap_or(("http", target));
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let (host, port) = split_port(place);
    (host, port.unwrap_or_else(|| default_port(scheme)))
}

fn default_port(scheme: &str) -> &'static str {
    if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, second: u32, shared: bool, at_work: bool) -> Place {
        Place {
            uid: name.to_owned(),
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            target: Some("t:80".to_owned()),
            policy: if shared { TargetPolicy::Shared } else { TargetPolicy::Exclusive },
            created: format!("2030-01-01T00:00:{second:02}Z").parse().ok(),
            at_work,
            leaves: false,
        }
    }

    #[test]
    fn one_that_leaves_keeps_others_from_its_target_and_not_from_its_namespace() {
        let gone = Place { leaves: true, ..place("gone", 1, false, true) };
        let same = place("same", 2, false, false);
        let other = Place { target: Some("u:80".into()), ..place("other", 3, false, false) };
        let places = [gone.clone(), same, other];
        let waits = waits(&places, |_| Some(1));
        assert_eq!(waits.into_iter().collect::<Vec<_>>(), [("same", Wait::Target(&gone))]);
    }

    #[test]
    fn runs_of_one_target_wait_for_one_another_in_order() {
        let own = place("own", 10, false, false);
        let waits_for = |own: &Place, others: &[Place]| {
            let mut places = others.to_vec();
            places.extend((!others.contains(own)).then(|| own.clone()));
            match waits(&places, |_| None).get(&*own.uid) {
                Some(Wait::Target(other)) => Some(other.name.clone()),
                None => None,
                other => panic!("{other:?}"),
            }
        };
        for (what, other, waits) in [
            ("at work, later", place("other", 20, false, true), true),
            ("earlier, waits itself", place("other", 5, false, false), true),
            ("later, waits itself", place("other", 20, false, false), false),
            ("of the same second, its name comes first", place("a", 10, false, false), true),
            ("of the same second, its name comes last", place("z", 10, false, false), false),
            ("shared, at work", place("other", 5, true, true), true),
            (
                "another target",
                Place { target: Some("u:80".into()), ..place("other", 5, false, true) },
                false,
            ),
            ("no target", Place { target: None, ..place("other", 5, false, true) }, false),
            ("itself", own.clone(), false),
        ] {
            let expected = waits.then(|| other.name.clone());
            assert_eq!(waits_for(&own, &[other]), expected, "{what}");
        }
        let shared = place("own", 10, true, false);
        assert_eq!(waits_for(&shared, &[place("other", 5, true, true)]), None, "both may share it");
        // Whoever wants it alone is not kept waiting for ever by those who share.
        let others = [place("sharing", 1, true, true), place("alone", 5, false, false)];
        assert_eq!(waits_for(&shared, &others), Some("alone".to_owned()));
        let none = Place { target: None, ..own };
        assert_eq!(waits_for(&none, &[Place { target: None, ..place("other", 5, false, true) }]), None);
    }

    #[test]
    fn a_namespace_has_no_more_runs_at_work_than_it_may() {
        let own = Place { target: None, ..place("own", 10, false, false) };
        let other = |name, second, at_work| Place { target: None, ..place(name, second, false, at_work) };
        let elsewhere = Place { namespace: "elsewhere".into(), ..other("c", 1, true) };
        let others = [other("a", 20, true), other("b", 5, false), elsewhere, other("z", 30, false)];
        let waits = |most: Option<u32>| {
            let places = [&others[..], std::slice::from_ref(&own)].concat();
            let here = |namespace: &str| most.filter(|_| namespace == "ns");
            let waits = super::waits(&places, here);
            let mut waits: Vec<String> = waits.into_keys().map(str::to_owned).collect();
            waits.sort();
            waits
        };
        assert_eq!(waits(Some(0)), ["b", "own", "z"], "none may");
        assert_eq!(waits(Some(1)), ["b", "own", "z"]);
        assert_eq!(waits(Some(2)), ["own", "z"]);
        assert_eq!(waits(Some(3)), ["z"]);
        assert_eq!(waits(None), <[String; 0]>::default());
    }

    #[test]
    fn who_is_kept_back_by_its_namespace_keeps_nobody_from_the_target() {
        let full = Place { target: None, ..place("full", 1, false, true) };
        let held = place("held", 2, false, false);
        let other = Place { namespace: "elsewhere".into(), ..place("other", 3, false, false) };
        let places = [full, held, other];
        let waits = waits(&places, |namespace| (namespace == "ns").then_some(1));
        assert_eq!(waits.into_iter().collect::<Vec<_>>(), [("held", Wait::Namespace(1))]);
    }

    #[test]
    fn a_target_has_one_key_however_it_is_written() {
        for (target, key) in [
            ("http://target.shop:8080", "target.shop:8080"),
            ("http://target:8080/path", "target.shop:8080"),
            ("http://TARGET.shop.svc:8080", "target.shop:8080"),
            ("http://target.shop.svc.cluster.local.:8080?q", "target.shop:8080"),
            ("http://target.shop", "target.shop:80"),
            ("https://target.shop/", "target.shop:443"),
            ("https://target.shop:", "target.shop:443"),
            ("http://10.0.0.1:80", "10.0.0.1:80"),
            ("http://[fd00::1]:8080/x", "fd00::1:8080"),
            ("http://[fd00::1]", "fd00::1:80"),
            ("http://localhost:1", "localhost:1"),
        ] {
            assert_eq!(target_key(target, "shop"), key, "{target}");
        }
    }
}
