//! Lines for people. A reader that closes the pipe early has seen what it wanted: that is no reason
//! to end, as `println` would.

use super::{Exit, screen};
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Writes a line to stdout, and tells whether that was a success.
#[must_use]
pub(super) fn say(line: &impl Display) -> Exit {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format_args!("stdout cannot be written to: {error}; let it go to another place"));
            Exit::Unwritten
        }
        Ok(()) | Err(_) => Exit::Passed,
    }
}

/// Writes what is wrong to stderr, as one text without empty lines at its end.
pub(super) fn complain(what: &impl Display) {
    screen::say(&format!("{}\n", what.to_string().trim_end()));
}

/// A name in one line: line breaks and other control characters of labels and files are escaped.
pub(super) fn one_line(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
