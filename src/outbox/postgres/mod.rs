//! An outbox in PostgreSQL: the same table, read by what a snapshot of the server had not seen.
//!
//! Transactions commit in another order than they take their ids, so "what is behind the last id" loses
//! rows. A row carries the number of its transaction, and what is new is what the last snapshot did not see
//! and this one does ([`Tail::read`]). Nothing of the application's is written but by [`Tail::prune`].
//! Every call blocks: a connection has a runtime of its own, which runs while somebody waits for an answer
//! (`link`). Statements are unnamed and typed, and no state of a session is used, so that a pooler may
//! stand between.

mod binding;
mod facts;
mod link;
mod schema;
mod seen;
mod sql;
mod tail;
mod tls;
mod trouble;

pub(crate) use schema::SCHEMA;
pub(crate) use tail::{Batch, Tail, first_id_of};
pub(crate) use trouble::Trouble;
