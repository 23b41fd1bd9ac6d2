//! A checkpoint as compressed bytes, cut to what an object takes. Pure.

use super::Error;
use crate::armies::Checkpoint;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};

/// Most bytes of one object: the cluster's own limit is a little more than a mebibyte.
const PART_BYTES: usize = 900 << 10;
/// Most parts of a checkpoint: of the eight objects that a run may have, one is the first part, and the others are used
/// in turn, so that the parts of the last checkpoint are still there until the next one is whole.
const MAX_PARTS: usize = 4;
/// Most bytes that a checkpoint may have when it is unpacked.
const MAX_BYTES: u64 = 256 << 20;

/// Packs a checkpoint.
pub fn pack(checkpoint: &Checkpoint) -> Result<Vec<u8>, Error> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&serde_json::to_vec(checkpoint)?)?;
    Ok(packer.finish()?)
}

/// Packs a checkpoint, in parts that an object takes each.
pub(super) fn parts(checkpoint: &Checkpoint) -> Result<Vec<Vec<u8>>, Error> {
    let packed = pack(checkpoint)?;
    if packed.len() > PART_BYTES * MAX_PARTS {
        return Err(Error::TooLarge(packed.len(), PART_BYTES * MAX_PARTS));
    }
    Ok(packed.chunks(PART_BYTES).map(<[u8]>::to_vec).collect())
}

/// Unpacks a checkpoint from its parts, joined.
pub fn unpack(packed: &[u8]) -> Result<Checkpoint, Error> {
    let mut json = Vec::new();
    GzDecoder::new(packed).take(MAX_BYTES).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}
