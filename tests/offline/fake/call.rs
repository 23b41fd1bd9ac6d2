//! A request to the fake API server, read.

use super::objects::Key;
use hyper::{Method, Request};
use kube::client::Body;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::HashMap;
use tower::BoxError;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Who asks.
    pub(crate) client: &'static str,
    /// As a role names it: get, list, watch, create, update, patch or delete.
    pub(crate) verb: &'static str,
    /// As a role names it: `botruns`, `botruns/status`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    /// Empty for lists and watches.
    pub(crate) name: String,
    /// It is a server-side apply.
    pub(crate) applies: bool,
    pub(crate) body: Value,
    query: HashMap<String, String>,
}

impl Call {
    pub(crate) async fn read(client: &'static str, request: Request<Body>) -> Result<Self, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let query = query(parts.uri.query().unwrap_or_default());
        let (namespace, resource, name) = place(parts.uri.path()).ok_or("there is nothing at this path")?;
        let verb = match (&parts.method, &*name) {
            (&Method::GET, "") if query.contains_key("watch") => "watch",
            (&Method::GET, "") => "list",
            (&Method::GET, _) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, _) => "delete",
            _ => return Err("no such verb".into()),
        };
        let name = match body["metadata"]["name"].as_str() {
            Some(made) if verb == "create" => made.to_owned(),
            _ => name,
        };
        let kind = parts.headers.get(hyper::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let applies = kind.is_some_and(|kind| kind.contains("apply-patch"));
        Ok(Self { client, verb, resource, namespace, name, applies, body, query })
    }

    /// A parameter of the query; empty without it.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// The object that is meant, without its subresource.
    pub(crate) fn key(&self) -> Key {
        let resource = self.resource.split('/').next().unwrap_or_default();
        (resource.to_owned(), self.namespace.clone(), self.name.clone())
    }

    /// Whether it is to change something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

/// The namespace, the resource with its subresource, and the name; what is not there is empty.
fn place(path: &str) -> Option<(String, String, String)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if parts.first() == Some(&"api") { 2 } else { 3 };
    let (namespace, rest) = match parts.get(group..)? {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (resource, name) = match rest {
        [resource] => ((*resource).to_owned(), ""),
        [resource, name] => ((*resource).to_owned(), *name),
        [resource, name, sub] => (format!("{resource}/{sub}"), *name),
        _ => return None,
    };
    Some((namespace.to_owned(), resource, name.to_owned()))
}

fn query(text: &str) -> HashMap<String, String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read() {
        for (path, namespace, resource, name) in [
            ("/api/v1/configmaps", "", "configmaps", ""),
            ("/api/v1/namespaces/ns/configmaps/a", "ns", "configmaps", "a"),
            ("/apis/batch/v1/namespaces/ns/jobs", "ns", "jobs", ""),
            ("/apis/botarmy.dev/v1alpha1/namespaces/ns/botruns/a/status", "ns", "botruns/status", "a"),
            ("/apis/authentication.k8s.io/v1/tokenreviews", "", "tokenreviews", ""),
        ] {
            let expected = (namespace.to_owned(), resource.to_owned(), name.to_owned());
            assert_eq!(place(path), Some(expected), "{path}");
        }
        assert_eq!(query("fieldSelector=a%21%3Db%2Cc&limit=1")["fieldSelector"], "a!=b,c");
    }
}
