//! Which addresses a run may talk to, where somebody has said it.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use wildmatch::WildMatch;

/// Addresses that are allowed: `HOST` or `HOST:PORT`, where `*` stands for any characters and `?` for one. Without a
/// port every port is meant. One of digits, as `10.0.0.*`, is about IP addresses, and no name fits it.
///
/// A name of the cluster means the same however it is written: `shop`, seen from the namespace `team`, `shop.team`,
/// `shop.team.svc` and `shop.team.svc.cluster.local`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    patterns: Vec<String>,
    /// The namespace that short names are seen from; empty where there is none.
    #[serde(default)]
    namespace: String,
}

impl Targets {
    /// These, seen from a namespace.
    pub fn new(patterns: &[String], namespace: &str) -> Self {
        Self { patterns: patterns.to_vec(), namespace: namespace.to_owned() }
    }

    /// Whether one may talk to this host at this port. An IPv6 address may stand in brackets.
    pub fn allow(&self, host: &str, port: u16) -> bool {
        let host = plain_host(host, &self.namespace);
        let port = port.to_string();
        self.patterns.iter().any(|pattern| {
            let (wanted, wanted_port) = split_port(pattern);
            self.fits_host(wanted, &host) && wanted_port.is_none_or(|wanted| fits(wanted, &port))
        })
    }

    /// Whether one may talk to this address at some port.
    pub fn allow_address(&self, address: IpAddr) -> bool {
        let host = address.to_string();
        self.patterns.iter().any(|pattern| self.fits_host(split_port(pattern).0, &host))
    }

    fn fits_host(&self, pattern: &str, host: &str) -> bool {
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '*' | '?');
        let of_addresses = pattern.contains(|c: char| c.is_ascii_digit()) && pattern.chars().all(is_number);
        (!of_addresses || host.parse::<IpAddr>().is_ok()) && fits(&plain_host(pattern, &self.namespace), host)
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
}

impl std::fmt::Display for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.patterns.join(", "))
    }
}

/// A host and the port behind it, if there is one.
pub fn split_port(place: &str) -> (&str, Option<&str>) {
    match place.rsplit_once(':') {
        // An IPv6 address in brackets has colons, and so has one without, which then has no port.
        Some((host, port)) if !port.ends_with(']') && (!host.contains(':') || host.ends_with(']')) => {
            (host, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (place, None),
    }
}

/// A host in one form, however it is written: in small letters, without brackets, a name of the cluster with its
/// namespace and without what follows.
pub fn plain_host(host: &str, namespace: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let host = host.strip_suffix(".cluster.local").unwrap_or(&host);
    let host = host.strip_suffix(".svc").unwrap_or(host);
    let is_short = !host.contains(['.', ':', '*']) && host != "localhost" && !namespace.is_empty();
    if is_short { format!("{host}.{namespace}") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_allowed_by_its_host_and_port() {
        for (pattern, host, port, allowed) in [
            ("*", "anything", 1, true),
            ("shop", "shop", 80, true),
            ("shop", "shop.team.svc.cluster.local.", 80, true),
            ("shop.team", "SHOP", 80, true),
            ("shop.team.svc", "shop.team", 80, true),
            ("shop", "shop.other", 80, false),
            ("*.team", "shop", 80, true),
            ("*.team.svc", "shop.team", 80, true),
            ("*.team", "shop.team.evil.example", 80, false),
            ("10.0.0.*", "10.0.0.7", 80, true),
            ("10.0.0.*", "10.0.0.7.evil.example", 80, false),
            ("10.0.0.*:80", "10.0.0.7", 81, false),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("shop:8080", "shop", 8080, true),
            ("shop:8080", "shop", 80, false),
            ("shop:80??", "shop", 8081, true),
            ("10.0.0.*", "10.0.0.7", 80, true),
            ("10.0.0.*:80", "10.0.0.7", 81, false),
            ("[fd00::1]:80", "[fd00::1]", 80, true),
            ("[fd00::1]:80", "[fd00::1]", 81, false),
            ("fd00::1", "[fd00::1]", 81, true),
            ("localhost", "localhost", 1, true),
        ] {
            let targets = Targets::new(&[pattern.to_owned()], "team");
            assert_eq!(targets.allow(host, port), allowed, "{pattern} {host}:{port}");
        }
        assert!(!Targets::new(&[], "team").allow("shop", 80), "none is allowed");
    }
}
