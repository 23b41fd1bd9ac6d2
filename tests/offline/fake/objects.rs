//! What the fake API server keeps, and what each verb does with it. It knows neither clients nor faults.

use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Resource, namespace and name.
pub(crate) type Key = (String, String, String);
pub(crate) type Answer = Result<Value, Refusal>;

pub(crate) const ADDED: &str = "ADDED";
pub(crate) const MODIFIED: &str = "MODIFIED";
pub(crate) const DELETED: &str = "DELETED";

/// What a call is refused with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    reason: &'static str,
    message: String,
}

impl Refusal {
    /// The refusal of this code, in the words of the API server.
    pub(crate) fn new(code: u16, resource: &str, name: &str) -> Self {
        let (reason, told) = match code {
            403 => ("Forbidden", "is forbidden: the right is lacking"),
            404 => ("NotFound", "not found"),
            409 => {
                ("Conflict", "the object has been modified; please apply your changes to the latest version")
            }
            410 => ("Expired", "too old resource version"),
            429 => ("TooManyRequests", "the server has asked for patience"),
            _ => ("InternalError", "an error on the server"),
        };
        Self { code, reason, message: format!("{resource} \"{name}\" {told}") }
    }

    fn of(code: u16, (resource, _, name): &Key) -> Self {
        Self::new(code, resource, name)
    }

    /// As it is sent.
    pub(crate) fn status(&self) -> Value {
        let Self { code, reason, message } = self;
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {},
            "status": "Failure", "code": code, "reason": reason, "message": message,
        })
    }
}

/// A change, as a watch tells it. Its version is its place among the changes, from 1 on.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) kind: &'static str,
    pub(crate) key: Key,
    pub(crate) object: Value,
}

/// All objects, and all that has ever happened to them.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    kept: BTreeMap<Key, Value>,
    pub(crate) changes: Vec<Change>,
    /// How many were ever made, for their UIDs.
    made: usize,
}

impl Objects {
    pub(crate) fn get(&self, key: &Key) -> Answer {
        self.kept.get(key).cloned().ok_or_else(|| Refusal::of(404, key))
    }

    /// All objects of a resource that fit; an empty namespace stands for all of them.
    pub(crate) fn list(&self, resource: &str, namespace: &str, labels: &str, fields: &str) -> Value {
        let fits = |(kind, place, _): &Key| kind == resource && (namespace.is_empty() || place == namespace);
        let found = self.kept.iter().filter(|(key, object)| fits(key) && matches(object, labels, fields));
        let items: Vec<&Value> = found.map(|(_, object)| object).collect();
        let version = self.changes.len().to_string();
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version}, "items": items})
    }

    pub(crate) fn create(&mut self, key: &Key, mut object: Value) -> Answer {
        if self.kept.contains_key(key) {
            let message = format!("{} \"{}\" already exists", key.0, key.2);
            return Err(Refusal { code: 409, reason: "AlreadyExists", message });
        }
        self.made += 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = key.2.clone().into();
        metadata["namespace"] = key.1.clone().into();
        metadata["uid"] = format!("uid-{}", self.made).into();
        metadata["generation"] = 1.into();
        // Whoever prepares a test may choose the age.
        if !metadata["creationTimestamp"].is_string() {
            metadata["creationTimestamp"] = now().into();
        }
        Ok(self.keep(key, object, ADDED))
    }

    pub(crate) fn replace(&mut self, key: &Key, mut new: Value) -> Answer {
        let old = self.get(key)?;
        is_current(key, &old, &new["metadata"]["resourceVersion"])?;
        for field in ["uid", "creationTimestamp", "generation"] {
            new["metadata"][field] = old["metadata"][field].clone();
        }
        Ok(self.update(key, &old, new))
    }

    /// A JSON merge patch; conditional if it names a version.
    pub(crate) fn merge(&mut self, key: &Key, patch: &Value) -> Answer {
        let old = self.get(key)?;
        is_current(key, &old, &patch["metadata"]["resourceVersion"])?;
        let mut new = old.clone();
        merge(&mut new, patch);
        Ok(self.update(key, &old, new))
    }

    /// A server-side apply by the one manager that there is for these fields.
    pub(crate) fn apply(&mut self, key: &Key, patch: Value) -> Answer {
        if self.kept.contains_key(key) { self.merge(key, &patch) } else { self.create(key, patch) }
    }

    /// A server-side apply of a whole status.
    pub(crate) fn apply_status(&mut self, key: &Key, patch: &Value, manager: &str) -> Answer {
        let (mut object, status) = (self.get(key)?, &patch["status"]);
        is_current(key, &object, &patch["metadata"]["resourceVersion"])?;
        if object["status"] == *status {
            return Ok(object);
        }
        object["status"] = status.clone();
        object["metadata"]["managedFields"] =
            json!([{"manager": manager, "operation": "Apply", "subresource": "status", "time": now()}]);
        Ok(self.keep(key, object, MODIFIED))
    }

    pub(crate) fn delete(&mut self, key: &Key, options: &Value) -> Answer {
        let object = self.get(key)?;
        let wanted = &options["preconditions"];
        is_current(key, &object, &wanted["resourceVersion"])?;
        if wanted["uid"].is_string() && wanted["uid"] != object["metadata"]["uid"] {
            return Err(Refusal::of(409, key));
        }
        let orphans = match options["propagationPolicy"].as_str() {
            Some(policy) => policy == "Orphan",
            // A Job leaves its pods behind unless it is told otherwise.
            None => key.0 == "jobs",
        };
        self.remove(key, orphans);
        Ok(json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}))
    }

    /// Who belongs to whom, by the UID of the owner.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Key> {
        let is_owned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
        };
        self.kept.iter().filter(|(_, object)| is_owned(object)).map(|(key, _)| key.clone()).collect()
    }

    fn remove(&mut self, key: &Key, orphans: bool) {
        let Some(object) = self.kept.get(key).cloned() else { return };
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.keep(key, object, DELETED);
        if !orphans {
            self.owned_by(&uid).iter().for_each(|key| self.remove(key, false));
        }
    }

    /// Versions grow only when something has changed, generations only with the spec.
    fn update(&mut self, key: &Key, old: &Value, mut new: Value) -> Value {
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        if new == *old {
            return new;
        }
        if new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
        }
        self.keep(key, new, MODIFIED)
    }

    fn keep(&mut self, key: &Key, mut object: Value, kind: &'static str) -> Value {
        object["metadata"]["resourceVersion"] = (self.changes.len() + 1).to_string().into();
        self.changes.push(Change { kind, key: key.clone(), object: object.clone() });
        if kind == DELETED {
            self.kept.remove(key);
        } else {
            self.kept.insert(key.clone(), object.clone());
        }
        object
    }
}

/// Refuses what was made from another version than the last one; nothing that names none.
fn is_current(key: &Key, object: &Value, version: &Value) -> Result<(), Refusal> {
    if version.is_string() && *version != object["metadata"]["resourceVersion"] {
        return Err(Refusal::of(409, key));
    }
    Ok(())
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (field, value) in fields {
        if !value.is_null() {
            merge(&mut into[field.as_str()], value);
        } else if let Some(known) = into.as_object_mut() {
            known.remove(field);
        }
    }
}

/// Whether selectors hold, as far as the operator uses them: `a`, `a=b` and `a!=b`, joined by commas.
pub(crate) fn matches(object: &Value, labels: &str, fields: &str) -> bool {
    fn hold<'o>(selector: &str, value: impl Fn(&str) -> Option<&'o str>) -> bool {
        selector.split(',').filter(|part| !part.is_empty()).all(|part| {
            if let Some((name, other)) = part.split_once("!=") {
                value(name) != Some(other)
            } else if let Some((name, wanted)) = part.split_once('=') {
                value(name) == Some(wanted)
            } else {
                value(part).is_some()
            }
        })
    }
    hold(labels, |name| object["metadata"]["labels"][name].as_str())
        && hold(fields, |path| path.split('.').fold(object, |value, field| &value[field]).as_str())
}

/// A time has whole seconds here.
fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(resource: &str, name: &str) -> Key {
        (resource.into(), "ns".into(), name.into())
    }

    #[test]
    fn a_version_grows_only_when_something_changes_and_a_stale_one_is_refused() {
        let (mut objects, own) = (Objects::default(), key("leases", "a"));
        let first = objects.create(&own, json!({"spec": {"n": 1}})).expect("made");
        assert_eq!(objects.create(&own, json!({})).expect_err("there is one").reason, "AlreadyExists");
        let same = objects.merge(&own, &json!({"spec": {"n": 1}})).expect("no change");
        assert_eq!((&same, objects.changes.len()), (&first, 1));
        let second = objects.replace(&own, json!({"metadata": first["metadata"], "spec": {"n": 2}}));
        let second = second.expect("from the last version");
        assert_eq!(second["metadata"]["generation"], 2);
        let stale = json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "a": 1});
        for refused in [objects.merge(&own, &stale), objects.replace(&own, stale.clone())] {
            assert_eq!(refused.expect_err("stale").reason, "Conflict");
        }
        let told = objects.apply_status(&own, &json!({"status": {"phase": "x"}}), "m").expect("a status");
        assert_eq!(
            objects.apply_status(&own, &json!({"status": {"phase": "x"}}), "m").expect("no change"),
            told
        );
        assert_eq!((&told["metadata"]["generation"], objects.changes.len()), (&json!(2), 3));
    }

    #[test]
    fn what_belongs_to_an_object_goes_with_it() {
        let mut objects = Objects::default();
        let run = objects.create(&key("botruns", "a"), json!({})).expect("a run");
        let owner = |of: &Value| json!({"metadata": {"ownerReferences": [{"uid": of["metadata"]["uid"]}]}});
        let job = objects.create(&key("jobs", "a"), owner(&run)).expect("a Job");
        objects.create(&key("pods", "a"), owner(&job)).expect("a pod");
        let other = json!({"preconditions": {"uid": "other"}});
        assert_eq!(objects.delete(&key("botruns", "a"), &other).expect_err("another one").code, 409);
        objects.delete(&key("botruns", "a"), &Value::Null).expect("deleted");
        assert!(objects.kept.is_empty(), "{:?}", objects.kept);
        let kinds: Vec<&str> = objects.changes.iter().map(|change| change.kind).collect();
        assert_eq!(kinds, [ADDED, ADDED, ADDED, DELETED, DELETED, DELETED]);
    }

    #[test]
    fn selectors_select() {
        let object = json!({"metadata": {"labels": {"a/b": "c"}}, "status": {"phase": "Pending"}});
        for (labels, fields, expected) in [
            ("", "", true),
            ("a/b=c", "status.phase!=Running,status.phase!=Succeeded", true),
            ("a/b", "status.phase=Pending", true),
            ("a/b=d", "", false),
            ("d", "", false),
            ("", "status.phase!=Pending", false),
            ("a/b=c", "type=Warning", false),
        ] {
            assert_eq!(matches(&object, labels, fields), expected, "{labels} {fields}");
        }
    }
}
