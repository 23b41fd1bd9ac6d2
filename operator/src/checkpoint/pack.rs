//! A checkpoint as compressed bytes, cut to what an object takes. Pure.

use super::Error;
use crate::armies::Checkpoint;
use crate::unfolded::unfolded;
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
/// Most that it may come to in memory when it is read, as it is reckoned: whatever is written is read again. Rows come to
/// less than that, since not all of their brackets are lists or mappings that may be anything.
const MAX_WEIGHT: usize = 128 << 20;
/// The keys of what is measured.
const MEASURES: &[&str] = &["totals", "warmup", "timeline"];

fn weight(json: &[u8]) -> usize {
    unfolded(json, MEASURES, MAX_WEIGHT)
}

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
pub(crate) fn parts(checkpoint: &Checkpoint) -> Result<Vec<Vec<u8>>, Error> {
    let json = serde_json::to_vec(checkpoint)?;
    if json.len() > MAX_BYTES {
        return Err(Error::TooLarge(json.len(), MAX_BYTES));
    }
    let weight = weight(&json);
    if weight > MAX_WEIGHT {
        return Err(Error::TooLarge(weight, MAX_WEIGHT));
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
    if weight(&json) > MAX_WEIGHT {
        return Err(Error::Weighs(MAX_WEIGHT));
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

    #[test]
    fn what_would_take_all_memory_once_it_is_read_is_not_read() {
        for (key, item) in [("context", "[0],"), ("spec", "{},"), ("totals", "{},"), ("timeline", "[127,1],")]
        {
            let json = format!("{{\"{key}\":[{}0]}}", item.repeat((MAX_BYTES >> 1) / item.len()));
            let made_by_hand = compress(json.as_bytes()).unwrap();
            assert!(json.len() <= MAX_BYTES && made_by_hand.len() < PART_BYTES, "an object takes it");
            let refused = unpack(&made_by_hand).unwrap_err();
            assert!(matches!(refused, Error::Weighs(MAX_WEIGHT)) && refused.is_broken(), "{key}: {refused}");
        }
    }
}
