//! Whether runners can be served: the coordinator answers, and whoever leads has the lists of the API server. Being
//! ready is not being the leader: one that follows is ready to take over.

use crate::certificates::{self, InForce};
use crate::election::Standing;
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

/// How long the coordinator may take to answer; the kubelet waits for longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why the operator is not ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate yet.
    #[error("there is no certificate yet: {0}")]
    Starting(String),
    /// No list of runs yet.
    #[error(
        "the BotRuns are not listed yet; look whether the API server can be reached, the kind is installed and the operator may list it"
    )]
    Unlisted,
    /// The listener is broken.
    #[error("the coordinator does not answer: {0}; restart the operator")]
    Listener(#[from] std::io::Error),
    /// The listener hangs.
    #[error("the coordinator does not answer within {TIMEOUT:?}; look at the operator's CPU")]
    Timeout,
    /// The coordinator has a name that is none.
    #[error("{0:?} is no name of a host; correct the settings --service and --namespace")]
    Host(String),
    /// What is in force cannot be checked with.
    #[error("{0}")]
    Certificates(#[from] certificates::Error),
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Readiness {
    listed: AtomicBool,
    coordinator: OnceLock<(SocketAddr, ServerName<'static>, watch::Receiver<InForce>)>,
    /// Why there is no certificate yet.
    lacks: Mutex<String>,
}

impl Readiness {
    /// The BotRuns were listed.
    pub fn listed(&self) {
        self.listed.store(true, Ordering::Relaxed);
    }

    /// There is no certificate yet, and this is why.
    pub fn lacks_certificate(&self, why: &str) {
        why.clone_into(&mut self.lacks.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The coordinator listens there, by this name and with what is in force.
    pub fn listening(
        &self,
        at: SocketAddr,
        host: &str,
        in_force: watch::Receiver<InForce>,
    ) -> Result<(), Error> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::Host(host.to_owned()))?;
        // Set once: a process has one listener.
        drop(self.coordinator.set((reachable(at), name, in_force)));
        Ok(())
    }

    /// Asks as a runner would, up to the end of the handshake.
    pub async fn check(&self, standing: Standing) -> Result<(), Error> {
        let Some((at, host, in_force)) = self.coordinator.get() else {
            let why = self.lacks.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let why = if why.is_empty() { "the API server was not asked yet".to_owned() } else { why };
            return Err(Error::Starting(why));
        };
        if standing.leads() && !self.listed.load(Ordering::Relaxed) {
            return Err(Error::Unlisted);
        }
        let roots = in_force.borrow().bundle.roots()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(certificates::Error::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(settings));
        let handshake = async { connector.connect(host.clone(), TcpStream::connect(*at).await?).await };
        tokio::time::timeout(TIMEOUT, handshake).await.map_err(|_| Error::Timeout)??;
        Ok(())
    }
}

/// Where a listener is reached from inside: one on all addresses has no address of its own.
fn reachable(mut at: SocketAddr) -> SocketAddr {
    match at {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => at.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => at.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::Authority;
    use crate::coordinator;
    use axum::Router;
    use jiff::Timestamp;
    use tokio::net::TcpListener;

    const HOST: &str = "coordinator.botarmy.svc";

    fn authority() -> Authority {
        Authority::generate(Timestamp::now(), Duration::from_secs(3600)).unwrap()
    }

    /// A server of this name.
    fn in_force(authority: &Authority, host: &str) -> watch::Receiver<InForce> {
        watch::channel(InForce::of(authority, &[host.to_owned()], Timestamp::now()).unwrap()).1
    }

    #[tokio::test]
    async fn ready_is_who_has_listed_the_runs_and_answers_runners() {
        let in_force = in_force(&authority(), HOST);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let readiness = Readiness::default();
        let leads = Standing::Leads(1);
        readiness.lacks_certificate("the Secret is broken");
        let starting = readiness.check(leads).await.unwrap_err().to_string();
        assert_eq!(starting, "there is no certificate yet: the Secret is broken");
        readiness.listening(at, HOST, in_force.clone()).unwrap();
        assert!(matches!(readiness.check(leads).await, Err(Error::Unlisted)));
        assert!(matches!(readiness.check(Standing::Follows).await, Err(Error::Timeout)), "nobody accepts");
        readiness.listed();
        assert!(
            matches!(readiness.check(leads).await, Err(Error::Timeout)),
            "it listens, but nobody accepts"
        );
        let server = tokio::spawn(coordinator::serve(listener, in_force, Router::new(), Arc::default()));
        readiness.check(leads).await.unwrap();
        server.abort();
        drop(server.await);
        assert!(matches!(readiness.check(leads).await, Err(Error::Listener(_))));
    }

    #[tokio::test]
    async fn a_listener_that_runners_would_not_trust_is_not_ready() {
        let (ours, other) = (authority(), authority());
        for (authority, name) in [(&other, HOST), (&ours, "another.botarmy.svc")] {
            let shown = in_force(authority, name);
            let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
            let readiness = Readiness::default();
            readiness.listening(listener.local_addr().unwrap(), HOST, in_force(&ours, HOST)).unwrap();
            readiness.listed();
            tokio::spawn(coordinator::serve(listener, shown, Router::new(), Arc::default()));
            assert!(matches!(readiness.check(Standing::Leads(1)).await, Err(Error::Listener(_))), "{name}");
        }
    }
}
