//! One POST: a request in, what the endpoint did and how long it took out.
//!
//! Whatever an endpoint or the network does is a value, an [`Exchange`]; only the trouble of our own
//! machine is an error, a [`Fault`], and costs the delivery no try. Nothing here knows a retry
//! policy, a signature or what counts as a success. It is HTTP/1.1 with a pool of our own: no
//! redirects, no upgrades, no cookies, and no hidden sends (a request goes out twice only
//! where a kept connection died before a byte of an answer, and then the [`Exchange`] says so).
//!
//! One attempt: `client` takes a connection from the `pool` or has one made (`resolve`, `connect`,
//! `proxy`, `tls`), and hands it the request (`http1`); `failure` has the words for what went wrong.
//!
//! [`Exchange`]: crate::model::Exchange
//! [`Fault`]: crate::model::Fault

mod client;
mod connect;
mod decode;
mod error;
mod failure;
mod http1;
mod keep_alive;
mod look_up;
mod pool;
mod proxy;
mod resolve;
mod send;
mod standing;
#[cfg(test)]
mod tests;
mod timeout;
mod tls;
mod wire;

pub use client::Client;
pub(crate) use client::Endpoint;
pub(crate) use error::Error;
pub(crate) use send::Transport;
pub(crate) use tls::{Part, check_ca};
