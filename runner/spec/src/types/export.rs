//! The field `export`: where the result goes when the run is over.

use super::{KeyRef, plain_enum};
use botarmy_report::Format;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A place that the result is taken to when the run is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.persistentVolumeClaim) != has(self.http)",
        "message": "a result goes to a persistentVolumeClaim or to http; give one of them",
    },
    {
        "rule": "!has(self.http) || !has(self.formats) || size(self.formats) < 2 || self.http.url.endsWith('/')",
        "message": "several formats cannot go to one address; end url with a slash, so that each gets a name of its own, or give one format",
    },
]))]
pub struct ExportSpec {
    /// A folder of a claim of the run's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimFolder>,
    /// An address that takes files by PUT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpPut>,
    /// In which forms it is taken there, each as a file of its own. Default: json.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5), extend("x-kubernetes-list-type" = "set"))]
    pub formats: Vec<ExportFormat>,
}

impl ExportSpec {
    /// The forms that it is taken there in.
    pub fn forms(&self) -> Vec<Format> {
        let given: Vec<Format> = self.formats.iter().map(|format| (*format).into()).collect();
        if given.is_empty() { vec![Format::Json] } else { given }
    }

    /// The headers that are sent along.
    pub fn headers(&self) -> &[HeaderSpec] {
        self.http.as_ref().map_or(&[], |http| &http.headers)
    }
}

/// A folder of a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.path) || !self.path.matches('^/|(^|/)[.][.](/|$)')",
    "message": "path leads out of the claim; write a folder inside of it, without .. and without a slash at the beginning",
}]))]
pub struct ClaimFolder {
    /// The name of the claim. It is mounted for writing.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// The folder in it, without a slash at the beginning; it is made if need be. Default: the claim's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,
}

/// An address that takes files by PUT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": r#"self.url.matches('^https?://(\\[[0-9A-Fa-f:.]+\\]|[-A-Za-z0-9._]+)(:[0-9]+)?([/?][!-"$-~]*)?$')"#,
    "message": "url is not an address; write one such as https://HOST/PATH, without a name, a password or a fragment",
}]))]
pub struct HttpPut {
    /// The address: http://HOST:PORT/PATH or https://HOST/PATH. When it ends with a slash, the name of the file is
    /// added; else it is used as it is, and a later run of the same spec takes the place of an earlier one.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// Headers that are sent along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HeaderSpec>,
}

/// A header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.value) != has(self.valueFrom)",
        "message": "a header has a value or a valueFrom; give one of them",
    },
    {
        "rule": "!self.name.matches('^(?i)(connection|content-length|host|transfer-encoding)$')",
        "message": "this header is set by itself; leave it out",
    },
]))]
pub struct HeaderSpec {
    /// Its name.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// Its value: printable ASCII.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = "^[ -~]*$"))]
    pub value: Option<String>,
    /// Where the value comes from instead. The kubelet puts it into the pod that sends it: the operator never sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// Where the value of a header comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSource {
    /// A key of a Secret of the run's namespace.
    pub secret_key_ref: KeyRef,
}

/// A form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// All of it, for programs.
    Json,
    /// A page with charts that stands alone.
    Html,
    /// Thresholds as test cases.
    Junit,
    /// Counts and times as one table.
    Csv,
    /// A table for a terminal.
    Text,
}
plain_enum!(ExportFormat, ["json", "html", "junit", "csv", "text"]);

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Json => Self::Json,
            ExportFormat::Html => Self::Html,
            ExportFormat::Junit => Self::Junit,
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Text => Self::Text,
        }
    }
}
