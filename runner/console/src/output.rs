//! Lines for people. A reader that closes the pipe early has seen what it wanted: that is no reason
//! to end, as `println` would.

use crate::screen;
use botarmy_report::Exit;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes a line to stdout, and tells whether that was a success.
#[must_use]
pub fn say(line: &impl Display) -> Exit {
    print(line).map_or_else(|error| unprinted(&error), |()| Exit::Passed)
}

/// Writes a line to stdout, at once.
pub fn print(line: &impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}

/// What it comes to that a line could not be printed; a complaint unless nobody wants to read any more.
#[must_use]
pub fn unprinted(error: &io::Error) -> Exit {
    if error.kind() == ErrorKind::BrokenPipe {
        return Exit::Passed;
    }
    complain(&format_args!("stdout cannot be written to: {error}; let it go to another place"));
    Exit::Unwritten
}

/// Writes what is wrong to stderr, as one text without empty lines at its end.
pub fn complain(what: &impl Display) {
    screen::say(&format!("{}\n", what.to_string().trim_end()));
}

/// A name in one line: line breaks and other control characters of labels and files are escaped.
pub fn one_line(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
