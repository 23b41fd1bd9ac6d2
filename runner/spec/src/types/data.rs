//! The field `data`: rows that bots are given.

use super::plain_enum;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Rows, of which each bot is given one for as long as it lives. Templates write a column as
/// {{ data.COLUMN }}.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.file) ? 1 : 0) + (has(self.inline) ? 1 : 0) + (has(self.configMap) ? 1 : 0) == 1",
    "message": "the rows come from a file, from inline or from a configMap; give one of them",
}]))]
pub struct DataSpec {
    /// A file: on a laptop beside the file of the run; in a pod an absolute path, of a volume that the template
    /// mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub file: Option<String>,
    /// The rows themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub inline: Option<String>,
    /// A key of a ConfigMap of the run's namespace, which the pods mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// How rows are written: Csv (the first line names the columns) or JsonLines (a mapping on each line).
    /// Default: JsonLines where the name ends with .jsonl or .ndjson, else Csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DataFormat>,
    /// What follows the last row: Recycle (rows of bots that ended are used again; there must be as many rows as
    /// bots), Wait (as Recycle, and where there are more bots than rows, some wait for a row) or Stop (each row is
    /// used once; no bot begins any more). Default Recycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<Exhausted>,
}

/// A key of a ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// The name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataFormat {
    /// Values with commas between them, as RFC 4180 says; the first line names the columns.
    #[default]
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

/// What follows the last row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exhausted {
    /// Rows of bots that ended are used again.
    #[default]
    Recycle,
    /// The same, and bots may have to wait for one.
    Wait,
    /// Each row is used once.
    Stop,
}

plain_enum!(DataFormat, ["Csv", "JsonLines"]);
plain_enum!(Exhausted, ["Recycle", "Wait", "Stop"]);
