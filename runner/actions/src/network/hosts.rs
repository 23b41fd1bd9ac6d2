//! Names whose addresses are written down, so that no DNS server is asked for them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;

/// Where a machine writes its names down.
const FILE: &str = "/etc/hosts";
/// Most bytes of that file that are read; lines after them are left out, with a warning.
const MAX_BYTES: u64 = 1 << 20;

/// Addresses of names, each with all its addresses in the order in which they were added. Names are
/// compared without regard to case and to a dot at their end; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Gives a name one more address; one that it has already is not added again.
    pub fn add(&mut self, name: &str, address: IpAddr) {
        let addresses = self.0.entry(plain(name)).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// The addresses of a name, at least one, if it is here.
    pub(super) fn get(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(&plain(name)).map(Vec::as_slice)
    }

    /// The names of this machine, as they are now. A file that is not there or cannot be read has none.
    pub(super) fn of_machine() -> Self {
        match read(Path::new(FILE)) {
            Ok(text) => Self::parse(&text),
            Err(error) => {
                tracing::debug!("{FILE} is not used: {error}");
                Self::default()
            }
        }
    }

    /// Reads lines of an address and its names; what follows a `#` is a remark. A line that begins with
    /// no address is left out, as the system's own resolver does.
    fn parse(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            match words.next().map(str::parse) {
                Some(Ok(address)) => words.for_each(|name| hosts.add(name, address)),
                Some(Err(_)) => tracing::debug!("{FILE}: no address begins the line {line:?}"),
                None => {}
            }
        }
        hosts
    }
}

impl<'a> FromIterator<(&'a str, IpAddr)> for Hosts {
    fn from_iter<I: IntoIterator<Item = (&'a str, IpAddr)>>(entries: I) -> Self {
        let mut hosts = Self::default();
        entries.into_iter().for_each(|(name, address)| hosts.add(name, address));
        hosts
    }
}

/// A name as it is compared.
pub(super) fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        tracing::warn!("{FILE} is larger than {MAX_BYTES} bytes; the names behind them are not known here");
        let whole = bytes.iter().rposition(|b| *b == b'\n').unwrap_or_default();
        bytes.truncate(whole);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    #[test]
    fn names_are_compared_without_regard_to_case_and_a_last_dot() {
        let entries = [("Shop.Example.", "10.0.0.1"), ("shop.example", "10.0.0.2"), ("api", "::1")];
        let hosts: Hosts = entries.map(|(name, ip)| (name, ip.parse().expect(ip))).into_iter().collect();
        for name in ["shop.example", "SHOP.example.", "shop.EXAMPLE"] {
            assert_eq!(hosts.get(name), Some(&addresses(&["10.0.0.1", "10.0.0.2"])[..]), "{name}");
        }
        assert_eq!(hosts.get("api"), Some(&addresses(&["::1"])[..]));
        assert_eq!(hosts.get("example"), None);
    }

    #[test]
    fn an_address_is_not_added_twice() {
        let mut hosts = Hosts::default();
        for ip in ["10.0.0.1", "10.0.0.2", "10.0.0.1"] {
            hosts.add("shop", ip.parse().expect(ip));
        }
        assert_eq!(hosts.get("shop"), Some(&addresses(&["10.0.0.1", "10.0.0.2"])[..]));
    }

    #[test]
    fn the_file_of_a_machine_is_read_as_it_is() {
        let text = "# Managed\n127.0.0.1\tlocalhost loop # a remark\n\n::1 localhost\r\nfe80::1%lo0 link\nnonsense x\n10.0.0.1";
        let hosts = Hosts::parse(text);
        assert_eq!(hosts.get("localhost"), Some(&addresses(&["127.0.0.1", "::1"])[..]));
        assert_eq!(hosts.get("loop"), Some(&addresses(&["127.0.0.1"])[..]));
        assert_eq!(hosts.0.len(), 2, "{hosts:?}");
    }

    #[test]
    fn a_file_without_end_is_cut_behind_a_line() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let line = "10.0.0.1 shop\n";
        let lines = usize::try_from(MAX_BYTES).expect("a size") / line.len() + 10;
        std::fs::write(file.path(), line.repeat(lines)).expect("a file");
        let text = read(file.path()).expect("a text");
        assert!(text.len() as u64 <= MAX_BYTES && text.ends_with("10.0.0.1 shop"), "{}", text.len());
        assert!(read(Path::new("/nowhere/hosts")).is_err());
    }
}
