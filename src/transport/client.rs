//! The real transport: an attempt from its first wait to its last, one limit after another.
//!
//! connect → exchange, and then the connection is kept for the next request or left to the peer to
//! close. A request is sent again only where a kept connection turned out dead before a byte of an
//! answer came, once, and over a new one: servers close connections that are idle, and a request may
//! cross that close. That is one attempt, not two, and says so. The answer's body can't change the
//! outcome: it is read after the head has decided.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connect::{AttemptTrace, Connector, Target};
use super::decode::decode;
use super::error::Error;
use super::failure::{AttemptError, answering};
use super::http1::{self, Ask, Connection, Exchanged, Parting};
use super::pool::{Kept, Pool};
use super::proxy::{Via, start_line};
use super::resolve::{Current, Resolver};
use super::send::Transport;
use super::timeout::ReusableTimeout;
use super::tls::{self, Asked, Tls};
use crate::dialect::{self, Timeouts};
use crate::model::clock::micros;
use crate::model::{Answer, Class, Clock, Dialect, Exchange, Failure, Fault, Request, Webhook};

/// Connections that wait for their peer to close them, in all; more are closed at once. At 200 ms
/// each that is five thousand new connections a second.
const LINGERING: usize = 1024;

/// Sends over TCP and TLS.
pub struct Client {
    clock: Clock,
    timeouts: Box<dyn Fn(Dialect) -> Timeouts + Send + Sync>,
    resolver: Resolver,
    tls: Tls,
    lingering: Arc<Semaphore>,
}

/// One webhook's endpoint. Dropping it closes its idle connections.
pub struct Endpoint {
    clock: Clock,
    resolver: Resolver,
    target: Target,
    timeouts: Timeouts,
    start_line: Box<[u8]>,
    /// `None`: each request has its own connection.
    pool: Option<Pool>,
}

impl Client {
    /// A client with the dialects' time-outs and the system's resolver.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::with_timeouts(clock, dialect::timeouts)
    }

    /// A client with other time-outs.
    #[must_use]
    pub fn with_timeouts(
        clock: Clock,
        timeouts: impl Fn(Dialect) -> Timeouts + Send + Sync + 'static,
    ) -> Self {
        Self {
            resolver: Resolver::system(clock.clone()),
            clock,
            timeouts: Box::new(timeouts),
            tls: Tls::default(),
            lingering: Arc::new(Semaphore::new(LINGERING)),
        }
    }

    #[cfg(test)]
    pub(super) fn with_resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// UNIX milliseconds now, by its clock.
    #[must_use]
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Has the certificates that the system trusts read again for the endpoints made from now on.
    pub fn read_trust_again(&self) {
        self.tls.read_again();
    }

    /// Prepares a webhook's endpoint: nothing is resolved or connected, but certificates are read.
    ///
    /// # Errors
    /// [`Error`] where TLS can't be set up for it.
    pub fn endpoint(&self, webhook: &Webhook) -> Result<Endpoint, Error> {
        let url = &webhook.url;
        let handshake = if url.is_tls() {
            Some(self.tls.handshake(webhook)?)
        } else {
            None
        };
        let proxy = webhook.proxy.as_deref();
        // Who is connected to.
        let first = proxy.map_or(url, |proxy| &proxy.url);
        let literal = first.host().parse::<IpAddr>().ok();
        let target = Target {
            name: url.host().into(),
            host: match first.zone() {
                Some(zone) => format!("{}%{zone}", first.host()).into(),
                None => first.host().into(),
            },
            literal: literal
                .filter(|_| first.zone().is_none())
                .map(|address| SocketAddr::new(address, first.port())),
            port: first.port(),
            addresses: webhook.addresses.clone(),
            handshake,
            via: proxy.map(|proxy| Via::new(proxy, url)),
        };
        Ok(Endpoint {
            clock: self.clock.clone(),
            resolver: self.resolver.clone(),
            target,
            timeouts: (self.timeouts)(webhook.dialect),
            start_line: start_line(url, proxy),
            pool: webhook.keep_alive.then(|| Pool::new(webhook.max_in_flight)),
        })
    }

    async fn attempt(
        &self,
        to: &Endpoint,
        request: &Request,
        mut start: Instant,
        trace: &mut AttemptTrace,
    ) -> Result<Answer, AttemptError> {
        if let Some(pool) = &to.pool {
            to.look_at_names(pool, start);
            if let Some(Kept { connection, idle }) = pool.take(start).await {
                trace.peer = Some(connection.peer());
                // To take a connection out of the pool takes no time that is worth another look at
                // the clock.
                let answer = self.converse(to, connection, start, request, trace);
                let Dead { failure, sent } = match answer.await {
                    Ok(answer) => return Ok(answer),
                    Err(Unanswered::Error(error)) => return Err(error),
                    Err(Unanswered::Dead(dead)) => dead,
                };
                start = self.clock.instant();
                pool.closed_after(idle, start);
                *trace = AttemptTrace::default();
                if sent {
                    let note = format!("sent again over a new connection: {}", failure.text);
                    trace.note = Some(note.into());
                }
            }
        }
        let result = self.attempt_anew(to, request, start, trace).await;
        if trace.chosen
            && let Some(peer) = trace.peer
            && !matches!(result, Err(AttemptError::Local(_)))
        {
            self.resolver.note(&to.target.host, peer, result.is_ok());
        }
        result
    }

    /// Makes the attempt over a new connection.
    async fn attempt_anew(
        &self,
        to: &Endpoint,
        request: &Request,
        start: Instant,
        trace: &mut AttemptTrace,
    ) -> Result<Answer, AttemptError> {
        let connector = Connector {
            clock: &self.clock,
            resolver: &self.resolver,
            limit: to.timeouts.connect,
        };
        let mut timeout = ReusableTimeout::default();
        let (wire, peer) = match (to.target.literal, &to.target.handshake) {
            (Some(address), None) => {
                let connecting =
                    connector.connect_plain(&to.target, address, start, trace, &mut timeout);
                connecting.await?
            }
            // Boxed: it is large and soon over, and a request that hangs would hold its room all the time.
            _ => Box::pin(connector.connect(&to.target, start, trace, &mut timeout)).await?,
        };
        let fresh = Connection::new(wire, peer, start, timeout);
        let asked = self.clock.instant();
        let answer = self.converse(to, fresh, asked, request, trace).await;
        answer.map_err(|unanswered| match unanswered {
            Unanswered::Error(error) => error,
            Unanswered::Dead(Dead { failure, .. }) => AttemptError::Endpoint(failure),
        })
    }

    /// One request and its answer on an open connection, and what becomes of that.
    async fn converse(
        &self,
        to: &Endpoint,
        mut connection: Box<Connection>,
        asked: Instant,
        request: &Request,
        trace: &mut AttemptTrace,
    ) -> Result<Answer, Unanswered> {
        let ask = Ask {
            start_line: &to.start_line,
            request,
            timeouts: to.timeouts,
            clock: &self.clock,
        };
        let exchange = connection.exchange(&ask, asked, &mut trace.phases);
        let answer = match exchange.await {
            Ok(answer) => answer,
            Err(error) => return Err(to.unanswered(&connection, asked, trace.asked, error)),
        };
        if let Some(dead) = idle_too_long(&connection, &answer) {
            return Err(Unanswered::Dead(dead));
        }
        if let Some(flaw) = &answer.flaw {
            trace.add_note(flaw);
        }
        if answer.is_whole {
            self.put_away(to, connection, &answer).await;
        }
        if let Some(via) = &to.target.via {
            if let Some(error) = via.own_answer(&answer) {
                return Err(Unanswered::Error(error));
            }
            if let Some(doubt) = via.doubt(answer.status) {
                trace.add_note(&doubt);
            }
        }
        let (body, truncated) = decode(&answer.headers, answer.body, !answer.is_whole);
        let turned_away = to.turned_away(answer.status, &body, trace.asked);
        Ok(Answer {
            turned_away: turned_away.map(Box::new),
            status: answer.status,
            headers: answer.headers,
            body,
            truncated,
        })
    }

    /// Keeps a connection whose answer was read whole, for as long as its peer lets us, or parts
    /// with it.
    async fn put_away(&self, to: &Endpoint, mut connection: Box<Connection>, after: &Exchanged) {
        if let (Some(pool), Some(keep)) = (&to.pool, after.keep)
            && connection.is_idle().await
        {
            let left = connection.requests - 1;
            connection.requests = left.min(keep.requests);
            if connection.requests > 0 {
                return pool.put(connection, keep, after.at);
            }
        }
        self.linger(connection.part());
    }

    /// Leaves it to the peer to close the connection, where it soon does.
    fn linger(&self, parting: Option<Parting>) {
        if let Some(parting) = parting
            && let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned()
        {
            tokio::spawn(async move {
                parting.wait().await;
                drop(permit);
            });
        }
    }
}

/// Why a connection brought no answer.
enum Unanswered {
    Error(AttemptError),
    /// It was a kept one, and died before a byte of an answer came.
    Dead(Dead),
}

struct Dead {
    failure: Failure,
    /// Whether something of the request was written.
    sent: bool,
}

/// A kept connection that ends with 408: the answer to the silence before the request, which has met
/// it on the way. RFC 9110, 15.5.9: such a request may be repeated over a new connection.
fn idle_too_long(connection: &Connection, answer: &Exchanged) -> Option<Dead> {
    let is_that = connection.progress().kept && answer.status == 408 && answer.keep.is_none();
    is_that.then(|| Dead {
        failure: Failure {
            class: Class::Closed,
            text: format!(
                "{} had ended the idle connection with HTTP 408",
                connection.peer()
            ),
        },
        sent: true,
    })
}

impl Transport for Client {
    type Endpoint = Endpoint;

    async fn send(&self, to: &Endpoint, request: &Request) -> Result<Exchange, Fault> {
        let start = self.clock.instant();
        let mut trace = AttemptTrace::default();
        let result = match self.attempt(to, request, start, &mut trace).await {
            Ok(answer) => Ok(answer),
            Err(AttemptError::Endpoint(failure)) => Err(to.dated(failure, self.clock.now_ms())),
            Err(AttemptError::Local(fault)) => return Err(fault),
        };
        Ok(Exchange {
            result,
            phases: trace.phases,
            peer: trace.peer,
            duration_us: micros(self.clock.instant() - start),
            note: trace.note,
        })
    }
}

impl Endpoint {
    /// Closes the idle connections that are too old, that their peer has closed or that lead where the
    /// name does no more, and returns how many are left. Call it every few seconds where an endpoint may fall silent.
    pub fn sweep_idle(&self) -> usize {
        let Some(pool) = &self.pool else {
            return 0;
        };
        let now = self.clock.instant();
        self.look_at_names(pool, now);
        pool.sweep(now)
    }

    /// What there is to know of the webhook's own certificate at that UNIX millisecond, and what to do.
    pub fn warnings(&self, now_ms: i64) -> Vec<(String, &'static str)> {
        let handshake = self.target.handshake.as_ref();
        let lifetime = handshake.and_then(|handshake| handshake.lifetime);
        lifetime.map_or(Vec::new(), |lifetime| lifetime.warnings(now_ms))
    }

    /// The failure, and that our own certificate's time is over where that is what it may be about.
    fn dated(&self, mut failure: Failure, now_ms: i64) -> Failure {
        if failure.class == Class::ClientCertificate
            && let Some(handshake) = &self.target.handshake
            && let Some(over) = handshake.lifetime.and_then(|l| l.is_over(now_ms))
        {
            failure.text = format!("{}; {over}", failure.text);
        }
        failure
    }

    /// Why an answer is none of the endpoint's, where it says so.
    fn turned_away(&self, status: u16, body: &[u8], asked: Asked) -> Option<Failure> {
        self.target.handshake.as_ref()?;
        let failure = tls::by_page(&self.target.name, status, body, asked)?;
        Some(self.dated(failure, self.clock.now_ms()))
    }

    /// What comes of a request without an answer, and of the connections that were idle meanwhile.
    fn unanswered(
        &self,
        connection: &Connection,
        asked: Instant,
        for_ours: Asked,
        error: http1::Error,
    ) -> Unanswered {
        let (peer, progress) = (connection.peer(), connection.progress());
        let is_late = matches!(error, http1::Error::Late);
        let limit = self.timeouts.response;
        // Who has sent a session's ticket has taken the certificate, or does without.
        let for_ours = Some(for_ours).filter(|_| !connection.is_let_in());
        let for_ours = for_ours.unwrap_or_default();
        let (host, end) = (&self.target.name, self.target.other_end(peer));
        let error = answering(host, &end, progress, limit, for_ours, error);
        let error = match &self.target.via {
            Some(via) => via.afterwards(error),
            None => error,
        };
        let failure = match error {
            AttemptError::Endpoint(failure) if progress.kept && progress.heard == 0 => failure,
            error => return Unanswered::Error(error),
        };
        if let (Some(pool), Class::ResponseTimeout) = (&self.pool, failure.class) {
            pool.doubt(peer, asked);
        }
        if is_late {
            return Unanswered::Error(AttemptError::Endpoint(failure));
        }
        let sent = progress.sent > 0;
        Unanswered::Dead(Dead { failure, sent })
    }

    /// Closes the idle connections to what is no address of the host any more, and has the name looked
    /// up again in time. Nothing is waited for.
    fn look_at_names(&self, pool: &Pool, now: Instant) {
        if self.target.literal.is_none() && pool.looks(now) {
            match self.resolver.current(&self.target.host) {
                Current::Addresses(addresses) => pool.keep_to(&addresses),
                Current::NoSuchName => pool.keep_to(&[]),
                Current::Unknown => {}
            }
        }
    }
}

#[cfg(test)]
impl Endpoint {
    pub(super) fn shares_tls_with(&self, other: &Self) -> bool {
        match (&self.target.handshake, &other.target.handshake) {
            (Some(one), Some(two)) => Arc::ptr_eq(&one.config, &two.config),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_dialects_say_how_long_an_attempt_may_take() {
        let scripted = |dialect| {
            let index = Dialect::ALL.iter().position(|one| *one == dialect);
            let each = Duration::from_millis(u64::try_from(index.unwrap()).unwrap());
            Timeouts {
                connect: each,
                response: each * 2,
                body: each * 3,
            }
        };
        let scripting = Client::with_timeouts(Clock::system(), scripted);
        let real = Client::new(Clock::system());
        for dialect in Dialect::ALL {
            let mut webhook = Webhook::sample("w", "http://h.example/");
            webhook.dialect = dialect;
            let timeouts = |client: &Client| client.endpoint(&webhook).unwrap().timeouts;
            assert_eq!(timeouts(&scripting), scripted(dialect));
            assert_eq!(timeouts(&real), dialect::timeouts(dialect));
        }
    }
}
