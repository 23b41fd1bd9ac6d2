//! The head of an answer, and what it says about the body. Pure.

/// Longest head, in bytes.
pub const MAX_HEAD: usize = 64 << 10;
/// Most header lines of a head.
const MAX_HEADERS: usize = 100;

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not HTTP/1.
    #[error("the answer is not HTTP/1: {0}")]
    Head(#[from] httparse::Error),
    /// More than [`MAX_HEAD`].
    #[error("the head of the answer is longer than {MAX_HEAD} bytes")]
    TooLong,
    /// Several lengths, or one that is no number.
    #[error("the answer has a Content-Length that is no number, or several that differ")]
    Length,
    /// HTTP/1.0 knows no transfer encodings.
    #[error("the answer is HTTP/1.0 and has a Transfer-Encoding")]
    Encoding,
    /// The connection would no longer be HTTP.
    #[error("the answer switches to another protocol, which was not asked for")]
    Upgrade,
}

/// How long the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks, each with its length before it.
    Chunked,
    /// Everything until the connection is closed.
    UntilClose,
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its status code.
    pub status: u16,
    /// How long the body is.
    pub body: Body,
    /// Whether the connection may be used again after the body.
    pub keep_alive: bool,
}

/// Reads the head of the answer to a request, interim ones (1xx) skipped, and tells how many bytes it
/// took; none if it is not whole yet. `to_head` says that the request was a HEAD.
pub fn read(bytes: &[u8], to_head: bool) -> Result<Option<(Head, usize)>, Error> {
    let mut skipped = 0;
    loop {
        let rest = &bytes[skipped..];
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(rest)? {
            httparse::Status::Complete(length) if length <= MAX_HEAD => length,
            httparse::Status::Partial if bytes.len() < MAX_HEAD => return Ok(None),
            _ => return Err(Error::TooLong),
        };
        skipped += length;
        match response.code {
            Some(101) => return Err(Error::Upgrade),
            Some(100..=199) => {}
            code => {
                let (status, minor) = (code.unwrap_or_default(), response.version.unwrap_or_default());
                return Ok(Some((head(status, minor, response.headers, to_head)?, skipped)));
            }
        }
    }
}

/// RFC 9112, 6.3 (the length of a message's body) and 9.3 (persistence).
fn head(status: u16, minor: u8, headers: &[httparse::Header<'_>], to_head: bool) -> Result<Head, Error> {
    let (mut length, mut encoding, mut is_chunked) = (None, false, false);
    let (mut close, mut keep_alive) = (false, false);
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = Some(content_length(header.value, length)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            encoding = true;
            // Only the last of all encodings tells where the body ends.
            let last = header.value.rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii();
            is_chunked = header.value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'))
                && last.eq_ignore_ascii_case(b"chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            close |= words(header.value).any(|w| w.eq_ignore_ascii_case(b"close"));
            keep_alive |= words(header.value).any(|w| w.eq_ignore_ascii_case(b"keep-alive"));
        }
    }
    let bodiless = to_head || status == 204 || status == 304;
    if encoding && minor == 0 && !bodiless {
        return Err(Error::Encoding);
    }
    let body = match (bodiless, encoding, length) {
        (true, ..) => Body::Length(0),
        (_, true, _) if is_chunked => Body::Chunked,
        (_, true, _) | (_, _, None) => Body::UntilClose,
        (_, _, Some(length)) => Body::Length(length),
    };
    let persists = if minor == 0 { keep_alive && !close } else { !close };
    Ok(Head { status, body, keep_alive: persists && body != Body::UntilClose })
}

/// A length, or a list of equal ones; several headers must agree too.
fn content_length(value: &[u8], known: Option<u64>) -> Result<u64, Error> {
    let mut length = known;
    for word in words(value) {
        let digits = std::str::from_utf8(word).ok().filter(|w| w.bytes().all(|b| b.is_ascii_digit()));
        let this: u64 = digits.and_then(|d| d.parse().ok()).ok_or(Error::Length)?;
        if length.is_some_and(|known| known != this) {
            return Err(Error::Length);
        }
        length = Some(this);
    }
    length.ok_or(Error::Length)
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<(Head, usize)>, Error> {
        read(text.replace('\n', "\r\n").as_bytes(), false)
    }

    fn body(text: &str) -> (Body, bool) {
        let (head, _) = of(text).expect(text).expect(text);
        (head.body, head.keep_alive)
    }

    #[test]
    fn the_head_says_how_long_the_body_is() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", (Body::Length(5), true)),
            ("HTTP/1.1 200 OK\ncontent-length: 5, 5\nContent-Length: 5\n\n", (Body::Length(5), true)),
            ("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: a, Close\n\n", (Body::Length(5), false)),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n", (Body::Chunked, true)),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n", (Body::Chunked, true)),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\n", (Body::UntilClose, false)),
            ("HTTP/1.1 200 OK\n\n", (Body::UntilClose, false)),
            ("HTTP/1.1 204 No Content\n\n", (Body::Length(0), true)),
            ("HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n", (Body::Length(0), true)),
            ("HTTP/1.0 200 OK\nContent-Length: 5\n\n", (Body::Length(5), false)),
            ("HTTP/1.0 200 OK\nContent-Length: 5\nConnection: keep-alive\n\n", (Body::Length(5), true)),
        ] {
            assert_eq!(body(text), expected, "{text}");
        }
        let to_head = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true);
        assert_eq!(to_head.map(|h| h.map(|(h, _)| h.body)), Ok(Some(Body::Length(0))));
    }

    #[test]
    fn interim_answers_are_skipped() {
        let text = "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 201 Created\nContent-Length: 0\n\nrest";
        let (head, length) = of(text).expect(text).expect(text);
        assert_eq!((head.status, length), (201, text.replace('\n', "\r\n").len() - 4));
        assert_eq!(of("HTTP/1.1 100 Continue\n\nHTTP/1.1 2"), Ok(None));
        assert_eq!(of("HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\n"), Err(Error::Upgrade));
    }

    #[test]
    fn garbage_and_contradictions_are_refused() {
        for text in
            ["HTTP/2 200 OK\n\n", "SSH-2.0-OpenSSH\n", "HTTP/1.1 abc\n\n", "HTTP/1.1 200 OK\n\u{0}: x\n\n"]
        {
            assert!(matches!(of(text), Err(Error::Head(_))), "{text:?}: {:?}", of(text));
        }
        for text in [
            "Content-Length: 5\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: -1",
            "Content-Length: +1",
            "Content-Length: x",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
        ] {
            assert_eq!(of(&format!("HTTP/1.1 200 OK\n{text}\n\n")), Err(Error::Length), "{text}");
        }
        assert_eq!(of("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n"), Err(Error::Encoding));
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(read(long.as_bytes(), false), Err(Error::TooLong));
        let many = format!("HTTP/1.1 200 OK\n{}\n", "X: y\n".repeat(MAX_HEADERS + 1));
        assert_eq!(of(&many), Err(Error::Head(httparse::Error::TooManyHeaders)));
    }
}
