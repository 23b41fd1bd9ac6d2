//! Texts that a person hands over: a file, or what comes by standard input.

use crate::pipe;
use std::io::Read;
use std::path::Path;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, device or pipe cannot be read.
    #[error("cannot be read: {0}; check the name, and that it is a file that you may read")]
    Read(#[from] std::io::Error),
    /// There is more than anybody means to hand over.
    #[error("is larger than {0} bytes; move data into files of its own")]
    TooLarge(usize),
    /// It is something else than text.
    #[error("is not text in UTF-8: {0}; save it in that encoding")]
    NoText(#[from] std::string::FromUtf8Error),
}

/// Reads a file of at most so many bytes.
pub fn read(path: &Path, most: usize) -> Result<String, Error> {
    checked(pipe::read(path, most.saturating_add(1))?, most)
}

/// Reads standard input to its end, at most so many bytes.
pub fn read_input(most: usize) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let most_read = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    std::io::stdin().lock().take(most_read).read_to_end(&mut bytes)?;
    checked(bytes, most)
}

fn checked(bytes: Vec<u8>, most: usize) -> Result<String, Error> {
    if bytes.len() > most { Err(Error::TooLarge(most)) } else { Ok(String::from_utf8(bytes)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_whole_and_of_letters() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (bytes, most, told) in [
            (&b"three"[..], 5, "three"),
            (b"three", 4, "is larger than 4 bytes; move data into files of its own"),
            (b"\xff", 5, "is not text in UTF-8: "),
        ] {
            std::fs::write(file.path(), bytes).expect("it is written");
            let read = read(file.path(), most).unwrap_or_else(|error| error.to_string());
            assert!(read.starts_with(told), "{read}");
        }
        let error = read(Path::new("/"), 5).expect_err("a folder");
        assert!(error.to_string().starts_with("cannot be read: "), "{error}");
    }
}
