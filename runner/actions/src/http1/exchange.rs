//! One request and its answer over a connection.

use super::chunked::{self, Decoder};
use super::kept::{Budget, Kept, OF_PROCESS};
use super::response::{self, Body, Head, MAX_HEAD};
use std::borrow::Cow;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

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
    #[error(
        "answers of more than {} MiB are kept at once on this runner, no room is left for this one; ask for less, leave out expect.json and save, or take more runners",
        .0 >> 20
    )]
    TooMuchKept(usize),
}

/// Buffers of a worker, lent while there are bytes to hold: a connection that waits has none, be it for
/// its next request or for its answer. So a few that stay in the processor's caches serve thousands.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    free: Rc<RefCell<Vec<Vec<u8>>>>,
    /// For bodies that are kept.
    budget: &'static Budget,
}

impl Default for Buffers {
    /// With what this process may keep.
    fn default() -> Self {
        Self { free: Rc::default(), budget: &OF_PROCESS }
    }
}

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
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(READ_SIZE))
    }

    /// An empty buffer for text, to be given back.
    pub(crate) fn take_text(&self) -> String {
        // Whatever is empty is text.
        String::from_utf8(self.take()).unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut bytes: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if free.len() < MAX_KEPT && (1..=MAX_KEPT_SIZE).contains(&bytes.capacity()) {
            bytes.clear();
            free.push(bytes);
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
    pub(crate) body: Option<Kept>,
    /// Whether the connection can be used again.
    pub(crate) reusable: bool,
}

/// A request that is on its way over a stream.
pub(crate) struct Exchange<'s, S> {
    stream: &'s mut S,
    buffers: &'s Buffers,
    /// What has been read and not looked at yet. Without room until the first bytes are there.
    input: Lent,
    request: Sending<'s>,
    /// The answer began before all of the request had left.
    is_early: bool,
}

/// A request, as far as it has not left. Usually it leaves at once: what does not goes on while the answer is
/// waited for, since a target may answer before it has taken a body, and take no more of it.
struct Sending<'s> {
    bytes: Cow<'s, [u8]>,
    written: usize,
    /// Is called when so many bytes have left: the target has got the request then.
    left: Option<(usize, &'s dyn Fn())>,
    /// Why no more of it leaves.
    broken: Option<io::Error>,
}

impl<'s, S: AsyncRead + AsyncWrite + Unpin> Exchange<'s, S> {
    pub(crate) fn new(stream: &'s mut S, buffers: &'s Buffers) -> Self {
        let request = Sending { bytes: Cow::Borrowed(&[]), written: 0, left: None, broken: None };
        let input = Lent { buffers: buffers.clone(), bytes: Vec::new() };
        Self { stream, buffers, input, request, is_early: false }
    }

    /// Sends as much of a request as leaves at once. `left` is called once, when its first `head` bytes have
    /// left: the target has got it then, whatever becomes of it here.
    pub(crate) async fn send(&mut self, request: Cow<'s, [u8]>, head: usize, left: &'s dyn Fn()) {
        self.request = Sending { bytes: request, written: 0, left: Some((head, left)), broken: None };
        poll_fn(|context| {
            self.go_on_sending(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Sends more of what has not left, if there is such. When that breaks, the answer may be there all the same.
    fn go_on_sending(&mut self, context: &mut Context<'_>) {
        if self.request.is_over() {
            return;
        }
        match self.request.poll_send(self.stream, context) {
            Poll::Pending => return,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.request.broken = Some(error),
        }
        // Another bot can use it while this one waits for its answer.
        if let Cow::Owned(bytes) = std::mem::take(&mut self.request.bytes) {
            self.buffers.give_back(bytes);
        }
    }

    /// Waits for the head of the answer. `to_head` says that the request was a HEAD.
    pub(crate) async fn head(&mut self, to_head: bool) -> Result<Head, Error> {
        let mut looked_at = 0;
        loop {
            if let Err(error) = self.read_more().await {
                // What kept the request from leaving is why there is no answer.
                return Err(self.request.broken.take().map_or(error, Error::Io));
            }
            let bytes = &self.input.bytes;
            // A head that comes in drops is looked at again only when a line of it is whole.
            let is_worth_it =
                looked_at == 0 || bytes.len() >= MAX_HEAD || bytes[looked_at..].contains(&b'\n');
            if is_worth_it && let Some((head, length)) = response::read(bytes, to_head)? {
                self.input.bytes.drain(..length);
                self.is_early = !self.request.has_left();
                return Ok(head);
            }
            looked_at = self.input.bytes.len();
        }
    }

    /// Reads the body to its end.
    pub(crate) async fn body(mut self, head: Head, wanted: Wanted) -> Result<Answered, Error> {
        let mut kept = match wanted {
            Wanted::Nothing => None,
            Wanted::All(_) => Some(Kept::new(self.buffers.lend(), self.buffers.budget)),
        };
        let mut keep = |bytes: &[u8]| match (&mut kept, wanted) {
            (Some(kept), Wanted::All(most)) => kept.add(bytes, most),
            (Some(_), Wanted::Nothing) | (None, _) => Ok(()),
        };
        match head.body {
            Body::Length(length) => self.sized(length, &mut keep).await?,
            Body::Chunked => self.chunks(&mut keep).await?,
            Body::UntilClose => self.until_close(&mut keep).await?,
        }
        // What comes after the end of an answer belongs to none: the connection is not to be trusted. Nor is one on
        // which a target may still wait for the rest of a request.
        let reusable = head.keep_alive && self.input.bytes.is_empty() && !self.is_early;
        Ok(Answered { body: kept, reusable })
    }

    async fn sized(
        &mut self,
        mut left: u64,
        keep: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.input.bytes.len());
            keep(&self.input.bytes[..length])?;
            left -= length as u64;
            self.input.bytes.drain(..length);
            if left == 0 {
                return Ok(());
            }
            self.read_more().await?;
        }
    }

    async fn chunks(&mut self, keep: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut decoder = Decoder::default();
        loop {
            let mut kept = Ok(());
            let taken = decoder.take(&self.input.bytes, |data| {
                if kept.is_ok() {
                    kept = keep(data);
                }
            })?;
            kept?;
            self.input.bytes.drain(..taken);
            if decoder.is_over() {
                return Ok(());
            }
            self.read_more().await?;
        }
    }

    async fn until_close(&mut self, keep: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        loop {
            keep(&self.input.bytes)?;
            self.input.bytes.clear();
            match self.read_more().await {
                Ok(()) => {}
                Err(Error::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), Error> {
        let read = poll_fn(|context| {
            self.go_on_sending(context);
            self.poll_read(context)
        });
        match read.await {
            Ok(0) => Err(Error::Closed),
            Ok(_) => Ok(()),
            // Only TLS tells an end that was not announced from one that was.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::Cut),
            Err(error) => Err(error.into()),
        }
    }
}

impl Sending<'_> {
    /// Nothing more of it leaves. What has left is empty here.
    fn is_over(&self) -> bool {
        self.bytes.is_empty() || self.broken.is_some()
    }

    fn has_left(&self) -> bool {
        self.bytes.is_empty() && self.broken.is_none()
    }

    fn poll_send(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let written = ready!(Pin::new(&mut *stream).poll_write(context, &self.bytes[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            if let Some((_, left)) = self.left.take_if(|(head, _)| self.written >= *head) {
                left();
            }
        }
        // Only TLS holds anything back.
        Pin::new(stream).poll_flush(context)
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
    use std::cell::Cell;
    use tokio::io::{AsyncWriteExt, DuplexStream};

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
            let sizes: Vec<_> = buffers.free.borrow().iter().map(Vec::capacity).collect();
            assert!(sizes.len() == 1 && sizes[0] <= 4 * READ_SIZE, "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_of_a_body_has_a_bound() {
        let buffers = Buffers::default();
        for answer in answers(3_000) {
            let (answered, _) = exchange(&answer, &buffers, Wanted::All(3_000)).await;
            let body = answered.expect("an answer").body.expect("a body");
            assert_eq!(body.bytes(), [b'x'; 3_000]);
        }
        for (answer, whole) in
            answers(3_001).into_iter().map(|a| (a, true)).chain(answers(LARGE).map(|a| (a, false)))
        {
            let (answered, written) = exchange(&answer, &buffers, Wanted::All(3_000)).await;
            assert!(matches!(answered, Err(Error::TooLarge(3_000))), "{answered:?}");
            assert!(whole || written <= 2 * PIPE, "{written} bytes were taken all the same");
        }
    }

    const HEAD: &[u8] = b"PUT / HTTP/1.1\r\n\r\n";
    const REFUSED: &[u8] = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!";

    /// What comes of a request with a large body, at a target that does this and then nothing more.
    async fn asked<F: Future<Output = Option<DuplexStream>>>(
        target: impl FnOnce(DuplexStream) -> F,
    ) -> Result<(u16, Answered), Error> {
        let (mut ours, theirs) = tokio::io::duplex(PIPE);
        let (buffers, sent) = (Buffers::default(), Cell::new(0));
        let count = || sent.set(sent.get() + 1);
        let asks = async {
            let request = [HEAD, &vec![b'x'; LARGE]].concat();
            let mut exchange = Exchange::new(&mut ours, &buffers);
            exchange.send(Cow::Owned(request), HEAD.len(), &count).await;
            let head = exchange.head(false).await?;
            Ok((head.status, exchange.body(head, Wanted::All(LARGE)).await?))
        };
        let answers = async {
            let _held = target(theirs).await;
            std::future::pending::<()>().await;
        };
        let answered = tokio::select! {
            answered = asks => answered,
            () = answers => panic!("it is not over"),
        };
        assert_eq!(sent.get(), 1, "its head has left once");
        answered
    }

    /// Reads so many bytes of a request, says this, and goes on to hold the connection.
    async fn says(mut theirs: DuplexStream, after: usize, what: &[u8]) -> DuplexStream {
        theirs.read_exact(&mut vec![0; after]).await.expect("a request");
        theirs.write_all(what).await.expect("room for an answer");
        theirs
    }

    fn said(answered: Result<(u16, Answered), Error>) -> (u16, usize, bool) {
        let (status, answered) = answered.expect("an answer");
        (status, answered.body.map_or(0, |body| body.bytes().len()), answered.reusable)
    }

    #[tokio::test]
    async fn an_answer_that_comes_before_the_body_is_taken_is_read() {
        let reads_no_more = asked(async |theirs| Some(says(theirs, HEAD.len(), REFUSED).await));
        assert_eq!(said(reads_no_more.await), (413, 3, false));
        let closes = asked(async |theirs| {
            drop(says(theirs, HEAD.len(), REFUSED).await);
            None
        });
        assert_eq!(said(closes.await), (413, 3, false));
        let sends_back = asked(async |theirs| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            let theirs = says(theirs, HEAD.len(), head.as_bytes()).await;
            let (mut reads, mut writes) = tokio::io::split(theirs);
            tokio::io::copy(&mut reads, &mut writes).await.expect("all of it");
            None
        });
        assert_eq!(said(sends_back.await), (200, LARGE, false));
        // One that says it may be sent, and takes all of it, has not answered early.
        let goes_on = asked(async |theirs| {
            let theirs = says(theirs, HEAD.len(), b"HTTP/1.1 100 Continue\r\n\r\n").await;
            Some(says(theirs, LARGE, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await)
        });
        assert_eq!(said(goes_on.await), (201, 0, true));
    }

    #[tokio::test]
    async fn a_target_that_closes_without_an_answer_is_told_by_what_kept_the_request() {
        let closes = asked(async |theirs| {
            drop(says(theirs, HEAD.len(), b"").await);
            None
        });
        let error = closes.await.expect_err("no answer");
        assert!(matches!(&error, Error::Io(e) if e.kind() == io::ErrorKind::BrokenPipe), "{error:?}");
    }
}
