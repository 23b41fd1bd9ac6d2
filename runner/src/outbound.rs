//! One request over HTTP/1.1, on a connection of its own.

use botarmy_actions::network::trusted;
use botarmy_spec::Secrets;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::uri::{Scheme, Uri};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest answer that is read, in bytes: its head, and its body.
const MAX_ANSWER: usize = 64 << 10;
/// Most characters of an answer that are told.
const MAX_TOLD: usize = 200;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no TLS: {0}")]
    Tls(String),
    #[error("the connection broke: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(String),
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tls: bool,
    /// A name or an address, an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as they were given.
    authority: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

impl Place {
    /// That of an address; none if it is none of HTTP, or holds a user.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTP => false,
            scheme if *scheme == Scheme::HTTPS => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        let port = match authority.as_str().strip_prefix(authority.host())?.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if tls => 443,
            None => 80,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty()).then(|| Self { tls, host, port, authority: authority.to_string() })
    }

    /// Whether a request that may go to one may go to the other as well.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host.eq_ignore_ascii_case(&other.host)
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Sends a request, whose target is a path, and reads the answer. It waits as long as it is waited for.
pub(crate) async fn send(to: &Place, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(Failure::Connect)?;
    if !to.tls {
        return exchange(stream, to, request).await;
    }
    let untrusted = |e: &dyn std::fmt::Display| Failure::Tls(e.to_string());
    let name = ServerName::try_from(to.host.clone()).map_err(|e| untrusted(&e))?;
    let tls = connector()?.connect(name, stream).await;
    exchange(tls.map_err(|e| untrusted(&e))?, to, request).await
}

/// Trusts whom the tests of a target trust.
fn connector() -> Result<TlsConnector, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::Tls(e.to_string()))?
        .with_root_certificates(trusted().map_err(|e| Failure::Tls(e.to_string()))?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn exchange<S>(stream: S, to: &Place, mut request: Request<Full<Bytes>>) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&to.authority).map_err(http::Error::from)?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let agent = concat!("botarmy-runner/", env!("CARGO_PKG_VERSION"));
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
    let (mut sender, connection) =
        Builder::new().max_buf_size(MAX_ANSWER).handshake(TokioIo::new(stream)).await?;
    let answered = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|e| Failure::Answer(e.to_string()))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    // The connection works in this task, so that a request that is given up leaves nothing behind.
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        _ = connection => answered.await,
    }
}

/// What was said, in a line, after a colon; nothing if nothing was.
pub(crate) fn told(said: &str, secrets: &Secrets) -> String {
    // Whoever is refused may be told what he has sent. All of it is looked at: nobody knows a secret by a half of it.
    let said: String = secrets.hide(said.trim()).chars().take(MAX_TOLD).collect();
    let said = botarmy_report::terminal::escape(&said);
    if said.is_empty() { said } else { format!(": {said}") }
}
