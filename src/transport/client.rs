//! The real transport: an attempt from its first wait to its last, one limit after another.
//!
//! connect → ask → read, and then the connection is kept for the next request or left to the peer to
//! close. A request is sent again only where a kept connection turned out dead before a byte of an
//! answer came, once, and over a new one: servers close connections that are idle, and a request may
//! cross that close. That is one attempt, not two, and says so. The answer's body can't change the
//! outcome: it is read after the head has decided.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::answer::{self, BODY_BYTES};
use super::connect::{Connector, Course, Target};
use super::connection::{self, Connection, Head, Parting};
use super::failure::{Trouble, answering, silent};
use super::keep::Keep;
use super::plain::Plain;
use super::pool::{Kept, Pool};
use super::resolve::{Current, Resolver};
use super::sloppy::Sloppy;
use super::tls::Tls;
use super::{Error, Timeouts, Transport};
use crate::model::clock::micros;
use crate::model::{Answer, Clock, Exchange, Fault, Request, Webhook};

/// Connections that wait for their peer to close them, in all; more are closed at once. At 200 ms
/// each that is five thousand new connections a second.
const LINGERING: usize = 1024;

/// Sends over TCP and TLS.
pub struct Client {
    clock: Clock,
    timeouts: Timeouts,
    resolver: Resolver,
    tls: Tls,
    lingering: Arc<Semaphore>,
}

/// One webhook's endpoint. Dropping it closes its idle connections.
pub struct Endpoint {
    clock: Clock,
    resolver: Resolver,
    target: Target,
    start_line: Box<[u8]>,
    /// `None`: each request has its own connection.
    pool: Option<Pool>,
}

impl Client {
    /// A client with the documented time-outs and the system's resolver.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::with_timeouts(clock, Timeouts::default())
    }

    /// A client with other time-outs.
    #[must_use]
    pub fn with_timeouts(clock: Clock, timeouts: Timeouts) -> Self {
        Self {
            resolver: Resolver::system(clock.clone()),
            clock,
            timeouts,
            tls: Tls::default(),
            lingering: Arc::new(Semaphore::new(LINGERING)),
        }
    }

    #[cfg(test)]
    pub(super) fn with_resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
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
        let literal = url.host().parse::<IpAddr>().ok();
        let target = Target {
            host: match url.zone() {
                Some(zone) => format!("{}%{zone}", url.host()).into(),
                None => url.host().into(),
            },
            literal: literal
                .filter(|_| url.zone().is_none())
                .map(|address| SocketAddr::new(address, url.port())),
            port: url.port(),
            handshake,
        };
        let start_line = format!("POST {} HTTP/1.1\r\n", url.target());
        Ok(Endpoint {
            clock: self.clock.clone(),
            resolver: self.resolver.clone(),
            target,
            start_line: start_line.into_bytes().into(),
            pool: webhook.keep_alive.then(|| Pool::new(webhook.max_in_flight)),
        })
    }

    async fn attempt(
        &self,
        to: &Endpoint,
        request: &Request,
        mut start: Instant,
        course: &mut Course,
    ) -> Result<Answer, Trouble> {
        if let Some(pool) = &to.pool {
            to.look_at_names(pool, start);
            if let Some(Kept { connection, idle }) = pool.take(start).await {
                course.peer = Some(connection.peer());
                let answer = self.converse(to, connection, Some(start), request, course);
                let Dead { trouble, sent } = match answer.await {
                    Ok(answer) => return Ok(answer),
                    Err(Unanswered::Trouble(trouble)) => return Err(trouble),
                    Err(Unanswered::Dead(dead)) => dead,
                };
                start = self.clock.instant();
                pool.closed_after(idle, start);
                *course = Course::default();
                if let Trouble::Endpoint(failure) = trouble
                    && sent
                {
                    let note = format!("sent again over a new connection: {}", failure.text);
                    course.note = Some(note.into());
                }
            }
        }
        let result = self.attempt_anew(to, request, start, course).await;
        if course.chosen
            && let Some(peer) = course.peer
            && !matches!(result, Err(Trouble::Machine(_)))
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
        course: &mut Course,
    ) -> Result<Answer, Trouble> {
        let connector = Connector {
            clock: &self.clock,
            resolver: &self.resolver,
            limit: self.timeouts.connect,
        };
        let mut alarm = Alarm::default();
        let (wire, peer) = match (to.target.literal, &to.target.handshake) {
            (Some(address), None) => {
                let connecting =
                    connector.connect_plain(&to.target, address, start, course, &mut alarm);
                connecting.await?
            }
            // Boxed: it is large and soon over, and a request that hangs would hold its room all the time.
            _ => Box::pin(connector.connect(&to.target, start, course, &mut alarm)).await?,
        };
        let mut fresh = Connection::new(wire, peer, start);
        fresh.alarm = alarm;
        let answer = self.converse(to, fresh, None, request, course).await;
        answer.map_err(|unanswered| match unanswered {
            Unanswered::Trouble(trouble) | Unanswered::Dead(Dead { trouble, .. }) => trouble,
        })
    }

    /// One request and its answer on an open connection; `begun` where that was kept.
    async fn converse(
        &self,
        to: &Endpoint,
        mut connection: Box<Connection>,
        begun: Option<Instant>,
        request: &Request,
        course: &mut Course,
    ) -> Result<Answer, Unanswered> {
        // To take a connection out of the pool takes no time that is worth another look at the clock.
        let asked = begun.unwrap_or_else(|| self.clock.instant());
        let limit = self.timeouts.head;
        let mut alarm = std::mem::take(&mut connection.alarm);
        let result = {
            let asking = pin!(connection.ask(&to.start_line, request));
            alarm.limit(asked + limit, asking).await
        };
        connection.alarm = alarm;
        let heard = self.clock.instant();
        course.phases.head_us = Some(micros(heard - asked));
        match result {
            Some(Ok(Head::Plain(plain))) => {
                Ok(self.read_plain(to, connection, plain, heard, course).await)
            }
            Some(Ok(Head::Odd(response))) => {
                let (head, body) = response.into_parts();
                Ok(self.read(to, connection, head, body, heard, course).await)
            }
            Some(Ok(Head::Sloppy(answer, why))) => {
                course.add_note(&why);
                Ok(self.read_sloppy(connection, answer, heard, course).await)
            }
            Some(Err(connection::Unanswered::Fault(fault))) => {
                Err(Unanswered::Trouble(fault.into()))
            }
            Some(Err(connection::Unanswered::Broken(error))) => {
                let (host, progress) = (&to.target.host, connection.progress());
                let trouble = answering(host, connection.peer(), progress, error.as_ref());
                Err(match trouble {
                    Trouble::Endpoint(_) if begun.is_some() && progress.heard == 0 => {
                        let sent = progress.sent > 0;
                        Unanswered::Dead(Dead { trouble, sent })
                    }
                    trouble => Unanswered::Trouble(trouble),
                })
            }
            None => {
                let trouble = silent(limit, connection.progress());
                Err(Unanswered::Trouble(trouble))
            }
        }
    }

    /// The rest of an answer that needs no hyper.
    async fn read_plain(
        &self,
        to: &Endpoint,
        mut connection: Box<Connection>,
        mut plain: Plain,
        heard: Instant,
        course: &mut Course,
    ) -> Answer {
        let mut whole = true;
        let mut ended = heard;
        if plain.length > 0 {
            if plain.body.len() < plain.length {
                let until = heard + self.timeouts.body;
                let mut alarm = std::mem::take(&mut connection.alarm);
                let read = {
                    let reading = pin!(connection.read_plain(&mut plain));
                    alarm.limit(until, reading).await
                };
                whole = read.unwrap_or(false);
                connection.alarm = alarm;
                ended = self.clock.instant();
            }
            course.phases.body_us = Some(micros(ended - heard));
        }
        if whole {
            self.put_away(to, connection, plain.over, plain.keep, ended)
                .await;
        }
        Answer {
            status: plain.status,
            headers: plain.lines,
            body: plain.body,
            truncated: !whole,
        }
    }

    /// The rest of an answer whose head hyper has read.
    async fn read(
        &self,
        to: &Endpoint,
        mut connection: Box<Connection>,
        head: http::response::Parts,
        body: Incoming,
        heard: Instant,
        course: &mut Course,
    ) -> Answer {
        let mut raw = Vec::new();
        let mut whole = true;
        if !body.is_end_stream() {
            let expected = usize::try_from(body.size_hint().lower()).unwrap_or(BODY_BYTES);
            raw.reserve(expected.min(BODY_BYTES));
            let until = heard + self.timeouts.body;
            let mut alarm = std::mem::take(&mut connection.alarm);
            let read = {
                let reading = pin!(connection.read(body, BODY_BYTES, &mut raw));
                alarm.limit(until, reading).await
            };
            whole = read.unwrap_or(false);
            connection.alarm = alarm;
            course.phases.body_us = Some(micros(self.clock.instant() - heard));
        }
        if whole {
            let values = head.headers.get_all("keep-alive").iter();
            let keep = Keep::said(values.filter_map(|value| value.to_str().ok()));
            let now = self.clock.instant();
            self.put_away(to, connection, false, keep, now).await;
        }
        let (body, truncated) = answer::decode(&head.headers, raw, !whole);
        Answer {
            status: head.status.as_u16(),
            headers: answer::header_lines(&head.headers),
            body,
            truncated,
        }
    }

    /// The rest of an answer that hyper gave up. Its connection is not used again.
    async fn read_sloppy(
        &self,
        mut connection: Box<Connection>,
        mut answer: Box<Sloppy>,
        heard: Instant,
        course: &mut Course,
    ) -> Answer {
        if !answer.is_over() {
            let until = heard + self.timeouts.body;
            let mut alarm = std::mem::take(&mut connection.alarm);
            // Late or not, what came is kept.
            let reading = pin!(connection.read_sloppy(&mut answer));
            alarm.limit(until, reading).await;
            course.phases.body_us = Some(micros(self.clock.instant() - heard));
        }
        self.linger(connection.part());
        answer.into_answer()
    }

    /// Keeps a connection whose answer was read whole, for as long as its peer lets us, or parts
    /// with it.
    async fn put_away(
        &self,
        to: &Endpoint,
        mut connection: Box<Connection>,
        over: bool,
        keep: Option<Keep>,
        now: Instant,
    ) {
        if !over
            && let Some(pool) = &to.pool
            && connection.is_idle().await
        {
            if let Some(keep) = keep {
                let left = connection.requests - 1;
                connection.requests = left.min(keep.requests);
                if connection.requests > 0 {
                    pool.put(connection, keep, now);
                }
            }
            return;
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
    Trouble(Trouble),
    /// It was a kept one, and died before a byte of an answer came.
    Dead(Dead),
}

struct Dead {
    trouble: Trouble,
    /// Whether something of the request was written.
    sent: bool,
}

impl Transport for Client {
    type Endpoint = Endpoint;

    async fn send(&self, to: &Endpoint, request: &Request) -> Result<Exchange, Fault> {
        let start = self.clock.instant();
        let mut course = Course::default();
        let result = match self.attempt(to, request, start, &mut course).await {
            Ok(answer) => Ok(answer),
            Err(Trouble::Endpoint(failure)) => Err(failure),
            Err(Trouble::Machine(fault)) => return Err(fault),
        };
        Ok(Exchange {
            result,
            phases: course.phases,
            peer: course.peer,
            duration_us: micros(self.clock.instant() - start),
            note: course.note,
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
