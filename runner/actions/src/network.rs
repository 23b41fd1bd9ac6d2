//! Connections to targets: names resolved, sockets opened, kept alive for one bot.

mod stream;
mod traffic;

pub(crate) use stream::Stream;
pub(crate) use traffic::Traffic;

use crate::http1::Buffers;
use crate::seen::Seen;
use botarmy_report::{FailureClass, Part};
use rustls::pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use traffic::Counted;

/// How long an answer of the resolver is used again. The system's resolver does not tell the
/// answer's own time to live.
const NAME_LIFETIME: Duration = Duration::from_secs(5);
/// Most names that a worker remembers.
const MAX_NAMES: usize = 10_000;
/// Most idle connections that a bot keeps, one for each place it talks to.
const MAX_IDLE: usize = 6;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address names no host.
    #[error("the address {0} is not complete or not right; write http://HOST:PORT/PATH")]
    Address(String),
    /// The name has no address.
    #[error("the name {0} cannot be resolved: {1}; check the target and the DNS of this machine")]
    Resolve(String, std::io::Error),
    /// Nothing answers there.
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
}

impl Error {
    /// The class of a failure with this cause.
    pub(crate) fn class(&self) -> FailureClass {
        match self {
            Self::Resolve(..) => FailureClass::Dns,
            Self::Connect(..) => FailureClass::Connect,
            Self::Tls(..) => FailureClass::Tls,
            Self::Address(_) | Self::Local(..) | Self::Setup(_) => FailureClass::Local,
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
    names: Rc<RefCell<HashMap<String, Name>>>,
    /// Requests that were sent, to be taken by the worker.
    sent: Rc<Cell<u64>>,
    pub(crate) buffers: Buffers,
}

struct Name {
    addresses: Vec<SocketAddr>,
    resolved: Instant,
    /// Which address the next connection goes to: all of them are used in turn.
    next: usize,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("names", &self.names.borrow().len()).finish_non_exhaustive()
    }
}

impl Network {
    /// The network of a worker.
    pub fn new() -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            names: Rc::default(),
            sent: Rc::default(),
            buffers: Buffers::default(),
        })
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
        let address = self.resolve(origin, seen).await?;
        let connect = |e| {
            if is_local(&e) {
                return Error::Local(origin.authority(), e);
            }
            Error::Connect(format!("{} ({address})", origin.authority()), e)
        };
        let begun = Instant::now();
        let stream = TcpStream::connect(address).await.map_err(connect)?;
        seen.took(Part::Connect, begun.elapsed());
        stream.set_nodelay(true).map_err(connect)?;
        let traffic = Rc::<Traffic>::default();
        seen.follow(&traffic);
        let stream = Counted::new(stream, traffic.clone());
        let stream = if origin.tls {
            let name =
                ServerName::try_from(origin.host.clone()).map_err(|_| Error::Address(origin.authority()))?;
            let begun = Instant::now();
            let tls = self.tls.connect(name, stream).await.map_err(|e| Error::Tls(origin.authority(), e))?;
            seen.took(Part::Tls, begun.elapsed());
            Stream::Tls(Box::new(tls))
        } else {
            Stream::Plain(stream)
        };
        Ok(Connection { stream, traffic })
    }

    async fn resolve(&self, origin: &Origin, seen: &Seen) -> Result<SocketAddr, Error> {
        if let Ok(ip) = origin.host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(SocketAddr::new(ip, origin.port));
        }
        let authority = origin.authority();
        if let Some(address) = self.remembered(&authority) {
            return Ok(address);
        }
        let failed = |e| {
            if is_local(&e) {
                return Error::Local(authority.clone(), e);
            }
            Error::Resolve(origin.host.clone(), e)
        };
        let begun = Instant::now();
        let found = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await.map_err(failed)?;
        seen.took(Part::Dns, begun.elapsed());
        let addresses: Vec<SocketAddr> = found.collect();
        let first = addresses.first().copied();
        let first = first.ok_or_else(|| failed(std::io::Error::other("the name has no address")))?;
        let mut names = self.names.borrow_mut();
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.insert(authority, Name { addresses, resolved: Instant::now(), next: 1 });
        Ok(first)
    }

    fn remembered(&self, authority: &str) -> Option<SocketAddr> {
        let mut names = self.names.borrow_mut();
        let name = names.get_mut(authority).filter(|n| n.resolved.elapsed() < NAME_LIFETIME)?;
        let address = name.addresses.get(name.next % name.addresses.len().max(1)).copied();
        name.next = name.next.wrapping_add(1);
        address
    }
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
pub struct Connections(RefCell<Vec<(Rc<Origin>, Connection)>>);

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
            assert_eq!(origin(uri).expect(uri), Origin { tls, host: host.to_owned(), port }, "{uri}");
        }
        for uri in ["/a", "ftp://a", "http://a:65536", "http://a:99999/x"] {
            assert!(origin(uri).is_err(), "{uri}");
        }
    }
}
