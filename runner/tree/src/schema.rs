//! The JSON Schema of trees, for editors: completion, short explanations and the mistakes that can be
//! seen without compiling anything.
//!
//! Made from the tables that [`crate::notation`] reads by, so that the two cannot part. It is a little
//! wider than the reader: what needs a look at several trees, or at what stands between braces, is
//! told by `runner validate` only. It is never narrower.

mod leaf;

use crate::action::{self, RESERVED_NAMES};
use crate::{duration, notation};
use serde_json::{Map, Value, json};

/// The definitions that a schema with trees in it needs under its `$defs`. A mapping of names to trees
/// is then `{"$ref": "#/$defs/trees"}`.
pub fn definitions() -> Map<String, Value> {
    let list = [
        ("trees", trees()),
        ("node", node()),
        ("nodes", nodes()),
        ("name", name()),
        ("quorum", quorum()),
        ("duration", duration("number")),
        ("contextName", context_name()),
        ("jsonPath", leaf::json_path()),
        ("http", leaf::http()),
    ];
    list.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// A duration: text with units, or a bare number of seconds of this type (`number` or `integer`).
pub fn duration(number: &str) -> Value {
    json!({
        "title": "Duration",
        "description": "5s, 250ms, 1m30s, or a bare number of seconds.",
        "type": ["string", number],
        "minLength": 1,
        "pattern": format!("^{}$", duration::pattern()),
        "minimum": 0,
        "maximum": duration::MAX.as_secs(),
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

fn trees() -> Value {
    json!({
        "title": "Trees",
        "description": "Behavior trees by name.",
        "type": "object",
        "minProperties": 1,
        "maxProperties": notation::MAX_TREES,
        "propertyNames": reference("name"),
        "additionalProperties": reference("node"),
    })
}

fn name() -> Value {
    // Characters are counted here and bytes by the reader, so that this is the wider of the two.
    json!({"type": "string", "minLength": 1, "maxLength": notation::MAX_NAME, "pattern": NO_CONTROL})
}

const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// A name that `set`, `save` and `with` can give a value to.
fn context_name() -> Value {
    json!({
        "maxLength": action::MAX_NAME,
        "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
        "not": {"enum": RESERVED_NAMES},
    })
}

fn node() -> Value {
    let words: Vec<Value> = action::BUILT_INS
        .iter()
        .filter(|s| s.min_args == 0)
        .map(|s| json!({"const": s.name, "description": leaf::description(s.name)}))
        .collect();
    let mut properties: Map<String, Value> = notation::kinds().map(|k| (k.to_owned(), kind(k))).collect();
    // It takes no arguments, so that it is only written as a bare word.
    properties.retain(|name, _| action::built_in(name).is_none_or(|s| s.max_args > 0));
    let label = "The name of this node in reports, instead of its own.";
    properties.insert("label".into(), described(reference("name"), label));
    let count = |n| json!({"minProperties": n, "maxProperties": n});
    json!({
        "title": "Node",
        "description": "A mapping with one kind and, if wanted, a label; or the bare word of a built-in action \
            that needs no arguments.",
        "anyOf": [
            {
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
                "if": {"required": ["label"]},
                "then": count(2),
                "else": count(1),
            },
            {"type": "string", "oneOf": words},
        ],
    })
}

fn nodes() -> Value {
    json!({"type": "array", "items": reference("node"), "minItems": 1, "maxItems": notation::MAX_CHILDREN})
}

/// What stands under the key of a node.
fn kind(name: &str) -> Value {
    match name {
        "sequence" => {
            described(reference("nodes"), "Runs its children in order; fails with the first that fails.")
        }
        "select" => described(
            reference("nodes"),
            "Runs its children in order; succeeds with the first that succeeds.",
        ),
        "random" => described(reference("nodes"), "Runs one child, drawn anew at each entry."),
        "random_weighted" => random_weighted(),
        "parallel" => parallel(),
        "repeat_n" => repeat_n(),
        "repeat_until_succeed" => {
            described(reference("node"), "Runs its child again until it succeeds; succeeds then.")
        }
        "repeat_until_fail" => {
            described(reference("node"), "Runs its child again until it fails; succeeds then.")
        }
        "negate" => described(reference("node"), "Fails when its child succeeds, succeeds when it fails."),
        "always_succeed" => described(reference("node"), "Succeeds whatever comes of its child."),
        "always_fail" => described(reference("node"), "Fails whatever comes of its child."),
        "retry" => retry(),
        "timeout" => timeout(),
        "if" => branch(),
        "check" => check(),
        "subtree" => subtree(),
        "action" => leaf::action(),
        "shared" => leaf::shared(),
        "signal" => described(leaf::key(), "Gives a signal; bots that await it go on."),
        "await" => leaf::await_signal(),
        "barrier" => leaf::barrier(),
        built_in => leaf::built_in(built_in),
    }
}

fn fields(description: &str, required: &[&str], properties: &Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn random_weighted() -> Value {
    let child = json!({
        "weight": {
            "description": "How likely this child is, in proportion to the sum of all weights; 0 is never drawn.",
            "type": "integer", "minimum": 0, "maximum": notation::MAX_WEIGHT,
        },
        "child": reference("node"),
    });
    json!({
        "description": "Runs one child, drawn by weight at each entry.",
        "type": "array",
        "minItems": 1,
        "maxItems": notation::MAX_CHILDREN,
        "items": fields("A child with its weight.", &["weight", "child"], &child),
        "contains": {"required": ["weight"], "properties": {"weight": {"exclusiveMinimum": 0}}},
    })
}

fn parallel() -> Value {
    let properties = json!({
        "succeed_on": described(reference("quorum"), "How many children must succeed for it to succeed. Default: all."),
        "fail_on": described(reference("quorum"), "How many children must fail for it to fail. Default: any."),
        "children": reference("nodes"),
    });
    fields(
        "Runs its children at the same time; what still runs when it ends is cancelled.",
        &["children"],
        &properties,
    )
}

fn quorum() -> Value {
    json!({
        "anyOf": [
            {"enum": notation::QUORUM_WORDS},
            {"type": "integer", "minimum": 1, "maximum": notation::MAX_CHILDREN},
        ],
    })
}

fn repeat_n() -> Value {
    let times = |description| json!({"description": description, "type": "integer", "minimum": 2, "maximum": notation::MAX_TIMES});
    let properties = json!({
        "times": times("How often."),
        "n": times("The same as times, as the original writes it; to be quoted in YAML."),
        "child": reference("node"),
    });
    let text = "Runs its child so many times, whatever comes of it; succeeds then.";
    let mut schema = fields(text, &["child"], &properties);
    schema["oneOf"] = json!([{"required": ["times"]}, {"required": ["n"]}]);
    schema
}

fn retry() -> Value {
    let properties = json!({
        "attempts": {
            "description": "How often the child runs at most.",
            "type": "integer", "minimum": 1, "maximum": notation::MAX_ATTEMPTS,
        },
        "delay": described(reference("duration"), "The time between two attempts. Default: none."),
        "child": reference("node"),
    });
    fields("Runs its child again while it fails, a few times.", &["attempts", "child"], &properties)
}

fn timeout() -> Value {
    let mut after = described(duration("number"), "The time, from its entry; above zero.");
    after["exclusiveMinimum"] = json!(0);
    let properties = json!({"after": after, "child": reference("node")});
    fields("Cancels its child and fails when the time is over.", &["after", "child"], &properties)
}

/// An expression without braces around it.
fn condition() -> Value {
    json!({
        "description": "An expression as it stands between braces, without them, such as \"id > 3\".",
        "type": ["string", "boolean"],
        "pattern": r"\S",
        "not": {"type": "string", "pattern": r"^\s*\{\{"},
    })
}

fn branch() -> Value {
    let properties = json!({
        "when": condition(),
        "then": described(reference("node"), "What runs when the condition is true."),
        "else": described(reference("node"), "What runs when it is false. Without it, the node succeeds then."),
    });
    fields("Runs one child or the other.", &["when", "then"], &properties)
}

fn check() -> Value {
    let name = described(reference("name"), "The name of its row in reports; it stands as it is written.");
    let text = "Counts whether a condition holds, for reports and thresholds; succeeds either way.";
    let named = fields(text, &["name", "when"], &json!({"name": name, "when": condition()}));
    json!({"description": text, "anyOf": [condition(), named]})
}

fn subtree() -> Value {
    let with = json!({
        "description": "Arguments: rendered when the subtree is entered, seen inside of it by name.",
        "type": "object",
        "maxProperties": notation::MAX_ARGUMENTS,
        "propertyNames": reference("contextName"),
    });
    let name = described(reference("name"), "The name of a tree of this document.");
    let properties = json!({"name": name, "with": with});
    let text = "Runs another tree of this document.";
    json!({"description": text, "anyOf": [name, fields(text, &["name"], &properties)]})
}
