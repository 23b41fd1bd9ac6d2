//! The line to the coordinator: one kept connection with TLS, a token read anew for each post.

use botarmy_protocol::{CHECK_IN_PATH, CheckIn, Orders, Trust, path};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::{Path, PathBuf};
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
    /// What the coordinator has told to check it with is of no use.
    #[error("the certificates that the coordinator told cannot be used: {0}; those that were known are kept")]
    Told(String),
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
    /// Whether the coordinator has answered, though with no orders.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(..))
    }

    /// Whether the coordinator answered that it does not know the run.
    pub(super) fn is_unknown_run(&self) -> bool {
        matches!(self, Self::Refused(404, _))
    }

    /// Whether the coordinator does not take so much at once.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self, Self::Refused(413, _))
    }
}

/// The files that a pod has for its line to the coordinator. They are read again when they are needed, since they change.
#[derive(Debug, Clone)]
pub struct Files {
    /// The token that shows who the pod is.
    pub token: PathBuf,
    /// The certificates that the coordinator is checked with.
    pub certificates: PathBuf,
}

impl Files {
    /// Where the operator mounts them.
    pub fn mounted() -> Self {
        Self {
            token: Path::new(path::TOKEN_FOLDER).join(path::TOKEN_FILE),
            certificates: Path::new(path::CA_FOLDER).join(path::CA_FILE),
        }
    }
}

/// A runner's line to the coordinator.
#[derive(Debug)]
pub struct Link {
    host: String,
    authority: String,
    files: Files,
    /// The certificates that the coordinator has told, beside those in the file, under the name that it gave them.
    told: Vec<CertificateDer<'static>>,
    told_name: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Link {
    /// A line to the coordinator at this address, which begins with `https://`.
    pub fn new(address: &str, files: Files) -> Result<Self, Error> {
        let authority = address.strip_prefix("https://").map(|a| a.trim_end_matches('/'));
        let authority =
            authority.filter(|a| !a.is_empty()).ok_or_else(|| Error::Address(address.to_owned()))?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        Ok(Self {
            host: host.to_owned(),
            authority: authority.to_owned(),
            files,
            told: Vec::new(),
            told_name: String::new(),
            connection: None,
        })
    }

    /// The name of the certificates that were told last.
    pub fn trusts(&self) -> &str {
        &self.told_name
    }

    /// Takes up what the coordinator has told, in place of what it has told before; new connections are checked with it.
    pub fn trust(&mut self, told: Trust) -> Result<(), Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Told(e.to_string());
        let certificates = read_certificates(told.certificates.as_bytes()).map_err(|e| wrong(&e))?;
        roots(&certificates).map_err(|e| wrong(&e))?;
        (self.told, self.told_name) = (certificates, told.name);
        Ok(())
    }

    /// Closes the connection, so that the next check-in makes another one.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// Checks in.
    pub async fn post(&mut self, check_in: &CheckIn) -> Result<Orders, Error> {
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
        let token = read(&self.files.token)?;
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
        let tls = self.connector()?.connect(name, stream).await.map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await?;
        tokio::spawn(async move {
            // An error of the connection reaches the check-in that waits on it.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Made anew for each connection, so that a new file is taken up. Of file and coordinator each may be behind the
    /// other, so that either is believed.
    fn connector(&self) -> Result<TlsConnector, Error> {
        let file = &self.files.certificates;
        let wrong = |e: &dyn std::fmt::Display| Error::File(file.display().to_string(), e.to_string());
        let mut all = self.told.clone();
        match read(file).and_then(|bytes| read_certificates(&bytes).map_err(|e| wrong(&e))) {
            Ok(certificates) => all.extend(certificates),
            Err(error) if self.told.is_empty() => return Err(error),
            Err(error) => tracing::warn!("{error}"),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(&e))?
            .with_root_certificates(roots(&all).map_err(|e| wrong(&e))?)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::File(path.display().to_string(), e.to_string()))
}

/// The certificates of a text, of which there must be some.
fn read_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let all = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) }
}

fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(certificates: &str) -> Trust {
        Trust { name: "new".into(), certificates: certificates.into() }
    }

    #[test]
    fn what_is_told_is_taken_up_only_if_it_can_be_used() {
        let files = Files { token: "/none".into(), certificates: "/none".into() };
        let mut link = Link::new("https://coordinator:8443", files).unwrap();
        assert_eq!(link.trusts(), "");
        let unreadable = link.connector().err().unwrap().to_string();
        assert!(unreadable.starts_with("/none cannot be read: "), "{unreadable}");
        let own = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for wrong in ["", "garbage", no_certificate, &format!("{own}{no_certificate}")] {
            let error = link.trust(told(wrong)).unwrap_err().to_string();
            assert!(
                error.starts_with("the certificates that the coordinator told cannot be used: "),
                "{error}"
            );
            assert_eq!(link.trusts(), "", "{wrong}");
        }
        link.trust(told(&own)).unwrap();
        assert_eq!(link.trusts(), "new");
        assert!(link.connector().is_ok(), "without a file as well");
    }
}
