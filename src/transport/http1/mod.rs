//! HTTP/1.1 from the client's side: one connection, one request at a time, one answer to each.
//!
//! [`Connection::exchange`] writes the request's bytes exactly as the dialect made them (`request`)
//! and reads the answer: its head by httparse (`head`), or as far as it can be read where it is not
//! proper HTTP (`lenient`); its body by its length, its chunks or the peer's close (`body`, `chunks`),
//! as the headers say (`facts`). What reads is told bytes and does no I/O: so `tests/alike.rs` can
//! hold it against hyper. `connection` alone knows the socket.
//!
//! Why not hyper: it writes header names in a case and order of its own, and the vendors document
//! theirs; it takes some 26 KiB for a connection whose peer says nothing; and it gives up answers
//! whose status has come. Left out: upgrades, pipelining, what trailers say, requests in chunks, and
//! which connection is used (`pool`).

mod body;
mod chunks;
mod connection;
mod error;
mod facts;
mod head;
mod lenient;
mod request;
#[cfg(test)]
mod tests;

pub(super) use body::BODY_BYTES;
#[cfg(test)]
pub(super) use connection::LINGER;
pub(super) use connection::{Ask, Connection, Exchanged, Parting};
pub(super) use error::{Error, Progress};
pub(super) use head::HeadReader;
