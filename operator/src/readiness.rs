//! Whether runners can be served: the coordinator answers, and whoever leads has the lists of the API server. Being
//! ready is not being the leader: one that follows is ready to take over.

use crate::election::Standing;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long the coordinator may take to answer; the kubelet waits for longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why the operator is not ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate yet.
    #[error("the certificate authority is not there yet; look whether the API server can be reached")]
    Starting,
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
    /// The authority is none.
    #[error("the certificate authority cannot be used: {0}; delete its Secret, and a new one is made")]
    Authority(String),
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Readiness {
    listed: AtomicBool,
    coordinator: OnceLock<(SocketAddr, ServerName<'static>, TlsSettings)>,
}

struct TlsSettings(Arc<rustls::ClientConfig>);

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsSettings")
    }
}

impl Readiness {
    /// The BotRuns were listed.
    pub fn listed(&self) {
        self.listed.store(true, Ordering::Relaxed);
    }

    /// The coordinator listens there, by this name and with this authority, as PEM.
    pub fn listening(&self, at: SocketAddr, host: &str, authority: &str) -> Result<(), Error> {
        let broken = |e: &dyn std::fmt::Display| Error::Authority(e.to_string());
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|e| broken(&e))?;
        roots.add(certificate).map_err(|e| broken(&e))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| broken(&e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let host = ServerName::try_from(host.to_owned()).map_err(|e| broken(&e))?;
        // Set once: a process has one listener.
        drop(self.coordinator.set((reachable(at), host, TlsSettings(Arc::new(settings)))));
        Ok(())
    }

    /// Asks as a runner would, up to the end of the handshake.
    pub async fn check(&self, standing: Standing) -> Result<(), Error> {
        let (at, host, settings) = self.coordinator.get().ok_or(Error::Starting)?;
        if standing.leads() && !self.listed.load(Ordering::Relaxed) {
            return Err(Error::Unlisted);
        }
        let connector = TlsConnector::from(settings.0.clone());
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
    use tokio::net::TcpListener;

    const HOST: &str = "coordinator.botarmy.svc";

    #[tokio::test]
    async fn ready_is_who_has_listed_the_runs_and_answers_runners() {
        let authority = Authority::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let readiness = Readiness::default();
        let leads = Standing::Leads(1);
        assert!(matches!(readiness.check(leads).await, Err(Error::Starting)));
        readiness.listening(at, HOST, &authority.certificate).unwrap();
        assert!(matches!(readiness.check(leads).await, Err(Error::Unlisted)));
        assert!(matches!(readiness.check(Standing::Follows).await, Err(Error::Timeout)), "nobody accepts");
        readiness.listed();
        assert!(
            matches!(readiness.check(leads).await, Err(Error::Timeout)),
            "it listens, but nobody accepts"
        );
        let tls = authority.server(vec![HOST.to_owned()]).unwrap();
        let server = tokio::spawn(coordinator::serve(listener, tls, Router::new(), Arc::default()));
        readiness.check(leads).await.unwrap();
        server.abort();
        drop(server.await);
        assert!(matches!(readiness.check(leads).await, Err(Error::Listener(_))));
    }

    #[tokio::test]
    async fn a_listener_that_runners_would_not_trust_is_not_ready() {
        let (ours, other) = (Authority::generate().unwrap(), Authority::generate().unwrap());
        for (authority, name) in [(&other, HOST), (&ours, "another.botarmy.svc")] {
            let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
            let readiness = Readiness::default();
            readiness.listening(listener.local_addr().unwrap(), HOST, &ours.certificate).unwrap();
            readiness.listed();
            let tls = authority.server(vec![name.to_owned()]).unwrap();
            tokio::spawn(coordinator::serve(listener, tls, Router::new(), Arc::default()));
            assert!(matches!(readiness.check(Standing::Leads(1)).await, Err(Error::Listener(_))), "{name}");
        }
    }
}
