//! One event as JSON, as other programs write it: `{"event":"…","data":…}`.
//!
//! `data` keeps its text to the byte: it is cut out of the line and never read into values. Unknown
//! fields are errors, for a misspelt `tenant` would else be sent to everybody. Every field is cut out
//! first and read by itself, so that an error says which it was.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::outbox::NewEvent;

/// What an event's text has around its data at most: name, tenant, key, and the JSON around them.
pub const AROUND_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    tenant: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
}

/// A text that need not be copied unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads one event.
///
/// # Errors
/// Why the text is no event, with the field or the position in it; whether the fields hold is the
/// outbox's to say.
pub fn parse(text: &str) -> Result<NewEvent, String> {
    let item: Item<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let event: Text<'_> = field("event", item.event)?;
    let label = |name, raw: Option<&RawValue>| -> Result<Option<String>, String> {
        raw.map_or(Ok(None), |raw| field(name, raw))
    };
    Ok(NewEvent {
        event: event.0.into_owned(),
        data: item.data.get().to_owned(),
        time_ms: item.time.map_or(Ok(None), |raw| field("time", raw))?,
        tenant: label("tenant", item.tenant)?,
        key: label("key", item.key)?,
    })
}

fn field<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| {
        // The position is one in the field alone, which says nothing.
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        format!("{name}: {words}")
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
            (r#"{"event":1,"data":1}"#, "event: invalid type"),
            (r#"{"event":"a","data":1,"time":"x"}"#, "time: invalid type"),
            (r#"{"event":"a","data":1,"key":7}"#, "key: invalid type"),
            ("", "EOF"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
