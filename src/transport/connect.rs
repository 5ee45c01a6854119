//! A new connection: name, TCP, a proxy's tunnel, TLS, each timed, all within one limit.
//!
//! Several addresses are tried as RFC 8305 has it: the next one at once where one fails, or beside it
//! where it takes longer than [`HEAD_START`]; the first that connects wins, the others are dropped. A
//! link-local address with its interface is looked up like a name, for interfaces come and go.
//! Which phase ran out of time is said in the failure's words.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::failure::{AttemptError, OtherEnd, Span, connecting, shaking_hands};
use super::proxy::Via;
use super::resolve::Resolver;
use super::timeout::ReusableTimeout;
use super::tls::{Asked, Handshake, watching};
use super::wire::Wire;
use crate::model::clock::micros;
use crate::model::{AddressRule, Class, Clock, Phases};

/// How long an address is tried before the next is tried beside it (RFC 8305, 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// Where to connect to, and how.
pub(super) struct Target {
    /// The endpoint's host, for words.
    pub(super) name: Box<str>,
    /// The host that is connected to, the endpoint's or the proxy's, as it is looked up: with its interface where it
    /// has one.
    pub(super) host: Box<str>,
    /// The host, where it is an address itself.
    pub(super) literal: Option<SocketAddr>,
    pub(super) port: u16,
    /// Which of its addresses may be connected to; `None`: any.
    pub(super) addresses: Option<Arc<AddressRule>>,
    pub(super) handshake: Option<Handshake>,
    /// Through a proxy, or directly.
    pub(super) via: Option<Via>,
}

impl Target {
    /// Who is at the other end of a connection to that peer, for words.
    pub(super) fn other_end(&self, peer: SocketAddr) -> OtherEnd<'_> {
        match &self.via {
            Some(via) if via.is_tunnel() => OtherEnd::Behind {
                host: &self.name,
                proxy: via.place(),
            },
            _ => OtherEnd::At(peer),
        }
    }
}

/// What is known of an attempt so far; it is kept where the attempt fails, too.
#[derive(Default)]
pub(super) struct AttemptTrace {
    pub(super) phases: Phases,
    pub(super) peer: Option<SocketAddr>,
    /// Whether the peer was one of several addresses of its name, and is connected.
    pub(super) chosen: bool,
    /// Whether the server asked for a certificate of ours, in this attempt's own handshake.
    pub(super) asked: Asked,
    /// What a person should know beside the result.
    pub(super) note: Option<Box<str>>,
}

impl AttemptTrace {
    /// Adds to the note.
    pub(super) fn add_note(&mut self, more: &str) {
        let note = match self.note.take() {
            Some(note) => format!("{note}; {more}"),
            None => more.to_owned(),
        };
        self.note = Some(note.into());
    }
}

/// The means to connect.
pub(super) struct Connector<'a> {
    pub(super) clock: &'a Clock,
    pub(super) resolver: &'a Resolver,
    pub(super) limit: Duration,
}

impl Connector<'_> {
    /// Connects, within the limit from `start` on.
    pub(super) async fn connect(
        &self,
        target: &Target,
        start: Instant,
        trace: &mut AttemptTrace,
        timeout: &mut ReusableTimeout,
    ) -> Result<(Wire, SocketAddr), AttemptError> {
        let until = start + self.limit;
        let opened = self.open(target, until, trace, timeout).await;
        let (stream, peer) = match &target.via {
            Some(via) => {
                let mut opened = opened.map_err(|error| via.on_the_way(error))?;
                if via.is_tunnel() {
                    self.tunnel(via, &mut opened.0, until, trace, timeout)
                        .await?;
                }
                opened
            }
            None => opened?,
        };
        let Some(Handshake {
            config,
            name,
            min_tls,
            ..
        }) = &target.handshake
        else {
            return Ok((Wire::Plain(stream), peer));
        };
        let host = &target.name;
        let until = match target.via {
            // A proxy agrees before it has met the endpoint: what comes then is the endpoint's own time.
            Some(_) => self.clock.instant() + self.limit,
            None => until,
        };
        let begun = self.clock.instant();
        let connector = TlsConnector::from(config.clone());
        let shaking = pin!(connector.connect(name.clone(), stream));
        let result = timeout
            .limit(until, pin!(watching(&mut trace.asked, shaking)))
            .await;
        trace.phases.tls_us = Some(self.since(begun));
        let stream = result
            .ok_or_else(|| match &target.via {
                Some(_) => self.late(format!("no TLS handshake with {host} through its proxy")),
                None => self.late(format!("no TLS handshake with {host} at {peer}")),
            })?
            .map_err(|error| {
                let end = target.other_end(peer);
                shaking_hands(host, &end, trace.asked, *min_tls, &error)
            })?;
        Ok((Wire::Tls(Box::new(stream)), peer))
    }

    /// Looks up and connects.
    async fn open(
        &self,
        target: &Target,
        until: Instant,
        trace: &mut AttemptTrace,
        timeout: &mut ReusableTimeout,
    ) -> Result<(TcpStream, SocketAddr), AttemptError> {
        let host = &target.host;
        let one;
        let found;
        let addresses: &[SocketAddr] = if let Some(literal) = target.literal {
            one = [literal];
            &one
        } else {
            let begun = self.clock.instant();
            let result = timeout
                .limit(until, pin!(self.resolver.resolve(host)))
                .await;
            trace.phases.name_us = Some(self.since(begun));
            let late = || self.late(format!("the name \"{host}\" did not resolve"));
            found = result.ok_or_else(late)??;
            &found
        };
        let opened = self.tcp(target, addresses, until, trace, timeout).await?;
        trace.chosen = addresses.len() > 1;
        Ok(opened)
    }

    /// Has the proxy open the tunnel, which is a phase of its own, within the limit of connecting.
    async fn tunnel(
        &self,
        via: &Via,
        stream: &mut TcpStream,
        until: Instant,
        trace: &mut AttemptTrace,
        timeout: &mut ReusableTimeout,
    ) -> Result<(), AttemptError> {
        let begun = self.clock.instant();
        let result = timeout.limit(until, pin!(via.open(stream))).await;
        trace.phases.proxy_us = Some(self.since(begun));
        result.ok_or_else(|| via.on_the_way(self.late("no answer to CONNECT".to_owned())))?
    }

    /// The same for an address, without TLS. It needs far less room, and so no box.
    pub(super) async fn connect_plain(
        &self,
        target: &Target,
        address: SocketAddr,
        start: Instant,
        trace: &mut AttemptTrace,
        timeout: &mut ReusableTimeout,
    ) -> Result<(Wire, SocketAddr), AttemptError> {
        let until = start + self.limit;
        let addresses = [address];
        let tcp = self.tcp(target, &addresses, until, trace, timeout).await;
        let tcp = tcp.map_err(|error| match &target.via {
            Some(via) => via.on_the_way(error),
            None => error,
        });
        tcp.map(|(stream, peer)| (Wire::Plain(stream), peer))
    }

    async fn tcp(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        until: Instant,
        trace: &mut AttemptTrace,
        timeout: &mut ReusableTimeout,
    ) -> Result<(TcpStream, SocketAddr), AttemptError> {
        let permitted;
        let addresses = match &target.addresses {
            None => addresses,
            Some(rule) => {
                permitted = permitted_by(rule, &target.host, addresses)?;
                &*permitted
            }
        };
        let begun = self.clock.instant();
        let result = timeout
            .limit(until, pin!(open(addresses, target.port, trace)))
            .await;
        trace.phases.connect_us = Some(self.since(begun));
        let (stream, peer) = result.ok_or_else(|| match trace.peer {
            Some(peer) => self.late(format!("no connection to {peer}")),
            None => self.late(format!("no connection to {}", target.host)),
        })??;
        // A request is one write: waiting for more to send would only delay it.
        stream
            .set_nodelay(true)
            .map_err(|error| connecting(peer, &error))?;
        Ok((stream, peer))
    }

    fn late(&self, phase: String) -> AttemptError {
        let text = format!("{phase} within {}", Span(self.limit));
        AttemptError::new(Class::ConnectTimeout, text)
    }

    fn since(&self, begun: Instant) -> i64 {
        micros(self.clock.instant() - begun)
    }
}

/// Those addresses of a host that may be connected to, at least one. What is judged here is what is connected to.
fn permitted_by(
    rule: &AddressRule,
    host: &str,
    addresses: &[SocketAddr],
) -> Result<Vec<SocketAddr>, AttemptError> {
    let is_permitted = |address: &&SocketAddr| rule.judge(address.ip()).is_ok();
    let permitted: Vec<_> = addresses.iter().filter(is_permitted).copied().collect();
    let forbidden = addresses
        .first()
        .map(|first| (first, rule.judge(first.ip())));
    let (true, Some((first, Err(why)))) = (permitted.is_empty(), forbidden) else {
        return Ok(permitted);
    };
    let text = match addresses.len() {
        1 => format!("{} is {why} of [delivery]", first.ip()),
        count => format!(
            "none of the {count} addresses of {host} may be connected to: {} is {why} of [delivery]",
            first.ip()
        ),
    };
    Err(AttemptError::new(Class::Address, text))
}

type Opening<'a> = Pin<Box<dyn Future<Output = (SocketAddr, io::Result<TcpStream>)> + Send + 'a>>;

/// Connects to the first address that lets us. `trace.peer` is the one tried last.
async fn open(
    addresses: &[SocketAddr],
    port: u16,
    trace: &mut AttemptTrace,
) -> Result<(TcpStream, SocketAddr), AttemptError> {
    if let [only] = addresses {
        let peer = at(*only, port);
        trace.peer = Some(peer);
        return match reach(peer).await {
            Ok(stream) => Ok((stream, peer)),
            Err(error) => Err(connecting(peer, &error)),
        };
    }
    let mut left = addresses.iter();
    let mut running: Vec<Opening<'_>> = Vec::new();
    let mut failed = None;
    loop {
        if let Some(next) = left.next() {
            let peer = at(*next, port);
            trace.peer = Some(peer);
            running.push(Box::pin(async move { (peer, reach(peer).await) }));
        }
        let finished = if left.len() == 0 {
            Some(first_of(&mut running).await)
        } else {
            tokio::time::timeout(HEAD_START, first_of(&mut running))
                .await
                .ok()
        };
        match finished {
            // The head start is over: the next one beside it.
            None => {}
            Some(Some((peer, Ok(stream)))) => {
                trace.peer = Some(peer);
                return Ok((stream, peer));
            }
            Some(Some((peer, Err(error)))) => {
                // What an endpoint did says more than what we lack (a family without a route).
                let trouble = connecting(peer, &error);
                if !matches!(failed, Some(AttemptError::Endpoint(_))) {
                    failed = Some(trouble);
                }
                if running.is_empty() && left.len() == 0 {
                    break;
                }
            }
            Some(None) => break,
        }
    }
    Err(failed.unwrap_or_else(|| AttemptError::new(Class::Name, "the name has no address")))
}

/// The address with that port; its interface stays.
fn at(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Connects to one address. A peer on this machine has taken the connection when the kernel's call
/// returns: that is asked of the kernel at once, for the runtime hears of it a round later.
async fn reach(peer: SocketAddr) -> io::Result<TcpStream> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &peer) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from_std(socket.into())?;
    if stream.peer_addr().is_err() {
        stream.writable().await?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
    Ok(stream)
}

/// The first of these to end, taken out; `None` where there is none.
async fn first_of<'a>(
    running: &mut Vec<Opening<'a>>,
) -> Option<(SocketAddr, io::Result<TcpStream>)> {
    poll_fn(|cx| {
        for index in 0..running.len() {
            if let Poll::Ready(result) = running[index].as_mut().poll(cx) {
                drop(running.swap_remove(index));
                return Poll::Ready(Some(result));
            }
        }
        if running.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two addresses of one machine: where one refuses, the other is taken.
    #[tokio::test]
    async fn the_next_address_is_tried_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = ["127.0.0.2:0", "127.0.0.1:0"].map(|text| text.parse().unwrap());
        let mut fastest = Duration::MAX;
        // A busy machine may take long now and then; who waits for the head start always does.
        for _ in 0..20 {
            let mut trace = AttemptTrace::default();
            let begun = Instant::now();
            let (_stream, peer) = open(&addresses, port, &mut trace).await.unwrap();
            fastest = fastest.min(begun.elapsed());
            assert_eq!(peer, listener.local_addr().unwrap());
            assert_eq!(trace.peer, Some(peer));
            drop(listener.accept().await.unwrap());
        }
        assert!(fastest < HEAD_START, "{fastest:?}");
    }

    #[tokio::test]
    #[expect(clippy::print_stderr, reason = "what is left out is said")]
    async fn both_families_are_reached() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = match tokio::net::TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(error) => {
                    eprintln!("skipped, for a container may be without it: {address}: {error}");
                    continue;
                }
            };
            let peer = listener.local_addr().unwrap();
            let stream = reach(peer).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer);
            let (_accepted, from) = listener.accept().await.unwrap();
            assert_eq!(stream.local_addr().unwrap(), from);
        }
    }

    #[test]
    fn a_port_leaves_the_interface() {
        let address = "[fe80::1%3]:0".parse().unwrap();
        assert_eq!(at(address, 9), "[fe80::1%3]:9".parse().unwrap());
    }

    #[tokio::test]
    async fn where_all_refuse_the_first_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.9:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = ["127.0.0.2:0", "127.0.0.3:0"].map(|text| text.parse().unwrap());
        let result = open(&addresses, port, &mut AttemptTrace::default()).await;
        let Err(AttemptError::Endpoint(failure)) = result else {
            panic!("it connected");
        };
        assert_eq!(failure.class, Class::Refused);
        assert_eq!(
            failure.text,
            format!("connection refused by 127.0.0.2:{port}")
        );
    }
}
