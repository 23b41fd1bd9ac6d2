//! A file put to an address: tried again for a while where that may help.

use crate::outbound::{Answer, Failure, Place, send, told};
use botarmy_report::Format;
use botarmy_spec::Secrets;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use std::time::{Duration, Instant};

/// Most redirects in a row.
const MAX_REDIRECTS: u32 = 3;
/// Between two tries at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long it is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// One try, from the look-up of the name to the end of the answer.
    pub(crate) attempt: Duration,
    /// All of it.
    pub(crate) total: Duration,
    /// Between the first two tries; then twice as long each time.
    pub(crate) first_wait: Duration,
}

impl Patience {
    /// What a pod has: a server that is started anew, or moved, is waited for. The pod's Job has some minutes more.
    pub(crate) const USUAL: Self = Self {
        attempt: Duration::from_secs(60),
        total: Duration::from_secs(14 * 60),
        first_wait: Duration::from_secs(1),
    };
}

/// Why it is not there.
#[derive(Debug, thiserror::Error)]
#[error("{shown}: {why}{}; {}", after(*.tries), .why.cure())]
pub(super) struct Error {
    shown: String,
    tries: u32,
    why: Why,
}

fn after(tries: u32) -> String {
    if tries > 1 { format!(", after {tries} tries") } else { String::new() }
}

/// Why one try came to nothing.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("that is no address")]
    Address,
    #[error("{0}")]
    Send(#[from] Failure),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the answer is {0}{1}")]
    Status(StatusCode, String),
    #[error("the answer is {0}, which leads to {1:?}")]
    Elsewhere(StatusCode, String),
    #[error("more than {MAX_REDIRECTS} redirects")]
    Redirects,
}

impl Why {
    /// Whether another try may come to more.
    fn may_pass(&self) -> bool {
        match self {
            Self::Send(failure) => !matches!(failure, Failure::Request(_)),
            Self::Timeout(_) => true,
            Self::Status(status, _) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            Self::Address | Self::Elsewhere(..) | Self::Redirects => false,
        }
    }

    fn cure(&self) -> &'static str {
        match self {
            Self::Address | Self::Elsewhere(..) | Self::Redirects => "write another url",
            Self::Send(Failure::Tls(_)) => {
                "look at its certificate; SSL_CERT_FILE of the runner in spec.template names others that are trusted"
            }
            Self::Send(_) | Self::Timeout(_) => "look whether it can be reached from the run's namespace",
            Self::Status(status, _) if status.is_client_error() => "look at url and headers",
            Self::Status(..) => "look at the server",
        }
    }
}

/// Puts a file to an address; where it is then. What is there already is replaced, so that it may be done twice.
pub(super) async fn put(
    url: &str,
    headers: &HeaderMap,
    secrets: &Secrets,
    form: Format,
    body: Bytes,
    patience: Patience,
) -> Result<String, Error> {
    let begun = Instant::now();
    let (shown, mut wait, mut tries) = (without_query(url), patience.first_wait, 1);
    let mut last = None;
    loop {
        let left = patience.total.saturating_sub(begun.elapsed()).min(patience.attempt);
        let tried = tokio::time::timeout(left, attempt(url, headers, secrets, form, &body)).await;
        let why = match tried {
            Ok(Ok(())) => return Ok(shown),
            Ok(Err(why)) => why,
            // One that was cut short says less than the one before.
            Err(_) if left < patience.attempt => last.take().unwrap_or(Why::Timeout(left)),
            Err(_) => Why::Timeout(left),
        };
        if !why.may_pass() || begun.elapsed() + wait >= patience.total {
            return Err(Error { shown, tries, why });
        }
        last = Some(why);
        tokio::time::sleep(wait).await;
        (wait, tries) = ((wait * 2).min(LONGEST_WAIT), tries + 1);
    }
}

/// What stands in the query may be a signature.
fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => format!("{address}?…"),
        None => url.to_owned(),
    }
}

async fn attempt(
    url: &str,
    headers: &HeaderMap,
    secrets: &Secrets,
    form: Format,
    body: &Bytes,
) -> Result<(), Why> {
    let mut uri: Uri = url.parse().map_err(|_| Why::Address)?;
    let place = Place::of(&uri).ok_or(Why::Address)?;
    for _ in 0..=MAX_REDIRECTS {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::put(path).body(Full::from(body.clone())).map_err(Failure::from)?;
        request.headers_mut().clone_from(headers);
        request.headers_mut().entry(CONTENT_TYPE).or_insert(content_type(form));
        let answer = send(&place, request).await?;
        match judge(&answer, &uri, &place, secrets)? {
            Some(next) => uri = next,
            None => return Ok(()),
        }
    }
    Err(Why::Redirects)
}

/// Whether an answer is a success, or leads to another address of the same place: headers are told to no other.
fn judge(answer: &Answer, uri: &Uri, place: &Place, secrets: &Secrets) -> Result<Option<Uri>, Why> {
    let status = answer.status;
    if status.is_success() {
        return Ok(None);
    }
    if !status.is_redirection() {
        return Err(Why::Status(status, told(&String::from_utf8_lossy(&answer.body), secrets)));
    }
    let location = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
    // Others make a GET of it.
    let keeps = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT].contains(&status);
    let next = if location.starts_with('/') && !location.starts_with("//") {
        format!("{place}{location}").parse().ok()
    } else {
        location.parse::<Uri>().ok()
    };
    let is_same = |next: &Uri| keeps && next != uri && Place::of(next).is_some_and(|to| to.is_same(place));
    next.filter(is_same).map(Some).ok_or_else(|| Why::Elsewhere(status, without_query(location)))
}

fn content_type(form: Format) -> HeaderValue {
    HeaderValue::from_static(match form {
        Format::Text => "text/plain; charset=utf-8",
        Format::Json => "application/json",
        Format::Junit => "application/xml",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Html => "text/html; charset=utf-8",
    })
}
