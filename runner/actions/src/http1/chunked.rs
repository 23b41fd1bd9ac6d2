//! The chunks of a body (RFC 9112, 7.1). Pure.

/// Most bytes of all chunk extensions of a body, and of its trailers: they are skipped.
const MAX_EXTRA: u64 = 16 << 10;

/// Why bytes are no chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No hexadecimal number where a chunk begins, or one above 64 bits.
    #[error("a chunk of the answer begins without its size")]
    Size,
    /// No end of line where one must be.
    #[error("a line of the answer's chunks does not end as it must")]
    Line,
    /// Extensions and trailers without end.
    #[error("the extensions and trailers of the answer's chunks are longer than {MAX_EXTRA} bytes")]
    TooLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Start,
    /// In the digits of a size.
    Size,
    /// Spaces after the digits.
    SizeSpace,
    /// In an extension, up to the end of its line.
    Extension,
    /// After the `\r` of the line with the size.
    SizeEnd,
    Data,
    /// After the bytes of a chunk.
    DataEnd,
    DataEndNewline,
    /// At the beginning of a trailer, or of the empty line that ends all.
    Trailer,
    InTrailer,
    TrailerEnd,
    LastNewline,
    Over,
}

/// Where a body of chunks stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    state: State,
    /// Bytes of the current chunk that are still to come.
    left: u64,
    /// Bytes of extensions and trailers so far.
    extra: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Start, left: 0, extra: 0 }
    }
}

impl Decoder {
    /// Whether the body has come to its end.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Takes bytes from the wire, hands those of the body to `data`, and tells how many it took: all, or
    /// those up to the end of the body.
    pub fn take(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, Error> {
        let mut at = 0;
        while at < bytes.len() && !self.is_over() {
            if self.state == State::Data {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                data(&bytes[at..at + length]);
                at += length;
                self.left -= length as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Error> {
        Ok(match (self.state, byte) {
            (State::Start | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = self.left.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                self.left = size.ok_or(Error::Size)?;
                State::Size
            }
            (State::Start, _) => return Err(Error::Size),
            (State::Size | State::SizeSpace, b' ' | b'\t') => self.skip(State::SizeSpace)?,
            (State::Size | State::SizeSpace, b';') => self.skip(State::Extension)?,
            (State::Size | State::SizeSpace | State::Extension, b'\r') => State::SizeEnd,
            (State::Size | State::SizeSpace, _) => return Err(Error::Size),
            (State::Extension, b'\n') => return Err(Error::Line),
            (State::Extension, _) => self.skip(State::Extension)?,
            (State::SizeEnd, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataEnd, b'\r') => State::DataEndNewline,
            (State::DataEndNewline, b'\n') => State::Start,
            (State::Trailer, b'\r') => State::LastNewline,
            (State::Trailer | State::InTrailer, byte) if byte != b'\r' => self.skip(State::InTrailer)?,
            (State::InTrailer, _) => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::Trailer,
            (State::LastNewline, b'\n') => State::Over,
            _ => return Err(Error::Line),
        })
    }

    fn skip(&mut self, next: State) -> Result<State, Error> {
        self.extra += 1;
        if self.extra > MAX_EXTRA { Err(Error::TooLong) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, in pieces of so many bytes from the wire, and what is left over.
    fn decode(wire: &[u8], piece: usize) -> Result<Option<(Vec<u8>, usize)>, Error> {
        let (mut decoder, mut body, mut taken) = (Decoder::default(), Vec::new(), 0);
        for bytes in wire.chunks(piece) {
            taken += decoder.take(bytes, |data| body.extend_from_slice(data))?;
            if decoder.is_over() {
                return Ok(Some((body, wire.len() - taken)));
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_are_put_together_however_they_come() {
        let wire = b"5\r\nhello\r\nB ;name=\"v;1\"\r\n wide world\r\n0\r\nTrailer: x\r\nOther:\r\n\r\nrest";
        for piece in 1..=wire.len() {
            let (body, left) = decode(wire, piece).expect("chunks").expect("an end");
            assert_eq!((body.as_slice(), left >= 4 || piece < wire.len()), (&b"hello wide world"[..], true));
        }
        assert_eq!(decode(b"0\r\n\r\n", 100), Ok(Some((vec![], 0))));
        assert_eq!(decode(b"000\r\n\r\n", 1), Ok(Some((vec![], 0))));
        for unfinished in [&b""[..], b"5", b"5\r\nhel", b"5\r\nhello\r\n", b"0\r\n", b"0\r\n\r"] {
            assert_eq!(decode(unfinished, 2), Ok(None), "{unfinished:?}");
        }
    }

    #[test]
    fn what_are_no_chunks_is_refused() {
        for (wire, error) in [
            (&b"x\r\n"[..], Error::Size),
            (b"\r\n", Error::Size),
            (b"-5\r\n", Error::Size),
            (b"5x\r\n", Error::Size),
            (b"10000000000000000\r\n", Error::Size),
            (b"5\nhello", Error::Size),
            (b"5;a\nhello", Error::Line),
            (b"5\rhello", Error::Line),
            (b"2\r\nabc\r\n", Error::Line),
            (b"2\r\nab\rc", Error::Line),
            (b"0\r\n\rx", Error::Line),
        ] {
            assert_eq!(decode(wire, 100), Err(error), "{wire:?}");
        }
        let endless = [b"5;".to_vec(), vec![b'a'; 20 << 10]].concat();
        assert_eq!(decode(&endless, 1000), Err(Error::TooLong));
        let endless = [b"0\r\n".to_vec(), b"A: b\r\n".repeat(5 << 10)].concat();
        assert_eq!(decode(&endless, 1000), Err(Error::TooLong));
    }
}
