//! The outbox: a table in a database that may well be somebody else's.
//!
//! An application writes rows; this module reads them in the order of their ids (`tail`), learns
//! early that there are more (`watch`, `burst`), adds rows for those without a database of their own
//! (`append`, of either engine `adds`), deletes the old ones (`prune`), leaves the file whole (`wal`, `backfill`) and says what is
//! wrong with somebody's table (`inspect`). In PostgreSQL it is another database of the same rows
//! (`postgres`). It knows nothing of webhooks, of the log or of how
//! far the outbox was taken: the position is an argument.
//!
//! Invariants: a read never leaves a transaction open; no row, whatever is in it, stops the rows
//! behind it; nothing of an application's database is altered but by an append or a prune; while a
//! connection is open, neither the database nor its companions are opened except by SQLite, since
//! closing any other descriptor would drop this process's locks (<https://sqlite.org/howtocorrupt.html>,
//! section 2.2).

mod adds;
mod append;
#[cfg(test)]
pub(crate) mod application;
mod backfill;
mod burst;
mod companion;
mod connect;
mod create;
mod definition;
mod error;
mod guards;
mod inspect;
mod journal;
mod json;
mod look;
mod mend;
mod names;
mod opening;
mod order;
mod past;
pub(crate) mod postgres;
mod prune;
mod row;
mod schema;
mod table;
mod tail;
#[cfg(test)]
mod tests;
mod trace;
mod traceless;
mod wal;
mod watch;

pub(crate) use adds::{Adds, to_add};
pub(crate) use append::whose;
pub use append::{AppendError, Appended, Appender, NewEvent};
pub(crate) use backfill::Backfill;
pub(crate) use burst::Burst;
pub(crate) use create::{create_if_missing, is_own};
pub(crate) use error::Error;
pub(crate) use inspect::{Finding, inspect};
pub(crate) use look::{Look, look};
pub(crate) use names::{OtherName, other_name};
pub(crate) use past::{Past, PastRows};
pub(crate) use postgres::Trouble;
pub(crate) use prune::{Kept, Pruned, Pruner};
pub use row::Row;
pub use schema::SCHEMA;
pub use tail::Tail;
pub(crate) use tail::{Batch, Waiting};
pub(crate) use trace::Trace;
pub(crate) use wal::backfill;
pub(crate) use watch::{Wake, Waker, Watch};
