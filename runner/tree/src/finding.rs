//! What is wrong with an input, and where.

use std::fmt;

/// A place inside a document, written as people write it: `spec.trees.Checkout.sequence[2]`.
///
/// A key that is not a plain word is quoted: `trees["my tree"]`. The empty path is the top.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Path(String);

impl Path {
    /// The top of a document.
    pub fn top() -> Self {
        Self::default()
    }

    /// The place of a field, quoted if it is not a plain word.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        match (plain, self.0.is_empty()) {
            (true, true) => Self(name.to_owned()),
            (true, false) => Self(format!("{}.{name}", self.0)),
            (false, _) => self.key(name),
        }
    }

    /// The place of an entry of a map whose keys are data; the key is always quoted.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{}]", self.0, quoted(key)))
    }

    /// The place of an item of a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// This place, seen from a document in which `self`'s top lies at `outer`.
    #[must_use]
    pub fn within(&self, outer: &Self) -> Self {
        match (outer.0.is_empty(), self.0.is_empty()) {
            (true, _) => self.clone(),
            (false, true) => outer.clone(),
            (false, false) if self.0.starts_with('[') => Self(format!("{}{}", outer.0, self.0)),
            (false, false) => Self(format!("{}.{}", outer.0, self.0)),
        }
    }

    /// Whether this is the top of the document.
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(top)" } else { &self.0 })
    }
}

/// One thing that is wrong: the place, the cause and the cure, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it is, from the top of the document.
    pub path: Path,
    /// What is wrong and what would be right, without line breaks.
    pub message: String,
}

impl Finding {
    /// Notes an error at a place. Control characters of the input are escaped, so that a finding
    /// stays one line and cannot steer a terminal.
    pub fn new(path: &Path, error: &impl fmt::Display) -> Self {
        let mut message = String::new();
        for c in error.to_string().chars() {
            if c.is_control() {
                message.extend(c.escape_default());
            } else {
                message.push(c);
            }
        }
        Self { path: path.clone(), message }
    }

    /// The same finding, seen from an outer document.
    #[must_use]
    pub fn within(mut self, outer: &Path) -> Self {
        self.path = self.path.within(outer);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Text in double quotes, shortened to 80 characters and escaped, for use in messages and paths.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let mut out = String::from("\"");
    for c in shown.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `a, b, c`, in the order given: the tail of "expected one of …".
pub(crate) fn listed<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    const MOST: usize = 40;
    let names: Vec<String> = names.into_iter().map(|n| n.as_ref().to_owned()).collect();
    if names.is_empty() {
        return "none".into();
    }
    let more = names.len().saturating_sub(MOST);
    let shown = names.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_people_write_them() {
        let path = Path::top().field("spec").field("trees").field("Check out").field("sequence").index(2);
        assert_eq!(path.to_string(), r#"spec.trees["Check out"].sequence[2]"#);
        assert_eq!(Path::top().field("trees").key("Root").to_string(), r#"trees["Root"]"#);
        assert_eq!(Path::top().to_string(), "(top)");
    }

    #[test]
    fn a_place_moves_into_an_outer_document() {
        let outer = Path::top().field("spec");
        assert_eq!(Path::top().field("bots").within(&outer).to_string(), "spec.bots");
        assert_eq!(Path::top().index(1).within(&outer).to_string(), "spec[1]");
        assert_eq!(Path::top().within(&outer).to_string(), "spec");
    }

    #[test]
    fn a_finding_is_one_harmless_line() {
        let finding = Finding::new(&Path::top().field("a"), &"bad\n\u{1b}[31mred");
        assert_eq!(finding.to_string(), "a: bad\\n\\u{1b}[31mred");
    }
}
