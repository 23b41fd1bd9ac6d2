//! A target of one's own, which does to each connection whatever a test wants.

use crate::common::PATIENCE;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a target does with a connection; then it is closed.
pub(crate) type Answer = Box<dyn Fn(&TcpStream) + Send + Sync>;

/// A target, and how many connections it has had. Its threads live as long as the test's process.
pub(crate) struct Target {
    pub(crate) port: u16,
    connections: Arc<AtomicU64>,
}

impl Target {
    pub(crate) fn open(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (connections, answer) = (Arc::new(AtomicU64::new(0)), Arc::new(answer));
        let counted = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
                    answer(&stream);
                });
            }
        });
        Self { port, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one request without a body; false if none came.
pub(crate) fn hear(stream: &mut impl Read) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Writes it once; the other side may have gone.
pub(crate) fn say(stream: &mut impl Write, what: &[u8]) {
    let _ = stream.write_all(what).and_then(|()| stream.flush());
}

/// Writes it over and over until the other side has gone.
pub(crate) fn pour(stream: &mut impl Write, what: &[u8]) {
    let piece = what.repeat((64 << 10) / what.len().max(1) + 1);
    while stream.write_all(&piece).is_ok() {}
}

/// Waits until the other side has gone.
pub(crate) fn hold(stream: &mut impl Read) {
    while stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {}
}

/// Hears a request, says this, and closes.
pub(crate) fn says(what: impl Into<Vec<u8>>) -> Answer {
    let what = what.into();
    Box::new(move |mut stream| {
        if hear(&mut stream) {
            say(&mut stream, &what);
        }
    })
}

/// Hears a request, says this, and neither closes nor says more.
pub(crate) fn says_and_holds(what: &'static str) -> Answer {
    Box::new(move |mut stream| {
        if hear(&mut stream) {
            say(&mut stream, what.as_bytes());
            hold(&mut stream);
        }
    })
}

/// Hears a request, says this, and then the same without end.
pub(crate) fn pours(first: &'static str, then: &'static str) -> Answer {
    Box::new(move |mut stream| {
        if hear(&mut stream) {
            say(&mut stream, first.as_bytes());
            pour(&mut stream, then.as_bytes());
        }
    })
}

/// Says this before it has read the request, and resets the connection: what is left unread does that.
pub(crate) fn resets_after(what: &'static str) -> Answer {
    Box::new(move |mut stream| {
        if stream.read(&mut [0]).is_ok_and(|length| length > 0) {
            say(&mut stream, what.as_bytes());
        }
    })
}
