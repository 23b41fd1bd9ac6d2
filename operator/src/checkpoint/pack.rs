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
/// Most bytes that a checkpoint may have before it is packed, and when it is unpacked: whoever may write into the objects of
/// a run must not take the memory of the operator, which has all runs.
const MAX_BYTES: usize = 16 << 20;

/// Packs a checkpoint.
pub fn pack(checkpoint: &Checkpoint) -> Result<Vec<u8>, Error> {
    compress(&serde_json::to_vec(checkpoint)?)
}

fn compress(json: &[u8]) -> Result<Vec<u8>, Error> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(json)?;
    Ok(packer.finish()?)
}

/// Packs a checkpoint, in parts that an object takes each.
pub(super) fn parts(checkpoint: &Checkpoint) -> Result<Vec<Vec<u8>>, Error> {
    let json = serde_json::to_vec(checkpoint)?;
    if json.len() > MAX_BYTES {
        return Err(Error::TooLarge(json.len(), MAX_BYTES));
    }
    let packed = compress(&json)?;
    if packed.len() > PART_BYTES * MAX_PARTS {
        return Err(Error::TooLarge(packed.len(), PART_BYTES * MAX_PARTS));
    }
    Ok(packed.chunks(PART_BYTES).map(<[u8]>::to_vec).collect())
}

/// Unpacks a checkpoint from its parts, joined.
pub fn unpack(packed: &[u8]) -> Result<Checkpoint, Error> {
    let mut json = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    GzDecoder::new(packed).take(most.saturating_add(1)).read_to_end(&mut json).map_err(Error::Unpack)?;
    if json.len() > MAX_BYTES {
        return Err(Error::Unfolds(MAX_BYTES));
    }
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unfolds_to_more_than_there_is_room_for_is_not_read() {
        let bomb = compress(&vec![b' '; MAX_BYTES + 1]).unwrap();
        assert!(bomb.len() < PART_BYTES, "an object takes it");
        assert!(matches!(unpack(&bomb), Err(Error::Unfolds(MAX_BYTES))));
        let fits = compress(&vec![b' '; MAX_BYTES]).unwrap();
        assert!(matches!(unpack(&fits), Err(Error::Broken(_))));
    }
}
