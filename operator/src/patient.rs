//! A connection that is written to with patience, and not for ever: who asks and does not read the answer would
//! otherwise have it kept for as long as he likes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream whose writes fail once nothing has gone out for a while.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Runs while the other side takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, stuck: None }
    }

    /// What a write came to; one that has to wait fails when it has waited for too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>, came: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if came.is_ready() {
            self.stuck = None;
            return came;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side reads nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, to)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let came = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wait(cx, came)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let came = Pin::new(&mut this.stream).poll_flush(cx);
        this.wait(cx, came)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let came = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.wait(cx, came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_write_that_nobody_reads_comes_to_an_end() {
        let (mut reader, writer) = tokio::io::duplex(8);
        let mut writer = Patient::new(writer, Duration::from_millis(10));
        let error = writer.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        reader.read_exact(&mut [0; 8]).await.unwrap();
    }

    #[tokio::test]
    async fn a_slow_reader_is_waited_for_anew_each_time_that_it_reads() {
        let (mut reader, writer) = tokio::io::duplex(8);
        let mut writer = Patient::new(writer, Duration::from_secs(3600));
        for _ in 0..3 {
            writer.write_all(&[0; 8]).await.unwrap();
            assert!(writer.stuck.is_none());
            assert!(futures::poll!(std::pin::pin!(writer.write(&[0]))).is_pending());
            assert!(writer.stuck.is_some());
            reader.read_exact(&mut [0; 8]).await.unwrap();
        }
    }
}
