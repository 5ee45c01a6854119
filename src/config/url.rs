//! A webhook's `url`: what is wrong with it and what to write instead.
//!
//! `model::Url` takes only what can be sent as it is typed. Here is said which character it was and how
//! it is written in a URL; one that some servers refuse although it can be sent is a warning. A URL may
//! hold a password by mistake: then no part of it is repeated.

use std::ops::Range;

use crate::model::{Dialect, Url};

use super::diagnostic::Findings;
use super::section::{Given, Section};

/// The longest URL of bold-cms, in characters: its documentation says so.
const MAX_CMS_URL_CHARS: usize = 255;

/// The longest URL of the others, in characters: what servers commonly take.
const MAX_URL_CHARS: usize = 2_048;

/// Reads `url`, and `insecure_http` with it; what is wrong is noted.
pub(super) fn read(
    section: &Section<'_, '_>,
    dialect: Option<Dialect>,
    found: &mut Findings,
) -> Option<Url> {
    let insecure = section.truth("insecure_http", found);
    if !section.has("url") {
        section.missing("url", found);
    }
    let text = section.text("url", found)?;
    let max = match dialect {
        Some(Dialect::BoldCms) => MAX_CMS_URL_CHARS,
        _ => MAX_URL_CHARS,
    };
    if text.value.chars().count() > max {
        let whose = dialect.map_or("webhook", Dialect::name);
        let message = format!("a URL of {whose} is at most {max} characters long");
        found.error(
            text.at,
            message,
            "shorten it, or give the endpoint a shorter path",
        );
        return None;
    }
    if let Some((message, fix)) = unsendable(text.value) {
        found.error(text.at, message, fix);
        return None;
    }
    let url = match Url::parse(text.value) {
        Ok(url) => url,
        Err(why) => {
            found.error(text.at, why, fix(why));
            return None;
        }
    };
    if let Some((message, fix)) = doubtful(url.target()) {
        found.warning(Some(text.at.clone()), message, fix);
    }
    check_plain_http(&url, &text.at, dialect?, insecure, found);
    Some(url)
}

/// Says which keys are about TLS where there is none.
pub(super) fn note_idle_tls(section: &Section<'_, '_>, url: &Url, found: &mut Findings) {
    for key in ["ca_file", "min_tls"] {
        if !url.is_tls() && section.has(key) {
            found.warning(
                Some(section.key_at(key)),
                format!("{key} changes nothing here: this URL is plain http"),
                "write https://... or leave it out",
            );
        }
    }
}

/// A character that no request can carry, and how it is written.
fn unsendable(text: &str) -> Option<(String, String)> {
    let refused = |c: char| !c.is_ascii_graphic() || "<>`".contains(c);
    let (at, c) = text.char_indices().find(|(_, c)| refused(*c))?;
    let inside = !text.trim().is_empty() && text.trim_end().len() > at && !text.starts_with(c);
    if c == ' ' && !inside || c.is_control() {
        let what = if c == ' ' {
            "a blank before or behind it"
        } else {
            "a control character, a line's end perhaps"
        };
        return Some((
            format!("{what}, stands in the URL"),
            "leave it out".to_owned(),
        ));
    }
    if may_hold_password(text) {
        let message = "the URL has a character that is not ASCII, or a blank".to_owned();
        return Some((message, fix("@").to_owned()));
    }
    if !c.is_ascii() && in_authority(text, at) {
        return Some((
            "the host's name is not ASCII".to_owned(),
            "write it in punycode (xn--...), as a browser copies it from its address bar"
                .to_owned(),
        ));
    }
    if in_authority(text, at) {
        return None;
    }
    let message = match c {
        ' ' => "a blank can't stand in a URL".to_owned(),
        c => format!("{c:?} can't stand in a URL as it is"),
    };
    Some((message, format!("write {} in its place", encoded(c))))
}

/// A character that is sent as it is typed, and that RFC 3986 (section 3.3) has encoded.
fn doubtful(target: &str) -> Option<(String, String)> {
    let fix = |written: String| {
        format!("write {written} in its place: some servers refuse the request as it is")
    };
    if let Some(c) = target.chars().find(|c| "\"\\^{|}".contains(*c)) {
        return Some((
            format!("{c:?} should not stand in a URL as it is; it is sent as typed"),
            fix(encoded(c)),
        ));
    }
    let broken = target.match_indices('%').any(|(at, _)| {
        let digits = target.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let message = "a % in a URL comes before two hexadecimal digits; it is sent as typed";
    broken.then(|| (message.to_owned(), fix("%25".to_owned())))
}

fn encoded(c: char) -> String {
    let mut bytes = [0; 4];
    let bytes = c.encode_utf8(&mut bytes).bytes();
    bytes.map(|b| format!("%{b:02X}")).collect()
}

/// Whether that place is before the path.
fn in_authority(text: &str, at: usize) -> bool {
    at < path_at(text)
}

fn path_at(text: &str) -> usize {
    let begun = text.find("://").map_or(0, |at| at + 3);
    let rest = text.get(begun..).unwrap_or_default();
    begun + rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

/// A password may hold what ends an authority, so an `@` anywhere is a reason to keep still.
fn may_hold_password(text: &str) -> bool {
    text.contains('@')
}

fn check_plain_http(
    url: &Url,
    at: &Range<usize>,
    dialect: Dialect,
    insecure: Option<Given<bool>>,
    found: &mut Findings,
) {
    let allowed = insecure.as_ref().is_some_and(|given| given.value);
    match dialect {
        Dialect::BoldCms => {
            if let Some(given) = insecure.filter(|given| given.value) {
                found.warning(
                    Some(given.at),
                    "insecure_http changes nothing here: bold-cms takes plain http anyway",
                    "leave it out",
                );
            }
        }
        Dialect::BoldFactory | Dialect::OpenboxesLift | Dialect::StandardWebhooks => {
            if !url.is_tls() && !allowed {
                found.error(
                    at.clone(),
                    format!("{} sends to https only", dialect.name()),
                    "write https://... or, for development, add insecure_http = true",
                );
            }
        }
    }
}

/// What would be right where a URL is wrong. The reasons are those of `model::Url`.
fn fix(why: &str) -> &'static str {
    if why.contains("scheme") {
        "write https://... or, for development, http://..."
    } else if why.contains('@') {
        "write the URL without user:pass@, and headers = { Authorization = \"Basic ...\" }"
    } else if why.contains("IPv4") {
        "write an address in full, four numbers of 0 to 255 without leading zeros, as in https://10.0.0.1/"
    } else {
        "write it like https://search.example.com/hooks/story"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_request_can_carry_is_named_with_how_it_is_written() {
        for (text, words) in [
            ("https://h/a b", "write %20"),
            ("https://h/caf\u{e9}", "write %C3%A9"),
            ("https://h/?q=\u{65e5}", "write %E6%97%A5"),
            ("https://h/<id>", "write %3C"),
            ("https://b\u{fc}cher.example/\u{e9}", "punycode"),
            ("https://h/ ", "leave it out"),
            (" https://h/", "leave it out"),
            ("https://h/\n", "leave it out"),
            ("https://h/a\tb", "leave it out"),
            ("https://h/a\u{85}b", "leave it out"),
            ("https://u:p\u{e9}@h/", "without user:pass@"),
        ] {
            let (message, fix) = unsendable(text).unwrap();
            assert!(fix.contains(words), "{text:?}: {message}: {fix}");
            assert!(Url::parse(text).is_err());
            assert!(
                !text.contains('@') || !message.contains('\u{e9}'),
                "{message}"
            );
        }
        assert_eq!(unsendable("https://h/a%20b?c=[1]&d=*#e"), None);
    }

    #[test]
    fn what_some_servers_refuse_is_a_warning() {
        for (target, words) in [
            ("/{id}", "write %7B"),
            ("/a|b", "write %7C"),
            ("/a\\b", "write %5C"),
            ("/100%", "write %25"),
            ("/%2", "write %25"),
            ("/%zz", "write %25"),
        ] {
            assert!(doubtful(target).unwrap().1.contains(words), "{target}");
        }
        assert_eq!(doubtful("/a%20b?c=[1]&d=(*)'!~"), None);
    }
}
