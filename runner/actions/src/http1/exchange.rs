//! One request and its answer over a connection.

use super::chunked::{self, Decoder};
use super::response::{self, Body, Head, MAX_HEAD};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How much is asked of a connection at once.
const READ_SIZE: usize = 16 << 10;
/// Buffers that are kept for later, and how large one of them may be.
const MAX_KEPT: usize = 64;
const MAX_KEPT_SIZE: usize = 256 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed before the answer was whole")]
    Closed,
    #[error(
        "the connection was closed without the farewell of TLS, so that nobody knows whether the answer is whole"
    )]
    Cut,
    #[error("{0}")]
    Head(#[from] response::Error),
    #[error("{0}")]
    Chunks(#[from] chunked::Error),
    #[error(
        "the answer is larger than {0} bytes, too large to be looked into; ask for less, or leave out expect.json and save"
    )]
    TooLarge(usize),
}

/// Buffers of a worker, lent while there are bytes to hold: a connection that waits has none, be it for
/// its next request or for its answer. So a few that stay in the processor's caches serve thousands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Rc<RefCell<Vec<Vec<u8>>>>);

/// A buffer that goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    buffers: Buffers,
    pub(crate) bytes: Vec<u8>,
}

impl Buffers {
    /// An empty buffer.
    pub(crate) fn lend(&self) -> Lent {
        Lent { buffers: self.clone(), bytes: self.take() }
    }

    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(READ_SIZE))
    }

    /// An empty buffer for text, to be given back.
    pub(crate) fn take_text(&self) -> String {
        // Whatever is empty is text.
        String::from_utf8(self.take()).unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut bytes: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < MAX_KEPT && (1..=MAX_KEPT_SIZE).contains(&bytes.capacity()) {
            bytes.clear();
            kept.push(bytes);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.bytes));
    }
}

/// What is wanted of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing: it is dropped as it comes.
    Nothing,
    /// All of it, up to so many bytes.
    All(usize),
}

/// An answer that has been read to its end.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The body, if it was wanted.
    pub(crate) body: Option<Lent>,
    /// Whether the connection can be used again.
    pub(crate) reusable: bool,
}

/// A request that is on its way over a stream.
pub(crate) struct Exchange<'s, S> {
    stream: &'s mut S,
    buffers: &'s Buffers,
    /// What has been read and not looked at yet. Without room until the first bytes are there.
    input: Lent,
}

impl<'s, S: AsyncRead + AsyncWrite + Unpin> Exchange<'s, S> {
    pub(crate) fn new(stream: &'s mut S, buffers: &'s Buffers) -> Self {
        Self { stream, buffers, input: Lent { buffers: buffers.clone(), bytes: Vec::new() } }
    }

    /// Sends a request. `left` is called once, when its first `head` bytes have left: the target has
    /// got it then, whatever becomes of it here.
    pub(crate) async fn send(
        &mut self,
        request: &[u8],
        head: usize,
        left: impl FnOnce(),
    ) -> Result<(), Error> {
        let (mut written, mut left) = (0, Some(left));
        while written < request.len() {
            written += self.stream.write(&request[written..]).await?;
            if written >= head
                && let Some(left) = left.take()
            {
                left();
            }
        }
        // Only TLS holds anything back.
        Ok(self.stream.flush().await?)
    }

    /// Waits for the head of the answer. `to_head` says that the request was a HEAD.
    pub(crate) async fn head(&mut self, to_head: bool) -> Result<Head, Error> {
        let mut looked_at = 0;
        loop {
            self.read_more().await?;
            let bytes = &self.input.bytes;
            // A head that comes in drops is looked at again only when a line of it is whole.
            let is_worth_it =
                looked_at == 0 || bytes.len() >= MAX_HEAD || bytes[looked_at..].contains(&b'\n');
            if is_worth_it && let Some((head, length)) = response::read(bytes, to_head)? {
                self.input.bytes.drain(..length);
                return Ok(head);
            }
            looked_at = self.input.bytes.len();
        }
    }

    /// Reads the body to its end.
    pub(crate) async fn body(mut self, head: Head, wanted: Wanted) -> Result<Answered, Error> {
        let mut kept = match wanted {
            Wanted::Nothing => None,
            Wanted::All(_) => Some(self.buffers.lend()),
        };
        let mut keep = |bytes: &[u8]| match (&mut kept, wanted) {
            (Some(kept), Wanted::All(most)) if kept.bytes.len() + bytes.len() > most => false,
            (Some(kept), _) => {
                kept.bytes.extend_from_slice(bytes);
                true
            }
            (None, _) => true,
        };
        let fits = match head.body {
            Body::Length(length) => self.sized(length, &mut keep).await?,
            Body::Chunked => self.chunks(&mut keep).await?,
            Body::UntilClose => self.until_close(&mut keep).await?,
        };
        match (fits, wanted) {
            (false, Wanted::All(most)) => Err(Error::TooLarge(most)),
            // What comes after the end of an answer belongs to none: the connection is not to be trusted.
            _ => Ok(Answered { body: kept, reusable: head.keep_alive && self.input.bytes.is_empty() }),
        }
    }

    async fn sized(&mut self, mut left: u64, keep: &mut impl FnMut(&[u8]) -> bool) -> Result<bool, Error> {
        loop {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.input.bytes.len());
            if !keep(&self.input.bytes[..length]) {
                return Ok(false);
            }
            left -= length as u64;
            self.input.bytes.drain(..length);
            if left == 0 {
                return Ok(true);
            }
            self.read_more().await?;
        }
    }

    async fn chunks(&mut self, keep: &mut impl FnMut(&[u8]) -> bool) -> Result<bool, Error> {
        let (mut decoder, mut fits) = (Decoder::default(), true);
        loop {
            let taken = decoder.take(&self.input.bytes, |data| fits = fits && keep(data))?;
            if !fits {
                return Ok(false);
            }
            self.input.bytes.drain(..taken);
            if decoder.is_over() {
                return Ok(true);
            }
            self.read_more().await?;
        }
    }

    async fn until_close(&mut self, keep: &mut impl FnMut(&[u8]) -> bool) -> Result<bool, Error> {
        loop {
            if !keep(&self.input.bytes) {
                return Ok(false);
            }
            self.input.bytes.clear();
            match self.read_more().await {
                Ok(()) => {}
                Err(Error::Closed) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), Error> {
        match poll_fn(|context| self.poll_read(context)).await {
            Ok(0) => Err(Error::Closed),
            Ok(_) => Ok(()),
            // Only TLS tells an end that was not announced from one that was.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::Cut),
            Err(error) => Err(error.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> Exchange<'_, S> {
    /// Reads what is there, and tells how much that was; as long as nothing is, it holds no buffer.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let input = &mut self.input.bytes;
        if input.capacity() == 0 {
            *input = self.buffers.take();
        }
        if input.capacity() == input.len() {
            input.reserve(READ_SIZE);
        }
        let read = pin!(self.stream.read_buf(input)).poll(context);
        if read.is_pending() && self.input.bytes.is_empty() {
            self.buffers.give_back(std::mem::take(&mut self.input.bytes));
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than the buffers between us and the target hold.
    const LARGE: usize = 4 << 20;
    const PIPE: usize = 64 << 10;

    /// An answer with a body of so many bytes, for each way to say where it ends.
    fn answers(size: usize) -> [Vec<u8>; 3] {
        let body = vec![b'x'; size];
        let chunks: Vec<u8> = body
            .chunks(1_000)
            .flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat())
            .collect();
        [
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes(), &body].concat(),
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunks[..], b"0\r\n\r\n"].concat(),
            [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &body[..]].concat(),
        ]
    }

    /// The answer to a request, and how much of it the target got rid of.
    async fn exchange(answer: &[u8], buffers: &Buffers, wanted: Wanted) -> (Result<Answered, Error>, usize) {
        let (mut ours, mut theirs) = tokio::io::duplex(PIPE);
        let reads = async {
            let mut exchange = Exchange::new(&mut ours, buffers);
            let head = exchange.head(false).await?;
            let answered = exchange.body(head, wanted).await;
            drop(ours);
            answered
        };
        let writes = async {
            let mut written = 0;
            while written < answer.len() {
                match theirs.write(&answer[written..]).await {
                    Ok(length) => written += length,
                    Err(_) => break,
                }
            }
            drop(theirs);
            written
        };
        futures::join!(reads, writes)
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_is_dropped_as_it_comes() {
        for answer in answers(LARGE) {
            let buffers = Buffers::default();
            let (answered, written) = exchange(&answer, &buffers, Wanted::Nothing).await;
            assert!(answered.expect("an answer").body.is_none());
            assert_eq!(written, answer.len());
            // A buffer never shrinks, so that this is the most it ever held.
            let sizes: Vec<_> = buffers.0.borrow().iter().map(Vec::capacity).collect();
            assert!(sizes.len() == 1 && sizes[0] <= 4 * READ_SIZE, "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_of_a_body_has_a_bound() {
        let buffers = Buffers::default();
        for answer in answers(3_000) {
            let (answered, _) = exchange(&answer, &buffers, Wanted::All(3_000)).await;
            let body = answered.expect("an answer").body.expect("a body");
            assert_eq!(body.bytes, [b'x'; 3_000]);
        }
        for (answer, whole) in
            answers(3_001).into_iter().map(|a| (a, true)).chain(answers(LARGE).map(|a| (a, false)))
        {
            let (answered, written) = exchange(&answer, &buffers, Wanted::All(3_000)).await;
            assert!(matches!(answered, Err(Error::TooLarge(3_000))), "{answered:?}");
            assert!(whole || written <= 2 * PIPE, "{written} bytes were taken all the same");
        }
    }
}
