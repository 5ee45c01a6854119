//! The request sent and the answer's beginning read without hyper.
//!
//! hyper takes some 26 KiB for a connection, and thousands may hang before a word was said. So the
//! request is written here; and where the answer is a plain one, hyper is not needed at all. If it
//! is, what was sent is skipped when hyper writes it, and what was heard is what it reads first.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::letterhead::{Letterhead, State, peer_is_gone};
use super::plain::Plain;
use super::wire::Wire;

/// Bytes of an answer that are read before hyper is there: most are whole in them.
const EARLY_BYTES: usize = 4096;

/// What came of a request that was sent without hyper.
pub(super) enum Ahead {
    /// A plain answer.
    Plain(Plain),
    /// Something else, or an end: for hyper.
    Odd,
    /// The kept connection is no longer usable, and nothing was written.
    Stale,
}

/// What the peer said before hyper was there to hear it.
#[derive(Default)]
pub(super) struct Early {
    bytes: Vec<u8>,
    given: usize,
    error: Option<io::Error>,
}

impl Early {
    /// Gives back what came; false once there is nothing left of it.
    pub(super) fn give(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let left = self.bytes.get(self.given..).unwrap_or_default();
        let some = left.get(..buf.remaining()).unwrap_or(left);
        buf.put_slice(some);
        self.given += some.len();
        Ok(!some.is_empty())
    }
}

impl Letterhead {
    /// Sends the request, until the peer says something or nothing can be sent.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>, body: &[u8]) -> Poll<Ahead> {
        let mut state = self.letter.state();
        // The runtime may not have heard yet of what the kernel has: an answer to nothing would be
        // taken for this request's, or a request be lost on a connection that is closed.
        if state.kept && state.sent == 0 && self.wire.has_unread() {
            return Poll::Ready(Ahead::Stale);
        }
        let fresh = std::mem::take(&mut self.fresh);
        match poll_send(&mut self.wire, fresh, &mut state, cx, body) {
            Poll::Ready(Err(error)) if peer_is_gone(&error) => state.tear(&error),
            Poll::Ready(Err(error)) => {
                self.early.error = Some(error);
                return Poll::Ready(Ahead::Odd);
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if state.kept && state.sent == 0 {
            // Nothing that comes can be an answer.
            return if state.torn {
                Poll::Ready(Ahead::Stale)
            } else {
                Poll::Pending
            };
        }
        let whole = state.is_whole();
        drop(state);
        self.poll_hear(cx, whole)
    }

    /// Waits for the peer's first bytes, its end or a failure.
    fn poll_hear(&mut self, cx: &mut Context<'_>, whole: bool) -> Poll<Ahead> {
        let mut room = [const { MaybeUninit::uninit() }; EARLY_BYTES];
        let mut buf = ReadBuf::uninit(&mut room);
        let result = ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buf));
        // While hyper reads an answer it also sends what is left of the request.
        if whole
            && result.is_ok()
            && let Some(plain) = Plain::of(buf.filled())
        {
            return Poll::Ready(Ahead::Plain(plain));
        }
        self.early = Early {
            bytes: buf.filled().to_vec(),
            given: 0,
            error: result.err(),
        };
        Poll::Ready(Ahead::Odd)
    }

    /// Reads as much of a body as there is, into the room that it has. False at the end.
    pub(super) fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Vec<u8>,
        left: usize,
    ) -> Poll<bool> {
        let mut room = [const { MaybeUninit::uninit() }; EARLY_BYTES];
        let (room, _) = room.split_at_mut(EARLY_BYTES.min(left + 1));
        let mut buf = ReadBuf::uninit(room);
        let result = ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buf));
        body.extend_from_slice(buf.filled());
        Poll::Ready(result.is_ok() && !buf.filled().is_empty())
    }

    /// Whether the peer is silent and there: nothing was asked of it.
    pub(super) fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let mut room = [MaybeUninit::uninit()];
        let mut buf = ReadBuf::uninit(&mut room);
        Pin::new(&mut self.wire)
            .poll_read(cx, &mut buf)
            .is_pending()
    }
}

/// Sends what is left of head and body. `fresh`: nothing was tried on this connection so far.
fn poll_send(
    wire: &mut Wire,
    mut fresh: bool,
    state: &mut State,
    cx: &mut Context<'_>,
    body: &[u8],
) -> Poll<io::Result<()>> {
    while !state.torn && state.sent < state.length {
        let head = state.head.get(state.head_sent..).unwrap_or_default();
        let slices = [
            IoSlice::new(head),
            IoSlice::new(body.get(state.ahead..).unwrap_or_default()),
        ];
        let left = head.len();
        let n = match std::mem::take(&mut fresh).then(|| wire.write_now(&slices)) {
            Some(Poll::Ready(written)) => written,
            _ => ready!(Pin::new(&mut *wire).poll_write_vectored(cx, &slices)),
        }?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        state.sent += n;
        state.head_sent += n.min(left);
        state.ahead += n.saturating_sub(left);
    }
    Pin::new(wire).poll_flush(cx)
}
