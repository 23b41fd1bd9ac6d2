//! Every field of a run and of its trees is told somewhere.

use super::root;
use botarmy_spec::shape;
use botarmy_tree::schema;
use serde_json::Value;
use std::collections::BTreeSet;

/// The names of all fields within a schema.
fn fields(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(parts) => {
            let properties = parts.get("properties").and_then(Value::as_object);
            names.extend(properties.into_iter().flat_map(|fields| fields.keys().cloned()));
            parts.values().for_each(|part| fields(part, names));
        }
        Value::Array(parts) => parts.iter().for_each(|part| fields(part, names)),
        _ => {}
    }
}

#[test]
fn every_field_of_a_run_is_told() {
    let mut names = BTreeSet::new();
    fields(shape::schema(), &mut names);
    fields(&Value::Object(schema::definitions()), &mut names);
    assert!(
        names.contains("startDelay") && names.contains("pullPolicy") && names.contains("parties"),
        "{names:?}"
    );
    let files =
        std::fs::read_dir(root().join("docs")).expect("docs").map(|file| file.expect("a file").path());
    let texts = files.filter(|file| file.extension().is_some_and(|e| e == "md"));
    let text: String = texts.map(|file| std::fs::read_to_string(file).expect("text")).collect();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<_> = names.iter().filter(|name| !words.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "no page says what these are: {missing:?}");
}
