//! What an answer's headers say of the answer itself: where its body ends, and whether another may
//! follow it on its connection.
//!
//! RFC 9112, 6.3: no body with some statuses, else by `Transfer-Encoding`, else by
//! `Content-Length`, else by the peer's close. Where they contradict themselves the connection is not
//! used again, so a wrong guess can cost the log a body but never another answer its status.

use super::body::Framing;
use super::chunks::Chunks;
use crate::transport::keep_alive::{Hint, Keep};

/// What was said so far.
#[derive(Default)]
pub(super) struct HeaderFacts {
    length: Length,
    /// Whether the last transfer coding is `chunked`, where one is said.
    is_chunked: Option<bool>,
    /// What `Connection` says of closing.
    closes: bool,
    keeps: bool,
    hint: Hint,
}

/// What `Content-Length` says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Unsaid,
    Is(u64),
    /// No number, or several.
    Unclear,
}

impl HeaderFacts {
    /// Takes note of a header.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        // By the length first: most headers are none of these.
        match name.len() {
            10 if is(b"connection") => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.closes |= token.eq_ignore_ascii_case(b"close");
                    self.keeps |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            10 if is(b"keep-alive") => {
                if let Ok(value) = std::str::from_utf8(value) {
                    self.hint.take(value);
                }
            }
            14 if is(b"content-length") => {
                for number in value.split(|byte| *byte == b',') {
                    let number = number_of(number.trim_ascii());
                    self.length = match (self.length, number) {
                        (Length::Unsaid, Some(number)) => Length::Is(number),
                        (Length::Is(one), Some(other)) if one == other => Length::Is(one),
                        _ => Length::Unclear,
                    };
                }
            }
            17 if is(b"transfer-encoding") => {
                let last = value.rsplit(|byte| *byte == b',').next();
                let is_chunked =
                    |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                self.is_chunked = Some(last.is_some_and(is_chunked));
            }
            _ => {}
        }
    }

    /// Where the body of an answer with that status ends, as far as that is clear.
    pub(super) fn framing(&self, status: u16) -> Framing {
        match (self.is_chunked, self.length) {
            _ if has_no_body(status) => Framing::Length(0),
            (Some(true), _) => Framing::Chunks(Chunks::default()),
            (None, Length::Is(length)) => Framing::Length(length),
            _ => Framing::Close,
        }
    }

    /// What is wrong with that, if anything.
    pub(super) fn flaw(&self, status: u16, is_http_1_0: bool) -> Option<&'static str> {
        match (self.is_chunked, self.length) {
            _ if has_no_body(status) => None,
            (Some(_), _) if is_http_1_0 => Some("unexpected transfer-encoding parsed"),
            (None, Length::Unclear) => Some("invalid content-length parsed"),
            _ => None,
        }
    }

    /// What may become of the connection; `None`: it is not to be used again.
    pub(super) fn keep(&self, status: u16, is_http_1_0: bool) -> Option<Keep> {
        let is_over = self.closes || is_http_1_0 && !self.keeps || status == 101;
        // Whoever says both is of two minds on where the answer ends (RFC 9112, 6.1).
        let is_clear = self.is_chunked.is_none() || self.length == Length::Unsaid;
        // Nothing is read behind these, so what they announce would be taken for the next answer; with
        // 304 a length is that of an answer with 200 (RFC 9110, 8.6).
        let announces = match status {
            204 => {
                self.is_chunked.is_some() || !matches!(self.length, Length::Unsaid | Length::Is(0))
            }
            304 => self.is_chunked.is_some(),
            _ => false,
        };
        let is_kept = !is_over && is_clear && !announces;
        is_kept.then(|| self.hint.keep()).flatten()
    }
}

fn has_no_body(status: u16) -> bool {
    matches!(status, 101 | 204 | 304)
}

/// A number without a sign.
fn number_of(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
