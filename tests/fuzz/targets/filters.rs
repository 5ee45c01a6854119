//! Rules and data: an answer for any, and the same one however the same data is written.
//!
//! The first part is what stands in `where = [ ]`, the others are data. Blanks between the words of JSON and
//! escapes in its strings say nothing, and rules have no order: neither may change who gets an event.

use std::fmt::Write as _;
use std::path::Path;

use serde::de::{Deserialize as _, IgnoredAny};
use webhooksd::tested::{
    self, Event, EventId, MAX_DEPTH, SecretsWanted, Surroundings, Webhook, wants,
};

use super::parts;

pub(crate) fn run(bytes: &[u8]) {
    let mut parts = parts(bytes);
    let rules = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let Some(webhook) = webhook(&rules) else {
        return;
    };
    for data in parts.filter_map(|part| std::str::from_utf8(part).ok()) {
        if !is_event(data) {
            continue;
        }
        let judged = wants(&webhook, &event(data));
        assert_eq!(judged, wants(&webhook, &event(data)), "not the same twice");
        let rewritten = rewritten(data);
        assert!(is_event(&rewritten), "{rewritten}");
        let again = wants(&webhook, &event(&rewritten));
        assert_eq!(judged, again, "{rules}: {data} as {rewritten}");
    }
}

fn webhook(rules: &str) -> Option<Webhook> {
    let text = format!(
        "[[webhook]]\nname = 'w'\nurl = 'https://h/'\nevents = ['*']\nwhere = [{rules}\n]\n"
    );
    let around = Surroundings {
        folder: Path::new("/f"),
        credentials: None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        env: &|_| None,
        check_ca: &|_| Ok(()),
        secrets: SecretsWanted::Skip,
    };
    let config = tested::parse("w.toml", &text, &around).ok()?;
    Some(Webhook::clone(config.webhooks.last()?))
}

fn event(data: &str) -> Event {
    Event {
        id: EventId::new(1),
        name: "e".into(),
        data: data.into(),
        time_ms: 0,
        tenant: None,
    }
}

/// Whether a row may have that data.
fn is_event(data: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(data);
    // The fuzzers' inputs are far shorter than what is too deep for the stack.
    reader.disable_recursion_limit();
    let brackets = data.bytes().filter(|b| matches!(b, b'[' | b'{')).count();
    brackets <= MAX_DEPTH
        && IgnoredAny::deserialize(&mut reader)
            .and_then(|_| reader.end())
            .is_ok()
}

/// The same data with blanks where there may be some, and every character of its strings escaped.
fn rewritten(data: &str) -> String {
    let mut out = String::new();
    let mut characters = data.chars();
    let mut inside = false;
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                inside = !inside;
                out.push(c);
            }
            '\\' if inside => {
                out.push(c);
                out.extend(characters.next());
            }
            // The digits of an escape are no characters of the string: escapes are left as they are.
            _ if inside && !data.contains("\\u") => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04X}").unwrap();
                }
            }
            '[' | ']' | '{' | '}' | ',' | ':' if !inside => {
                write!(out, " {c}\t\r\n").unwrap();
            }
            _ => out.push(c),
        }
    }
    out
}
