//! Answers whose head is not proper HTTP, or breaks off: read as far as they can be.
//!
//! An answer whose status line came has answered, whatever follows it: a line without a colon, a
//! control character, lengths that differ, chunks in HTTP/1.0, nothing at all. hyper gives such an
//! answer up; here its lines and its body are kept for the log. What has no status line is no answer
//! here either, interim ones don't count, and the limits of size and time are the same. Nothing can
//! follow such an answer: its connection is not used again.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

use super::answer::{self, BODY_BYTES};
use super::chunks::{Chunks, Step, first};
use super::letterhead::HEAD_BYTES;
use crate::model::Answer;

/// hyper takes no more, to spare each answer two allocations; the rest of the kind is read here.
pub(super) const HYPERS_LINES: usize = 100;

/// What is found in the bytes that came.
pub(super) enum Found {
    /// The head of an answer, with what there is of its body.
    Answer(Box<Sloppy>),
    /// Its beginning.
    More,
    /// No answer, or one that is too large.
    Nothing,
}

/// An answer whose head is read.
pub(super) struct Sloppy {
    status: u16,
    lines: String,
    headers: HeaderMap,
    framing: Framing,
    body: Vec<u8>,
    /// Whether nothing more is to be read.
    over: bool,
    /// Whether that is because the body has ended.
    whole: bool,
    /// Whether the answer ended within its head.
    pub(super) cut: bool,
    /// Whether its head has more lines than hyper reads.
    pub(super) many: bool,
}

/// Where the body ends.
enum Framing {
    /// After so many bytes more.
    Length(u64),
    /// With the last chunk.
    Chunks(Chunks),
    /// Where the peer closes.
    Close,
}

impl Sloppy {
    /// Reads what came of an answer; `ended`: nothing more will.
    pub(super) fn find(came: &[u8], ended: bool) -> Found {
        let more = !ended && came.len() < HEAD_BYTES;
        let unfinished = if more { Found::More } else { Found::Nothing };
        let mut rest = came;
        loop {
            while let Some(after) = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")) {
                rest = after;
            }
            let Some(status) = status(rest) else {
                return Found::Nothing;
            };
            let Some((_, mut after)) = line(rest) else {
                return unfinished;
            };
            let mut lines = Vec::new();
            let mut cut = false;
            loop {
                let Some((header, next)) = line(after) else {
                    if more || came.len() >= HEAD_BYTES {
                        return unfinished;
                    }
                    lines.extend((!after.is_empty()).then_some(after));
                    (cut, after) = (true, &[]);
                    break;
                };
                after = next;
                if header.is_empty() {
                    break;
                }
                lines.push(header);
            }
            if came.len() - after.len() > HEAD_BYTES {
                return Found::Nothing;
            }
            match status {
                Some(100 | 102..=199) => rest = after,
                Some(status) => {
                    return Found::Answer(Box::new(Self::new(status, &lines, cut, after)));
                }
                None => return unfinished,
            }
        }
    }

    fn new(status: u16, lines: &[&[u8]], cut: bool, body: &[u8]) -> Self {
        let mut sloppy = Self {
            status,
            lines: String::new(),
            headers: HeaderMap::new(),
            framing: Framing::Close,
            body: Vec::new(),
            over: cut,
            whole: false,
            cut,
            many: lines.len() > HYPERS_LINES,
        };
        for line in lines {
            sloppy.keep_line(line);
        }
        answer::clip(&mut sloppy.lines);
        sloppy.framing = framing(status, &sloppy.headers);
        sloppy.feed(body);
        sloppy
    }

    /// Keeps a line of the head for the log, and what can be understood of it for the body's sake.
    fn keep_line(&mut self, line: &[u8]) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            self.lines.push(' ');
            return push_text(&mut self.lines, line.trim_ascii());
        }
        if !self.lines.is_empty() {
            self.lines.push('\n');
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let Some((name, value)) = colon.and_then(|at| line.split_at_checked(at)) else {
            return push_text(&mut self.lines, line);
        };
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        let name = name.trim_ascii_end().to_ascii_lowercase();
        if let Ok(name) = HeaderName::from_bytes(&name)
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            self.headers.append(name, value);
        }
        push_text(&mut self.lines, &name);
        self.lines.push_str(": ");
        push_text(&mut self.lines, value);
    }

    /// Whether nothing more is to be read of it.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes more of the body.
    pub(super) fn feed(&mut self, mut came: &[u8]) {
        while !self.over {
            match &mut self.framing {
                Framing::Length(0) => (self.over, self.whole) = (true, true),
                _ if came.is_empty() => return,
                Framing::Length(left) => {
                    let some = first(came, *left);
                    *left -= some.len() as u64;
                    came = self.keep(came, some.len());
                }
                Framing::Close => came = self.keep(came, came.len()),
                Framing::Chunks(_) => came = self.feed_chunks(came),
            }
        }
    }

    /// Keeps so many bytes, and returns the rest.
    fn keep<'a>(&mut self, came: &'a [u8], count: usize) -> &'a [u8] {
        let (some, rest) = came.split_at(count);
        let room = BODY_BYTES - self.body.len();
        self.body
            .extend_from_slice(some.get(..room).unwrap_or(some));
        self.over |= some.len() > room;
        rest
    }

    /// Goes one step on in a body of chunks, and returns what it leaves.
    fn feed_chunks<'a>(&mut self, came: &'a [u8]) -> &'a [u8] {
        let Framing::Chunks(chunks) = &mut self.framing else {
            return came;
        };
        let (found, rest) = chunks.step(came);
        match found {
            Step::Data(data) => {
                self.keep(data, data.len());
            }
            Step::Framing => {}
            Step::End => (self.over, self.whole) = (true, true),
            // No chunks at all, whatever was said.
            Step::Broken(line) if self.body.is_empty() => {
                self.framing = Framing::Close;
                self.keep(&line, line.len());
            }
            Step::Broken(_) => self.over = true,
        }
        rest
    }

    /// Takes note that the peer has closed.
    pub(super) fn end(&mut self) {
        if !self.over {
            self.over = true;
            self.whole = matches!(self.framing, Framing::Close);
        }
    }

    pub(super) fn into_answer(self) -> Answer {
        let (body, truncated) = answer::decode(&self.headers, self.body, !self.whole);
        Answer {
            status: self.status,
            headers: self.lines,
            body,
            truncated,
        }
    }
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

/// Where the body of an answer with such headers ends, where they can be believed.
fn framing(status: u16, headers: &HeaderMap) -> Framing {
    if matches!(status, 101 | 204 | 304) {
        return Framing::Length(0);
    }
    if let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        let last = coding.as_bytes().rsplit(|byte| *byte == b',').next();
        let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return if last.is_some_and(is_chunked) {
            Framing::Chunks(Chunks::default())
        } else {
            Framing::Close
        };
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let number = |value: &HeaderValue| -> Option<u64> {
        let digits = value.to_str().ok()?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    match (lengths.next().and_then(number), lengths.next()) {
        (Some(length), None) => Framing::Length(length),
        _ => Framing::Close,
    }
}

/// Adds what people can read, and a sign for what they can't.
fn push_text(lines: &mut String, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let readable = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    lines.extend(text.chars().map(readable));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, lines, body and whether something is missing, where all came and then the end.
    fn read(came: &[u8]) -> Option<(u16, String, String, bool)> {
        let Found::Answer(mut sloppy) = Sloppy::find(came, true) else {
            return None;
        };
        sloppy.end();
        let answer = sloppy.into_answer();
        let body = String::from_utf8(answer.body).unwrap();
        Some((answer.status, answer.headers, body, answer.truncated))
    }

    #[test]
    fn the_status_line_decides_and_the_rest_is_kept() {
        for (came, lines, body, truncated) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "", "", false),
            (
                "HTTP/1.1 200 OK\r\nno colon\r\n\r\nhi",
                "no colon",
                "hi",
                false,
            ),
            (
                "HTTP/1.0 200\nX : \x1b[2J\0\n: y\nA:b\n\nhi",
                "x: \u{fffd}[2J\u{fffd}\n: y\na: b",
                "hi",
                false,
            ),
            (
                "\r\nHTTP/1.1 200 O\0K\r\nA: b\r\n c\r\n\r\n",
                "a: b c",
                "",
                false,
            ),
            (
                "HTTP/1.1 100 Go\r\nbad\r\n\r\nHTTP/1.1 200 OK\r\nbad\r\n\r\n",
                "bad",
                "",
                false,
            ),
            // Broken off.
            ("HTTP/1.1 200 OK\r\n", "", "", true),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\nContent-Le",
                "a: b\nContent-Le",
                "",
                true,
            ),
            // Lengths.
            (
                "HTTP/1.1 200 OK\r\nbad\r\nContent-Length: 2\r\n\r\nhi junk",
                "bad\ncontent-length: 2",
                "hi",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nbad\r\nContent-Length: 9\r\n\r\nhi",
                "bad\ncontent-length: 9",
                "hi",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
                "content-length: -2",
                "hi",
                false,
            ),
            ("HTTP/1.1 204 No\r\nbad\r\n\r\nhi", "bad", "", false),
        ] {
            let status = if came.contains("204") { 204 } else { 200 };
            let expected = (status, lines.to_owned(), body.to_owned(), truncated);
            assert_eq!(read(came.as_bytes()), Some(expected), "{came:?}");
        }
    }

    #[test]
    fn chunks_are_taken_apart_as_far_as_they_go() {
        for (chunks, body, truncated) in [
            (
                "2\r\nhi\r\n3;x=y\r\n you\r\n0\r\nA: b\r\n\r\njunk",
                "hi yo",
                true,
            ),
            (
                "2\r\nhi\r\n4;x=y\r\n you\r\n0\r\nA: b\r\n\r\njunk",
                "hi you",
                false,
            ),
            ("2\nhi\n0\n\n", "hi", false),
            ("2\r\nhi\r\n9\r\nyo", "hiyo", true),
            ("2\r\nhi\r\nzz\r\nyo", "hi", true),
            ("hi\r\nyou", "hi\r\nyou", false),
            ("", "", true),
        ] {
            let came = format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            let (_, _, is, cut) = read(came.as_bytes()).unwrap();
            assert_eq!((is.as_str(), cut), (body, truncated), "{chunks:?}");
            // The same byte by byte.
            let head = came.len() - chunks.len();
            let Found::Answer(mut sloppy) = Sloppy::find(&came.as_bytes()[..head], false) else {
                panic!("no head");
            };
            chunks.bytes().for_each(|byte| sloppy.feed(&[byte]));
            sloppy.end();
            let answer = sloppy.into_answer();
            assert_eq!(
                (&*answer.body, answer.truncated),
                (body.as_bytes(), truncated)
            );
        }
    }

    #[test]
    fn what_has_no_status_line_is_nothing() {
        for came in [
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n",
            "200 OK\r\n\r\n",
            "HTTP/1.1 103 Hints\r\nbad\r\n\r\n",
            "",
        ] {
            assert_eq!(read(came.as_bytes()), None, "{came:?}");
        }
        let unfinished = |came: &[u8]| matches!(Sloppy::find(came, false), Found::More);
        assert!(unfinished(b"HTTP/1.1 20") && unfinished(b"HTTP/1.1 200 OK\r\nbad\r\n"));
        assert!(!unfinished(b"HTTP/1.1 20x") && !unfinished(b"SSH-2.0"));
    }

    #[test]
    fn the_limits_hold() {
        let head = |filler: String| format!("HTTP/1.1 200 OK\r\nbad\r\n{filler}");
        let lines = |count: usize| head("a: b\r\n".repeat(count - 1)) + "\r\n";
        assert!(read(lines(HYPERS_LINES).as_bytes()).is_some());
        assert!(read(lines(10_000).as_bytes()).is_some());
        let long = head("x".repeat(HEAD_BYTES));
        assert!(matches!(
            Sloppy::find(long.as_bytes(), false),
            Found::Nothing
        ));
        assert!(read(long.as_bytes()).is_none());
        let body = head("\r\n".to_owned() + &"y".repeat(BODY_BYTES + 1));
        let (_, _, body, truncated) = read(body.as_bytes()).unwrap();
        assert_eq!((body.len(), truncated), (BODY_BYTES, true));
    }
}
