//! Whether a server asked for a certificate of ours.
//!
//! It asks within the handshake, and what it makes of the certificate shows later, often as no more than a closed
//! connection. So the question is noted, handshake by handshake. Left out: what it is shown (`ours`).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;

/// Whether a server asked for a certificate of ours, and what it got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Asked {
    /// It did not.
    #[default]
    Not,
    /// It did, and there is none.
    HasNone,
    /// It did, and takes no signature that ours can make.
    Unfit,
    /// It did, and got it.
    Given,
}

thread_local! {
    /// Of the handshake that is polled just now. The library calls back within the poll, and does not say for whom.
    static ASKED: Cell<Asked> = const { Cell::new(Asked::Not) };
}

/// A handshake, with what it asked for.
pub(in super::super) async fn watching<F: Future>(
    asked: &mut Asked,
    mut handshake: Pin<&mut F>,
) -> F::Output {
    poll_fn(|cx| {
        ASKED.set(Asked::Not);
        let polled = handshake.as_mut().poll(cx);
        match ASKED.take() {
            Asked::Not => {}
            now => *asked = now,
        }
        polled
    })
    .await
}

/// Takes note of a question, in the handshake that is polled just now.
pub(super) fn note(asked: Asked) {
    ASKED.set(asked);
}
