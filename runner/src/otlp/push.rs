//! One push over HTTP/1.1, on a connection of its own.

use super::destination::Destination;
use botarmy_actions::network::trusted;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio_rustls::TlsConnector;

/// How long a push may take, from the look-up of the name to the end of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// Most characters of an answer that are told.
const MAX_TOLD: usize = 200;
const PROTOBUF: &str = "application/x-protobuf";

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no TLS: {0}")]
    Tls(String),
    #[error("the connection broke: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    #[error("the answer is {0}{1}")]
    Status(StatusCode, String),
    #[error("the answer cannot be read: {0}")]
    Answer(String),
    #[error("the collector took all but {0} figures{1}")]
    Rejected(i64, String),
    #[error("it has {0} bytes, too many for a push")]
    TooLarge(usize),
    #[error("it was not answered yet when the run ended")]
    Overtaken,
    #[error("it broke off: {0}")]
    Broken(JoinError),
}

/// What a collector answers when it fails, whatever the status code.
#[derive(Clone, PartialEq, Message)]
struct Refusal {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Sends a body and reads the answer.
pub(super) async fn push(to: &Destination, body: Bytes) -> Result<(), Failure> {
    let exchange = async {
        let stream = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(Failure::Connect)?;
        if !to.tls {
            return exchange(stream, to, body).await;
        }
        let untrusted = |e: &dyn std::fmt::Display| Failure::Tls(e.to_string());
        let name = ServerName::try_from(to.host.clone()).map_err(|e| untrusted(&e))?;
        let tls = connector()?.connect(name, stream).await;
        exchange(tls.map_err(|e| untrusted(&e))?, to, body).await
    };
    tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or(Err(Failure::Timeout))
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

async fn exchange<S>(stream: S, to: &Destination, body: Bytes) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let answered = async move {
        let mut request = Request::post(&*to.path).body(Full::<Bytes>::from(body))?;
        let headers = request.headers_mut();
        headers.clone_from(&to.headers);
        let host = header::HeaderValue::from_str(&to.authority).map_err(http::Error::from)?;
        headers.insert(header::HOST, host);
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROTOBUF));
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        headers.entry(header::USER_AGENT).or_insert(header::HeaderValue::from_static(concat!(
            "botarmy-runner/",
            env!("CARGO_PKG_VERSION")
        )));
        let (head, body) = sender.send_request(request).await?.into_parts();
        let is_protobuf = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROTOBUF);
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        read(head.status, is_protobuf, &body.map_err(|e| Failure::Answer(e.to_string()))?.to_bytes())
    };
    // The connection works in this task, so that a push that is given up leaves nothing behind.
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        _ = connection => answered.await,
    }
}

/// Judges an answer.
fn read(status: StatusCode, is_protobuf: bool, body: &[u8]) -> Result<(), Failure> {
    if !status.is_success() {
        let said = match Refusal::decode(body) {
            Ok(refusal) if is_protobuf => refusal.message,
            _ if is_protobuf => String::new(),
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        return Err(Failure::Status(status, told(&said)));
    }
    // Some answer with nothing, or in JSON, which says no more than that it went well.
    if !is_protobuf {
        return Ok(());
    }
    let answer = ExportMetricsServiceResponse::decode(body).map_err(|e| Failure::Answer(e.to_string()))?;
    match answer.partial_success.filter(|part| part.rejected_data_points > 0) {
        Some(part) => Err(Failure::Rejected(part.rejected_data_points, told(&part.error_message))),
        None => Ok(()),
    }
}

/// What was said, in a line, after a colon; nothing if nothing was.
fn told(said: &str) -> String {
    let said: String = said.trim().chars().take(MAX_TOLD).collect();
    let said = botarmy_report::terminal::escape(&said);
    if said.is_empty() { said } else { format!(": {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

    #[test]
    fn answers_are_judged_by_status_and_by_what_they_say() {
        let refusal = Refusal { code: 3, message: "no\nroom".into() }.encode_to_vec();
        let part = |rejected_data_points, message: &str| {
            let part = ExportMetricsPartialSuccess { rejected_data_points, error_message: message.into() };
            ExportMetricsServiceResponse { partial_success: Some(part) }.encode_to_vec()
        };
        let long = "x".repeat(500);
        for (status, is_protobuf, body, failure) in [
            (200, true, &[][..], None),
            (202, false, b"anything", None),
            (200, true, &part(0, "slow down"), None),
            (200, true, &part(7, "too old"), Some("the collector took all but 7 figures: too old")),
            (200, true, b"\xff\xff", Some("the answer cannot be read: ")),
            (500, false, b" \x1b[2J ", Some("the answer is 500 Internal Server Error: \\u{1b}[2J")),
            (400, true, &refusal, Some("the answer is 400 Bad Request: no\\nroom")),
            (404, true, b"\xff", Some("the answer is 404 Not Found")),
            (307, false, b"", Some("the answer is 307 Temporary Redirect")),
            (503, false, long.as_bytes(), Some("the answer is 503 Service Unavailable: xxx")),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let told = read(status, is_protobuf, body).err().map(|e| e.to_string());
            match (told, failure) {
                (None, None) => {}
                (Some(told), Some(start)) => assert!(told.starts_with(start) && told.len() < 300, "{told}"),
                (told, expected) => panic!("{status}: {told:?}, not {expected:?}"),
            }
        }
    }
}
