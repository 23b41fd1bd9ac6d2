//! What the fuzz targets do with their bytes. Used by a test of the crate, too.

use botarmy_actions::http1::chunked::Decoder;
use botarmy_actions::http1::response::{self, Body};

/// Reads an answer whole and in pieces, which must come to the same. The first byte says how long the pieces are,
/// and whether the request was a HEAD.
pub(crate) fn http1(data: &[u8]) {
    let Some((&shape, bytes)) = data.split_first() else { return };
    let (piece, to_head) = (usize::from(shape >> 1) + 1, shape & 1 == 1);
    let Ok(Some((head, length))) = response::read(bytes, to_head) else { return };
    assert!(length <= bytes.len());
    // Less of it is no answer yet, and more of it changes nothing.
    for end in (0..length).step_by(piece) {
        assert_eq!(response::read(&bytes[..end], to_head), Ok(None), "{end} of {length} bytes");
    }
    assert_eq!(response::read(&bytes[..length], to_head), Ok(Some((head, length))));
    if head.body == Body::Chunked {
        let whole = chunks(&bytes[length..], usize::MAX);
        assert_eq!(whole, chunks(&bytes[length..], piece));
    }
}

/// The data of a body of chunks that comes in pieces, how many bytes it took, and whether it came to its end; none
/// when it is wrong.
fn chunks(bytes: &[u8], piece: usize) -> Option<(Vec<u8>, usize, bool)> {
    let (mut decoder, mut data, mut taken) = (Decoder::default(), Vec::new(), 0);
    for part in bytes.chunks(piece.min(bytes.len().max(1))) {
        let took = decoder.take(part, |more| data.extend_from_slice(more)).ok()?;
        taken += took;
        if took < part.len() {
            assert!(decoder.is_over(), "bytes are left over before the end");
            break;
        }
    }
    Some((data, taken, decoder.is_over()))
}
