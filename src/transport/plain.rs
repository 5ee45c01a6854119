//! Answers that need no hyper: HTTP/1.1, with a `Content-Length`, their head whole in one read.
//!
//! Nearly every answer to a webhook is one of these, and hyper's way from bytes to a map of headers
//! costs several times what it takes to write their lines down. What is taken here is less than
//! what hyper takes, never more: whatever is rare, sloppy or odd (an interim answer, chunks, an
//! encoding, a name twice, a byte that is not ASCII) is `None` and is left to hyper, from its first
//! byte on. `tests/alike.rs` holds that both read the same out of the same bytes.

use super::answer::BODY_BYTES;
use super::keep::Keep;

/// More headers than any such answer has. Each is compared with those before it.
const HEADERS: usize = 32;

/// Bytes that are compared at a time.
const CHUNK: usize = 16;

/// The bytes that headers' names are made of, but for the names that nobody gives.
const SIMPLE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        byte += 1;
    }
    table
};

#[cfg(test)]
thread_local! {
    /// Leaves all answers to hyper.
    pub(super) static OFF: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// An answer whose head is there, with as much of its body as came along.
pub(super) struct Plain {
    pub(super) status: u16,
    /// Lines of `name: value`, names in lower case.
    pub(super) lines: String,
    /// Bytes of the body in all; no more than are kept.
    pub(super) length: usize,
    /// What there is of the body.
    pub(super) body: Vec<u8>,
    /// Whether the peer will close the connection, or has sent more than it announced.
    pub(super) over: bool,
    /// What may become of the connection; `None`: it is not to be used again.
    pub(super) keep: Option<Keep>,
}

/// What the headers say of the answer itself.
#[derive(Default)]
struct Said {
    length: Option<usize>,
    over: bool,
    keep: Option<Keep>,
}

impl Plain {
    /// Reads what came of an answer. `None`: it is not one of these.
    pub(super) fn of(came: &[u8]) -> Option<Self> {
        #[cfg(test)]
        if OFF.get() {
            return None;
        }
        let rest = came.strip_prefix(b"HTTP/1.1 ")?;
        let (digits, rest) = rest.split_first_chunk()?;
        let status = status(*digits)?;
        let (reason, mut rest) = line(rest)?;
        if !(reason.is_empty() || reason.starts_with(b" ")) {
            return None;
        }
        // Of the body little comes along, and the lines are no longer than the head.
        let mut lines = Vec::with_capacity(rest.len().min(512));
        let mut said = Said {
            keep: Some(Keep::UNSAID),
            ..Said::default()
        };
        let mut names: [&[u8]; HEADERS] = [b""; HEADERS];
        let mut count = 0;
        loop {
            let (header, after) = line(rest)?;
            rest = after;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_at_checked(name_length(header))?;
            let value = value.strip_prefix(b":")?.trim_ascii();
            let is_name =
                |other: &&[u8]| other.len() == name.len() && other.eq_ignore_ascii_case(name);
            if name.is_empty() || names.get(..count)?.iter().any(is_name) {
                return None;
            }
            *names.get_mut(count)? = name;
            count += 1;
            said.take(name, value)?;
            push_line(&mut lines, name, value);
        }
        let length = match status {
            204 | 304 => 0,
            _ => said.length?,
        };
        if length > BODY_BYTES || rest.len() > length {
            return None;
        }
        let mut body = Vec::new();
        if length > 0 {
            // One byte more: a read that fills its room would have to be tried once more.
            body.reserve_exact(length + usize::from(rest.len() < length));
            body.extend_from_slice(rest);
        }
        Some(Self {
            status,
            lines: String::from_utf8(lines).ok()?,
            length,
            body,
            over: said.over,
            keep: said.keep,
        })
    }
}

impl Said {
    /// Takes note of a header. `None`: hyper has to see to it.
    fn take(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        // By the length first: most headers are none of these.
        match name.len() {
            10 if is(b"connection") => {
                self.over = value.eq_ignore_ascii_case(b"close");
                return (self.over || value.eq_ignore_ascii_case(b"keep-alive")).then_some(());
            }
            10 if is(b"keep-alive") => {
                self.keep = Keep::said(std::str::from_utf8(value).ok().into_iter());
            }
            14 if is(b"content-length") => self.length = Some(number(value)?),
            16 if is(b"content-encoding") => return None,
            17 if is(b"transfer-encoding") => return None,
            _ => {}
        }
        Some(())
    }
}

/// The next line, without its end, and what follows it. `None`: it has no end yet, or holds what
/// is not printable ASCII.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_printable = |byte: &u8| (b' '..=b'~').contains(byte);
    let all = |chunk: &&[u8]| {
        chunk
            .iter()
            .fold(true, |all, byte| all & is_printable(byte))
    };
    // By whole chunks first, whose bytes are compared together.
    let start = bytes.chunks_exact(CHUNK).take_while(all).count() * CHUNK;
    let end = start
        + bytes
            .get(start..)?
            .iter()
            .position(|byte| !is_printable(byte))?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line, rest.strip_prefix(b"\r\n")?))
}

/// The status of an answer that is final.
fn status(digits: [u8; 3]) -> Option<u16> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = |status, digit| status * 10 + u16::from(digit - b'0');
    let status = digits.into_iter().fold(0, value);
    (status >= 200).then_some(status)
}

/// A `Content-Length` that no number overflows at.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How much of a line is made of what all names are made of.
fn name_length(line: &[u8]) -> usize {
    let is_simple = |byte: &&u8| SIMPLE[usize::from(**byte)];
    line.iter().take_while(is_simple).count()
}

fn push_line(lines: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !lines.is_empty() {
        lines.push(b'\n');
    }
    let start = lines.len();
    lines.extend_from_slice(name);
    if let Some(name) = lines.get_mut(start..) {
        name.make_ascii_lowercase();
    }
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
}
