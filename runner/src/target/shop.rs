//! The shop's pages, its carts, its files, and its count of requests.

use super::Knobs;
use super::senders::{MAX_SENDER, Senders};
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Largest request that is looked at, in bytes.
const MAX_BODY: usize = 1 << 20;
/// Largest request that is read to its end, only to be counted and refused.
const MAX_READ: usize = 256 << 20;
/// The row of all requests that no page of the shop is for.
pub(super) const OTHER: &str = "(other)";
/// Most carts that are remembered, and most items in one.
const MAX_CARTS: usize = 1_000_000;
const MAX_ITEMS: usize = 100;
/// Most files that are kept.
const MAX_FILES: usize = 20;
/// The header by which a request says who has sent it.
const SENDER: &str = "x-sender";
/// What is on sale: name and price in cents.
const GOODS: [(&str, u64); 4] = [("tea", 450), ("mug", 1200), ("kettle", 3900), ("biscuits", 275)];

/// What the shop knows.
#[derive(Debug)]
struct Books {
    knobs: Knobs,
    customers: AtomicU64,
    carts: Mutex<HashMap<String, Vec<usize>>>,
    /// What was put here, by name.
    files: Mutex<BTreeMap<String, Bytes>>,
    served: Mutex<BTreeMap<String, u64>>,
    /// Requests by who has sent them, if they say it.
    senders: Mutex<Senders>,
}

pub(super) fn routes(knobs: Knobs) -> Router {
    let books = Arc::new(Books {
        knobs,
        customers: AtomicU64::new(0),
        carts: Mutex::default(),
        files: Mutex::default(),
        served: Mutex::default(),
        senders: Mutex::default(),
    });
    Router::new()
        .route("/login", post(log_in))
        .route("/catalogue", get(catalogue))
        .route("/cart", get(look_into_cart).post(put_into_cart))
        .route("/checkout", post(check_out))
        .route("/files/{name}", get(file).put(keep_file))
        .route("/v1/metrics", post(keep_push))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "there is no such page") })
        .layer(from_fn_with_state(books.clone(), count))
        .route("/stats", get(stats))
        .route("/stats/senders", get(senders))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(books)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({"error": reason}))).into_response()
}

/// Counts a request once it is fully read, then is as slow and unreliable as it was told to be.
async fn count(
    State(books): State<Arc<Books>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(read) = read(body).await else {
        return refused(StatusCode::BAD_REQUEST, "the request is broken, or far too large");
    };
    *locked(&books.served).entry(row(&parts.method, path.as_ref())).or_default() += 1;
    if let Some(sender) = parts.headers.get(SENDER).and_then(|sender| sender.to_str().ok()) {
        locked(&books.senders).count(sender, second());
    }
    if !books.knobs.latency.is_zero() {
        tokio::time::sleep(books.knobs.latency).await;
    }
    if books.knobs.fails() {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "out of order");
    }
    match read {
        Some(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        None => refused(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"),
    }
}

/// The second since 1970.
fn second() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A request did not come to its end, or would not for long.
struct Unread;

/// Reads a body to its end: one that breaks off on the way is no request. None of it is kept when it
/// is too large.
async fn read(mut body: Body) -> Result<Option<Bytes>, Unread> {
    let (mut kept, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread)?.into_data() else { continue };
        length += data.len();
        if length > MAX_READ {
            return Err(Unread);
        }
        if length > MAX_BODY {
            kept = BytesMut::new();
        } else {
            kept.extend_from_slice(&data);
        }
    }
    Ok((length <= MAX_BODY).then(|| kept.freeze()))
}

/// Anybody can make up methods and paths, and each row is kept for ever.
fn row(method: &Method, path: Option<&MatchedPath>) -> String {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    match path {
        Some(path) if known.contains(method) => format!("{method} {}", path.as_str()),
        _ => OTHER.to_owned(),
    }
}

async fn stats(State(books): State<Arc<Books>>) -> Json<Value> {
    let served = locked(&books.served).clone();
    let mut stats = json!({"requests": served.values().sum::<u64>(), "routes": served});
    let senders = locked(&books.senders);
    if !senders.is_empty() {
        stats["senders"] = json!(senders.totals());
    }
    Json(stats)
}

async fn senders(State(books): State<Arc<Books>>) -> Json<Value> {
    Json(locked(&books.senders).by_second())
}

async fn log_in(State(books): State<Arc<Books>>) -> Json<Value> {
    let number = books.customers.fetch_add(1, Ordering::Relaxed) + 1;
    let token = format!("customer-{number}");
    let mut carts = locked(&books.carts);
    if carts.len() >= MAX_CARTS {
        carts.clear();
    }
    carts.insert(token.clone(), Vec::new());
    Json(json!({"token": token}))
}

async fn catalogue() -> Json<Value> {
    let goods =
        GOODS.iter().enumerate().map(|(id, (name, cents))| json!({"id": id, "name": name, "cents": cents}));
    Json(json!({"goods": goods.collect::<Vec<_>>()}))
}

fn customer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn with_cart(books: &Books, headers: &HeaderMap, act: impl FnOnce(&mut Vec<usize>) -> Response) -> Response {
    let mut carts = locked(&books.carts);
    match customer(headers).and_then(|c| carts.get_mut(c)) {
        Some(cart) => act(cart),
        None => refused(
            StatusCode::UNAUTHORIZED,
            "log in first, and send the token as Authorization: Bearer TOKEN",
        ),
    }
}

fn priced(cart: &[usize]) -> Value {
    let goods = cart.iter().filter_map(|id| GOODS.get(*id));
    json!({"items": cart, "count": cart.len(), "total": goods.map(|(_, cents)| cents).sum::<u64>()})
}

async fn look_into_cart(State(books): State<Arc<Books>>, headers: HeaderMap) -> Response {
    with_cart(&books, &headers, |cart| Json(priced(cart)).into_response())
}

async fn put_into_cart(
    State(books): State<Arc<Books>>,
    headers: HeaderMap,
    Json(order): Json<Value>,
) -> Response {
    let item = order["item"].as_u64().and_then(|i| usize::try_from(i).ok()).filter(|i| *i < GOODS.len());
    with_cart(&books, &headers, |cart| match item {
        Some(_) if cart.len() >= MAX_ITEMS => refused(StatusCode::CONFLICT, "the cart is full"),
        Some(item) => {
            cart.push(item);
            (StatusCode::CREATED, Json(priced(cart))).into_response()
        }
        None => refused(StatusCode::UNPROCESSABLE_ENTITY, "item is the id of something on sale"),
    })
}

async fn keep_file(State(books): State<Arc<Books>>, Path(name): Path<String>, body: Bytes) -> StatusCode {
    match keep(&books, name, body) {
        None => StatusCode::CREATED,
        Some(_) => StatusCode::NO_CONTENT,
    }
}

/// Stands in for a collector of OpenTelemetry: of each sender the last push is kept, as the file `metrics-SENDER`.
async fn keep_push(State(books): State<Arc<Books>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let sender = headers.get(SENDER).and_then(|sender| sender.to_str().ok());
    let name = sender.filter(|name| name.len() <= MAX_SENDER).unwrap_or(OTHER);
    keep(&books, format!("metrics-{name}"), body);
    StatusCode::OK
}

/// Keeps something in the place of what had its name, which is told; the first in the alphabet goes when there are too
/// many.
fn keep(books: &Books, name: String, body: Bytes) -> Option<Bytes> {
    let mut files = locked(&books.files);
    if files.len() >= MAX_FILES && !files.contains_key(&name) {
        files.pop_first();
    }
    files.insert(name, body)
}

async fn file(State(books): State<Arc<Books>>, Path(name): Path<String>) -> Response {
    match locked(&books.files).get(&name) {
        Some(body) => body.clone().into_response(),
        None => refused(StatusCode::NOT_FOUND, "nothing was put here"),
    }
}

async fn check_out(State(books): State<Arc<Books>>, headers: HeaderMap) -> Response {
    with_cart(&books, &headers, |cart| {
        if cart.is_empty() {
            return refused(StatusCode::CONFLICT, "the cart is empty");
        }
        let receipt = priced(cart);
        cart.clear();
        Json(receipt).into_response()
    })
}
