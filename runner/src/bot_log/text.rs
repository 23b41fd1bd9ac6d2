//! Text of others in one line of the log: nothing in it ends the line or begins a key. Pure.

use std::io::Write;

/// Appends `text` as the value of a key: as it is, or in double quotes where a reader could take it for
/// more than one value. At most about `most` bytes of it are kept, then `…` follows.
pub(super) fn value(out: &mut Vec<u8>, text: &str, most: usize) {
    if text.len() <= most && is_one_word(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        quoted(out, text, most);
    }
}

/// Appends `text` in double quotes, as JSON writes a text.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str, most: usize) {
    out.push(b'"');
    escaped(out, text, most, true);
    out.push(b'"');
}

/// Appends `text` as it is but for what acts unseen.
pub(super) fn message(out: &mut Vec<u8>, text: &str, most: usize) {
    escaped(out, text, most, false);
}

fn is_one_word(text: &str) -> bool {
    let parts = |c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\') || acts_unseen(c);
    !text.is_empty() && !text.contains(parts)
}

/// Control characters, separators of lines, zero-width and direction marks, the byte order mark.
fn acts_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escaped(out: &mut Vec<u8>, text: &str, most: usize, in_quotes: bool) {
    let is_plain = |b: u8| matches!(b, b' '..=b'~') && !(in_quotes && matches!(b, b'"' | b'\\'));
    if text.len() <= most && text.bytes().all(is_plain) {
        return out.extend_from_slice(text.as_bytes());
    }
    let begin = out.len();
    for c in text.chars() {
        let before = out.len();
        match c {
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '"' | '\\' if in_quotes => out.extend_from_slice(&[b'\\', c as u8]),
            // All of these have four digits.
            _ if acts_unseen(c) => drop(write!(out, "\\u{:04x}", u32::from(c))),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        if out.len() - begin > most {
            out.truncate(before);
            return out.extend_from_slice("…".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(write: fn(&mut Vec<u8>, &str, usize), text: &str, most: usize) -> String {
        let mut out = Vec::new();
        write(&mut out, text, most);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_one_word_or_stands_in_quotes() {
        for (text, expected) in [
            ("Shop.buy?", "Shop.buy?"),
            ("größe", "größe"),
            ("GET /cart", "\"GET /cart\""),
            ("", "\"\""),
            ("a=b", "\"a=b\""),
            ("say \"no\"", r#""say \"no\"""#),
            (r"C:\x", r#""C:\\x""#),
            ("a\nb\r\tc", r#""a\nb\r\tc""#),
            ("\u{1b}[31m", r#""\u001b[31m""#),
            ("\u{a0}", "\"\u{a0}\""),
            ("x\u{2028}y\u{85}z\u{202e}", r#""x\u2028y\u0085z\u202e""#),
        ] {
            assert_eq!(of(value, text, 100), expected, "{text:?}");
        }
    }

    #[test]
    fn quoted_text_is_json() {
        for text in [
            "",
            "plain",
            "q\"b\\n",
            "\u{0}\u{1f}\u{7f}\u{9f}\n",
            "µ \u{feff}\u{2066} 🦀",
            "\u{d7ff}\u{10ffff}",
        ] {
            let parsed: String = serde_json::from_str(&of(quoted, text, 1000)).unwrap();
            assert_eq!(parsed, text);
        }
    }

    #[test]
    fn a_message_stays_in_its_line() {
        assert_eq!(of(message, "say \"a=b\" \\ C\nnext\u{2029}", 100), "say \"a=b\" \\ C\\nnext\\u2029");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(of(value, "abcdef", 5), "\"abcde…\"");
        assert_eq!(of(message, "µµµ", 5), "µµ…");
        assert_eq!(of(quoted, "ab\n", 3), "\"ab…\"");
        let long = "\u{0}".repeat(10_000);
        assert!(of(quoted, &long, 2048).len() <= 2048 + 5);
    }
}
