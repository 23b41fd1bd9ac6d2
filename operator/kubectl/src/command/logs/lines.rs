//! Bytes of a log to lines: bounded, each of them once, and with the name of its pod. Pure.

use botarmy_report::terminal::escape;
use k8s_openapi::jiff::Timestamp;

/// Longest line, in bytes; the rest of it is cut off.
const MAX_LINE: usize = 64 << 10;

/// The line that is being read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// The lines that end within these bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = MAX_LINE.saturating_sub(self.begun.len());
            self.is_cut |= text.len() > room;
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                lines.push(self.end());
            }
        }
        lines
    }

    /// What is left when nothing more comes, if it is something.
    pub(super) fn rest(&mut self) -> Option<String> {
        (!self.begun.is_empty()).then(|| self.end())
    }

    fn end(&mut self) -> String {
        let mut line = String::from_utf8_lossy(&std::mem::take(&mut self.begun)).into_owned();
        if std::mem::take(&mut self.is_cut) {
            line.push('…');
        }
        line
    }
}

/// How far a log was read whose lines begin with their times. One that is read anew after it was cut off begins
/// somewhat before, and none of its lines is to be seen twice.
#[derive(Debug, Default)]
pub(super) struct Seen {
    last: Option<Timestamp>,
    /// Up to here it was read before it was read anew.
    before: Option<Timestamp>,
}

impl Seen {
    /// The log is read anew: from this second on, or from its beginning.
    pub(super) fn read_anew(&mut self) -> Option<Timestamp> {
        self.before = self.last;
        // In full seconds, since a request rounds to them: never to a later one.
        self.last.and_then(|last| Timestamp::from_second(last.as_second()).ok())
    }

    /// The text of a line without its time, if the line was not seen before.
    pub(super) fn fresh<'l>(&mut self, line: &'l str) -> Option<&'l str> {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        // What has no time cannot be known again.
        let Ok(time) = time.parse::<Timestamp>() else { return Some(line) };
        if self.before.is_some_and(|before| time <= before) {
            return None;
        }
        self.last = Some(time);
        Some(text)
    }
}

/// A line after the name of its pod. On a terminal nothing in it acts on the terminal: bots log what others send them.
pub(super) fn prefixed(pod: &str, text: &str, on_terminal: bool) -> String {
    if on_terminal { format!("[{pod}] {}", escape(text)) } else { format!("[{pod}] {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_whatever_pieces_they_come_in() {
        let log = "one\n\ntwo µ\r\nthe rest".as_bytes();
        for size in 1..=log.len() {
            let mut lines = Lines::default();
            let mut read: Vec<String> = log.chunks(size).flat_map(|piece| lines.take(piece)).collect();
            read.extend(lines.rest());
            assert_eq!(read, ["one", "", "two µ\r", "the rest"], "{size}");
            assert_eq!(lines.rest(), None);
        }
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_its_bound() {
        let mut lines = Lines::default();
        for _ in 0..10 {
            assert!(lines.take(&vec![b'x'; MAX_LINE / 2]).is_empty());
            assert!(lines.begun.len() <= MAX_LINE);
        }
        let read = lines.take(b"yz\nnext\n");
        assert_eq!(read[0], format!("{}…", "x".repeat(MAX_LINE)));
        assert_eq!(read[1..], ["next"]);
        assert_eq!(lines.take(&[b"x".repeat(MAX_LINE), b"\n".to_vec()].concat())[0].len(), MAX_LINE);
    }

    #[test]
    fn what_is_read_again_is_seen_once() {
        let mut seen = Seen::default();
        assert_eq!(seen.read_anew(), None);
        for (line, text) in [
            ("2030-01-01T00:00:02.600000001Z one", "one"),
            ("2030-01-01T00:00:02.700000000Z two words", "two words"),
            ("2030-01-01T00:00:02.700000000Z at the same time", "at the same time"),
            ("no time at all", "no time at all"),
        ] {
            assert_eq!(seen.fresh(line), Some(text), "{line}");
        }
        let second = "2030-01-01T00:00:02Z".parse().expect("a time");
        assert_eq!(seen.read_anew(), Some(second), "never a later one");
        for (line, text) in [
            ("2030-01-01T00:00:02.600000001Z one", None),
            ("2030-01-01T00:00:02.700000000Z two words", None),
            ("2030-01-01T00:00:02.700000001Z three", Some("three")),
            ("2030-01-01T00:00:03Z", Some("")),
        ] {
            assert_eq!(seen.fresh(line), text, "{line}");
        }
    }

    #[test]
    fn a_line_stands_after_its_pod() {
        assert_eq!(prefixed("a-0-x", "\u{1b}[2Jtext", false), "[a-0-x] \u{1b}[2Jtext");
        assert_eq!(prefixed("a-0-x", "\u{1b}[2Jtext", true), "[a-0-x] \\u{1b}[2Jtext");
    }
}
