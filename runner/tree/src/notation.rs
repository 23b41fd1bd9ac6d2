//! The YAML notation of trees: a mapping of names to nodes.

mod added;

pub(crate) use added::QUORUM_WORDS;
pub use added::{MAX_ARGUMENTS, MAX_ATTEMPTS};

use crate::action::{self, Actions, Templates};
use crate::ast::{Kind, Leaf, Node};
use crate::compile;
use crate::fields::{Findings, kind_of};
use crate::finding::{Finding, Path, listed, quoted};
use crate::http;
use crate::together;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Most trees of one document.
pub const MAX_TREES: usize = 1_000;
/// Most children of one node.
pub const MAX_CHILDREN: usize = 10_000;
/// Longest name of a tree and longest label, in bytes.
pub const MAX_NAME: usize = 253;
/// Most times a `repeat_n` runs its child.
pub const MAX_TIMES: u32 = 1_000_000_000;
/// Largest weight of a child of `random_weighted`.
pub const MAX_WEIGHT: u32 = 1_000_000;

const COMPOSITES: [&str; 3] = ["sequence", "select", "random"];
const DECORATORS: [&str; 5] =
    ["repeat_until_succeed", "repeat_until_fail", "negate", "always_succeed", "always_fail"];

/// The trees of a document, by name.
pub type Trees = BTreeMap<String, Node>;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("a node is a mapping with one kind, found {0}")]
    NoNode(String),
    #[error(
        "{0} is not a built-in action without arguments; for an action of your own write {{action: {0}}}"
    )]
    BareWord(String),
    #[error("a node needs its kind, one of {kinds}", kinds = listed(kinds()))]
    NoKind,
    #[error("unknown node {0}, expected one of {kinds}", kinds = listed(kinds()))]
    UnknownKind(String),
    #[error("a node has one kind, found {0}; put each into a node of its own")]
    SeveralKinds(String),
    #[error("the list is empty; give at least one child")]
    Empty,
    #[error("times must be a whole number from 2 to {MAX_TIMES}, found {0}")]
    Times(String),
    #[error("a bare n is read as false by kubectl; write times: 3 or \"n\": 3")]
    BareN,
    #[error("times and n say the same; keep one")]
    TimesTwice,
    #[error("a weight must be a whole number from 0 to {MAX_WEIGHT}, found {0}")]
    Weight(String),
    #[error("all weights are zero, so that nothing can be drawn; give one child a weight above zero")]
    NoWeight,
    #[error("a name has 1 to {MAX_NAME} bytes and no control characters, unlike {0}")]
    Name(String),
    #[error("no tree is given; add one under a name of your choice")]
    NoTree,
    #[error("at most {MAX_TREES} trees are allowed, not {0}")]
    TooManyTrees(usize),
    #[error("an action is a name, or {{name: NAME, args: [...]}}, found {0}")]
    NoAction(String),
}

/// All keys that make a node, in the order in which people are told of them.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    let nodes = COMPOSITES
        .into_iter()
        .chain(["random_weighted", "parallel", "repeat_n"])
        .chain(DECORATORS)
        .chain(["retry", "timeout", "if", "check", "subtree", "action"]);
    nodes.chain(together::KINDS).chain(action::BUILT_INS.iter().map(|s| s.name))
}

/// Reads the trees of a document (the value of its field `trees`), whose place is `path`.
/// All mistakes are told at once, those of trees that call one another included.
pub fn read(value: &Value, path: &Path, actions: &Actions) -> Result<Trees, Vec<Finding>> {
    let mut reader = Reader { findings: Findings::default(), actions };
    let trees = reader.trees(value, path);
    reader.findings.later(compile::check(&trees));
    reader.findings.or(trees)
}

struct Reader<'a> {
    findings: Findings,
    actions: &'a Actions,
}

impl Reader<'_> {
    fn trees(&mut self, value: &Value, path: &Path) -> Trees {
        let Some(entries) = self.findings.object(path, value, "a mapping of names to trees") else {
            return Trees::new();
        };
        if entries.is_empty() {
            self.findings.note(path, &Error::NoTree);
        }
        if entries.len() > MAX_TREES {
            self.findings.note(path, &Error::TooManyTrees(entries.len()));
            return Trees::new();
        }
        let mut trees = Trees::new();
        for (name, node) in entries {
            let place = path.field(name);
            self.check_name(&place, name);
            trees.insert(name.clone(), self.node(&place, node));
        }
        trees
    }

    fn check_name(&mut self, path: &Path, name: &str) {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            self.findings.note(path, &Error::Name(quoted(name)));
        }
    }

    /// A node; in the place of one that cannot be read stands a leaf, so that all that is around
    /// it can be looked at too.
    fn node(&mut self, path: &Path, value: &Value) -> Node {
        self.sound_node(path, value).unwrap_or_else(|| {
            let leaf = Leaf { name: "done".into(), base: "done".into(), call: action::Call::Done };
            Node { path: path.clone(), label: None, kind: Kind::Leaf(leaf) }
        })
    }

    fn sound_node(&mut self, path: &Path, value: &Value) -> Option<Node> {
        let fields = match value {
            Value::String(word) => {
                let kind = self.bare_word(path, word)?;
                return Some(Node { path: path.clone(), label: None, kind });
            }
            Value::Object(fields) => fields,
            other => {
                self.findings.note(path, &Error::NoNode(kind_of(other)));
                return None;
            }
        };
        let label = fields.get("label").and_then(|l| self.label(path, l));
        let mut kinds = fields.iter().filter(|(key, _)| *key != "label");
        let Some((key, inner)) = kinds.next() else {
            self.findings.note(path, &Error::NoKind);
            return None;
        };
        if kinds.next().is_some() {
            let keys = fields.keys().filter(|k| *k != "label").map(|k| quoted(k));
            self.findings.note(path, &Error::SeveralKinds(listed(keys)));
            return None;
        }
        let kind = self.kind(path, key, inner)?;
        Some(Node { path: path.clone(), label, kind })
    }

    fn label(&mut self, path: &Path, value: &Value) -> Option<String> {
        let place = path.field("label");
        let label = self.findings.text(&place, value, "text", MAX_NAME)?;
        self.check_name(&place, label);
        Some(label.to_owned())
    }

    fn bare_word(&mut self, path: &Path, word: &str) -> Option<Kind> {
        match action::built_in(word) {
            Some(signature) if signature.min_args == 0 => {
                let call =
                    self.findings.ok(path, Actions::built_in().call(word, &[], Templates::Rendered))?;
                Some(Kind::Leaf(Leaf { name: word.to_owned(), base: word.to_owned(), call }))
            }
            _ => {
                self.findings.note(path, &Error::BareWord(quoted(word)));
                None
            }
        }
    }

    fn kind(&mut self, path: &Path, key: &str, value: &Value) -> Option<Kind> {
        let place = path.field(key);
        let child = |reader: &mut Self| Box::new(reader.node(&place, value));
        Some(match key {
            "sequence" => Kind::Sequence(self.children(&place, value)?),
            "select" => Kind::Select(self.children(&place, value)?),
            "random" => Kind::Random(self.children(&place, value)?),
            "random_weighted" => Kind::RandomWeighted(self.weighted(&place, value)?),
            "repeat_n" => self.repeat_n(&place, value)?,
            "repeat_until_succeed" => Kind::RepeatUntilSucceed(child(self)),
            "repeat_until_fail" => Kind::RepeatUntilFail(child(self)),
            "negate" => Kind::Negate(child(self)),
            "always_succeed" => Kind::AlwaysSucceed(child(self)),
            "always_fail" => Kind::AlwaysFail(child(self)),
            "parallel" => self.parallel(&place, value)?,
            "retry" => self.retry(&place, value)?,
            "timeout" => self.timeout(&place, value)?,
            "if" => self.condition(&place, value)?,
            "check" => self.check(&place, value)?,
            "subtree" => self.subtree(&place, value)?,
            "action" => self.action(&place, value)?,
            "http" => {
                let (http, name) = http::read(&place, value, &mut self.findings)?;
                Kind::Leaf(Leaf { base: name.clone(), name, call: action::Call::Http(Box::new(http)) })
            }
            together if together::KINDS.contains(&together) => {
                Kind::Leaf(together::read(together, &place, value, &mut self.findings)?)
            }
            built_in if action::built_in(built_in).is_some() => self.built_in(&place, built_in, value)?,
            unknown => {
                self.findings.note(path, &Error::UnknownKind(quoted(unknown)));
                return None;
            }
        })
    }

    fn children(&mut self, path: &Path, value: &Value) -> Option<Vec<Node>> {
        let items = self.items(path, value)?;
        Some(items.iter().enumerate().map(|(i, item)| self.node(&path.index(i), item)).collect())
    }

    fn items<'v>(&mut self, path: &Path, value: &'v Value) -> Option<&'v [Value]> {
        let items = self.findings.list(path, value, "a list of nodes", MAX_CHILDREN)?;
        if items.is_empty() {
            self.findings.note(path, &Error::Empty);
            return None;
        }
        Some(items)
    }

    fn weighted(&mut self, path: &Path, value: &Value) -> Option<Vec<(u32, Node)>> {
        let items = self.items(path, value)?;
        let children: Vec<(u32, Node)> = items
            .iter()
            .enumerate()
            .filter_map(|(i, item)| self.weighted_child(&path.index(i), item))
            .collect();
        if children.len() == items.len() && children.iter().all(|(weight, _)| *weight == 0) {
            self.findings.note(path, &Error::NoWeight);
            return None;
        }
        Some(children)
    }

    fn weighted_child(&mut self, path: &Path, value: &Value) -> Option<(u32, Node)> {
        let fields = self.findings.object(path, value, "a mapping such as {weight: 3, child: NODE}")?;
        self.findings.only(path, fields, &["weight", "child"]);
        let weight = self.findings.required(path, fields, "weight").and_then(|w| {
            let number = w.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= MAX_WEIGHT);
            self.findings.ok(&path.field("weight"), number.ok_or_else(|| Error::Weight(kind_of(w))))
        });
        let child = self.child(path, fields)?;
        // A wrong weight is told; the child is looked at with any other.
        Some((weight.unwrap_or(1), child))
    }

    fn child(&mut self, path: &Path, fields: &Map<String, Value>) -> Option<Node> {
        let child = self.findings.required(path, fields, "child")?;
        Some(self.node(&path.field("child"), child))
    }

    fn repeat_n(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let fields = self.findings.object(path, value, "a mapping such as {times: 3, child: NODE}")?;
        if fields.contains_key("false") {
            self.findings.note(path, &Error::BareN);
        }
        self.findings.only(path, fields, &["times", "n", "child", "false"]);
        if fields.contains_key("times") && fields.contains_key("n") {
            self.findings.note(path, &Error::TimesTwice);
        }
        let times = fields.get("times").or_else(|| fields.get("n"));
        let times = match times {
            Some(value) => {
                let number = value
                    .as_u64()
                    .and_then(|n| u32::try_from(n).ok())
                    .filter(|n| (2..=MAX_TIMES).contains(n));
                let key = if fields.contains_key("times") { "times" } else { "n" };
                self.findings.ok(&path.field(key), number.ok_or_else(|| Error::Times(kind_of(value))))
            }
            None if fields.contains_key("false") => None,
            None => self.findings.required(path, fields, "times").map(|_| 0),
        };
        let child = self.child(path, fields);
        Some(Kind::RepeatN(times.unwrap_or(2), Box::new(child?)))
    }

    fn action(&mut self, path: &Path, value: &Value) -> Option<Kind> {
        let (name, args): (&str, &[Value]) = match value {
            Value::String(name) => (name, &[]),
            Value::Object(fields) => {
                self.findings.only(path, fields, &["name", "args"]);
                let name = self.findings.required(path, fields, "name");
                let name =
                    name.and_then(|n| self.findings.text(&path.field("name"), n, "text", action::MAX_NAME));
                let args = fields.get("args");
                let args = args.map_or(Some(&[][..]), |a| {
                    self.findings.list(&path.field("args"), a, "a list", action::MAX_ARGS)
                });
                (name?, args?)
            }
            other => {
                self.findings.note(path, &Error::NoAction(kind_of(other)));
                return None;
            }
        };
        let call = self.findings.ok(path, self.actions.call(name, args, Templates::Rendered))?;
        Some(Kind::Leaf(Leaf { name: action::row_name(name, args), base: name.to_owned(), call }))
    }

    fn built_in(&mut self, path: &Path, name: &str, value: &Value) -> Option<Kind> {
        let args = match value {
            // `wait: [1, 10]`: a list is the arguments. `error` and `log` take any one value.
            Value::Array(args) if name == "wait" => args.clone(),
            one => vec![one.clone()],
        };
        let call = self.findings.ok(path, Actions::built_in().call(name, &args, Templates::Rendered))?;
        Some(Kind::Leaf(Leaf { name: action::row_name(name, &args), base: name.to_owned(), call }))
    }
}
