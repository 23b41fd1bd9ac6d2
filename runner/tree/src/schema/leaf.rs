//! The schemas of actions: the built-in ones, `http` with its options, and those of others.

use super::{NO_CONTROL, described, fields, reference};
use crate::{action, duration, http, together};
use serde_json::{Map, Value, json};

/// What a built-in action does, in a sentence.
pub(super) fn description(name: &str) -> &'static str {
    match name {
        "done" => "Ends the bot, its work done.",
        "error" => "Ends the bot with this reason.",
        "http" => "Sends a request and looks at its answer.",
        "log" => "Writes a line to the log and succeeds.",
        "set" => "Puts values into the bot's context, to be used by name later, and succeeds.",
        "succeed_rate" => "Succeeds with this probability, else fails.",
        "wait" => "Succeeds after a time: fixed, or drawn from a range. Without one: 5 s.",
        _ => "A built-in action.",
    }
}

/// What stands under the key of a built-in action.
pub(super) fn built_in(name: &str) -> Value {
    let arguments = match name {
        "http" => reference("http"),
        "set" => json!({"type": "object", "propertyNames": reference("contextName")}),
        "succeed_rate" => json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        "wait" => wait(),
        // Any value will do.
        _ => json!({}),
    };
    described(arguments, description(name))
}

pub(super) fn action() -> Value {
    let name = json!({
        "description": "The name of the action.",
        "type": "string", "minLength": 1, "maxLength": action::MAX_NAME, "pattern": NO_CONTROL,
    });
    let args =
        json!({"description": "Its arguments, in order.", "type": "array", "maxItems": action::MAX_ARGS});
    let text = "Calls an action by its name.";
    let properties = json!({"name": name, "args": args});
    json!({"description": text, "anyOf": [name, fields(text, &["name"], &properties)]})
}

/// A key of shared data, or the name of a signal or a barrier.
pub(super) fn key() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// A change of shared data, of which exactly one is given with the key.
pub(super) fn shared() -> Value {
    let change = |text: &str| described(key(), text);
    let properties = json!({
        "put": change("Sets the value of this key."),
        "add": change("Adds to the number under this key; what is not there counts as 0."),
        "update": change("Sets the value of this key to what value gives, which sees the present one as old."),
        "push": change("Adds to the end of the list under this key."),
        "pop": change("Takes the first of the list under this key; fails when there is none."),
        "delete": change("Takes this key away."),
        "value": {"description": "The value, or what gives it."},
        "by": {
            "description": "What is added. Default: 1.",
            "type": ["number", "string"],
            "pattern": r"\{\{",
        },
        "save": described(reference("contextName"), "The name under which the bot keeps what it came to."),
    });
    let text = "Changes what all bots of the run share; each change is atomic.";
    let mut schema = fields(text, &[], &properties);
    let one = |change: &&str| match *change {
        "put" | "update" | "push" => json!({"required": [change, "value"]}),
        _ => json!({"required": [change], "not": {"required": ["value"]}}),
    };
    schema["oneOf"] = together::CHANGES.iter().map(one).collect();
    schema["dependentRequired"] = json!({"by": ["add"]});
    schema
}

fn timeout_of_waiting() -> Value {
    let mut timeout = super::duration("number");
    timeout["exclusiveMinimum"] = json!(0);
    timeout["maximum"] = together::MAX_TIMEOUT.as_secs().into();
    described(timeout, "How long it waits; then it fails. Default: 60s; at most a day.")
}

/// What waits for a signal.
pub(super) fn await_signal() -> Value {
    let text = "Waits until a signal is given.";
    let properties = json!({"signal": described(key(), "Its name."), "timeout": timeout_of_waiting()});
    json!({"description": text, "anyOf": [key(), fields(text, &["signal"], &properties)]})
}

/// What waits for other bots.
pub(super) fn barrier() -> Value {
    let properties = json!({
        "name": described(key(), "Its name."),
        "parties": {
            "description": "How many bots go on together.",
            "type": "integer", "minimum": 1, "maximum": together::MAX_PARTIES,
        },
        "timeout": timeout_of_waiting(),
    });
    fields(
        "Waits until so many bots have come to it; they go on together.",
        &["name", "parties"],
        &properties,
    )
}

fn wait() -> Value {
    let mut one = super::duration("number");
    // A template may become any duration.
    one["pattern"] = format!(r"^{}$|\{{\{{", duration::pattern()).into();
    one["description"] = "A fixed time, such as 5s or 2; a template is worked out by each bot.".into();
    let mut seconds = super::duration("integer");
    seconds["type"] = "integer".into();
    let mut times = super::duration("number");
    times["type"] = "string".into();
    let list = |least: u32, most: u32, items: &Value| json!({"type": "array", "minItems": least, "maxItems": most, "items": items});
    json!({"anyOf": [
        one,
        described(list(2, 2, &seconds), "Whole seconds, drawn evenly, both ends included, such as [1, 10]."),
        described(list(2, 2, &times), "Milliseconds, drawn evenly, both ends included, such as [500ms, 2s]."),
        list(0, 1, &one),
    ]})
}

pub(super) fn json_path() -> Value {
    json!({"type": "string", "maxLength": http::MAX_PATH, "pattern": r"^\$"})
}

/// The options of `http`, of which exactly one is the address.
pub(super) fn http() -> Value {
    let properties: Map<String, Value> =
        http::FIELDS.iter().map(|field| ((*field).to_owned(), option(field))).collect();
    let addresses: Vec<Value> =
        http::METHODS.iter().chain([&"url"]).map(|key| json!({"required": [key]})).collect();
    let mut schema = fields(description("http"), &[], &Value::Object(properties));
    schema["oneOf"] = addresses.into();
    schema["dependentRequired"] = json!({"method": ["url"]});
    schema["not"] = json!({"required": ["json", "body"]});
    schema
}

fn option(field: &str) -> Value {
    match field {
        "url" => described(address(), "The address, beside method."),
        "method" => json!({
            "description": "A method in capital letters, such as PURGE. Default: GET.",
            "type": "string", "maxLength": http::MAX_METHOD, "pattern": "^[A-Z-]+$",
        }),
        "headers" => map(
            "Header fields by name.",
            &json!({"pattern": r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$"}),
            &json!({"type": ["string", "number", "boolean", "null"]}),
        ),
        "json" => json!({"description": "Any value, sent as JSON."}),
        "body" => json!({"description": "Text, sent as it stands.", "type": "string"}),
        "timeout" => {
            let mut timeout = super::duration("number");
            timeout["exclusiveMinimum"] = json!(0);
            timeout["maximum"] = http::MAX_TIMEOUT.as_secs().into();
            described(timeout, "How long the answer may take, to its end. Default: 30s; at most an hour.")
        }
        "expect" => expect(),
        "name" => described(
            json!({"allOf": [reference("name"), {"not": {"pattern": r"\{\{"}}]}),
            "The name of its row in reports, instead of method and address; it stands as it is written.",
        ),
        "save" => map(
            "Values of the JSON answer to keep in the bot's context: a JSONPath by name.",
            &reference("contextName"),
            &reference("jsonPath"),
        ),
        method => described(address(), &format!("The address to {} to.", method.to_ascii_uppercase())),
    }
}

fn address() -> Value {
    json!({
        "type": "string",
        "maxLength": http::MAX_ADDRESS,
        "allOf": [{"pattern": r"^(https?://|\{\{)"}, {"pattern": NO_CONTROL}],
    })
}

fn map(description: &str, names: &Value, values: &Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "maxProperties": http::MAX_ENTRIES,
        "propertyNames": names,
        "additionalProperties": values,
    })
}

fn expect() -> Value {
    let one = json!({
        "type": ["integer", "string"],
        "minimum": 100,
        "maximum": 599,
        "pattern": r"^\s*[1-5][0-9]{2}\s*(-\s*[1-5][0-9]{2}\s*)?$",
    });
    let several = json!({"type": "array", "items": one, "minItems": 1, "maxItems": http::MAX_ENTRIES});
    let status = json!({
        "description": "The statuses that are right: a number, a range such as \"200-299\", or a list of these. \
            Default: 200-399.",
        "anyOf": [one, several],
    });
    let json = map("Values that the JSON answer must hold, by JSONPath.", &reference("jsonPath"), &json!({}));
    let text = "What makes the answer a success.";
    fields(text, &[], &json!({"status": status, "json": json}))
}
