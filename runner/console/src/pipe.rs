//! Files that a user names, and that may be pipes: nobody need be at the other end, and no wait for somebody
//! is without end.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the other end may do nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for what nobody tells.
const LOOK: Duration = Duration::from_millis(20);
/// How much is read at once.
const PIECE: usize = 64 << 10;

/// Why something that is there is of no use.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("nothing has come from it for {0:?}, as if nobody wrote to it")]
    NoWriter(Duration),
    #[error("nobody has read from it for {0:?}")]
    NoReader(Duration),
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(ErrorKind::TimedOut, error)
    }
}

/// Reads a file, a device or a pipe to its end, but no more than `most` bytes.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    read_within(path, most, PATIENCE)
}

/// Opens what is there to append to it; a pipe is waited for until somebody reads from it.
pub fn open(path: &Path) -> io::Result<File> {
    open_within(path, PATIENCE)
}

/// Writes all of it to what [`open`] has opened.
pub fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    write_within(file, bytes, PATIENCE)
}

fn read_within(path: &Path, most: usize, patience: Duration) -> io::Result<Vec<u8>> {
    let mut file = options().read(true).open(path)?;
    let mut other = OtherEnd::of(&file, patience);
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    while bytes.len() < most {
        let room = PIECE.min(most - bytes.len());
        // A pipe that nobody has written to yet looks as if it were at its end; that is told only then.
        if !other.is_ready(&file, PollFlags::IN)? {
            return Err(Error::NoWriter(patience).into());
        }
        match file.read(&mut piece[..room]) {
            Ok(0) => break,
            Ok(length) => {
                bytes.extend_from_slice(&piece[..length]);
                other.has_acted();
            }
            Err(error) => pause_or(error)?,
        }
    }
    Ok(bytes)
}

fn open_within(path: &Path, patience: Duration) -> io::Result<File> {
    let begun = Instant::now();
    loop {
        match options().append(true).open(path) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) && is_pipe(path) => {
                if begun.elapsed() >= patience {
                    return Err(Error::NoReader(patience).into());
                }
                pause();
            }
            opened => return opened,
        }
    }
}

fn write_within(file: &mut File, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let mut other = OtherEnd::of(file, patience);
    while !bytes.is_empty() {
        if !other.is_ready(file, PollFlags::OUT)? {
            return Err(Error::NoReader(patience).into());
        }
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => {
                bytes = &bytes[length..];
                other.has_acted();
            }
            Err(error) => pause_or(error)?,
        }
    }
    Ok(())
}

/// Neither opening nor what follows it waits by itself.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}

fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| there.file_type().is_fifo())
}

fn pause() {
    // A signal may cut it short.
    let _ = Timespec::try_from(LOOK).map(|look| poll(&mut [], Some(&look)));
}

/// An error that passes is waited for; a device may say that it is ready and is not.
fn pause_or(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock => pause(),
        ErrorKind::Interrupted => {}
        _ => return Err(error),
    }
    Ok(())
}

/// Whoever is expected to write or to read.
struct OtherEnd {
    /// None: a person at a terminal, who sees that we wait.
    patience: Option<Duration>,
    /// When it last did something.
    since: Instant,
}

impl OtherEnd {
    fn of(file: &File, patience: Duration) -> Self {
        Self { patience: (!file.is_terminal()).then_some(patience), since: Instant::now() }
    }

    fn has_acted(&mut self) {
        self.since = Instant::now();
    }

    /// Waits until something can be done; false when that took too long.
    fn is_ready(&self, file: &File, to: PollFlags) -> io::Result<bool> {
        loop {
            let left = self.patience.map(|patience| patience.saturating_sub(self.since.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(file, to)], left.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);

    fn pipe() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        (folder, path)
    }

    #[test]
    fn a_pipe_is_read_to_its_end_however_slowly_it_comes() {
        let (_folder, path) = pipe();
        let to = path.clone();
        let writer = std::thread::spawn(move || {
            let mut pipe = OpenOptions::new().write(true).open(to).expect("a reader");
            for piece in ["one ", "two ", "three"] {
                pipe.write_all(piece.as_bytes()).expect("a reader");
                pause();
            }
        });
        assert_eq!(read_within(&path, 100, LONG).expect("all of it"), b"one two three");
        writer.join().expect("it was read");
    }

    #[test]
    fn no_more_is_read_than_is_wanted() {
        assert_eq!(read(Path::new("/dev/zero"), PIECE + 7).expect("zeros"), vec![0; PIECE + 7]);
        assert!(read(Path::new("/dev/null"), 9).expect("nothing").is_empty());
        assert_eq!(read(Path::new("/"), 9).expect_err("a folder").kind(), ErrorKind::IsADirectory);
    }

    #[test]
    fn nobody_at_the_other_end_is_not_waited_for_without_end() {
        let (_folder, path) = pipe();
        let silent = |error: io::Error| (error.kind(), error.to_string());
        let nothing = "nothing has come from it for 200ms, as if nobody wrote to it";
        let unread = "nobody has read from it for 200ms";
        let error = read_within(&path, 9, SHORT).expect_err("nobody writes");
        assert_eq!(silent(error), (ErrorKind::TimedOut, nothing.into()));
        let error = open_within(&path, SHORT).expect_err("nobody reads");
        assert_eq!(silent(error), (ErrorKind::TimedOut, unread.into()));
        // Somebody who has opened it and does nothing is no better.
        let both = OpenOptions::new().read(true).write(true).open(&path).expect("both ends");
        let error = read_within(&path, 9, SHORT).expect_err("nobody writes");
        assert_eq!(silent(error), (ErrorKind::TimedOut, nothing.into()));
        let mut file = open_within(&path, SHORT).expect("somebody has it open");
        let error = write_within(&mut file, &vec![0; 1 << 20], SHORT).expect_err("nobody reads");
        assert_eq!(silent(error), (ErrorKind::TimedOut, unread.into()));
        drop(both);
    }

    #[test]
    fn a_pipe_is_written_to_once_somebody_reads() {
        let (_folder, path) = pipe();
        let from = path.clone();
        let reader = std::thread::spawn(move || std::fs::read(from).expect("what is written").len());
        let mut file = open_within(&path, LONG).expect("a reader");
        write_within(&mut file, &vec![0; 1 << 20], LONG).expect("it is read");
        drop(file);
        assert_eq!(reader.join().expect("a length"), 1 << 20);
    }
}
