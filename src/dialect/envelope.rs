//! The body: a vendor's envelope around the event's data.
//!
//! One canonical serialisation for each dialect: compact, keys in the documented order, the data
//! as the very text that the application wrote. The vendors' samples differ in spacing only; these
//! bytes are what is signed, stored, sent and sent again. Names need no escape, for an event's name
//! is `A-Z a-z 0-9 - _ . : /` (`model::event::is_name`); a tenant is any text and gets one.

use bytes::Bytes;

use super::id::push_event_id;
use super::timestamp;
use crate::model::{Dialect, Event};

/// More than any envelope is, but for the name and the tenant: saves growing the buffer.
const ENVELOPE_BYTES: usize = 128;

/// Where a body has the event's data, by the names on the way; no body has another's way in it.
pub(crate) const DATA_AT: [&[&str]; 2] = [&["data"], &["v1", "data"]];

/// The body for an event in a dialect.
///
/// The `tenantId` of `openboxes-lift` is the event's own tenant; `tenant`, the configuration's, stands
/// in only where the event has none: never is one tenant's event sent as another's. The other dialects
/// have no place for it.
#[must_use]
pub fn body(dialect: Dialect, event: &Event, tenant: Option<&str>) -> Bytes {
    let tenant = event.tenant.as_deref().or(tenant).unwrap_or_default();
    let room = ENVELOPE_BYTES + event.name.len() + tenant.len() + event.data.len();
    let mut out = String::with_capacity(room);
    match dialect {
        Dialect::BoldCms => {
            out.push_str(r#"{"v1":{"event":{"id":"#);
            push_event_id(&mut out, dialect, event);
            out.push_str(r#","name":""#);
            out.push_str(&event.name);
            out.push_str(r#"","time":"#);
            out.push_str(itoa::Buffer::new().format(event.time_ms));
            out.push_str(r#"},"data":"#);
            out.push_str(&event.data);
            out.push_str("}}");
        }
        Dialect::BoldFactory => {
            push_string_id(&mut out, dialect, event, "event");
            out.push_str(r#"","version":"1","data":"#);
            out.push_str(&event.data);
            out.push('}');
        }
        Dialect::StandardWebhooks => {
            out.push_str(r#"{"type":""#);
            out.push_str(&event.name);
            out.push_str(r#"","timestamp":""#);
            timestamp::push_utc(&mut out, event.time_ms);
            out.push_str(r#"","data":"#);
            out.push_str(&event.data);
            out.push('}');
        }
        Dialect::OpenboxesLift => {
            push_string_id(&mut out, dialect, event, "type");
            out.push_str(r#"","tenantId":"#);
            push_json(&mut out, tenant);
            out.push_str(r#","data":"#);
            out.push_str(&event.data);
            out.push('}');
        }
    }
    Bytes::from(out)
}

/// What the two dialects with string ids in the body begin with, up to the end of the timestamp's text.
fn push_string_id(out: &mut String, dialect: Dialect, event: &Event, name_key: &str) {
    out.push_str(r#"{"id":""#);
    push_event_id(out, dialect, event);
    out.push_str(r#"",""#);
    out.push_str(name_key);
    out.push_str(r#"":""#);
    out.push_str(&event.name);
    out.push_str(r#"","timestamp":""#);
    timestamp::push_utc(out, event.time_ms);
}

/// Any text as a JSON string, escaped as `serde_json` does it.
fn push_json(out: &mut String, text: &str) {
    if text.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\') {
        return out.push_str(&serde_json::Value::from(text).to_string());
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::push_json;

    proptest! {
        #[test]
        fn a_tenant_is_escaped_as_serde_json_does_it(text: String, ascii in "[ -~\\x00\\x7f\n]{0,20}") {
            for text in [text, ascii] {
                let mut out = String::new();
                push_json(&mut out, &text);
                prop_assert_eq!(out, serde_json::to_string(&text).unwrap());
            }
        }
    }
}
