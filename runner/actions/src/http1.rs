//! HTTP/1.1 as a client of load speaks it: one request at a time over a connection that keeps no
//! buffers while it is idle.
//!
//! What stands on the wire is read by [`response`] and [`chunked`], which are pure; `exchange` moves the
//! bytes. Source of the rules: RFC 9112. Heads are parsed by `httparse`, as hyper does.

#[cfg(test)]
mod against_hyper;
pub mod chunked;
mod exchange;
mod kept;
pub mod response;

pub(crate) use exchange::{Buffers, Error, Exchange, Wanted};
pub(crate) use kept::Kept;
