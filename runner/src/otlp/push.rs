//! One push.

use super::destination::Destination;
use crate::outbound::{self, send, told};
use botarmy_spec::Secrets;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use std::time::Duration;
use tokio::task::JoinError;

/// How long a push may take, from the look-up of the name to the end of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
const PROTOBUF: &str = "application/x-protobuf";

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Send(#[from] outbound::Failure),
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
    let mut request = Request::post(&*to.path).body(Full::<Bytes>::from(body))?;
    request.headers_mut().clone_from(&to.headers);
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROTOBUF));
    let answer = tokio::time::timeout(TIMEOUT, send(&to.place, request)).await;
    let answer = answer.map_err(|_| Failure::Timeout)??;
    let is_protobuf = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROTOBUF);
    // Which of its headers hold secrets nobody has said.
    let secrets = Secrets::of(to.headers.values().filter_map(|value| value.to_str().ok()));
    read(answer.status, is_protobuf, &answer.body, &secrets)
}

/// Judges an answer.
fn read(status: StatusCode, is_protobuf: bool, body: &[u8], secrets: &Secrets) -> Result<(), Failure> {
    if !status.is_success() {
        let said = match Refusal::decode(body) {
            Ok(refusal) if is_protobuf => refusal.message,
            _ if is_protobuf => String::new(),
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        return Err(Failure::Status(status, told(&said, secrets)));
    }
    // Some answer with nothing, or in JSON, which says no more than that it went well.
    if !is_protobuf {
        return Ok(());
    }
    let answer = ExportMetricsServiceResponse::decode(body).map_err(|e| Failure::Answer(e.to_string()))?;
    match answer.partial_success.filter(|part| part.rejected_data_points > 0) {
        Some(part) => Err(Failure::Rejected(part.rejected_data_points, told(&part.error_message, secrets))),
        None => Ok(()),
    }
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
            (401, false, b"not s3cr3t", Some("the answer is 401 Unauthorized: not ***")),
            (503, false, long.as_bytes(), Some("the answer is 503 Service Unavailable: xxx")),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let told =
                read(status, is_protobuf, body, &Secrets::of(["Bearer s3cr3t"])).err().map(|e| e.to_string());
            match (told, failure) {
                (None, None) => {}
                (Some(told), Some(start)) => assert!(told.starts_with(start) && told.len() < 300, "{told}"),
                (told, expected) => panic!("{status}: {told:?}, not {expected:?}"),
            }
        }
    }
}
