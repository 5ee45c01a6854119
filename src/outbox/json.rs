//! Whether a text is JSON that may be sent on as it stands.
//!
//! Nothing is built and nothing is changed: the application's very bytes go out. The depth is
//! looked at first, in one pass that needs no memory, so that no later reader of the text, here or
//! at the endpoint, is the one to overflow. Rejects what RFC 8259 rejects, a byte order mark too.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::event::MAX_DEPTH;

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

/// How many brackets open, in strings too: no fewer than the text is deep, and counted many at a time.
fn openings(text: &[u8]) -> usize {
    text.iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count()
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

    proptest! {
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
