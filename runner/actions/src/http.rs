//! The action `http`: one request, its answer looked at and kept as the tree says.

#[cfg(test)]
mod large_answers;
mod place;
mod request;

use crate::http1::{self, Exchange, Wanted};
use crate::network::{self, Network};
use crate::seen::Seen;
use crate::{Action, Answer, Bot, Outcome, Step};
use botarmy_report::{Failure as Observation, FailureClass, Part};
use botarmy_tree::canonical::canonical;
use botarmy_tree::draw::Draw;
use botarmy_tree::http as options;
use botarmy_tree::json::beyond_64_bits;
use botarmy_tree::template::{self, Scope};
use request::Request;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Instant;

/// How much of a value a failure tells, in characters.
const MAX_SHOWN: usize = 80;

/// Largest answer that is read as JSON, in bytes. Answers that nobody looks into may be larger:
/// they are dropped as they come.
pub const MAX_JSON_BYTES: usize = 8 << 20;
/// Largest value that is saved from an answer, in bytes of JSON.
pub const MAX_SAVED_BYTES: usize = 64 << 10;

/// A request of the plan.
#[derive(Debug)]
pub struct Http {
    options: options::Http,
    request: Request,
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
    #[error("the value of the header {0} has control characters; check what is rendered into it")]
    Header(String),
    #[error("{0}")]
    Network(#[from] network::Error),
    #[error("the request failed: {0}")]
    Exchange(#[from] http1::Error),
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    #[error("the status is {0}, which is not expected")]
    Status(u16),
    #[error("the answer is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("{0} is {1} in the answer, not {2}")]
    Unexpected(String, String, String),
    #[error("{0} selects nothing in the answer")]
    NothingToSave(String),
    #[error(
        "{0} is the number {1}, beyond 64 bits, so that digits would be lost; let the target send it as text"
    )]
    Digits(String, String),
    #[error("{0} is larger than {MAX_SAVED_BYTES} bytes, too large to be kept by a bot; save a part of it")]
    SavedTooLarge(String),
}

impl Failure {
    fn class(&self) -> FailureClass {
        match self {
            Self::Template(_) => FailureClass::Error,
            Self::Url(..) | Self::Header(_) | Self::Exchange(http1::Error::TooMuchKept(_)) => {
                FailureClass::Local
            }
            Self::Network(error) => error.class(),
            // A connection that is closed or reset in the middle says nothing of the protocol.
            Self::Exchange(http1::Error::Io(_) | http1::Error::Closed | http1::Error::Cut) => {
                FailureClass::Connect
            }
            Self::Exchange(http1::Error::Head(_) | http1::Error::Chunks(_)) => FailureClass::Protocol,
            Self::Exchange(http1::Error::TooLarge(_)) => FailureClass::Expectation,
            Self::Timeout(_) => FailureClass::Timeout,
            Self::Status(_) => FailureClass::Status,
            Self::NotJson(_)
            | Self::Unexpected(..)
            | Self::NothingToSave(_)
            | Self::Digits(..)
            | Self::SavedTooLarge(_) => FailureClass::Expectation,
        }
    }
}

impl Http {
    /// The action of these options.
    pub fn new(options: &options::Http, network: &Network) -> Self {
        Self { request: Request::new(options), options: options.clone(), network: network.clone() }
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
        let buffers = &self.network.buffers;
        let mut request = match self.request.fixed() {
            Some(fixed) => Cow::Borrowed(fixed),
            None => Cow::Owned(self.request.render(bot.scope, buffers.take_text())?),
        };
        let mut connection = match bot.connections.take(&request.origin) {
            Some(connection) => {
                seen.follow(&connection.traffic);
                connection
            }
            // Rare and large: what is usual stays small.
            None => Box::pin(self.network.connect(&request.origin, seen)).await?,
        };
        let begun = Instant::now();
        let bytes = match &mut request {
            Cow::Borrowed(fixed) => Cow::Borrowed(fixed.text.as_bytes()),
            Cow::Owned(rendered) => Cow::Owned(std::mem::take(&mut rendered.text).into_bytes()),
        };
        let left = || self.network.count_sent();
        let mut exchange = Exchange::new(&mut connection.stream, buffers);
        exchange.send(bytes, request.head, &left).await;
        let head = exchange.head(self.request.is_head()).await?;
        seen.took(Part::FirstByte, begun.elapsed());
        seen.status(head.status);
        let expected = self.options.expect.allows(head.status);
        let reads = self.options.reads_json() && expected;
        let wanted = if reads { Wanted::All(MAX_JSON_BYTES) } else { Wanted::Nothing };
        let answered = exchange.body(head, wanted).await?;
        if answered.reusable {
            bot.connections.keep(&request.origin, connection);
        }
        if !expected {
            return Err(Failure::Status(head.status));
        }
        self.look_into(answered.body.as_ref().map(http1::Kept::bytes), bot.scope)
    }

    /// Compares and keeps what the tree asks for.
    fn look_into(&self, body: Option<&[u8]>, scope: Scope<'_>) -> Result<Vec<(String, Value)>, Failure> {
        let Some(body) = body else { return Ok(Vec::new()) };
        let answer: Value = serde_json::from_slice(body)?;
        for (path, wanted) in &self.options.expect.json {
            let found = path.query(&answer).all();
            // A file cannot tell 1 from 1.0 either.
            let is_same = |wanted: &Value| matches!(found.as_slice(), [one] if same(one, wanted));
            let wanted = wanted.render(scope)?;
            if !is_same(&wanted) {
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
            if let Some(number) = beyond_64_bits(&value) {
                return Err(Failure::Digits(path.to_string(), number));
            }
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

/// Whether two values are the same after the API server has had them in its hands.
fn same(one: &Value, other: &Value) -> bool {
    let canonical = |value: &Value| {
        let mut value = value.clone();
        canonical(&mut value);
        value
    };
    one == other || canonical(one) == canonical(other)
}

/// The mark tells those who hide secrets that one may have been cut off.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
