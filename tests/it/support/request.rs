//! One request as it came in, to the byte, and the reading of it from a stream.
//!
//! Nothing is normalised: the head is kept as it was on the wire, header names are compared with
//! their case. Only the length of the body is understood, since without it there is no end.

use std::io::Read;
use std::time::Instant;

use super::{now, now_ms};

/// A request as a receiver saw it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// When all of it was there.
    pub(crate) at: Instant,
    /// The same in UNIX milliseconds.
    pub(crate) at_ms: i64,
    /// The head as it was on the wire, the empty line included.
    pub(crate) head: Vec<u8>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Reads one request, but for the last byte of its body, which stays in the stream for a reset.
    /// `None` where the peer closed before a whole one.
    pub(super) fn read(stream: &mut impl Read) -> Option<(Self, usize)> {
        let mut head = Vec::with_capacity(512);
        let mut byte = [0_u8; 1];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let mut received = Self {
            at: now(),
            at_ms: 0,
            head,
            body: Vec::new(),
        };
        let length: usize = received
            .header("Content-Length")
            .map_or(0, |text| text.parse().unwrap());
        received.body.resize(length.saturating_sub(1), 0);
        stream.read_exact(&mut received.body).ok()?;
        received.at = now();
        received.at_ms = now_ms();
        Some((received, length))
    }

    /// The head's text.
    pub(crate) fn head_text(&self) -> &str {
        std::str::from_utf8(&self.head).unwrap()
    }

    /// The lines of the head, the request line first.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.head_text()
            .split_terminator("\r\n")
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// The names of the headers in their order and case.
    pub(crate) fn names(&self) -> Vec<&str> {
        let name = |line| str::split_once(line, ':').unwrap().0;
        self.lines().into_iter().skip(1).map(name).collect()
    }

    /// The value of the header of exactly that name, without the one space after the colon.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.lines().into_iter().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value))
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The member `n` of the event's `data`, by which the tests know their events in every dialect.
    pub(crate) fn n(&self) -> i64 {
        let json = self.json();
        let data = json.get("data").unwrap_or(&json["v1"]["data"]);
        data["n"].as_i64().unwrap()
    }
}
