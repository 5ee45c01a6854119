//! Text of others on its way to a terminal: nothing of it may be obeyed, and none of it be lost.
//!
//! Bodies, headers, event names and errors come from endpoints and applications. Control characters
//! and those that reorder or hide text are shown as `\u{1b}`, on one line or in a block. JSON keeps
//! its meaning: there they become `\u001b`. Widths are columns of a terminal.

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::model::shown::is_unsafe;
pub(super) use crate::model::shown::{block, line};
pub(super) use crate::model::told::{counted, deliveries, grouped};

/// The value as JSON on one line, in which nothing is raw that a terminal might obey.
pub(super) fn json(value: &impl Serialize) -> String {
    // A struct of strings and numbers can't fail to be JSON; a map with odd keys could.
    let plain = serde_json::to_string(value).unwrap_or_default();
    if !plain.chars().any(is_unsafe) {
        return plain;
    }
    let mut safe = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        if is_unsafe(c) {
            // Such a character can only be inside a string.
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// How many columns of a terminal the text takes (UAX #11): two for a Chinese character, none for an
/// accent of its own.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The text in at most `width` columns; an ellipsis says that there was more.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    // Of characters without width there may be any number.
    for c in text.chars().take(4 * width) {
        short.push(c);
        if columns(&short) >= width {
            short.pop();
            break;
        }
    }
    if width > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        assert_eq!(
            line("a\x1b[2Jb\u{9b}c\u{202e}d\ne"),
            "a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\\ne"
        );
        assert_eq!(line("Grüße \u{1f600} \\"), "Grüße \u{1f600} \\");
        assert_eq!(block("a\r\n\tb\x07", "  "), "  a\n  \tb\\u{7}\n");
        assert_eq!(block("", "  "), "");
    }

    #[test]
    fn json_stays_json() {
        let text = json(&"a\x1b\u{9b}\u{202e}\u{e0001}");
        assert_eq!(text, r#""a\u001b\u009b\u202e\udb40\udc01""#);
        let back: String = serde_json::from_str(&text).unwrap();
        assert_eq!(back, "a\x1b\u{9b}\u{202e}\u{e0001}");
    }

    #[test]
    fn cutting() {
        for (width, expected) in [(6, "abcdef"), (5, "abcd…"), (1, "…"), (0, "")] {
            assert_eq!(cut("abcdef", width), expected);
        }
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn a_text_is_as_wide_as_a_terminal_shows_it() {
        for (text, width, shown) in [
            ("注文確定", 8, "注文確定"),
            ("注文確定", 7, "注文確…"),
            ("注文確定", 6, "注文…"),
            ("e\u{301}te\u{301}", 3, "e\u{301}te\u{301}"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, width), shown, "{text} {width}");
        }
    }

    proptest! {
        #[test]
        fn no_text_gets_through_raw(text in any::<String>(), width in 0_usize..50) {
            prop_assert!(!line(&text).chars().any(is_unsafe));
            prop_assert!(!json(&text).chars().any(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&json(&text)).unwrap(), text.clone());
            prop_assert!(columns(&cut(&text, width)) <= width);
        }
    }
}
