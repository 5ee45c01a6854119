//! The real transport: an attempt from its first wait to its last, one limit after another.
//!
//! connect → ask → read, and then the connection is kept for the next request or left to the peer to
//! close. A request is sent again only where a kept connection turned out dead before a byte of the
//! request was written; that is one attempt, not two. The answer's body can't change the outcome: it
//! is read after the head has decided.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::answer::{self, BODY_BYTES};
use super::connect::{Connector, Course, Target};
use super::connection::{Connection, Head, Unanswered};
use super::failure::{Trouble, answering, silent};
use super::plain::Plain;
use super::pool::{self, Pool};
use super::resolve::Resolver;
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
        let target = Target {
            host: url.host().into(),
            literal: url.host().parse::<IpAddr>().ok(),
            port: url.port(),
            handshake,
        };
        let start_line = format!("POST {} HTTP/1.1\r\n", url.target());
        Ok(Endpoint {
            clock: self.clock.clone(),
            target,
            start_line: start_line.into_bytes().into(),
            pool: webhook.keep_alive.then(|| Pool::new(webhook.max_in_flight)),
        })
    }

    async fn attempt(
        &self,
        to: &Endpoint,
        request: &Request,
        start: Instant,
        course: &mut Course,
    ) -> Result<Answer, Trouble> {
        if let Some(pool) = &to.pool
            && let Some(kept) = pool.take(start).await
        {
            course.peer = Some(kept.peer());
            match self.converse(to, kept, Some(start), request, course).await {
                Err(Unsuccessful { unsent: true, .. }) => *course = Course::default(),
                other => return other.map_err(|unsuccessful| unsuccessful.trouble),
            }
        }
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
        let mut fresh = Connection::new(wire, peer);
        fresh.alarm = alarm;
        let answer = self.converse(to, fresh, None, request, course).await;
        answer.map_err(|unsuccessful| unsuccessful.trouble)
    }

    /// One request and its answer on an open connection; `begun` where that was kept.
    async fn converse(
        &self,
        to: &Endpoint,
        mut connection: Box<Connection>,
        begun: Option<Instant>,
        request: &Request,
        course: &mut Course,
    ) -> Result<Answer, Unsuccessful> {
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
        let (trouble, unsent) = match result {
            Some(Ok(Head::Plain(plain))) => {
                return Ok(self.read_plain(to, connection, plain, heard, course).await);
            }
            Some(Ok(Head::Odd(response))) => {
                let (head, body) = response.into_parts();
                return Ok(self.read(to, connection, head, body, heard, course).await);
            }
            Some(Err(Unanswered::Fault(fault))) => (fault.into(), false),
            Some(Err(Unanswered::Broken(error))) => {
                let (host, progress) = (&to.target.host, connection.progress());
                let trouble = answering(host, connection.peer(), progress, error.as_ref());
                (trouble, begun.is_some() && progress.sent == 0)
            }
            None => (silent(limit, connection.progress()), false),
        };
        Err(Unsuccessful { trouble, unsent })
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
            let keep = pool::keep_for(values.filter_map(|value| value.to_str().ok()));
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

    /// Keeps a connection whose answer was read whole, for as long as its peer lets us, or parts
    /// with it.
    async fn put_away(
        &self,
        to: &Endpoint,
        mut connection: Box<Connection>,
        over: bool,
        keep: Option<Duration>,
        now: Instant,
    ) {
        if !over
            && let Some(pool) = &to.pool
            && connection.is_idle().await
        {
            if let Some(span) = keep {
                pool.put(connection, span, now);
            }
            return;
        }
        if let Some(parting) = connection.part()
            && let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned()
        {
            tokio::spawn(async move {
                parting.wait().await;
                drop(permit);
            });
        }
    }
}

/// An exchange without an answer, and whether nothing of it had been written.
struct Unsuccessful {
    trouble: Trouble,
    unsent: bool,
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
        })
    }
}

impl Endpoint {
    /// Closes the idle connections that are too old or that their peer has closed, and returns how
    /// many are left. Call it every few seconds where an endpoint may fall silent.
    pub fn sweep_idle(&self) -> usize {
        self.pool
            .as_ref()
            .map_or(0, |pool| pool.sweep(self.clock.instant()))
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
