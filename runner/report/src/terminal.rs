//! Text of users on a terminal: nothing in it may act on the terminal, and it fits its column.

/// `text` with control characters, and those that turn or hide text, written as `\u{1b}`.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            _ if c.is_control() || acts_unseen(c) => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    shown
}

/// Zero-width and direction marks, separators of lines, the byte order mark.
const fn acts_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `text` in at most `width` characters, its middle replaced by `…`: beginning and end tell names apart.
pub fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let tail = kept / 2;
    let mut shown: String = text.chars().take(kept - tail).collect();
    shown.push('…');
    shown.extend(text.chars().skip(length - tail));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(escape("\u{1b}[31mred\nµ\u{202e}x"), "\\u{1b}[31mred\\nµ\\u{202e}x");
        assert_eq!(escape("Shop.buy(42, \"a\")"), "Shop.buy(42, \"a\")");
    }

    #[test]
    fn the_middle_is_left_out_by_characters() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abc…fg");
        assert_eq!(shorten("µµµµµµµ", 4), "µµ…µ");
        assert_eq!(shorten("abc", 1), "…");
    }
}
