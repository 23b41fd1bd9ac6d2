//! Changes of JSON at random, the same from the same seed: numbers and texts become others that are worth a try, parts
//! are left out, doubled and exchanged. Most of what comes of it is still read.

use serde_json::{Value, json};

/// Where chance comes from: `SplitMix64`.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// A number below this one; 0 if there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).unwrap_or_default()
    }
}

/// Changes one part, whichever it is.
pub(crate) fn change(value: &mut Value, draw: &mut Draw) {
    let mut place = draw.below(parts(value));
    change_at(value, &mut place, draw);
}

fn parts(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(parts).sum(),
        Value::Object(fields) => fields.values().map(parts).sum(),
        _ => 0,
    };
    inner + 1
}

/// Changes the part that comes after so many others.
fn change_at(value: &mut Value, place: &mut usize, draw: &mut Draw) {
    if *place == 0 {
        *place = usize::MAX;
        return change_this(value, draw);
    }
    *place -= 1;
    let inner: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(fields) => Box::new(fields.values_mut()),
        _ => return,
    };
    for part in inner {
        if *place == usize::MAX {
            return;
        }
        change_at(part, place, draw);
    }
}

fn change_this(value: &mut Value, draw: &mut Draw) {
    match value {
        Value::Null => *value = json!(draw.below(3)),
        Value::Bool(yes) => *yes = !*yes,
        Value::Number(_) => *value = number(draw),
        Value::String(text) => {
            let long = "µ".repeat(draw.below(3_000));
            let texts =
                ["", "running", "finished", "ready", "preparing", "(other)", "iteration", "a\u{0}b", &long];
            texts[draw.below(texts.len())].clone_into(text);
        }
        Value::Array(items) => {
            let (one, other) = (draw.below(items.len()), draw.below(items.len()));
            match draw.below(4) {
                _ if items.is_empty() => {}
                0 => drop(items.remove(one)),
                1 => items.push(items[one].clone()),
                2 => items.swap(one, other),
                _ => items.truncate(one),
            }
        }
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let Some(one) = names.get(draw.below(names.len())) else { return };
            let other = &names[draw.below(names.len())];
            match draw.below(3) {
                0 => drop(fields.remove(one)),
                1 => drop(fields.insert(format!("{one}{}", draw.below(9)), fields[other].clone())),
                _ => {
                    let (first, second) = (fields[one].clone(), fields[other].clone());
                    fields.insert(one.clone(), second);
                    fields.insert(other.clone(), first);
                }
            }
        }
    }
}

fn number(draw: &mut Draw) -> Value {
    let worth_a_try =
        [0, 1, 2, 3, 599, 600, 65_536, 1 << 31, u64::from(u32::MAX), 1 << 53, u64::MAX - 1, u64::MAX];
    match draw.below(16) {
        0 => json!(-1),
        1 => json!(0.5),
        _ => json!(worth_a_try[draw.below(worth_a_try.len())]),
    }
}
