//! One connection: the request's bytes out, the answer's bytes in, each within its time.
//!
//! An answer belongs to the request whose first byte went before the answer was read: on a new
//! connection nothing is read before that, and on a kept one anything unread makes it unusable. A
//! peer may answer before it has read everything, so both directions are tried at each turn, and a
//! request that the peer takes no more is no failure as long as an answer comes. Between two polls
//! nothing is held but the request's head and what came of the answer's: thousands may hang so.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::body::Body;
use super::error::{Error, Progress};
use super::head::{HeadReader, Reply};
use super::request::compose;
use crate::dialect::Timeouts;
use crate::model::clock::micros;
use crate::model::{Clock, Headers, Phases, Request};
use crate::transport::keep_alive::Keep;
use crate::transport::timeout::ReusableTimeout;
use crate::transport::wire::Wire;

/// What is read for one answer at most, in bytes: interim answers, head, body and their framing. It
/// is the most that what is kept can take: a head of 64 KiB, and 64 KiB of body in chunks of a byte
/// each, six on the wire. Without it a flood of interim answers, of chunks' extensions or trailers
/// would hold a processor until the time-out, and other endpoints' answers would wait.
const HEARD_BYTES: usize = 512 * 1024;
/// Bytes that are read at a time: most answers are whole in them.
const READ_BYTES: usize = 4096;
/// How long a connection that is not used again stays for the peer to close it first: whoever closes
/// first holds the port in `TIME_WAIT` for a minute, and 28,000 ports are all we have to one address.
pub(in crate::transport) const LINGER: Duration = Duration::from_millis(200);
/// What a lingering connection may still bring.
const LINGER_BYTES: usize = 64 * 1024;

/// A connection that serves one request at a time.
pub(in crate::transport) struct Connection {
    wire: Wire,
    /// The head of the last request, and what of it went.
    head: Vec<u8>,
    progress: Progress,
    /// Nothing was written so far, nor tried.
    is_fresh: bool,
    peer: SocketAddr,
    /// When it was made.
    pub(in crate::transport) born: Instant,
    /// How many requests it may still have.
    pub(in crate::transport) requests: u32,
    /// For whoever waits for the peer.
    timeout: ReusableTimeout,
}

/// What is asked, and how long the answer may take.
pub(in crate::transport) struct Ask<'a> {
    pub(in crate::transport) start_line: &'a [u8],
    pub(in crate::transport) request: &'a Request,
    pub(in crate::transport) timeouts: Timeouts,
    pub(in crate::transport) clock: &'a Clock,
}

/// An answer that was read as far as it is kept.
pub(in crate::transport) struct Exchanged {
    pub(in crate::transport) status: u16,
    pub(in crate::transport) headers: Headers,
    /// The body as it came.
    pub(in crate::transport) body: Vec<u8>,
    /// Whether that is all of it.
    pub(in crate::transport) is_whole: bool,
    /// What may become of the connection; `None`: it is not to be used again.
    pub(in crate::transport) keep: Option<Keep>,
    /// What is wrong with the head, for the log.
    pub(in crate::transport) flaw: Option<String>,
    /// It has words of privoxy's own.
    pub(in crate::transport) is_privoxy: bool,
    /// When it was read.
    pub(in crate::transport) at: Instant,
}

impl Connection {
    /// A connection over an open stream; no byte is sent.
    pub(in crate::transport) fn new(
        wire: Wire,
        peer: SocketAddr,
        born: Instant,
        timeout: ReusableTimeout,
    ) -> Box<Self> {
        Box::new(Self {
            wire,
            head: Vec::new(),
            progress: Progress::default(),
            is_fresh: true,
            peer,
            born,
            requests: u32::MAX,
            timeout,
        })
    }

    pub(in crate::transport) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether its server has taken what it was shown in the handshake, as far as TLS says.
    pub(in crate::transport) fn is_let_in(&self) -> bool {
        self.wire.is_let_in()
    }

    pub(in crate::transport) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Sends a request and reads its answer; begun at that instant. The phases are noted as far as
    /// they come.
    ///
    /// # Errors
    /// Why there is no answer; a body that breaks off or takes too long is none.
    pub(in crate::transport) async fn exchange(
        &mut self,
        ask: &Ask<'_>,
        asked: Instant,
        phases: &mut Phases,
    ) -> Result<Exchanged, Error> {
        // The head of an earlier request is still there.
        let is_kept = !self.head.is_empty();
        compose(&mut self.head, ask.start_line, ask.request).map_err(Error::Fault)?;
        let body = &ask.request.body;
        self.progress = Progress::begin(self.head.len() + body.len(), is_kept);
        let mut timeout = std::mem::take(&mut self.timeout);
        let reply = {
            let mut reader = HeadReader::default();
            let reading = pin!(poll_fn(|cx| self.poll_head(cx, body, &mut reader)));
            timeout.limit(asked + ask.timeouts.response, reading).await
        };
        let heard = ask.clock.instant();
        phases.head_us = Some(micros(heard - asked));
        let mut at = heard;
        let mut reply = match reply {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => return Err(error),
            None => return Err(Error::Late),
        };
        if reply.body.is_there {
            if !reply.body.is_over {
                // Late or not, what came is kept.
                let reading = pin!(poll_fn(|cx| self.poll_body(cx, body, &mut reply.body)));
                timeout.limit(heard + ask.timeouts.body, reading).await;
                at = ask.clock.instant();
            }
            phases.body_us = Some(micros(at - heard));
        }
        self.timeout = timeout;
        Ok(Exchanged {
            status: reply.status,
            is_whole: reply.body.is_whole,
            keep: reply.keep.filter(|_| reply.body.ends_clearly()),
            headers: reply.headers,
            body: reply.body.into_bytes(),
            flaw: reply.flaw,
            is_privoxy: reply.is_privoxy,
            at,
        })
    }

    /// Sends the request and reads the head of its answer.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        body: &[u8],
        reader: &mut HeadReader,
    ) -> Poll<Result<Reply, Error>> {
        // The runtime may not have heard yet of what the kernel has: an answer to nothing would be
        // taken for this request's, or a request be lost on a connection that is closed.
        if self.progress.is_unasked() && self.wire.has_unread() {
            return Poll::Ready(Err(Error::Stale));
        }
        loop {
            if let Poll::Ready(Err(error)) = self.poll_send(cx, body) {
                return Poll::Ready(Err(Error::Io(error)));
            }
            if self.progress.is_unasked() {
                // Nothing that comes can be an answer.
                return if self.progress.torn {
                    Poll::Ready(Err(Error::Stale))
                } else {
                    Poll::Pending
                };
            }
            if self.progress.heard >= HEARD_BYTES {
                return Poll::Ready(Err(Error::Excess));
            }
            let take = |came: &[u8]| match came {
                [] => Err(Error::Closed),
                came => reader.take(came),
            };
            let read = ready!(self.poll_read(cx, take));
            match read.unwrap_or_else(|error| Err(Error::Io(error))) {
                Ok(None) => {}
                Ok(Some(reply)) => return Poll::Ready(Ok(reply)),
                Err(reason @ (Error::Closed | Error::Io(_))) => {
                    return Poll::Ready(std::mem::take(reader).end(reason));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads the answer's body, as far as it is wanted, and sends what is left of the request.
    fn poll_body(&mut self, cx: &mut Context<'_>, request: &[u8], body: &mut Body) -> Poll<()> {
        while !body.is_over {
            if !self.progress.is_whole()
                && let Poll::Ready(Err(error)) = self.poll_send(cx, request)
            {
                self.progress.tear(&error);
            }
            if self.progress.heard >= HEARD_BYTES {
                body.end(false);
                break;
            }
            let take = |came: &[u8]| {
                body.feed(came);
                !came.is_empty()
            };
            match ready!(self.poll_read(cx, take)) {
                Ok(true) => {}
                Ok(false) => body.end(true),
                Err(_) => body.end(false),
            }
        }
        Poll::Ready(())
    }

    /// Sends what is left of the request. A peer that takes no more of it may have answered.
    fn poll_send(&mut self, cx: &mut Context<'_>, body: &[u8]) -> Poll<io::Result<()>> {
        let result = ready!(self.poll_write(cx, body));
        Poll::Ready(match result {
            Err(error) if peer_is_gone(&error) => {
                self.progress.tear(&error);
                Ok(())
            }
            result => result,
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, body: &[u8]) -> Poll<io::Result<()>> {
        if self.progress.torn {
            return Poll::Ready(Ok(()));
        }
        while self.progress.sent < self.progress.length {
            let sent = self.progress.sent;
            let slices = [
                IoSlice::new(self.head.get(sent..).unwrap_or_default()),
                IoSlice::new(
                    body.get(sent.saturating_sub(self.head.len())..)
                        .unwrap_or_default(),
                ),
            ];
            let is_fresh = std::mem::take(&mut self.is_fresh);
            let n = match is_fresh.then(|| self.wire.write_now(&slices)) {
                Some(Poll::Ready(written)) => written,
                _ => ready!(Pin::new(&mut self.wire).poll_write_vectored(cx, &slices)),
            }?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.progress.sent += n;
            self.progress.is_held = true;
        }
        ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
        self.progress.is_held = false;
        Poll::Ready(Ok(()))
    }

    /// Reads some bytes, none at the end, and hands them over.
    fn poll_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buf))?;
        self.progress.hear(buf.filled());
        Poll::Ready(Ok(take(buf.filled())))
    }

    /// Looks whether the connection can take a request: the last exchange is over on both sides,
    /// and the peer has neither closed it nor sent something unasked.
    pub(in crate::transport) async fn is_idle(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.look(cx))).await
    }

    /// The same outside of any task.
    pub(in crate::transport) fn is_idle_unwatched(&mut self) -> bool {
        self.look(&mut Context::from_waker(Waker::noop()))
    }

    fn look(&mut self, cx: &mut Context<'_>) -> bool {
        let mut room = [MaybeUninit::uninit()];
        let mut buf = ReadBuf::uninit(&mut room);
        let read = Pin::new(&mut self.wire).poll_read(cx, &mut buf);
        self.progress.is_whole() && read.is_pending()
    }

    /// Lets the peer close the connection first, where it soon does. Returns the connection while
    /// the peer has not yet.
    pub(in crate::transport) fn part(self) -> Option<Parting> {
        let parting = Parting(self.wire.into_tcp());
        parting.is_open().then_some(parting)
    }
}

/// Whether a failed write only says that the peer reads no more.
fn peer_is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// A connection that nothing more is sent on.
pub(in crate::transport) struct Parting(TcpStream);

impl Parting {
    /// Waits for the peer's end, not for long, and closes.
    pub(in crate::transport) async fn wait(mut self) {
        // Either way the connection is closed now.
        drop(timeout(LINGER, self.drain()).await);
    }

    /// Whether the peer may have more to say: asked of the kernel, which often has the peer's end
    /// before the runtime hears of it.
    fn is_open(&self) -> bool {
        let mut scratch = [0; 512];
        let mut left = LINGER_BYTES;
        loop {
            match recv(&self.0, &mut scratch, RecvFlags::DONTWAIT) {
                Ok((_, n @ 1..)) if n < left => left -= n,
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                _ => return false,
            }
        }
    }

    async fn drain(&mut self) {
        let mut scratch = [0; 512];
        let mut left = LINGER_BYTES;
        while let Ok(n @ 1..) = self.0.read(&mut scratch).await {
            left = left.saturating_sub(n);
            if left == 0 {
                return;
            }
        }
    }
}
