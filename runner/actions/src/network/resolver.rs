//! One question to the DNS servers of this machine, and how long its answer may be used.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a name is asked for, its search domains and all repetitions included.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a question that nobody answers is begun anew within that time, with another server if
/// there is one. Lost packets are sent again much sooner.
const REPETITIONS: u32 = 1;
/// How long a failure is used again, so that bots without a target do not flood the DNS servers.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);
/// Most names that a worker asks for at once; each holds a few open files.
const MAX_AT_ONCE: usize = 64;
/// Addresses of a family for which a way is looked for before the family is given up.
const MAX_WAYS: usize = 3;

/// Why a name has no address.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveError {
    /// It cannot be a name of DNS.
    #[error("it is no name for DNS ({0}); check the spelling of the target")]
    Name(String),
    /// `NXDOMAIN`.
    #[error("DNS knows no such name; check its spelling, its namespace, and that its Service is there")]
    Unknown,
    /// The name is there, without A and AAAA records.
    #[error("it has no address in DNS; check that something stands behind its Service")]
    NoAddress,
    /// Nothing came back, in five seconds at the latest.
    #[error(
        "no DNS server answered within {LOOKUP_TIMEOUT:?}; check those of /etc/resolv.conf and the way there"
    )]
    Timeout,
    /// A server answered that it cannot answer.
    #[error("the DNS server cannot tell ({0}); check the DNS servers of /etc/resolv.conf")]
    Response(ResponseCode),
    /// The machine's settings cannot be used.
    #[error("/etc/resolv.conf cannot be used ({0}); name a DNS server there")]
    Settings(String),
    /// The question cannot leave this machine.
    #[error("DNS cannot be asked ({0}); check the network of this machine")]
    Io(Arc<io::Error>),
    /// Whatever else goes wrong with DNS.
    #[error("DNS failed ({0}); check the DNS servers of /etc/resolv.conf")]
    Other(String),
}

/// What is known of a name.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its addresses, at least one; in the same order however the server turned them.
    pub(super) found: Result<Vec<IpAddr>, ResolveError>,
    /// When this runs out; never, if it was written down.
    until: Option<Instant>,
}

impl Answer {
    /// Addresses that are written down.
    pub(super) fn lasting(addresses: Vec<IpAddr>) -> Self {
        Self { found: Ok(with_a_way(addresses)), until: None }
    }

    /// No addresses, for a short while.
    pub(super) fn failed(error: ResolveError) -> Self {
        Self { found: Err(error), until: Some(Instant::now() + FAILURE_LIFETIME) }
    }

    fn of_dns(mut addresses: Vec<IpAddr>, until: Instant) -> Self {
        if addresses.is_empty() {
            return Self::failed(ResolveError::NoAddress);
        }
        addresses.sort_unstable();
        addresses.dedup();
        Self { found: Ok(with_a_way(addresses)), until: Some(until) }
    }

    /// Whether it can be given to somebody who began to ask then. An answer that must not be used
    /// again (a TTL of 0) is still good for all who were waiting for it.
    pub(super) fn is_good_for(&self, began: Instant) -> bool {
        self.until.is_none_or(|until| began <= until)
    }
}

/// Asks the DNS servers; keeps no answers.
#[derive(Clone)]
pub(super) struct Resolver {
    resolver: Arc<TokioResolver>,
    at_once: Arc<Semaphore>,
}

impl Resolver {
    /// With the servers, the search domains and `ndots` of `/etc/resolv.conf`, as they are now. The
    /// times and attempts named there are not used: [`LOOKUP_TIMEOUT`] holds for everybody.
    pub(super) fn of_machine() -> Result<Self, ResolveError> {
        let (config, options) = read_system_conf().map_err(|e| ResolveError::Settings(words(&e)))?;
        let (config, options) = settings(config, options);
        Self::new(config, options)
    }

    /// With these servers and their times.
    pub(super) fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, ResolveError> {
        // What is remembered and what is written down is looked up before anybody comes here.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        // Of two failures the one about A is told.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build();
        let resolver = resolver.map_err(|e| ResolveError::Settings(words(&e)))?;
        Ok(Self { resolver: Arc::new(resolver), at_once: Arc::new(Semaphore::new(MAX_AT_ONCE)) })
    }

    /// Asks for the addresses of a name, in [`LOOKUP_TIMEOUT`].
    pub(super) async fn ask(self, name: String) -> Answer {
        let asked = async {
            // Nobody closes it.
            let _turn = self.at_once.acquire().await;
            let name = Name::from_ascii(&name).map_err(|e| ResolveError::Name(e.to_string()))?;
            self.resolver.lookup_ip(name).await.map_err(|e| cause(&e))
        };
        match tokio::time::timeout(LOOKUP_TIMEOUT, asked).await {
            Ok(Ok(found)) => Answer::of_dns(found.iter().collect(), found.valid_until()),
            Ok(Err(error)) => Answer::failed(error),
            Err(_) => Answer::failed(ResolveError::Timeout),
        }
    }
}

/// The settings of a machine as they are used here.
fn settings(config: ResolverConfig, mut options: ResolverOpts) -> (ResolverConfig, ResolverOpts) {
    options.timeout = LOOKUP_TIMEOUT / (REPETITIONS + 1);
    options.attempts = REPETITIONS as usize;
    // The machine's own domain counts only where no search domains are named.
    let (domain, search, servers) = config.into_parts();
    let domain = domain.filter(|_| search.is_empty());
    (ResolverConfig::from_parts(domain, search, servers), options)
}

fn cause(error: &NetError) -> ResolveError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NXDomain, ..
        })) => ResolveError::Unknown,
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { .. })) => ResolveError::NoAddress,
        NetError::Dns(DnsError::ResponseCode(code)) => ResolveError::Response(*code),
        NetError::Timeout => ResolveError::Timeout,
        NetError::Io(error) => ResolveError::Io(error.clone()),
        _ => ResolveError::Other(error.to_string()),
    }
}

/// What a failure says, without its kind in front.
fn words(error: &NetError) -> String {
    if let NetError::Io(error) = error { error.to_string() } else { error.to_string() }
}

/// Leaves the addresses of a family aside to which there is no way from here (a machine without IPv6,
/// a target with it), unless nothing would be left.
fn with_a_way(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let has_both = addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6);
    if has_both {
        let has_way =
            |v4| addresses.iter().filter(|a| a.is_ipv4() == v4).take(MAX_WAYS).any(|a| is_on_a_way(*a));
        match (has_way(true), has_way(false)) {
            (true, false) => addresses.retain(IpAddr::is_ipv4),
            (false, true) => addresses.retain(IpAddr::is_ipv6),
            _ => {}
        }
    }
    addresses
}

/// Whether the system knows a way to an address. It is only chosen, and nothing is sent.
fn is_on_a_way(to: IpAddr) -> bool {
    let from = match to {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // Any port but 0 will do.
    UdpSocket::bind((from, 0)).and_then(|socket| socket.connect((to, 9))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_for_whoever_began_to_ask_before_it_ran_out() {
        let sooner = Instant::now();
        let now = sooner + Duration::from_nanos(1);
        let later = now + Duration::from_nanos(1);
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let answer = Answer::of_dns(vec![address, address], now);
        assert_eq!(answer.found.as_ref().expect("addresses"), &[address]);
        assert!(answer.is_good_for(sooner) && answer.is_good_for(now) && !answer.is_good_for(later));
        assert!(Answer::lasting(vec![address]).is_good_for(later + LOOKUP_TIMEOUT * 1_000));
        for failed in [Answer::of_dns(vec![], later + LOOKUP_TIMEOUT), Answer::failed(ResolveError::Unknown)]
        {
            assert!(failed.is_good_for(now) && !failed.is_good_for(Instant::now() + FAILURE_LIFETIME));
        }
    }

    #[test]
    fn search_domains_go_before_the_domain_of_the_machine_and_our_times_before_its_own() {
        let [domain, search] = ["lan.", "svc.cluster.local."].map(|name| Name::from_ascii(name).expect(name));
        let mut options = ResolverOpts::default();
        (options.ndots, options.attempts, options.timeout) = (5, 9, LOOKUP_TIMEOUT * 9);
        for (searched, own) in [(vec![], Some(&domain)), (vec![search], None)] {
            let config = ResolverConfig::from_parts(Some(domain.clone()), searched.clone(), vec![]);
            let (config, options) = settings(config, options.clone());
            assert_eq!((config.domain(), config.search()), (own, &searched[..]));
            assert_eq!(options.ndots, 5);
            assert_eq!(options.timeout * (u32::try_from(options.attempts).unwrap() + 1), LOOKUP_TIMEOUT);
        }
    }

    #[test]
    fn a_family_is_left_aside_only_if_there_is_a_way_for_the_other() {
        let [loopback, nowhere] = ["127.0.0.1", "fe80::1"].map(|ip| ip.parse::<IpAddr>().expect(ip));
        // Without its zone there is no way to an address of a link.
        assert!(is_on_a_way(loopback) && !is_on_a_way(nowhere));
        assert_eq!(with_a_way(vec![loopback, nowhere]), [loopback]);
        assert_eq!(with_a_way(vec![nowhere]), [nowhere]);
    }
}
