//! The SQL of an outbox in PostgreSQL, as `webhooksd schema outbox --postgres` prints it.
//!
//! It goes into the application's migrations, so it is an interface: its text and the names of its
//! constraints. It needs no more than PostgreSQL 15.

/// The sequence, the table, its indexes, and the trigger that gives the ids.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// The row and the trigger that wake who sleeps, behind it.
pub(crate) const DOORBELL: &str = include_str!("doorbell.sql");
