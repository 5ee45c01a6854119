//! One POST: a request in, what the endpoint did and how long it took out.
//!
//! Whatever an endpoint or the network does is a value, an [`Exchange`]; only the trouble of our own
//! machine is an error, a [`Fault`], and costs the delivery no try. Nothing here knows a retry
//! policy, a signature or what counts as a success. It is HTTP/1.1 with a pool of our own: no
//! redirects, no upgrades, no proxies, no cookies, and no hidden sends (a request goes out twice only
//! where a kept connection died before a byte of an answer, and then the [`Exchange`] says so). Plain
//! answers are read here, all others by hyper, and what hyper can't read, as far as it can be read.

mod ahead;
mod alarm;
mod answer;
mod chunks;
mod client;
mod connect;
mod connection;
mod error;
mod failure;
mod keep;
mod letterhead;
mod look_up;
mod plain;
mod pool;
mod resolve;
mod sloppy;
mod standing;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::future::Future;
use std::time::Duration;

use crate::model::{Exchange, Fault, Request};

pub use client::{Client, Endpoint};
pub use error::Error;
pub use tls::check_ca;

/// Sends requests. The real one is [`Client`]; the pipeline's tests script their own.
pub trait Transport: Send + Sync + 'static {
    /// What is known of one webhook's endpoint, with its idle connections.
    type Endpoint: Send + Sync + 'static;

    /// Makes one attempt. Dropping the future closes its connection.
    ///
    /// # Errors
    /// [`Fault`] is our own machine's trouble; all else is in the [`Exchange`].
    fn send(
        &self,
        to: &Self::Endpoint,
        request: &Request,
    ) -> impl Future<Output = Result<Exchange, Fault>> + Send;
}

/// How long the three parts of an attempt may take. They follow each other, and every wait of an
/// attempt is inside one of them, so their sum is the longest that an attempt can last; but for one
/// that began on a kept connection and found it dead, which may have waited for `head` once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving, connecting and the TLS handshake together.
    pub connect: Duration,
    /// From there to the end of the answer's head, writing the request included.
    pub head: Duration,
    /// Reading the answer's body.
    pub body: Duration,
}

/// The connection time-out of the Bold CMS documentation, used for every dialect.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Its socket time-out, as a limit on the whole wait so that a dripping endpoint can't extend it.
pub const HEAD_LIMIT: Duration = Duration::from_secs(3);
/// The body is only for the log: it gets as long as the head, and no longer.
pub const BODY_LIMIT: Duration = Duration::from_secs(3);

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_LIMIT,
            head: HEAD_LIMIT,
            body: BODY_LIMIT,
        }
    }
}
