//! Heads that are not proper HTTP, or break off: read as far as they can be.
//!
//! An answer whose status line came has answered, whatever follows it: a line without a colon, a
//! control character, nothing at all, not even its own end. Its lines are kept for the log, and what can be understood of
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

/// Whether more may come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    NotYet,
    /// The peer closed the connection.
    Clean,
    /// It broke.
    Broken,
}

/// Reads what came of an answer.
pub(super) fn find(came: &[u8], end: End) -> Found {
    let ended = end != End::NotYet;
    let unfinished = if ended { Found::Nothing } else { Found::More };
    let mut rest = came;
    while let Some(after) = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")) {
        rest = after;
    }
    let is_all = end == End::Clean;
    let Some(status) = status(rest, is_all) else {
        return Found::Nothing;
    };
    let after = line(rest).map(|(_, after)| after);
    let (Some(status), Some(mut rest)) = (status, after.or(is_all.then_some(&[]))) else {
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
/// status line. What stands between its parts may be any blanks (RFC 9112, 4), and the version any of
/// HTTP/1. Where nothing more comes, three digits may be the end.
fn status(came: &[u8], ended: bool) -> Option<Option<u16>> {
    const DIGITS: [&[u8]; 3] = [b"123456789", b"0123456789", b"0123456789"];
    let mut begin = came.iter().zip(b"HTTP/1.");
    if !begin.all(|(is, should)| is == should) {
        return None;
    }
    let Some((version, rest)) = came.get(7..).and_then(<[u8]>::split_first) else {
        return Some(None);
    };
    let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
    let after = rest.get(blanks..)?;
    if !version.is_ascii_digit() || blanks == 0 && !after.is_empty() {
        return None;
    }
    if !after.iter().zip(DIGITS).all(|(is, some)| some.contains(is)) {
        return None;
    }
    let is_over = match after.get(DIGITS.len()) {
        Some(next) if is_blank(*next) || *next == b'\n' => true,
        Some(_) => return None,
        None => ended,
    };
    let value = |status, digit: &u8| status * 10 + u16::from(digit - b'0');
    let digits = after.get(..DIGITS.len()).filter(|_| is_over);
    Some(digits.map(|digits| digits.iter().fold(0, value)))
}

/// What may stand for a space in a status line: a tab, a form feed, a lone CR.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0b' | b'\x0c' | b'\r')
}

/// The next line without its end, and what follows it; `None`: it has no end yet. Who writes CR LF as
/// text has each LF made CR LF once more.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(at)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}
