//! What JSON comes to in memory, told from its bytes before it is read: a few bytes of it can stand for a hundred times as
//! many, and nobody who sends them, or may write them into an object, is trusted with that. Pure.

/// A mapping, however small: a leaf of a tree.
pub(crate) const OBJECT: usize = 640;
/// A list that may hold anything, and an item of one, with the room that a growing list has to spare.
pub(crate) const LIST: usize = 72;
pub(crate) const ITEM: usize = 48;
/// Two numbers in a list.
const PAIR: usize = LIST + 2 * ITEM;
/// A page of counters, and one at its widest: that is one with a count beyond [`NARROW`].
const PAGE: usize = 264;
const WIDE_PAGE: usize = 1_056;
const NARROW: usize = 65_535;
/// How many counters a page has.
const COUNTERS: usize = 128;

/// What a text comes to at most, in bytes, about; counting stops once that is more than `most`. What lies under the keys of `measures` has a
/// form of its own, and takes less than what may be anything.
pub(crate) fn unfolded(body: &[u8], measures: &[&str], most: usize) -> usize {
    let (mut sum, mut at, mut depth) = (body.len(), 0, 0_usize);
    let mut is_measure = false;
    while let Some(byte) = body.get(at).filter(|_| sum <= most) {
        at += 1;
        match byte {
            b'"' => {
                let length = text(&body[at..]);
                if depth == 1 {
                    let is_key = body[at + length..].trim_ascii_start().starts_with(b":");
                    let name = body[at..at + length].strip_suffix(b"\"").unwrap_or_default();
                    is_measure = is_key && measures.iter().any(|measure| measure.as_bytes() == name);
                }
                at += length;
            }
            b'{' => (sum, depth) = (sum + OBJECT, depth + 1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if !is_measure => sum += ITEM,
            b'[' => match counter(&body[at..]) {
                Some((comes_to, length)) => {
                    at += length;
                    // The key of the measures may be written in ways that are not known here.
                    sum += if is_measure { comes_to } else { comes_to.max(PAIR) };
                }
                None => (sum, depth) = (sum + LIST, depth + 1),
            },
            _ => {}
        }
    }
    sum
}

/// The length of a text up to its end, the quote included.
fn text(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        at += 1;
        match byte {
            b'"' => break,
            b'\\' => at += 1,
            _ => {}
        }
    }
    at.min(rest.len())
}

/// What a counter of a histogram comes to, which is written as how many before it are left out, and its count; and its
/// length, the comma behind it included.
fn counter(rest: &[u8]) -> Option<(usize, usize)> {
    let (left_out, behind) = number(rest)?;
    let (count, behind) = number(behind.strip_prefix(b",")?)?;
    let behind = behind.strip_prefix(b"]")?;
    let behind = behind.strip_prefix(b",").unwrap_or(behind);
    let page = if count > NARROW { WIDE_PAGE } else { PAGE };
    // Each counter that is left out brings the next page a bit nearer.
    let comes_to = page.min(left_out.saturating_add(1).saturating_mul(page) / COUNTERS);
    Some((comes_to, rest.len() - behind.len()))
}

/// A number, and what follows it; blanks around it are skipped.
fn number(rest: &[u8]) -> Option<(usize, &[u8])> {
    let rest = rest.trim_ascii_start();
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = rest.split_at(length);
    let number = digits
        .iter()
        .fold(0_usize, |number, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    (length > 0).then_some((number, behind.trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::unfolded as unfolded_with;
    use crate::coordinator::MAX_UNFOLDED as MAX;
    use botarmy_protocol::MAX_CHECK_IN_BYTES;
    use botarmy_report::{DEFAULT_HIGHEST_US, Delta, Outcome, Recorder, RowInfo, Slice};

    fn unfolded(body: &[u8]) -> usize {
        unfolded_with(body, &["deltas"], MAX)
    }

    /// As many of these as a check-in has room for, in the list of this key.
    fn full_of(key: &str, item: &str) -> Vec<u8> {
        let times = (MAX_CHECK_IN_BYTES - key.len() - 6) / (item.len() + 1);
        format!("{{\"{key}\":[{}]}}", vec![item; times].join(",")).into_bytes()
    }

    #[test]
    fn what_would_take_too_much_is_known_from_its_bytes() {
        for item in [
            "{}",
            r#"{"":0}"#,
            "[]",
            "0",
            "[1,2]",
            "[128,65536]",
            "[[]]",
            r#"{"a":{"b":{}}}"#,
            r#"{"deltas":[]}"#,
        ] {
            assert!(unfolded(&full_of("a", item)) > MAX, "{item}");
        }
        for item in ["[128,65536]", "[ 128 , 65536 ]", "[127,1]", "{}"] {
            assert!(unfolded(&full_of("deltas", item)) > MAX, "{item}");
        }
        let hidden = format!(r#"["deltas",{}]"#, "[],".repeat(2 << 20));
        assert!(unfolded(hidden.as_bytes()) > MAX, "no key");
        for item in ["\"xxxxxxxxxxxx\"", r#""{[,\\\"{[{[{[{[{[""#] {
            assert!(unfolded(&full_of("a", item)) <= MAX, "{item}");
        }
        for broken in
            ["\"", "\"\\", "[1,", "[1,2", "[", "{\"a", "}}]", "{\"deltas\":[99999999999999999999999,1],"]
        {
            assert!(unfolded(broken.as_bytes()) < 4_096, "{broken}");
        }
    }

    /// A second of this many actions, each with latencies spread over so many counters.
    fn second(second: u64, actions: usize, spread: u64) -> Slice {
        let row = |n: usize| RowInfo {
            name: format!("GET /catalogue/{n:04}"),
            base: "GET /catalogue".into(),
            measured: true,
            ..RowInfo::default()
        };
        let mut recorder = Recorder::new((0..actions).map(row).collect(), DEFAULT_HIGHEST_US);
        for row in 0..actions {
            for n in 0..spread {
                recorder.record(row, Outcome::Succeed, 1_000 + n * 9);
            }
        }
        Slice { second, totals: recorder.drain(), warmup: false, apart: false }
    }

    #[test]
    fn the_largest_that_a_runner_has_to_say_is_read() {
        for (actions, spread) in [(1, 1_000), (20, 100), (300, 12), (500, 1)] {
            let one = Delta { sequence: 1, slices: vec![second(1, actions, spread)], alive: 1 };
            let one = serde_json::to_string(&one).unwrap();
            let body = full_of("deltas", &one);
            assert!(body.len() > MAX_CHECK_IN_BYTES / 2);
            let comes_to = unfolded(&body);
            assert!(comes_to <= MAX, "{actions} actions over {spread} counters: {} MB", comes_to >> 20);
        }
    }
}
