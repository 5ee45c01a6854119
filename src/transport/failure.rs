//! What went wrong, in a class for machines and in words for people.
//!
//! Classes come from typed errors (`io::ErrorKind`, `rustls::Error`, those of `http1`), never from
//! a text. The one question with two sides is whether the trouble is the endpoint's or our own: what
//! our machine lacks (descriptors, ports, memory, threads) is a [`Fault`], all else a [`Failure`].
//! No header value, secret or URL is in the words.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::io::Errno;

use super::http1::{Error, Progress};
use super::tls::{self, Asked};
use crate::model::{Class, Failure, Fault, MinTls};

/// Why an attempt brought no answer.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// The endpoint's or the network's: it counts.
    Endpoint(Failure),
    /// Our own: it does not.
    Local(Fault),
}

impl AttemptError {
    pub(super) fn new(class: Class, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Endpoint(Failure { class, text })
    }
}

impl From<Fault> for AttemptError {
    fn from(fault: Fault) -> Self {
        Self::Local(fault)
    }
}

/// A time-out for people: `3 s`, `300 ms`.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millis() == 0 {
            write!(f, "{} s", self.0.as_secs())
        } else {
            write!(f, "{} ms", self.0.as_millis())
        }
    }
}

/// Whether an error says that our own machine ran out of something.
pub(super) fn is_ours(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL)
    )
}

/// Whether our machine can open no socket just now. `getaddrinfo` hides that behind answers that
/// look like the name server's.
pub(super) fn machine_is_out() -> Option<Fault> {
    let error = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err()?;
    is_ours(&error).then(|| Fault(format!("open a socket: {error}")))
}

/// Who is at the other end of a connection, for words.
pub(super) enum OtherEnd<'a> {
    /// Who was connected to.
    At(SocketAddr),
    /// Who is behind a proxy's tunnel: where that leads is known to the proxy alone.
    Behind { host: &'a str, proxy: &'a str },
}

impl fmt::Display for OtherEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(peer) => peer.fmt(f),
            Self::Behind { host, proxy } => write!(f, "{host} through the proxy {proxy}"),
        }
    }
}

/// Why connecting failed.
pub(super) fn connecting(to: SocketAddr, error: &io::Error) -> AttemptError {
    let fault = || AttemptError::Local(Fault(format!("connect to {to}: {error}")));
    // A machine without an address of that family says EADDRNOTAVAIL too, and there it is no
    // passing shortage. Connecting a UDP socket sends nothing and tells the two apart.
    if Errno::from_io_error(error) == Some(Errno::ADDRNOTAVAIL) {
        return if has_source_for(to) {
            fault()
        } else {
            AttemptError::new(Class::Unreachable, format!("no route to {to}: {error}"))
        };
    }
    if is_ours(error) {
        return fault();
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            AttemptError::new(Class::Refused, format!("connection refused by {to}"))
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            AttemptError::new(Class::Reset, format!("connection reset by {to}"))
        }
        io::ErrorKind::TimedOut => AttemptError::new(
            Class::ConnectTimeout,
            format!("no connection to {to}: {error}"),
        ),
        _ => {
            let hint = needs_an_interface(to);
            let text = format!("no route to {to}: {error}{hint}");
            AttemptError::new(Class::Unreachable, text)
        }
    }
}

/// What the kernel leaves unsaid where it refuses a link-local address.
fn needs_an_interface(to: SocketAddr) -> &'static str {
    match to {
        SocketAddr::V6(to) if to.ip().is_unicast_link_local() && to.scope_id() == 0 => {
            "; a link-local address needs its interface, as in http://[fe80::1%25eth0]/"
        }
        _ => "",
    }
}

fn has_source_for(to: SocketAddr) -> bool {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(any).is_ok_and(|socket| socket.connect(to).is_ok())
}

/// Why the TLS handshake failed; `asked`: for a certificate of ours, before that. `oldest`: what is spoken.
pub(super) fn shaking_hands(
    host: &str,
    to: &OtherEnd<'_>,
    asked: Asked,
    oldest: MinTls,
    error: &io::Error,
) -> AttemptError {
    if let Some(error) = find::<rustls::Error>(error) {
        let mut failure = tls::failure(host, asked, error);
        if oldest > MinTls::default() && tls::is_about_the_version(error) {
            failure
                .text
                .push_str(", and min_tls allows none before 1.3");
        }
        return AttemptError::Endpoint(failure);
    }
    if is_ours(error) {
        return AttemptError::Local(Fault(format!("TLS with {to}: {error}")));
    }
    let (class, text) = match error.kind() {
        io::ErrorKind::ConnectionReset => (
            Class::Reset,
            format!("connection reset by {to} in the TLS handshake"),
        ),
        _ => (
            Class::Tls,
            format!("{to} closed the connection in the TLS handshake"),
        ),
    };
    match tls::by_closing(host, asked, &text) {
        Some(refused) => AttemptError::Endpoint(refused),
        None => AttemptError::new(class, text),
    }
}

/// Why there was no answer on an open connection. `limit` is the time that it had; `asked`: for a certificate of ours,
/// and has said nothing since.
pub(super) fn answering(
    host: &str,
    peer: &OtherEnd<'_>,
    progress: &Progress,
    limit: Duration,
    asked: Asked,
    error: Error,
) -> AttemptError {
    let protocol = |text: String| AttemptError::new(Class::Protocol, text);
    match error {
        Error::Fault(fault) => fault.into(),
        Error::Late => silent(limit, progress),
        Error::Io(error) => match find::<rustls::Error>(&error) {
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure))
                if asked == Asked::Not =>
            {
                AttemptError::Endpoint(tls::afterwards(host))
            }
            Some(error) => AttemptError::Endpoint(tls::failure(host, asked, error)),
            None => refused(host, asked, progress, broken(peer, progress, &error)),
        },
        Error::Closed | Error::Stale => refused(host, asked, progress, closed(peer, progress)),
        Error::TooLarge => protocol(TOO_LARGE.to_owned()),
        Error::Excess => protocol(EXCESS.to_owned()),
        Error::NotHttp(why) => protocol(no_http(progress, why)),
    }
}

/// A connection that ended without a word is a refusal where a certificate of ours had been asked for.
fn refused(host: &str, asked: Asked, progress: &Progress, ended: AttemptError) -> AttemptError {
    match &ended {
        AttemptError::Endpoint(Failure {
            class: Class::Closed | Class::Reset,
            text,
        }) if progress.heard == 0 => {
            tls::by_closing(host, asked, text).map_or(ended, AttemptError::Endpoint)
        }
        _ => ended,
    }
}

const TOO_LARGE: &str = "the head of the answer is larger than 64 KiB";
const EXCESS: &str = "more than 512 KiB came for one answer, and no end of its head";

fn no_http(progress: &Progress, why: &str) -> String {
    match progress.beginning_of_another_protocol() {
        // An echo: its words would be the URL's and the headers'.
        Some(first) if first.starts_with(b"POST ") => {
            "the answer is not HTTP: it is the request itself".to_owned()
        }
        Some(first) => {
            let first = first.escape_ascii();
            format!("the answer is not HTTP: it begins with \"{first}\"")
        }
        None => format!("the answer is not HTTP: {why}"),
    }
}

fn broken(peer: &OtherEnd<'_>, progress: &Progress, error: &io::Error) -> AttemptError {
    if is_ours(error) {
        return AttemptError::Local(Fault(format!("talk to {peer}: {error}")));
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => reset(peer, progress),
        io::ErrorKind::TimedOut => AttemptError::new(
            Class::ResponseTimeout,
            format!("no sign of life from {peer}: {error}"),
        ),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            AttemptError::new(Class::Unreachable, format!("no route to {peer}: {error}"))
        }
        _ => closed(peer, progress),
    }
}

fn reset(peer: &OtherEnd<'_>, progress: &Progress) -> AttemptError {
    let text = format!("connection reset by {peer}{}", circumstance(progress));
    AttemptError::new(Class::Reset, text)
}

fn closed(peer: &OtherEnd<'_>, progress: &Progress) -> AttemptError {
    if progress.reset {
        return reset(peer, progress);
    }
    let when = if progress.heard == 0 {
        "without an answer"
    } else {
        "before its answer was whole"
    };
    AttemptError::new(
        Class::Closed,
        format!(
            "{peer} closed the connection {when}{}",
            circumstance(progress)
        ),
    )
}

/// No head of an answer in time.
fn silent(limit: Duration, progress: &Progress) -> AttemptError {
    let part = if progress.heard > 0 {
        " but interim or unfinished ones"
    } else {
        ""
    };
    let mut text = format!("no answer{part} within {}", Span(limit));
    if !progress.kept {
        text.push_str(" of connecting");
    }
    text.push_str(remainder(progress));
    AttemptError::new(Class::ResponseTimeout, text)
}

/// What a person should know of a connection that ended early. A server that closes its idle ones
/// sooner than it says does this; `keep_alive = false` helps.
fn circumstance(progress: &Progress) -> &'static str {
    if progress.kept && progress.heard == 0 {
        "; it was kept from an earlier request"
    } else {
        remainder(progress)
    }
}

fn remainder(progress: &Progress) -> &'static str {
    if progress.is_whole() {
        ""
    } else {
        "; the request was not taken whole"
    }
}

/// The first error of that type in a chain, the inside of an `io::Error` included.
fn find<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // `source` of an `io::Error` is the source of what is inside, so the inside is asked for.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}
