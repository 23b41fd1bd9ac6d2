//! What is wrong with an input, and where.

use std::fmt;
use std::sync::Arc;

/// A place inside a document, written as people write it: `spec.trees.Checkout.sequence[2]`.
///
/// A key that is not a plain word is quoted: `trees["my tree"]`. The empty path is the top.
/// A place shares the way to it with its neighbours, so that a large document with deep places
/// costs one step each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Path(Option<Arc<Step>>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Step {
    parent: Path,
    part: Part,
}

/// Names are kept shortened: a place is for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Field(Box<str>),
    Key(Box<str>),
    Index(usize),
}

impl Path {
    /// The top of a document.
    pub fn top() -> Self {
        Self::default()
    }

    fn then(&self, part: Part) -> Self {
        Self(Some(Arc::new(Step { parent: self.clone(), part })))
    }

    /// The place of a field, quoted if it is not a plain word.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if plain { self.then(Part::Field(shortened(name))) } else { self.key(name) }
    }

    /// The place of an entry of a map whose keys are data; the key is always quoted.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Part::Key(shortened(key)))
    }

    /// The place of an item of a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Part::Index(index))
    }

    /// This place, seen from a document in which `self`'s top lies at `outer`.
    #[must_use]
    pub fn within(&self, outer: &Self) -> Self {
        self.steps().iter().fold(outer.clone(), |path, step| path.then(step.part.clone()))
    }

    /// Whether this is the top of the document.
    pub fn is_top(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this place is `outer` or lies inside of it.
    pub fn is_within(&self, outer: &Self) -> bool {
        let (inner, outer) = (self.steps(), outer.steps());
        outer.len() <= inner.len() && outer.iter().zip(&inner).all(|(o, i)| o.part == i.part)
    }

    /// From the top down.
    fn steps(&self) -> Vec<&Step> {
        let mut steps: Vec<&Step> =
            std::iter::successors(self.0.as_deref(), |step| step.parent.0.as_deref()).collect();
        steps.reverse();
        steps
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_top() {
            return f.write_str("(top)");
        }
        for (i, step) in self.steps().into_iter().enumerate() {
            match &step.part {
                Part::Field(name) if i == 0 => f.write_str(name)?,
                Part::Field(name) => write!(f, ".{name}")?,
                Part::Key(key) => write!(f, "[{}]", quoted(key))?,
                Part::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Most characters of a name or a text in messages and places.
const LONGEST: usize = 80;

fn shortened(text: &str) -> Box<str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
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

/// Text in double quotes, shortened and escaped, for use in messages and paths.
pub fn quoted(text: &str) -> String {
    // What was shortened before carries its mark and stays as it is.
    let shown = if text.ends_with('…') && text.chars().count() == LONGEST + 1 {
        text.into()
    } else {
        shortened(text)
    };
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
pub fn listed<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
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
        let bots = Path::top().field("bots").within(&outer);
        assert!(bots.is_within(&outer) && bots.is_within(&bots) && bots.is_within(&Path::top()));
        assert!(!outer.is_within(&bots) && !Path::top().field("bots").is_within(&outer));
    }

    #[test]
    fn long_names_are_shortened() {
        let long = "a".repeat(1_000_000);
        let path = Path::top().field(&long).key(&long).field(&format!("{long}!"));
        let a = "a".repeat(LONGEST);
        assert_eq!(path.to_string(), format!("{a}…[\"{a}…\"][\"{a}…\"]"));
    }

    #[test]
    fn a_finding_is_one_harmless_line() {
        let finding = Finding::new(&Path::top().field("a"), &"bad\n\u{1b}[31mred");
        assert_eq!(finding.to_string(), "a: bad\\n\\u{1b}[31mred");
    }
}
