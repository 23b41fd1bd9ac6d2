//! One request over a socket, and its answer, of which only the length is looked at.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::ready;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Longest head that is read.
const MAX_HEAD: usize = 16 << 10;
/// How much is read at once. It lies on the stack of a poll, so that a connection that waits has no buffer.
const READ_SIZE: usize = 4 << 10;

/// A server that gives the same answer to every request.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    request: Vec<u8>,
    /// How long an answer is, its head included.
    answer: usize,
}

impl Target {
    /// Asks once, to know how long an answer is.
    pub(crate) async fn ask(address: SocketAddr) -> io::Result<Self> {
        let request = format!("GET /first/1 HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&request).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
            if head.len() > MAX_HEAD {
                return Err(io::Error::other(format!(
                    "the head of the answer is larger than {MAX_HEAD} bytes"
                )));
            }
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let body: usize = length.ok_or_else(|| io::Error::other("the answer has no Content-Length"))?;
        Ok(Self { address, request, answer: head.len() + body })
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Makes a request and takes its answer.
    pub(crate) async fn exchange(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.request).await?;
        let mut read = 0;
        while read < self.answer {
            read += match read_some(stream).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => n,
            };
        }
        Ok(())
    }
}

async fn read_some(stream: &mut TcpStream) -> io::Result<usize> {
    poll_fn(|context| {
        let mut bytes = [0; READ_SIZE];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        Ok(buffer.filled().len()).into()
    })
    .await
}
