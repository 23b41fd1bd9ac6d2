//! Whom this program may speak to: it is made to be too much for somebody.

use std::net::IpAddr;

/// An address that might be somebody else's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Outside {
    /// It lies outside of the networks that are asked for.
    #[error(
        "{0} may be anybody's; only addresses of 127.0.0.0/8, 10.0.0.0/8, ::1 and fd00::/8 are spoken to, so use the cluster of tests/cluster"
    )]
    Address(IpAddr),
    /// It is a name, which may lead anywhere.
    #[error("{0:?} is no address, and a name may lead anywhere; use the cluster of tests/cluster")]
    Name(String),
}

/// Refuses what is neither this machine nor in a private network such as that of the test cluster.
pub(crate) fn check(address: IpAddr) -> Result<(), Outside> {
    let inside = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.is_loopback() || v6.octets()[0] == 0xfd,
    };
    if inside { Ok(()) } else { Err(Outside::Address(address)) }
}

/// [`check`] for the host of a URL.
pub(crate) fn check_host(host: &str) -> Result<(), Outside> {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    check(address.map_err(|_| Outside::Name(host.to_owned()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_private_networks_are_inside() {
        for (host, inside) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("10.88.0.1", true),
            ("10.255.255.255", true),
            ("[::1]", true),
            ("::1", true),
            ("fd00::1", true),
            ("[fdff:1::2]", true),
            ("11.0.0.1", false),
            ("192.168.0.1", false),
            ("0.0.0.0", false),
            ("fc00::1", false),
            ("fe80::1", false),
            ("::", false),
            ("::ffff:10.0.0.1", false),
            ("localhost", false),
            ("10.0.0.1.example", false),
            ("", false),
        ] {
            assert_eq!(check_host(host).is_ok(), inside, "{host}");
        }
    }
}
