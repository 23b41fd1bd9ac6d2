//! What bots do together: `shared` data with atomic changes, a `signal` and what can `await` it, a
//! `barrier`. The forms as they are written, read and checked.

use crate::action::{self, Call, check_context_name};
use crate::ast::Leaf;
use crate::duration;
use crate::fields::{Findings, kind_of};
use crate::finding::{Finding, Path, listed, quoted};
use crate::plan::LeafRecord;
use crate::template::Template;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long an `await` and a `barrier` wait, unless `timeout` says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest `timeout` of these.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Longest key, and longest name of a signal or a barrier, in bytes, once it is rendered.
pub const MAX_KEY: usize = 128;
/// Most bots that a barrier waits for.
pub const MAX_PARTIES: u32 = 1_000_000;

/// What can be done with shared data, as it is written.
pub(crate) const CHANGES: [&str; 6] = ["put", "add", "update", "push", "pop", "delete"];
/// The nodes of this module.
pub(crate) const KINDS: [&str; 4] = ["shared", "signal", "await", "barrier"];

/// A change of shared data.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedCall {
    /// What is changed.
    pub key: Template,
    /// How.
    pub change: Change,
    /// The name under which the bot keeps what it came to.
    pub save: Option<String>,
}

/// How a value is changed; each change is atomic over all bots of the run.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Takes the place of what was there.
    Put(Template),
    /// A number is added; what was not there counts as 0. Comes to the sum.
    Add(Template),
    /// The template, which sees the value as `old` (null if there is none), gives the new one. Comes to
    /// the new one.
    Update(Template),
    /// Goes to the end of a list, which is made if there is none. Comes to the list's new length.
    Push(Template),
    /// Takes the first of a list, and comes to it; fails when there is none.
    Pop,
    /// Takes the value away; comes to what was there, or null.
    Delete,
}

/// Waits until a signal is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Await {
    /// Its name.
    pub signal: Template,
    /// How long; then it fails.
    pub timeout: Duration,
}

/// Waits until enough bots have come.
#[derive(Debug, Clone, PartialEq)]
pub struct Barrier {
    /// Its name.
    pub name: Template,
    /// How many bots go on together.
    pub parties: u32,
    /// How long; then it fails.
    pub timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("one of {known} says what is done and to which key, such as {{add: sold, by: 1}}", known = listed(CHANGES))]
    NoChange,
    #[error("{0} and {1} exclude each other; write two nodes")]
    TwoChanges(&'static str, &'static str),
    #[error("{0} has no {1}; leave it out")]
    Superfluous(&'static str, &'static str),
    #[error("a key is text of 1 to {MAX_KEY} bytes without control characters, found {0}")]
    Key(String),
    #[error("a number to add is needed, found {0}")]
    By(String),
    #[error("parties must be a whole number from 1 to {MAX_PARTIES}, found {0}")]
    Parties(String),
    #[error("the timeout must be above zero and at most a day")]
    Timeout,
    #[error(
        "the barrier {name} has {there} parties at {place} and {here} here, and all barriers of one name count together; give both the same number, or each a name of its own"
    )]
    Uneven { name: String, place: Path, there: u32, here: u32 },
}

/// Whether a rendered key, or name of a signal or barrier, may be used.
pub fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_KEY && !key.chars().any(char::is_control)
}

/// Finds barriers of one name that let different numbers of bots go on, in all that bots of one run walk. Names that are
/// rendered later may be anything.
pub fn uneven_barriers<'l>(leaves: impl Iterator<Item = &'l LeafRecord>) -> Vec<Finding> {
    let mut known: BTreeMap<&str, (u32, &Path)> = BTreeMap::new();
    let mut findings = Findings::default();
    let mut told = BTreeSet::new();
    for leaf in leaves {
        let Call::Barrier(barrier) = &leaf.call else { continue };
        let Template::Literal(Value::String(name)) = &barrier.name else { continue };
        let (there, place) = *known.entry(name).or_insert((barrier.parties, &leaf.path));
        let here = barrier.parties;
        // One tree may be walked by several.
        if here != there && told.insert(leaf.path.to_string()) {
            let (name, place) = (quoted(name), place.clone());
            findings.note(
                &leaf.path.field("barrier").field("parties"),
                &Error::Uneven { name, place, there, here },
            );
        }
    }
    findings.into_vec()
}

/// Reads what stands under one of [`KINDS`].
pub(crate) fn read(kind: &str, path: &Path, value: &Value, findings: &mut Findings) -> Option<Leaf> {
    match kind {
        "shared" => shared(path, value, findings),
        "signal" => {
            let name = read_key(path, value, findings)?;
            Some(leaf(kind, value, Call::Signal(name)))
        }
        "await" => {
            let (signal, timeout) = match value {
                Value::Object(fields) => {
                    findings.only(path, fields, &["signal", "timeout"]);
                    let timeout = read_timeout(path, fields, findings);
                    (findings.required(path, fields, "signal"), timeout)
                }
                name => (Some(name), Some(DEFAULT_TIMEOUT)),
            };
            let place = if value.is_object() { path.field("signal") } else { path.clone() };
            let name = signal.and_then(|name| read_key(&place, name, findings));
            let call = Call::Await(Box::new(Await { signal: name?, timeout: timeout? }));
            Some(leaf(kind, signal?, call))
        }
        _ => barrier(path, value, findings),
    }
}

fn barrier(path: &Path, value: &Value, findings: &mut Findings) -> Option<Leaf> {
    let fields = findings.object(path, value, "a mapping such as {name: start, parties: 10}")?;
    findings.only(path, fields, &["name", "parties", "timeout"]);
    let shown = findings.required(path, fields, "name");
    let name = shown.and_then(|name| read_key(&path.field("name"), name, findings));
    let parties = findings.required(path, fields, "parties").and_then(|value| {
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|n| (1..=MAX_PARTIES).contains(n));
        findings.ok(&path.field("parties"), number.ok_or_else(|| Error::Parties(kind_of(value))))
    });
    let timeout = read_timeout(path, fields, findings);
    let barrier = Barrier { name: name?, parties: parties?, timeout: timeout? };
    Some(leaf("barrier", shown?, Call::Barrier(Box::new(barrier))))
}

/// Its row is named after the kind and the key, as it is written.
fn leaf(base: &str, key: &Value, call: Call) -> Leaf {
    Leaf { name: action::row_name(base, std::slice::from_ref(key)), base: base.to_owned(), call }
}

fn shared(path: &Path, value: &Value, findings: &mut Findings) -> Option<Leaf> {
    let known = findings.len();
    let fields = findings.object(path, value, "a mapping such as {add: sold, by: 1}")?;
    let allowed: Vec<&'static str> = CHANGES.into_iter().chain(["value", "by", "save"]).collect();
    findings.only(path, fields, &allowed);
    let mut given = CHANGES.into_iter().filter(|change| fields.contains_key(*change));
    let Some(change) = given.next() else {
        findings.note(path, &Error::NoChange);
        return None;
    };
    if let Some(second) = given.next() {
        findings.note(path, &Error::TwoChanges(change, second));
    }
    let operand = match change {
        "put" | "update" | "push" => Some("value"),
        "add" => Some("by"),
        _ => None,
    };
    for other in ["value", "by"].into_iter().filter(|o| Some(*o) != operand && fields.contains_key(*o)) {
        findings.note(&path.field(other), &Error::Superfluous(change, other));
    }
    let shown = fields.get(change)?;
    let key = read_key(&path.field(change), shown, findings);
    let change_read = read_change(change, path, fields, findings);
    let save = read_save(path, fields, findings);
    if findings.len() > known {
        return None;
    }
    let call = SharedCall { key: key?, change: change_read?, save };
    Some(leaf(&format!("shared.{change}"), shown, Call::Shared(Box::new(call))))
}

fn read_change(
    change: &str,
    path: &Path,
    fields: &Map<String, Value>,
    findings: &mut Findings,
) -> Option<Change> {
    let make = match change {
        "pop" => return Some(Change::Pop),
        "delete" => return Some(Change::Delete),
        "add" => {
            // One more is what most counters are for.
            let by = fields.get("by").cloned().unwrap_or_else(|| Value::from(1));
            let by = match by {
                Value::Number(_) => Ok(Template::Literal(by)),
                Value::String(text) => Template::text(&text).map_err(|e| e.to_string()),
                other => Err(Error::By(kind_of(&other)).to_string()),
            };
            let by = by.and_then(|by| match by {
                Template::Literal(Value::String(text)) => Err(Error::By(quoted(&text)).to_string()),
                number => Ok(number),
            });
            return findings.ok(&path.field("by"), by).map(Change::Add);
        }
        "put" => Change::Put,
        "update" => Change::Update,
        _ => Change::Push,
    };
    let value = findings.required(path, fields, "value")?;
    findings.ok(&path.field("value"), Template::value(value)).map(make)
}

fn read_key(path: &Path, value: &Value, findings: &mut Findings) -> Option<Template> {
    let Value::String(text) = value else {
        findings.note(path, &Error::Key(kind_of(value)));
        return None;
    };
    let template = findings.ok(path, Template::text(text))?;
    if template.is_literal() && !is_key(text) {
        findings.note(path, &Error::Key(quoted(text)));
        return None;
    }
    Some(template)
}

fn read_save(path: &Path, fields: &Map<String, Value>, findings: &mut Findings) -> Option<String> {
    let place = path.field("save");
    let name = findings.text(&place, fields.get("save")?, "a name", action::MAX_NAME)?;
    findings.ok(&place, check_context_name(name))?;
    Some(name.to_owned())
}

fn read_timeout(path: &Path, fields: &Map<String, Value>, findings: &mut Findings) -> Option<Duration> {
    let Some(value) = fields.get("timeout") else { return Some(DEFAULT_TIMEOUT) };
    let place = path.field("timeout");
    let timeout = findings.ok(&place, duration::from_value(value))?;
    let fits = !timeout.is_zero() && timeout <= MAX_TIMEOUT;
    findings.ok(&place, fits.then_some(timeout).ok_or(Error::Timeout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_one(node: &Value) -> Result<Leaf, Vec<String>> {
        let (kind, value) = node.as_object().unwrap().iter().next().unwrap();
        let mut findings = Findings::default();
        let leaf = read(kind, &Path::top().field(kind), value, &mut findings);
        let told = findings.into_vec().iter().map(ToString::to_string).collect();
        leaf.ok_or(told)
    }

    #[test]
    fn each_form_has_its_row() {
        for (node, row) in [
            (json!({"shared": {"put": "stock", "value": {"left": 10}}}), r#"shared.put("stock")"#),
            (json!({"shared": {"add": "sold"}}), r#"shared.add("sold")"#),
            (
                json!({"shared": {"add": "sold-{{ bot.id }}", "by": -2.5, "save": "n"}}),
                r#"shared.add("sold-{{ bot.id }}")"#,
            ),
            (json!({"shared": {"add": "sold", "by": "{{ n }}"}}), r#"shared.add("sold")"#),
            (json!({"shared": {"update": "a", "value": "{{ (old or 0) + 1 }}"}}), r#"shared.update("a")"#),
            (json!({"shared": {"push": "queue", "value": 1}}), r#"shared.push("queue")"#),
            (json!({"shared": {"pop": "queue", "save": "item"}}), r#"shared.pop("queue")"#),
            (json!({"shared": {"delete": "a"}}), r#"shared.delete("a")"#),
            (json!({"signal": "open"}), r#"signal("open")"#),
            (json!({"await": "open"}), r#"await("open")"#),
            (json!({"await": {"signal": "open", "timeout": "5m"}}), r#"await("open")"#),
            (json!({"barrier": {"name": "start", "parties": 3}}), r#"barrier("start")"#),
        ] {
            let leaf = read_one(&node).unwrap_or_else(|e| panic!("{node}: {e:?}"));
            assert_eq!(leaf.name, row, "{node}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (node, told) in [
            (json!({"shared": {}}), "shared: one of put, add, update, push, pop, delete says"),
            (json!({"shared": {"put": "a", "pop": "a", "value": 1}}), "shared: put and pop exclude"),
            (json!({"shared": {"pop": "a", "value": 1}}), "shared.value: pop has no value"),
            (json!({"shared": {"put": "a"}}), "shared: the field value is missing"),
            (json!({"shared": {"put": "", "value": 1}}), "shared.put: a key is text"),
            (json!({"shared": {"put": 7, "value": 1}}), "shared.put: a key is text"),
            (json!({"shared": {"add": "a", "by": "many"}}), "shared.by: a number to add is needed"),
            (json!({"shared": {"add": "a", "by": true}}), "shared.by: a number to add is needed"),
            (json!({"shared": {"add": "a", "save": "data"}}), "shared.save: \"data\" cannot be set"),
            (json!({"signal": ["a"]}), "signal: a key is text"),
            (
                json!({"await": {"signal": "a", "timeout": 0}}),
                "await.timeout: the timeout must be above zero",
            ),
            (json!({"await": {}}), "await: the field signal is missing"),
            (
                json!({"barrier": {"name": "a", "parties": 0}}),
                "barrier.parties: parties must be a whole number",
            ),
            (json!({"barrier": {"name": "a"}}), "barrier: the field parties is missing"),
            (json!({"barrier": "a"}), "barrier: expected a mapping"),
        ] {
            let findings = read_one(&node).expect_err("a mistake");
            assert!(findings.len() == 1 && findings[0].starts_with(told), "{node}: {findings:?}");
        }
    }
}
