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
    /// What the value takes, in bytes of JSON; nothing if it was taken away.
    #[serde(skip)]
    bytes: usize,
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
#[serde(rename_all = "camelCase", from = "Wire")]
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

/// A store as it is read: what its values take is reckoned anew.
#[derive(Deserialize)]
struct Wire {
    entries: BTreeMap<String, Entry>,
    version: u64,
    floor: u64,
}

impl From<Wire> for Store {
    fn from(Wire { mut entries, version, floor }: Wire) -> Self {
        let (mut size, mut keys) = (0, 0);
        for (key, entry) in entries.iter_mut().filter(|(_, entry)| !entry.value.is_null()) {
            entry.bytes = bytes(&entry.value);
            (size, keys) = (size + entry.cost(key), keys + 1);
        }
        Self { entries, version, floor, size, keys }
    }
}

impl Entry {
    /// What it takes with its key.
    fn cost(&self, key: &str) -> usize {
        cost(key, self.bytes)
    }
}

/// What a value of so many bytes takes with its key.
fn cost(key: &str, bytes: usize) -> usize {
    if bytes == 0 { 0 } else { key.len() + bytes }
}

/// What a value takes, in bytes of JSON; nothing if there is none.
fn bytes(value: &Value) -> usize {
    if value.is_null() { 0 } else { value.to_string().len() }
}

/// What an item takes in a list, its comma included if it is not alone there. Null takes room there, too.
fn bytes_in_list(item: &Value, others: usize) -> usize {
    item.to_string().len() + usize::from(others > 0)
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
                let sum = match self.value(&key) {
                    Value::Null => by,
                    Value::Number(number) => sum(number, &by).ok_or_else(|| Error::Overflow(key.clone()))?,
                    other => return Err(Error::NoNumber(key, kind_of(other))),
                };
                Answer::Made(self.set(key, Value::Number(sum))?)
            }
            Change::Push(key, item) => self.push(key, item)?,
            Change::Leave(key, goal) => match self.value(&key).as_i64() {
                Some(count) if count < goal => Answer::Made(self.set(key, Value::from(count - 1))?),
                count => Answer::Made(count.map_or(Value::Null, Value::from)),
            },
            Change::Pop(key) => self.take(&key, |_| true)?,
            Change::Take(key, value) => self.take(&key, |item| *item == value)?,
        })
    }

    fn value(&self, key: &str) -> &Value {
        self.entries.get(key).map_or(&Value::Null, |entry| &entry.value)
    }

    fn list(&self, key: &str) -> Result<&[Value], Error> {
        match self.value(key) {
            Value::Null => Ok(&[]),
            Value::Array(items) => Ok(items),
            other => Err(Error::NoList(key.to_owned(), kind_of(other))),
        }
    }

    /// Adds to the end of a list where it lies: to copy a long one for each of many items would keep all others waiting.
    fn push(&mut self, key: String, item: Value) -> Result<Answer, Error> {
        let others = self.list(&key)?.len();
        let before = self.entries.get(&key).map_or(0, |entry| entry.bytes).max("[]".len());
        self.make_room(&key, before + bytes_in_list(&item, others))?;
        match &mut self.entries.entry(key).or_default().value {
            Value::Array(items) => items.push(item),
            value => *value = Value::Array(vec![item]),
        }
        Ok(Answer::Made(Value::from(others + 1)))
    }

    /// Takes the first of a list that is meant.
    fn take(&mut self, key: &str, is_meant: impl Fn(&Value) -> bool) -> Result<Answer, Error> {
        let list = self.list(key)?;
        let Some(place) = list.iter().position(is_meant) else { return Ok(Answer::Empty) };
        let less = bytes_in_list(&list[place], list.len() - 1);
        let before = self.entries.get(key).map_or(0, |entry| entry.bytes);
        self.make_room(key, before.saturating_sub(less))?;
        let taken = match self.entries.get_mut(key).map(|entry| &mut entry.value) {
            Some(Value::Array(items)) => items.remove(place),
            _ => return Ok(Answer::Empty),
        };
        Ok(Answer::Made(taken))
    }

    /// Sets a value within the bounds, and gives it back.
    fn set(&mut self, key: String, value: Value) -> Result<Value, Error> {
        // Nothing is taken away where nothing was.
        if value.is_null() && key.len() <= MAX_KEY && !self.entries.contains_key(&key) {
            return Ok(value);
        }
        self.make_room(&key, bytes(&value))?;
        self.entries.entry(key).or_default().value = value.clone();
        self.forget();
        Ok(value)
    }

    /// Notes that the value of a key is about to take so many bytes, if there is room for it.
    fn make_room(&mut self, key: &str, bytes: usize) -> Result<(), Error> {
        if key.len() > MAX_KEY {
            return Err(Error::Key(key.len()));
        }
        let (old, new) = (self.entries.get(key).map_or(0, |entry| entry.cost(key)), cost(key, bytes));
        if new > MAX_VALUE + key.len() {
            return Err(Error::Value(key.to_owned(), new));
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
        let entry = self.entries.entry(key.to_owned()).or_default();
        (entry.bytes, entry.version) = (bytes, self.version);
        Ok(())
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
mod tests;
