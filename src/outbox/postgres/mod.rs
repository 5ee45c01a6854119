//! An outbox in PostgreSQL: the same table, read by what a snapshot of the server had not seen.
//!
//! Transactions commit in another order than they take their ids, so "what is behind the last id" loses
//! rows. A row carries the number of its transaction, and what is new is what the last snapshot did not see
//! and this one does ([`Tail::read`]). Nothing of the application's is written but by [`Tail::prune`].
//! Statements are unnamed and typed, and no state of a session is used, so that a pooler may
//! stand between.

mod append;
mod batch;
mod by_id;
mod doorbell;
mod facts;
mod reader;
mod schema;
mod seen;
mod sql;
mod start;
mod still;
mod tail;

pub(crate) use crate::postgres::{Trouble, Waiting};
pub(crate) use append::Appender;
pub(crate) use batch::Batch;
pub(crate) use by_id::ById;
pub(crate) use doorbell::Doorbell;
pub(crate) use reader::{another, reader_name};
pub(crate) use schema::{DOORBELL, SCHEMA};
pub(crate) use seen::Taken;
pub(crate) use tail::{Tail, first_id_of, given_ms};
