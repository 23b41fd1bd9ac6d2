//! The line of a runner to the coordinator: one kept connection with TLS, as that of a real one.

use crate::fence;
use botarmy_protocol::{CHECK_IN_PATH, Orders};
use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// How long one check-in may take, its connection included; that of a real runner.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const MAX_ANSWER: usize = 4 << 20;
/// Most letters of a refusal that are kept.
const MAX_REASON: usize = 200;

/// Why there is nobody to talk to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// Somebody else's address.
    #[error("{0}")]
    Outside(#[from] fence::Outside),
    /// The certificates are none.
    #[error("the certificates of the run cannot be read: {0}; look into its ConfigMap")]
    Certificates(#[from] rustls::pki_types::pem::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The name is none.
    #[error("{0:?} is no name of a Service")]
    Name(String),
}

/// Why a check-in came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    /// No agreement on TLS.
    #[error("no TLS: {0}")]
    Tls(std::io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// Not the expected answer.
    #[error("the coordinator answered {0}: {1}")]
    Answer(u16, String),
    /// No answer in time.
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    /// The request cannot be made.
    #[error("the check-in cannot be written: {0}")]
    Request(#[from] http::Error),
}

impl Error {
    /// By which it is counted.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Connect(_) => "connect".to_owned(),
            Self::Tls(_) => "tls".to_owned(),
            Self::Broken(_) => "broken".to_owned(),
            Self::Answer(status, _) => format!("answer {status}"),
            Self::Timeout => "timeout".to_owned(),
            Self::Request(_) => "request".to_owned(),
        }
    }
}

/// The coordinator.
pub(crate) struct Target {
    address: SocketAddr,
    name: ServerName<'static>,
    authority: HeaderValue,
    tls: TlsConnector,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Target {
    /// The coordinator at this address, which has to show that it is `host`.
    pub(crate) fn new(address: SocketAddr, host: &str, certificates: &str) -> Result<Self, TargetError> {
        fence::check(address.ip())?;
        let wrong = || TargetError::Name(host.to_owned());
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        let authority = HeaderValue::try_from(format!("{host}:{}", address.port())).map_err(|_| wrong())?;
        Ok(Self { address, name, authority, tls: TlsConnector::from(trusting(certificates)?) })
    }
}

/// The settings of a client that trusts these certificates. Each connection is the first one, as in a pod of its own.
pub(crate) fn trusting(certificates: &str) -> Result<Arc<ClientConfig>, TargetError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificates.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A runner's connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// The address that it speaks from; whichever the kernel takes unless it is said.
    from: Option<IpAddr>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Link {
    /// A line from this address, not connected yet.
    pub(crate) fn new(from: Option<IpAddr>) -> Self {
        Self { from, connection: None }
    }

    /// Whether the next check-in has to connect first.
    pub(crate) fn is_new(&self) -> bool {
        self.connection.as_ref().is_none_or(SendRequest::is_closed)
    }

    /// Posts a check-in. After an error the next one has a new connection.
    pub(crate) async fn post(
        &mut self,
        target: &Target,
        body: Vec<u8>,
        bearer: &HeaderValue,
    ) -> Result<Orders, Error> {
        let connection = self.connection.take().filter(|c| !c.is_closed());
        let exchange = exchange(connection, self.from, target, body, bearer);
        let (orders, connection) =
            tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| Error::Timeout)??;
        self.connection = Some(connection);
        Ok(orders)
    }
}

async fn exchange(
    connection: Option<SendRequest<Full<Bytes>>>,
    from: Option<IpAddr>,
    target: &Target,
    body: Vec<u8>,
    bearer: &HeaderValue,
) -> Result<(Orders, SendRequest<Full<Bytes>>), Error> {
    let mut sender = match connection {
        Some(sender) => sender,
        None => connect(from, target).await?,
    };
    let request = http::Request::post(CHECK_IN_PATH)
        .header(http::header::HOST, target.authority.clone())
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::AUTHORIZATION, bearer.clone())
        .body(Full::from(body))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let wrong = |why: &str| Error::Answer(status.as_u16(), why.chars().take(MAX_REASON).collect());
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|e| wrong(&e.to_string()))?.to_bytes();
    if !status.is_success() {
        return Err(wrong(&String::from_utf8_lossy(&body)));
    }
    let orders = serde_json::from_slice(&body).map_err(|e| wrong(&e.to_string()))?;
    Ok((orders, sender))
}

async fn stream(from: Option<IpAddr>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    socket.connect(to).await
}

async fn connect(from: Option<IpAddr>, target: &Target) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = stream(from, target.address).await.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    let tls = target.tls.connect(target.name.clone(), stream).await.map_err(Error::Tls)?;
    let (sender, connection) = handshake(TokioIo::new(tls)).await?;
    tokio::spawn(async move {
        // An error of the connection reaches the check-in that waits on it.
        let _ = connection.await;
    });
    Ok(sender)
}
