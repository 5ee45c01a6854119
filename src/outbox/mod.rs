//! The outbox: a table in a database that may well be somebody else's.
//!
//! An application writes rows; this module reads them in the order of their ids (`tail`), learns
//! early that there are more (`watch`, `burst`), adds rows for those without a database of their own
//! (`append`) and deletes the old ones (`prune`). It knows nothing of webhooks, of the log or of how
//! far the outbox was taken: the position is an argument.
//!
//! Invariants: a read never leaves a transaction open; no row, whatever is in it, stops the rows
//! behind it; nothing of an application's database is altered but by an append or a prune; while a
//! connection is open, neither the database nor its companions are opened except by SQLite, since
//! closing any other descriptor would drop this process's locks (<https://sqlite.org/howtocorrupt.html>,
//! section 2.2).

mod append;
#[cfg(test)]
pub(crate) mod application;
mod burst;
mod companion;
mod connect;
mod create;
mod error;
mod json;
mod order;
mod prune;
mod row;
mod schema;
mod table;
mod tail;
#[cfg(test)]
mod tests;
mod watch;

pub use append::{AppendError, Appended, Appender, NewEvent};
pub use burst::Burst;
pub use create::create_if_missing;
pub use error::Error;
pub use prune::{Pruned, Pruner};
pub use row::Row;
pub use schema::SCHEMA;
pub use tail::{Batch, Keyed, Tail, Waiting};
pub use watch::{Wake, Waker, Watch};
