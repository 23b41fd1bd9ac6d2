//! YAML text to values that mean the same on a laptop and behind the API server.

use crate::fields::Findings;
use crate::finding::{Finding, Path, quoted};
use crate::yaml_scalar;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Deepest nesting of a document. Behind the API server a document is JSON, whose readers stop at
/// 128 levels; the rest is left to what stands around a tree.
pub const MAX_NESTING: usize = 100;
/// Largest text, in bytes. An object of the API server can be 1.5 MiB at most.
pub const MAX_BYTES: usize = 8 << 20;
/// Most values of a stream. What has an anchor counts twice, and each use of an alias counts anew,
/// so that a few lines cannot grow into a heap of memory.
pub const MAX_VALUES: usize = 1_000_000;
/// Most bytes of text and keys of a stream, counted the same way.
pub const MAX_TEXT: usize = 4 * MAX_BYTES;
/// Most documents of a stream.
pub const MAX_DOCUMENTS: usize = 1_000;

/// One document of a stream.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// The value in canonical form ([`crate::canonical::canonical`]).
    pub value: Value,
    /// What is wrong with it; paths start at the document's top. A value that cannot be read is
    /// there as the text that is written.
    pub findings: Findings,
}

/// What YAML allows and this reader refuses, and what is no YAML at all.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("not valid YAML: line {line}, column {column}: {info}")]
    Syntax { line: usize, column: usize, info: String },
    #[error("the text is larger than {MAX_BYTES} bytes; move data into files of its own")]
    TooLarge,
    #[error("more than {MAX_VALUES} values (each use of an alias counts); write less or use fewer aliases")]
    TooManyValues,
    #[error(
        "more than {MAX_TEXT} bytes of text (each use of an alias counts); write less or use fewer aliases"
    )]
    TooMuchText,
    #[error("more than {MAX_DOCUMENTS} documents; split the file")]
    TooManyDocuments,
    #[error(
        "nested deeper than {MAX_NESTING} levels (line {0}); move the inner part into a tree of its own and call it with subtree"
    )]
    TooDeep(usize),
    #[error("the key {0} is given twice; keep one")]
    DuplicateKey(String),
    #[error("a key must be text, not a list, a mapping or null (line {0})")]
    KeyIsNoText(usize),
    #[error("the key {0} reads as {1} elsewhere; quote it")]
    KeyChanges(String, String),
    #[error("tags such as {0} are not read; leave it out, and quote what is text")]
    Tag(String),
    #[error("<< merges a mapping or a list of mappings; write the fields out")]
    Merge,
    #[error("{0}")]
    Scalar(#[from] yaml_scalar::ScalarError),
}

/// Reads all documents of a YAML stream. Documents that hold nothing are left out.
///
/// The error is one that leaves nothing to read (no YAML, too large, too deep); what is wrong
/// inside of one document lies in its findings, all at once.
pub fn read(text: &str) -> Result<Vec<Document>, Finding> {
    let fatal = |e: &Error| Finding::new(&Path::top(), e);
    if text.len() > MAX_BYTES {
        return Err(fatal(&Error::TooLarge));
    }
    let mut composer = Composer {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        size: Size::default(),
        findings: Findings::default(),
    };
    composer.stream().map_err(|e| fatal(&e))
}

struct Composer<'input> {
    parser: Parser<'input, StrInput<'input>>,
    /// Finished values by anchor, each with its size.
    anchors: HashMap<usize, (Value, Size)>,
    size: Size,
    findings: Findings,
}

/// How much memory a value takes.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    values: usize,
    /// Bytes of texts and keys.
    text: usize,
}

impl<'input> Composer<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Span), Error> {
        let at_end = || Error::Syntax { line: 0, column: 0, info: "the text ends too early".into() };
        self.parser.next().ok_or_else(at_end)?.map_err(|e| Error::Syntax {
            line: e.marker().line(),
            column: e.marker().col() + 1,
            info: e.info().to_owned(),
        })
    }

    fn stream(&mut self) -> Result<Vec<Document>, Error> {
        let mut documents = Vec::new();
        loop {
            match self.next()?.0 {
                Event::StreamEnd => return Ok(documents),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                first => {
                    let value = self.value(first, Span::default(), &Path::top(), 0)?;
                    let findings = std::mem::take(&mut self.findings);
                    self.anchors.clear();
                    if !(value.is_null() && findings.is_empty()) {
                        documents.push(Document { value, findings });
                    }
                    if documents.len() > MAX_DOCUMENTS {
                        return Err(Error::TooManyDocuments);
                    }
                }
            }
        }
    }

    fn note(&mut self, path: &Path, error: &Error) {
        self.findings.note(path, error);
    }

    fn count(&mut self, more: Size) -> Result<(), Error> {
        self.size = Size { values: self.size.values + more.values, text: self.size.text + more.text };
        match self.size {
            Size { values, .. } if values > MAX_VALUES => Err(Error::TooManyValues),
            Size { text, .. } if text > MAX_TEXT => Err(Error::TooMuchText),
            _ => Ok(()),
        }
    }

    fn since(&self, before: Size) -> Size {
        Size { values: self.size.values - before.values, text: self.size.text - before.text }
    }

    fn value(&mut self, event: Event<'input>, span: Span, path: &Path, depth: usize) -> Result<Value, Error> {
        if depth > MAX_NESTING {
            return Err(Error::TooDeep(span.start.line()));
        }
        let before = self.size;
        let text = if let Event::Scalar(text, ..) = &event { text.len() } else { 0 };
        self.count(Size { values: 1, text })?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), path);
                (self.scalar(&text, style, path), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), path);
                (self.sequence(path, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), path);
                (self.mapping(path, depth)?, anchor)
            }
            Event::Alias(anchor) => {
                // The parser knows only anchors it has met; one that is still open (an alias inside
                // of its own anchor) has no value yet and would have no end.
                let circular = || Error::Syntax {
                    line: span.start.line(),
                    column: span.start.col() + 1,
                    info: "an alias inside of what it names".into(),
                };
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or_else(circular)?;
                self.count(size)?;
                (value, 0)
            }
            _ => (Value::Null, 0),
        };
        if anchor != 0 {
            let size = self.since(before);
            self.count(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn refuse_tag(&mut self, tag: Option<&saphyr_parser::Tag>, path: &Path) {
        if let Some(tag) = tag {
            self.note(path, &Error::Tag(tag.to_string()));
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, path: &Path) -> Value {
        if style != ScalarStyle::Plain {
            return Value::from(text);
        }
        yaml_scalar::resolve(text).unwrap_or_else(|e| {
            self.findings.note_unread(path, &Error::Scalar(e));
            Value::from(text)
        })
    }

    fn sequence(&mut self, path: &Path, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            items.push(self.value(event, span, &path.index(items.len()), depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &Path, depth: usize) -> Result<Value, Error> {
        let mut entries = Map::new();
        let mut merged = Map::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = if is_merge { None } else { self.key(event, span, path, depth)? };
            let place = key.as_deref().map_or_else(|| path.key("<<"), |k| path.field(k));
            let (event, span) = self.next()?;
            let value = self.value(event, span, &place, depth + 1)?;
            if is_merge {
                self.merge(&mut merged, value, &place);
            } else if let Some(key) = key
                && entries.insert(key.clone(), value).is_some()
            {
                self.note(path, &Error::DuplicateKey(quoted(&key)));
            }
        }
        for (key, value) in merged {
            entries.entry(key).or_insert(value);
        }
        entries.retain(|_, value| !value.is_null());
        Ok(Value::Object(entries))
    }

    fn merge(&mut self, merged: &mut Map<String, Value>, value: Value, place: &Path) {
        let sources = match value {
            Value::Array(items) => items,
            one => vec![one],
        };
        for source in sources {
            match source {
                // Earlier mappings of the list win over later ones.
                Value::Object(entries) => entries.into_iter().for_each(|(k, v)| {
                    merged.entry(k).or_insert(v);
                }),
                _ => self.note(place, &Error::Merge),
            }
        }
    }

    /// The text of a key, or none if it has no agreed one, which is noted.
    fn key(
        &mut self,
        event: Event<'input>,
        span: Span,
        path: &Path,
        depth: usize,
    ) -> Result<Option<String>, Error> {
        if let Event::Scalar(text, style, _, None) = &event
            && *style != ScalarStyle::Plain
        {
            self.count(Size { values: 1, text: text.len() })?;
            return Ok(Some(text.to_string()));
        }
        let written = if let Event::Scalar(text, ..) = &event { text.to_string() } else { String::new() };
        let place = path.field(&written);
        let known = self.findings.len();
        let value = self.value(event, span, &place, depth + 1)?;
        if self.findings.len() > known {
            self.findings.unread(path);
            return Ok(None);
        }
        let error = match value {
            Value::String(key) => return Ok(Some(key)),
            Value::Null | Value::Array(_) | Value::Object(_) => Error::KeyIsNoText(span.start.line()),
            other => {
                let read = other.to_string();
                if read == written {
                    return Ok(Some(written));
                }
                Error::KeyChanges(quoted(&written), read)
            }
        };
        self.findings.note_unread(path, &error);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Document {
        let mut documents = read(text).unwrap();
        assert_eq!(documents.len(), 1, "{documents:?}");
        documents.remove(0)
    }

    fn findings(text: &str) -> Vec<String> {
        one(text).findings.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_values_in_canonical_form() {
        let document = one("a: [1, 1.0, 'no', \"0755\", ~]\nb:\n  c: null\n  d: |\n    text\n");
        assert_eq!(document.value, json!({"a": [1, 1, "no", "0755", null], "b": {"d": "text\n"}}));
        assert!(document.findings.is_empty());
    }

    #[test]
    fn names_every_disputed_scalar_with_its_place() {
        assert_eq!(
            findings("a: {b: [x, no]}\nmode: 0755\n'on': 1\non: 2\n"),
            [
                "a.b[1]: YAML 1.1 and YAML 1.2 read the bare word no differently; quote it if it is text, or write it out",
                "mode: YAML 1.1 and YAML 1.2 read the bare word 0755 differently; quote it if it is text, or write it out",
                "on: YAML 1.1 and YAML 1.2 read the bare word on differently; quote it if it is text, or write it out",
            ]
        );
    }

    #[test]
    fn refuses_keys_that_change_or_repeat() {
        assert_eq!(findings("1.50: a"), ["(top): the key \"1.50\" reads as 1.5 elsewhere; quote it"]);
        assert_eq!(one("1: a").value, json!({"1": "a"}));
        assert_eq!(findings("a: 1\na: 2"), ["(top): the key \"a\" is given twice; keep one"]);
        assert!(findings("? [a]\n: 1")[0].contains("a key must be text"));
        assert!(findings("~: 1")[0].contains("a key must be text"));
    }

    #[test]
    fn aliases_and_merges_are_expanded_within_bounds() {
        let document = one("base: &b {x: 1, z: 2}\nthis: {<<: *b, z: 3}\nthat: {<<: [{z: 9}, *b]}\n");
        assert_eq!(document.value["this"], json!({"x": 1, "z": 3}));
        assert_eq!(document.value["that"], json!({"x": 1, "z": 9}));
        assert!(document.findings.is_empty());

        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let item = format!("*a{}", i - 1);
            let line = format!("a{i}: &a{i} [{}]\n", vec![item; 10].join(", "));
            bomb.push_str(&line);
        }
        assert!(read(&bomb).unwrap_err().to_string().contains("more than 1000000 values"));
        assert!(read("a: &a [*a]").is_err());

        let anchors: Vec<String> = (0..90).map(|i| format!("&n{i} ")).collect();
        let nested = format!("{}[{}{}", anchors.join("["), "x,".repeat(20_000), "]".repeat(90));
        assert!(read(&nested).unwrap_err().to_string().contains("more than 1000000 values"));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a,".repeat(1000));
        assert!(read(&long).unwrap_err().to_string().contains("bytes of text"));
    }

    #[test]
    fn depth_size_tags_and_syntax_have_clear_errors() {
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(read(&nested(MAX_NESTING)).is_ok() && read(&nested(100_000)).is_err());
        let deep = nested(MAX_NESTING + 2);
        let error = read(&deep).unwrap_err().to_string();
        assert!(error.contains("nested deeper than 100 levels"), "{error}");
        assert!(read(&"a".repeat(MAX_BYTES + 1)).unwrap_err().to_string().contains("larger than"));
        assert!(findings("a: !thing 1")[0].starts_with("a: tags such as"));
        let syntax = read("a: [1\nb: }").unwrap_err().to_string();
        assert!(syntax.contains("not valid YAML: line 2"), "{syntax}");
    }

    #[test]
    fn several_documents_are_kept_apart() {
        let documents = read("---\n---\na: 1\n---\nb: no\n").unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].value, json!({"a": 1}));
        assert!(documents[0].findings.is_empty());
        assert_eq!(documents[1].findings.len(), 1);
    }
}
