//! `POST /events`: one event, an array or lines of JSON, all of them taken or none.
//!
//! A request's text becomes events here; whether they hold is the outbox's to say. Large texts are
//! read on a thread of their own, so that they hold up nobody's small ones.

use std::fmt;

use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Api;
use super::activity::Activity;
use super::answer::{self, Answer, HttpError};
use super::append::{Mode, NotAppended};
use super::body::SMALL_BYTES;
use super::body::Sent;
use super::item;
use crate::model::EventId;
use crate::outbox::NewEvent;

/// The media types of lines of JSON: none is registered, and these are in use.
const LINES: [&[u8]; 4] = [
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/jsonlines",
];

/// The most events of a request. They are one transaction, and the application and the other clients
/// wait for it: some half a second for so many.
const MAX_EVENTS: usize = 100_000;

impl Api {
    pub(super) async fn events(
        &self,
        request: Request<impl Sent>,
        activity: &Activity,
    ) -> Result<Answer, HttpError> {
        let content_type = request.headers().get(CONTENT_TYPE);
        let is_lines = content_type.is_some_and(|value| is_ndjson(value.as_bytes()));
        let whole = self.events_body(request, activity).await?;
        let (events, _whole) = if whole.bytes.len() <= SMALL_BYTES {
            (parse(&whole.bytes, is_lines), whole)
        } else {
            let parse = move || (parse(&whole.bytes, is_lines), whole);
            self.dispatch.with_blocking(parse).await
        };
        let events = events.map_err(|words| answer::denial(StatusCode::BAD_REQUEST, &words))?;
        self.counts.asked(events.len());
        let ids = self.append.append(events, Mode::Whole).await;
        let ids = ids.and_then(|ids| ids.into_iter().collect::<Result<Vec<EventId>, _>>());
        match ids {
            Ok(ids) => Ok(answer::json_text(StatusCode::ACCEPTED, accepted(&ids))),
            Err(refusal) => Err(refused(&refusal)),
        }
    }
}

fn is_ndjson(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|b| *b == b';');
    let essence = &content_type[..end.unwrap_or(content_type.len())];
    let essence = essence.trim_ascii();
    LINES.iter().any(|name| essence.eq_ignore_ascii_case(name))
}

fn accepted(ids: &[EventId]) -> String {
    let mut text = String::with_capacity(12 + ids.len() * 8);
    text.push_str(r#"{"ids":["#);
    for (index, id) in ids.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        text.push_str(comma);
        text.push_str(&id.to_string());
    }
    text.push_str("]}");
    text
}

fn refused(refusal: &NotAppended) -> HttpError {
    match refusal {
        NotAppended::Item(words) => answer::denial(StatusCode::BAD_REQUEST, words),
        NotAppended::Conflict(words) => answer::denial(StatusCode::CONFLICT, words),
        NotAppended::Busy(words) => answer::denial(StatusCode::SERVICE_UNAVAILABLE, words),
    }
}

/// The events of a text, or why there are none.
fn parse(bytes: &[u8], is_lines: bool) -> Result<Vec<NewEvent>, String> {
    let text = item::text("the body", bytes)?;
    let numbered = |(index, text): (usize, &str)| {
        if index == MAX_EVENTS {
            return Err(format!(
                "more than {MAX_EVENTS} events in a request: send several, or plain lines"
            ));
        }
        item::parse(text).map_err(|words| format!("item {}: {words}", index + 1))
    };
    if is_lines {
        let lines = text.split('\n').map(str::trim_ascii);
        let lines = lines.filter(|line| !line.is_empty());
        return lines.enumerate().map(numbered).collect();
    }
    if text.trim_ascii_start().starts_with('[') {
        let mut reader = serde_json::Deserializer::from_str(text);
        let mut fault = None;
        let items = reader.deserialize_seq(Items {
            numbered,
            fault: &mut fault,
        });
        let items = items.and_then(|items| reader.end().map(|()| items));
        return items.map_err(|error| fault.unwrap_or_else(|| error.to_string()));
    }
    if text.trim_ascii().is_empty() {
        return Err("the body is empty: an event is a JSON object".to_owned());
    }
    let one = numbered((0, text)).map_err(|words| {
        let hint = if has_more(text) { SEVERAL } else { "" };
        words + hint
    })?;
    Ok(vec![one])
}

/// What helps where a body of several events is said to be one.
const SEVERAL: &str =
    ": several events are a JSON array, or lines with Content-Type: application/x-ndjson";

/// Whether a whole JSON value is followed by another object.
fn has_more(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let whole = values.next().is_some_and(|value| value.is_ok());
    let rest = text.get(values.byte_offset()..).unwrap_or_default();
    whole && rest.trim_ascii_start().starts_with('{')
}

/// Reads the items of an array one by one, for a text can have thirty times more of them than events.
struct Items<'a, F> {
    numbered: F,
    /// Why an item is none, which ends the reading.
    fault: &'a mut Option<String>,
}

impl<'de, F> Visitor<'de> for Items<'_, F>
where
    F: Fn((usize, &str)) -> Result<NewEvent, String>,
{
    type Value = Vec<NewEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(item) = items.next_element::<&RawValue>()? {
            let event = (self.numbered)((events.len(), item.get())).map_err(|words| {
                *self.fault = Some(words);
                A::Error::custom("an item is no event")
            })?;
            events.push(event);
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, is_lines: bool) -> Result<Vec<String>, String> {
        let events = parse(text.as_bytes(), is_lines)?;
        Ok(events.into_iter().map(|event| event.event).collect())
    }

    #[test]
    fn one_many_or_lines() {
        let (one, two) = (r#"{"event":"a","data":1}"#, r#"{"event":"b","data":[2]}"#);
        assert_eq!(names(one, false).unwrap(), ["a"]);
        assert_eq!(
            names(&format!(" [{one},{two}]"), false).unwrap(),
            ["a", "b"]
        );
        assert_eq!(names("[]", false).unwrap(), [""; 0]);
        assert_eq!(
            names(&format!("{one}\r\n\n{two}"), true).unwrap(),
            ["a", "b"]
        );
        let error = names(&format!("{one}\n{{}}"), true).unwrap_err();
        assert!(error.starts_with("item 2: missing field"), "{error}");
        let error = names(&format!("[{one}, 7, {one}"), false).unwrap_err();
        assert!(
            error.starts_with("item 2: an event is a JSON object"),
            "{error}"
        );
        let array = r#"["a",1,null,null,null]"#;
        for (text, is_lines) in [
            (format!("[{array}]"), false),
            (array.to_owned(), true),
            (format!("[[{one}]]"), false),
        ] {
            let error = names(&text, is_lines).unwrap_err();
            assert_eq!(error, "item 1: an event is a JSON object, not an array");
        }
        for broken in [format!("[{one}"), format!("[{one}] x"), format!("[{one},]")] {
            let error = names(&broken, false).unwrap_err();
            assert!(error.contains(" at line 1 column "), "{error}");
        }
    }

    #[test]
    fn what_is_no_body_of_events_is_said_with_what_would_be_one() {
        let one = r#"{"event":"a","data":1}"#;
        for two in [format!("{one}\n{one}\n"), format!("{one}{one}")] {
            let error = names(&two, false).unwrap_err();
            assert!(
                error.contains("Content-Type: application/x-ndjson"),
                "{error}"
            );
        }
        let error = names(&format!("{one} x"), false).unwrap_err();
        assert!(!error.contains("ndjson"), "{error}");
        for empty in ["", " \r\n"] {
            let error = names(empty, false).unwrap_err();
            assert_eq!(error, "the body is empty: an event is a JSON object");
        }
        // Counted from 1, as `emit -` counts.
        let error = parse(b"{\"event\":\"\xff\"}", false).unwrap_err();
        assert_eq!(error, "the body is not UTF-8 from byte 11 on");
    }

    #[test]
    fn a_request_has_so_many_events_and_no_more() {
        let one = r#"{"event":"a","data":1}"#;
        let lines = format!("{one}\n").repeat(MAX_EVENTS);
        assert_eq!(names(&lines, true).unwrap().len(), MAX_EVENTS);
        let array = format!("[{}{one}]", format!("{one},").repeat(MAX_EVENTS));
        for (text, is_lines) in [(lines + one, true), (array, false)] {
            let error = names(&text, is_lines).unwrap_err();
            assert!(error.starts_with("more than 100000 events"), "{error}");
        }
    }

    #[test]
    fn the_type_of_lines_is_known_with_its_parameters() {
        for name in [
            &b"Application/X-NDJSON; charset=utf-8"[..],
            b"application/ndjson",
            b" application/JSONL ;charset=\"utf-8\"",
            b"application/jsonl",
            b"application/jsonlines",
        ] {
            assert!(is_ndjson(name));
        }
        for name in [&b"application/json"[..], b"text/ndjson", b""] {
            assert!(!is_ndjson(name));
        }
    }

    #[test]
    fn ids_are_in_order() {
        assert_eq!(
            accepted(&[EventId::new(3), EventId::new(1)]),
            r#"{"ids":[3,1]}"#
        );
        assert_eq!(accepted(&[]), r#"{"ids":[]}"#);
    }
}
