//! An attempt: one POST, what the endpoint did, and what follows from it.
//!
//! What the endpoint did, however badly, is a value ([`Exchange`]) and reaches the log. A [`Fault`]
//! is our own machine's trouble: it reaches the journal, and the delivery keeps its try.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Dialect, Due, Fate, Headers, Posted, SentHeaders, Traceparent, Url};

/// A header as it goes on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The name in its documented case.
    pub name: Cow<'static, str>,
    /// The value.
    pub value: Cow<'static, str>,
    /// Whether the log must not show the value: the user's own headers may hold tokens.
    pub redacted: bool,
}

impl Header {
    /// The value as the log shows it.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.redacted {
            "[redacted]"
        } else {
            &self.value
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.shown())
    }
}

/// One POST, ready to be sent: the headers are all there is, in the order they are sent in.
#[derive(Clone, Debug)]
pub struct Request {
    /// The delivery's dialect: it says how long the answer may take.
    pub dialect: Dialect,
    /// Every header, `Host` and `Content-Length` included.
    pub headers: Vec<Header>,
    /// The body, to the byte.
    pub body: Bytes,
}

impl Request {
    /// The headers for the log: lines of `Name: value`, the user's own values redacted.
    #[must_use]
    pub fn header_lines(&self) -> String {
        let mut lines = String::with_capacity(320);
        for header in &self.headers {
            lines.push_str(&header.name);
            lines.push_str(": ");
            lines.push_str(header.shown());
            lines.push('\n');
        }
        lines.pop();
        lines
    }
}

/// Which kind of trouble an endpoint gave, for words, metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The name does not resolve.
    Name,
    /// Our own rule lets nobody connect to its address.
    Address,
    /// The proxy on the way failed, or lets nobody through: the endpoint was not met.
    Proxy,
    /// Nothing listens there.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// No route to the host.
    Unreachable,
    /// Name, TCP and TLS took longer than 3 s together.
    ConnectTimeout,
    /// The head of the answer took longer than 3 s.
    ResponseTimeout,
    /// The certificate is not one to trust.
    Certificate,
    /// It wants a certificate of ours, and has none or not one that it accepts.
    ClientCertificate,
    /// TLS failed otherwise.
    Tls,
    /// The peer closed the connection before its answer was whole.
    Closed,
    /// The answer is no HTTP, or larger than it may be.
    Protocol,
}

impl Class {
    /// A word or two for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Address => "address",
            Self::Proxy => "proxy",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect-timeout",
            Self::ResponseTimeout => "response-timeout",
            Self::Certificate => "certificate",
            Self::ClientCertificate => "client certificate",
            Self::Tls => "tls",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
        }
    }
}

/// Why an endpoint gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub class: Class,
    /// The words for the log; no secret and no header value is in them.
    pub text: String,
}

/// How long each part of an attempt took, microseconds; `None` where it did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Resolving the name.
    pub name_us: Option<i64>,
    /// Connecting by TCP, to the endpoint or to its proxy.
    pub connect_us: Option<i64>,
    /// From the question to the proxy to its consent, where it opens a tunnel.
    pub proxy_us: Option<i64>,
    /// The TLS handshake.
    pub tls_us: Option<i64>,
    /// From the first byte written to the head of the answer.
    pub head_us: Option<i64>,
    /// Reading the answer's body.
    pub body_us: Option<i64>,
}

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code, 200 to 999; an unasked 101 too.
    pub status: u16,
    /// Its headers, as far as they are kept.
    pub headers: Headers,
    /// The body, decoded, as far as it was read.
    pub body: Vec<u8>,
    /// Whether there was more of the body than was kept, or it broke off.
    pub truncated: bool,
    /// Why the request was turned away before it came to whom it was for, where the answer says so: it is no word of
    /// the endpoint's on the event.
    pub turned_away: Option<Box<Failure>>,
}

/// All that the transport saw of one POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The answer, or why there was none.
    pub result: Result<Answer, Failure>,
    /// Where the time went.
    pub phases: Phases,
    /// The address that was talked to.
    pub peer: Option<SocketAddr>,
    /// From the start to the end, microseconds.
    pub duration_us: i64,
    /// What a person should know of it beside its result: that the request went out a second time,
    /// or that the answer is odd. No secret and no header value is in it.
    pub note: Option<Box<str>>,
}

impl Exchange {
    /// The status that whom the request was for has answered with.
    #[must_use]
    pub fn status_of_the_endpoint(&self) -> Option<u16> {
        let answer = self.result.as_ref().ok()?;
        answer.turned_away.is_none().then_some(answer.status)
    }

    /// The kind of trouble there was.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match &self.result {
            Ok(answer) => answer.turned_away.as_ref().map(|failure| failure.class),
            Err(failure) => Some(failure.class),
        }
    }
}

/// Our own machine's trouble in making an attempt: no descriptors, no local port, no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has it.
    Delivered,
    /// Again, at that UNIX millisecond.
    RetryAt(i64),
    /// The schedule is over.
    Failed,
}

impl Verdict {
    /// The same, and where it goes again, not before that UNIX millisecond.
    #[must_use]
    pub fn not_before(self, earliest_ms: Option<i64>) -> Self {
        match (self, earliest_ms) {
            (Self::RetryAt(at_ms), Some(earliest_ms)) => Self::RetryAt(at_ms.max(earliest_ms)),
            _ => self,
        }
    }
}

/// One attempt with its verdict, as the log keeps it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The delivery it was for, as it was before the attempt.
    pub due: Due,
    /// 1 for the first.
    pub number: u32,
    /// When it began, UNIX milliseconds.
    pub started_at_ms: i64,
    /// When it ended, UNIX milliseconds.
    pub finished_at_ms: i64,
    /// The URL it went to.
    pub url: Arc<Url>,
    /// The request's headers as sent, for the log.
    pub request_headers: SentHeaders,
    /// The trace that it told of, where it did. In a box: an attempt is moved often, and most have none.
    pub trace: Option<Box<Traceparent>>,
    /// What the endpoint did.
    pub exchange: Exchange,
    /// What follows.
    pub verdict: Verdict,
    /// Why it was no success, for people; `None` where it was one.
    pub error: Option<String>,
    /// The POST of several events that it was a part of.
    pub posted: Option<Arc<Posted>>,
    /// Until when the endpoint asked that the webhook is not tried, UNIX milliseconds.
    pub held_until_ms: Option<i64>,
}

impl Attempt {
    /// The word in the log: `delivered`, `retry`, `failed`.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self.verdict {
            Verdict::Delivered => "delivered",
            Verdict::RetryAt(_) => "retry",
            Verdict::Failed => "failed",
        }
    }

    /// The sends of the schedule that the delivery has had with it: a POST that was split was none.
    #[must_use]
    pub fn sends(&self) -> u32 {
        match &self.posted {
            Some(posted) if posted.fate == Fate::Split => self.due.attempts,
            _ => self.number,
        }
    }

    /// Whether it is counted for the POST that it was a part of: one of several is.
    #[must_use]
    pub fn stands_for_its_post(&self) -> bool {
        let posted = self.posted.as_ref();
        posted.is_none_or(|posted| posted.batch.members.first() == Some(&self.due.id))
    }

    /// The wire contract it was made with.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.due.dialect
    }
}
