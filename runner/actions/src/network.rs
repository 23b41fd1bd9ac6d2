//! Connections to targets: names resolved, sockets opened, kept alive for one bot.

#[cfg(test)]
mod against_dns;
mod hosts;
mod names;
mod resolver;
mod roots;
mod stream;
mod traffic;

pub use hosts::Hosts;
pub use resolver::ResolveError;
pub use roots::trusted;
pub(crate) use stream::Stream;
pub(crate) use traffic::Traffic;

use crate::http1::Buffers;
use crate::seen::Seen;
use botarmy_report::{FailureClass, Part};
use botarmy_spec::Targets;
use names::Names;
use rustls::pki_types::ServerName;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use traffic::Counted;

/// Most idle connections that a bot keeps, one for each place it talks to.
const MAX_IDLE: usize = 6;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address names no host.
    #[error("the address {0} is not complete or not right; write http://HOST:PORT/PATH")]
    Address(String),
    /// The name has no address.
    #[error("the name {0} cannot be resolved: {1}")]
    Resolve(String, ResolveError),
    /// Nothing answers there, at none of the addresses that were tried; the error is that of the last.
    #[error("no connection to {0}: {1}; check that the target is up and reachable")]
    Connect(String, std::io::Error),
    /// The certificate or the handshake is wrong.
    #[error("TLS with {0} failed: {1}; check the certificate of the target")]
    Tls(String, std::io::Error),
    /// This machine has run out of something.
    #[error(
        "no connection to {0} can be begun here: {1}; raise the limit of open files and ports, or take more runners"
    )]
    Local(String, std::io::Error),
    /// This machine's TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// Whoever has installed the operator does not allow it.
    #[error("{0} may not be loaded here, only {1}; ask whoever has installed the operator")]
    NotAllowed(String, Targets),
    /// The roots that are added here cannot be used.
    #[error("{0}")]
    Roots(#[from] roots::Error),
}

impl Error {
    /// The class of a failure with this cause.
    pub(crate) fn class(&self) -> FailureClass {
        match self {
            Self::Resolve(..) => FailureClass::Dns,
            Self::Connect(..) => FailureClass::Connect,
            Self::Tls(..) => FailureClass::Tls,
            Self::Address(_) | Self::Local(..) | Self::NotAllowed(..) | Self::Setup(_) | Self::Roots(_) => {
                FailureClass::Local
            }
        }
    }
}

/// Whether it is this machine that cannot go on: memory (`ENOMEM`), open files of the system and of
/// the process (`ENFILE`, `EMFILE`), local addresses and ports (`EADDRNOTAVAIL`), buffers (`ENOBUFS`).
fn is_local(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 99 | 105))
}

/// What the bots of one worker share: names and the settings of TLS.
#[derive(Clone)]
pub struct Network {
    tls: TlsConnector,
    names: Rc<Names>,
    /// Whom one may talk to; anybody if it is not said.
    allowed: Option<Rc<Targets>>,
    /// Requests that were sent, to be taken by the worker.
    sent: Rc<Cell<u64>>,
    pub(crate) buffers: Buffers,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Network {
    /// The network of a worker. The names in `hosts` have the addresses written there, whatever DNS and
    /// `/etc/hosts` say; the `Host` of a request and the name that TLS checks stay those of its URL.
    pub fn new(hosts: &Hosts) -> Result<Self, Error> {
        Self::with(Names::new(hosts))
    }

    fn with(names: Names) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots::trusted()?)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            names: Rc::new(names),
            allowed: None,
            sent: Rc::default(),
            buffers: Buffers::default(),
        })
    }

    /// The same, which talks to nobody else than these.
    #[must_use]
    pub fn allowing(self, allowed: Option<&Targets>) -> Self {
        Self { allowed: allowed.cloned().map(Rc::new), ..self }
    }

    /// How many requests were sent since this was last asked.
    pub fn take_sent(&self) -> u64 {
        self.sent.take()
    }

    /// Counts a request that has left.
    pub(crate) fn count_sent(&self) {
        self.sent.set(self.sent.get() + 1);
    }

    /// Opens a connection, timing each step.
    pub(crate) async fn connect(&self, origin: &Origin, seen: &Seen) -> Result<Connection, Error> {
        if let Some(allowed) =
            self.allowed.as_ref().filter(|allowed| !allowed.allow(&origin.host, origin.port))
        {
            return Err(Error::NotAllowed(origin.authority(), Targets::clone(allowed)));
        }
        let addresses = self.resolve(origin, seen).await?;
        let begun = Instant::now();
        let stream = open(origin, &addresses).await?;
        seen.took(Part::Connect, begun.elapsed());
        let traffic = Rc::<Traffic>::default();
        seen.follow(&traffic);
        let stream = Counted::new(stream, traffic.clone());
        let stream = if origin.tls {
            let name = ServerName::try_from(origin.name().to_owned())
                .map_err(|_| Error::Address(origin.authority()))?;
            let begun = Instant::now();
            let tls = self.tls.connect(name, stream).await.map_err(|e| Error::Tls(origin.authority(), e))?;
            seen.took(Part::Tls, begun.elapsed());
            Stream::Tls(Box::new(tls))
        } else {
            Stream::Plain(stream)
        };
        Ok(Connection { stream, traffic })
    }

    /// The addresses that are tried, at least one.
    async fn resolve(&self, origin: &Origin, seen: &Seen) -> Result<Vec<SocketAddr>, Error> {
        let name = origin.name();
        if let Ok(ip) = name.parse() {
            return Ok(vec![SocketAddr::new(ip, origin.port)]);
        }
        let addresses = self.names.addresses(name, seen).await.map_err(|error| match error {
            ResolveError::Io(error) if is_local(&error) => Error::Local(origin.authority(), again(&error)),
            error => Error::Resolve(name.to_owned(), error),
        })?;
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, origin.port)).collect())
    }
}

/// Connects to the first of these addresses that takes us. One that refuses, or to which there is no
/// way, costs a try; one that does not answer at all has the whole time of the request, because
/// a slow target must not be spared. When this machine has run out of something, another address
/// would not help.
async fn open(origin: &Origin, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut last = std::io::Error::other("there is no address");
    for address in addresses {
        let connected = TcpStream::connect(address).await;
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(error) if is_local(&error) => return Err(Error::Local(origin.authority(), error)),
            Err(error) => last = error,
        }
    }
    let tried: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    Err(Error::Connect(format!("{} ({})", origin.authority(), tried.join(", ")), last))
}

/// The same error of the system once more.
fn again(error: &std::io::Error) -> std::io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error)
}

/// Where a connection goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    pub(crate) fn of(uri: &http::Uri) -> Result<Self, Error> {
        let incomplete = || Error::Address(uri.to_string());
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(incomplete()),
        };
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(incomplete)?.to_owned();
        // A port that is none must not become the usual one.
        let place = uri.authority().map_or("", |a| a.as_str().rsplit('@').next().unwrap_or_default());
        let port = match place.rsplit_once(':') {
            Some((_, port)) if !port.is_empty() && !port.ends_with(']') => uri.port_u16(),
            _ => Some(if tls { 443 } else { 80 }),
        };
        Ok(Self { tls, host, port: port.ok_or_else(incomplete)? })
    }

    /// The host without the brackets that an IPv6 address has in a URL.
    fn name(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) traffic: Rc<Traffic>,
}

/// The idle connections of one bot.
#[derive(Debug, Default)]
pub struct Connections(RefCell<Idle>);

/// Most bots have one, which is at hand without a way to elsewhere in memory.
type Idle = SmallVec<[(Rc<Origin>, Connection); 1]>;

impl Connections {
    /// An idle connection that is still open, if there is one.
    pub(crate) fn take(&self, origin: &Rc<Origin>) -> Option<Connection> {
        let mut idle = self.0.borrow_mut();
        loop {
            let found = idle.iter().position(|(o, _)| Rc::ptr_eq(o, origin) || o == origin)?;
            let (_, mut connection) = idle.swap_remove(found);
            if connection.stream.is_idle() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn keep(&self, origin: &Rc<Origin>, connection: Connection) {
        let mut idle = self.0.borrow_mut();
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push((origin.clone(), connection));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_to_go() {
        let origin = |uri: &'static str| Origin::of(&http::Uri::from_static(uri));
        for (uri, tls, host, port) in [
            ("http://a", false, "a", 80),
            ("https://a/b:c", true, "a", 443),
            ("http://a:8080/", false, "a", 8080),
            ("http://a:/", false, "a", 80),
            ("http://user:word@a/", false, "a", 80),
            ("https://[::1]/", true, "[::1]", 443),
            ("http://[::1]:81", false, "[::1]", 81),
        ] {
            let found = origin(uri).expect(uri);
            assert_eq!(found, Origin { tls, host: host.to_owned(), port }, "{uri}");
            assert_eq!(found.name(), if host.starts_with('[') { "::1" } else { "a" }, "{uri}");
        }
        for uri in ["/a", "ftp://a", "http://a:65536", "http://a:99999/x"] {
            assert!(origin(uri).is_err(), "{uri}");
        }
    }
}
