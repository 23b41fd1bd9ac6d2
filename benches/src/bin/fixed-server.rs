//! `fixed-server ADDRESS [BODY_BYTES [CERTIFICATE_FILE]]`: answers every request with the same bytes, as cheaply as
//! one thread and epoll can, so that a benchmark of clients is not one of the server. With a file it speaks TLS 1.3
//! alone, under a certificate of its own making, which it writes there in PEM for the clients to trust.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

const LISTENER: Token = Token(usize::MAX);
/// How many connections may wait to be taken: one too many waits for a second and asks again, which would be measured.
const BACKLOG: i32 = 4096;
const END: &[u8] = b"\r\n\r\n";

struct Client<S> {
    stream: S,
    /// How many bytes of the end of a head have been seen.
    matched: usize,
    /// Answers that are still to be written, in bytes.
    owed: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: fixed-server ADDRESS [BODY_BYTES [CERTIFICATE_FILE]]";
    let address: SocketAddr = args.next().ok_or(usage)?.parse()?;
    let body: usize = args.next().map_or(Ok(2), |n| n.parse())?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body}\r\n\r\n");
    let answer = [head.into_bytes(), vec![b'x'; body]].concat();
    let Some(file) = args.next() else { return serve(address, &answer, true, Ok) };
    let config = Arc::new(tls(address, Path::new(&file))?);
    let begin = |stream| Ok(StreamOwned::new(ServerConnection::new(config.clone())?, stream));
    serve(address, &answer, false, begin)
}

/// TLS 1.3 with a new certificate, which is written into a file.
fn tls(address: SocketAddr, file: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let names = vec![address.ip().to_string(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(file, made.cert.pem())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    // Nobody comes back in a benchmark of connections that are kept.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// `short_is_all`: a read that does not fill the buffer has taken all there was, so that another need not ask.
fn serve<S: Read + Write>(
    address: SocketAddr,
    answer: &[u8],
    short_is_all: bool,
    begin: impl Fn(TcpStream) -> Result<S, rustls::Error>,
) -> Result<(), Box<dyn Error>> {
    let mut listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let (mut clients, mut next) = (HashMap::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(next), interest)?;
                    clients.insert(Token(next), Client { stream: begin(stream)?, matched: 0, owed: 0 });
                    next += 1;
                }
                continue;
            }
            let token = event.token();
            let Some(client) = clients.get_mut(&token) else { continue };
            if talk(client, answer, &mut buffer, short_is_all).is_err() {
                clients.remove(&token);
            }
        }
    }
}

/// Reads what has come and answers it; an error ends the client.
fn talk<S: Read + Write>(
    client: &mut Client<S>,
    answer: &[u8],
    buffer: &mut [u8],
    short_is_all: bool,
) -> std::io::Result<()> {
    loop {
        match client.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                client.owed += requests(&buffer[..n], &mut client.matched) * answer.len();
                flush(client, answer)?;
                if short_is_all && n < buffer.len() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return flush(client, answer),
            Err(error) => return Err(error),
        }
    }
}

fn requests(bytes: &[u8], matched: &mut usize) -> usize {
    let mut requests = 0;
    for byte in bytes {
        *matched = if *byte == END[*matched] { *matched + 1 } else { usize::from(*byte == END[0]) };
        if *matched == END.len() {
            (requests, *matched) = (requests + 1, 0);
        }
    }
    requests
}

fn flush<S: Read + Write>(client: &mut Client<S>, answer: &[u8]) -> std::io::Result<()> {
    let mut write = || {
        while client.owed > 0 {
            let begun = (answer.len() - client.owed % answer.len()) % answer.len();
            client.owed -= client.stream.write(&answer[begun..])?;
        }
        client.stream.flush()
    };
    match write() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        done => done,
    }
}
