//! The API server's answers, cut where they are nested too deep to be read.
//!
//! The open fields of a spec may be as deep as JSON goes at the API server, 10,000 levels. The client's reader gives up far
//! before that, and with it on the whole list: one such object would hide those of all other users. So what is deeper is
//! cut off before it is read. What is left is still deeper than a spec may be, and is refused for that.

use crate::costly::Weigher;
use crate::texts::{Part, Texts};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Bytes;
use kube::client::DynBody;
use tower::util::MapResponseLayer;

/// Levels that are kept. The client's reader takes 127.
const KEPT: usize = 120;
/// What stands in the place of a value that is deeper.
const CUT: &[u8] = b"\"(cut: nested too deep)\"";

/// What lets a client read any object, however deep it is and whatever it comes to.
pub fn layer()
-> MapResponseLayer<impl Fn(Response<Box<DynBody>>) -> Response<Box<DynBody>> + Clone + Send + Sync + 'static>
{
    MapResponseLayer::new(|response: Response<Box<DynBody>>| {
        let (mut cutter, mut weigher) = (Cutter::default(), Weigher::default());
        let mut cut = move |data: Bytes| Bytes::from(weigher.cut(&cutter.cut(&data)));
        response
            .map(|body| -> Box<DynBody> { Box::new(body.map_frame(move |frame| frame.map_data(&mut cut))) })
    })
}

/// Cuts one text of JSON after another, given in pieces of any size.
#[derive(Debug, Default)]
struct Cutter {
    depth: usize,
    texts: Texts,
}

impl Cutter {
    fn cut(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(piece.len());
        for byte in piece {
            let was_deep = self.depth > KEPT;
            self.step(*byte);
            match (was_deep, self.depth > KEPT) {
                (false, false) => kept.push(*byte),
                (false, true) => kept.extend_from_slice(CUT),
                // The bracket that closes what was cut off goes with it.
                (true, _) => {}
            }
        }
        kept
    }

    fn step(&mut self, byte: u8) {
        match (self.texts.part(byte), byte) {
            (Part::Mark, b'{' | b'[') => self.depth += 1,
            (Part::Mark, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// All of a text in pieces of this size.
    fn cut(text: &str, size: usize) -> String {
        let mut cutter = Cutter::default();
        let kept = text.as_bytes().chunks(size).flat_map(|piece| cutter.cut(piece)).collect();
        String::from_utf8(kept).unwrap()
    }

    fn nested(levels: usize, inner: &str) -> String {
        format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn what_is_not_deep_stays_as_it_is() {
        let brackets = r#"{"a": ["[[[{{{", "\"[", "\\"], "b": "\\\"{"} "#.repeat(500);
        for text in
            [brackets.as_str(), "", "not JSON: ]]]} at all", &nested(KEPT, "1"), "{\"ä\": \"ö\"}\n{}\n"]
        {
            for size in [1, 7, 1_000_000] {
                assert_eq!(cut(text, size), text);
            }
        }
    }

    #[test]
    fn what_is_deeper_is_cut_and_the_rest_can_be_read() {
        for (levels, inner) in [(KEPT + 1, "1"), (200, r#""]]]""#), (10_000, r#"{"a": "\"]", "b": [2]}"#)] {
            let event =
                |field: &str| format!("{{\"before\": [1], \"deep\": {field}, \"after\": {{\"b\": 2}}}}");
            let lines = format!("{}\n{}\n", event(&nested(levels, inner)), event("0"));
            for size in [1, 100, 1_000_000] {
                let kept = cut(&lines, size);
                let values: Vec<Value> =
                    kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                let [deep, flat] = values.as_slice() else { panic!("two lines: {kept}") };
                assert_eq!((&deep["before"][0], &deep["after"]["b"]), (&Value::from(1), &Value::from(2)));
                assert_eq!(flat["deep"], 0, "the next line begins anew");
                // One level is the event's own.
                let innermost = (1..KEPT).fold(&deep["deep"], |value, _| &value[0]);
                assert_eq!(innermost, "(cut: nested too deep)");
            }
        }
    }
}
