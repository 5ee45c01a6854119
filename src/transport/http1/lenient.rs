//! Heads that are not proper HTTP, or break off: read as far as they can be.
//!
//! An answer whose status line came has answered, whatever follows it: a line without a colon, a
//! control character, nothing at all. Its lines are kept for the log, and what can be understood of
//! them tells where its body ends. What has no status line is no answer here either, interim ones
//! don't count, and the limits of size and time are the same. Nothing can follow such an answer: its
//! connection is not used again.

use super::facts::HeaderFacts;
use crate::model::Headers;

/// What is found in the bytes that came.
pub(super) enum Found {
    /// The head of an answer.
    Head(Lenient),
    /// An interim answer of so many bytes.
    Interim(usize),
    /// The beginning of an answer.
    More,
    /// No answer.
    Nothing,
}

/// A head that was read.
pub(super) struct Lenient {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) facts: HeaderFacts,
    /// Bytes of it.
    pub(super) length: usize,
    /// Whether the answer ended within it.
    pub(super) is_cut: bool,
}

/// Reads what came of an answer; `ended`: nothing more will.
pub(super) fn find(came: &[u8], ended: bool) -> Found {
    let unfinished = if ended { Found::Nothing } else { Found::More };
    let mut rest = came;
    while let Some(after) = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")) {
        rest = after;
    }
    let Some(status) = status(rest) else {
        return Found::Nothing;
    };
    let (Some(status), Some((_, mut rest))) = (status, line(rest)) else {
        return unfinished;
    };
    let mut lines = Vec::new();
    let mut is_cut = false;
    loop {
        let Some((header, after)) = line(rest) else {
            if !ended {
                return Found::More;
            }
            lines.extend((!rest.is_empty()).then_some(rest));
            (is_cut, rest) = (true, &[]);
            break;
        };
        rest = after;
        if header.is_empty() {
            break;
        }
        lines.push(header);
    }
    let length = came.len() - rest.len();
    match status {
        100 | 102..=199 if is_cut => Found::Nothing,
        100 | 102..=199 => Found::Interim(length),
        _ => {
            let (headers, facts) = read(&lines);
            Found::Head(Lenient {
                status,
                headers,
                facts,
                length,
                is_cut,
            })
        }
    }
}

/// The lines for the log, and what can be understood of them for the body's sake.
fn read(lines: &[&[u8]]) -> (Headers, HeaderFacts) {
    let mut headers = Headers::default();
    let mut facts = HeaderFacts::default();
    for line in lines {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            headers.go_on(line.trim_ascii());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let Some((name, value)) = colon.and_then(|at| line.split_at_checked(at)) else {
            headers.push_line(line);
            continue;
        };
        let name = name.trim_ascii_end();
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        facts.take(name, value);
        headers.push_odd(name, value);
    }
    (headers, facts)
}

/// The status that a line says; the inner `None`: the line has only begun. The outer: it is no
/// status line.
fn status(came: &[u8]) -> Option<Option<u16>> {
    const FORM: [&[u8]; 13] = [
        b"H",
        b"T",
        b"T",
        b"P",
        b"/",
        b"1",
        b".",
        b"01",
        b" ",
        b"123456789",
        b"0123456789",
        b"0123456789",
        b" \r\n",
    ];
    let fits = |(byte, some): (&u8, &&[u8])| some.contains(byte);
    if !came.iter().zip(&FORM).all(fits) {
        return None;
    }
    let Some(digits) = came.get(9..12).filter(|_| came.len() >= FORM.len()) else {
        return Some(None);
    };
    let value = |status, digit: &u8| status * 10 + u16::from(digit - b'0');
    Some(Some(digits.iter().fold(0, value)))
}

/// The next line without its end, and what follows it; `None`: it has no end yet.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(at)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}
