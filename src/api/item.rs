//! One event as JSON, as other programs write it: `{"event":"…","data":…}`.
//!
//! `data` keeps its text to the byte: it is cut out of the line and never read into values. Unknown
//! fields are errors, for a misspelt `tenant` would else be sent to everybody.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::outbox::NewEvent;

/// The largest text of one event, over the largest `data` that can be configured.
pub const MAX_ITEM_BYTES: usize = 101 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    time: Option<i64>,
    tenant: Option<String>,
    key: Option<String>,
}

/// Reads one event.
///
/// # Errors
/// Why the text is no event, with the position in it; whether the fields hold is the outbox's to say.
pub fn parse(text: &str) -> Result<NewEvent, String> {
    let item: Item<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(NewEvent {
        event: item.event.into_owned(),
        data: item.data.get().to_owned(),
        time_ms: item.time,
        tenant: item.tenant,
        key: item.key,
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
    }

    #[test]
    fn what_is_no_event_is_said_with_its_position() {
        for (text, words) in [
            (r#"{"event":"a"}"#, "missing field `data`"),
            (
                r#"{"event":"a","data":1,"tenent":"x"}"#,
                "unknown field `tenent`",
            ),
            (r#"{"event":"a","data":}"#, "line 1 column"),
            (r#"{"event":"a","data":1} x"#, "trailing characters"),
            (r#"{"event":1,"data":1}"#, "invalid type"),
            ("", "EOF"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
