//! What was said in an attempt: headers and bodies as text, and how to check or repeat it by hand.
//!
//! A body is shown as it is, and once more indented where it is JSON; neither is ever interpreted. What the log keeps
//! back (`[redacted]`) is not here either, so a command for the shell has it to be filled in.

use maud::{Markup, html};

use super::super::look::{Delivery, Way};
use super::others;
use crate::dialect::STANDARD_HEADERS;
use crate::model::{shown, told};
use crate::store::{LogRow, LogText};

/// So many bytes of a body are shown; the whole of it can be saved.
const SHOWN_BYTES: usize = 64 << 10;

/// JSON is indented so deep; what is deeper stands below each other.
const DEEPEST: usize = 40;

/// What takes more than that once it is indented is not: brackets alone would be eighty times what they were.
const INDENTED_BYTES: usize = 3 * SHOWN_BYTES;

/// The request's body, which is the same in every attempt.
pub(super) fn request_body(row: &LogRow, text: &LogText, seen: &Delivery) -> Markup {
    html! {
        h2 { "The body that is sent" }
        @match &text.request_body {
            Some(body) => {
                (shown_body(body))
                p {
                    @if seen.is_file { (body.len()) " bytes" }
                    @else { a href={ "/attempts/" (row.id) "/body" } { "Save these " (body.len()) " bytes" } }
                    @if row.batch.is_some() { ". It went as one of a batch: as an element of an array." } }
                (by_hand(row, text, &seen.way))
            }
            None => p class="quiet" { "not kept" },
        }
    }
}

pub(super) fn exchange(row: &LogRow, text: &LogText) -> Markup {
    html! {
        details open[row.outcome != "delivered"] {
            summary { "Request and answer" }
            p { "Request" }
            pre tabindex="0" { (shown::block(&text.request_headers, "")) }
            @match &text.response_headers {
                None => p class="quiet" { "There was no answer." },
                Some(headers) => {
                    p { "Answer" @if let Some(status) = row.status { " " strong { (status) } } }
                    pre tabindex="0" { (shown::block(headers, "")) }
                    @match &text.response_body {
                        None => p class="quiet" { "Its body was not kept." },
                        Some(body) if body.is_empty() => p class="quiet" { "Its body is empty." },
                        Some(body) => (shown_body(body)),
                    }
                    @if text.response_truncated { p class="quiet" { "There was more of it than is kept." } }
                }
            }
        }
    }
}

fn shown_body(body: &str) -> Markup {
    let part = beginning(body, SHOWN_BYTES);
    let pretty = (part.len() == body.len()).then(|| indented(body)).flatten();
    html! {
        pre tabindex="0" { (shown::block(part, "")) }
        @if part.len() < body.len() { p class="quiet" { (told::counted_of(body.len() - part.len(), "byte")) " more" } }
        @if let Some(pretty) = pretty {
            details { summary { "The same, indented" } pre tabindex="0" { (shown::block(&pretty, "")) } }
        }
    }
}

/// At most so many bytes of a text, in whole characters.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let mut ends = (0..=most.min(text.len())).rev();
    let end = ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.split_at(end).0
}

/// How to check the signature and to send the request again, as lines for a shell.
fn by_hand(row: &LogRow, text: &LogText, way: &Way) -> Markup {
    let mut curl = format!("curl -sS -X POST {} \\\n", quoted(&row.url));
    curl.push_str(&on_the_way(way));
    let (mut signature, mut standard) = (None, [None; 3]);
    for line in text.request_headers.lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if ["host", "content-length", "connection"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
        {
            continue;
        }
        let lower = name.to_ascii_lowercase();
        if let Some(at) = STANDARD_HEADERS.iter().position(|own| *own == lower) {
            standard[at] = Some(value);
        }
        if lower.starts_with("x-") && lower.ends_with("-signature") && !value.is_empty() {
            signature = Some(value);
        }
        curl.push_str(&format!("  -H {} \\\n", quoted(line)));
    }
    curl.push_str("  --data-binary @body");
    html! {
        details {
            summary { "Check it, or send it, by hand" }
            p { "With the saved bytes in " code { "body" } ". What is [redacted] is not in the log."
                @if way.proxy.is_some() { " A proxy that asks who comes is told by " code { "--proxy-user" } "." } }
            pre tabindex="0" { (shown::block(&curl, "")) }
            @if let Some(signature) = signature {
                p { "The signature that was sent: " code { (others(signature)) } ". It is that of" }
                pre tabindex="0" { "openssl dgst -sha256 -hmac \"$WEBHOOK_SECRET\" < body" }
            }
            @if let [Some(id), Some(time), Some(signature)] = standard {
                p { "The signature of Standard Webhooks that was sent: " code { (others(signature)) } ". Behind " code { "v1," } " it is that of" }
                pre tabindex="0" { (shown::block(&by_standard(id, time), "")) }
            }
        }
    }
}

/// The options of a command by which it comes to the endpoint as we do.
fn on_the_way(way: &Way) -> String {
    let proxy = way.proxy.iter().map(|url| ("--proxy", url));
    let client = way.client.iter();
    let client = client.flat_map(|files| ["--cert", "--key"].into_iter().zip(files));
    let options = proxy.chain(client);
    options
        .map(|(option, value)| format!("  {option} {} \\\n", quoted(value)))
        .collect()
}

/// Computes the signature of Standard Webhooks anew, over the id, the time and the bytes; the secret is base64 behind
/// its `whsec_`.
fn by_standard(id: &str, time: &str) -> String {
    let (id, time) = (quoted(id), quoted(time));
    format!(
        "key=$(printf %s \"${{WEBHOOK_SECRET#whsec_}}\" | base64 -d | od -An -v -tx1 | tr -d ' \\n')\n\
         {{ printf '%s.%s.' {id} {time}; cat body; }} |\n  \
         openssl dgst -sha256 -mac HMAC -macopt \"hexkey:$key\" -binary | base64"
    )
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// JSON with a value on each line, its texts and numbers as they are; `None` where it is none that has parts, or takes
/// too much.
pub(super) fn indented(json: &str) -> Option<String> {
    if !matches!(json.trim_start().bytes().next()?, b'{' | b'[') {
        return None;
    }
    let mut text = String::with_capacity(json.len() + json.len() / 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut ahead = json.chars().peekable();
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
    };
    while let Some(c) = ahead.next() {
        if text.len() > INDENTED_BYTES {
            return None;
        }
        if in_text {
            text.push(c);
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                in_text = true;
                text.push(c);
            }
            '{' | '[' => {
                text.push(c);
                while ahead.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(end) = ahead.next_if(|c| matches!(c, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => text.push(c),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_its_values_stay_as_they_are() {
        let json = r#"{"a":[1,2.50,{}],"b":"x, {\"y\": [\\","c":[ ],"d":{"e":null}}"#;
        let wanted = "{\n  \"a\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"b\": \"x, {\\\"y\\\": [\\\\\",\n  \"c\": [],\n  \"d\": {\n    \"e\": null\n  }\n}";
        assert_eq!(indented(json).as_deref(), Some(wanted));
        for none in ["", "7", "\"{\"", "<html>"] {
            assert_eq!(indented(none), None);
        }
        assert!(indented(&"[".repeat(2_000)).is_some());
        assert_eq!(indented(&"[".repeat(SHOWN_BYTES)), None);
        let flat = format!("[{}1]", "1,".repeat(SHOWN_BYTES / 2 - 2));
        assert!(
            indented(&flat).is_some(),
            "as much as is shown, in short lines"
        );
    }

    #[test]
    fn a_request_by_hand_takes_the_same_way() {
        assert_eq!(on_the_way(&Way::default()), "");
        let way = Way {
            proxy: Some("http://proxy.example:3128".to_owned()),
            client: Some(["/etc/a b.pem".to_owned(), "/etc/it's.key".to_owned()]),
        };
        let wanted = "  --proxy 'http://proxy.example:3128' \\\n  --cert '/etc/a b.pem' \\\n  --key '/etc/it'\\''s.key' \\\n";
        assert_eq!(on_the_way(&way), wanted);
    }

    #[test]
    fn a_word_of_a_shell_ends_where_it_should() {
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
    }

    #[test]
    fn a_beginning_has_whole_characters() {
        assert_eq!(beginning("aé", 2), "a");
        assert_eq!(beginning("aé", 3), "aé");
    }
}
