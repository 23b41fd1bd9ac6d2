//! What the bots of a run share, as templates read it.

use minijinja::value::{Enumerator, Object};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Values by key, read by any bot at any time. Reading takes a lock for as long as it takes to copy the
/// one value; nothing holds it longer.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<RwLock<BTreeMap<String, Value>>>);

impl Shared {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Sets the value of a key, or takes it away.
    pub fn set(&self, key: &str, value: Option<Value>) {
        let mut values = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => drop(values.insert(key.to_owned(), value)),
            None => drop(values.remove(key)),
        }
    }
}

impl Object for Shared {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get(key.as_str()?).map(|value| minijinja::Value::from(minijinja::value::Serde(&value)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
