//! A log in PostgreSQL, as far as it goes: its shape, and what is asked of it.
//!
//! The tables are those of `schema.sql`, in the schema `webhooksd`; the views of `views.sql` have the names, columns and
//! units of a log in SQLite. Every statement names the schema, is typed and unnamed, and no state of a session is used,
//! so that a pooler may stand between. Left out: whatever writes.

mod read;

pub(super) use read::Reader;

/// The tables, then the views.
pub(super) const SCHEMA: [&str; 2] = [include_str!("schema.sql"), include_str!("views.sql")];
