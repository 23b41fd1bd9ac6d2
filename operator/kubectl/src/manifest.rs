//! What a file says of the run itself, apart from what it shall do: its name and its namespace. Pure.

use botarmy_spec::file::{MAX_RUN_NAME, is_run_name};
use serde_json::Value;

/// Why a run of a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the run has no name; write metadata: {{name: NAME}} or generateName into the file, or give --name"
    )]
    Nameless,
    #[error("--name: a name is lower-case letters, digits and hyphens, at most {MAX_RUN_NAME} of them")]
    Name,
    #[error("metadata.namespace is no text; write a name, or leave it to --namespace")]
    Namespace,
}

/// A run that can be sent.
#[derive(Debug, PartialEq)]
pub(crate) struct Manifest {
    /// All that the file says, with the name that was chosen.
    pub(crate) body: Value,
    /// Its name; none if the API server is to choose one.
    pub(crate) name: Option<String>,
    /// Where it belongs, if the file says so.
    pub(crate) namespace: Option<String>,
}

impl Manifest {
    /// That of a body that [`botarmy_spec::file::read_manifest`] has read; a name in the place of the file's own.
    pub(crate) fn new(mut body: Value, name: Option<&str>) -> Result<Self, Error> {
        if let Some(name) = name {
            if !is_run_name(name) {
                return Err(Error::Name);
            }
            body["metadata"]["name"] = name.into();
        }
        let name = body.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
        if name.is_none() && body.pointer("/metadata/generateName").is_none() {
            return Err(Error::Nameless);
        }
        // What has a name needs no other.
        if let (Some(_), Some(metadata)) = (&name, body["metadata"].as_object_mut()) {
            metadata.remove("generateName");
        }
        let namespace = match body.pointer("/metadata/namespace") {
            None => None,
            Some(Value::String(namespace)) => Some(namespace.clone()),
            Some(_) => return Err(Error::Namespace),
        };
        Ok(Self { body, name, namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(metadata: &Value, name: Option<&str>) -> Result<Manifest, Error> {
        let mut body = json!({"kind": "BotRun", "spec": {"bots": 1}});
        if !metadata.is_null() {
            body["metadata"] = metadata.clone();
        }
        Manifest::new(body, name)
    }

    #[test]
    fn a_name_of_the_command_line_comes_before_the_files() {
        for (metadata, given, named, sent) in [
            (json!({"name": "a"}), None, Some("a"), json!({"name": "a"})),
            (json!({"name": "a"}), Some("b"), Some("b"), json!({"name": "b"})),
            (json!(null), Some("b"), Some("b"), json!({"name": "b"})),
            (json!({"generateName": "a-"}), None, None, json!({"generateName": "a-"})),
            (json!({"generateName": "a-"}), Some("b"), Some("b"), json!({"name": "b"})),
            (json!({"generateName": "a-", "name": "a"}), None, Some("a"), json!({"name": "a"})),
        ] {
            let manifest = manifest(&metadata, given).unwrap();
            assert_eq!(manifest.name.as_deref(), named, "{metadata} {given:?}");
            assert_eq!(manifest.body["metadata"], sent, "{metadata} {given:?}");
            assert_eq!(manifest.body["spec"], json!({"bots": 1}));
        }
    }

    #[test]
    fn what_cannot_be_named_is_refused() {
        for (metadata, given, error) in [
            (json!(null), None, "the run has no name"),
            (json!({"labels": {}}), None, "the run has no name"),
            (json!({"name": "a"}), Some("A"), "--name: a name is"),
            (json!({"name": "a"}), Some(""), "--name: a name is"),
            (json!({"name": "a", "namespace": 5}), None, "metadata.namespace is no text"),
        ] {
            let refused = manifest(&metadata, given).unwrap_err().to_string();
            assert!(refused.starts_with(error), "{metadata} {given:?}: {refused}");
        }
        let placed = manifest(&json!({"name": "a", "namespace": "shop"}), None).unwrap();
        assert_eq!(placed.namespace.as_deref(), Some("shop"));
    }
}
