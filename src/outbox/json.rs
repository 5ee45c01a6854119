//! Whether a text is JSON that may be sent on as it stands.
//!
//! Nothing is built and nothing is changed: the application's very bytes go out. The depth is
//! looked at first, in one pass that needs no memory, so that no later reader of the text, here or
//! at the endpoint, is the one to overflow. Rejects what RFC 8259 rejects, a byte order mark too.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::event::MAX_DEPTH;

/// The most whole lanes of 16 bytes of which each may be a bracket and the count still fits a byte.
const COUNTED_BYTES: usize = 240;

/// Why `text` is no JSON that can be sent, for people; `None` when it can.
pub(super) fn fault(text: &str) -> Option<String> {
    if openings(text.as_bytes()) > MAX_DEPTH && depth(text.as_bytes()) > MAX_DEPTH {
        return Some("is nested over 1,000 deep".to_owned());
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    IgnoredAny::deserialize(&mut reader)
        .and_then(|_| reader.end())
        .err()
        .map(|error| format!("is not JSON: {error}"))
}

/// How many brackets open, in strings too: no fewer than the text is deep. A shorter text is its own bound.
fn openings(text: &[u8]) -> usize {
    if text.len() <= MAX_DEPTH {
        return text.len();
    }
    // The two differ in one bit. A count of so few fits a byte, and so many bytes are counted at once.
    let count = |some: &[u8]| {
        some.iter()
            .fold(0_u8, |n, b| n.wrapping_add(u8::from(b | 0x20 == b'{')))
    };
    text.chunks(COUNTED_BYTES)
        .map(|some| usize::from(count(some)))
        .sum()
}

/// The deepest nesting of arrays and objects. Of a text that isn't JSON, some number.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_json_is() {
        for text in [
            "{}",
            " [1, 2.5e999, \"\\ud800\", null]\n",
            "\"]]]\\\"[[[\"",
            "0",
            "{\"a\":1,\"a\":2}",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "{}{}",
            "01",
            "'a'",
            "{a:1}",
            "[1,]",
            "\u{feff}{}",
            "\"\n\"",
            "\"\0\"",
            "NaN",
            "{}\0",
            "\"\\x\"",
        ] {
            let fault = fault(text).unwrap();
            assert!(fault.starts_with("is not JSON: "), "{text}: {fault}");
            assert!(fault.contains(" line "), "{text}: {fault}");
        }
    }

    #[test]
    fn a_thousand_deep_is_the_limit() {
        let nested = |deep: usize| format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(fault(&nested(1_000)), None);
        let fault = |text: &str| fault(text).unwrap();
        assert_eq!(fault(&nested(1_001)), "is nested over 1,000 deep");
        assert_eq!(
            fault(&"{\"a\":".repeat(5_000_000)),
            "is nested over 1,000 deep"
        );
    }

    #[test]
    fn brackets_in_strings_are_looked_at_more_closely() {
        for (bracket, filler) in [("[", ""), ("{", "\\u005b"), ("{[", "x\u{e9}")] {
            let text = format!("\"{}{}\"", filler.repeat(300), bracket.repeat(5_000));
            assert!(openings(text.as_bytes()) >= 5_000);
            assert_eq!(fault(&text), None);
        }
        let most = format!("[{}1]", "1,[],{},".repeat(499));
        assert_eq!(openings(most.as_bytes()), 999);
        assert_eq!(fault(&most), None);
    }

    proptest! {
        #[test]
        fn every_opening_is_counted(text in "[\\[\\]{}\\x1bz;A_]{1001,1300}") {
            let one_by_one = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
            prop_assert_eq!(openings(text.as_bytes()), one_by_one);
        }

        #[test]
        fn any_text_gets_an_answer_that_agrees_with_the_parser(text in "[\\[\\]{}\",:0-9a\\\\ ]{0,40}") {
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            // A lone surrogate or a huge number may be sent on, though it makes no `Value`.
            if parsed.is_ok() {
                prop_assert_eq!(fault(&text), None);
            }
        }

        #[test]
        fn depth_is_that_of_the_value(deep in 0_usize..50, text in "[\\[\\]{}\"a\\\\]{0,10}") {
            let inner = serde_json::to_string(&text).unwrap();
            let json = format!("{}{inner}{}", "[".repeat(deep), "]".repeat(deep));
            prop_assert_eq!(depth(json.as_bytes()), deep);
        }
    }
}
