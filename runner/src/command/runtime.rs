//! The runtime that a command is carried out by.

use std::io;
use tokio::runtime::{Builder, Runtime};

/// Pairs of files that there have to be for it, which takes fewer.
const PAIRS: usize = 4;

/// Makes it. Where files run out while it is made, it panics instead of telling: that is found out beforehand.
pub(super) fn build(builder: &mut Builder) -> io::Result<Runtime> {
    let pairs = (0..PAIRS).map(|_| io::pipe()).collect::<io::Result<Vec<_>>>()?;
    drop(pairs);
    builder.enable_all().build()
}
