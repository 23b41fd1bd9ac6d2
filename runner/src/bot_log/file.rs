//! The file of the log: appended to, and begun anew before it grows too large.

use rustix::fs::OFlags;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file, a device or a pipe.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    /// What keeps it from growing; none for a device or a pipe, which does not grow.
    bound: Option<Bound>,
    /// A line was begun and not finished.
    torn: bool,
}

/// Which file it is, and how large it may become.
#[derive(Debug)]
struct Bound {
    path: PathBuf,
    id: (u64, u64),
    most: u64,
}

/// Bytes that were not all written.
#[derive(Debug)]
pub(super) struct Cut {
    /// How many of them were.
    pub(super) written: usize,
    pub(super) error: io::Error,
}

impl LogFile {
    /// Opens it, and makes it if need be. Never longer than `most` bytes unless what is appended at once
    /// is.
    pub(super) fn open(path: &Path, most: u64) -> io::Result<Self> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        let bound = if metadata.is_file() {
            // The file that a link leads to is what grows, not the link.
            Some(Bound { path: path.canonicalize()?, id: id(&metadata), most })
        } else {
            None
        };
        Ok(Self { file, bound, torn: false })
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Cut> {
        self.make_room(lines.len()).map_err(|error| Cut { written: 0, error })?;
        if self.torn {
            self.write(b"\n").map_err(|cut| Cut { written: 0, ..cut })?;
            self.torn = false;
        }
        self.write(lines).inspect_err(|cut| {
            self.torn = cut.written > 0 && lines[cut.written - 1] != b'\n';
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return Err(Cut { written, error: ErrorKind::WriteZero.into() }),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Cut { written, error }),
            }
        }
        Ok(())
    }

    /// Sets the file aside if it has no room for so many bytes more. One that others have set aside or
    /// removed is begun anew, so that what is written is where it is looked for.
    fn make_room(&mut self, more: usize) -> io::Result<()> {
        let Some(Bound { path, id: ours, most }) = &mut self.bound else { return Ok(()) };
        match fs::metadata(&*path) {
            Ok(there) if id(&there) == *ours => {
                if there.len() == 0 || there.len().saturating_add(more as u64) <= *most {
                    return Ok(());
                }
                fs::rename(&*path, set_aside(path))?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let fresh = open(path)?;
        *ours = id(&fresh.metadata()?);
        (self.file, self.torn) = (fresh, false);
        Ok(())
    }
}

/// Where a file that has grown too large goes: the same name with `.1` behind it.
fn set_aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}

fn id(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    // A pipe that nobody reads is an error then, and no wait without end.
    let file = OpenOptions::new().append(true).create(true).custom_flags(flags).open(path)?;
    rustix::io::ioctl_fionbio(&file, false)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_is_appended_to_and_set_aside_before_it_grows_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "before\n").unwrap();
        let mut log = LogFile::open(&path, 20).unwrap();
        log.append(b"one\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\none\n");
        log.append(b"two\nthree\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\nthree\n");
        assert_eq!(fs::read_to_string(set_aside(&path)).unwrap(), "before\none\n");
        for n in 10..100 {
            log.append(format!("line {n}\n").as_bytes()).unwrap();
            assert!(fs::metadata(&path).unwrap().len() <= 20);
            assert!(fs::metadata(set_aside(&path)).unwrap().len() <= 20);
        }
        let kept = fs::read_to_string(set_aside(&path)).unwrap() + &fs::read_to_string(&path).unwrap();
        assert!(kept.ends_with("line 97\nline 98\nline 99\n"), "{kept}");
        assert_eq!(names(folder.path()), ["log", "log.1"]);
        log.append("x".repeat(50).as_bytes()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 50, "what is longer by itself is kept whole");
    }

    #[test]
    fn the_file_behind_a_link_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("log"), folder.path().join("link"));
        fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut log = LogFile::open(&link, 5).unwrap();
        log.append(b"one\n").unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), "two\n");
        assert_eq!(names(folder.path()), ["link", "log", "log.1"]);
    }

    #[test]
    fn one_that_others_have_moved_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, 100).unwrap();
        log.append(b"one\n").unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        fs::remove_file(&path).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, "of others\n").unwrap();
        log.append(b"four\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "of others\nfour\n");
    }

    #[test]
    fn one_that_cannot_be_set_aside_grows_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::create_dir_all(set_aside(&path).join("in the way")).unwrap();
        let mut log = LogFile::open(&path, 5).unwrap();
        log.append(b"one\n").unwrap();
        let cut = log.append(b"two\n").unwrap_err();
        assert_eq!((cut.written, fs::read_to_string(&path).unwrap().as_str()), (0, "one\n"));
        fs::remove_dir_all(set_aside(&path)).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn what_cannot_be_written_to_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(LogFile::open(folder.path(), 5).is_err());
        assert!(LogFile::open(&folder.path().join("no/such/folder"), 5).is_err());
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success() && LogFile::open(&pipe, 5).is_err(), "nobody reads it");
        let reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
        LogFile::open(&pipe, 5).unwrap().append(b"longer than the bound\n").unwrap();
        drop(reader);
        let mut full = LogFile::open(Path::new("/dev/full"), 5).unwrap();
        let cut = full.append(b"one\n").unwrap_err();
        assert_eq!((cut.written, cut.error.kind()), (0, ErrorKind::StorageFull));
    }

    #[test]
    fn a_line_that_was_cut_ends_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, 100).unwrap();
        log.append(b"begun").unwrap();
        log.torn = true;
        log.append(b"next\n").unwrap();
        log.append(b"last\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "begun\nnext\nlast\n");
    }
}
