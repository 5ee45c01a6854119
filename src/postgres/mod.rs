//! A connection to PostgreSQL, and what can go wrong with one: for the outbox and for the log.
//!
//! Every call blocks: a connection has a runtime of its own, which runs while somebody waits for an answer
//! (`link`). Statements are unnamed and typed, and no state of a session is used, so that a pooler may
//! stand between. What is asked of a server is its user's.

mod binding;
mod connect;
mod ear;
mod engine;
mod holder;
mod link;
mod tls;
mod trouble;

pub(crate) use ear::{Ear, Heard};
pub(crate) use engine::judge;
pub(crate) use link::{Behind, Link, Opening, Value, Waiting};
pub(crate) use trouble::{Trouble, What};
