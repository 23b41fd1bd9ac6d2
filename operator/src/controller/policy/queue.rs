//! Which run may begin: one target is loaded by one run at a time unless both may share it, and a namespace has no more
//! runs at work than it may.

use botarmy_spec::TargetPolicy;
use botarmy_spec::targets::{plain_host, split_port};
use jiff::Timestamp;

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
}

/// Why a run waits.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::controller) enum Wait<'p> {
    /// For another one, of the same target.
    Target(&'p Place),
    /// For any of those of its namespace, of which so many may be at work.
    Namespace(u32),
}

/// Why `own` has to wait; none if it may begin. `most` is how many runs of its namespace may be at work.
pub(in crate::controller) fn wait<'p>(
    own: &Place,
    others: &'p [Place],
    most: Option<u32>,
) -> Option<Wait<'p>> {
    let others = || others.iter().filter(|other| other.uid != own.uid);
    let first = |other: &Place| other.at_work || order(other) < order(own);
    let target = others()
        .filter(|other| own.target.is_some() && own.target == other.target)
        .filter(|other| own.policy == TargetPolicy::Exclusive || other.policy == TargetPolicy::Exclusive)
        .find(|other| first(other));
    if let Some(other) = target {
        return Some(Wait::Target(other));
    }
    let most = most?;
    let before = others().filter(|other| other.namespace == own.namespace && first(other)).count();
    (before >= usize::try_from(most).unwrap_or(usize::MAX)).then_some(Wait::Namespace(most))
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
        }
    }

    #[test]
    fn runs_of_one_target_wait_for_one_another_in_order() {
        let own = place("own", 10, false, false);
        let waits_for = |own: &Place, others: &[Place]| match wait(own, others, None) {
            Some(Wait::Target(other)) => Some(other.name.clone()),
            None => None,
            other => panic!("{other:?}"),
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
        assert_eq!(wait(&own, &others, Some(2)), Some(Wait::Namespace(2)));
        assert_eq!(wait(&own, &others, Some(3)), None);
        assert_eq!(wait(&own, &others, None), None);
        assert_eq!(wait(&own, &[], Some(0)), Some(Wait::Namespace(0)), "none may");
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
