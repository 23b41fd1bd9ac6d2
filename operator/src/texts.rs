//! Where JSON is text and where it is not, byte by byte: brackets and commas that stand in a text mean nothing. Pure.

/// What a byte of JSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// None of a text: a bracket, a comma, a blank, part of a number.
    Mark,
    /// The quote before a text.
    Begins,
    /// Part of it.
    Inner,
    /// The quote behind it.
    Ends,
}

/// Follows the texts of one JSON after another, given in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    reads: Reads,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Reads {
    #[default]
    Marks,
    Text,
    /// In a text, behind a backslash.
    Escaped,
}

impl Texts {
    /// What the next byte is.
    pub(crate) fn part(&mut self, byte: u8) -> Part {
        let (reads, part) = match (&self.reads, byte) {
            (Reads::Marks, b'"') => (Reads::Text, Part::Begins),
            (Reads::Marks, _) => (Reads::Marks, Part::Mark),
            (Reads::Text, b'"') => (Reads::Marks, Part::Ends),
            (Reads::Text, b'\\') => (Reads::Escaped, Part::Inner),
            (Reads::Text | Reads::Escaped, _) => (Reads::Text, Part::Inner),
        };
        self.reads = reads;
        part
    }
}
