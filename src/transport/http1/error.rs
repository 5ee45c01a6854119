//! How far an exchange came, and why it brought no answer.
//!
//! These are facts for `failure.rs`, which has the words for people and knows whose fault it is.

use std::io;

use crate::model::Fault;

/// Bytes of an answer's beginning that are remembered, to tell what it is where it is no HTTP.
const FIRST_BYTES: usize = 24;

/// How far an exchange came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::transport) struct Progress {
    /// Bytes of the request, head and body.
    pub(super) length: usize,
    /// Bytes of them that the connection took.
    pub(in crate::transport) sent: usize,
    /// Bytes of the answer that came.
    pub(in crate::transport) heard: usize,
    /// Some of what the connection took has not left it, as TLS may keep.
    pub(super) is_held: bool,
    /// The peer takes no more: the rest of the request is dropped, for its answer may be there.
    pub(super) torn: bool,
    /// Whether it was a reset that tore it; reading then finds the end only.
    pub(in crate::transport) reset: bool,
    /// Whether the connection has had a request before this one.
    pub(in crate::transport) kept: bool,
    /// The answer's first bytes, as far as they came.
    first: [u8; FIRST_BYTES],
}

impl Progress {
    /// For a request of that length.
    pub(super) fn begin(length: usize, kept: bool) -> Self {
        Self {
            length,
            kept,
            ..Self::default()
        }
    }

    /// Whether the request is out whole and the connection never refused a byte.
    pub(in crate::transport) fn is_whole(&self) -> bool {
        !self.torn && self.sent == self.length && !self.is_held
    }

    /// Whether nothing has gone out that a peer which has had a request before could answer.
    pub(super) fn is_unasked(&self) -> bool {
        self.kept && self.sent == 0
    }

    /// Takes note that the peer takes no more.
    pub(super) fn tear(&mut self, error: &io::Error) {
        self.torn = true;
        self.reset |= error.kind() == io::ErrorKind::ConnectionReset;
    }

    /// Takes note of what came.
    pub(super) fn hear(&mut self, came: &[u8]) {
        for (slot, byte) in self.first.iter_mut().skip(self.heard).zip(came) {
            *slot = *byte;
        }
        self.heard += came.len();
    }

    /// The beginning of the answer, where it can't be HTTP/1's.
    pub(in crate::transport) fn beginning_of_another_protocol(&self) -> Option<&[u8]> {
        let first = self.first.get(..self.heard).unwrap_or(&self.first);
        let begins_well = first
            .iter()
            .zip(b"HTTP/1.")
            .all(|(is, should)| is == should);
        (!begins_well).then_some(first)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::transport) enum Error {
    /// The request could not be written down.
    Fault(Fault),
    /// No head of an answer in time.
    Late,
    /// Reading or writing failed.
    Io(io::Error),
    /// The peer closed the connection.
    Closed,
    /// A kept connection was closed by its peer, or holds bytes that answer nothing; nothing was sent.
    Stale,
    /// The answer's head is larger than what is read of one, or has more headers.
    TooLarge,
    /// More came than is read for one answer, and no end of its head.
    Excess,
    /// It is no answer; what is wrong with it.
    NotHttp(&'static str),
}
