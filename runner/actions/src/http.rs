//! The action `http`: one request, its answer looked at and kept as the tree says.

use crate::network::{self, Network, Origin, Outgoing};
use crate::seen::Seen;
use crate::{Action, Answer, Bot, Outcome, Step};
use botarmy_report::{Failure as Observation, FailureClass, Part};
use botarmy_tree::draw::Draw;
use botarmy_tree::http::{self as options, Body};
use botarmy_tree::template::{self, Scope};
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use std::time::Instant;

/// Largest answer that is read as JSON, in bytes. Answers that nobody looks into may be larger:
/// they are dropped as they come.
pub const MAX_JSON_BYTES: usize = 8 << 20;
/// Largest value that is saved from an answer, in bytes of JSON.
pub const MAX_SAVED_BYTES: usize = 64 << 10;

/// A request of the plan.
#[derive(Debug)]
pub struct Http {
    options: options::Http,
    method: Option<http::Method>,
    headers: Vec<Option<HeaderName>>,
    network: Network,
}

/// Why a request did not come to its expected answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The tree is wrong for this bot: the bot cannot go on.
    #[error("{0}")]
    Template(#[from] template::RenderError),
    #[error("{0:?} is not an address that can be requested: {1}")]
    Url(String, http::uri::InvalidUri),
    #[error("the request cannot be built: {0}; check the method and the headers")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Network(#[from] network::Error),
    #[error("the request failed: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    #[error("the status is {0}, which is not expected")]
    Status(u16),
    #[error("the answer is larger than {MAX_JSON_BYTES} bytes, so that it is not read as JSON")]
    TooLarge,
    #[error("the answer is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("{0} is {1} in the answer, not {2}")]
    Unexpected(String, String, String),
    #[error("{0} selects nothing in the answer")]
    NothingToSave(String),
    #[error("{0} is larger than {MAX_SAVED_BYTES} bytes, too large to be kept by a bot")]
    SavedTooLarge(String),
}

impl Failure {
    fn class(&self) -> FailureClass {
        match self {
            Self::Template(_) => FailureClass::Error,
            Self::Url(..) | Self::Request(_) => FailureClass::Local,
            Self::Network(error) => error.class(),
            // A connection that is closed or reset in the middle says nothing of the protocol.
            Self::Exchange(error) if error.is_parse() || error.is_user() => FailureClass::Protocol,
            Self::Exchange(_) => FailureClass::Connect,
            Self::Timeout(_) => FailureClass::Timeout,
            Self::Status(_) => FailureClass::Status,
            Self::TooLarge
            | Self::NotJson(_)
            | Self::Unexpected(..)
            | Self::NothingToSave(_)
            | Self::SavedTooLarge(_) => FailureClass::Expectation,
        }
    }
}

impl Http {
    /// The action of these options.
    pub fn new(options: &options::Http, network: &Network) -> Self {
        Self {
            method: options.method.parse().ok(),
            headers: options.headers.iter().map(|(name, _)| name.parse().ok()).collect(),
            options: options.clone(),
            network: network.clone(),
        }
    }

    async fn exchange(&self, bot: Bot<'_>) -> Answer {
        let (timeout, seen) = (self.options.timeout, Seen::default());
        let result = match tokio::time::timeout(timeout, self.request(&bot, &seen)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Timeout(timeout)),
        };
        let mut observed = seen.into_observed();
        let (outcome, updates) = match result {
            Ok(updates) => (Outcome::Succeed, updates),
            Err(Failure::Template(error)) => return error.into(),
            Err(failure) => {
                tracing::debug!(bot_id = bot.scope.bot, "{failure}");
                let told = Observation { class: failure.class(), message: failure.to_string() };
                observed.failure = Some(Box::new(told));
                (Outcome::Fail, Vec::new())
            }
        };
        Answer { outcome, updates, observed }
    }

    async fn request(&self, bot: &Bot<'_>, seen: &Seen) -> Result<Vec<(String, Value)>, Failure> {
        let mut url = String::new();
        self.options.url.render_text(bot.scope, &mut url)?;
        let uri: http::Uri = url.parse().map_err(|e| Failure::Url(url.clone(), e))?;
        let origin = Origin::of(&uri)?;
        let request = self.build(&uri, bot.scope)?;
        let mut connection = match bot.connections.take(&origin) {
            Some(connection) => {
                seen.follow(&connection.traffic);
                connection
            }
            None => self.network.connect(&origin, seen).await?,
        };
        connection.sender.ready().await?;
        let begun = Instant::now();
        let response = connection.sender.send_request(request).await?;
        seen.took(Part::FirstByte, begun.elapsed());
        let status = response.status().as_u16();
        seen.status(status);
        let reads = self.options.reads_json() && self.options.expect.allows(status);
        let body =
            if reads { Some(read(response.into_body()).await?) } else { skip(response.into_body()).await? };
        bot.connections.keep(origin, connection);
        if !self.options.expect.allows(status) {
            return Err(Failure::Status(status));
        }
        self.look_into(body.as_deref(), bot.scope)
    }

    fn build(&self, uri: &http::Uri, scope: Scope<'_>) -> Result<http::Request<Outgoing>, Failure> {
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let host = uri.authority().map_or("", http::uri::Authority::as_str);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let mut request = http::Request::builder()
            .method(self.method.clone().unwrap_or_default())
            .uri(if path.starts_with('/') { path } else { "/" })
            .header(HOST, host)
            .header(USER_AGENT, concat!("botarmy/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .body(())?;
        let body = match &self.options.body {
            Body::Empty => Bytes::new(),
            Body::Json(value) => {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                value.render(scope)?.to_string().into()
            }
            Body::Text(text) => {
                let mut rendered = String::new();
                text.render_text(scope, &mut rendered)?;
                rendered.into()
            }
        };
        for ((_, value), name) in self.options.headers.iter().zip(&self.headers) {
            let Some(name) = name else { continue };
            let mut text = String::new();
            value.render_text(scope, &mut text)?;
            let value = HeaderValue::from_str(&text).map_err(http::Error::from)?;
            request.headers_mut().insert(name, value);
        }
        Ok(request.map(|()| self.network.outgoing(body)))
    }

    /// Compares and keeps what the tree asks for.
    fn look_into(&self, body: Option<&[u8]>, scope: Scope<'_>) -> Result<Vec<(String, Value)>, Failure> {
        let Some(body) = body else { return Ok(Vec::new()) };
        let answer: Value = serde_json::from_slice(body)?;
        for (path, wanted) in &self.options.expect.json {
            let wanted = wanted.render(scope)?;
            let found = path.query(&answer).all();
            if found.as_slice() != [&wanted] {
                let shown = found.first().map_or_else(|| "missing".to_owned(), |v| shortened(v));
                return Err(Failure::Unexpected(path.to_string(), shown, shortened(&wanted)));
            }
        }
        let mut updates = Vec::with_capacity(self.options.save.len());
        for (name, path) in &self.options.save {
            let found = path.query(&answer).all();
            let value = match found.as_slice() {
                [] => return Err(Failure::NothingToSave(path.to_string())),
                [one] => (*one).clone(),
                several => several.iter().map(|v| (*v).clone()).collect(),
            };
            if value.to_string().len() > MAX_SAVED_BYTES {
                return Err(Failure::SavedTooLarge(path.to_string()));
            }
            updates.push((name.clone(), value));
        }
        Ok(updates)
    }
}

impl Action for Http {
    fn run<'a>(&'a self, bot: Bot<'a>, _: &mut dyn FnMut() -> Draw) -> Step<'a> {
        Step::Pending(Box::pin(self.exchange(bot)))
    }
}

async fn read(mut body: Incoming) -> Result<Bytes, Failure> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if read.len() + data.len() > MAX_JSON_BYTES {
                return Err(Failure::TooLarge);
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

/// Drops a body as it comes; only after its end can the connection be used again.
async fn skip(mut body: Incoming) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(None)
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
