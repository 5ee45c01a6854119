//! One delivery as a file to hand on: JSON, or HTML that needs nothing else.
//!
//! The log keeps no secret, but an address may have one in its query, and an answer one in a cookie: what is handed on
//! has neither. The bodies are in it as they were, since they are what it is about.

use serde_json::{Value, json};

use super::look::{Delivery, Way};
use crate::model::shown::is_unsafe;
use crate::store::{LogRow, LogText};

/// Headers that have such a word in their name, whose `-` and `_` do not count, go without their value.
const PRIVATE: [&str; 8] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "apikey",
    "passw",
    "session",
    "credential",
];

/// Headers whose values are addresses, or have some in them.
const ADDRESSES: [&str; 4] = ["location", "content-location", "refresh", "link"];

const REDACTED: &str = "[redacted]";

/// The delivery without what is nobody else's business.
pub(super) fn handed_on(mut delivery: Delivery) -> Delivery {
    delivery.acts = false;
    delivery.is_file = true;
    delivery.way = Way::default();
    for (row, text) in &mut delivery.attempts {
        row.url = address(&row.url);
        if let Some(text) = text {
            text.request_headers = headers(&text.request_headers);
            let answered = text.response_headers.as_deref().map(headers);
            text.response_headers = answered;
        }
    }
    delivery
}

/// An address without who asks, without the values in its path's parameters and its query, and without its fragment,
/// which has a token where a login led back.
fn address(url: &str) -> String {
    let end = url.find([';', '?', '#']);
    let (before, behind) = url.split_at(end.unwrap_or(url.len()));
    let mut kept = match before.split_once("//") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}//{host}{path}")
        }
        None => before.to_owned(),
    };
    if let Some(mark) = behind.chars().next() {
        kept.push(mark);
        kept.push_str(REDACTED);
    }
    kept
}

/// A header whose value is an address or has some in it: behind the first thing that may be a secret nothing is kept.
/// The delay of a `Refresh` ends in the one `;` that is none.
fn with_addresses(name: &str, value: &str) -> String {
    match value.split_once(';') {
        Some((delay, url)) if delay.trim().bytes().all(|b| b.is_ascii_digit()) => {
            format!("{name}:{delay};{}", address(url))
        }
        _ => format!("{name}:{}", address(value)),
    }
}

fn headers(lines: &str) -> String {
    let mut kept = String::with_capacity(lines.len());
    for line in lines.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let lower = name.to_ascii_lowercase();
        let bare = lower.replace(['-', '_'], "");
        if PRIVATE.iter().any(|word| bare.contains(word)) {
            kept.push_str(&format!("{name}: {REDACTED}"));
        } else if ADDRESSES.contains(&lower.trim()) {
            kept.push_str(&with_addresses(name, value));
        } else {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

/// As JSON, version 1; in it, nothing is raw that a terminal might obey.
pub(super) fn json(delivery: &Delivery) -> String {
    let row = delivery.row.as_ref();
    let newest = delivery.attempts.first();
    let body = newest.and_then(|(_, text)| text.as_ref()?.request_body.clone());
    let attempts = delivery.attempts.iter();
    let attempts: Vec<Value> = attempts
        .map(|(row, text)| attempt(row, text.as_ref()))
        .collect();
    let webhook = row.map(|row| &row.webhook);
    let event = row.and_then(|row| row.event.as_ref());
    let event_id = row.and_then(|row| row.event_id);
    let value = json!({
        "v": 1,
        "delivery_id": delivery.id.get(),
        "webhook": webhook.or(newest.map(|(row, _)| &row.webhook)),
        "event": event.or(newest.and_then(|(row, _)| row.event.as_ref())),
        "event_id": event_id.or(newest.and_then(|(row, _)| row.event_id)).map(|id| id.get()),
        "state": row.map(|row| &row.state),
        "origin": row.map(|row| &row.origin),
        "dialect": row.and_then(|row| row.dialect.as_ref()),
        "request_body": body,
        "attempts": attempts,
    });
    let mut safe = String::new();
    for c in format!("{value:#}").chars() {
        // Line ends stand between its parts; within a text they are escaped.
        if is_unsafe(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    safe
}

fn attempt(row: &LogRow, text: Option<&LogText>) -> Value {
    let [name, connect, proxy, tls, head, body] = row.phases_ms;
    json!({
        "id": row.id.get(),
        "attempt": row.attempt,
        "time": row.time,
        "outcome": row.outcome,
        "status": row.status,
        "error": row.error,
        "class": row.class,
        "note": row.note,
        "batch": row.batch,
        "url": row.url,
        "peer": row.peer,
        "duration_ms": row.duration_ms,
        "phases": { "name_ms": name, "connect_ms": connect, "proxy_ms": proxy, "tls_ms": tls, "head_ms": head, "body_ms": body },
        "request_headers": text.map(|text| &text.request_headers),
        "response_headers": text.and_then(|text| text.response_headers.as_ref()),
        "response_body": text.and_then(|text| text.response_body.as_ref()),
        "response_truncated": text.map(|text| text.response_truncated),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_stays_here() {
        assert_eq!(address("https://h/a?token=s&b=1"), "https://h/a?[redacted]");
        assert_eq!(address("https://h/a"), "https://h/a");
        for (said, kept) in [
            ("https://h/cb#access_token=s", "https://h/cb#[redacted]"),
            ("https://h/a;jsessionid=s?b", "https://h/a;[redacted]"),
            ("https://u:s@h:8/a@b", "https://h:8/a@b"),
            ("//u:s@h", "//h"),
            ("/a?b#c", "/a?[redacted]"),
        ] {
            assert_eq!(address(said), kept);
        }
        let said = "Refresh: 5; url=https://u:s@h/a?s\nLocation: /a;s\nLink: <https://s@h/?s>; rel=x, <s>\n";
        let kept = "Refresh: 5; url=https://h/a?[redacted]\nLocation: /a;[redacted]\nLink: <https://h/?[redacted]\n";
        assert_eq!(headers(said), kept);
        let said = "Host: h\nSet-Cookie: id=s\nX-Api-Key: s\nX-Sum-Signature: ab\n";
        let kept = "Host: h\nSet-Cookie: [redacted]\nX-Api-Key: [redacted]\nX-Sum-Signature: ab\n";
        assert_eq!(headers(said), kept);
    }
}
