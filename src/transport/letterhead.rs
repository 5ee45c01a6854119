//! Our own head on hyper's letter: the request's bytes go out exactly as the dialect made them.
//!
//! hyper writes header names in lower or title case and groups repeated ones, and a `HeaderMap`
//! forgets what was typed. So hyper is given a request without headers, and its head of two lines
//! (the placeholder) is replaced, while it is written, by the head that was formatted here. Invariant:
//! the bytes on the wire are our head, then the body, and [`Progress`] says how many of them went.
//! An answer belongs to the request whose first byte went before the answer was read: on a new
//! connection nothing is read before that, and on a kept one anything unread makes it unusable.
//! Framing stays truthful because [`compose`] refuses a head whose `Content-Length` is not the body's.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ahead::Early;
use super::wire::Wire;
use crate::model::{Fault, Request};

/// What hyper's head starts with, for the request that it is given.
const PLACEHOLDER: &[u8] = b"POST / HTTP/1.1\r\n";
/// The end of any head.
const END: &[u8] = b"\r\n\r\n";
/// Slices handed to one write: our head, the rest of hyper's first slice, and hyper's next ones.
const SLICES: usize = 8;

/// What is read for one answer at most, in bytes: interim answers, head, body and their framing. It
/// is the most that what is kept can take: a head of 64 KiB, and 64 KiB of body in chunks of a byte
/// each, six on the wire. Without it a flood of interim answers, of chunks' extensions or trailers
/// would hold a processor until the time-out, and other endpoints' answers would wait.
const HEARD_BYTES: usize = 512 * 1024;

/// The most of an answer's head that is read; a larger one is a protocol failure.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// Bytes of an answer's beginning that are remembered, to tell what it is where it is no HTTP.
const FIRST_BYTES: usize = 24;

/// How far an exchange came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes of the request that the connection took.
    pub(super) sent: usize,
    /// Bytes of the answer that came.
    pub(super) heard: usize,
    /// Whether the request is out whole and the connection never refused a byte.
    pub(super) whole: bool,
    /// Whether writing found that the peer had reset the connection; reading then finds its end only.
    pub(super) reset: bool,
    /// Whether the connection has had a request before this one.
    pub(super) kept: bool,
    /// The answer's first bytes, as far as they came.
    pub(super) first: [u8; FIRST_BYTES],
}

impl Progress {
    /// The beginning of the answer, where it can't be HTTP/1's.
    pub(super) fn beginning_of_another_protocol(&self) -> Option<&[u8]> {
        let first = self.first.get(..self.heard).unwrap_or(&self.first);
        let begins_well = first
            .iter()
            .zip(b"HTTP/1.")
            .all(|(is, should)| is == should);
        (!begins_well).then_some(first)
    }
}

/// The head to be written, shared between the connection's owner and its byte stream.
#[derive(Clone, Default)]
pub(super) struct Letter(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    pub(super) head: Vec<u8>,
    pub(super) head_sent: usize,
    /// Whether the placeholder is still to be replaced.
    open: bool,
    /// Bytes of head and body that are to be sent in all.
    pub(super) length: usize,
    pub(super) sent: usize,
    heard: usize,
    first: [u8; FIRST_BYTES],
    /// What came, as long as the head is not read: where hyper gives it up, it is read from here.
    noted: Option<Vec<u8>>,
    /// The peer takes no more: the rest of the request is dropped, for its answer may be there.
    pub(super) torn: bool,
    /// Whether it was a reset that tore it.
    reset: bool,
    /// Whether the connection has had a request before this one.
    pub(super) kept: bool,
    /// Whether hyper has begun to write a request.
    begun: bool,
    /// Whether hyper wanted to read before that.
    withheld: bool,
    /// Bytes of the body that went out before hyper wrote them.
    pub(super) ahead: usize,
}

impl State {
    /// Whether nothing has gone out that could be answered.
    fn is_unasked(&self) -> bool {
        self.open && self.sent == 0
    }

    /// Whether the request is out whole and the connection never refused a byte.
    pub(super) fn is_whole(&self) -> bool {
        !self.torn && self.sent == self.length
    }

    pub(super) fn tear(&mut self, error: &io::Error) {
        self.torn = true;
        self.reset |= error.kind() == io::ErrorKind::ConnectionReset;
    }
}

impl Letter {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Formats the head of the next request. Fails where no peer could read it.
    pub(super) fn begin(&self, start_line: &[u8], request: &Request) -> Result<(), Fault> {
        let mut state = self.state();
        // The head of an earlier request is still there.
        state.kept = !state.head.is_empty();
        compose(&mut state.head, start_line, request)?;
        state.head_sent = 0;
        state.open = true;
        state.length = state.head.len() + request.body.len();
        state.sent = 0;
        state.heard = 0;
        state.noted = Some(Vec::new());
        state.ahead = 0;
        Ok(())
    }

    /// What came of the answer so far, at most [`HEAD_BYTES`] of it. Nothing is noted from then on.
    pub(super) fn take_noted(&self) -> Vec<u8> {
        self.state().noted.take().unwrap_or_default()
    }

    pub(super) fn progress(&self) -> Progress {
        let state = self.state();
        Progress {
            sent: state.sent,
            heard: state.heard,
            whole: state.is_whole(),
            reset: state.reset,
            kept: state.kept,
            first: state.first,
        }
    }
}

/// Writes start line and headers as they stand into `head`.
fn compose(head: &mut Vec<u8>, start_line: &[u8], request: &Request) -> Result<(), Fault> {
    head.clear();
    let lines = request.headers.iter();
    let lengths = lines.map(|header| header.name.len() + header.value.len() + 4);
    head.reserve(start_line.len() + lengths.sum::<usize>() + 2);
    head.extend_from_slice(start_line);
    let mut lengths = 0;
    for header in &request.headers {
        let (name, value) = (header.name.as_bytes(), header.value.as_bytes());
        if name.is_empty() || !name.iter().all(|byte| TOKEN[usize::from(*byte)]) {
            return Err(Fault("a header's name is not one that can be sent".into()));
        }
        // Without an early end, so that many bytes are compared at a time.
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 127;
        if value.iter().fold(false, |any, byte| any | is_control(byte)) {
            return Err(Fault(format!(
                "the value of the header {} holds a control character",
                header.name
            )));
        }
        // Most names are told from these by their lengths.
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if header.value.parse() != Ok(request.body.len()) {
                return Err(Fault("Content-Length is not the body's length".into()));
            }
        }
        if name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(Fault("Transfer-Encoding can't be set by hand".into()));
        }
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    if lengths != 1 {
        return Err(Fault("a request needs one Content-Length".into()));
    }
    head.extend_from_slice(b"\r\n");
    Ok(())
}

/// The characters of a header's name (RFC 9110, 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

/// The byte stream that hyper writes into.
pub(super) struct Letterhead {
    pub(super) wire: Wire,
    pub(super) letter: Letter,
    pub(super) early: Early,
    /// Nothing was written so far, nor tried.
    pub(super) fresh: bool,
}

impl Letterhead {
    pub(super) fn new(wire: Wire, letter: Letter) -> Self {
        let early = Early::default();
        Self {
            wire,
            letter,
            early,
            fresh: true,
        }
    }

    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }
}

/// hyper wrote another head than the one that is to be replaced: our bug, not the endpoint's.
#[derive(Debug)]
pub(super) struct Mismatch;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's head is not the expected placeholder")
    }
}

impl std::error::Error for Mismatch {}

/// The answer is longer than anything that is to be read of it.
#[derive(Debug)]
pub(super) struct Excess;

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "more than {} KiB came for one answer",
            HEARD_BYTES / 1024
        )
    }
}

impl std::error::Error for Excess {}

/// A kept connection was closed by its peer, or holds bytes that answer nothing.
#[derive(Debug)]
struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kept connection is no longer usable")
    }
}

impl std::error::Error for Stale {}

/// The length of the placeholder at the start of hyper's bytes.
fn placeholder_length(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(PLACEHOLDER) {
        return None;
    }
    let at = bytes.windows(END.len()).position(|w| w == END)?;
    Some(at + END.len())
}

impl Letterhead {
    /// Writes our head in place of the placeholder, with as much of the body as goes along.
    /// Returns how much of hyper's bytes that was.
    fn poll_open(
        wire: &mut Wire,
        state: &mut State,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first: &[u8] = bufs.first().map_or(&[], |slice| slice);
        let Some(skip) = placeholder_length(first) else {
            return Poll::Ready(Err(io::Error::other(Mismatch)));
        };
        // The runtime may not have heard yet of what the kernel has: an answer to nothing would be
        // taken for this request's, or a request be lost on a connection that is closed.
        if state.kept && state.is_unasked() && wire.has_unread() {
            return Poll::Ready(Err(io::Error::other(Stale)));
        }
        loop {
            if state.head_sent == state.head.len() {
                state.open = false;
                return Poll::Ready(Ok(skip));
            }
            let left = state.head.get(state.head_sent..).unwrap_or_default();
            let mut slices = [IoSlice::new(&[]); SLICES];
            slices[0] = IoSlice::new(left);
            slices[1] = IoSlice::new(first.get(skip..).unwrap_or_default());
            let mut count = 2;
            for (slot, buf) in slices[2..].iter_mut().zip(&bufs[1..]) {
                *slot = IoSlice::new(buf);
                count += 1;
            }
            let left = left.len();
            let n = ready!(Pin::new(&mut *wire).poll_write_vectored(cx, &slices[..count]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            state.sent += n;
            state.head_sent += n.min(left);
            if n >= left {
                state.open = false;
                return Poll::Ready(Ok(skip + n - left));
            }
        }
    }
}

/// Whether a failed write only says that the peer reads no more.
pub(super) fn peer_is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl AsyncRead for Letterhead {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        {
            let mut state = this.letter.state();
            // Some answer as soon as they have accepted. hyper would call that an unexpected
            // message, or not, depending on which came first: the answer or our write.
            if !state.begun {
                state.withheld = true;
                return Poll::Pending;
            }
            if state.heard >= HEARD_BYTES {
                return Poll::Ready(Err(io::Error::other(Excess)));
            }
        }
        let before = buf.filled().len();
        if !this.early.give(buf)? {
            ready!(Pin::new(&mut this.wire).poll_read(cx, buf))?;
        }
        let mut state = this.letter.state();
        let came = buf.filled().get(before..).unwrap_or_default();
        let heard = state.heard;
        for (slot, byte) in state.first.iter_mut().skip(heard).zip(came) {
            *slot = *byte;
        }
        state.heard += came.len();
        if let Some(noted) = &mut state.noted {
            let room = HEAD_BYTES.saturating_sub(noted.len());
            noted.extend_from_slice(came.get(..room).unwrap_or(came));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Letterhead {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut state = this.letter.state();
        state.begun = true;
        if std::mem::take(&mut state.withheld) {
            cx.waker().wake_by_ref();
        }
        let result = if state.torn {
            Err(io::ErrorKind::BrokenPipe.into())
        } else if !state.open && state.ahead > 0 {
            let skipped = state.ahead.min(bufs.iter().map(|buf| buf.len()).sum());
            state.ahead -= skipped;
            Ok(skipped)
        } else if state.open {
            ready!(Self::poll_open(&mut this.wire, &mut state, cx, bufs))
        } else {
            let result = ready!(Pin::new(&mut this.wire).poll_write_vectored(cx, bufs));
            state.sent += *result.as_ref().unwrap_or(&0);
            result
        };
        // A peer may answer before it has read everything, and close: the answer counts.
        // So the rest is swallowed, and what the peer said is found by reading.
        Poll::Ready(match result {
            Err(error) if peer_is_gone(&error) => {
                state.tear(&error);
                Ok(bufs.iter().map(|buf| buf.len()).sum())
            }
            other => other,
        })
    }

    /// Always: a body is then never copied behind the head.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.letter.state().torn {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut this.wire).poll_flush(cx)) {
            Err(error) if peer_is_gone(&error) => {
                this.letter.state().tear(&error);
                Poll::Ready(Ok(()))
            }
            other => Poll::Ready(other),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}
