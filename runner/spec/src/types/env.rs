//! The field `env`: named texts, as in a container.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A named text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.valueFrom) && has(self.value) && size(self.value) > 0)",
    "message": "value and valueFrom exclude each other; keep one",
}]))]
pub struct EnvVar {
    /// The name: letters, digits and underscores, not beginning with a digit.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// The text. Default: empty.
    #[serde(default)]
    #[schemars(length(max = 32768))]
    pub value: String,
    /// Where the text comes from instead. It is put into the pods by the kubelet: the operator never sees it. Where
    /// it would show in a log, the status or a report, *** stands in its place, unless it has fewer than 4
    /// characters. On a laptop it is that of the environment variable of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Where the text of a variable comes from: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.secretKeyRef) ? 1 : 0) + (has(self.configMapKeyRef) ? 1 : 0) + (has(self.fieldRef) ? 1 : 0) == 1",
    "message": "a value comes from a secretKeyRef, a configMapKeyRef or a fieldRef; give one of them",
}]))]
pub struct EnvSource {
    /// A key of a Secret of the run's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a ConfigMap of the run's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// A field of the runner's pod, such as spec.nodeName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldRef>,
}

impl EnvSource {
    /// Whether the pods start without it.
    pub fn is_optional(&self) -> bool {
        let key = self.secret_key_ref.as_ref().or(self.config_map_key_ref.as_ref());
        key.is_some_and(|key| key.optional)
    }

    /// How many sources are given.
    pub(crate) fn count(&self) -> usize {
        [self.secret_key_ref.is_some(), self.config_map_key_ref.is_some(), self.field_ref.is_some()]
            .into_iter()
            .filter(|given| *given)
            .count()
    }
}

/// A key of a Secret or of a ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// True lets the pods start without it; the text is empty then. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A field of the runner's pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldRef {
    /// The path of the field, such as metadata.namespace or spec.nodeName.
    #[schemars(length(min = 1, max = 253))]
    pub field_path: String,
}
