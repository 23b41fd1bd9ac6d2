//! Calls to the API server: each has an end, and what the API server refuses is told apart from what failed.

use kube::core::Status;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// How long a call may take. The client tries again by itself within it, where the API server asks for patience.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) const BAD_REQUEST: u16 = 400;
/// A quota, a webhook or a right: what is forbidden now may be allowed later.
pub(crate) const FORBIDDEN: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
pub(crate) const CONFLICT: u16 = 409;
/// Larger than what the API server, or etcd behind it, takes.
pub(crate) const TOO_LARGE: u16 = 413;
pub(crate) const INVALID: u16 = 422;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server has answered that it does not do it.
    #[error("{0} failed: {1}")]
    Refused(&'static str, Box<Status>),
    /// No answer that makes sense has come.
    #[error("{0} failed: {1}; look whether the API server can be reached")]
    Failed(&'static str, kube::Error),
    /// No answer has come in time.
    #[error("{0} failed: no answer within {TIMEOUT:?}; look at the API server")]
    Timeout(&'static str),
}

impl Error {
    /// The status of the answer, if there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(_, status) => Some(status.code),
            Self::Failed(..) | Self::Timeout(_) => None,
        }
    }
}

/// A call to the API server, with an end; `what` tells what for, as in "reading the Job".
pub(crate) async fn call<T>(
    what: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(TIMEOUT, call).await.map_err(|_| Error::Timeout(what))?;
    answer.map_err(|error| match error {
        kube::Error::Api(status) => Error::Refused(what, status),
        other => Error::Failed(what, other),
    })
}

/// Creates an object, so that a field that the API server does not know is refused and not dropped.
pub(crate) async fn create<K: Resource<DynamicType = ()> + DeserializeOwned>(
    client: &Client,
    what: &'static str,
    namespace: &str,
    manager: &str,
    object: &Value,
) -> Result<K, Error> {
    let body = serde_json::to_vec(object).map_err(|e| Error::Failed(what, kube::Error::SerdeError(e)))?;
    let url = K::url_path(&(), Some(namespace));
    let request = hyper::Request::post(format!("{url}?fieldValidation=Strict&fieldManager={manager}"))
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|e| Error::Failed(what, kube::Error::HttpError(e)))?;
    call(what, client.request::<K>(request)).await
}
