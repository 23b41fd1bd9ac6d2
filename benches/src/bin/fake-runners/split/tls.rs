//! What TLS costs the operator: the server's side of it alone is counted, and no socket is between the two.

use super::{BATCH, Result, each_us, processor_time};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// Flights of a handshake, at most.
const MAX_FLIGHTS: usize = 6;

/// The settings of both sides.
pub(super) struct Sides {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) name: ServerName<'static>,
}

/// Both ends of a connection.
struct Pair {
    client: Connection,
    server: Connection,
}

impl Pair {
    /// Lets both sides agree; also what the server has computed for it.
    fn agree(sides: &Sides) -> Result<(Self, Duration)> {
        let client = ClientConnection::new(sides.client.clone(), sides.name.clone())?;
        let begun = processor_time();
        let server = ServerConnection::new(sides.server.clone())?;
        let mut took = processor_time().saturating_sub(begun);
        let mut pair = Self { client: client.into(), server: server.into() };
        pair.client.set_buffer_limit(None);
        pair.server.set_buffer_limit(None);
        for _ in 0..MAX_FLIGHTS {
            let flight = written(&mut pair.client)?;
            let begun = processor_time();
            heard(&mut pair.server, &flight)?;
            let answer = written(&mut pair.server)?;
            took += processor_time().saturating_sub(begun);
            heard(&mut pair.client, &answer)?;
            if !pair.client.is_handshaking() && !pair.server.is_handshaking() {
                return Ok((pair, took));
            }
        }
        Err(format!("no agreement on TLS after {MAX_FLIGHTS} flights").into())
    }
}

/// What a side has to send.
fn written(side: &mut Connection) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while side.wants_write() {
        side.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

/// Lets a side hear what the other has sent; what it says, in the clear.
fn heard(side: &mut Connection, mut sent: &[u8]) -> Result<Vec<u8>> {
    let mut clear = Vec::new();
    while !sent.is_empty() {
        side.read_tls(&mut sent)?;
        let there = side.process_new_packets()?.plaintext_bytes_to_read();
        let before = clear.len();
        clear.resize(before + there, 0);
        side.reader().read_exact(&mut clear[before..])?;
    }
    Ok(clear)
}

/// Microseconds of processor time that the server takes for a handshake, over about `time` of it.
pub(super) fn handshake_us(sides: &Sides, time: Duration) -> Result<f64> {
    let (mut spent, mut count) = (Duration::ZERO, 0_u32);
    while spent < time {
        spent += Pair::agree(sides)?.1;
        count += 1;
    }
    Ok(spent.as_secs_f64() * 1e6 / f64::from(count))
}

/// Microseconds of processor time that the server takes to read one request and to write its answer.
pub(super) fn exchange_us(sides: &Sides, time: Duration, request: &[u8], answer: &[u8]) -> Result<f64> {
    let (Pair { mut client, mut server }, _) = Pair::agree(sides)?;
    let requests = || -> Result<Vec<Vec<u8>>> {
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            client.writer().write_all(request)?;
            batch.push(written(&mut client)?);
        }
        Ok(batch)
    };
    each_us(time, requests, |sent: &Vec<u8>| {
        let clear = heard(&mut server, sent)?;
        if clear.len() != request.len() {
            return Err("not all of a request was read".into());
        }
        server.writer().write_all(answer)?;
        written(&mut server)?;
        Ok(())
    })
}
