//! The API server's answers, cut where an object of ours would take too much memory.
//!
//! The open fields of a spec are kept as they are, and a few bytes there can stand for a hundred times as many in memory,
//! where every run is. So what a spec would come to is reckoned as it passes by, before it is read, and the rest of one is cut
//! off that comes to more than one may. What is left cannot be read, and says why: that keeps nobody else from being read.

use crate::texts::{Part, Texts};
use crate::unfolded::{ITEM, LIST, OBJECT};

/// Most that a spec may come to, in bytes: trees of 450 KB, of the usual nodes. Longer ones have their place beside
/// the object, where runners read them.
pub(crate) const MOST: usize = 16 << 20;
/// What stands in the place of the first value that is cut off, and at the end of its spec: no text can be read as a
/// template, neither as that of a schedule nor as that of pods.
const LEFT_OUT: &[u8] = b"null";
const WHY: &[u8] =
    b",\"template\":\"(cut: the trees and the other open fields of this spec take more than 16 MiB of the \
operator's memory; make them fewer or shorter, or put the trees into a ConfigMap and name it in sources)\"";
/// What the names of our kinds begin with.
const OURS: &[u8] = b"BotRun";
/// So much of a text is looked at, in bytes: as much as tells these, and the keys on the way to a spec, from others.
const LOOKED_AT: usize = 8;

/// Cuts one text of JSON after another, given in pieces of any size: an object alone, a list, or the events of a watch.
#[derive(Debug, Default)]
pub(crate) struct Weigher {
    depth: usize,
    texts: Texts,
    /// The beginning of the last text.
    text: Vec<u8>,
    /// The items of a list are being read.
    in_items: bool,
    /// At which depth the fields of the object stand that is being read, and whether it is one of ours.
    fields: usize,
    is_ours: bool,
    /// What its spec comes to so far, while that is read.
    spec: Option<usize>,
    /// It comes to too much: so many brackets of what was kept have yet to be closed.
    open: Option<usize>,
}

impl Weigher {
    /// What is kept of a piece.
    pub(crate) fn cut(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(piece.len());
        for byte in piece {
            match self.open {
                Some(open) => self.leave_out(open, *byte, &mut kept),
                None => self.keep(*byte, &mut kept),
            }
        }
        kept
    }

    fn keep(&mut self, byte: u8, kept: &mut Vec<u8>) {
        let depth = self.depth;
        let is_mark = self.step(byte);
        if let Some(sum) = &mut self.spec {
            *sum += 1;
            if is_mark {
                *sum += cost(byte);
            }
        }
        let is_too_much = is_mark && self.spec.is_some_and(|sum| sum > MOST);
        match byte {
            b',' if is_too_much => self.open = Some(depth),
            b'{' | b'[' if is_too_much => {
                self.open = Some(depth);
                kept.extend_from_slice(LEFT_OUT);
            }
            _ => kept.push(byte),
        }
    }

    /// Of what is left out the brackets are kept that close what was kept.
    fn leave_out(&mut self, open: usize, byte: u8, kept: &mut Vec<u8>) {
        let depth = self.depth;
        if !self.step(byte) || !matches!(byte, b'}' | b']') || depth > open {
            return;
        }
        let ends_spec = self.spec.is_none();
        if ends_spec {
            kept.extend_from_slice(WHY);
        }
        kept.push(byte);
        self.open = (!ends_spec).then_some(self.depth);
    }

    /// Takes note of a byte; whether it is none of a text.
    fn step(&mut self, byte: u8) -> bool {
        let part = self.texts.part(byte);
        match (part, byte) {
            (Part::Begins, _) => self.text.clear(),
            (Part::Inner, _) if self.text.len() < LOOKED_AT => self.text.push(byte),
            (Part::Inner, _) => {}
            (Part::Ends, _) => self.is_ours |= self.depth == self.fields && self.text.starts_with(OURS),
            (Part::Mark, b'{' | b'[') => self.enter(byte),
            (Part::Mark, b'}' | b']') => self.leave(),
            (Part::Mark, _) => {}
        }
        part == Part::Mark
    }

    fn enter(&mut self, bracket: u8) {
        let key = self.text.as_slice();
        self.depth += 1;
        let is_object = match self.depth {
            1 => true,
            2 => {
                self.in_items = bracket == b'[' && key == b"items";
                bracket == b'{' && key == b"object"
            }
            3 => self.in_items,
            _ => false,
        };
        if is_object {
            (self.fields, self.is_ours) = (self.depth, false);
        } else if self.is_ours && self.depth == self.fields + 1 && key == b"spec" {
            self.spec = Some(0);
        }
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth <= self.fields {
            self.spec = None;
        }
        if self.depth < 2 {
            self.in_items = false;
        }
    }
}

/// What stands outside of texts comes to this, beside itself.
const fn cost(mark: u8) -> usize {
    match mark {
        b'{' => OBJECT,
        b'[' => LIST,
        b',' => ITEM,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use botarmy_crds::{BotRun, BotRunSchedule};
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    /// What an object may have, in bytes of JSON.
    const LARGEST: usize = 1_400_000;
    /// What trees may have, as the documentation says.
    const LONG: usize = 450_000;

    fn cut(text: &str, size: usize) -> String {
        let mut weigher = Weigher::default();
        let kept = text.as_bytes().chunks(size).flat_map(|piece| weigher.cut(piece)).collect();
        String::from_utf8(kept).unwrap()
    }

    /// As many of these as an object takes, in a list.
    fn full_of(item: &str) -> String {
        so_long(LARGEST, item)
    }

    fn so_long(bytes: usize, item: &str) -> String {
        format!("[{}]", vec![item; bytes / (item.len() + 1)].join(","))
    }

    /// A run with this in an open field, beside others that come before and after it.
    fn run(kind: &str, custom: &str) -> String {
        format!(
            r#"{{"apiVersion":"botarmy.dev/v1alpha1","kind":"{kind}","metadata":{{"name":"a"}},"spec":{{"bots":4,"custom":{{"a":{custom},"b":[{{}}]}},"trees":{{"T":"done"}}}},"status":{{"phase":"Running"}}}}"#
        )
    }

    fn list(items: &[String]) -> String {
        format!(r#"{{"apiVersion":"v1","items":[{}],"kind":"BotRunList","metadata":{{}}}}"#, items.join(","))
    }

    fn event(object: &str) -> String {
        format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n")
    }

    #[test]
    fn trees_of_the_usual_nodes_are_kept() {
        for node in [
            r#"{"action":{"name":"Shop.buy","args":[42]}}"#,
            r#"{"http":{"get":"{{ target }}/cart/{{ id }}","expect":{"status":200}},"label":"cart"}"#,
            r#"{"select":[{"action":"Shop.look_around"},{"wait":[1,10]},{"error":"Darn, didn't work!"}]}"#,
            r#""done""#,
        ] {
            let text = run("BotRun", &so_long(LONG, node));
            for text in [text.clone(), list(&[text.clone(), text.clone()]), event(&text)] {
                assert!(cut(&text, 10_000) == text, "{node}");
            }
        }
    }

    #[test]
    fn what_is_none_of_ours_and_what_stands_in_texts_is_kept() {
        let costly = full_of(r#"{"":0}"#);
        let text = Value::from(costly.as_str()).to_string();
        for text in [run("Pod", &costly), run("BotRun", &text), costly, "not JSON: ]]}".into(), String::new()]
        {
            for object in [text.clone(), list(&[text.clone(), text.clone()]), event(&text)] {
                assert!(cut(&object, 1_000) == object, "{} bytes", object.len());
            }
        }
    }

    #[test]
    fn what_would_take_too_much_is_cut_and_says_why_and_all_others_can_be_read() {
        for item in [r#"{"":0}"#, r#"{"a":{"b":{}}}"#, r#"[[0],{"":[]}]"#, r#"{"":"{[,\\\"{["}"#] {
            let (costly, small) = (run("BotRun", &full_of(item)), run("BotRun", "[]"));
            for size in [7, 1_000_000] {
                let kept: Value =
                    serde_json::from_str(&cut(&list(&[small.clone(), costly.clone(), small.clone()]), size))
                        .unwrap();
                assert_eq!(kept["kind"], "BotRunList");
                let runs: Vec<DeserializeGuard<BotRun>> =
                    serde_json::from_value(kept["items"].clone()).unwrap();
                assert_eq!(runs.iter().map(|run| run.0.is_ok()).collect::<Vec<_>>(), [true, false, true]);
                let error = &runs[1].0.as_ref().unwrap_err().error;
                assert!(error.contains("more than 16 MiB"), "{error}");
                assert_eq!(kept["items"][1]["status"]["phase"], "Running", "what follows the spec is there");
                assert!(kept["items"][1]["spec"]["trees"].is_null());
                let events = cut(&format!("{}{}", event(&costly), event(&small)), size);
                let events: Vec<Value> =
                    events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                assert_eq!(events[1]["object"], serde_json::from_str::<Value>(&small).unwrap());
                assert_eq!(events[0]["object"], kept["items"][1], "a list and a watch tell the same");
            }
        }
    }

    #[test]
    fn what_is_left_comes_to_no_more_than_it_may() {
        // Not by brackets alone.
        let numbers = format!("[{}]", "0,".repeat(3 << 20) + "0");
        let kept = cut(&run("BotRun", &numbers), 1_000);
        let kept: Value = serde_json::from_str(&kept).unwrap();
        let length = kept["spec"]["custom"]["a"].as_array().unwrap().len();
        assert!((MOST / ITEM / 2..MOST / ITEM).contains(&length), "{length}");
        assert!(kept["spec"]["custom"]["b"].is_null() && kept["spec"]["template"].is_string());
    }

    #[test]
    fn a_schedule_is_told_as_well() {
        let spec = json!({"schedule": "@hourly", "template": {"spec": {"trees": {"T": "done"}, "custom": {"a": "HERE"}}}});
        let schedule = json!({"apiVersion": "botarmy.dev/v1alpha1", "kind": "BotRunSchedule", "metadata": {"name": "a"}, "spec": spec});
        let text = schedule.to_string().replace("\"HERE\"", &full_of(r#"{"":0}"#));
        let read: DeserializeGuard<BotRunSchedule> = serde_json::from_str(&cut(&text, 1_000)).unwrap();
        assert!(read.0.unwrap_err().error.contains("more than 16 MiB"));
    }
}
