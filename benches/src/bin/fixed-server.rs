//! `fixed-server ADDRESS [BODY_BYTES]`: answers every request with the same bytes, as cheaply as one
//! thread and epoll can, so that a benchmark of clients is not one of the server.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

const LISTENER: Token = Token(usize::MAX);
const END: &[u8] = b"\r\n\r\n";

struct Client {
    stream: TcpStream,
    /// How many bytes of the end of a head have been seen.
    matched: usize,
    /// Answers that are still to be written, in bytes.
    owed: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: fixed-server ADDRESS [BODY_BYTES]";
    let address: SocketAddr = args.next().ok_or(usage)?.parse()?;
    let body: usize = args.next().map_or(Ok(2), |n| n.parse())?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body}\r\n\r\n");
    serve(address, &[head.into_bytes(), vec![b'x'; body]].concat())?;
    Ok(())
}

fn serve(address: SocketAddr, answer: &[u8]) -> std::io::Result<()> {
    let mut listener = TcpListener::bind(address)?;
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
                    clients.insert(Token(next), Client { stream, matched: 0, owed: 0 });
                    next += 1;
                }
                continue;
            }
            let token = event.token();
            if clients.get_mut(&token).is_some_and(|client| talk(client, answer, &mut buffer).is_err()) {
                clients.remove(&token);
            }
        }
    }
}

/// Reads what has come and answers it; an error ends the client.
fn talk(client: &mut Client, answer: &[u8], buffer: &mut [u8]) -> std::io::Result<()> {
    loop {
        match client.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                client.owed += requests(&buffer[..n], &mut client.matched) * answer.len();
                flush(client, answer)?;
                if n < buffer.len() {
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

fn flush(client: &mut Client, answer: &[u8]) -> std::io::Result<()> {
    while client.owed > 0 {
        let begun = (answer.len() - client.owed % answer.len()) % answer.len();
        match client.stream.write(&answer[begun..]) {
            Ok(n) => client.owed -= n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
