//! The line to the coordinator: one kept connection with TLS, a token read anew for each post.

use botarmy_protocol::{CHECK_IN_PATH, CheckIn, Orders, path};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one check-in may take; the coordinator holds it for a second at most.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer, in bytes: a plan is at most as large as an object of the cluster.
const MAX_ANSWER: usize = 4 << 20;

/// Why a check-in failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is wrong.
    #[error("{0:?} is not an address of a coordinator; it begins with https://")]
    Address(String),
    /// The token or the certificates cannot be read.
    #[error("{0} cannot be read: {1}; the pod needs the volumes that the operator gives it")]
    File(String, String),
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Exchange(#[from] hyper::Error),
    /// The request cannot be made.
    #[error("the check-in cannot be written: {0}")]
    Request(String),
    /// Not the expected answer.
    #[error("the coordinator answered {0}: {1}")]
    Refused(u16, String),
    /// No answer in time.
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
}

impl Error {
    /// Whether the coordinator answered that it does not know the run.
    pub(super) fn is_unknown_run(&self) -> bool {
        matches!(self, Self::Refused(404, _))
    }

    /// Whether the coordinator does not take so much at once.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self, Self::Refused(413, _))
    }
}

pub(super) struct Link {
    host: String,
    authority: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Link {
    pub(super) fn new(address: &str) -> Result<Self, Error> {
        let authority = address.strip_prefix("https://").map(|a| a.trim_end_matches('/'));
        let authority =
            authority.filter(|a| !a.is_empty()).ok_or_else(|| Error::Address(address.to_owned()))?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        Ok(Self { host: host.to_owned(), authority: authority.to_owned(), connection: None })
    }

    pub(super) async fn post(&mut self, check_in: &CheckIn) -> Result<Orders, Error> {
        let result =
            tokio::time::timeout(TIMEOUT, self.exchange(check_in)).await.unwrap_or(Err(Error::Timeout));
        if result.is_err() {
            // What a broken exchange left behind must not be taken for the next answer.
            self.connection = None;
        }
        result
    }

    async fn exchange(&mut self, check_in: &CheckIn) -> Result<Orders, Error> {
        let unwritable = |e: &dyn std::fmt::Display| Error::Request(e.to_string());
        let token = read(&Path::new(path::TOKEN_FOLDER).join(path::TOKEN_FILE))?;
        let body = serde_json::to_vec(check_in).map_err(|e| unwritable(&e))?;
        let request = http::Request::post(CHECK_IN_PATH)
            .header(http::header::HOST, &self.authority)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::AUTHORIZATION, format!("Bearer {}", String::from_utf8_lossy(&token).trim()))
            .body(Full::from(body))
            .map_err(|e| unwritable(&e))?;
        let mut sender = match self.connection.take().filter(|c| !c.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| Error::Refused(status.as_u16(), e.to_string()))?.to_bytes();
        self.connection = Some(sender);
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(Error::Refused(status.as_u16(), said));
        }
        serde_json::from_slice(&body).map_err(|e| Error::Refused(status.as_u16(), e.to_string()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let failed = |e| Error::Connect(self.authority.clone(), e);
        let stream = TcpStream::connect(&self.authority).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let name = ServerName::try_from(self.host.clone()).map_err(|_| Error::Address(self.host.clone()))?;
        let tls = connector()?.connect(name, stream).await.map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await?;
        tokio::spawn(async move {
            // An error of the connection reaches the check-in that waits on it.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::File(path.display().to_string(), e.to_string()))
}

/// Made anew for each connection, so that a new CA in the mounted bundle is taken up.
fn connector() -> Result<TlsConnector, Error> {
    let file = Path::new(path::CA_FOLDER).join(path::CA_FILE);
    let wrong = |e: &dyn std::fmt::Display| Error::File(file.display().to_string(), e.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read(&file)?) {
        roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
