//! One HTTP/1.1 connection: a bare stream as long as its answers are plain, and then hyper's two
//! halves in one struct, driven in the task that uses them. Where hyper gives an answer up it is a bare
//! stream again, for that one's rest.
//!
//! hyper wants its connection future spawned; here it is polled in the same task as the request, so
//! that an exchange costs no wake-up between tasks and dropping it leaves nothing behind. Invariant:
//! hyper's answer and body make progress only inside a poll of the connection, so they are polled
//! after it with a waker that does nothing, and only the connection's wakers count.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::ahead::Ahead;
use super::alarm::Alarm;
use super::letterhead::{HEAD_BYTES, Letter, Letterhead, Progress};
use super::plain::Plain;
use super::sloppy::{Found, HYPERS_LINES, Sloppy};
use super::wire::Wire;
use crate::model::{Fault, Request};

/// The most that hyper buffers of an answer's head. Its limit of 100 headers is kept: another number
/// would cost two allocations for each answer; `sloppy` reads what has more.
const BUFFER_BYTES: usize = HEAD_BYTES;
/// Bytes that are read at a time of an answer that hyper gave up.
const READ_BYTES: usize = 4096;
/// How long a connection that is not used again stays for the peer to close it first: whoever closes
/// first holds the port in `TIME_WAIT` for a minute, and 28,000 ports are all we have to one address.
pub(super) const LINGER: Duration = Duration::from_millis(200);
/// What a lingering connection may still bring.
const LINGER_BYTES: usize = 64 * 1024;

/// A connection that serves one request at a time.
pub(super) struct Connection {
    /// The stream, until there is an answer that is not plain. Most connections never have one.
    bare: Option<Letterhead>,
    http: Option<Box<Http>>,
    letter: Letter,
    peer: SocketAddr,
    /// When it was made.
    pub(super) born: Instant,
    /// How many requests it may still have.
    pub(super) requests: u32,
    /// For whoever waits for the peer.
    pub(super) alarm: Alarm,
}

/// hyper's two halves.
struct Http {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Letterhead>, Full<Bytes>>,
    /// hyper is through with the connection; it must not be polled again.
    done: bool,
}

/// An answer whose head is there.
pub(super) enum Head {
    /// Without hyper.
    Plain(Plain),
    /// Read by hyper.
    Odd(Response<Incoming>),
    /// Given up by hyper, and read as far as it can be; with what is wrong with it.
    Sloppy(Box<Sloppy>, String),
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The request could not be written down.
    Fault(Fault),
    /// The connection failed; hyper's reason, where it has one.
    Broken(Option<hyper::Error>),
}

impl Connection {
    /// A connection over an open stream; no byte is sent.
    pub(super) fn new(wire: Wire, peer: SocketAddr, born: Instant) -> Box<Self> {
        let letter = Letter::default();
        Box::new(Self {
            bare: Some(Letterhead::new(wire, letter.clone())),
            http: None,
            letter,
            peer,
            born,
            requests: u32::MAX,
            alarm: Alarm::default(),
        })
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether hyper has its buffers.
    #[cfg(test)]
    pub(super) fn has_http(&self) -> bool {
        self.http.is_some()
    }

    pub(super) fn progress(&self) -> Progress {
        self.letter.progress()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn ask(
        &mut self,
        start_line: &[u8],
        request: &Request,
    ) -> Result<Head, Unanswered> {
        let begun = self.letter.begin(start_line, request);
        begun.map_err(Unanswered::Fault)?;
        if let Some(bare) = &mut self.bare {
            match poll_fn(|cx| bare.poll_ahead(cx, &request.body)).await {
                Ahead::Plain(plain) => return Ok(Head::Plain(plain)),
                Ahead::Odd => {}
                Ahead::Stale => return Err(Unanswered::Broken(None)),
            }
        }
        if let Some(bare) = self.bare.take() {
            let http = Http::over(bare).await;
            self.http = Some(http.map_err(|error| Unanswered::Broken(Some(error)))?);
        }
        let http = self.http.as_deref_mut();
        let http = http.ok_or(Unanswered::Broken(None))?;
        let answer = http.ask(&request.body).await;
        let noted = self.letter.take_noted();
        match answer {
            Ok(answer) => Ok(Head::Odd(answer)),
            Err(Unanswered::Broken(error)) if !noted.is_empty() => self.ask_on(noted, error).await,
            Err(unanswered) => Err(unanswered),
        }
    }

    /// Reads on in an answer that hyper gave up, and finds it, or gives hyper's reason.
    async fn ask_on(
        &mut self,
        mut came: Vec<u8>,
        error: Option<hyper::Error>,
    ) -> Result<Head, Unanswered> {
        let Some(http) = self.http.take() else {
            return Err(Unanswered::Broken(error));
        };
        let bare = self.bare.insert(http.driver.into_parts().io.into_inner());
        let mut ended = false;
        loop {
            match Sloppy::find(&came, ended) {
                Found::Answer(answer) => {
                    let why = what_is_wrong(&answer, error.as_ref());
                    return Ok(Head::Sloppy(answer, why));
                }
                Found::Nothing => return Err(Unanswered::Broken(error)),
                Found::More => {}
            }
            let take = |some: &[u8]| came.extend_from_slice(some);
            ended = !read_some(bare, take).await;
        }
    }

    /// Reads the rest of such an answer's body, as far as it is wanted.
    pub(super) async fn read_sloppy(&mut self, answer: &mut Sloppy) {
        let Some(bare) = &mut self.bare else {
            return;
        };
        while !answer.is_over() {
            if !read_some(bare, |some| answer.feed(some)).await {
                answer.end();
            }
        }
    }

    /// Reads the rest of a plain answer's body, and says whether that was its end.
    pub(super) async fn read_plain(&mut self, plain: &mut Plain) -> bool {
        let Some(bare) = &mut self.bare else {
            return false;
        };
        let Plain {
            length, body, over, ..
        } = plain;
        let more = |cx: &mut Context<'_>| {
            while body.len() < *length {
                if !ready!(bare.poll_more(cx, body, *length - body.len())) {
                    return Poll::Ready(false);
                }
            }
            Poll::Ready(true)
        };
        let whole = poll_fn(more).await;
        if body.len() > *length {
            body.truncate(*length);
            *over = true;
        }
        whole
    }

    /// Reads the body into `kept` until its end or until there are more than `limit` bytes, and
    /// says whether that was its end.
    pub(super) async fn read(&mut self, body: Incoming, limit: usize, kept: &mut Vec<u8>) -> bool {
        match &mut self.http {
            Some(http) => http.read(body, limit, kept).await,
            None => false,
        }
    }

    /// Looks whether the connection can take a request: the last exchange is over on both sides,
    /// and the peer has neither closed it nor sent something unasked.
    pub(super) async fn is_idle(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.look(cx))).await
    }

    /// The same outside of any task.
    pub(super) fn is_idle_unwatched(&mut self) -> bool {
        self.look(&mut Context::from_waker(Waker::noop()))
    }

    fn look(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(bare) = &mut self.bare {
            return bare.is_silent(cx);
        }
        let ready = |http: &mut Box<Http>| {
            drop(http.poll_driver(cx));
            !http.done && http.sender.is_ready()
        };
        self.http.as_mut().is_some_and(ready) && self.letter.progress().whole
    }

    /// Lets the peer close the connection first, where it soon does. Returns the connection while
    /// the peer has not yet.
    pub(super) fn part(self) -> Option<Parting> {
        let letterhead = match self.bare {
            Some(bare) => bare,
            None => self.http?.driver.into_parts().io.into_inner(),
        };
        let parting = Parting(letterhead.into_wire().into_tcp());
        parting.is_open().then_some(parting)
    }
}

/// Hands over what comes next. False where that is the end.
async fn read_some(bare: &mut Letterhead, mut take: impl FnMut(&[u8])) -> bool {
    poll_fn(|cx| {
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buf = ReadBuf::uninit(&mut room);
        let result = ready!(Pin::new(&mut *bare).poll_read(cx, &mut buf));
        take(buf.filled());
        Poll::Ready(result.is_ok() && !buf.filled().is_empty())
    })
    .await
}

/// For the log: why hyper gave that answer up.
fn what_is_wrong(answer: &Sloppy, error: Option<&hyper::Error>) -> String {
    match error {
        _ if answer.cut => "the answer ended within its head".to_owned(),
        Some(error) if error.is_parse_too_large() && answer.many => {
            format!("the head of the answer has more than {HYPERS_LINES} lines")
        }
        Some(error) if error.is_parse_too_large() => {
            "the head of the answer announces a length that can't be".to_owned()
        }
        Some(error) => format!("the head of the answer is not proper HTTP: {error}"),
        None => "the head of the answer is not proper HTTP".to_owned(),
    }
}

impl Http {
    async fn over(io: Letterhead) -> Result<Box<Self>, hyper::Error> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .max_header_size(BUFFER_BYTES)
            .http09_responses(false)
            // Sloppy servers exist, and what counts is the status they say.
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .writev(true)
            .handshake(TokioIo::new(io))
            .await?;
        let done = false;
        Ok(Box::new(Self {
            sender,
            driver,
            done,
        }))
    }

    async fn ask(&mut self, body: &Bytes) -> Result<Response<Incoming>, Unanswered> {
        let mut placeholder = http::Request::new(Full::new(body.clone()));
        *placeholder.method_mut() = Method::POST;
        *placeholder.uri_mut() = Uri::from_static("/");
        *placeholder.version_mut() = Version::HTTP_11;
        // Without the budget of tokio: it would make a wait of an answer that is there, and the waker
        // below would never end that wait.
        let answer = tokio::task::coop::unconstrained(self.sender.send_request(placeholder));
        let mut answer = pin!(answer);
        poll_fn(|cx| {
            let reason = self.poll_driver(cx);
            let mut blind = Context::from_waker(Waker::noop());
            match answer.as_mut().poll(&mut blind) {
                Poll::Ready(answer) => Poll::Ready(answer.map_err(|e| Unanswered::Broken(Some(e)))),
                Poll::Pending if self.done => Poll::Ready(Err(Unanswered::Broken(reason))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    async fn read(&mut self, mut body: Incoming, limit: usize, kept: &mut Vec<u8>) -> bool {
        poll_fn(|cx| {
            loop {
                // The reason is not needed: the body tells that it broke off.
                drop(self.poll_driver(cx));
                let mut blind = Context::from_waker(Waker::noop());
                match Pin::new(&mut body).poll_frame(&mut blind) {
                    Poll::Ready(Some(Ok(frame))) => {
                        let Ok(data) = frame.into_data() else {
                            continue;
                        };
                        let room = limit - kept.len();
                        kept.extend_from_slice(data.get(..room).unwrap_or(&data));
                        if data.len() > room {
                            return Poll::Ready(false);
                        }
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending if self.done => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Lets hyper work. Its error is returned once.
    fn poll_driver(&mut self, cx: &mut Context<'_>) -> Option<hyper::Error> {
        if self.done {
            return None;
        }
        // Not the future itself: that would shut the connection down, and it is the peer's turn.
        match self.driver.poll_without_shutdown(cx) {
            Poll::Ready(result) => {
                self.done = true;
                result.err()
            }
            Poll::Pending => None,
        }
    }
}

/// A connection that nothing more is sent on.
pub(super) struct Parting(TcpStream);

impl Parting {
    /// Waits for the peer's end, not for long, and closes.
    pub(super) async fn wait(mut self) {
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
