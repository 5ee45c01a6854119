//! One event as JSON, as other programs write it: `{"event":"…","data":…}`.
//!
//! `data` keeps its text to the byte: it is cut out of the line and never read into values. Unknown
//! fields are errors, for a misspelt `tenant` would else be sent to everybody. Every field is cut out
//! first and read by itself, so that an error says which it was.

use super::fields::{self, Fields};
use crate::outbox::NewEvent;

/// What an event's text has around its data at most: name, tenant, key, and the JSON around them.
pub const AROUND_BYTES: usize = 64 << 10;

/// Reads one event.
///
/// # Errors
/// Why the text is no event, with the field or the position in it; whether the fields hold is the
/// outbox's to say.
pub fn parse(text: &str) -> Result<NewEvent, String> {
    let known = ["event", "data", "time", "tenant", "key"];
    let item = Fields::of(text, "an event", known)?;
    Ok(NewEvent {
        event: fields::text("event", item.needed("event")?)?,
        data: item.needed("data")?.get().to_owned(),
        time_ms: item.whole("time")?,
        tenant: item.text("tenant")?,
        key: item.text("key")?,
    })
}

/// The bytes as text.
///
/// # Errors
/// From which byte on they are none, the first being 1, as people count columns.
pub fn text<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to() + 1;
        format!("{what} is not UTF-8 from byte {at} on")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_keeps_its_text() {
        let text = r#" {"data": {"b" : 1.0e+05,  "a":[ ]} , "event":"a.b","time":7}"#;
        let event = parse(text).unwrap();
        assert_eq!(event.data, r#"{"b" : 1.0e+05,  "a":[ ]}"#);
        assert_eq!((event.event.as_str(), event.time_ms), ("a.b", Some(7)));
        let event = parse(r#"{"event":"\u0061","data":1,"time":null,"tenant":"x","key":null}"#);
        let event = event.unwrap();
        assert_eq!(
            (event.event.as_str(), event.tenant.as_deref()),
            ("a", Some("x"))
        );
        assert_eq!((event.time_ms, event.key), (None, None));
    }

    #[test]
    fn what_is_no_event_is_said_with_its_field_or_position() {
        for (text, words) in [
            (r#"{"event":"a"}"#, "missing field `data`"),
            (
                r#"{"event":"a","data":1,"tenent":"x"}"#,
                "unknown field `tenent`",
            ),
            (r#"{"event":"a","data":}"#, "line 1 column"),
            (r#"{"event":"a","data":1} x"#, "trailing characters"),
            (r#"{"event":1,"data":1}"#, "event: must be a text"),
            (r#"{"event":null,"data":1}"#, "event: must be a text"),
            (
                r#"{"event":"a","data":1,"time":"x"}"#,
                "time: must be a whole",
            ),
            (r#"{"event":"a","data":1,"key":7}"#, "key: must be a text"),
            (r#"["a",1,null,null,null]"#, "a JSON object, not an array"),
            (r#"[["a",1]]"#, "a JSON object, not an array"),
            ("7", "a JSON object, not a number"),
            ("", "EOF"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
