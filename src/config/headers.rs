//! The headers that a user adds to a webhook's requests.
//!
//! They are sent as they stand, in the order of the file (RFC 9110, sections 5.1 and 5.5), so what
//! would break a request or contradict one that webhooksd writes itself is refused here. Values may
//! be tokens: no message repeats one, nor a name that is not a valid one, for the two get swapped.

use std::collections::HashSet;
use std::ops::Range;

use toml::de::DeValue;

use super::diagnostic::Findings;
use super::section::Section;

/// The most headers of a webhook; receivers refuse requests with many (Apache: 100 in all).
const MAX_HEADERS: usize = 32;

/// The most bytes of names and values together; nginx takes 8 KiB a header line by default.
const MAX_HEADERS_BYTES: usize = 8 * 1_024;

/// What webhooksd sends itself, or what would change how the request is framed. Lower case.
const RESERVED: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-bold-signature",
    "x-qt-signature",
    "x-webhook-signature",
];

/// What proxies take for themselves. Lower case.
const RESERVED_PREFIX: &str = "proxy-";

/// What `[delivery] traceparent` has each request send.
const TRACEPARENT: &str = "traceparent";

/// Name and value.
pub(super) type Headers = Vec<(Box<str>, Box<str>)>;

/// Reads `headers`; what is wrong is noted and left out. `traced`: webhooksd sends a `traceparent` itself.
pub(super) fn read(section: &Section<'_, '_>, traced: bool, found: &mut Findings) -> Headers {
    let Some((key, value)) = section.entry("headers") else {
        return Headers::new();
    };
    let DeValue::Table(table) = value.get_ref() else {
        section.wrong("headers", "a table", value, found);
        return Headers::new();
    };
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    if entries.len() > MAX_HEADERS {
        let message = format!("more than {MAX_HEADERS} headers");
        found.error(
            key.span(),
            message,
            "leave some out: receivers refuse such requests",
        );
        return Headers::new();
    }
    let mut headers = Headers::new();
    let mut names = HashSet::new();
    for (name, value) in entries {
        let at = name.span();
        let name: &str = name.get_ref();
        if !name_is_right(name, &at, found) {
            continue;
        }
        if traced && name.eq_ignore_ascii_case(TRACEPARENT) {
            found.error(
                at,
                format!("traceparent = true of [delivery] sends the header {name} itself"),
                "leave one of the two out: a receiver can follow one trace only",
            );
            continue;
        }
        if !names.insert(name.to_ascii_lowercase()) {
            found.error(
                at,
                "this header is there twice: upper and lower case are the same",
                "keep one of them",
            );
            continue;
        }
        if let Some(value) = right_value(value.get_ref(), value.span(), found) {
            headers.push((name.into(), value.into()));
        }
    }
    let bytes: usize = headers.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
    if bytes > MAX_HEADERS_BYTES {
        let message = format!("the headers are longer than {MAX_HEADERS_BYTES} bytes together");
        found.error(
            key.span(),
            message,
            "shorten them: receivers refuse such requests",
        );
    }
    headers
}

fn name_is_right(name: &str, at: &Range<usize>, found: &mut Findings) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        found.error(
            at.clone(),
            "this is no header's name",
            "names are letters, digits and -, as in headers = { X-Team = \"web\" }",
        );
        return false;
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&&*lower) || lower.starts_with(RESERVED_PREFIX) {
        found.error(
            at.clone(),
            format!("the header {name} belongs to webhooksd or to proxies"),
            "leave it out, or send the value under a name of your own, such as X-Team",
        );
        return false;
    }
    true
}

fn right_value<'v>(
    value: &'v DeValue<'_>,
    at: Range<usize>,
    found: &mut Findings,
) -> Option<&'v str> {
    let DeValue::String(text) = value else {
        found.error(
            at,
            "a header's value must be a string",
            "put it in quotes, as in headers = { X-Team = \"web\" }",
        );
        return None;
    };
    if !text
        .bytes()
        .all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
    {
        found.error(
            at,
            "a header's value must be ASCII text of one line",
            "leave out line ends and control characters, and encode what is not ASCII",
        );
        return None;
    }
    if text.trim_matches([' ', '\t']).len() != text.len() {
        found.error(
            at,
            "a header's value can neither begin nor end with a space: receivers drop it",
            "leave the space out",
        );
        return None;
    }
    Some(text)
}
