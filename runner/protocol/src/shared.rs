//! What the bots of a run share: changes, and the store that they are made to.
//!
//! The same store stands in the process of `runner run` and in the coordinator of a cluster, so that a
//! change means the same in both. All changes of a run are applied one after another, each as a whole.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// Most keys.
pub const MAX_KEYS: usize = 10_000;
/// Longest key, in bytes; the bots' own are shorter. Those that were taken away are kept for a while.
pub const MAX_KEY: usize = 256;
/// Largest value, in bytes of JSON.
pub const MAX_VALUE: usize = 64 << 10;
/// Most that all values take together, in bytes of JSON with their keys.
pub const MAX_TOTAL: usize = 512 << 10;
/// Most changes of one check-in.
pub const MAX_CHANGES: usize = 1_000;
/// Most bytes of the changes of one check-in, about; a single one may have more.
pub const MAX_CHANGES_BYTES: usize = 1 << 20;
/// How far the versions of a store jump that comes back from a checkpoint: beyond all that were given out
/// since it was written.
const RESTORED: u64 = 1 << 32;

/// A change. Null and absent are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Sets a value.
    Put(String, Value),
    /// Adds to a number.
    Add(String, Number),
    /// Sets a value if nobody has changed it since it had this version.
    Replace(String, u64, Value),
    /// Adds to the end of a list.
    Push(String, Value),
    /// Takes the first of a list.
    Pop(String),
    /// Takes the first of a list that is equal to this: a `Pop` that is repeated.
    Take(String, Value),
    /// Takes a key away.
    Delete(String),
    /// Takes one from a number that is below a goal: one that waited for it goes away. Comes to the number.
    Leave(String, i64),
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// It was made, and came to this.
    Made(Value),
    /// There was nothing to take.
    Empty,
    /// Somebody was faster: the value as it is now, with its version.
    Changed(Value, u64),
    /// It cannot be made, for this reason.
    Refused(String),
}

/// A value and the number of the change that it comes from. Without a value it was taken away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "Value::is_null")]
    value: Value,
    version: u64,
}

/// What has changed in a store, for those who keep a copy of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct News {
    /// The number of the last change that is in them.
    pub version: u64,
    /// The copy is to be emptied first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// Keys with their values and versions; null for one that was taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<(String, Value, u64)>,
}

/// Values by key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    entries: BTreeMap<String, Entry>,
    /// The number of the last change.
    version: u64,
    /// Copies that are older than this do not know of all that was taken away.
    floor: u64,
    /// What all values take.
    size: usize,
    /// How many keys have a value.
    keys: usize,
}

/// Why a change cannot be made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the shared value of {0} is {1}, to which no number can be added; use another key")]
    NoNumber(String, &'static str),
    #[error("the shared number {0} would leave the range of 64 bits; use fractions, or start anew")]
    Overflow(String),
    #[error("the shared value of {0} is {1} and no list; use another key")]
    NoList(String, &'static str),
    #[error(
        "the shared value of {0} takes {1} bytes, more than {MAX_VALUE}; share less, or over several keys"
    )]
    Value(String, usize),
    #[error("shared values take more than {MAX_TOTAL} bytes together; share fewer or smaller ones")]
    Total,
    #[error("a shared key has {0} bytes, more than {MAX_KEY}; use a shorter one")]
    Key(usize),
    #[error("more than {MAX_KEYS} keys are shared; use fewer")]
    Keys,
}

impl Change {
    /// What it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(key, _)
            | Self::Add(key, _)
            | Self::Replace(key, ..)
            | Self::Push(key, _)
            | Self::Pop(key)
            | Self::Take(key, _)
            | Self::Delete(key)
            | Self::Leave(key, _) => key,
        }
    }

    /// About how many bytes it takes in a message.
    pub fn size(&self) -> usize {
        let value = match self {
            Self::Put(_, value)
            | Self::Replace(_, _, value)
            | Self::Push(_, value)
            | Self::Take(_, value) => value.to_string().len(),
            Self::Add(..) | Self::Pop(_) | Self::Delete(_) | Self::Leave(..) => 0,
        };
        self.key().len() + value + 32
    }
}

impl Answer {
    /// About how many bytes it takes in a message.
    pub fn size(&self) -> usize {
        let value = match self {
            Self::Made(value) | Self::Changed(value, _) => value.to_string().len(),
            Self::Refused(reason) => reason.len(),
            Self::Empty => 0,
        };
        value + 32
    }
}

impl Store {
    /// A value with its version: null and 0 for one that never was.
    pub fn get(&self, key: &str) -> (Value, u64) {
        self.entries.get(key).map_or((Value::Null, 0), |entry| (entry.value.clone(), entry.version))
    }

    /// The number of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The store as a checkpoint left it. Changes that were made since are not in it, so that no version
    /// that was given out may come again.
    #[must_use]
    pub fn restored(mut self) -> Self {
        self.version += RESTORED;
        self.floor = self.version;
        for entry in self.entries.values_mut() {
            entry.version = self.version;
        }
        self
    }

    /// Makes a change, or leaves all as it was.
    pub fn apply(&mut self, change: Change) -> Answer {
        self.try_apply(change).unwrap_or_else(|error| Answer::Refused(error.to_string()))
    }

    fn try_apply(&mut self, change: Change) -> Result<Answer, Error> {
        Ok(match change {
            Change::Put(key, value) => Answer::Made(self.set(key, value)?),
            Change::Delete(key) => {
                let old = self.get(&key).0;
                self.set(key, Value::Null)?;
                Answer::Made(old)
            }
            Change::Replace(key, version, value) => match self.get(&key) {
                (_, now) if now == version => Answer::Made(self.set(key, value)?),
                (value, now) => Answer::Changed(value, now),
            },
            Change::Add(key, by) => {
                let sum = match self.get(&key).0 {
                    Value::Null => by,
                    Value::Number(number) => sum(&number, &by).ok_or_else(|| Error::Overflow(key.clone()))?,
                    other => return Err(Error::NoNumber(key, kind_of(&other))),
                };
                Answer::Made(self.set(key, Value::Number(sum))?)
            }
            Change::Push(key, value) => {
                let mut list = self.list(&key)?;
                list.push(value);
                let length = Value::from(list.len());
                self.set(key, Value::Array(list))?;
                Answer::Made(length)
            }
            Change::Leave(key, goal) => match self.get(&key).0.as_i64() {
                Some(count) if count < goal => Answer::Made(self.set(key, Value::from(count - 1))?),
                count => Answer::Made(count.map_or(Value::Null, Value::from)),
            },
            Change::Pop(key) => self.take(key, |_| true)?,
            Change::Take(key, value) => self.take(key, |item| *item == value)?,
        })
    }

    fn list(&self, key: &str) -> Result<Vec<Value>, Error> {
        match self.get(key).0 {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => Ok(items),
            other => Err(Error::NoList(key.to_owned(), kind_of(&other))),
        }
    }

    fn take(&mut self, key: String, is_meant: impl Fn(&Value) -> bool) -> Result<Answer, Error> {
        let mut list = self.list(&key)?;
        let Some(place) = list.iter().position(is_meant) else { return Ok(Answer::Empty) };
        let item = list.remove(place);
        self.set(key, Value::Array(list))?;
        Ok(Answer::Made(item))
    }

    /// Sets a value within the bounds, and gives it back.
    fn set(&mut self, key: String, value: Value) -> Result<Value, Error> {
        if key.len() > MAX_KEY {
            return Err(Error::Key(key.len()));
        }
        // Nothing is taken away where nothing was.
        if value.is_null() && !self.entries.contains_key(&key) {
            return Ok(value);
        }
        let cost = |value: &Value| if value.is_null() { 0 } else { key.len() + value.to_string().len() };
        let (old, new) = (self.entries.get(&key).map_or(0, |entry| cost(&entry.value)), cost(&value));
        if new > MAX_VALUE + key.len() {
            return Err(Error::Value(key, new));
        }
        let size = self.size + new - old;
        if size > MAX_TOTAL && new > old {
            return Err(Error::Total);
        }
        let keys = self.keys + usize::from(new > 0) - usize::from(old > 0);
        if keys > MAX_KEYS {
            return Err(Error::Keys);
        }
        (self.size, self.keys) = (size, keys);
        self.version += 1;
        self.entries.insert(key, Entry { value: value.clone(), version: self.version });
        self.forget();
        Ok(value)
    }

    /// Keeps no more of what was taken away than there may be keys.
    fn forget(&mut self) {
        if self.entries.len() - self.keys > MAX_KEYS {
            self.entries.retain(|_, entry| !entry.value.is_null());
            self.floor = self.version;
        }
    }

    /// What has changed since a copy had this version.
    pub fn news(&self, since: u64) -> News {
        let anew = since < self.floor || since > self.version;
        let is_new = |entry: &Entry| if anew { !entry.value.is_null() } else { entry.version > since };
        let entries = self.entries.iter().filter(|(_, entry)| is_new(entry));
        News {
            version: self.version,
            anew,
            entries: entries.map(|(key, entry)| (key.clone(), entry.value.clone(), entry.version)).collect(),
        }
    }
}

fn sum(a: &Number, b: &Number) -> Option<Number> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.checked_add(b).map(Number::from),
        _ => Number::from_f64(a.as_f64()? + b.as_f64()?),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "absent",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key() -> String {
        "k".to_owned()
    }

    fn number(n: i64) -> Number {
        Number::from(n)
    }

    #[test]
    fn changes_come_to_what_they_say() {
        let mut store = Store::default();
        let mut apply = |change| store.apply(change);
        assert_eq!(apply(Change::Add(key(), number(2))), Answer::Made(json!(2)));
        assert_eq!(apply(Change::Add(key(), number(-5))), Answer::Made(json!(-3)));
        assert_eq!(apply(Change::Add(key(), Number::from_f64(0.5).unwrap())), Answer::Made(json!(-2.5)));
        assert!(
            matches!(apply(Change::Push(key(), json!(1))), Answer::Refused(r) if r.contains("a number and no list"))
        );
        assert_eq!(apply(Change::Delete(key())), Answer::Made(json!(-2.5)));
        assert_eq!(apply(Change::Pop(key())), Answer::Empty);
        assert_eq!(apply(Change::Push(key(), json!("a"))), Answer::Made(json!(1)));
        assert_eq!(apply(Change::Push(key(), json!("b"))), Answer::Made(json!(2)));
        assert_eq!(apply(Change::Push(key(), json!("a"))), Answer::Made(json!(3)));
        assert!(matches!(apply(Change::Add(key(), number(1))), Answer::Refused(r) if r.contains("a list")));
        assert_eq!(apply(Change::Take(key(), json!("b"))), Answer::Made(json!("b")));
        assert_eq!(apply(Change::Take(key(), json!("b"))), Answer::Empty);
        assert_eq!(apply(Change::Pop(key())), Answer::Made(json!("a")));
        assert_eq!(store.get("k").0, json!(["a"]));
        store.apply(Change::Put(key(), json!(2)));
        assert_eq!(store.apply(Change::Leave(key(), 3)), Answer::Made(json!(1)));
        assert_eq!(store.apply(Change::Leave(key(), 1)), Answer::Made(json!(1)), "the goal was reached");
    }

    #[test]
    fn a_replacement_is_made_only_of_what_was_seen() {
        let mut store = Store::default();
        assert_eq!(store.apply(Change::Replace(key(), 0, json!(1))), Answer::Made(json!(1)));
        let (value, version) = store.get("k");
        assert_eq!(value, json!(1));
        store.apply(Change::Put(key(), json!(2)));
        let changed = store.apply(Change::Replace(key(), version, json!(3)));
        assert_eq!(changed, Answer::Changed(json!(2), version + 1));
        let restored = store.clone().restored().apply(Change::Replace(key(), version + 1, json!(3)));
        assert!(matches!(restored, Answer::Changed(..)), "what was seen of a lost store is not this one's");
    }

    #[test]
    fn a_copy_follows_by_its_version() {
        let mut store = Store::default();
        store.apply(Change::Put("a".into(), json!(1)));
        store.apply(Change::Put("b".into(), json!(2)));
        let seen = store.version();
        assert_eq!(store.news(seen).entries, []);
        store.apply(Change::Delete("a".into()));
        assert_eq!(store.news(seen).entries, [("a".to_owned(), Value::Null, 3)]);
        assert_eq!(store.news(0).entries.len(), 2);
        let news = store.clone().restored().news(3);
        assert!(news.anew && news.entries.len() == 1 && news.entries[0].0 == "b", "{news:?}");
    }

    #[test]
    fn a_store_is_bounded_and_what_is_refused_changes_nothing() {
        let mut store = Store::default();
        let text = |bytes: usize| json!("x".repeat(bytes));
        for change in
            [Change::Put("k".repeat(MAX_KEY + 1), json!(1)), Change::Delete("k".repeat(MAX_KEY + 1))]
        {
            assert!(
                matches!(store.apply(change), Answer::Refused(reason) if reason.contains("a shorter one"))
            );
        }
        store.apply(Change::Delete("never".into()));
        assert_eq!(store, Store::default(), "no trace is left of what never was");
        assert!(matches!(store.apply(Change::Put(key(), text(MAX_VALUE + 1))), Answer::Refused(_)));
        for n in 0..7 {
            assert!(matches!(store.apply(Change::Put(format!("{n}"), text(MAX_VALUE - 2))), Answer::Made(_)));
        }
        let full = (0..100).find_map(|n| match store.apply(Change::Put(format!("m{n}"), text(60_000))) {
            Answer::Refused(reason) => Some(reason),
            _ => None,
        });
        assert!(full.unwrap().contains("together"));
        let mut store = Store::default();
        for n in 0..MAX_KEYS {
            store.apply(Change::Add(format!("{n}"), number(1)));
        }
        let before = store.clone();
        assert!(
            matches!(store.apply(Change::Put("more".into(), json!(1))), Answer::Refused(r) if r.contains("keys"))
        );
        assert_eq!(store, before);
        // Taking keys away makes room, and what is kept of them is bounded as well.
        for n in 0..3 * MAX_KEYS {
            store.apply(Change::Delete(format!("{}", n % MAX_KEYS)));
            store.apply(Change::Put(format!("n{n}"), json!(1)));
            store.apply(Change::Delete(format!("n{n}")));
        }
        assert!(store.entries.len() <= 2 * MAX_KEYS, "{}", store.entries.len());
        assert_eq!((store.size, store.keys), (0, 0));
    }
}
