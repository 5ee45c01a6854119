//! HTTP/1.1 from the client's side: one connection, one request at a time, one answer to each.
//!
//! [`Connection::exchange`] writes the request's bytes exactly as the dialect made them and reads the answer: its head
//! by httparse (`head`), or as far as it can be read where it is not proper HTTP (`lenient`), its body by
//! its length, its chunks or the peer's close (`body`). What reads is told bytes and does no I/O, so
//! that `tests/alike.rs` can hold it against hyper. The limits of size stand where they rule:
//! [`HEARD_BYTES`](connection), `HEAD_BYTES` in `head`, `BODY_BYTES` in `body`.
//!
//! Why not hyper: it writes header names in its own case and order, which the vendors document otherwise, it takes some 26 KiB
//! for a connection whose peer says nothing, and it gives up answers whose status has come. Left out:
//! upgrades, pipelining, trailers (they are passed over), requests with chunks, pools.

mod body;
mod chunks;
mod connection;
mod error;
mod facts;
mod head;
mod lenient;
mod request;

pub(super) use body::BODY_BYTES;
pub(super) use connection::{Ask, Connection, Exchanged, Parting};
pub(super) use error::{Error, Progress};
#[cfg(test)]
pub(super) use head::HeadReader;
