//! How the operator listens: at each of its ports alike, since whoever reaches one can try the same at another.

use crate::patient::Patient;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long an answer may go out without anybody reading it.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes: a token has one or two thousand. So much is kept of each connection at most.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Between two tries where none can be accepted: out of open files, say, trying at once would only spin.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection, and where it comes from; none if it could not be accepted, after a pause.
pub(crate) async fn accept(listener: &TcpListener) -> Option<(Patient<TcpStream>, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, address)) => Some((Patient::new(stream, UNREAD_TIMEOUT), address)),
        Err(error) => {
            tracing::warn!("a connection cannot be accepted: {error}");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

/// What serves a connection; the head of a request may take so long, from the moment at which it is waited for.
pub(crate) fn server(header_timeout: Duration) -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_HEADER_BYTES);
    server
}
